"""What z knows about x: units, mutual information, the dependence that z leaves; all in nats.

q(z|x) of N rows is given as mean and log_std, (N, n_dim) each.
"""

import math
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from scipy.special import ndtr

from analysis.evaluation import encode, in_blocks, means, standard_error
from analysis.linear_vae import ACTIVE_UNIT_VARIANCE
from analysis.mixture import normal_density
from training.random_streams import stream
from vae_models import kl_divergence_per_dimension

AGGREGATE_ROWS = 500  # rows whose z is scored under the aggregate posterior of all rows
ROWS_PER_DIMENSION = 4  # with fewer, a regression on x leaves too little to be judged by
CLEARLY = 2.0  # standard errors
SHOWN_UNITS = 10  # on the screen and in a picture, at most


@dataclass(frozen=True)
class LatentUnits:
    """Each unit of z over the rows of x: the variances of E[z|x] and of the std of q(z|x), and the
    mean KL in nats, (n_dim,) each.
    """

    variance_of_mean: np.ndarray
    variance_of_std: np.ndarray
    kl: np.ndarray

    @property
    def active(self):
        """Which units carry information about x: var_x(E[z|x]) > 0.01, Burda et al. (2015)."""
        return self.variance_of_mean > ACTIVE_UNIT_VARIANCE

    @property
    def shown(self):
        """The numbers, from 0, of at most SHOWN_UNITS units: those of largest KL."""
        return np.sort(np.argsort(-self.kl, kind="stable")[:SHOWN_UNITS])

    def metrics(self):
        """The keys of a report, a dictionary of plain numbers and lists."""
        return {
            "active_units": int(self.active.sum()),
            "variance_of_mean": self.variance_of_mean.tolist(),
            "kl_of_units": self.kl.tolist(),
        }


def latent_units(mean, log_std):
    """How much each latent unit is used: the LatentUnits."""
    return LatentUnits(
        variance_of_mean=mean.var(axis=0, dtype=np.float64),
        variance_of_std=np.exp(log_std).var(axis=0, dtype=np.float64),
        kl=kl_divergence_per_dimension(mean, log_std).numpy().mean(axis=0, dtype=np.float64),
    )


def latent_information(mean, log_std, key):
    """The rate in its two parts, I(x;z) + KL[q(z) || p(z)] (Hoffman & Johnson, 2016).

    q(z) = E_x q(z|x), the aggregate posterior, and g the Gaussian of its moments. KL[g || p] has a
    closed form; KL[q(z) || g] is estimated, low in expectation, and taken as 0 where it comes out
    negative. Returns the keys of docs/report.md, (3), in nats, each with its standard error (_se).
    """
    kl = np.sum(0.5 * (mean**2 + np.exp(2.0 * log_std) - 1.0) - log_std, axis=1)
    covariance, of_rows, bias = gaussian_aggregate_kl(mean, log_std)
    rest, at_least = aggregate_beyond_gaussian(mean, log_std, covariance, key)
    beyond = max(0.0, float(np.mean(rest)))
    beyond_se = error_of_positive_part(np.mean(rest), standard_error(rest))
    aggregate_kl = float(np.mean(of_rows)) - bias + beyond

    # The bias is half a sum of squares of n_active (n_active + 3) / 2 independent moments, whose
    # spread is in the first-order error already, twice, where that is not far larger.
    n_active = max(1, np.count_nonzero(np.var(mean, axis=0) > ACTIVE_UNIT_VARIANCE))
    spread = bias / math.sqrt(n_active * (n_active + 3) / 4)
    first_order = max(standard_error(of_rows) ** 2 - 2.0 * spread**2, 0.0)
    information_se = standard_error(kl - of_rows)
    return {
        "mutual_information": float(np.mean(kl)) - aggregate_kl,
        "mutual_information_se": math.hypot(information_se, spread, beyond_se),
        "aggregate_kl": aggregate_kl,
        "aggregate_kl_se": math.hypot(math.sqrt(first_order), spread, beyond_se),
        "aggregate_kl_beyond_gaussian": beyond,
        "aggregate_kl_beyond_gaussian_se": beyond_se,
        **means({"mutual_information_at_least": at_least}),
    }


def error_of_positive_part(mean, error):
    """The standard deviation of max(0, y) for y ~ N(mean, error^2)."""
    if not error > 0.0:  # also nan, of a single row
        return 0.0
    ratio = np.clip(mean / error, -10.0, 10.0)  # beyond these it is 0 or the error itself
    first_moment = ratio * ndtr(ratio) + normal_density(ratio)
    second_moment = (ratio**2 + 1.0) * ndtr(ratio) + ratio * normal_density(ratio)
    return float(error * np.sqrt(max(0.0, second_moment - first_moment**2)))


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


def aggregate_beyond_gaussian(mean, log_std, covariance, key):
    """Two arrays over draws of z from AGGREGATE_ROWS of the N rows, spread evenly over them.

    log q(z) - log g(z) with q(z) the mean of q(z|x) over the other rows; and log q(z|x) - log q(z)
    with q(z) that over all rows.
    """
    n_rows, n_dim = mean.shape
    chosen = np.linspace(0, n_rows - 1, min(n_rows, AGGREGATE_ROWS)).astype(int)
    noise = stream(*key).standard_normal((len(chosen), n_dim))
    z = mean[chosen] + np.exp(log_std[chosen]) * noise
    precisions = np.exp(-2.0 * log_std)
    constants = -np.sum(log_std + 0.5 * precisions * mean**2, axis=1)
    rest, at_least = [], []
    for first in range(0, len(z), 100):
        block, own = z[first : first + 100], chosen[first : first + 100]
        rows = np.arange(len(block))
        log_q = block @ (precisions * mean).T - 0.5 * block**2 @ precisions.T + constants
        of_own = log_q[rows, own]
        log_q[rows, own] = -np.inf
        of_others = tf.reduce_logsumexp(log_q, axis=1).numpy()
        at_least.append(of_own - np.logaddexp(of_own, of_others) + np.log(n_rows))
        rest.append(of_others - np.log(max(1, n_rows - 1)))
    centered = z - mean.mean(axis=0)
    distance = np.sum(np.linalg.solve(covariance, centered.T).T * centered, axis=1)
    log_g = -0.5 * (distance + np.linalg.slogdet(covariance)[1])
    return np.concatenate(rest) - log_g, np.concatenate(at_least)


