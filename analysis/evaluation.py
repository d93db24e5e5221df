"""What a trained model is worth: the ELBO and log p(x) of rows of data, in nats.

Both are made of draws of z with the weight

    log w = log p(x|z) + log p(z) - log r(z|x),    z ~ r(z|x).

With r = q the ELBO is the mean of log w, and log p(x) the logarithm of the mean of w; for the
latter analysis/proposals.py has a better r. Rows x are in the units of the networks, as those of
data_processing.Data.
"""

import math
import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from scipy.special import expit

from analysis import sampling
from analysis.proposals import (
    Z_BATCH,
    Draws,
    Plan,
    draw,
    draw_terms,
    log_terms_of_points,
    terms_of,
)
from training.random_streams import stateless_seed, stream
from vae_models import kl_divergence

ELBO_ROWS = 4096  # rows of one draw each whose layers stay in the processor's cache
ROW_BATCH = 256  # rows in one call when each has many values of z
REPORT_ROWS = 20_000  # rows of each kind, at most, that an epoch follows and a report evaluates
FOLLOWED_Z = 1024  # draws of z for the validation rows, at least
TRAINING_DRAWS = 4  # of z for each training row of a report: enough for an ELBO
MOST_THREADS = 4  # blocks of rows at once, at most: memory must not grow with the cores
FEW_EFFECTIVE = 5  # effective draws: with fewer, log p(x) of a row is hardly known


class Evaluation(NamedTuple):
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
    return Evaluation(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def encode(model, x):
    """Mean and log_std of q(z|x) for each row of x, two float64 arrays (N, n_dim)."""
    return in_blocks(model.encode, x)


def in_blocks(network, inputs):
    """Mean and log_std of a network for each row of its inputs, in float64."""
    means, log_stds = [], []
    for first in range(0, len(inputs), Z_BATCH):
        mean, log_std = network(tf.constant(inputs[first : first + Z_BATCH], tf.float32))
        means.append(mean)
        log_stds.append(log_std)
    return np.concatenate(means, dtype=np.float64), np.concatenate(log_stds, dtype=np.float64)


def evaluate(model, x, n_samples, seed, beta=1.0, proposal=None, with_points=True):
    """ELBO and importance-sampled log-likelihood of each row of x (N, data_dim).

    n_samples: draws of z for each row. beta: that of the training. At beta 1 all draws are from
    q(z|x), else a quarter of them and the others from the tempered encoder. seed: an integer, or a
    tuple (seed, purpose, *position), see random_streams. Memory does not grow with N or n_samples
    beyond a few blocks of rows and their terms.

    proposal: what takes the place of q(z|x), mean and log_std, (N, n_dim) each: such as the
    gaps.best_gaussian of each row, which is nearer to the posterior. with_points: look for z beyond
    the reach of the draws, which only log_px needs.

    The ELBO's draws have less noise than log w: docs/report.md, (1). Returns an Evaluation.
    """
    key = seed if isinstance(seed, tuple) else (seed, "evaluate")
    plan = Plan.of(model, n_samples, beta, len(x), with_points)
    if proposal is None:
        proposal = encode(model, x)
    n_rows = max(ROW_BATCH, Z_BATCH // n_samples)

    def evaluation_of(block):
        here = slice(block * n_rows, (block + 1) * n_rows)
        q = tuple(tf.constant(part[here], tf.float32) for part in proposal)
        return evaluate_block(model, x[here], q, plan, (*key, block))

    blocks = range(math.ceil(len(x) / n_rows))
    with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count())) as pool:
        return concatenate(pool.map(evaluation_of, blocks))


@np.errstate(invalid="ignore")  # a row far from all others may have no finite ELBO
def evaluate_block(model, x, q, plan, key):
    """The Evaluation of rows that fit in memory with all their terms."""
    x = tf.constant(x, tf.float32)
    draws = draw(model, x, q, plan.n_encoder, (*key, 0), plan.power, from_tempered=False)
    terms = draws.log_px_z + plan.power * draws.log_p_over_q
    kl = np.float64(kl_divergence(*q))
    elbo = np.mean(terms, axis=0) + (plan.power - 1.0) * kl

    strata = [plan.log_terms(draws)]
    n_others = plan.n_samples - plan.n_encoder
    if n_others > 0:
        others = draw(model, x, q, n_others, (*key, plan.n_encoder), plan.power, from_tempered=True)
        strata.append(plan.log_terms(others))
    if plan.n_points > 0:
        strata.append(log_terms_of_points(model, x, q, plan, (*key, plan.n_samples)))
    log_px = tf.reduce_logsumexp(np.concatenate(strata), axis=0).numpy()
    variance = np.zeros(len(x))
    squares = np.zeros(len(x))
    for stratum in strata:
        shares = np.exp(stratum - log_px)  # of all strata together they sum to 1
        squares += np.sum(shares**2, axis=0)
        if len(shares) > 1:
            variance += len(shares) * np.var(shares, axis=0, ddof=1)
    return Evaluation(
        kl=kl,
        elbo=elbo,
        log_px=log_px,
        log_px_se=np.sqrt(variance),
        effective_samples=1.0 / squares,
    )


