"""The best linear VAE and beta-VAE on Gaussian data; derived in docs/theory.md.

Everything is in nats. A covariance is (data_dim, data_dim), symmetric and positive definite; a
ValueError says what is wrong with one that is not.
"""

from dataclasses import dataclass

import numpy as np

from analysis import linear_search
from analysis.information import MOST_DIMENSIONS, check_covariance, entropy, relative_error

ACTIVE_UNIT_VARIANCE = 0.01  # of E[z|x]; Burda et al. (2015), Section 5.2


@dataclass(frozen=True, eq=False)
class Optimum:
    """The best linear model, with encoder q(z|x) = N(A (x - mean), V), decoder N(W z + mean, Psi).

    Terms are expectations over N(mean, C) and over z drawn from q(z|x), in nats per data point.
    cost = entropy + (beta - 1) kl + conditional_total_correlation + decoder_mismatch, and
    entropy + elbo + gap_model + gap_encoder = 0.
    """

    cost: float  # beta * kl - log_px_z, the minimum
    kl: float  # of q(z|x) from N(0, I): the rate, and I(x; z), as the aggregate of q is N(0, I)
    log_px_z: float  # log-likelihood of x under the decoder
    elbo: float  # log_px_z - kl, whatever beta is
    gap_model: float  # KL of N(mean, C) from the model's distribution of x, N(mean, S)
    gap_encoder: float  # mean KL of q(z|x) from the decoder's posterior p(z|x)
    conditional_total_correlation: float  # TC(x|z), the dependence among coordinates that z leaves
    decoder_mismatch: float  # KL of prod_j q(x_j|z) from p(x|z); 0 where every variance is free
    distortion: float  # E|x - mean_x(z)|^2, summed over dimensions (not in nats)
    covariance_error: float  # |S - C| / |C|, Frobenius norms
    active_units: int  # E[z_i|x] has a variance above ACTIVE_UNIT_VARIANCE: a KL above 0.005 nats
    attained: bool  # False where a variance lies on its lower bound, which no network has
    has_rate: bool  # False where a coordinate is copied without bound: KL and log p(x|z) diverge
    model_covariance: np.ndarray  # S = W W' + Psi, (data_dim, data_dim)
    weights: np.ndarray  # W, (data_dim, n_dim): columns by falling KL, zero for an unused unit;
    # determined up to signs where their KL are distinct, up to a rotation of equal ones
    noise_variances: np.ndarray  # the diagonal of Psi, (data_dim,)
    posterior_covariance: np.ndarray  # V, (n_dim, n_dim), diagonal; A = V W' Psi^-1 / beta


def optimum(covariance, n_dim, beta, decoder_std, min_log_std=None):
    """The best linear beta-VAE, an Optimum; None where has_optimum says that there is none.

    decoder_std: "learned", "shared" or a number. min_log_std: the lower bound m of a learned log
    std, which networks, log_std = m + softplus(raw - m), come near to but never have.

    All but Psi is in closed form (docs/theory.md, section 3), Psi too where it is one number
    (section 5; at beta 1 probabilistic PCA). A learned Psi is found by analysis.linear_search
    (section 4; at beta 1 factor analysis). beta 1 has two special cases. Where the best Psi has a
    zero (a Heywood case) it is kept at its bound, or without one at 1e-8 Var(x_j | the others);
    `attained` is False, and kl and log_px_z are those of that bound. Where many Psi cost the same
    the limit of beta -> 1 from above is returned, which has the least kl: to 1e-5 nats, or, with
    fewer units than the common information takes, too high by up to a few percent.
    """
    covariance = check_covariance(covariance)
    data_dim = len(covariance)
    if not has_optimum(data_dim, n_dim, beta, decoder_std, min_log_std):
        return None
    attained = True
    if decoder_std == "learned":
        noise_variances, attained = linear_search.best_noise_variances(
            covariance, n_dim, beta, min_log_std
        )
    elif decoder_std == "shared":
        variance = _shared_variance(covariance, n_dim, beta)
        least = 0.0 if min_log_std is None else np.exp(2.0 * min_log_std)
        attained = variance > least
        # The cost is convex in log(variance), so a bound above the minimum is the best there is.
        noise_variances = np.full(data_dim, max(variance, least))
    else:
        noise_variances = np.full(data_dim, float(decoder_std) ** 2)
    has_rate = attained or min_log_std is not None
    return _optimum_given_variances(covariance, n_dim, beta, noise_variances, attained, has_rate)


