"""The best linear VAE and beta-VAE on Gaussian data; derived in docs/theory.md.

Everything is in nats. A covariance is (data_dim, data_dim), symmetric and positive definite; a
ValueError says what is wrong with one that is not.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from analysis.information import check_covariance, common_information

ACTIVE_UNIT_VARIANCE = 0.01  # of E[z|x]; Burda et al. (2015), Section 5.2
# Lower bound of a noise variance, in units of Var(x_j | the other coordinates). Keeping it costs
# about 1e-8 nats where the best variance is zero (a Heywood case).
VARIANCE_FLOOR = 1e-8
N_RANDOM_STARTS = 12
LEADING = 3  # so many of the rough searches are continued to the end
# Solutions at these beta - 1 lead to the one of least KL where beta = 1 has many.
BETA_TILTS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
NEARLY_ONE = 1.0 + 1e-6  # a beta below which no threshold is looked for


@dataclass(frozen=True, eq=False)
class Optimum:
    """The best linear model, with encoder q(z|x) = N(A (x - mean), V), decoder N(W z + mean, Psi).

    Terms are expectations over N(mean, C) and over z drawn from q(z|x), in nats per data point:

    cost: beta * kl - log_px_z, the minimum.
    kl: KL of q(z|x) from N(0, I), the rate; equal to the mutual information I(x; z) of the encoder,
        because the aggregate of q(z|x) over the data is N(0, I).
    log_px_z: log-likelihood of x under the decoder.
    elbo: log_px_z - kl, whatever beta is.
    gap_model: KL of N(mean, C) from the model's distribution of x, N(mean, S).
    gap_encoder: mean KL of q(z|x) from the decoder's posterior p(z|x). The two gaps add up to the
        distance of elbo from the negative entropy.
    conditional_total_correlation: TC(x|z), the dependence among the coordinates that z leaves.
    decoder_mismatch: KL of prod_j q(x_j|z) from p(x|z); 0 where every variance is free. With it,
        cost = entropy + (beta - 1) kl + conditional_total_correlation + decoder_mismatch.
    distortion: E|x - mean_x(z)|^2, summed over dimensions (not in nats).
    covariance_error: |S - C| / |C|, Frobenius norms.
    active_units: number of units whose mean E[z_i|x] has a variance above ACTIVE_UNIT_VARIANCE,
        which at an optimum is a KL above 0.005 nats.
    attained: whether a model has this cost. False where a variance lies on its lower bound: the
        cost is then that of the bound, which a network comes near to but never has.
    model_covariance: S = W W' + Psi, (data_dim, data_dim).
    weights: W, (data_dim, n_dim); columns by falling KL, zero for an unused unit. Determined up to
        the signs of its columns if their KL are distinct, and up to a rotation of equal ones.
    noise_variances: the diagonal of Psi, (data_dim,).
    posterior_covariance: V, (n_dim, n_dim), diagonal. The encoder is A = V W' Psi^-1 / beta.
    """

    cost: float
    kl: float
    log_px_z: float
    elbo: float
    gap_model: float
    gap_encoder: float
    conditional_total_correlation: float
    decoder_mismatch: float
    distortion: float
    covariance_error: float
    active_units: int
    attained: bool
    model_covariance: np.ndarray
    weights: np.ndarray
    noise_variances: np.ndarray
    posterior_covariance: np.ndarray


class NoMinimum(ValueError):
    """The cost falls without end."""


def optimum(covariance, n_dim, beta, decoder_std, min_log_std=None):
    """The best linear beta-VAE, an Optimum; None where the cost has no minimum.

    decoder_std: "learned", "shared" or a number. min_log_std: lower bound of a learned log std.
    """
    if beta <= 0.0:
        return None
    try:
        if decoder_std == "learned":
            return linear_optimum(covariance, n_dim, beta, min_log_std)
        if decoder_std == "shared":
            return shared_std_optimum(covariance, n_dim, beta, min_log_std)
        return fixed_std_optimum(covariance, n_dim, beta, decoder_std)
    except NoMinimum:
        return None


def linear_optimum(covariance, n_dim, beta=1.0, min_log_std=None):
    """The best linear beta-VAE with a learned, constant, diagonal decoder variance.

    At beta = 1 it is factor analysis, and its cost the entropy where C = W W' + Psi can be solved.
    All but Psi is in closed form (docs/theory.md, section 3). Psi is found by Newton's method:

    - with n_dim >= data_dim, or where n_dim units are enough for the optimum with data_dim units,
      from one start, since the problem is convex: right to 1e-9 nats in any dimension;
    - else from data_dim + 16 starts, the same at every call. That agreed to 1e-8 nats with far
      longer searches up to 60 dimensions, which is evidence, not proof; above that a local minimum
      is promised, no more.

    min_log_std: the bound of networks, log_std = m + softplus(raw - m) > m. The search then keeps
    psi >= exp(2 m), and any beta > 0 has a finite infimum; where the bound is met, no network
    attains it (`attained`), since softplus comes near to 0 only for raw far below m. Without a
    bound a beta below 1 has no minimum.

    beta = 1 has two special cases. Where the best Psi has a zero (a Heywood case) the infimum is
    not attained: kl and log_px_z diverge together. The model returned keeps at least 1e-8
    Var(x_j | other coordinates), has a cost within about 1e-8 nats of the infimum, and its kl and
    log_px_z are those of that variance (a kl of about 9 nats or more per coordinate). Where many
    Psi are equally good the limit of beta -> 1 from above is returned, which has the least kl. If
    n_dim is at least the number of units of the common information, kl is that, to 1e-8 nats;
    if not, but n_dim is above the number of factors of C, kl is an upper bound, good to a few
    percent, since costs that differ by less than rounding then have different kl.

    Returns an Optimum. Raises NoMinimum where the cost has none.
    """
    covariance = _check_model(covariance, n_dim, beta)
    if beta < 1.0 and min_log_std is None:
        raise NoMinimum(
            f"the cost has no minimum at beta {beta}, below 1, where variances are learned: a "
            "latent that copies one coordinate lets its variance psi go to 0 and the cost fall "
            "with (1 - beta)/2 log(psi)"
        )
    root = np.linalg.cholesky(covariance)
    bounds = _log_variance_bounds(covariance, beta, min_log_std)
    if beta == 1.0:
        common = common_information(covariance)
        enough = common.units <= n_dim
        if enough and np.all(np.log(common.noise_variances) > bounds[0]):
            return _optimum_given_variances(root, n_dim, beta, common.noise_variances)
    log_variances = _best_log_variances(root, n_dim, beta, bounds)
    if beta == 1.0:
        log_variances = _of_least_kl(log_variances, root, n_dim, bounds)
    attained = not np.any(log_variances <= bounds[0])
    return _optimum_given_variances(root, n_dim, beta, np.exp(log_variances), attained)


def fixed_std_optimum(covariance, n_dim, beta, decoder_std):
    """The best linear beta-VAE whose decoder has the given standard deviation in every dimension.

    Closed form for any beta > 0: principal direction i, of variance l_i, is active iff it is one of
    the first n_dim and l_i > beta * decoder_std^2. Where at most n_dim directions have l_i >
    beta * decoder_std^2, no model with this decoder std, linear or not, has a lower cost.

    Returns an Optimum. Raises ValueError for a decoder_std that double precision can't hold.
    """
    covariance = _check_model(covariance, n_dim, beta)
    _check_positive(decoder_std, "decoder_std")
    variance = float(decoder_std) * float(decoder_std)
    largest = np.linalg.eigvalsh(covariance)[-1]
    if not (1e-150 < variance / largest < 1e150 and 1e-250 < beta * variance / largest < 1e300):
        raise ValueError(
            f"decoder_std {decoder_std:g} (beta {beta:g}) is out of the range of double precision "
            f"beside data of standard deviation {np.sqrt(largest):.3g}"
        )
    noise_variances = np.full(len(covariance), variance)
    return _optimum_given_variances(np.linalg.cholesky(covariance), n_dim, beta, noise_variances)


def shared_std_optimum(covariance, n_dim, beta, min_log_std=None):
    """The best linear beta-VAE with one learned decoder variance, the same in every dimension.

    Closed form; at beta = 1 it is probabilistic PCA (Tipping & Bishop 1999). There is a minimum for
    any beta > 0 if n_dim < data_dim, since the variance must cover the directions left out. With
    n_dim >= data_dim there is one for beta >= 1 only, and at beta = 1 every variance up to the
    smallest eigenvalue is equally good: the answer is then the largest of them. min_log_std bounds
    the variance from below, as for `linear_optimum`.

    Returns an Optimum. Raises NoMinimum where the cost has none.
    """
    covariance = _check_model(covariance, n_dim, beta)
    data_dim = len(covariance)
    unbounded = n_dim >= data_dim and beta < 1.0
    if unbounded and min_log_std is None:
        raise NoMinimum(
            f"the cost has no minimum at beta {beta}, below 1, where n_dim ({n_dim}) is not below "
            f"data_dim ({data_dim}): it falls with data_dim (1 - beta)/2 log(variance)"
        )
    variance = 0.0 if unbounded else _shared_variance(covariance, n_dim, beta)
    least = 0.0
    if min_log_std is not None:
        _check_min_log_std(min_log_std, covariance, unbounded)
        least = np.exp(2.0 * min_log_std)
    # The cost is convex in log(variance), so a bound above the minimum is the best there is.
    noise_variances = np.full(data_dim, max(variance, least))
    root = np.linalg.cholesky(covariance)
    return _optimum_given_variances(root, n_dim, beta, noise_variances, variance > least)


def beta_thresholds(covariance, n_dim, decoder_std):
    """The betas at which the units of the best linear VAE go, rising: an array.

    A unit is gone from the beta on where its eigenvalue lambda is 1 and E[z_i|x] constant, which
    is a little (for a fixed std one percent) above the beta where it ceases to count as active.
    decoder_std: "learned" (betas above 1), "shared" or a number. In closed form but for "learned",
    where the last unit goes at the largest eigenvalue of the correlation matrix and the others are
    roots found on the unique optimum with data_dim units: with fewer units the same ones go at the
    same betas (docs/theory.md, section 4).
    """
    covariance = _check_model(covariance, n_dim, 1.0)
    data_dim = len(covariance)
    n_dim = min(n_dim, data_dim)
    eigenvalues = np.linalg.eigvalsh(covariance)[::-1]
    if decoder_std == "learned":
        return _learned_thresholds(covariance, n_dim)
    if decoder_std == "shared":
        # At level beta * variance = l_k the distortion is sum_i<=n min(l_i, l_k) + sum_i>n l_i.
        corners = np.minimum(eigenvalues, eigenvalues[:n_dim, None])
        corners[:, n_dim:] = eigenvalues[n_dim:]
        thresholds = data_dim * eigenvalues[:n_dim] / np.sum(corners, axis=1)
        return np.sort(thresholds[thresholds > 1.0] if n_dim == data_dim else thresholds)
    _check_positive(decoder_std, "decoder_std")
    return np.sort(eigenvalues[:n_dim] / float(decoder_std) ** 2)


def relaxed_common_information(covariance, betas, n_dim=None):
    """(I, TC) of the best linear VAE with learned variances at each of the betas, all >= 1.

    I(x; z) is what z tells about x, TC(x|z) the dependence that z leaves; beta - 1 is the
    price of the first in units of the second. With n_dim data_dim, the default, I is the least of
    all z given which x is Gaussian and that leave as little (Sula & Gastpar: of any z at all for
    a pair). Two arrays, in nats.
    """
    n_dim = len(covariance) if n_dim is None else n_dim
    optima = [linear_optimum(covariance, n_dim, beta) for beta in betas]
    return np.transpose([(o.kl, o.conditional_total_correlation) for o in optima])


def cost_of_rows(optimum, beta, x, mean, covariance):
    """The cost of each row of x (B, data_dim) under an Optimum of N(mean, covariance), (B,).

    Its expectation over N(mean, covariance) is optimum.cost; on given rows it takes the luck of
    the draw out of a comparison. It is beta/2 times the squared Mahalanobis distance of the row
    under W W' + beta Psi, and a constant (docs/theory.md, section 3).
    """
    spread = optimum.weights @ optimum.weights.T + np.diag(beta * optimum.noise_variances)
    white = np.linalg.solve(np.linalg.cholesky(spread), (np.float64(x) - mean).T)
    expected = np.trace(np.linalg.solve(spread, covariance))
    return optimum.cost + 0.5 * beta * (np.sum(white**2, axis=0) - expected)


def _check_model(covariance, n_dim, beta):
    if isinstance(n_dim, bool) or not isinstance(n_dim, int | np.integer) or n_dim < 1:
        raise ValueError(f"n_dim must be a whole number of at least 1, not {n_dim!r}")
    _check_positive(beta, "beta")
    return check_covariance(covariance)


def _check_positive(value, name):
    if not (np.ndim(value) == 0 and np.isfinite(value) and value > 0.0):
        raise ValueError(f"{name} must be a positive finite number, not {value!r}")


def _check_min_log_std(min_log_std, covariance, met):
    """ValueError unless double precision holds the bound beside the data, where it will be met."""
    relative = min_log_std - 0.5 * np.log(np.max(np.diag(covariance)))
    if not (relative < 300.0 and (relative > -170.0 or not met)):
        raise ValueError(f"min_log_std {min_log_std:g} is out of range beside the data's std")


def _log_variance_bounds(covariance, beta, min_log_std):
    """The box of log Psi, two arrays: it holds every minimum, Heywood cases apart."""
    floor = np.log(VARIANCE_FLOOR / np.diag(np.linalg.inv(covariance)))
    if min_log_std is not None:
        _check_min_log_std(min_log_std, covariance, beta < 1.0)
        bound = np.full(len(floor), 2.0 * min_log_std)
        floor = bound if beta < 1.0 else np.maximum(floor, bound)
    return floor, np.maximum(floor, np.log(np.diag(covariance)))


def _shared_variance(covariance, n_dim, beta):
    """The best shared variance where there is one; docs/theory.md, section 5."""
    data_dim = len(covariance)
    eigenvalues = np.linalg.eigvalsh(covariance)[::-1]
    # The fewest active directions k whose stationary variance leaves direction k + 1 unused; the
    # loop ends before data_dim - beta * k reaches 0.
    for k in range(min(n_dim, data_dim - 1) + 1):
        variance = np.sum(eigenvalues[k:]) / (data_dim - beta * k)
        if k == n_dim or beta * variance >= eigenvalues[k]:
            break
    return variance


def _learned_thresholds(covariance, n_dim):
    data_dim = len(covariance)
    root = np.linalg.cholesky(covariance)
    upper = np.log(np.diag(covariance))
    log_variances = np.log(common_information(covariance).noise_variances)

    def log_eigenvalue(beta, k):
        """At the optimum with data_dim units; it falls through 0 where unit k goes."""
        nonlocal log_variances
        log_variances = _minimize(log_variances, root, data_dim, beta, (upper - np.inf, upper))
        return np.log(_directions(root, data_dim, beta, np.exp(log_variances))[0][k])

    n_units = sum(log_eigenvalue(NEARLY_ONE, k) > 0.0 for k in range(n_dim))
    std = np.exp(0.5 * upper)
    thresholds = [np.linalg.eigvalsh(covariance / np.outer(std, std))[-1]]
    for k in range(1, n_units):
        last = thresholds[-1]
        goes_with_the_last = log_eigenvalue(last, k) >= 0.0
        thresholds.append(
            last if goes_with_the_last else brentq(log_eigenvalue, NEARLY_ONE, last, (k,), 1e-12)
        )
    return np.array(thresholds[::-1][len(thresholds) - n_units :])


def _best_log_variances(root, n_dim, beta, bounds):
    """log Psi of the lowest profile cost within the bounds."""
    data_dim = len(root)
    best = _minimize(bounds[1], root, data_dim, beta, bounds)

    def cost(log_variances, n_dim=n_dim):
        return _profile_cost(log_variances, root, n_dim, beta)[0]

    if cost(best) <= cost(best, data_dim) + 1e-12:
        return best  # convex, and n_dim units are enough

    log_conditional = bounds[0] - np.log(VARIANCE_FLOOR)
    starts = [best, *_starts(bounds[1], log_conditional)]
    found = [_minimize(start, root, n_dim, beta, bounds, roughly=True) for start in starts]
    _, first = np.unique(np.round([cost(point) for point in found], 5), return_index=True)
    leading = [found[i] for i in first[:LEADING]]  # distinct local minima, lowest first
    return min((_minimize(point, root, n_dim, beta, bounds) for point in leading), key=cost)


def _starts(log_variances, log_conditional):
    """Starts for log Psi, between the variances of the coordinates and what others leave open."""
    yield log_variances  # the collapsed model
    yield log_conditional
    yield 0.5 * (log_variances + log_conditional)
    for j in range(len(log_variances)):  # coordinate j copied, as near a Heywood case
        start = log_variances.copy()
        start[j] = log_conditional[j] + np.log(0.01)
        yield start
    uniform = np.random.default_rng(0).uniform(size=(N_RANDOM_STARTS, len(log_variances)))
    yield from log_variances + uniform * (log_conditional - log_variances)


def _of_least_kl(best, root, n_dim, bounds):
    """Of the log Psi as good as `best` at beta = 1, the limit of the optima for beta -> 1."""
    lowest = _profile_cost(best, root, n_dim, 1.0)[0]
    tilted, answer = best, best
    for tilt in BETA_TILTS:
        tilted = _minimize(tilted, root, n_dim, 1.0 + tilt, bounds)
        if _profile_cost(tilted, root, n_dim, 1.0)[0] < lowest + 1e-9:
            answer = tilted
    return answer


def _minimize(log_variances, root, n_dim, beta, bounds, roughly=False):
    """A local minimum of the profile cost in log Psi, by Newton's method within the bounds."""
    lower, upper = bounds
    point = np.clip(log_variances, lower, upper)
    cost, slope, curvature = _profile_cost(point, root, n_dim, beta)
    for _ in range(200):
        free = ~(((point <= lower) & (slope > 0.0)) | ((point >= upper) & (slope < 0.0)))
        if not np.any(free) or np.max(np.abs(slope[free])) < (1e-5 if roughly else 1e-14):
            break
        eigenvalues, v = np.linalg.eigh(curvature()[np.ix_(free, free)])
        step = np.zeros(len(point))
        bent = np.maximum(np.abs(eigenvalues), 1e-10)  # also where the cost is concave or flat
        step[free] = -(v / bent) @ (v.T @ slope[free])
        step *= 2.0 / max(2.0, np.max(np.abs(step)))
        for size in 0.5 ** np.arange(40):
            trial = np.clip(point + size * step, lower, upper)
            new_cost, new_slope, new_curvature = _profile_cost(trial, root, n_dim, beta)
            expected = slope @ (trial - point)
            flat = abs(expected) < 1e-11 and np.sum(new_slope[free] ** 2) < np.sum(slope[free] ** 2)
            if flat or new_cost < cost + 1e-4 * expected:
                break
        else:
            break
        point, cost, slope, curvature = trial, new_cost, new_slope, new_curvature
    return point


