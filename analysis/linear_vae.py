"""Exact answers for the VAE and the beta-VAE on Gaussian data; derived in docs/theory.md.

Everything is in nats. A covariance is (data_dim, data_dim), symmetric and positive definite; a
ValueError says what is wrong with one that is not.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.optimize import minimize

from analysis.information import check_covariance

# A direction with a KL of 1e-4 nats lowers the cost by about beta * 1e-8 nats, which is as far
# as the numerical search can be trusted to tell it from a direction that the model leaves unused.
ACTIVE_KL = 1e-4
# Lower bound of a noise variance, in units of Var(x_j | the other coordinates). Keeping it costs
# about 1e-8 nats where the best variance is zero (a Heywood case).
VARIANCE_FLOOR = 1e-8
N_RANDOM_STARTS = 12
LARGE = 20  # dimensions above which three starts must do: a search takes minutes there
# Solutions at these beta - 1 lead to the one of least KL where beta = 1 has many.
BETA_TILTS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)


@dataclass(frozen=True, eq=False)
class Optimum:
    """The best linear model, with encoder q(z|x) = N(A (x - mean), V), decoder N(W z + mean, Psi).

    Terms are expectations over the data and over z drawn from q(z|x), in nats per data point:

    cost: beta * kl - log_px_z, the minimum.
    kl: KL of q(z|x) from N(0, I), the rate.
    log_px_z: log-likelihood of x under the decoder.
    elbo: log_px_z - kl, whatever beta is.
    distortion: E|x - mean_x(z)|^2, summed over dimensions (not in nats).
    active_units: number of latent directions whose KL is above 1e-4 nats.
    weights: W, (data_dim, n_dim); columns by falling KL, zero for an unused direction. W is
        determined up to the sign of its columns.
    noise_variances: the diagonal of Psi, (data_dim,).
    posterior_covariance: V, (n_dim, n_dim), diagonal. The encoder is A = V W' Psi^-1 / beta.
    """

    cost: float
    kl: float
    log_px_z: float
    elbo: float
    distortion: float
    active_units: int
    weights: np.ndarray
    noise_variances: np.ndarray
    posterior_covariance: np.ndarray


def linear_optimum(covariance, n_dim, beta=1.0):
    """The best linear beta-VAE with a learned, constant, diagonal decoder variance, beta >= 1.

    At beta = 1 it is factor analysis, and its cost the entropy where C = W W' + Psi can be solved.
    All but Psi is in closed form (docs/theory.md, section 3); Psi is found numerically from many
    starts, the same at every call, to about 1e-8 nats.

    beta = 1 has two special cases. Where the best Psi has a zero (a Heywood case) the infimum is
    not attained: kl and log_px_z diverge together. The model returned keeps at least 1e-8
    Var(x_j | other coordinates), has a cost within about 1e-8 nats of the infimum, and its kl and
    log_px_z are those of that variance (a kl of about 9 nats or more a coordinate). Where many Psi
    are equally good (n_dim above the number of factors) it is the one of least kl, the limit of
    beta -> 1 from above.

    Returns an Optimum. Raises ValueError for beta < 1, where the cost has no minimum.
    """
    covariance = _check_model(covariance, n_dim, beta)
    if beta < 1.0:
        raise ValueError(
            f"beta must be at least 1 where decoder variances are learned, not {beta}: below 1 the "
            f"cost has no minimum, since a latent that copies one coordinate lets its variance psi "
            f"go to 0 and the cost fall with (1 - beta)/2 log(psi); fix the decoder's std"
        )
    conditional = 1.0 / np.diag(np.linalg.inv(covariance))  # Var(x_j | the other coordinates)
    lower, upper = np.log(VARIANCE_FLOOR * conditional), np.log(np.diag(covariance))
    bounds = list(zip(lower, upper, strict=True))
    root = np.linalg.cholesky(covariance)

    def search(start, beta, method, options):
        cost = partial(_profile_cost, root=root, n_dim=n_dim, beta=beta)
        return minimize(cost, start, jac=True, method=method, bounds=bounds, options=options)

    # L-BFGS-B takes fewer steps, but each is 10 times slower when the machine is busy (threads).
    rough = {"method": "TNC", "options": {"maxfun": 300, "ftol": 1e-13, "xtol": 1e-13}}
    fine = {"method": "L-BFGS-B", "options": {"maxiter": 2000, "ftol": 0.0, "gtol": 1e-10}}
    found = [search(start, beta, **rough) for start in _starts(upper, np.log(conditional))]
    best = search(min(found, key=lambda result: result.fun).x, beta, **fine)
    least_kl = best
    for tilt in BETA_TILTS:
        least_kl = search(least_kl.x, max(beta, 1.0 + tilt), **fine)
    least_kl = search(least_kl.x, beta, **fine)
    log_variances = least_kl.x if least_kl.fun < best.fun + 1e-9 else best.x
    return _optimum_given_variances(root, n_dim, beta, np.exp(log_variances))


def cost_of_rows(optimum, beta, x, mean, covariance):
    """The cost of each row of x (B, data_dim) under an Optimum of N(mean, covariance), (B,).

    Its expectation over N(mean, covariance) is optimum.cost; on given rows it takes the luck of
    the draw out of a comparison. It is beta/2 times the squared Mahalanobis distance of the row
    under W W' + beta Psi, and a constant (docs/theory.md).
    """
    spread = optimum.weights @ optimum.weights.T + np.diag(beta * optimum.noise_variances)
    white = np.linalg.solve(np.linalg.cholesky(spread), (np.float64(x) - mean).T)
    expected = np.trace(np.linalg.solve(spread, covariance))
    return optimum.cost + 0.5 * beta * (np.sum(white**2, axis=0) - expected)


def fixed_std_optimum(covariance, n_dim, beta, decoder_std):
    """The best linear beta-VAE whose decoder has the given standard deviation in every dimension.

    Closed form for any beta > 0: principal direction i, of variance l_i, is active iff it is one of
    the first n_dim and l_i > beta * decoder_std^2. With n_dim >= data_dim no model with this
    decoder std, linear or not, has a lower cost. Returns an Optimum.
    """
    covariance = _check_model(covariance, n_dim, beta)
    _check_positive(decoder_std, "decoder_std")
    noise_variances = np.full(len(covariance), float(decoder_std) ** 2)
    return _optimum_given_variances(np.linalg.cholesky(covariance), n_dim, beta, noise_variances)


def shared_std_optimum(covariance, n_dim, beta):
    """The best linear beta-VAE with one learned decoder variance, the same in every dimension.

    Closed form; at beta = 1 it is probabilistic PCA (Tipping & Bishop 1999). There is a minimum for
    any beta > 0 if n_dim < data_dim, since the variance must cover the directions left out. With
    n_dim >= data_dim there is one for beta >= 1 only, and at beta = 1 every variance up to the
    smallest eigenvalue is equally good: the answer is then the largest of them.

    Returns an Optimum. Raises ValueError where the cost has no minimum.
    """
    covariance = _check_model(covariance, n_dim, beta)
    data_dim = len(covariance)
    if n_dim >= data_dim and beta < 1.0:
        raise ValueError(
            f"beta must be at least 1 where n_dim ({n_dim}) is not below data_dim ({data_dim}), "
            f"not {beta}: the cost has no minimum, since it falls with data_dim (1 - beta)/2 "
            f"log(variance) as the learned variance goes to 0; fix the decoder's std"
        )
    eigenvalues = np.linalg.eigvalsh(covariance)[::-1]
    # The fewest active directions k whose stationary variance leaves direction k + 1 unused; the
    # loop ends before data_dim - beta * k reaches 0 (docs/theory.md, section 5).
    for k in range(min(n_dim, data_dim - 1) + 1):
        variance = np.sum(eigenvalues[k:]) / (data_dim - beta * k)
        if k == n_dim or beta * variance >= eigenvalues[k]:
            break
    noise_variances = np.full(data_dim, variance)
    return _optimum_given_variances(np.linalg.cholesky(covariance), n_dim, beta, noise_variances)


def _check_model(covariance, n_dim, beta):
    if isinstance(n_dim, bool) or not isinstance(n_dim, int | np.integer) or n_dim < 1:
        raise ValueError(f"n_dim must be a whole number of at least 1, not {n_dim!r}")
    _check_positive(beta, "beta")
    return check_covariance(covariance)


def _check_positive(value, name):
    if not (np.ndim(value) == 0 and np.isfinite(value) and value > 0.0):
        raise ValueError(f"{name} must be a positive finite number, not {value!r}")


def _starts(log_variances, log_conditional):
    """Starts for log Psi, between the variances of the coordinates and what others leave open."""
    yield log_variances  # the collapsed model
    yield log_conditional
    yield 0.5 * (log_variances + log_conditional)
    if len(log_variances) > LARGE:
        return
    for j in range(len(log_variances)):  # coordinate j copied, as near a Heywood case
        start = log_variances.copy()
        start[j] = log_conditional[j] + np.log(0.01)
        yield start
    uniform = np.random.default_rng(0).uniform(size=(N_RANDOM_STARTS, len(log_variances)))
    yield from log_variances + uniform * (log_conditional - log_variances)


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
    """Lowest cost given log Psi, and its gradient in log Psi; docs/theory.md, Eq. (5) and (6)."""
    eigenvalues, u, left = _directions(root, n_dim, beta, np.exp(log_variances))
    kl = 0.5 * np.sum(np.log(eigenvalues / left))
    minus_log_px_z = 0.5 * np.sum(np.log(2.0 * np.pi) + log_variances + beta * left)
    return beta * kl + minus_log_px_z, 0.5 - 0.5 * beta * (u**2 @ left)


def _optimum_given_variances(root, n_dim, beta, noise_variances):
    """The best W and encoder for the decoder variances Psi; docs/theory.md, Eq. (3) and (4)."""
    eigenvalues, u, left = _directions(root, n_dim, beta, noise_variances)
    data_dim = len(noise_variances)
    n_used = min(n_dim, data_dim)
    kl_of_direction = 0.5 * np.log(eigenvalues / left)[:n_used]
    weights = np.zeros((data_dim, n_dim))
    all_weights = np.sqrt(beta * noise_variances)[:, None] * u * np.sqrt(eigenvalues - left)
    weights[:, :n_used] = all_weights[:, :n_used]
    posterior_variances = np.ones(n_dim)
    posterior_variances[:n_used] = np.exp(-2.0 * kl_of_direction)
    squared_errors = beta * noise_variances * (u**2 @ left)  # E(x - W z)_j^2, without cancellation
    minus_2_log_px_z = np.log(2.0 * np.pi * noise_variances) + squared_errors / noise_variances
    log_px_z = -0.5 * np.sum(minus_2_log_px_z)
    kl = np.sum(kl_of_direction)
    return Optimum(
        cost=float(beta * kl - log_px_z),
        kl=float(kl),
        log_px_z=float(log_px_z),
        elbo=float(log_px_z - kl),
        distortion=float(np.sum(squared_errors)),
        active_units=int(np.sum(kl_of_direction > ACTIVE_KL)),
        weights=weights,
        noise_variances=noise_variances,
        posterior_covariance=np.diag(posterior_variances),
    )
