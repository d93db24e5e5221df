"""Samples of a model against the data: moments, marginals, and a test of the whole distribution."""

from dataclasses import dataclass

import numpy as np
import scipy  # scipy.stats loads where it is first used: it takes a third of a second
from scipy.spatial.distance import cdist

from training.random_streams import stream

TESTED_ROWS = 1000  # of each sample; the permutation test needs all pairs of distances
PERMUTATIONS = 199
SIMULATED_ROWS = 500  # of normal data for the null distribution of Mardia's statistics
SIMULATED_TESTS = 100, 1000  # at least and at most so many simulations,
SIMULATED_PRODUCTS = 2e9  # between them about as many products of numbers


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


def compare(samples, x, mean=None, covariance=None, seed=0, paired=False):
    """Compare samples (M, data_dim) with data x (N, data_dim). Returns a Comparison.

    mean (data_dim,), covariance (data_dim, data_dim): the exact moments; None takes those of x.
    paired: sample i was made from row i of x. The tests, which need independent samples, then take
    the samples of one half of the rows, drawn at random, and the other half of x.
    """
    if covariance is None:
        mean = x.mean(axis=0, dtype=np.float64)
        covariance = np.atleast_2d(np.cov(x, rowvar=False, dtype=np.float64))
    std = np.sqrt(np.diag(covariance))
    error_of_mean = np.abs(samples.mean(axis=0, dtype=np.float64) - mean)[std > 0] / std[std > 0]
    error_of_covariance = relative_error(np.cov(samples, rowvar=False), covariance)
    if paired:
        order = stream(seed, "compare", 0).permutation(len(x))
        samples, x = samples[order[: len(x) // 2]], x[order[len(x) // 2 :]]
    tests = [scipy.stats.ks_2samp(a, b) for a, b in zip(samples.T, x.T, strict=True)]
    distance, p_value = energy_test(samples, x, seed)
    return Comparison(
        mean_error=np.max(error_of_mean, initial=0.0),
        covariance_error=error_of_covariance,
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
    randomly exchanged rows are at least as far apart. For samples that are independent of each
    other, a false alarm at level a has probability a, for every multiple a of 1/200 and whatever
    the distribution.
    """
    rng = stream(seed, "compare", 1)
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

    Mardia (1970, 1974): multivariate skewness, too large, and kurtosis, too large or too small,
    with the null distributions of mardia_null; the smaller p-value times two. x has a covariance
    of full rank; with at most data_dim + 1 rows any data look alike: 1.
    """
    n, d = x.shape
    if n <= d + 1:
        return 1.0
    white = whiten(np.float64(x))
    return mardia_p_value(mardia_skewness(white), mardia_kurtosis(white), mardia_null(n, d))


def mardia_p_value(skewness, kurtosis, null):
    """The p-value of mardia_test from the two statistics and mardia_null."""
    of_skewness, of_kurtosis, of_minus_kurtosis = null
    of_sides = upper_tail(kurtosis, of_kurtosis), upper_tail(-kurtosis, of_minus_kurtosis)
    return min(1.0, 2.0 * min(upper_tail(skewness, of_skewness), 2.0 * min(of_sides)))


def mardia_null(n, d):
    """What Mardia's skewness, kurtosis and minus kurtosis are for n Gaussian rows, d columns.

    They don't depend on mean and covariance of the rows. With fewer than 10 rows a column: the
    values of simulated rows. Else mean, variance and skewness, of which both means and the variance
    of the kurtosis are known exactly (Mardia 1974). The others come from simulated rows, n of them,
    or SIMULATED_ROWS where n is above that: the skewness of the kurtosis then falls as 1 / sqrt(n),
    and the statistic of the skewness is a chi-squared variable times a constant. The lower tail of
    the kurtosis is shorter than the normal one that stands for it.
    """
    n_null = min(n, max(SIMULATED_ROWS, 5 * d))
    n_tests = int(np.clip(SIMULATED_PRODUCTS / (n_null * d**3), *SIMULATED_TESTS))
    rng = stream(0, "compare", 2)
    simulated = (whiten(rng.standard_normal((n_null, d))) for _ in range(n_tests))
    mean = d * (d + 2) * ((n + 1) * (d + 1) - 6) / ((n + 1) * (n + 3))
    if n > n_null:
        freedom = d * (d + 1) * (d + 2) / 6
        of_skewness = mean, 2.0 * mean**2 / freedom, np.sqrt(8.0 / freedom)
        kurtosis = np.array([mardia_kurtosis(white) for white in simulated])
    else:
        both = [(mardia_skewness(white), mardia_kurtosis(white)) for white in simulated]
        skewness, kurtosis = np.transpose(both)
        of_skewness = mean, np.var(skewness), scipy.stats.skew(skewness)
        if n < 10 * d:
            return skewness, kurtosis, -kurtosis

    mean = d * (d + 2) * (n - 1) / (n + 1)
    variance = 8 * d * (d + 2) * (n - 3) * (n - d - 1) * (n - d + 1)
    variance /= (n + 1) ** 2 * (n + 3) * (n + 5)
    third = scipy.stats.skew(kurtosis) * np.sqrt(n_null / n)
    return of_skewness, (mean, variance, third), (-mean, variance, 0.0)


def whiten(x):
    """The rows of x (N, data_dim) with mean 0 and covariance I, as columns: (data_dim, N)."""
    x = x - x.mean(axis=0)
    # No triangular solve: LAPACK would wake its threads for each of the small simulated samples.
    return np.linalg.inv(np.linalg.cholesky(x.T @ x / len(x))) @ x.T


def mardia_skewness(white):
    """Mean of (x_i' S^-1 x_j)^3 over all pairs of rows, by whiten(x): the sum of the squares of all
    third moments (i, j, k), those with i <= j, k times the number of orders of the indices.
    """
    skewness = 0.0
    for i in range(len(white)):
        squares = ((white[i:] * white[i]) @ white[i:].T / white.shape[1]) ** 2
        skewness += squares[0, 0] + 3.0 * (squares[0, 1:].sum() + squares[1:, 1:].sum())
    return skewness


def mardia_kurtosis(white):
    """Mean of (x_i' S^-1 x_i)^2 over the rows, by whiten(x)."""
    return np.mean(np.sum(white**2, axis=0) ** 2)


def upper_tail(value, null):
    """The probability of at least `value`, null being simulated values or three moments.

    Among simulated values by rank, `value` one of them. A mean, variance and skewness are those of
    a shifted gamma distribution.
    """
    if isinstance(null, np.ndarray):
        rounding = 1e-9 * np.abs(null)  # few rows may have the same statistic whatever they are
        return (1 + np.count_nonzero(null + rounding >= value)) / (1 + len(null))
    mean, variance, skewness = null
    return float(scipy.stats.pearson3.sf((value - mean) / np.sqrt(variance), skewness))


def print_comparison(samples, x, mean, covariance, paired=()):
    """Compare each of the samples with the data x and print a table.

    samples: dict name -> (M, data_dim). mean and covariance: of the data, where they are known,
    else None. paired: the names of samples whose row i was made from row i of x; see compare.
    Returns a dict name -> Comparison, empty where there are too few rows to compare.
    """
    least = 4 if paired else 2
    if min(len(rows) for rows in [x, *samples.values()]) < least:
        print("too few rows to compare")
        return {}
    results = {
        name: compare(rows, x, mean, covariance, paired=name in paired)
        for name, rows in samples.items()
    }
    print(f"\n{'compared with the data':<34}" + "".join(f"{name:>17}" for name in results))
    for label, name in [
        ("largest error of a mean (in std)", "mean_error"),
        ("relative error of the covariance", "covariance_error"),
        ("energy distance", "energy_distance"),
        ("  p-value, same distribution", "energy_p"),
    ]:
        values = "".join(f"{getattr(result, name):17.4f}" for result in results.values())
        print(f"{label:<34}{values}")
    print("Kolmogorov-Smirnov distance of each marginal (p-value)")
    for j in range(x.shape[1]):
        values = "".join(f"{r.ks[j]:9.4f} ({r.ks_p[j]:.3f})" for r in results.values())
        print(f"  {f'x{j + 1}':<32}{values}")
    for name in paired:
        print(f"{name}: tested on half of its rows against the other half of the data")
    return results
