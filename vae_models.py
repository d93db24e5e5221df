"""What a VAE computes: q(z|x), p(x|z), the two terms of the ELBO and the cost made of them.

Words: x data, z latent, log_std = log(std); every term is in nats, summed over dimensions. The
cost's mean over data points is taken in `cost_function`.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from vae_layers import Decoder, Encoder

LOG_2_PI = math.log(2.0 * math.pi)


def kl_divergence_per_dimension(mean, log_std):
    """D_KL[N(mean_j, std_j^2) || N(0, 1)] of each latent dimension j, (..., n_dim) in nats.

    Kingma & Welling (2013), Appendix B, with log(std^2) = 2 log_std.
    """
    return -0.5 * (1.0 + 2.0 * log_std - tf.square(mean) - tf.exp(2.0 * log_std))


def kl_divergence(mean, log_std):
    """D_KL[N(mean, diag(std^2)) || N(0, I)] of each data point in nats, (..., n_dim) -> (...)."""
    return tf.reduce_sum(kl_divergence_per_dimension(mean, log_std), axis=-1)


def gaussian_log_likelihood(x, mean, log_std):
    """log N(x; mean, diag(std^2)) of each data point in nats, (..., data_dim) -> (...).

    All constants are kept, so that the figure is a log-density of x.
    """
    standardised = (x - mean) * tf.exp(-log_std)
    return -tf.reduce_sum(0.5 * (LOG_2_PI + tf.square(standardised)) + log_std, axis=-1)


def reparameterise(mean, log_std, epsilon):
    """z = mean + std * epsilon with epsilon ~ N(0, I); Kingma & Welling (2013), Section 2.4."""
    return mean + tf.exp(log_std) * epsilon


def cost_function(kl, log_px_z, beta=1.0):
    """The mean over data points of beta * KL - log p(x|z), (B,) and (B,) -> a scalar in nats.

    beta = 1 gives the negative ELBO, Eq. (1) of the VAE guideline with its sign turned; any other
    beta gives Eq. (1) of the beta-VAE guideline (Higgins et al., 2016).
    """
    return tf.reduce_mean(beta * kl - log_px_z)


class VAE(keras.Model):
    """A VAE with a diagonal Gaussian encoder and decoder, for data points of `data_dim` numbers.

    hidden_widths: neurons of each hidden layer, the encoder's order (the decoder turns it round).
    decoder_std: a fixed standard deviation of p(x|z); None learns it.
    decoder: further arguments of the decoder alone; network: those of vae_layers.feed_forward.
    standardization: the `mean` and `std` of each data dimension. The networks then see
    standardised rows; everything outside, the weight files too, stays in the units of the data.
    """

    decoder_class = Decoder

    def __init__(
        self,
        data_dim,
        n_dim,
        hidden_widths,
        decoder_std=None,
        seed=0,
        decoder=None,
        standardization=None,
        **network,
    ):
        super().__init__()
        self.data_dim, self.n_dim = data_dim, n_dim
        seed_generator = keras.random.SeedGenerator(seed)
        decoder = dict(decoder or {})
        if decoder_std is not None:
            decoder["fixed_std"] = decoder_std
        self.x_mean, self.x_std = 0.0, 1.0
        if standardization is not None:
            self.x_mean = np.asarray(standardization["mean"])
            self.x_std = np.asarray(standardization["std"])
            decoder |= {"shift": self.x_mean, "scale": self.x_std}
        self.encoder = Encoder(data_dim, hidden_widths, n_dim, seed_generator, **network)
        self.decoder = self.decoder_class(
            n_dim, hidden_widths[::-1], data_dim, seed_generator, **decoder, **network
        )
        self.built = True

    def encode(self, x, training=False):
        """q(z|x): x (B, data_dim) -> mean, log_std, each (B, n_dim)."""
        return self.encoder((x - self.x_mean) / self.x_std, training=training)

    def decode(self, z, training=False):
        """p(x|z): z (..., n_dim) -> mean, log_std, each (..., data_dim)."""
        return self.decoder(z, training=training)

    def log_px_z(self, x, z, training=False):
        """log p(x|z) of each data point in nats, x (B, data_dim), z (..., B, n_dim) -> (..., B)."""
        return gaussian_log_likelihood(x, *self.decode(z, training=training))

    def elbo_terms(self, x, epsilon, training=False):
        """The two terms of Eq. (1) for each data point: D_KL and E_q[log p(x|z)], each (B,), nats.

        x: (B, data_dim). epsilon: standard normal noise, (B, n_dim) for one sample of z per data
        point, or (n_samples, B, n_dim) for the mean over several.
        """
        mean, log_std = self.encode(x, training=training)
        z = reparameterise(mean, log_std, epsilon)
        log_px_z = self.log_px_z(x, z, training=training)
        if log_px_z.shape.rank == 2:
            log_px_z = tf.reduce_mean(log_px_z, axis=0)
        return kl_divergence(mean, log_std), log_px_z

    def decoder_mean(self, z):
        """E[x|z], (..., n_dim) -> (..., data_dim)."""
        return self.decode(z)[0]

    def decoder_sample(self, z, seed):
        """One draw from p(x|z) for each z, (..., n_dim) -> (..., data_dim); seed: two integers."""
        mean, log_std = self.decode(z)
        return reparameterise(mean, log_std, tf.random.stateless_normal(tf.shape(mean), seed))


def make_model(settings, standardization=None):
    """The untrained model of a Gaussian run; settings: its flags as a dictionary."""
    data_dim, n_dim, n_width = (settings[name] for name in ("data_dim", "n_dim", "n_width"))
    return VAE(
        data_dim,
        n_dim,
        (n_width, n_width),
        settings["decoder_std"],
        settings["seed"],
        {"min_log_std": settings.get("min_log_std")},
        standardization,
    )