def _directions(root, n_dim, beta, noise_variances):
    """Eigenvalues lambda (falling) and eigenvectors u of Phi^-1/2 C Phi^-1/2, Phi = beta Psi.

    root is a square root of C. Also what is left of each direction in units of Phi once it has been
    coded: 1 for an active one, lambda for the rest.
    """
    # Singular values: squaring first would lose the small ones beside those of a tiny variance.
    u, singular_values, _ = np.linalg.svd(root / np.sqrt(beta * noise_variances)[:, None])
    eigenvalues = singular_values**2
    active = (np.arange(len(eigenvalues)) < n_dim) & (eigenvalues > 1.0)
    return eigenvalues, u, np.where(active, 1.0, eigenvalues)


def _profile_cost(log_variances, root, n_dim, beta):
    """Lowest cost given log Psi, its gradient in log Psi, and a function that gives its Hessian.

    docs/theory.md, Eq. (5), (6) and (7).
    """
    eigenvalues, u, left = _directions(root, n_dim, beta, np.exp(log_variances))
    active = eigenvalues != left
    kl = 0.5 * np.sum(np.log(eigenvalues[active]))
    minus_log_px_z = 0.5 * np.sum(np.log(2.0 * np.pi) + log_variances + beta * left)

    def hessian():
        rest, coded = eigenvalues[~active], eigenvalues[active][:, None]
        u_rest, u_coded = u[:, ~active], u[:, active]
        matrix = (u_rest * rest @ u_rest.T) * (u_rest @ u_rest.T)
        factor = (coded + rest) * (1.0 - rest) / np.maximum(coded - rest, 1e-12 * coded)
        pairs = (u_coded[:, :, None] * u_rest[:, None, :]).reshape(len(u), -1)
        return 0.5 * beta * (matrix + pairs * factor.ravel() @ pairs.T)

    return beta * kl + minus_log_px_z, 0.5 - 0.5 * beta * (u**2 @ left), hessian


