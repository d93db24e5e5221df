"""Data from a trained model: from its decoder alone, or through encoder and decoder."""

import math

import numpy as np
import tensorflow as tf

from training.random_streams import stateless_seed
from vae_models import reparameterize

GENERATED_BATCH = 4096  # data points at once: their layers stay in the cache of the processor
BATCHES_IN_A_CALL = 16  # so that memory stays bounded


def draw_x(model, z, seed, mean_only):
    """x from p(x|z), or E[x|z] with `mean_only`; z (B, n_dim) -> (B, data_dim)."""
    return model.decoder_mean(z) if mean_only else model.decoder_sample(z, seed)


@tf.function(reduce_retracing=True, autograph=False)
def generate_batches(model, z_seeds, x_seeds, mean_only):
    """z from the prior, x from p(x|z): seeds (K, 2) each -> K batches, (K, B, data_dim)."""

    def generate_batch(seeds):
        z = tf.random.stateless_normal((GENERATED_BATCH, model.n_dim), seeds[0])
        return draw_x(model, z, seeds[1], mean_only)

    return tf.map_fn(generate_batch, (z_seeds, x_seeds), fn_output_signature=tf.float32)


@tf.function(reduce_retracing=True, autograph=False)
def reconstruct_batch(model, x, z_seed, x_seed, mean_only):
    """z from q(z|x), then x from p(x|z), (B, data_dim) -> (B, data_dim)."""
    mean, log_std = model.encode(x)
    z = reparameterize(mean, log_std, tf.random.stateless_normal(tf.shape(mean), z_seed))
    return draw_x(model, z, x_seed, mean_only)


def generated_blocks(model, n_samples, seed, mean_only=False):
    """The rows of `generate` in blocks, so that memory stays bounded."""
    n_batches = math.ceil(n_samples / GENERATED_BATCH)
    for first in range(0, n_batches, BATCHES_IN_A_CALL):
        batches = range(first, min(first + BATCHES_IN_A_CALL, n_batches))
        z_seeds = [stateless_seed(seed, "generate", k, 0) for k in batches]
        x_seeds = [stateless_seed(seed, "generate", k, 1) for k in batches]
        x = generate_batches(model, tf.constant(z_seeds), tf.constant(x_seeds), mean_only)
        rows = x.numpy().reshape(-1, model.data_dim)[: n_samples - first * GENERATED_BATCH]
        yield model.in_data_units(rows)


def generate(model, n_samples, seed, mean_only=False):
    """Decoder data: z from the prior N(0, I), then x from p(x|z), or its mean with `mean_only`.

    Returns (n_samples, data_dim) in units of the data: float32, or float64 where a standardization
    is undone. Fewer samples of one seed are the first rows of more.
    """
    return np.concatenate(list(generated_blocks(model, n_samples, seed, mean_only)))


def reconstructed_blocks(model, u, seed, mean_only=False):
    """The rows of `reconstruct` in blocks; u can be a table that gives its rows by u[a:b]."""
    for k, start in enumerate(range(0, len(u), GENERATED_BATCH)):
        block = tf.constant(u[start : start + GENERATED_BATCH], tf.float32)
        z_seed = tf.constant(stateless_seed(seed, "reconstruct", k, 0))
        x_seed = tf.constant(stateless_seed(seed, "reconstruct", k, 1))
        rows = reconstruct_batch(model, block, z_seed, x_seed, mean_only).numpy()
        yield model.in_data_units(rows)


def reconstruct(model, u, seed, mean_only=False):
    """Encoder-decoder data: z from q(z|x) of each row, then x from p(x|z) or its mean.

    Its noise is independent of that of `generate` with the same seed. u: (N, data_dim) as the
    networks see them. Returns (N, data_dim) in units of the data, as `generate` does.
    """
    return np.concatenate(list(reconstructed_blocks(model, u, seed, mean_only)))


def traverse(model, z, units, values):
    """E[x|z] in units of the data while one of the units takes the values (T,), and the others stay
    as in z (n_dim,): (n_units, T, data_dim).
    """
    points = np.tile(np.float32(z), (len(units), len(values), 1))
    for row, unit in enumerate(units):
        points[row, :, unit] = values
    return model.in_data_units(model.decoder_mean(tf.constant(points)).numpy())
