"""How the decoder variances psi of the best linear VAE are found where they are learned.

Given psi everything else is in closed form (docs/theory.md, section 3). psi is found by Newton's
method on what is left of the cost, a function of log psi (section 4):

- with n_dim >= data_dim, or where n_dim units are enough for the optimum with data_dim units,
  from one start, since that problem is convex: right to 1e-9 nats;
- else from data_dim + 16 starts, the same at every call. That agreed to 1e-8 nats with far longer
  searches up to 60 dimensions, which is evidence, not proof. Above those there are fewer starts
  (WORK), above 180 three, and a local minimum is promised, no more.
"""

import numpy as np
from scipy.optimize import brentq

from analysis.information import common_information

# Lower bound of a variance, in units of Var(x_j | the other coordinates). Keeping it costs about
# 1e-8 nats where the best variance is zero (a Heywood case).
VARIANCE_FLOOR = 1e-8
NEAR_THE_BOUND = np.log(1e4)  # a log variance as near as this may belong on its lower bound
WORK = 2e7  # starts times data_dim^3: some seconds
N_RANDOM_STARTS = 12
LEADING = 3  # so many of the rough searches are continued to the end
# Solutions at these beta - 1 lead to the one of least KL where beta = 1 has many.
BETA_TILTS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
NEARLY_ONE = 1.0 + 1e-6  # a beta below which no threshold is looked for


def best_noise_variances(covariance, n_dim, beta, min_log_std):
    """The best psi, (data_dim,), and whether a model attains it: False on its lower bound.

    At beta = 1, where many psi are equally good, the limit of beta -> 1 from above: the solution of
    least KL. Where the best psi has a zero (a Heywood case: beta = 1, too few units) it holds the
    lower bound instead: exp(2 min_log_std), or without one VARIANCE_FLOOR Var(x_j | others).
    """
    root = np.linalg.cholesky(covariance)
    bounds = log_variance_bounds(covariance, beta, min_log_std)
    lower, upper = bounds
    if beta == 1.0:
        common = common_information(covariance)
        if common.units <= n_dim and np.all(np.log(common.noise_variances) > lower):
            return common.noise_variances, True

    best = minimize(upper, root, len(root), beta, bounds)
    convex_cost = profile_cost(best, root, len(root), beta)[0]
    if profile_cost(best, root, n_dim, beta)[0] > convex_cost + 1e-12:  # n_dim units: not enough
        best = _lowest_minimum(best, root, n_dim, beta, bounds)
    if beta == 1.0:
        best = _of_least_kl(best, root, n_dim, bounds)
    best = _onto_the_bound(best, root, n_dim, beta, lower)
    on_the_bound = best <= lower
    if min_log_std is not None:  # VARIANCE_FLOOR may lie above it
        best[on_the_bound] = 2.0 * min_log_std
    return np.exp(best), not np.any(on_the_bound)


def log_variance_bounds(covariance, beta, min_log_std):
    """The box of log psi, two arrays: it holds every minimum, Heywood cases apart."""
    lower = np.log(VARIANCE_FLOOR / np.diag(np.linalg.inv(covariance)))
    if min_log_std is not None:
        bound = np.full(len(lower), 2.0 * min_log_std)
        lower = bound if beta < 1.0 else np.maximum(lower, bound)
    return lower, np.maximum(lower, np.log(np.diag(covariance)))


def _lowest_minimum(convex_minimum, root, n_dim, beta, bounds):
    """log psi of the lowest of the minima found from all starts."""

    def cost(log_variances):
        return profile_cost(log_variances, root, n_dim, beta)[0]

    n_starts = max(3, int(WORK / len(root) ** 3))
    starts = [convex_minimum, *_starts(root, upper=bounds[1])][:n_starts]
    found = [minimize(start, root, n_dim, beta, bounds, tolerance=1e-5) for start in starts]
    costs = np.round([cost(point) for point in found], 5)
    _, first = np.unique(costs, return_index=True)  # distinct local minima, lowest first
    leading = [minimize(found[i], root, n_dim, beta, bounds) for i in first[:LEADING]]
    return min(leading, key=cost)


def _starts(root, upper):
    """Starts for log psi, between the variances of the coordinates and what others leave open."""
    covariance = root @ root.T
    log_conditional = -np.log(np.diag(np.linalg.inv(covariance)))
    starts = [upper, log_conditional, 0.5 * (upper + log_conditional)]  # first: all units off
    rng = np.random.default_rng(0)
    for share in rng.uniform(size=(N_RANDOM_STARTS, len(upper))):
        starts.append(upper + share * (log_conditional - upper))
    # One coordinate copied, as near a Heywood case; first the one that explains most.
    std = np.sqrt(np.diag(covariance))
    squared_correlations = (covariance / np.outer(std, std)) ** 2
    np.fill_diagonal(squared_correlations, 0.0)
    explained = -np.sum(np.log1p(-squared_correlations), axis=1)
    for j in np.argsort(-explained):
        start = upper.copy()
        start[j] = log_conditional[j] + np.log(0.01)
        starts.append(start)
    return starts


def _of_least_kl(best, root, n_dim, bounds):
    """Of the minima at beta = 1 that cost the same, the limit of the optima from above."""
    lowest = profile_cost(best, root, n_dim, 1.0)[0]
    tilted = best
    for tilt in BETA_TILTS:
        tilted = minimize(tilted, root, n_dim, 1.0 + tilt, bounds)
        if profile_cost(tilted, root, n_dim, 1.0)[0] < lowest + 1e-9:
            best = tilted
    return best


