"""Samples of a model against the data: moments, marginals, and a test of the whole distribution."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import chi2, ks_2samp, norm

TESTED_ROWS = 1000  # of each sample; the permutation test needs all pairs of distances
PERMUTATIONS = 199


@dataclass(frozen=True)
class Comparison:
    """How far samples are from the data.

    mean_error: largest error of the mean of a dimension, in standard deviations (of the
        dimensions that vary).
    covariance_error: |C_samples - C| / |C|, Frobenius norms.
    ks: Kolmogorov-Smirnov statistic of each dimension, (data_dim,); ks_p its p-values.
    energy_distance, energy_p: see energy_test.
    """

    mean_error: float
    covariance_error: float
    ks: np.ndarray
    ks_p: np.ndarray
    energy_distance: float
    energy_p: float


def compare(samples, x, mean=None, covariance=None, seed=0):
    """Compare samples (M, data_dim) with data x (N, data_dim). Returns a Comparison.

    mean (data_dim,), covariance (data_dim, data_dim): the exact moments; None takes those of x.
    """
    if covariance is None:
        mean, covariance = x.mean(axis=0), np.atleast_2d(np.cov(x, rowvar=False))
    std = np.sqrt(np.diag(covariance))
    error_of_mean = np.abs(samples.mean(axis=0) - mean)[std > 0] / std[std > 0]
    tests = [ks_2samp(a, b) for a, b in zip(samples.T, x.T, strict=True)]
    distance, p_value = energy_test(samples, x, seed)
    return Comparison(
        mean_error=np.max(error_of_mean, initial=0.0),
        covariance_error=relative_error(np.cov(samples, rowvar=False), covariance),
        ks=np.array([test.statistic for test in tests]),
        ks_p=np.array([test.pvalue for test in tests]),
        energy_distance=distance,
        energy_p=p_value,
    )


def relative_error(matrix, reference):
    """|matrix - reference| / |reference| in the Frobenius norm."""
    return np.linalg.norm(np.atleast_2d(matrix) - reference) / np.linalg.norm(reference)


def energy_test(samples, x, seed=0):
    """Energy distance of two samples and the p-value of the permutation test that they agree.

    Szekely & Rizzo (2013): 2 E|X - Y| - E|X - X'| - E|Y - Y'|, zero only for equal distributions.
    At most TESTED_ROWS rows of each are used, drawn at random. The p-value counts how often
    randomly exchanged rows are at least as far apart: a false alarm at level a has
    probability a, whatever the distribution.
    """
    rng = np.random.default_rng(seed)
    samples, x = (rng.permutation(rows)[:TESTED_ROWS] for rows in (samples, x))
    both = np.concatenate([samples, x]).astype(np.float64)
    distances = cdist(both, both)
    # With the weights w = 1/M on samples and -1/N on data the statistic is -w' distances w.
    weights = np.repeat([1.0 / len(samples), -1.0 / len(x)], [len(samples), len(x)])
    shuffled = rng.permuted(np.tile(weights, (PERMUTATIONS, 1)), axis=1)
    observed = -weights @ distances @ weights
    exchanged = -np.einsum("pi,pi->p", shuffled @ distances, shuffled)
    return observed, (1 + np.count_nonzero(exchanged >= observed)) / (1 + PERMUTATIONS)


def mardia_test(x):
    """The p-value of the hypothesis that the rows of x (N, data_dim) are Gaussian.

    Mardia (1970, 1974): multivariate skewness, N/6 times of it chi-squared, and kurtosis, normal,
    both with their corrections for small N; the smaller p-value times two. x has a covariance of
    full rank. With no more than data_dim + 1 rows any data look alike: 1.
    """
    n, d = x.shape
    if n <= d + 1:
        return 1.0
    x = x - x.mean(axis=0, dtype=np.float64)
    white = np.linalg.solve(np.linalg.cholesky(x.T @ x / n), x.T)
    third_moments = np.einsum("in,jn,kn->ijk", white, white, white, optimize=True) / n
    factor = (d + 1) * (n + 1) * (n + 3) / (n * ((n + 1) * (d + 1) - 6))
    skewness = n / 6 * factor * np.sum(third_moments**2)
    p_skewness = chi2.sf(skewness, d * (d + 1) * (d + 2) / 6)
    kurtosis = np.mean(np.sum(white**2, axis=0) ** 2)
    expected = d * (d + 2) * (n - 1) / (n + 1)
    variance = 8 * d * (d + 2) * (n - 3) * (n - d - 1) * (n - d + 1)
    variance /= (n + 1) ** 2 * (n + 3) * (n + 5)
    p_kurtosis = 2 * norm.sf(abs(kurtosis - expected) / np.sqrt(variance))
    return min(1.0, 2 * min(p_skewness, p_kurtosis))


def print_comparison(samples, x, mean, covariance):
    """Compare each of the samples with the data x and print a table.

    samples: dict name -> (M, data_dim). mean and covariance: of the data, where they are known,
    else None. Returns a dict name -> Comparison, empty where there are too few rows to compare.
    """
    if min(len(rows) for rows in [x, *samples.values()]) < 2:
        print("too few rows to compare")
        return {}
    results = {name: compare(rows, x, mean, covariance) for name, rows in samples.items()}
    print(f"\n{'compared with the data':<34}" + "".join(f"{name:>17}" for name in results))
    for label, name in [
        ("largest error of a mean (in std)", "mean_error"),
        ("relative error of the covariance", "covariance_error"),
        ("energy distance", "energy_distance"),
        ("  p-value, same distribution", "energy_p"),
    ]:
        figures = "".join(f"{getattr(result, name):17.4f}" for result in results.values())
        print(f"{label:<34}{figures}")
    print("Kolmogorov-Smirnov distance of each marginal (p-value)")
    for j in range(x.shape[1]):
        figures = "".join(f"{r.ks[j]:9.4f} ({r.ks_p[j]:.3f})" for r in results.values())
        print(f"  {f'x{j + 1}':<32}{figures}")
    return results
