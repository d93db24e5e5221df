"""What a trained model is worth: the ELBO and log p(x) of rows of data, in nats.

Both are made of draws of z with the weight

    log w = log p(x|z) + log p(z) - log r(z|x),    z ~ r(z|x).

With r = q the ELBO is the mean of log w, and log p(x) the logarithm of the mean of w. The draws
for log p(x) come from a mixture of q with the tempered encoder, proportional to
q(z|x)^beta p(z)^(1 - beta): the encoder of least cost at beta is proportional to
p(z) p(x|z)^(1/beta), so this is the posterior p(z|x) of a model at its optimum, whatever beta is.

Rows x are in the units of the networks, as those of data_processing.Data.
"""

import math
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from scipy.special import logsumexp

from analysis import sampling
from training.random_streams import stateless_seed
from vae_models import kl_divergence, reparameterize

Z_BATCH = 16_384  # values of z in one call, so that memory stays bounded
ELBO_ROWS = 4096  # rows of one draw each whose layers stay in the processor's cache
ROW_BATCH = 256  # rows in one call when each has many values of z
TRAINING_DRAWS = 16  # of z for each training row of a report: enough for an ELBO
ENCODER_SHARE = 0.25  # of the draws come from q itself, the others are tempered
MAX_POWER = 100.0  # a larger beta tempers as this one: it would only multiply the encoder's errors
ENOUGH_EFFECTIVE = 0.5  # share of the draws of z: with less, log p(x) is marked as doubtful


