"""Samples of a model against the data: moments, marginals, and a test of the whole distribution."""

from dataclasses import dataclass

import numpy as np
import scipy  # scipy.stats loads where it is first used: it takes a third of a second
from scipy.spatial.distance import cdist

from analysis.information import relative_error
from training.random_streams import stream
from training.standardization import moments

COMPARED_ROWS = 100_000  # at most, of the samples and of the data each
COMPARED_NUMBERS = 10_000_000  # that these rows hold at most, so wide ones are fewer
TESTED_ROWS = 1000  # of each sample; the permutation test needs all pairs of distances
PERMUTATIONS = 199
SHOWN_COLUMNS = 20  # whose marginals the screen shows


def compared_rows(data_dim):
    """How many rows of samples and of data are compared at most, so that the work is bounded."""
    return min(COMPARED_ROWS, max(TESTED_ROWS, COMPARED_NUMBERS // data_dim))


@dataclass(frozen=True)
class Comparison:
    """How far samples are from the data.

    mean_error: largest error of the mean of a dimension, in standard deviations of the data.
    covariance_error: |C_samples - C| / |C|, Frobenius norms, in the same units: |C| is that of the
        correlations.
    ks: Kolmogorov-Smirnov statistic of each dimension, (data_dim,); ks_p its p-values.
    energy_distance, energy_p: see energy_test.
    paired: sample i was made from row i of the data; see compare.
    """

    mean_error: float
    covariance_error: float
    ks: np.ndarray
    ks_p: np.ndarray
    energy_distance: float
    energy_p: float
    paired: bool


def compare(samples, x, known=None, seed=0, paired=False):
    """Compare samples (M, data_dim) with data x (N, data_dim), both in units of the data.

    known: the distribution of the data, with `mean` (data_dim,) and `covariance`; None takes the
    moments of x. paired: sample i was made from row i of x. The tests, which need independent
    samples, then take the samples of one half of the rows, drawn at random, and the other half of
    x. Returns a Comparison, or None for fewer than two rows to test on either side.
    """
    if min(len(samples), len(x)) < (4 if paired else 2):
        return None
    mean, covariance = moments(x) if known is None else (known.mean, known.covariance)
    std = np.sqrt(np.diag(covariance))
    std = np.where(std > 0.0, std, np.inf)  # a column that does not vary counts for nothing
    mean_of_samples, covariance_of_samples = moments(samples)
    products = np.outer(std, std)
    if paired:
        order = stream(seed, "compare", 0).permutation(len(x))
        half = len(x) // 2
        samples, x = samples[order[:half]], x[order[half:]]
    of_marginals = scipy.stats.ks_2samp(samples, x)
    distance, p_value = energy_test(samples, x, seed)
    return Comparison(
        mean_error=np.max(np.abs(mean_of_samples - mean) / std),
        covariance_error=relative_error(covariance_of_samples / products, covariance / products),
        ks=of_marginals.statistic,
        ks_p=of_marginals.pvalue,
        energy_distance=distance,
        energy_p=p_value,
        paired=paired,
    )


def energy_test(samples, x, seed=0):
    """Energy distance of two samples and the p-value of the permutation test that they agree.

    Szekely & Rizzo (2013): 2 E|X - Y| - E|X - X'| - E|Y - Y'|, zero only for equal distributions.
    Each column is measured in its standard deviation over both samples together, so that none
    counts for its unit. At most TESTED_ROWS rows of each are used, drawn at random. The p-value
    counts how often randomly exchanged rows are at least as far apart. For samples that are
    independent of each other, a false alarm at level a has at most the probability a, whatever the
    distribution; exactly that for every multiple a of 1/200, unless exchanges tie.
    """
    rng = stream(seed, "compare", 1)
    samples = rng.permutation(samples)[:TESTED_ROWS]
    x = rng.permutation(x)[:TESTED_ROWS]
    both = np.concatenate([samples, x]).astype(np.float64)
    both -= both.mean(axis=0)
    std = both.std(axis=0)
    both /= np.where(std > 0.0, std, 1.0)
    distances = cdist(both, both)
    # With the weights w = 1/M on samples and -1/N on data the statistic is -w' distances w.
    weights = np.repeat([1.0 / len(samples), -1.0 / len(x)], [len(samples), len(x)])
    shuffled = rng.permuted(np.tile(weights, (PERMUTATIONS, 1)), axis=1)
    observed = -weights @ distances @ weights
    exchanged = -np.sum((shuffled @ distances) * shuffled, axis=1)
    rounding = 1e-12 * np.max(distances)  # of exchanges that tie
    as_far = np.count_nonzero(exchanged >= observed - rounding)
    return observed, (1 + as_far) / (1 + PERMUTATIONS)


def print_comparison(results, names):
    """Print a table of Comparisons with the data, name -> Comparison or None.

    names: of the columns of the data.
    """
    if None in results.values():
        print("\ntoo few rows to compare")
        return
    print(f"\n{'compared with the data':<34}" + "".join(f"{name:>17}" for name in results))
    for label, name in [
        ("largest error of a mean (in std)", "mean_error"),
        ("relative error of the covariance", "covariance_error"),
        ("energy distance (in std)", "energy_distance"),
        ("  p-value, same distribution", "energy_p"),
    ]:
        values = "".join(f"{getattr(result, name):17.4f}" for result in results.values())
        print(f"{label:<34}{values}")
    largest = np.max([result.ks for result in results.values()], axis=0)
    shown = np.sort(np.argsort(-largest, kind="stable")[:SHOWN_COLUMNS])
    left_out = f", the largest of {len(names)}" if len(shown) < len(names) else ""
    print(f"Kolmogorov-Smirnov distance of each marginal (p-value){left_out}")
    for j in shown:
        values = "".join(f"{r.ks[j]:9.4f} ({r.ks_p[j]:.3f})" for r in results.values())
        print(f"  {names[j]:<32.32}{values}")
    for name, result in results.items():
        if result.paired:
            print(f"{name}: tested on half of its rows against the other half of the data")