def has_optimum(data_dim, n_dim, beta, decoder_std, min_log_std):
    """Whether the cost of the linear models has an infimum, and it is computed.

    Below beta 1 the cost falls without end as a learned std goes to 0, unless the std is bounded,
    or shared with directions that no unit takes. A learned one takes minutes in many dimensions.
    """
    if beta <= 0.0 or (decoder_std == "learned" and data_dim > MOST_DIMENSIONS):
        return False
    if beta >= 1.0 or min_log_std is not None:
        return True
    if decoder_std == "learned":
        return False
    return decoder_std != "shared" or n_dim < data_dim


def cost_bound(covariance, beta, decoder_std, min_log_std=None):
    """The cost that no model is below, whatever its networks and its number of units.

    That of the best linear VAE with data_dim units (docs/theory.md, section 8). None where that has
    no minimum or is not computed.
    """
    if decoder_std == "learned" and beta == 1.0 and min_log_std is None:
        return entropy(covariance)
    best = optimum(covariance, len(covariance), beta, decoder_std, min_log_std)
    return None if best is None else best.cost


def beta_thresholds(covariance, n_dim, decoder_std, min_log_std=None):
    """The betas at which the units of the best linear VAE go, rising: an array.

    A unit is gone from the beta on where its eigenvalue lambda is 1 and E[z_i|x] constant, which
    is a little (for a fixed std one percent) above the beta where it ceases to count as active.
    Units that are gone at every beta with an optimum are left out; with a min_log_std there is an
    optimum at every beta, and each unit has a threshold. For "learned" those above 1 are roots,
    found on the conjecture that a unit once gone stays gone (docs/theory.md, section 4); None where
    that takes minutes.
    """
    covariance = check_covariance(covariance)
    data_dim = len(covariance)
    n_dim = min(n_dim, data_dim)
    too_wide = data_dim > MOST_DIMENSIONS or n_dim * data_dim**3 > linear_search.WORK
    if decoder_std == "learned" and too_wide:
        return None
    eigenvalues = np.linalg.eigvalsh(covariance)[::-1]
    if decoder_std not in ("learned", "shared"):
        return np.sort(eigenvalues[:n_dim] / float(decoder_std) ** 2)
    if decoder_std == "shared":
        # At level beta * variance = l_k the distortion is sum_i<=n min(l_i, l_k) + sum_i>n l_i.
        corners = np.minimum(eigenvalues, eigenvalues[:n_dim, None])
        corners[:, n_dim:] = eigenvalues[n_dim:]
        thresholds = data_dim * eigenvalues[:n_dim] / np.sum(corners, axis=1)
        only_above_one = n_dim == data_dim
    else:
        thresholds = np.ones(n_dim)  # those that are gone at any beta above 1
        found = linear_search.thresholds_above_one(covariance, n_dim, min_log_std)
        thresholds[: len(found)] = found
        only_above_one = True
    if min_log_std is not None:  # the std may lie on its bound at the threshold, a fixed std
        log_of_fixed_std = np.log(eigenvalues[:n_dim]) - 2.0 * min_log_std
        thresholds = np.exp(np.minimum(np.log(thresholds), log_of_fixed_std))
    elif only_above_one:
        thresholds = thresholds[thresholds > 1.0 + 1e-12]
    return np.sort(thresholds)


