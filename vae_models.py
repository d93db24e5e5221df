"""What a VAE computes: q(z|x), p(x|z), the two terms of the ELBO and the cost made of them.

Words: x data, z latent, log_std = log(std); every term is in nats, summed over dimensions. The
cost's mean over data points is taken in `cost_function`.
"""

import io
import math
import warnings
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import run_files
from table_files import InputError
from vae_layers import Decoder, Encoder

LOG_2_PI = math.log(2.0 * math.pi)
GENERATED_AT_ONCE = 16_384  # data points in one call; larger batches are no faster
WEIGHT_NAMES = {"kernel": "W", "bias": "b"}


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

    def write_weights(self, folder):
        """Write every weight as text that numpy.loadtxt reads, exact to the last bit of float32."""
        for name, values in weights_for_data(self).items():
            with run_files.written_whole(Path(folder) / name) as path:
                np.savetxt(path, values, fmt="%.9g")

    def read_weights(self, folder):
        """Read what write_weights wrote. InputError: a file is missing, damaged or misshaped."""
        files = weight_files(self)
        values = [load_weight(Path(folder) / name, tuple(w.shape)) for name, w in files.items()]
        for weight, value in zip(files.values(), values, strict=True):
            weight.assign(value)


@tf.function(reduce_retracing=True)
def draw_x(model, z, seed, mean_only):
    """x from p(x|z), or E[x|z] with `mean_only`; z (B, n_dim) -> (B, data_dim)."""
    return model.decoder_mean(z) if mean_only else model.decoder_sample(z, seed)


@tf.function(reduce_retracing=True)
def draw_z(model, x, seed):
    """z from q(z|x), x (B, data_dim) -> (B, n_dim)."""
    mean, log_std = model.encode(x)
    return reparameterise(mean, log_std, tf.random.stateless_normal(tf.shape(mean), seed))


def generate(model, n_samples, seed, mean_only=False):
    """Decoder data: z from the prior N(0, I), then x from p(x|z), or its mean with `mean_only`.

    Returns (n_samples, data_dim) float32; fewer samples of one seed are the first rows of more.
    """
    batches = []
    for k in range(-(-n_samples // GENERATED_AT_ONCE)):
        shape = (GENERATED_AT_ONCE, model.n_dim)
        z = tf.random.stateless_normal(shape, tf.constant([seed, 2 * k]))
        batches.append(draw_x(model, z, tf.constant([seed, 2 * k + 1]), mean_only).numpy())
    return np.concatenate(batches)[:n_samples]


def reconstruct(model, x, seed, mean_only=False):
    """Encoder-decoder data: z from q(z|x) of each row of x, then x from p(x|z) or its mean.

    Its noise is independent of that of `generate` with the same seed. x: (N, data_dim).
    Returns (N, data_dim) float32.
    """
    return np.concatenate(list(reconstructed_blocks(model, x, seed, mean_only)))


def reconstructed_blocks(model, x, seed, mean_only=False):
    """The rows of `reconstruct` in blocks; x can be a table that gives its rows by x[a:b]."""
    for k, start in enumerate(range(0, len(x), GENERATED_AT_ONCE)):
        batch = tf.constant(x[start : start + GENERATED_AT_ONCE], tf.float32)
        z = draw_z(model, batch, tf.constant([seed, -1 - 2 * k]))
        yield draw_x(model, z, tf.constant([seed, -2 - 2 * k]), mean_only).numpy()


def weight_files(model):
    """The weights under their file names: Encoder_W1.dat, Encoder_b1.dat ... Decoder_b6.dat.

    The number counts the dense layers from the data through z back to the data. The weights of a
    batch normalisation carry the number of the dense layer they follow.
    """
    files = {}
    number = 0
    for name, part in [("Encoder", model.encoder), ("Decoder", model.decoder)]:
        for layer in part.network.layers:
            number += isinstance(layer, keras.layers.Dense)
            for weight in layer.weights:
                short_name = WEIGHT_NAMES.get(weight.name, weight.name)
                files[f"{name}_{short_name}{number}.dat"] = weight
    return files


def weights_for_data(model):
    """The weights under their file names, float32, the standardization worked into them.

    A model without standardization computes with them, on rows as they are, what `model` does:
    the first layer takes x instead of (x - x_mean) / x_std, the last one gives x_mean + x_std *
    mean and log_std + log(x_std).
    """
    values = {name: weight.numpy() for name, weight in weight_files(model).items()}
    if np.ndim(model.x_std):
        *_, head_W, head_b = values  # the decoder's last layer
        first_W = values["Encoder_W1.dat"] / model.x_std[:, np.newaxis]
        values["Encoder_W1.dat"] = first_W
        values["Encoder_b1.dat"] = values["Encoder_b1.dat"] - model.x_mean @ first_W
        stretch = np.concatenate([model.x_std, np.ones(model.data_dim)])
        shift = np.concatenate([model.x_mean, np.log(model.x_std)])
        values[head_W] = values[head_W] * stretch
        values[head_b] = values[head_b] * stretch + shift
    return {name: np.float32(value) for name, value in values.items()}


def load_weight(path, shape):
    """One array of the given shape (1-D or 2-D), float32, from a text file.

    InputError: it is missing, damaged, of another shape, or not finite.
    """
    try:
        text = Path(path).read_text()
        if not text.endswith("\n"):
            raise InputError(f"{path}: ends within a line; it is not complete")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an empty file
            values = np.loadtxt(io.StringIO(text), dtype=np.float64, ndmin=2)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; the folder holds no finished run") from None
    except InputError:
        raise
    except (ValueError, OSError) as error:
        raise InputError(
            f"{path}: not a text file of numbers ({' '.join(str(error).split())})"
        ) from None
    expected = shape if len(shape) == 2 else (shape[0], 1)
    if values.shape != expected:
        raise InputError(
            f"{path}: has shape {values.shape}, config.json says that it is {expected}"
        )
    with np.errstate(over="ignore"):
        values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise InputError(f"{path}: holds NaN, infinity or a number too large for float32")
    return values.reshape(shape)


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


def load_model(model_dir):
    """The trained model of a run folder, from its config.json and weight files.

    Returns the model and the settings (a dictionary). InputError: the folder holds no finished
    run, or a file in it is damaged.
    """
    settings = run_files.read_settings(model_dir)
    model = make_model(settings)
    model.read_weights(model_dir)
    return model, settings
