"""Data from a trained model: from its decoder alone, or through encoder and decoder."""

import numpy as np
import tensorflow as tf

from vae_models import reparameterize

GENERATED_BATCH = 16_384  # data points in one call; larger batches are no faster


@tf.function(reduce_retracing=True)
def draw_x(model, z, seed, mean_only):
    """x from p(x|z), or E[x|z] with `mean_only`; z (B, n_dim) -> (B, data_dim)."""
    return model.decoder_mean(z) if mean_only else model.decoder_sample(z, seed)


@tf.function(reduce_retracing=True)
def draw_z(model, x, seed):
    """z from q(z|x), x (B, data_dim) -> (B, n_dim)."""
    mean, log_std = model.encode(x)
    return reparameterize(mean, log_std, tf.random.stateless_normal(tf.shape(mean), seed))


def generate(model, n_samples, seed, mean_only=False):
    """Decoder data: z from the prior N(0, I), then x from p(x|z), or its mean with `mean_only`.

    Returns (n_samples, data_dim) float32; fewer samples of one seed are the first rows of more.
    """
    batches = []
    for k in range(-(-n_samples // GENERATED_BATCH)):
        shape = (GENERATED_BATCH, model.n_dim)
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
    for k, start in enumerate(range(0, len(x), GENERATED_BATCH)):
        batch = tf.constant(x[start : start + GENERATED_BATCH], tf.float32)
        z = draw_z(model, batch, tf.constant([seed, -1 - 2 * k]))
        yield draw_x(model, z, tf.constant([seed, -2 - 2 * k]), mean_only).numpy()
