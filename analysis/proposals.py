"""Draws of z for the likelihood p(x), and what each is worth: docs/report.md, (2)."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.optimize
import tensorflow as tf
from scipy.special import chdtri, ndtri

from analysis.mixture import log_normal, squared_distances
from training.random_streams import stateless_seed, stream
from vae_layers import Decoder
from vae_models import reparameterize

Z_BATCH = 16_384  # values of z in one call at most, so that memory stays bounded
X_NUMBERS = 2**22  # numbers of x that belong to them
ENCODER_SHARE = 0.25  # of the draws come from q itself, the others are tempered
MAX_POWER = 100.0  # a larger beta tempers as this one: it would only multiply the encoder's errors
POINTS = 128, 1024  # of the prior: at least and at most, with up to POINTS_DIM latent dimensions
POINTS_WORK = 2**21  # rows times points, between these limits
POINTS_DIM = 3
BEYOND_REACH = 1e-5  # share of the draws of a Gaussian that lies farther out than they count


def tempered(mean, log_std, power):
    """Mean and log_std of the Gaussian proportional to q(z|x)^power p(z)^(1 - power).

    Its precision power / std^2 + 1 - power is kept at 1 or more, as that of every posterior of a
    log-concave p(x|z) is. q(z|x) = N(mean, diag(std^2)), (..., n_dim) each.
    """
    variance = tf.exp(2.0 * log_std)
    shrinkage = tf.maximum(power + (1.0 - power) * variance, variance)  # variance times precision
    return power * mean / shrinkage, log_std - 0.5 * tf.math.log(shrinkage)


class Draws(NamedTuple):
    """The terms of log w for each draw of z, (n_draws, B) each.

    log_px_z: log p(x|z). log_p_over_q, log_p_over_t: log p(z) less the log-density of the encoder
    and of the tempered encoder. distance: of z from the nearer of the two, squared, in their stds.
    """

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
    """draw_terms in calls of bounded memory, in float64.

    key: of a random stream; its last position is the number of the first draw.
    """
    *key, first_number = key
    power = tf.constant(power, tf.float32)
    batch = max(1, z_batch(model) // len(x))
    parts = []
    for first in range(0, n_draws, batch):
        n = tf.constant(min(batch, n_draws - first))
        seed = tf.constant(stateless_seed(*key, first_number + first))
        parts.append(draw_terms(model, x, q, n, seed, power, from_tempered))

    terms = zip(*parts, strict=True)  # one after the other, each of all calls
    return Draws(*(np.concatenate(term, dtype=np.float64) for term in terms))


def z_batch(model):
    """Values of z in one call, fewer where x is wide."""
    return min(Z_BATCH, max(256, X_NUMBERS // model.data_dim))


@dataclass(frozen=True)
class Plan:
    """How log p(x) is estimated: n_encoder of the n_samples draws of z come from q(z|x) itself.

    power: the others come from the encoder tempered by it. reach: draws of a larger `distance` do
    not count, since n_points points of the prior cover what lies there.
    """

    power: float
    n_encoder: int
    n_samples: int
    reach: float
    n_points: int

    @classmethod
    def of(cls, model, n_samples, beta, n_rows, with_points=True):
        """The plan for n_rows rows of a model trained at this beta."""
        few_dimensions = model.n_dim <= POINTS_DIM and isinstance(model.decoder, Decoder)
        with_points = with_points and few_dimensions
        return cls(
            power=min(float(beta), MAX_POWER),
            n_encoder=n_samples if beta == 1.0 else math.ceil(n_samples * ENCODER_SHARE),
            n_samples=n_samples,
            reach=chdtri(model.n_dim, BEYOND_REACH) if with_points else math.inf,
            n_points=int(np.clip(POINTS_WORK // n_rows, *POINTS)) if with_points else 0,
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
    """The logarithm of what points of the prior beyond the reach of the draws add, (n_points, B).

    The points are evenly spread, each as likely as any other (the fractions of k times powers of a
    generalized golden ratio), and shifted at random: z may lie where the encoder never looks.
    """
    root = scipy.optimize.brentq(lambda g: g ** (model.n_dim + 1) - g - 1.0, 1.0, 2.0)
    steps = np.arange(plan.n_points)[:, np.newaxis] * root ** -np.arange(1.0, model.n_dim + 1)
    z = ndtri((steps + stream(*key).random(model.n_dim)) % 1.0)
    mean, log_std = (np.float64(part) for part in model.decode(tf.constant(z, tf.float32)))
    center = mean.mean(axis=0)
    log_px_z = log_normal(np.float64(x) - center, mean - center, log_std)
    if model.standardization is not None:
        log_px_z -= model.standardization.log_scale
    q_mean, q_log_std = (np.float64(part) for part in q)
    beyond = squared_distances(z, q_mean, q_log_std) >= plan.reach
    if plan.n_encoder < plan.n_samples:
        t_mean, t_log_std = (part.numpy() for part in tempered(q_mean, q_log_std, plan.power))
        beyond &= squared_distances(z, t_mean, t_log_std) >= plan.reach
    return np.where(beyond, log_px_z.T, -np.inf) - np.log(plan.n_points)
