"""Mardia's test of whether the rows of a table are Gaussian, in bounded time at any size."""

import numpy as np
import scipy  # scipy.stats loads where it is first used: it takes a third of a second

from training.random_streams import stream

MOST_COLUMNS = 30  # tested: the work grows with the third power of their number
ROWS_A_COLUMN = 10  # fewer rows for each column have statistics of another distribution
SIMULATED_ROWS = 500  # of normal data for the null distribution of the statistics
LEAST_TESTS, MOST_TESTS = 100, 1000  # simulations of the null distribution, at least and at most
SIMULATED_PRODUCTS = 2e9  # of numbers, in all simulations together, between these limits


def mardia_test(x):
    """The p-value of the hypothesis that the rows of x (N, data_dim) are Gaussian, or None.

    Mardia (1970, 1974): multivariate skewness, too large, and kurtosis, too large or too small,
    with the null distributions of mardia_null; the smaller p-value times two. Where there are more
    than MOST_COLUMNS columns, or fewer than ROWS_A_COLUMN rows for each, the test takes some of
    them, chosen at random whatever they hold: a Gaussian vector has Gaussian parts. None: fewer
    than ROWS_A_COLUMN rows are not tested. x has a covariance of full rank.
    """
    n_columns = min(x.shape[1], MOST_COLUMNS, len(x) // ROWS_A_COLUMN)
    if n_columns == 0:
        return None
    columns = stream(0, "compare", 3).permutation(x.shape[1])[:n_columns]
    white = whiten(np.float64(x[:, columns]))
    null = mardia_null(len(x), n_columns)
    return mardia_p_value(mardia_skewness(white), mardia_kurtosis(white), null)


def mardia_p_value(skewness, kurtosis, null):
    """The p-value of mardia_test from the two statistics and mardia_null."""
    of_skewness, of_kurtosis, of_minus_kurtosis = null
    p_skewness = upper_tail(skewness, of_skewness)
    p_kurtosis = upper_tail(kurtosis, of_kurtosis)
    p_minus_kurtosis = upper_tail(-kurtosis, of_minus_kurtosis)
    return min(1.0, 2.0 * p_skewness, 4.0 * p_kurtosis, 4.0 * p_minus_kurtosis)


def mardia_null(n, d):
    """Mean, variance and skewness of Mardia's skewness, kurtosis and minus kurtosis, three triples,
    for n Gaussian rows of d columns, whose mean and covariance don't matter.

    Both means and the variance of the kurtosis are known exactly (Mardia 1974). The others come
    from simulated rows, n of them, or SIMULATED_ROWS where n is above that: the skewness of the
    kurtosis then falls as 1 / sqrt(n), and the statistic of the skewness is a chi-squared variable
    times a constant. The lower tail of the kurtosis is shorter than the normal one that stands for
    it.
    """
    n_simulated = min(n, SIMULATED_ROWS)
    n_tests = int(np.clip(SIMULATED_PRODUCTS / (n_simulated * d**3), LEAST_TESTS, MOST_TESTS))
    rng = stream(0, "compare", 2)
    skewnesses, kurtoses = [], []
    for _ in range(n_tests):
        white = whiten(rng.standard_normal((n_simulated, d)))
        kurtoses.append(mardia_kurtosis(white))
        if n == n_simulated:
            skewnesses.append(mardia_skewness(white))

    mean = d * (d + 2) * ((n + 1) * (d + 1) - 6) / ((n + 1) * (n + 3))
    freedom = d * (d + 1) * (d + 2) / 6
    of_skewness = mean, 2.0 * mean**2 / freedom, np.sqrt(8.0 / freedom)
    if n == n_simulated:
        of_skewness = mean, np.var(skewnesses), scipy.stats.skew(skewnesses)

    mean = d * (d + 2) * (n - 1) / (n + 1)
    variance = 8 * d * (d + 2) * (n - 3) * (n - d - 1) * (n - d + 1)
    variance /= (n + 1) ** 2 * (n + 3) * (n + 5)
    third = scipy.stats.skew(kurtoses) * np.sqrt(n_simulated / n)
    return of_skewness, (mean, variance, third), (-mean, variance, 0.0)


def whiten(x):
    """The rows of x (N, data_dim) with mean 0 and covariance I, as columns: (data_dim, N)."""
    x = x - x.mean(axis=0)
    # No triangular solve: LAPACK would wake its threads for each of the small simulated samples.
    return np.linalg.inv(np.linalg.cholesky(x.T @ x / len(x))) @ x.T


def mardia_skewness(white):
    """Mean of (x_i' S^-1 x_j)^3 over all pairs of rows, from white = whiten(x).

    It is the sum of the squared third moments m_ijk over all i, j, k. Below, i is the smallest
    index: there are three places for it, or for k where i = j.
    """
    skewness = 0.0
    for i in range(len(white)):
        squares = ((white[i:] * white[i]) @ white[i:].T / white.shape[1]) ** 2
        skewness += squares[0, 0] + 3.0 * (squares[0, 1:].sum() + squares[1:, 1:].sum())
    return skewness


def mardia_kurtosis(white):
    """Mean of (x_i' S^-1 x_i)^2 over the rows, by whiten(x)."""
    return np.mean(np.sum(white**2, axis=0) ** 2)


def upper_tail(value, moments):
    """The probability of at least `value` under a shifted gamma distribution.

    moments: its mean, variance and skewness.
    """
    mean, variance, skewness = moments
    return float(scipy.stats.pearson3.sf((value - mean) / np.sqrt(variance), skewness))
