"""VAEs of images: p(x|z) is Bernoulli or Gaussian, or the loss is a squared error.

The Gaussian one is vae_models.VAE itself; the others change its decoder and its log p(x|z).
"""

import math

import numpy as np
import tensorflow as tf

from vae_layers import OneHeadDecoder
from vae_models import VAE


def bernoulli_log_likelihood(x, logits):
    """log Bernoulli(x; sigmoid(logits)) of each data point in nats, (..., data_dim) -> (...).

    x log(p) + (1 - x) log(1 - p) with p = sigmoid(logits), free of overflow. For pixel intensities
    between 0 and 1 it is the same expression, but no log-likelihood.
    """
    return tf.reduce_sum(x * logits - tf.nn.softplus(logits), axis=-1)


class BernoulliVAE(VAE):
    """p(x|z) = Bernoulli(x; sigmoid(logits)), its logits a network of z."""

    def make_decoder(self, decoder_std, min_log_std, **network):
        return OneHeadDecoder(**network)

    def start_at_pixel_means(self, means):
        """Let the decoder's output bias be the logit of the pixels' means, (data_dim,) in 0..1.

        As the published code of Burda et al. (2015) does, the means clipped to 0.001..0.999.
        """
        means = np.clip(means, 0.001, 0.999)
        self.decoder.network.layers[-1].bias.assign(np.log(means / (1 - means)))

    def log_px_z(self, x, z, training=False):
        return bernoulli_log_likelihood(x, self.decode(z, training=training))

    def decoder_mean(self, z):
        return tf.sigmoid(self.decode(z))

    def decoder_sample(self, z, seed):
        mean = self.decoder_mean(z)
        uniform = tf.random.stateless_uniform(tf.shape(mean), seed)
        return tf.cast(uniform < mean, tf.float32)


class SquaredErrorVAE(VAE):
    """The loss of Algorithm 1 of the VAE lab: |x_rec - x|^2 + KL, weight one, no constants.

    -|x_rec - x|^2 stands for log p(x|z). It is log N(x; x_rec, I/2) without the constant
    -data_dim/2 log(pi); samples of x are drawn from that distribution. The Algorithm writes its KL
    as D[N(0, I) || N(mean, std^2)], which bounds nothing; the KL here is the ELBO's,
    D[N(mean, std^2) || N(0, I)], as in Section 2 of the lab.
    """

    def make_decoder(self, decoder_std, min_log_std, **network):
        return OneHeadDecoder(**network)

    def log_px_z(self, x, z, training=False):
        return -tf.reduce_sum(tf.square(x - self.decode(z, training=training)), axis=-1)

    def decoder_mean(self, z):
        return self.decode(z)

    def decoder_sample(self, z, seed):
        mean = self.decode(z)
        return mean + math.sqrt(0.5) * tf.random.stateless_normal(tf.shape(mean), seed)


MODELS = {"bernoulli": BernoulliVAE, "gaussian": VAE, "squared_error": SquaredErrorVAE}


def make_model(settings):
    """The untrained model of a run on images; settings: training.settings.Settings.

    min_log_std bounds the std of the Gaussian likelihood: a pixel that is the same in all images
    would otherwise gain log-likelihood without end as its std goes to zero.
    """
    return MODELS[settings.likelihood](
        data_dim=settings.data_dim,
        n_dim=settings.n_dim,
        n_width=settings.n_width,
        activation=settings.activation,
        min_log_std=settings.min_log_std,
        seed=settings.seed,
        batch_norm=settings.batch_norm,
    )


def describe_bound(settings):
    """One sentence on what an ELBO of these settings bounds."""
    if settings.likelihood == "squared_error":
        constant = settings.data_dim / 2 * math.log(math.pi)
        return (
            "-(squared error + KL), not an ELBO: that of a Gaussian of variance 1/2 is "
            f"{constant:.2f} nats lower"
        )
    if settings.likelihood == "gaussian":
        return "a bound on the log-density of pixels in 0..1, not comparable with a Bernoulli's"
    if settings.binarization == "none":
        return "not a bound on a log-likelihood: pixel intensities under a Bernoulli likelihood"
    return "a bound on the log-likelihood of binarized images"