def regress(inputs, outputs):
    """Weights (a, b), and residuals (N, b), of the linear regression of outputs (N, b) on (N, a).

    With them a covariance of the outputs follows from the known one of the inputs, without the
    noise of which inputs were drawn: weights' C weights + that of the residuals.
    """
    inputs = inputs - inputs.mean(axis=0)
    outputs = outputs - outputs.mean(axis=0)
    weights = np.linalg.lstsq(inputs, outputs, rcond=None)[0]
    return weights, outputs - inputs @ weights


def dependence(model, x, reference, knowledge, key, n_fitted):
    """What z leaves of the dependence among the coordinates, and the decoder's cost beyond it.

    Rows x (N, data_dim) of `reference`, an information.Gaussian in the units of the networks; where
    that was fitted to n_fitted other rows, the standard error covers their luck too. knowledge: of
    latent_information. Returns the keys of docs/report.md, (4), with their standard errors; their
    values are None where N is too small for data_dim.
    """
    n_rows, data_dim = x.shape
    if n_rows < ROWS_PER_DIMENSION * (data_dim + 1):
        return no_dependence()
    covariance = reference.covariance
    mean_z, log_std_z = encode(model, x)
    x = x - reference.mean
    variances = np.exp(2.0 * log_std_z)
    weights, residuals = regress(x, mean_z)
    noise = residuals.T @ residuals / (n_rows - 1 - data_dim) + np.diag(variances.mean(axis=0))
    cross = covariance @ weights
    of_z = weights.T @ cross + noise  # the covariance of z
    decoder = np.linalg.solve(of_z, cross.T)  # z -> E[x|z], (n_dim, data_dim)
    left = np.diag(covariance) - np.sum(cross.T * decoder, axis=0)  # the variances of x_j given z

    # What each row adds to the estimate: its part in the noise, as far as it is not known ...
    seen = x @ weights
    errors = x - seen @ decoder
    shifts = residuals @ decoder
    values = np.sum(((shifts - 2.0 * errors) * shifts + variances @ decoder**2) / left, axis=1)
    precision = np.linalg.inv(of_z)
    values += np.sum(((2.0 * seen + residuals) @ precision) * residuals, axis=1)
    values = 0.5 * (values + variances @ np.diag(precision)) - np.sum(log_std_z, axis=1)
    # ... and the codes of the network, less those of the linear decoder.
    z = mean_z + np.exp(log_std_z) * stream(*key).standard_normal(mean_z.shape)
    longer = code_lengths(model, x + reference.mean, z)
    centered = z - np.mean(mean_z - seen, axis=0)
    longer -= 0.5 * (np.log(2.0 * np.pi * left) + (x - centered @ decoder) ** 2 / left)
    better = shorter_codes(longer)
    beyond_linear = np.sum(longer[:, better], axis=1)
    values += beyond_linear

    log_det_z = np.linalg.slogdet(of_z)[1] - np.linalg.slogdet(covariance)[1]
    total = 0.5 * (np.sum(np.log(left)) + log_det_z) - np.mean(np.sum(log_std_z, axis=1))
    total -= knowledge["aggregate_kl_beyond_gaussian"]
    error = math.hypot(standard_error(values), knowledge["aggregate_kl_beyond_gaussian_se"])
    if n_fitted is not None:
        of_fit = np.sum(errors**2 / left, axis=1) + np.sum((seen @ precision) * seen, axis=1)
        of_fit -= np.sum(np.linalg.solve(covariance, x.T).T * x, axis=1)
        error = math.hypot(error, 0.5 * standard_error(of_fit) * math.sqrt(n_rows / n_fitted))
    return {
        "conditional_total_correlation": float(total + np.mean(beyond_linear)),
        "conditional_total_correlation_se": error,
        **means({"decoder_mismatch": np.sum(longer[:, ~better], axis=1)}),
    }


def no_dependence():
    """The keys of `dependence` where it is not known."""
    return means(dict.fromkeys(["conditional_total_correlation", "decoder_mismatch"]))


def code_lengths(model, x, z):
    """-log p(x_j|z) of each row and coordinate, in the units of the networks, (N, data_dim)."""
    mean, log_std = in_blocks(model.decode, z)
    return 0.5 * (np.log(2.0 * np.pi) + ((x - mean) * np.exp(-log_std)) ** 2) + log_std


def shorter_codes(longer):
    """In which columns the network's code is clearly shorter than the linear decoder's: bool (d,).

    longer: (N, d), the network's code lengths less those of the linear decoder. All columns count
    if the sum over the others is clearly shorter too. "Clearly", so that chance does not choose.
    """
    errors = np.std(longer, axis=0, ddof=1) / math.sqrt(len(longer))
    better = np.mean(longer, axis=0) < -CLEARLY * errors
    rest = np.sum(longer[:, ~better], axis=1)
    if np.mean(rest) < -CLEARLY * standard_error(rest):
        better[:] = True
    return better
