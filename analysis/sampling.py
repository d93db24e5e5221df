"""Data from a trained model: from its decoder alone, or through encoder and decoder."""

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


def seeds(seed, purpose, first, last):
    """The seeds of z and of x for blocks first to last - 1, (last - first, 2) each."""
    return [
        tf.constant([stateless_seed(seed, purpose, k, of_x) for k in range(first, last)])
        for of_x in (0, 1)
    ]


def generate(model, n_samples, seed, mean_only=False):
    """Decoder data: z from the prior N(0, I), then x from p(x|z), or its mean with `mean_only`.

    Returns (n_samples, data_dim) float32; fewer samples of one seed are the first rows of more.
    """
    n_blocks = -(-n_samples // GENERATED_BATCH)
    x = np.empty((n_blocks, GENERATED_BATCH, model.data_dim), np.float32)
    for first in range(0, n_blocks, BATCHES_IN_A_CALL):
        last = min(first + BATCHES_IN_A_CALL, n_blocks)
        x[first:last] = generate_batches(model, *seeds(seed, "generate", first, last), mean_only)
    return model.in_data_units(x.reshape(-1, model.data_dim)[:n_samples])


def reconstruct(model, x, seed, mean_only=False):
    """Encoder-decoder data: z from q(z|x) of each row of x, then x from p(x|z) or its mean.

    Its noise is independent of that of `generate` with the same seed. x: (N, data_dim).
    Returns (N, data_dim) float32.
    """
    return np.concatenate(list(reconstructed_blocks(model, x, seed, mean_only)))


def reconstructed_blocks(model, x, seed, mean_only=False):
    """The rows of `reconstruct` in blocks; x can be a table that gives its rows by x[a:b]."""
    for k, start in enumerate(range(0, len(x), GENERATED_BATCH)):
        block = tf.constant(x[start : start + GENERATED_BATCH], tf.float32)
        (z_seed,), (x_seed,) = seeds(seed, "reconstruct", k, k + 1)
        rows = reconstruct_batch(model, block, z_seed, x_seed, mean_only).numpy()
        yield model.in_data_units(rows)
