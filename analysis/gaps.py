"""Where the encoder's gap comes from: the Gaussian family, or the network that has to hit it.

log p(x) less the ELBO of the encoder is KL[q(z|x) || p(z|x)]. With q* the diagonal Gaussian of the
highest ELBO for this x alone (Cremer, Li & Duvenaud 2018) it has two parts:

    gap_family = log p(x) - ELBO[q*],    gap_amortization = ELBO[q*] - ELBO[q(z|x)].

q* is where gradient ascent from q(z|x) ends. Rows x are in the units of the networks; nats.
"""

import numpy as np
import tensorflow as tf
from scipy.special import roots_genlaguerre

from analysis import evaluation, proposals
from training.random_streams import stream
from vae_models import kl_divergence, reparameterize

GAP_ROWS = 500
FEWEST_ROWS = 50
REPORT_WORK = 4e9  # rows x steps x nodes x weights of the decoder: a second, with its tracing
STEPS = 25  # at most
CLOSE = 1e-6  # nats between q* and where the ascent ends, on average
DRAWS = 128  # of z for each row, for the two ELBOs and log p(x)


def affordable_rows(model):
    """For how many rows a report finds q*: GAP_ROWS, or as many as REPORT_WORK allows.

    The decoder's gradient costs about six operations for each of its weights, each node and each
    row. 0 where the work suffices for fewer than FEWEST_ROWS.
    """
    epsilon, _ = nodes(model.n_dim, seed=0)
    n_rows = int(REPORT_WORK / (STEPS * len(epsilon) * model.decoder.count_params()))
    return min(GAP_ROWS, n_rows) if n_rows >= FEWEST_ROWS else 0


