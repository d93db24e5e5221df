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
import scipy.optimize
import tensorflow as tf
from scipy.special import chdtri, expit, logsumexp, ndtri

from analysis import sampling
from training.random_streams import stateless_seed, stream
from vae_layers import Decoder
from vae_models import kl_divergence, reparameterize

Z_BATCH = 16_384  # values of z in one call at most, so that memory stays bounded
X_NUMBERS = 2**22  # numbers of x that belong to them
ELBO_ROWS = 4096  # rows of one draw each whose layers stay in the processor's cache
ROW_BATCH = 256  # rows in one call when each has many values of z
TRAINING_DRAWS = 16  # of z for each training row of a report: enough for an ELBO
ENCODER_SHARE = 0.25  # of the draws come from q itself, the others are tempered
POINTS = 1024  # of the prior, with up to POINTS_DIM latent dimensions
POINTS_DIM = 3
BEYOND_REACH = 1e-5  # share of the draws of a Gaussian that lies farther out than they count
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


def tempered(mean, log_std, power):
    """Mean and log_std of the Gaussian proportional to q(z|x)^power p(z)^(1 - power).

    Its precision power / std^2 + 1 - power is kept at 1 or more, as that of every posterior of a
    log-concave p(x|z) is. q(z|x) = N(mean, diag(std^2)), (..., n_dim) each.
    """
    variance = tf.exp(2.0 * log_std)
    shrinkage = tf.maximum(power + (1.0 - power) * variance, variance)  # variance times precision
    return power * mean / shrinkage, log_std - 0.5 * tf.math.log(shrinkage)


class Draws(NamedTuple):
    """The terms of log w: kl (B,) and, for each draw of z, (n_draws, B) each.

    log_px_z: log p(x|z). log_p_over_q, log_p_over_t: log p(z) less the log-density of the encoder
    and of the tempered encoder. distance: of z from the nearer of the two, squared, in their stds.
    """

    kl: np.ndarray
    log_px_z: np.ndarray
    log_p_over_q: np.ndarray
    log_p_over_t: np.ndarray
    distance: np.ndarray


def terms_of(model, x, z, mean, log_std, power):
    """The Draws of these z (n_draws, B, n_dim); x (B, data_dim), mean and log_std: of q(z|x)."""
    t_mean, t_log_std = tempered(mean, log_std, power)
    from_q = tf.square((z - mean) * tf.exp(-log_std))
    from_t = tf.square((z - t_mean) * tf.exp(-t_log_std))
    return Draws(
        kl=kl_divergence(mean, log_std),
        log_px_z=model.log_px_z(x, z),
        # The constants of two Gaussians cancel.
        log_p_over_q=tf.reduce_sum(0.5 * (from_q - tf.square(z)) + log_std, axis=-1),
        log_p_over_t=tf.reduce_sum(0.5 * (from_t - tf.square(z)) + t_log_std, axis=-1),
        distance=tf.minimum(tf.reduce_sum(from_q, axis=-1), tf.reduce_sum(from_t, axis=-1)),
    )


@tf.function(reduce_retracing=True, autograph=False)
def draw_terms(model, x, q, n_draws, seed, power, from_tempered):
    """The Draws of z from q(z|x), or from the tempered encoder; x: (B, data_dim).

    q: mean and log_std of q(z|x), (B, n_dim) each. seed: two integers.
    """
    mean, log_std = q
    epsilon = tf.random.stateless_normal(tf.concat([[n_draws], tf.shape(mean)], axis=0), seed)
    if from_tempered:
        z = reparameterize(*tempered(mean, log_std, power), epsilon)
    else:
        z = reparameterize(mean, log_std, epsilon)
    return terms_of(model, x, z, mean, log_std, power)


