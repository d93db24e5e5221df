"""What is known exactly about Gaussian data: entropy, rate-distortion, Wyner's common information.

Everything is in nats. A covariance is (data_dim, data_dim), symmetric and positive definite; a
ValueError says what is wrong with one that is not. Derivations are in docs/theory.md.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import solve_triangular

BARRIER_END = 1e-10  # the duality gap left is data_dim / 2 times this
MOST_DIMENSIONS = 250  # above these the common information would take minutes


def check_covariance(covariance):
    """The covariance as a float64 array; ValueError saying what is wrong with it."""
    covariance = np.asarray(covariance, dtype=np.float64)
    if covariance.ndim != 2 or covariance.shape[0] != covariance.shape[1] or covariance.size == 0:
        raise ValueError(f"covariance must be a square matrix, not of shape {covariance.shape}")
    if not np.all(np.isfinite(covariance)):
        raise ValueError("covariance must be finite, but holds nan or infinity")
    if not np.allclose(covariance, covariance.T, rtol=0.0, atol=1e-8 * np.max(np.abs(covariance))):
        raise ValueError("covariance must be symmetric, but differs from its transpose")
    variances = np.diag(covariance)
    if np.min(variances) <= 0.0:
        raise ValueError(f"covariance must have positive variances, but has {np.min(variances)}")
    # Of the correlations, so that the answer does not depend on the units of the coordinates.
    std = np.sqrt(variances)
    correlations = covariance / np.outer(std, std)
    try:
        np.linalg.cholesky(correlations - 1e-12 * np.eye(len(std)))  # far faster than eigvalsh
    except np.linalg.LinAlgError:
        smallest = np.linalg.eigvalsh(correlations)[0]
        problem = "not positive semi-definite" if smallest < -1e-12 else "singular"
        raise ValueError(
            f"covariance must be positive definite, but is {problem}: the smallest eigenvalue of "
            f"its correlation matrix is {smallest:.3g}"
        ) from None
    return covariance


def relative_error(matrix, reference):
    """|matrix - reference| / |reference| in the Frobenius norm."""
    return np.linalg.norm(matrix - reference) / np.linalg.norm(reference)


def entropy(covariance):
    """Entropy of N(m, covariance); no model of such data has a mean ELBO above its negative."""
    covariance = check_covariance(covariance)
    return 0.5 * float(np.linalg.slogdet(2.0 * np.pi * np.e * covariance)[1])


@dataclass(frozen=True, eq=False)
class Gaussian:
    """N(mean, covariance): mean (data_dim,), covariance (data_dim, data_dim), float64."""

    mean: np.ndarray
    covariance: np.ndarray

    @cached_property
    def root(self):
        """The Cholesky factor of the covariance."""
        return np.linalg.cholesky(check_covariance(self.covariance))

    def log_density(self, x):
        """log N(x; mean, covariance) of each row of x, (N, data_dim) -> (N,)."""
        white = solve_triangular(self.root, (np.float64(x) - self.mean).T, lower=True)
        log_normalizer = np.sum(0.5 * np.log(2.0 * np.pi) + np.log(np.diag(self.root)))
        return -0.5 * np.sum(white**2, axis=0) - log_normalizer

    def draw(self, size, rng):
        """`size` independent points, (size, data_dim) float64, of which 24 bits are random.

        The deviations from the mean are drawn in float32 and the mean is added in float64, so that
        a mean far above the std costs no digits. A mean of the order of the std is rounded to
        float32 first, so that the rows, rounded to float32, are those of float32 arithmetic, bit
        for bit.
        """
        noise = rng.standard_normal((size, len(self.mean)), dtype=np.float32)
        deviations = noise @ self.root.T.astype(np.float32)
        is_small = np.abs(self.mean) < 10.0 * np.sqrt(np.diag(self.covariance))
        mean = np.where(is_small, self.mean.astype(np.float32), self.mean)
        return deviations.astype(np.float64) + mean


def rate_distortion(covariance, distortion):
    """Rate-distortion function R(D) of N(m, covariance) for squared error, in nats.

    distortion: D > 0, a number or an array, the squared error summed over dimensions. Returns R of
    the same shape, 0 where D is the total variance or more. By reverse water-filling on the
    eigenvalues (Cover & Thomas 2006, section 10.3.3).

    No model of such data, linear or not, has a KL term below R(D), D being its expected squared
    error E|x - mean_x(z)|^2 with z drawn from q(z|x); with z = mean_z(x) it may (docs/theory.md).
    """
    covariance = check_covariance(covariance)
    distortion = np.asarray(distortion, dtype=np.float64)
    eigenvalues = np.linalg.eigvalsh(covariance)
    # D = sum_i min(l_i, level) is piecewise linear in the level, with its corners at the l_i.
    corners = np.minimum(eigenvalues, eigenvalues[:, None]).sum(axis=1)
    level = np.interp(distortion, np.append(0.0, corners), np.append(0.0, eigenvalues))[..., None]
    return 0.5 * np.sum(np.log(np.maximum(eigenvalues, level) / level), axis=-1)


def total_correlation(covariance):
    """Total correlation of N(m, covariance): the sum of the entropies of its parts less its own.

    The dependence among the coordinates (Watanabe 1960); 0 only where they are independent.
    """
    covariance = check_covariance(covariance)
    return 0.5 * float(np.sum(np.log(np.diag(covariance))) - np.linalg.slogdet(covariance)[1])


@dataclass(frozen=True, eq=False)
class CommonInformation:
    """Wyner's common information of N(m, C) and the proof that it is that.

    Psi is feasible for the problem and M for its dual, so nats lies at most duality_gap above the
    common information. At the exact solution M (C - Psi) = 0 and M_jj = 1 / psi_j (KKT).
    """

    nats: float  # 1/2 log(det C / prod psi), what z tells about x
    units: int  # rank of C - Psi: latent units, apart from those of a variance below about 1e-5
    noise_variances: np.ndarray  # psi, (data_dim,); C - Psi is positive definite, barely
    dual: np.ndarray  # M, (data_dim, data_dim), positive definite
    duality_gap: float  # 1/2 [tr M C - data_dim - sum log(psi_j M_jj)], rounding included


def common_information(covariance):
    """Wyner's common information of a Gaussian vector: how many nats explain its dependence.

    The least I(x; z) of any z given which the coordinates of x are independent (Wyner 1975; Xu, Liu
    & Chen 2013 for vectors). For N(m, C) it is the maximum-determinant problem

        min 1/2 log(det C / prod psi_j)  over Psi = diag(psi) with C - Psi positive semi-definite,

    convex in psi (docs/theory.md, section 7), solved by Newton's method on the barrier
    log det(C - Psi) until duality_gap is data_dim * 5e-11. No best psi is ever 0, so there are no
    Heywood cases; where C is so close to singular that rounding ends the search earlier (the
    smallest eigenvalue of the correlations below about 1e-9) duality_gap says what is left.

    Returns a CommonInformation; None above MOST_DIMENSIONS.
    """
    covariance = check_covariance(covariance)
    if len(covariance) > MOST_DIMENSIONS:
        return None
    root = np.linalg.cholesky(covariance)
    std = np.sqrt(np.diag(covariance))
    smallest = np.linalg.eigvalsh(covariance / np.outer(std, std))[0]
    psi = 0.5 * smallest * std**2
    dual = None
    barrier = 1.0
    while barrier >= BARRIER_END:
        point = _central_point(root, psi, barrier)
        if point is None:
            break
        psi, dual = point
        barrier = 0.1 * barrier
    excess, _ = _excess(root, psi)
    terms = dual * (covariance - np.diag(psi))
    rounding = np.finfo(float).eps * np.sum(np.abs(terms))
    ratios = np.diag(dual) * psi  # 1 where M_jj = 1 / psi_j
    return CommonInformation(
        nats=float(np.sum(np.log(np.diag(root))) - 0.5 * np.sum(np.log(psi))),
        # On the barrier's path the eigenvalues of Psi^-1/2 (C - Psi) Psi^-1/2 and of its dual have
        # the product BARRIER_END, and in the end one of each two is 0: the smaller.
        units=int(np.sum(excess > np.sqrt(BARRIER_END))),
        noise_variances=psi,
        dual=dual,
        duality_gap=0.5 * float(np.sum(terms) + np.sum(ratios - 1.0 - np.log(ratios)) + rounding),
    )


def _excess(root, psi):
    """Eigenvalues (falling) and vectors of Psi^-1/2 (C - Psi) Psi^-1/2; root is a root of C.

    By singular values, which keep the digits of an eigenvalue near 0 beside those of large ones.
    """
    u, singular_values, _ = np.linalg.svd(root / np.sqrt(psi)[:, None])
    return (singular_values - 1.0) * (singular_values + 1.0), u


def _central_point(root, psi, barrier):
    """psi that maximizes sum(log psi) + barrier * log det(C - Psi), by Newton's method.

    psi: a start with C - Psi positive definite. Returns psi and the dual matrix M that its last
    step implies; None where rounding spoils the steps.
    """
    excess, u = _excess(root, psi)
    for _ in range(100):
        if excess[-1] <= 0.0:
            return None
        inverse = (u / excess) @ u.T
        slope = 1.0 - barrier * np.diag(inverse)
        step = np.linalg.solve(np.eye(len(psi)) + barrier * inverse**2, slope)
        decrement = np.sqrt(max(0.0, slope @ step) / barrier)
        if decrement < 0.01:
            dual = barrier * (inverse + inverse * step @ inverse)
            return psi, dual / np.sqrt(np.outer(psi, psi))
        value = (1.0 + barrier) * np.sum(np.log(psi)) + barrier * np.sum(np.log(excess))
        size = 1.0
        while size > 1e-9:
            trial = psi * np.maximum(1.0 + size * step, 0.01)
            excess, u = _excess(root, trial)
            if excess[-1] > 0.0:
                new = (1.0 + barrier) * np.sum(np.log(trial)) + barrier * np.sum(np.log(excess))
                if decrement < 0.25 or new > value:
                    break
            size = 0.5 * size
        psi = trial
    return None


def pair_relaxed_common_information(rho, gamma):
    """The least I(x; z) that leaves a Gaussian pair of correlation rho at most gamma of dependence.

    Sula & Gastpar (arXiv:1912.07083), for any z, Gaussian or not: the relaxed common
    information, Wyner's at gamma 0. rho in (-1, 1), gamma >= 0: numbers or arrays. In nats.
    """
    rho, gamma = np.abs(np.asarray(rho, np.float64)), np.asarray(gamma, np.float64)
    s = np.sqrt(-np.expm1(-2.0 * gamma))  # the correlation left, since gamma = -1/2 log(1 - s^2)
    return np.maximum(0.0, np.arctanh(rho) - np.arctanh(s))
