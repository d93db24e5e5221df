"""What a trained model is worth: ELBO, log-likelihood, active units, and what z knows about x.

Everything is in nats. ELBO and log-likelihood are made of the same draws of z, with

    log w = log p(x|z) + log p(z) - log r(z|x),    z ~ r(z|x).

With r = q the ELBO is the mean of log w, and log p(x) the logarithm of the mean of w. The draws
for log p(x) come from a mixture of q with the tempered encoder, proportional to
q(z|x)^beta p(z)^(1 - beta): the encoder of least cost at beta is proportional to
p(z) p(x|z)^(1/beta), so this is the posterior p(z|x) of a model at its optimum, whatever beta is.
"""

import math
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from scipy.special import logsumexp

from analysis import sampling
from analysis.linear_vae import ACTIVE_UNIT_VARIANCE
from training.random_streams import stateless_seed, stream
from vae_models import kl_divergence, kl_divergence_per_dimension, reparameterize

Z_BATCH = 16_384  # values of z in one call, so that memory stays bounded
ELBO_ROWS = 4096  # rows of one draw each whose layers stay in the processor's cache
ROW_BATCH = 256  # rows in one call when each has many values of z
TRAINING_DRAWS = 16  # of z for each training row of a report: enough for an ELBO
ENCODER_SHARE = 4  # one draw in so many comes from q itself, the others are tempered
MAX_POWER = 100.0  # a larger beta tempers as this one: it would only multiply the encoder's errors
ENOUGH_EFFECTIVE = 0.5  # share of the draws of z: with less, log p(x) is marked as doubtful
AGGREGATE_ROWS = 500  # rows whose z is scored under the aggregate posterior of all rows


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


def tempered(mean, log_std, power):
    """Mean and log_std of the Gaussian proportional to q(z|x)^power p(z)^(1 - power).

    Its precision power / std^2 + 1 - power is kept at 1 or more, as that of every posterior of a
    log-concave p(x|z) is. q(z|x) = N(mean, diag(std^2)), (..., n_dim) each.
    """
    variance = tf.exp(2.0 * log_std)
    shrinkage = tf.maximum(power + (1.0 - power) * variance, variance)  # variance times precision
    return power * mean / shrinkage, log_std - 0.5 * tf.math.log(shrinkage)


@tf.function(reduce_retracing=True, autograph=False)
def draw_terms(model, x, n_samples, seed, power, from_tempered):
    """The terms of log w for draws of z from q(z|x), or from the tempered encoder.

    x: (B, data_dim). seed: two integers. Returns the KL (B,), and of each draw, (n_samples, B),
    log p(x|z), log p(z) - log q(z|x) and log p(z) - log t(z|x), t being the tempered encoder.
    """
    encoder = model.encode(x)
    proposals = encoder, tempered(*encoder, power)
    mean, log_std = proposals[from_tempered]
    shape = tf.concat([[n_samples], tf.shape(mean)], axis=0)
    epsilon = tf.random.stateless_normal(shape, seed)
    z = reparameterize(mean, log_std, epsilon)
    # The constants of two Gaussians cancel.
    log_ratios = [
        tf.reduce_sum(0.5 * (tf.square((z - m) * tf.exp(-s)) - tf.square(z)) + s, axis=-1)
        for m, s in proposals
    ]
    return kl_divergence(*encoder), model.log_px_z(x, z), *log_ratios


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
    blocks = [
        evaluate_block(model, x[i : i + n_rows], n_samples, (*key_of(seed), block), beta)
        for block, i in enumerate(range(0, len(x), n_rows))
    ]
    return Evaluation(*map(np.concatenate, zip(*blocks, strict=True)))


def key_of(seed):
    """(seed, purpose, *position) for a seed that is a number or that already."""
    return seed if isinstance(seed, tuple) else (seed, "evaluate")


