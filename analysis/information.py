"""What is known exactly of Gaussian data: entropy, log-density, rate-distortion function.

Everything is in nats. A covariance is (data_dim, data_dim), symmetric and positive definite; a
ValueError says what is wrong with one that is not.
"""

import numpy as np
from scipy.linalg import solve_triangular


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
    smallest = np.linalg.eigvalsh(covariance / np.outer(std, std))[0]
    if smallest < 1e-12:
        problem = "not positive semi-definite" if smallest < -1e-12 else "singular"
        raise ValueError(
            f"covariance must be positive definite, but is {problem}: the smallest eigenvalue of "
            f"its correlation matrix is {smallest:.3g}"
        )
    return covariance


def entropy(covariance):
    """Entropy of N(m, covariance); no model of such data has a mean ELBO above its negative."""
    covariance = check_covariance(covariance)
    return 0.5 * float(np.linalg.slogdet(2.0 * np.pi * np.e * covariance)[1])


def log_density(x, mean, covariance):
    """log N(x; mean, covariance) of each row of x, (B, data_dim) -> (B,)."""
    covariance = check_covariance(covariance)
    x, mean = np.asarray(x, dtype=np.float64), np.asarray(mean, dtype=np.float64)
    data_dim = len(covariance)
    if mean.shape != (data_dim,):
        raise ValueError(f"mean must have shape ({data_dim},), not {mean.shape}")
    if x.ndim != 2 or x.shape[1] != data_dim:
        raise ValueError(f"x must have shape (rows, {data_dim}), not {x.shape}")
    root = np.linalg.cholesky(covariance)
    white = solve_triangular(root, (x - mean).T, lower=True)
    log_normalizer = 0.5 * data_dim * np.log(2.0 * np.pi) + np.sum(np.log(np.diag(root)))
    return -0.5 * np.sum(white**2, axis=0) - log_normalizer


def mean_log_density(x, mean, covariance):
    """Mean over the rows of x (B, data_dim) of log N(x; mean, covariance)."""
    return float(np.mean(log_density(x, mean, covariance)))


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
    if not np.all(np.isfinite(distortion) & (distortion > 0.0)):
        raise ValueError(f"distortion must be positive and finite, not {distortion}")
    eigenvalues = np.linalg.eigvalsh(covariance)
    # D = sum_i min(l_i, level) is piecewise linear in the level, with its corners at the l_i.
    corners = np.minimum(eigenvalues, eigenvalues[:, None]).sum(axis=1)
    level = np.interp(distortion, np.append(0.0, corners), np.append(0.0, eigenvalues))[..., None]
    return 0.5 * np.sum(np.log(np.maximum(eigenvalues, level) / level), axis=-1)