def nodes(n_dim, seed):
    """Nodes epsilon (S, 1, n_dim) and their weights (S,), in place of draws from N(0, I).

    Spheres of Gauss-Laguerre radii, on each the axes of a random frame, both ways. They average
    polynomials of degree 3 exactly, so that a linear model is met exactly, and reach far into the
    tails, without which q* would become too wide.
    """
    rng = stream(seed, "report", 8)
    n_frames = 2 if n_dim == 2 else 1
    n_radii = max(2, 16 // (n_dim * n_frames))
    halves_of_squares, masses = roots_genlaguerre(n_radii, 0.5 * n_dim - 1.0)
    spheres = []
    for radius in np.sqrt(2.0 * halves_of_squares):
        for _ in range(n_frames):
            frame, _ = np.linalg.qr(rng.standard_normal((n_dim, n_dim)))
            spheres += [radius * frame, -radius * frame]
    epsilon = np.concatenate(spheres)[:, np.newaxis]
    nodes_of_radius = len(epsilon) // n_radii
    weights = np.repeat(masses / np.sum(masses), nodes_of_radius) / nodes_of_radius
    return epsilon.astype(np.float32), weights.astype(np.float32)


@tf.function(reduce_retracing=True, autograph=False)
def elbo_and_ascent(model, x, q, epsilon, weights):
    """ELBO of a Gaussian for each row, (B,), and its natural gradient in mean and log_std.

    x: (B, data_dim). q: mean and log_std, (2, B, n_dim), as the gradient. The Fisher information is
    1 / std^2 for the mean and 2 for log_std. epsilon, weights: see nodes.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(q)
        mean, log_std = tf.unstack(q)
        log_px_z = model.log_px_z(x, reparameterize(mean, log_std, epsilon))
        elbo = tf.tensordot(weights, log_px_z, 1) - kl_divergence(mean, log_std)
    of_mean, of_log_std = tf.unstack(tape.gradient(elbo, q))
    return elbo, tf.stack([tf.exp(2.0 * log_std) * of_mean, 0.5 * of_log_std])


def best_gaussian(model, x, seed):
    """Mean and log_std of q* for each row of x, (2, N, n_dim).

    As the `proposal` of evaluation.evaluate it serves log p(x) better than the encoder does. A row
    keeps the encoder's q if that is better on draws of z: where the decoder jumps, a few nodes can
    mislead the ascent.
    """
    epsilon, weights = nodes(model.n_dim, seed)
    n_rows = max(1, proposals.z_batch(model) // len(epsilon))
    blocks = []
    for first in range(0, len(x), n_rows):
        block = tf.constant(x[first : first + n_rows], tf.float32)
        blocks.append(best_of_block(model, block, epsilon, weights))
    ascended = np.concatenate(blocks, axis=1)
    key = (seed, "report", 10)
    before = evaluation.evaluate(model, x, DRAWS, key, with_points=False)
    after = evaluation.evaluate(model, x, DRAWS, key, proposal=ascended, with_points=False)
    is_better = (after.elbo > before.elbo)[:, np.newaxis]
    return np.where(is_better, ascended, evaluation.encode(model, x))


def best_of_block(model, x, epsilon, weights):
    """best_gaussian of rows that fit in memory with all their nodes.

    A step moves a mean by one std and a log_std by 1/2 at most. Where it does not raise the ELBO of
    its row it is taken back, and the next one is shorter. What is still to gain is half the squared
    gradient in the metric of the Fisher information, as if the ELBO were quadratic.
    """
    q = np.stack(model.encode(x))
    found = elbo_and_ascent(model, x, tf.constant(q), epsilon, weights)
    elbo, ascent = (part.numpy() for part in found)
    rate = np.full((len(elbo), 1), 0.5, np.float32)
    for _ in range(STEPS):
        std = np.exp(q[1])
        still_to_gain = 0.5 * np.sum((ascent[0] / std) ** 2 + 2.0 * ascent[1] ** 2, axis=1)
        if np.mean(still_to_gain) < CLOSE:
            break
        most = np.stack([std, np.full_like(std, 0.5)])
        new_q = q + np.clip(rate * ascent, -most, most)
        found = elbo_and_ascent(model, x, tf.constant(new_q), epsilon, weights)
        new_elbo, new_ascent = (part.numpy() for part in found)
        better = (new_elbo > elbo)[:, np.newaxis]
        elbo = np.where(new_elbo > elbo, new_elbo, elbo)  # also where the new one is NaN
        q = np.where(better, new_q, q)
        ascent = np.where(better, new_ascent, ascent)
        rate = np.where(better, np.minimum(1.5 * rate, 2.0), 0.4 * rate)
    return q


def gaps(model, x, seed, n_draws=DRAWS):
    """By name, (N,) each: the gaps of the rows of x (N, data_dim), and log p(x) by encoder and q*.

    n_draws: of z for each row. The noise of the two ELBOs is the same, that of the ascent another.
    """
    key = (seed, "report", 9)
    of_encoder = evaluation.evaluate(model, x, n_draws, key)
    proposal = best_gaussian(model, x, seed)
    of_best = evaluation.evaluate(model, x, n_draws, key, proposal=proposal)
    return {
        "gap_family": of_best.log_px_corrected - of_best.elbo,
        "gap_amortization": of_best.elbo - of_encoder.elbo,
        "log_px_of_encoder": of_encoder.log_px,
        "log_px_of_best_q": of_best.log_px,
        "effective_samples_of_encoder": of_encoder.effective_samples,
        "effective_samples_of_best_q": of_best.effective_samples,
    }


def metrics(model, x, seed, n_draws=DRAWS):
    """The keys of a report: means over the rows of x, of effective draws the median.

    All are None where there is no row. docs/report.md has the names.
    """
    means = dict.fromkeys("gap_family gap_amortization log_px_of_encoder log_px_of_best_q".split())
    medians = dict.fromkeys(["effective_samples_of_encoder", "effective_samples_of_best_q"])
    if len(x) > 0:
        rows = gaps(model, x, seed, n_draws)
        means = {name: rows[name] for name in means}
        medians = {name: float(np.median(rows[name])) for name in medians}
    return {**evaluation.means(means), **medians, "gap_rows": len(x)}


def print_metrics(report):
    """The metrics on the screen."""
    print(f"KL of q(z|x) from the model's posterior, on {report['gap_rows']} rows, nats")
    for name, label in (("gap_family", "the family"), ("gap_amortization", "amortization")):
        print(f"  of {label:<13}{report[name]:8.4f} ± {report[name + '_se']:.4f}")
    print("on these rows, z drawn from:    log p(x)   effective draws (median)")
    for name, label in (("encoder", "q(z|x)"), ("best_q", "the best Gaussian q of each")):
        log_px, effective = report[f"log_px_of_{name}"], report[f"effective_samples_of_{name}"]
        print(f"  {label:<28}{log_px:10.4f}{effective:12.1f}")