@dataclass(frozen=True)
class Evaluation:
    """Estimates for each row of x, arrays (N,) in nats.

    kl: D_KL[q(z|x) || p(z)], closed form. elbo: unbiased, from the draws of q.
    log_px: importance-sampled log p(x), Burda et al. (2015), Eq. (8): in expectation a lower bound.
    log_px_se: its standard error over the draws of z (delta method).
    effective_samples: (sum w)^2 / sum w^2 of the draws of z.
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

    @property
    def log_px_corrected(self):
        """log_px without its bias of -log_px_se^2 / 2, the leading one where draws are many."""
        return self.log_px + 0.5 * self.log_px_se**2


def concatenate(parts):
    """The Evaluation of all rows, from those of consecutive blocks of them."""
    arrays = {}
    for field in fields(Evaluation):
        arrays[field.name] = np.concatenate([getattr(part, field.name) for part in parts])
    return Evaluation(**arrays)


def encode(model, x):
    """Mean and log_std of q(z|x) for each row of x, two arrays (N, n_dim)."""
    means, log_stds = [], []
    for first in range(0, len(x), Z_BATCH):
        mean, log_std = model.encode(tf.constant(x[first : first + Z_BATCH], tf.float32))
        means.append(mean)
        log_stds.append(log_std)
    return np.concatenate(means), np.concatenate(log_stds)


def tempered(mean, log_std, power):
    """Mean and log_std of the Gaussian proportional to q(z|x)^power p(z)^(1 - power).

    Its precision power / std^2 + 1 - power is kept at 1 or more, as that of every posterior of a
    log-concave p(x|z) is. q(z|x) = N(mean, diag(std^2)), (..., n_dim) each.
    """
    variance = tf.exp(2.0 * log_std)
    shrinkage = tf.maximum(power + (1.0 - power) * variance, variance)  # variance times precision
    return power * mean / shrinkage, log_std - 0.5 * tf.math.log(shrinkage)


def log_ratio(z, mean, log_std):
    """log p(z) - log N(z; mean, diag(std^2)), (..., n_dim) -> (...); the constants cancel."""
    squares = tf.square((z - mean) * tf.exp(-log_std)) - tf.square(z)
    return tf.reduce_sum(0.5 * squares + log_std, axis=-1)


class Draws(NamedTuple):
    """The terms of log w: kl (B,) and, for each draw of z, (n_draws, B) each.

    log_px_z: log p(x|z). log_p_over_q, log_p_over_t: log p(z) less the log-density of the encoder
    and of the tempered encoder.
    """

    kl: np.ndarray
    log_px_z: np.ndarray
    log_p_over_q: np.ndarray
    log_p_over_t: np.ndarray


@tf.function(reduce_retracing=True, autograph=False)
def draw_terms(model, x, n_draws, seed, power, from_tempered):
    """The Draws of z from q(z|x), or from the tempered encoder; x: (B, data_dim).

    seed: two integers.
    """
    mean, log_std = model.encode(x)
    t_mean, t_log_std = tempered(mean, log_std, power)
    epsilon = tf.random.stateless_normal(tf.concat([[n_draws], tf.shape(mean)], axis=0), seed)
    if from_tempered:
        z = reparameterize(t_mean, t_log_std, epsilon)
    else:
        z = reparameterize(mean, log_std, epsilon)
    return Draws(
        kl=kl_divergence(mean, log_std),
        log_px_z=model.log_px_z(x, z),
        log_p_over_q=log_ratio(z, mean, log_std),
        log_p_over_t=log_ratio(z, t_mean, t_log_std),
    )


def draw(model, x, n_draws, key, power, from_tempered):
    """draw_terms in calls of about Z_BATCH values of z, in float64; key: of a random stream."""
    *key, number = key
    batch = max(1, Z_BATCH // len(x))
    parts = []
    for first in range(0, n_draws, batch):
        n = tf.constant(min(batch, n_draws - first))
        seed = tf.constant(stateless_seed(*key, number + first))
        parts.append(draw_terms(model, x, n, seed, tf.constant(power, tf.float32), from_tempered))
    return Draws(
        kl=np.float64(parts[0].kl),
        log_px_z=np.concatenate([part.log_px_z for part in parts], dtype=np.float64),
        log_p_over_q=np.concatenate([part.log_p_over_q for part in parts], dtype=np.float64),
        log_p_over_t=np.concatenate([part.log_p_over_t for part in parts], dtype=np.float64),
    )


def evaluate(model, x, n_samples, seed, beta=1.0):
    """ELBO and importance-sampled log-likelihood of each row of x (N, data_dim).

    n_samples: draws of z for each row. beta: that of the training. At beta 1 all draws are from
    q(z|x), else a quarter of them and the others from the tempered encoder. seed: an integer, or a
    tuple (seed, purpose, *position), see random_streams. Memory does not grow with N or n_samples
    beyond one block of rows and its terms.

    The ELBO is E_q[log w] with r = q. Since log p(x|z) + beta (log p(z) - log q(z|x)) does not
    depend on z at a linear optimum, that is what the draws are averaged over; the rest,
    (beta - 1) KL, has a closed form. So the cost beta * kl - log_px_z is exact at such an optimum.
    Returns an Evaluation.
    """
    n_rows = max(ROW_BATCH, Z_BATCH // n_samples)
    blocks = []
    for block, first in enumerate(range(0, len(x), n_rows)):
        key = (*key_of(seed), block)
        blocks.append(evaluate_block(model, x[first : first + n_rows], n_samples, key, beta))
    return concatenate(blocks)


def key_of(seed):
    """(seed, purpose, *position) for a seed that is a number or that already."""
    return seed if isinstance(seed, tuple) else (seed, "evaluate")


def evaluate_block(model, x, n_samples, key, beta):
    """The Evaluation of rows that fit in memory with all their terms."""
    x = tf.constant(x, tf.float32)
    power = min(float(beta), MAX_POWER)
    n_encoder = n_samples if beta == 1.0 else math.ceil(n_samples * ENCODER_SHARE)
    share = n_encoder / n_samples

    draws = draw(model, x, n_encoder, (*key, 0), power, from_tempered=False)
    terms = draws.log_px_z + power * draws.log_p_over_q
    elbo = np.mean(terms, axis=0) + (power - 1.0) * draws.kl
    if share == 1.0:
        strata = [draws.log_px_z + draws.log_p_over_q]
    else:
        others = draw(model, x, n_samples - n_encoder, (*key, n_encoder), power, from_tempered=True)
        strata = [log_weights(draws, share), log_weights(others, share)]

    log_w = np.concatenate(strata)
    log_sum = logsumexp(log_w, axis=0)
    variance = np.zeros(len(x))
    for stratum in strata:
        if len(stratum) > 1:
            w = np.exp(stratum - log_sum)  # the sum of all is 1
            variance += len(w) * np.var(w, axis=0, ddof=1)
    return Evaluation(
        kl=draws.kl,
        elbo=elbo,
        log_px=log_sum - np.log(n_samples),
        log_px_se=np.sqrt(variance),
        effective_samples=np.exp(-logsumexp(2.0 * (log_w - log_sum), axis=0)),
    )


def log_weights(draws, share):
    """log w of draws from the mixture of q(z|x), with this share, and the tempered encoder."""
    q_over_p = np.log(share) - draws.log_p_over_q
    t_over_p = np.log1p(-share) - draws.log_p_over_t
    return draws.log_px_z - np.logaddexp(q_over_p, t_over_p)


@tf.function(reduce_retracing=True, autograph=False)
def elbo_sums(model, x, seeds):
    """Sums of the ELBO, one draw of z each, over blocks of ELBO_ROWS rows: seeds (K, 2) -> (K,).

    One call, whose loop works on as many rows as the processor's cache holds.
    """

    def block_sum(block_and_seed):
        block, seed = block_and_seed
        rows = x[block * ELBO_ROWS : (block + 1) * ELBO_ROWS]
        draws = draw_terms(model, rows, 1, seed, 1.0, from_tempered=False)
        return tf.reduce_sum(tf.cast(draws.log_px_z + draws.log_p_over_q, tf.float64))

    blocks = tf.range(tf.shape(seeds)[0])
    return tf.map_fn(block_sum, (blocks, seeds), fn_output_signature=tf.float64)


def mean_elbo(model, x, seed):
    """The mean ELBO of the rows of x with one draw of z each, a number."""
    n_blocks = math.ceil(len(x) / ELBO_ROWS)
    seeds = [stateless_seed(*key_of(seed), block) for block in range(n_blocks)]
    sums = elbo_sums(model, tf.constant(x, tf.float32), tf.constant(seeds))
    return float(np.sum(sums)) / len(x)


def standard_error(values):
    """The standard error of the mean of independent values (N,); NaN for a single one."""
    if len(values) < 2:
        return math.nan
    return float(np.std(values, ddof=1, dtype=np.float64) / np.sqrt(len(values)))


def means(rows):
    """The mean of each entry of rows, name -> (N,), and its standard error as name_se: numbers."""
    report = {}
    for name, values in rows.items():
        report[name] = float(np.mean(values, dtype=np.float64))
        report[f"{name}_se"] = standard_error(values)
    return report


def rows_of_report(model, x_train, x, n_draws, seed, beta):
    """What every report has the means of, name -> (N,); and the Evaluation of the held-out x.

    x_train, x: (N, data_dim) each. n_draws: of z for each row of x. docs/report.md has the names.
    """
    train = evaluate(model, x_train, TRAINING_DRAWS, (seed, "report", 1), beta)
    held_out = evaluate(model, x, n_draws, (seed, "report", 2), beta)
    rows = {
        "elbo_train": train.elbo,
        "elbo_held_out": held_out.elbo,
        "rate": held_out.kl,
        "log_px_z": held_out.log_px_z,
        "distortion": np.sum(
            (model.in_data_units(x) - sampling.reconstruct(model, x, seed, True)) ** 2, axis=1
        ),
        "cost_held_out": beta * held_out.kl - held_out.log_px_z,
    }
    return rows, held_out
