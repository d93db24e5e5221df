"""Samples of a model against the data: moments, marginals, and a test of the whole distribution."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import ks_2samp

TESTED_ROWS = 1000  # of each sample; the permutation test needs all pairs of distances
PERMUTATIONS = 199


@dataclass(frozen=True)
class Comparison:
    """How far samples are from the data.

    mean_error: largest difference of the mean of a dimension, in the data's standard deviations.
    covariance_error: |C_samples - C_data| / |C_data|, Frobenius norms.
    ks: Kolmogorov-Smirnov statistic of each dimension, (data_dim,); ks_p its p-values.
    energy_distance, energy_p: see energy_test.
    """

    mean_error: float
    covariance_error: float
    ks: np.ndarray
    ks_p: np.ndarray
    energy_distance: float
    energy_p: float


def compare(samples, x, seed=0):
    """Compare samples (M, data_dim) with data x (N, data_dim). Returns a Comparison."""
    covariance = np.atleast_2d(np.cov(x, rowvar=False))
    tests = [ks_2samp(a, b) for a, b in zip(samples.T, x.T, strict=True)]
    distance, p_value = energy_test(samples, x, seed)
    return Comparison(
        mean_error=np.max(np.abs(samples.mean(0) - x.mean(0)) / np.sqrt(np.diag(covariance))),
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