def cost_of_rows(best, beta, x, mean, covariance):
    """The cost of each row of x (B, data_dim) under `best`, an Optimum of this Gaussian, (B,).

    Its expectation over N(mean, covariance) is best.cost; on given rows it takes the luck of
    the draw out of a comparison. It is beta/2 times the squared Mahalanobis distance of the row
    under W W' + beta Psi, and a constant (docs/theory.md, section 3).
    """
    spread = best.weights @ best.weights.T + np.diag(beta * best.noise_variances)
    white = np.linalg.solve(np.linalg.cholesky(spread), (np.float64(x) - mean).T)
    expected = np.trace(np.linalg.solve(spread, covariance))
    return best.cost + 0.5 * beta * (np.sum(white**2, axis=0) - expected)


def _shared_variance(covariance, n_dim, beta):
    """The best shared variance; docs/theory.md, section 5."""
    data_dim = len(covariance)
    if n_dim >= data_dim and beta < 1.0:
        return 0.0  # the cost falls without end
    eigenvalues = np.linalg.eigvalsh(covariance)[::-1]
    # The fewest active directions k whose stationary variance leaves direction k + 1 unused; the
    # loop ends before data_dim - beta * k reaches 0.
    for k in range(min(n_dim, data_dim - 1) + 1):
        variance = np.sum(eigenvalues[k:]) / (data_dim - beta * k)
        if k == n_dim or beta * variance >= eigenvalues[k]:
            break
    return variance


def _optimum_given_variances(covariance, n_dim, beta, noise_variances, attained, has_rate):
    """The best W and encoder for the decoder variances Psi; docs/theory.md, Eq. (3) and (4)."""
    root = np.linalg.cholesky(covariance)
    eigenvalues, u, left = linear_search.directions(root, n_dim, beta, noise_variances)
    data_dim = len(noise_variances)
    n_used = min(n_dim, data_dim)
    coded = eigenvalues / left  # 1 where not active
    kl = 0.5 * np.sum(np.log(coded))
    weights = np.zeros((data_dim, n_dim))
    all_weights = np.sqrt(beta * noise_variances)[:, None] * u * np.sqrt(eigenvalues - left)
    weights[:, :n_used] = all_weights[:, :n_used]
    posterior_variances = np.ones(n_dim)
    posterior_variances[:n_used] = 1.0 / coded[:n_used]
    ratios = beta * (u**2 @ left)  # E(x - W z)_j^2 / psi_j, without cancellation
    squared_errors = noise_variances * ratios
    log_px_z = -0.5 * np.sum(np.log(2.0 * np.pi * noise_variances) + ratios)
    half_log_det = np.sum(np.log(np.diag(root)))
    model_covariance = weights @ weights.T + np.diag(noise_variances)
    dependence = 0.5 * np.sum(np.log(squared_errors)) - half_log_det + kl
    # In the coordinates u' Phi^-1/2 x the data's variances are lambda, the model's are these:
    model_ratios = beta * eigenvalues / (1.0 + beta * (eigenvalues - left))
    # KL of q(z|x), of variance 1 / lambda, from p(z|x), of precision 1 + beta (lambda - 1).
    precisions = 1.0 + beta * (coded - 1.0)
    mean_shifts = (coded - 1.0) * (1.0 - beta) / coded / precisions * (1.0 - beta)
    return Optimum(
        cost=beta * kl - log_px_z,
        kl=kl,
        log_px_z=log_px_z,
        elbo=log_px_z - kl,
        gap_model=_divergence(model_ratios),
        gap_encoder=_divergence(precisions / coded) + 0.5 * np.sum(mean_shifts),
        conditional_total_correlation=max(0.0, dependence),
        decoder_mismatch=_divergence(ratios),
        distortion=np.sum(squared_errors),
        covariance_error=relative_error(model_covariance, covariance),
        active_units=int(np.sum(1.0 - 1.0 / coded > ACTIVE_UNIT_VARIANCE)),
        attained=attained,
        has_rate=has_rate,
        model_covariance=model_covariance,
        weights=weights,
        noise_variances=noise_variances,
        posterior_covariance=np.diag(posterior_variances),
    )


def _divergence(ratios):
    """KL of independent Gaussians from others of the same mean; ratios of their variances."""
    return 0.5 * np.sum(ratios - 1.0 - np.log(ratios))