def evaluate_block(model, x, n_samples, key, beta):
    """The arrays of an Evaluation for rows that fit in memory with all their terms."""
    x, power = tf.constant(x, tf.float32), min(float(beta), MAX_POWER)
    n_encoder = n_samples if beta == 1.0 else -(-n_samples // ENCODER_SHARE)
    shares = {False: n_encoder, True: n_samples - n_encoder}
    batch = max(1, Z_BATCH // len(x))
    parts = []
    for from_tempered, n_draws in shares.items():
        for first in range(0, n_draws, batch):
            number = first + from_tempered * n_encoder
            state = stateless_seed(*key, number)
            n = tf.constant(min(batch, n_draws - first))
            arguments = model, x, n, tf.constant(state), tf.constant(power, tf.float32)
            parts.append(draw_terms(*arguments, from_tempered))
    kl = np.float64(parts[0][0])
    terms = [np.concatenate(term).astype(np.float64) for term in list(zip(*parts, strict=True))[1:]]
    log_px_z, log_ratio, log_ratio_tempered = terms
    elbo = np.mean((log_px_z + power * log_ratio)[:n_encoder], axis=0) + (power - 1.0) * kl
    if n_encoder < n_samples:
        share = n_encoder / n_samples
        log_ratio = -np.logaddexp(np.log(share) - log_ratio, np.log1p(-share) - log_ratio_tempered)
    log_w = log_px_z + log_ratio
    log_sum = logsumexp(log_w, axis=0)
    w = np.exp(log_w - log_sum)  # their sum is 1
    strata = w[:n_encoder], w[n_encoder:]
    variance = sum(len(s) * np.var(s, axis=0, ddof=1) for s in strata if len(s) > 1)
    se = np.sqrt(variance) if n_samples > 1 else np.zeros(len(x))
    return kl, elbo, log_sum - np.log(n_samples), se, 1.0 / np.sum(w**2, axis=0)


@tf.function(reduce_retracing=True, autograph=False)
def elbo_sums(model, x, seeds):
    """Sums of the ELBO, one draw of z each, over blocks of ELBO_ROWS rows: seeds (K, 2) -> (K,).

    One call, whose loop works on as many rows as the processor's cache holds.
    """

    def block_sum(number_and_seed):
        k, seed = number_and_seed
        rows = x[k * ELBO_ROWS : (k + 1) * ELBO_ROWS]
        _, log_px_z, log_ratio, _ = draw_terms(model, rows, 1, seed, 1.0, False)
        return tf.reduce_sum(tf.cast(log_px_z + log_ratio, tf.float64))

    numbers = tf.range(tf.shape(seeds)[0])
    return tf.map_fn(block_sum, (numbers, seeds), fn_output_signature=tf.float64)


def mean_elbo(model, x, seed):
    """The mean ELBO of the rows of x, a number: what is followed from epoch to epoch."""
    seeds = [stateless_seed(*key_of(seed), k) for k in range(-(-len(x) // ELBO_ROWS))]
    sums = elbo_sums(model, tf.constant(x, tf.float32), tf.constant(seeds))
    return float(np.sum(sums)) / len(x)


def standard_error(values):
    """The standard error of the mean of independent values (N,); NaN for a single one."""
    if len(values) < 2:
        return math.nan
    return float(np.std(values, ddof=1, dtype=np.float64) / np.sqrt(len(values)))


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
        "distortion": np.sum((x - sampling.reconstruct(model, x, seed, True)) ** 2, axis=1),
        "cost_held_out": beta * held_out.kl - held_out.log_px_z,
    }
    return rows, held_out


def means(rows):
    """The mean of each entry of rows, name -> (N,), and its standard error as name_se: numbers."""
    report = {}
    for name, values in rows.items():
        report[name] = float(np.mean(values, dtype=np.float64))
        report[f"{name}_se"] = standard_error(values)
    return report


def encode(model, x):
    """Mean and log_std of q(z|x) for each row of x, two arrays (N, n_dim)."""
    blocks = [x[i : i + Z_BATCH] for i in range(0, len(x), Z_BATCH)]
    parts = [model.encode(tf.constant(block, tf.float32)) for block in blocks]
    return tuple(np.concatenate(side) for side in zip(*parts, strict=True))


@dataclass(frozen=True)
class LatentUnits:
    """Each unit of z over the rows of x: variance of E[z|x] and mean KL in nats, (n_dim,)."""

    variance_of_mean: np.ndarray
    kl: np.ndarray

    @property
    def active(self):
        """Which units carry information about x: var_x(E[z|x]) > 0.01, Burda et al. (2015)."""
        return self.variance_of_mean > ACTIVE_UNIT_VARIANCE

    def metrics(self):
        """The keys of a report, a dictionary of plain numbers and lists."""
        return {
            "active_units": int(self.active.sum()),
            "variance_of_mean": self.variance_of_mean.tolist(),
            "kl_of_units": self.kl.tolist(),
        }


def latent_units(model, x):
    """How much each latent unit is used on the rows of x (N, data_dim)."""
    mean, log_std = encode(model, x)
    kl = kl_divergence_per_dimension(mean, log_std).numpy().mean(axis=0, dtype=np.float64)
    return LatentUnits(mean.var(axis=0, dtype=np.float64), kl)


def latent_information(mean, log_std, seed):
    """The rate in its two parts, from the q(z|x) of N rows, mean and log_std (N, n_dim) each.

    Hoffman & Johnson (2016): rate = I(x;z) + KL[q(z) || p(z)], with the aggregate posterior
    q(z) = E_x q(z|x). Returns a dictionary of nats, each with its standard error (_se):
    mutual_information, aggregate_kl, and mutual_information_at_least, which is low in expectation.

    With g the Gaussian of the moments of q(z), KL[q(z)||p] = KL[g||p] + KL[q(z)||g]. The first
    part has a closed form, and is all for a linear encoder on Gaussian data. The second is
    estimated with z drawn from some rows, q(z) being the mean of q(z|x) over all *other* rows.
    That is low in expectation, so aggregate_kl is too and mutual_information too high: by little
    while exp(KL) is small beside N; beyond that the second part comes out negative and is taken
    as 0. The lower bound takes q(z) over all rows and is never above log N (Poole et al. 2019).
    """
    mean, log_std = np.float64(mean), np.float64(log_std)
    kl = np.sum(0.5 * (mean**2 + np.exp(2.0 * log_std) - 1.0) - log_std, axis=1)
    covariance, of_rows, bias = gaussian_aggregate_kl(mean, log_std)
    rest, at_least = aggregate_beyond_gaussian(mean, log_std, covariance, seed)
    excess = max(0.0, float(np.mean(rest)))
    n_active = max(1, np.count_nonzero(np.var(mean, axis=0) > ACTIVE_UNIT_VARIANCE))
    # The bias is half a sum of squares of n_active (n_active + 3) / 2 independent moments.
    spread = bias / math.sqrt(n_active * (n_active + 3) / 4)
    extra = math.hypot(spread, standard_error(rest) if excess > 0.0 else 0.0)
    aggregate_kl = float(np.mean(of_rows)) - bias + excess
    return {
        "mutual_information": float(np.mean(kl)) - aggregate_kl,
        "mutual_information_se": math.hypot(standard_error(kl - of_rows), extra),
        "aggregate_kl": aggregate_kl,
        "aggregate_kl_se": math.hypot(standard_error(of_rows), extra),
        **means({"mutual_information_at_least": at_least}),
    }


def gaussian_aggregate_kl(mean, log_std):
    """Covariance (n_dim, n_dim) of q(z), values (N,) whose mean is KL[g || p(z)], and its bias.

    The standard error of the values is that of the KL to first order in the moments of q(z). Their
    mean is too large in expectation, since the moments are those of N rows: to second order, by
    E[tr (P D)^2 / 4 + d' P d / 2] / N with P the precision of q(z), d and D what a row adds to mean
    and covariance.
    """
    variances, centered = np.exp(2.0 * log_std), mean - mean.mean(axis=0)
    covariance = centered.T @ centered / len(mean) + np.diag(variances.mean(axis=0))
    precision, log_det = np.linalg.inv(covariance), np.linalg.slogdet(covariance)[1]
    whitened = centered @ precision
    distance, trace = np.sum(whitened * centered, axis=1), variances @ np.diag(precision)
    values = 0.5 * (np.sum(mean**2 + variances, axis=1) - log_det - (distance + trace))
    squares = np.sum((variances @ precision**2) * variances, axis=1)
    squares += 2.0 * np.sum(whitened**2 * variances, axis=1) + distance**2
    squares += mean.shape[1] - 2.0 * (trace + distance)
    return covariance, values, float(np.mean(squares / 4.0 + distance / 2.0) / len(mean))


def aggregate_beyond_gaussian(mean, log_std, covariance, seed):
    """Two arrays over draws of z from AGGREGATE_ROWS of the N rows, spread evenly over them.

    log q(z) - log g(z) with q(z) the mean of q(z|x) over the other rows; and log q(z|x) - log q(z)
    with q(z) that over all rows.
    """
    n_rows, n_dim = mean.shape
    chosen = np.unique(np.linspace(0, n_rows - 1, min(n_rows, AGGREGATE_ROWS)).astype(int))
    noise = stream(*key_of(seed)).standard_normal((len(chosen), n_dim))
    z = mean[chosen] + np.exp(log_std[chosen]) * noise
    precisions = np.exp(-2.0 * log_std)
    constants = -np.sum(log_std + 0.5 * precisions * mean**2, axis=1)
    rest, at_least = [], []
    for first in range(0, len(z), 100):
        block, own = z[first : first + 100], chosen[first : first + 100]
        rows = np.arange(len(block))
        log_q = block @ (precisions * mean).T - 0.5 * block**2 @ precisions.T + constants
        of_own = log_q[rows, own]
        at_least.append(of_own - logsumexp(log_q, axis=1) + np.log(n_rows))
        log_q[rows, own] = -np.inf
        rest.append(logsumexp(log_q, axis=1) - np.log(max(1, n_rows - 1)))
    centered = z - mean.mean(axis=0)
    distance = np.sum(np.linalg.solve(covariance, centered.T).T * centered, axis=1)
    log_g = -0.5 * (distance + np.linalg.slogdet(covariance)[1])
    return np.concatenate(rest) - log_g, np.concatenate(at_least)
