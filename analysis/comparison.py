"""Samples of a model against the data: moments, marginals, and a test of the whole distribution."""

from dataclasses import dataclass

import numpy as np
import scipy  # scipy.stats loads where it is first used: it takes a third of a second
from scipy.spatial.distance import cdist

from training.random_streams import stream

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