def draw(model, x, q, n_draws, key, power, from_tempered):
    """draw_terms in calls of bounded memory, in float64; key: of a random stream."""
    *key, first_number = key
    batch = max(1, z_batch(model) // len(x))
    parts = []
    for first in range(0, n_draws, batch):
        n = tf.constant(min(batch, n_draws - first))
        seed = tf.constant(stateless_seed(*key, first_number + first))
        power_of_call = tf.constant(power, tf.float32)
        parts.append(draw_terms(model, x, q, n, seed, power_of_call, from_tempered))

    def joined(name):
        return np.concatenate([getattr(part, name) for part in parts], dtype=np.float64)

    return Draws(
        kl=np.float64(parts[0].kl),
        log_px_z=joined("log_px_z"),
        log_p_over_q=joined("log_p_over_q"),
        log_p_over_t=joined("log_p_over_t"),
        distance=joined("distance"),
    )


def z_batch(model):
    """Values of z in one call, fewer where x is wide."""
    return min(Z_BATCH, max(256, X_NUMBERS // model.data_dim))


@dataclass(frozen=True)
class Plan:
    """How log p(x) is estimated: n_encoder of the n_samples draws of z come from q(z|x) itself.

    power: the others come from the encoder tempered by it. reach: draws of a larger `distance` do
    not count, since the points of the prior cover what lies there.
    """

    power: float
    n_encoder: int
    n_samples: int
    reach: float

    @classmethod
    def of(cls, model, n_samples, beta):
        few_dimensions = model.n_dim <= POINTS_DIM and isinstance(model.decoder, Decoder)
        return cls(
            power=min(float(beta), MAX_POWER),
            n_encoder=n_samples if beta == 1.0 else math.ceil(n_samples * ENCODER_SHARE),
            n_samples=n_samples,
            reach=chdtri(model.n_dim, BEYOND_REACH) if few_dimensions else math.inf,
        )

    def log_terms(self, draws):
        """The logarithm of what each draw adds to the estimate of p(x), (n_draws, B)."""
        share = self.n_encoder / self.n_samples
        log_proposal = np.log(share) - draws.log_p_over_q
        if share < 1.0:
            log_proposal = np.logaddexp(log_proposal, np.log1p(-share) - draws.log_p_over_t)
        log_w = draws.log_px_z - log_proposal
        return np.where(draws.distance < self.reach, log_w, -np.inf) - np.log(self.n_samples)


def log_terms_of_points(model, x, q, plan, key):
    """The logarithm of what points of the prior beyond the reach of the draws add, (POINTS, B).

    The points are evenly spread, each as likely as any other (the fractions of k times powers of a
    generalized golden ratio), and shifted at random: z may lie where the encoder never looks.
    """
    root = scipy.optimize.brentq(lambda g: g ** (model.n_dim + 1) - g - 1.0, 1.0, 2.0)
    steps = np.arange(POINTS)[:, np.newaxis] * root ** -np.arange(1.0, model.n_dim + 1)
    z = ndtri((steps + stream(*key).random(model.n_dim)) % 1.0)
    mean, log_std = in_blocks(model.decode, z)
    center = mean.mean(axis=0)
    log_px_z = log_normal(np.float64(x) - center, mean - center, log_std)
    if model.standardization is not None:
        log_px_z -= model.standardization.log_scale
    q_mean, q_log_std = (np.float64(part) for part in q)
    t_mean, t_log_std = (part.numpy() for part in tempered(q_mean, q_log_std, plan.power))
    from_q = squared_distances(z, q_mean, q_log_std)
    from_t = squared_distances(z, t_mean, t_log_std)
    beyond = np.minimum(from_q, from_t) >= plan.reach
    return np.where(beyond, log_px_z.T, -np.inf) - np.log(POINTS)


def squared_distances(x, mean, log_std):
    """sum_j ((x_j - mean_j) / std_j)^2 of every x (N, d) from every mean (K, d), (N, K)."""
    precision = np.exp(-2.0 * log_std)
    squares = x**2 @ precision.T - 2.0 * x @ (mean * precision).T
    return squares + np.sum(mean**2 * precision, axis=1)


def log_normal(x, mean, log_std):
    """log N(x; mean, diag(std^2)) of every x (N, d) for every mean (K, d), (N, K)."""
    log_normalizer = np.sum(log_std + 0.5 * np.log(2.0 * np.pi), axis=1)
    return -0.5 * squared_distances(x, mean, log_std) - log_normalizer


def evaluate(model, x, n_samples, seed, beta=1.0, proposal=None):
    """ELBO and importance-sampled log-likelihood of each row of x (N, data_dim).

    n_samples: draws of z for each row. beta: that of the training. At beta 1 all draws are from
    q(z|x), else a quarter of them and the others from the tempered encoder. seed: an integer, or a
    tuple (seed, purpose, *position), see random_streams. Memory does not grow with N or n_samples
    beyond one block of rows and its terms.

    proposal: what takes the place of q(z|x), mean and log_std, (N, n_dim) each: such as the
    gaps.best_gaussian of each row, which is nearer to the posterior.

    The ELBO is E_q[log w] with r = q. Since log p(x|z) + beta (log p(z) - log q(z|x)) does not
    depend on z at a linear optimum, that is what the draws are averaged over; the rest,
    (beta - 1) KL, has a closed form. So the cost beta * kl - log_px_z is exact at such an optimum.
    Returns an Evaluation.
    """
    n_rows = max(ROW_BATCH, Z_BATCH // n_samples)
    blocks = []
    for block, first in enumerate(range(0, len(x), n_rows)):
        here = slice(first, first + n_rows)
        q = model.encode(tf.constant(x[here], tf.float32))
        if proposal is not None:
            q = tuple(tf.constant(part[here], tf.float32) for part in proposal)
        key = (*key_of(seed), block)
        blocks.append(evaluate_block(model, x[here], q, n_samples, key, beta))
    return concatenate(blocks)


def key_of(seed):
    """(seed, purpose, *position) for a seed that is a number or that already."""
    return seed if isinstance(seed, tuple) else (seed, "evaluate")


def evaluate_block(model, x, q, n_samples, key, beta):
    """The Evaluation of rows that fit in memory with all their terms."""
    x = tf.constant(x, tf.float32)
    plan = Plan.of(model, n_samples, beta)
    draws = draw(model, x, q, plan.n_encoder, (*key, 0), plan.power, from_tempered=False)
    terms = draws.log_px_z + plan.power * draws.log_p_over_q
    elbo = np.mean(terms, axis=0) + (plan.power - 1.0) * draws.kl

    strata = [plan.log_terms(draws)]
    n_others = n_samples - plan.n_encoder
    if n_others > 0:
        others = draw(model, x, q, n_others, (*key, plan.n_encoder), plan.power, from_tempered=True)
        strata.append(plan.log_terms(others))
    if np.isfinite(plan.reach):
        strata.append(log_terms_of_points(model, x, q, plan, (*key, n_samples)))
    log_px = logsumexp(np.concatenate(strata), axis=0)
    variance = np.zeros(len(x))
    squares = np.zeros(len(x))
    for stratum in strata:
        shares = np.exp(stratum - log_px)  # of all strata together they sum to 1
        squares += np.sum(shares**2, axis=0)
        if len(shares) > 1:
            variance += len(shares) * np.var(shares, axis=0, ddof=1)
    return Evaluation(
        kl=draws.kl,
        elbo=elbo,
        log_px=log_px,
        log_px_se=np.sqrt(variance),
        effective_samples=1.0 / squares,
    )


def missed_share(model, n_rows, n_samples, seed, beta):
    """How much of p(z|x) the draws of `evaluate` never reach: (n_rows,), 0 on average if none.

    Of a pair (x, z) of the model's own joint, z from the prior and x from p(x|z), z is a draw of
    p(z|x) (Grosse et al., 2015). Its share of the estimate of p(x), were it one more draw, is near
    1 where no other draw comes to the place that it shows, and about one over the effective draws,
    which is subtracted, where they do. So the mean is about the nats that log p(x) lacks.
    """
    z = stream(*key_of(seed)).standard_normal((n_rows, model.n_dim)).astype(np.float32)
    x = model.decoder_sample(tf.constant(z), stateless_seed(*key_of(seed), 0))
    found = evaluate(model, x.numpy(), n_samples, (*key_of(seed), 1), beta)
    plan = Plan.of(model, n_samples, beta)
    mean, log_std = model.encode(x)
    own = terms_of(model, x, tf.constant(z[np.newaxis]), mean, log_std, plan.power)
    own = Draws(*(np.float64(term) for term in own))
    of_points = own.log_px_z - np.log(POINTS)
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


def mean_elbo(model, x, seed, n_draws=1):
    """The mean ELBO of the rows of x with n_draws of z each, a number."""
    x = np.tile(x, (n_draws, 1))
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
    """The mean of each entry of rows, name -> (N,), and its standard error as name_se: numbers.

    An entry that is None, for what does not apply, stays None.
    """
    report = {}
    for name, values in rows.items():
        report[name] = None if values is None else float(np.mean(values, dtype=np.float64))
        report[f"{name}_se"] = None if values is None else standard_error(values)
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