def _onto_the_bound(log_variances, root, n_dim, beta, lower):
    """Moves coordinates that are near their bound onto it if the cost still falls there.

    Rounding ends the search above the bound, while the slope still shows the direction.
    """
    best = np.array(log_variances)
    cost, _, _ = profile_cost(best, root, n_dim, beta)
    for j in np.flatnonzero(best < lower + NEAR_THE_BOUND):
        trial = best.copy()
        trial[j] = lower[j]
        trial_cost, slope, _ = profile_cost(trial, root, n_dim, beta)
        if slope[j] > 0.0 and trial_cost < cost + 1e-8:
            best = trial
    return best


def minimize(log_variances, root, n_dim, beta, bounds, tolerance=1e-14):
    """A local minimum of the profile cost in log psi, by Newton's method within the bounds."""
    lower, upper = bounds
    point = np.clip(log_variances, lower, upper)
    cost, slope, hessian = profile_cost(point, root, n_dim, beta)
    for _ in range(200):
        held_below = (point <= lower) & (slope > 0.0)
        held_above = (point >= upper) & (slope < 0.0)
        free = ~(held_below | held_above)
        if not np.any(free) or np.max(np.abs(slope[free])) < tolerance:
            break
        eigenvalues, v = np.linalg.eigh(hessian()[np.ix_(free, free)])
        curvatures = np.maximum(np.abs(eigenvalues), 1e-10)  # also where the cost is concave
        step = np.zeros(len(point))
        step[free] = -(v / curvatures) @ (v.T @ slope[free])
        step *= 2.0 / max(2.0, np.max(np.abs(step)))
        for size in 0.5 ** np.arange(20):
            trial = np.clip(point + size * step, lower, upper)
            new_cost, new_slope, new_hessian = profile_cost(trial, root, n_dim, beta)
            expected = slope @ (trial - point)
            if expected < -1e-11:
                better = new_cost < cost + 1e-4 * expected
            else:  # rounding hides the change of the cost
                better = np.sum(new_slope[free] ** 2) < 0.25 * np.sum(slope[free] ** 2)
            if better:
                break
        else:
            break
        point, cost, slope, hessian = trial, new_cost, new_slope, new_hessian
    return point


def directions(root, n_dim, beta, noise_variances):
    """Eigenvalues lambda (falling) and eigenvectors u of Phi^-1/2 C Phi^-1/2, Phi = beta Psi.

    root is a square root of C. Also what is left of each direction in units of Phi once it has been
    coded: 1 for an active one, lambda for the rest.
    """
    # Singular values: squaring first would lose the small ones beside those of a tiny variance.
    u, singular_values, _ = np.linalg.svd(root / np.sqrt(beta * noise_variances)[:, None])
    eigenvalues = singular_values**2
    active = (np.arange(len(eigenvalues)) < n_dim) & (eigenvalues > 1.0)
    return eigenvalues, u, np.where(active, 1.0, eigenvalues)


def profile_cost(log_variances, root, n_dim, beta):
    """Lowest cost given log psi, its gradient in log psi, and a function that gives its Hessian.

    docs/theory.md, Eq. (5), (6) and (7).
    """
    eigenvalues, u, left = directions(root, n_dim, beta, np.exp(log_variances))
    active = eigenvalues != left
    kl = 0.5 * np.sum(np.log(eigenvalues[active]))
    minus_log_px_z = 0.5 * np.sum(np.log(2.0 * np.pi) + log_variances + beta * left)
    gradient = 0.5 - 0.5 * beta * (u**2 @ left)

    def hessian():
        rest, coded = eigenvalues[~active], eigenvalues[active][:, None]
        u_rest, u_coded = u[:, ~active], u[:, active]
        matrix = (u_rest * rest @ u_rest.T) * (u_rest @ u_rest.T)
        factor = (coded + rest) * (1.0 - rest) / np.maximum(coded - rest, 1e-12 * coded)
        pairs = (u_coded[:, :, None] * u_rest[:, None, :]).reshape(len(u), -1)
        return 0.5 * beta * (matrix + pairs * factor.ravel() @ pairs.T)

    return beta * kl + minus_log_px_z, gradient, hessian


def thresholds_above_one(covariance, n_dim, min_log_std):
    """The betas above 1 at which the units go, falling: an array of at most n_dim.

    On the optimum with data_dim units, which is unique: the first n_dim of its units go at the same
    betas with n_dim units. That each eigenvalue lambda_k falls through 1 once is a conjecture.
    """
    data_dim = len(covariance)
    root = np.linalg.cholesky(covariance)
    bounds = log_variance_bounds(covariance, NEARLY_ONE, min_log_std)
    collapsed = bounds[1]
    nearest = minimize(collapsed, root, data_dim, NEARLY_ONE, bounds)
    eigenvalues, _, _ = directions(root, data_dim, NEARLY_ONE, np.exp(nearest))
    n_units = np.sum(eigenvalues[:n_dim] > 1.0001)  # the search leaves errors of 1e-5 near beta 1
    if n_units == 0:
        return np.array([])
    # The collapsed model is the optimum from the largest eigenvalue of Psi^-1/2 C Psi^-1/2 on.
    last = directions(root, data_dim, 1.0, np.exp(collapsed))[0][0]
    thresholds = [last]
    for k in range(1, n_units):

        def log_eigenvalue(beta, k=k):
            """It falls through 0 where unit k goes."""
            log_variances = minimize(nearest, root, data_dim, beta, bounds)
            return np.log(directions(root, data_dim, beta, np.exp(log_variances))[0][k])

        if log_eigenvalue(last) < 0.0:  # else it goes with the one before
            last = brentq(log_eigenvalue, NEARLY_ONE, last, xtol=1e-10)
        thresholds.append(last)
    return np.array(thresholds)
