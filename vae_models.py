"""What a VAE computes: q(z|x), p(x|z), the two terms of the ELBO and the cost made of them.

Words: x data, z latent, log_std = log(std); every term is in nats, summed over dimensions. The
cost's mean over data points is taken in `cost_function`.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from training.standardization import Standardization
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

    All constants are kept, so that the value is a log-density of x.
    """
    standardized = (x - mean) * tf.exp(-log_std)
    return -tf.reduce_sum(0.5 * (LOG_2_PI + tf.square(standardized)) + log_std, axis=-1)


def reparameterize(mean, log_std, epsilon):
    """z = mean + std * epsilon with epsilon ~ N(0, I); Kingma & Welling (2013), Section 2.4."""
    return mean + tf.exp(log_std) * epsilon


def cost_function(kl, log_px_z, beta=1.0):
    """The mean over data points of beta * KL - log p(x|z), (B,) and (B,) -> a scalar in nats.

    beta = 1 gives the negative ELBO, Eq. (1) of the VAE guideline with its sign turned; any other
    beta gives Eq. (1) of the beta-VAE guideline (Higgins et al., 2016).
    """
    return tf.reduce_mean(beta * kl - log_px_z)


def iwae_cost(log_w):
    """Minus the bound of Burda et al. (2015), Eq. (8): (n_samples, B) -> a scalar in nats.

    log_w: log p(x|z) + log p(z) - log q(z|x) for each draw of z ~ q(z|x). The bound, the mean over
    data points of log(mean w), is the ELBO for one draw, and rises to log p(x) with their number.
    """
    log_mean_w = tf.reduce_logsumexp(log_w, axis=0) - math.log(log_w.shape[0])
    return -tf.reduce_mean(log_mean_w)


class VAE(keras.Model):
    """A VAE with a diagonal Gaussian encoder and decoder, for data points of `data_dim` numbers.

    n_width: neurons of each hidden layer, a list in the order of the encoder, reversed in the
    decoder; a single number stands for two layers. activation, batch_norm: see
    vae_layers.FeedForward. initial_std: of q(z|x), see vae_layers.Encoder. decoder_std,
    min_log_std: of p(x|z), see vae_layers.Decoder.
    standardization: a training.standardization.Standardization, or None. Where there is one, x is a
    standardized row, and so are means and draws of p(x|z); log p(x|z) is that of the data's units.
    """

    def __init__(
        self,
        data_dim,
        n_dim,
        n_width,
        activation="relu",
        decoder_std="learned",
        min_log_std=None,
        seed=0,
        standardization=None,
        batch_norm=False,
        initial_std=None,
    ):
        super().__init__()
        self.data_dim = data_dim
        self.n_dim = n_dim
        self.standardization = standardization
        widths = n_width * 2 if len(n_width) == 1 else n_width
        seed_generator = keras.random.SeedGenerator(seed)
        network = {"activation": activation, "batch_norm": batch_norm}
        self.encoder = Encoder(
            data_dim, widths, n_dim, seed_generator, initial_std=initial_std, **network
        )
        self.decoder = self.make_decoder(
            decoder_std,
            min_log_std,
            n_in=n_dim,
            hidden_widths=widths[::-1],
            n_out=data_dim,
            seed_generator=seed_generator,
            **network,
        )
        self.built = True

    def make_decoder(self, decoder_std, min_log_std, **network):
        """The network of p(x|z); models with another likelihood make another one."""
        log_scale = 0.0 if self.standardization is None else np.log(self.standardization.std)
        return Decoder(
            decoder_std=decoder_std, min_log_std=min_log_std, log_scale=log_scale, **network
        )

    def encode(self, x, training=False):
        """q(z|x): x (B, data_dim) -> mean, log_std, each (B, n_dim)."""
        return self.encoder(x, training=training)

    def decode(self, z, training=False):
        """p(x|z): z (..., n_dim) -> mean, log_std, each (..., data_dim)."""
        return self.decoder(z, training=training)

    def log_px_z(self, x, z, training=False):
        """log p(x|z) of each data point in nats, x (B, data_dim), z (..., B, n_dim) -> (..., B)."""
        mean, log_std = self.decode(z, training=training)
        log_px_z = gaussian_log_likelihood(x, mean, log_std)
        if self.standardization is not None:
            log_px_z -= self.standardization.log_scale  # a density in the units of the data
        return log_px_z

    def elbo_terms(self, x, epsilon, training=False):
        """The two terms of Eq. (1) for each data point: D_KL and E_q[log p(x|z)], each (B,), nats.

        x: (B, data_dim). epsilon: standard normal noise, (B, n_dim) for one sample of z per data
        point, or (n_samples, B, n_dim) for the mean over several.
        """
        mean, log_std = self.encode(x, training=training)
        z = reparameterize(mean, log_std, epsilon)
        log_px_z = self.log_px_z(x, z, training=training)
        if log_px_z.shape.rank == 2:
            log_px_z = tf.reduce_mean(log_px_z, axis=0)
        return kl_divergence(mean, log_std), log_px_z

    def weight_terms(self, x, epsilon, training=False):
        """What iwae_cost is made of: D_KL (B,), and of each draw of z two terms of log w.

        They are log p(x|z) and log p(z) - log q(z|x), both (n_samples, B), in nats.
        x: (B, data_dim). epsilon: (n_samples, B, n_dim).
        """
        mean, log_std = self.encode(x, training=training)
        z = reparameterize(mean, log_std, epsilon)
        log_px_z = self.log_px_z(x, z, training=training)
        log_p_over_q = tf.reduce_sum(0.5 * (tf.square(epsilon) - tf.square(z)) + log_std, axis=-1)
        return kl_divergence(mean, log_std), log_px_z, log_p_over_q

    def decoder_mean(self, z):
        """E[x|z], (..., n_dim) -> (..., data_dim)."""
        mean, _ = self.decode(z)
        return mean

    def decoder_sample(self, z, seed):
        """One draw from p(x|z) for each z, (..., n_dim) -> (..., data_dim); seed: two integers."""
        mean, log_std = self.decode(z)
        return reparameterize(mean, log_std, tf.random.stateless_normal(tf.shape(mean), seed))

    def in_data_units(self, x):
        """Rows of the networks, (N, data_dim), in the units of the data; see Standardization."""
        return x if self.standardization is None else self.standardization.undo(x)


def make_model(settings):
    """The untrained model of a run on Gaussian data; settings: training.settings.Settings.

    A narrow q(z|x) at the start keeps units, see vae_layers.Encoder. But it places a row far from
    all others, as standardized tables have, so far out in z that its ELBO may overflow.
    """
    return VAE(
        data_dim=settings.data_dim,
        n_dim=settings.n_dim,
        n_width=settings.n_width,
        activation=settings.activation,
        decoder_std=settings.decoder_std,
        min_log_std=settings.min_log_std,
        seed=settings.seed,
        standardization=Standardization.from_settings(settings.standardization),
        initial_std=1.0 if settings.standardize else 0.2,
    )