def _optimum_given_variances(root, n_dim, beta, noise_variances, attained=True):
    """The best W and encoder for the decoder variances Psi; docs/theory.md, Eq. (3) and (4)."""
    eigenvalues, u, left = _directions(root, n_dim, beta, noise_variances)
    data_dim = len(noise_variances)
    n_used = min(n_dim, data_dim)
    coded = eigenvalues / np.where(left == eigenvalues, eigenvalues, 1.0)  # 1 where not active
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
    covariance = root @ root.T
    model_covariance = weights @ weights.T + np.diag(noise_variances)
    dependence = 0.5 * np.sum(np.log(squared_errors)) - half_log_det + kl
    # In the coordinates u' Phi^-1/2 x the data's variances are lambda, the model's are these:
    model_ratios = beta * eigenvalues / (1.0 + beta * (eigenvalues - left))
    # KL of q(z|x), of variance 1 / lambda, from p(z|x), of precision 1 + beta (lambda - 1).
    v_ratios = (1.0 + beta * (coded - 1.0)) / coded
    mean_shifts = (coded - 1.0) * (1.0 - beta) / coded / (1.0 + beta * (coded - 1.0)) * (1.0 - beta)
    return Optimum(
        cost=beta * kl - log_px_z,
        kl=kl,
        log_px_z=log_px_z,
        elbo=log_px_z - kl,
        gap_model=_divergence(model_ratios),
        gap_encoder=_divergence(v_ratios) + 0.5 * np.sum(mean_shifts),
        conditional_total_correlation=max(0.0, dependence),
        decoder_mismatch=_divergence(ratios),
        distortion=np.sum(squared_errors),
        covariance_error=np.linalg.norm(model_covariance - covariance) / np.linalg.norm(covariance),
        active_units=int(np.sum(1.0 - 1.0 / coded > ACTIVE_UNIT_VARIANCE)),
        attained=attained,
        model_covariance=model_covariance,
        weights=weights,
        noise_variances=noise_variances,
        posterior_covariance=np.diag(posterior_variances),
    )


def _divergence(ratios):
    """KL of independent Gaussians from others of the same mean; ratios of their variances."""
    return 0.5 * np.sum(ratios - 1.0 - np.log(ratios))