def missed_share(model, n_rows, n_samples, key, beta):
    """How much of p(z|x) the draws of `evaluate` never reach: (n_rows,), 0 on average if none.

    Of a pair (x, z) of the model's own joint, z from the prior and x from p(x|z), z is a draw of
    p(z|x) (Grosse et al., 2015). As one more draw it would have a share of the estimate of p(x):
    near 1 where no other draw comes close, about 1 / (effective draws) elsewhere. The latter is
    subtracted, so that the mean is about the nats that log p(x) lacks.
    """
    z = stream(*key).standard_normal((n_rows, model.n_dim)).astype(np.float32)
    x = model.decoder_sample(tf.constant(z), stateless_seed(*key, 0))
    found = evaluate(model, x.numpy(), n_samples, (*key, 1), beta)
    plan = Plan.of(model, n_samples, beta, n_rows)
    mean, log_std = model.encode(x)
    own = terms_of(model, x, tf.constant(z[np.newaxis]), mean, log_std, plan.power)
    own = Draws(*(np.float64(term) for term in own))
    of_points = own.log_px_z - np.log(max(1, plan.n_points))
    log_term = np.where(own.distance < plan.reach, plan.log_terms(own), of_points)[0]
    return expit(log_term - found.log_px) - 1.0 / (1.0 + found.effective_samples)


@tf.function(reduce_retracing=True, autograph=False)
def elbo_sums(model, x, seeds):
    """Sums of the ELBO, one draw of z each, over blocks of ELBO_ROWS rows: seeds (K, 2) -> (K,).

    One call, whose loop works on as many rows as the processor's cache holds.
    """

    def block_sum(block_and_seed):
        block, seed = block_and_seed
        rows = x[block * ELBO_ROWS : (block + 1) * ELBO_ROWS]
        draws = draw_terms(model, rows, model.encode(rows), 1, seed, 1.0, from_tempered=False)
        return tf.reduce_sum(tf.cast(draws.log_px_z + draws.log_p_over_q, tf.float64))

    blocks = tf.range(tf.shape(seeds)[0])
    return tf.map_fn(block_sum, (blocks, seeds), fn_output_signature=tf.float64)


def mean_elbo(model, x, key, n_draws=1):
    """The mean ELBO of the rows of x with n_draws of z each, a number."""
    x = np.tile(x, (n_draws, 1))
    n_blocks = math.ceil(len(x) / ELBO_ROWS)
    seeds = [stateless_seed(*key, block) for block in range(n_blocks)]
    sums = elbo_sums(model, tf.constant(x, tf.float32), tf.constant(seeds))
    return float(np.sum(sums)) / len(x)


def followed_elbo(model, data, seed, epoch):
    """The mean ELBO of the followed rows: what every epoch shows.

    data: a data_processing.Data or images.data.Images. Validation rows have the same draws of z in
    every epoch, and many where the rows are few, so that the epochs can be compared.
    """
    x = data.followed[:REPORT_ROWS]
    if data.x_validation is None:
        return mean_elbo(model, x, (seed, "epoch", epoch))
    n_draws = math.ceil(FOLLOWED_Z / len(x))
    return mean_elbo(model, x, (seed, "epoch", 0), n_draws)


def standard_error(values):
    """The standard error of the mean of independent values (N,); NaN for a single one."""
    if len(values) < 2:
        return math.nan
    return float(np.std(values, ddof=1, dtype=np.float64) / np.sqrt(len(values)))


def means(rows):
    """The mean of each entry of rows, name -> (N,), and its standard error as name_se: numbers.

    An entry that is None, for what does not apply, stays None.
    """
    report = {}
    for name, values in rows.items():
        report[name] = None if values is None else float(np.mean(values, dtype=np.float64))
        report[f"{name}_se"] = None if values is None else standard_error(values)
    return report


@np.errstate(over="ignore", invalid="ignore")  # as in evaluate_block
def rows_of_report(model, x_train, x, n_draws, seed, beta):
    """What every report has the means of, name -> (N,); and the Evaluation of the held-out x.

    x_train, x: (N, data_dim) each. n_draws: of z for each row of x. docs/report.md has the names.
    """
    train = evaluate(model, x_train, TRAINING_DRAWS, (seed, "report", 1), beta, with_points=False)
    held_out = evaluate(model, x, n_draws, (seed, "report", 2), beta)
    reconstructed = sampling.reconstruct(model, x, seed, mean_only=True)
    rows = {
        "elbo_train": train.elbo,
        "elbo_held_out": held_out.elbo,
        "rate": held_out.kl,
        "log_px_z": held_out.log_px_z,
        "distortion": np.sum((model.in_data_units(x) - reconstructed) ** 2, axis=1),
        "cost_held_out": beta * held_out.kl - held_out.log_px_z,
    }
    return rows, held_out
