"""VAEs of images: p(x|z) is Bernoulli, Gaussian, or stands behind a squared error.

The Gaussian one is vae_models.VAE itself; the others change its decoder and its log p(x|z).
"""

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import tensorflow as tf

from training import run_folder
from training.errors import InputError
from vae_layers import BernoulliDecoder, MeanDecoder
from vae_models import VAE, reparameterise

LIKELIHOODS = ("bernoulli", "gaussian", "squared_error")
ACTIVATIONS = ("relu", "tanh")
BINARIZATIONS = ("dynamic", "static", "none")


def bernoulli_log_likelihood(x, logits):
    """log Bernoulli(x; sigmoid(logits)) of each data point in nats, (..., data_dim) -> (...).

    x log(p) + (1 - x) log(1 - p) with p = sigmoid(logits), free of overflow. For grey values
    between 0 and 1 it is the same expression, but no log-likelihood.
    """
    return tf.reduce_sum(x * logits - tf.nn.softplus(logits), axis=-1)


def squared_error(x, x_rec):
    """|x_rec - x|^2 of each data point, (..., data_dim) -> (...)."""
    return tf.reduce_sum(tf.square(x_rec - x), axis=-1)


class BernoulliVAE(VAE):
    """p(x|z) = Bernoulli(x; sigmoid(logits)), the logits a network of z."""

    decoder_class = BernoulliDecoder

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

    decoder_class = MeanDecoder

    def log_px_z(self, x, z, training=False):
        return -squared_error(x, self.decode(z, training=training))

    def decoder_mean(self, z):
        return self.decode(z)

    def decoder_sample(self, z, seed):
        mean = self.decode(z)
        epsilon = tf.random.stateless_normal(tf.shape(mean), seed)
        return reparameterise(mean, math.log(math.sqrt(0.5)), epsilon)


def make_model(settings):
    """The untrained model that the settings (flags and data_dim, a dictionary) describe.

    min_log_std bounds the std of the Gaussian likelihood: a pixel that is the same in all images
    would else gain log-likelihood without end as its std goes to zero.
    """
    sizes = settings["data_dim"], settings["n_dim"], settings["n_width"]
    network = {name: settings[name] for name in ("seed", "activation", "batch_norm")}
    if settings["likelihood"] == "bernoulli":
        return BernoulliVAE(*sizes, glorot=True, **network)
    if settings["likelihood"] == "squared_error":
        return SquaredErrorVAE(*sizes, glorot=True, **network)
    return VAE(*sizes, decoder={"min_log_std": settings["min_log_std"]}, glorot=True, **network)


def load_model(model_dir):
    """The trained model of a run folder, from its config.json and weight files.

    Returns the model and the settings. InputError: the folder holds no finished run of
    mnist_vae_main.py, or a file in it is damaged.
    """
    path = Path(model_dir) / "config.json"
    settings = run_folder.read_json(path)
    if settings.get("model") != "mnist_vae":
        raise InputError(f"{path}: is not of a run of mnist_vae_main.py")
    check_settings(settings, path)
    model = make_model(settings)
    model.read_weights(model_dir)
    return model, settings


def check_settings(settings, path):
    """InputError: the config.json at `path` lacks what rebuilds a model and finds its data."""
    choices = {
        "likelihood": LIKELIHOODS,
        "activation": ACTIVATIONS,
        "batch_norm": (True, False),
        "binarization": BINARIZATIONS,
    }
    lists = {name: settings.get(name) for name in ("n_width", "image_shape")}
    sound = {
        **{name: run_folder.is_size(settings.get(name)) for name in ("data_dim", "n_dim")},
        **{name: settings.get(name) in values for name, values in choices.items()},
        **{n: type(v) is list and all(map(run_folder.is_size, v)) for n, v in lists.items()},
        "min_log_std": run_folder.is_log_std(settings.get("min_log_std")),
        "seed": run_folder.is_seed(settings.get("seed")),
        "data_path": isinstance(settings.get("data_path", 0), str | None),
    }
    for name, is_sound in sound.items():
        run_folder.require(is_sound, path, name, settings)
    widths = [settings["data_dim"], *settings["n_width"], settings["n_dim"]]
    n_weights = sum(n_in * n_out for n_in, n_out in pairwise(widths))
    run_folder.require(n_weights < run_folder.MOST_WEIGHTS, path, "n_width", settings)


def what_the_elbo_is(settings):
    """One sentence on what an ELBO of these settings bounds."""
    if settings["likelihood"] == "squared_error":
        constant = settings["data_dim"] / 2 * math.log(math.pi)
        return (
            "-(squared error + KL), not an ELBO: that of a Gaussian of variance 1/2 is "
            f"{constant:.2f} nats lower"
        )
    if settings["likelihood"] == "gaussian":
        return "a bound on the log-density of pixels in 0..1, not comparable with a Bernoulli's"
    if settings["binarization"] == "none":
        return "not a bound on a log-likelihood: grey values under a Bernoulli likelihood"
    return "a bound on the log-likelihood of binarised images"
