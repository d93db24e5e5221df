"""What a trained model is worth: held-out ELBO, log-likelihood, active units, sample comparison.

All figures are in nats. One pass over the data gives the ELBO and the importance-sampled
log-likelihood, because both are made of the same log-weights

    log w = log p(x|z) + log p(z) - log q(z|x),    z ~ q(z|x):

the ELBO is their mean (and the closer q(z|x) is to p(z|x), the less they scatter), log p(x) the
logarithm of the mean of w.
"""

import math
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from scipy.special import logsumexp

from vae_models import kl_divergence, kl_divergence_per_dimension, reparameterize

Z_AT_ONCE = 16_384  # values of z in one call, so that memory stays bounded
ROWS_AT_ONCE = 256  # rows in one call when each has many values of z
ACTIVE_UNIT_VARIANCE = 0.01  # Burda et al. (2015), Section 5.2


@dataclass(frozen=True)
class Evaluation:
    """Figures of each row of x, arrays (N,) in nats.

    kl: D_KL[q(z|x) || p(z)], closed form. elbo: mean of log w over the samples of z.
    log_px: importance-sampled log p(x), Burda et al. (2015), Eq. (8), with its standard error
    log_px_se (delta method). effective_samples: (sum w)^2 / sum w^2 of the samples of z.
    """

    kl: np.ndarray
    elbo: np.ndarray
    log_px: np.ndarray
    log_px_se: np.ndarray
    effective_samples: np.ndarray

    @property
    def log_px_z(self):
        """E_q[log p(x|z)] of each row, so that elbo = log_px_z - kl."""
        return self.elbo + self.kl


@tf.function(reduce_retracing=True)
def log_weights(model, x, n_samples, seed):
    """KL (B,) and log w (n_samples, B) of the rows of x (B, data_dim); seed: two integers."""
    mean, log_std = model.encode(x)
    shape = tf.concat([[n_samples], tf.shape(mean)], axis=0)
    epsilon = tf.random.stateless_normal(shape, seed)
    z = reparameterize(mean, log_std, epsilon)
    # log p(z) - log q(z|x); the constants of the two Gaussians cancel.
    log_ratio = tf.reduce_sum(0.5 * (tf.square(epsilon) - tf.square(z)) + log_std, axis=-1)
    return kl_divergence(mean, log_std), model.log_px_z(x, z) + log_ratio


def evaluate(model, x, n_samples, seed):
    """ELBO and importance-sampled log-likelihood of each row of x (N, data_dim).

    n_samples: draws of z from q(z|x) for each row. seed: a tuple of integers. Memory does not grow
    with N or n_samples beyond one block of rows and its log-weights. Returns an Evaluation.
    """
    n_rows = Z_AT_ONCE if n_samples == 1 else max(ROWS_AT_ONCE, Z_AT_ONCE // n_samples)
    blocks = [
        evaluate_block(model, x[i : i + n_rows], n_samples, (*seed, block))
        for block, i in enumerate(range(0, len(x), n_rows))
    ]
    return Evaluation(*map(np.concatenate, zip(*blocks, strict=True)))


def evaluate_block(model, x, n_samples, seed):
    """The arrays of an Evaluation for rows that fit in memory with all their log-weights."""
    x = tf.constant(x, tf.float32)
    at_once = max(1, Z_AT_ONCE // len(x))
    log_w = []
    for first in range(0, n_samples, at_once):
        n = tf.constant(min(at_once, n_samples - first))
        part_seed = np.random.SeedSequence([*seed, first]).generate_state(2).view(np.int32)
        kl, part = log_weights(model, x, n, tf.constant(part_seed))
        log_w.append(part.numpy())
    log_w = np.concatenate(log_w).astype(np.float64)
    log_sum = logsumexp(log_w, axis=0)
    effective = np.exp(2.0 * log_sum - logsumexp(2.0 * log_w, axis=0))
    # The relative variance of the mean of w is 1 / effective - 1 / n_samples.
    se = np.sqrt(np.maximum(0.0, 1.0 / effective - 1.0 / n_samples))
    return kl.numpy(), log_w.mean(axis=0), log_sum - np.log(n_samples), se, effective


def mean_elbo(model, x, seed):
    """The mean ELBO of the rows of x, a number: what is followed from epoch to epoch."""
    return evaluate(model, x, 1, seed).elbo.mean()


def standard_error(values):
    """The standard error of the mean of independent values (N,); NaN for a single one."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else math.nan


def encode(model, x):
    """Mean and log_std of q(z|x) for each row of x, two arrays (N, n_dim)."""
    blocks = [x[i : i + Z_AT_ONCE] for i in range(0, len(x), Z_AT_ONCE)]
    parts = [model.encode(tf.constant(block, tf.float32)) for block in blocks]
    return tuple(np.concatenate(side) for side in zip(*parts, strict=True))


@dataclass(frozen=True)
class LatentUnits:
    """Each unit of z over the rows of x: variance of E[z|x] and mean KL in nats, (n_dim,)."""

    variance_of_mean: np.ndarray
    kl: np.ndarray

    @property
    def active(self):
        """Which units carry information on x: var_x(E[z|x]) > 0.01, Burda et al. (2015)."""
        return self.variance_of_mean > ACTIVE_UNIT_VARIANCE

    def figures(self):
        """The keys of a report, a dictionary of plain numbers and lists."""
        return {
            "active_units": int(self.active.sum()),
            "variance_of_mean": self.variance_of_mean.tolist(),
            "kl_of_units": self.kl.tolist(),
        }


def latent_units(model, x):
    """How much each latent unit is used on the rows of x (N, data_dim)."""
    mean, log_std = encode(model, x)
    kl = kl_divergence_per_dimension(mean, log_std).numpy().mean(axis=0)
    return LatentUnits(mean.var(axis=0), kl)
