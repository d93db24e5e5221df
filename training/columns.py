"""Warns, before training, of columns on which a density model goes wrong."""

import sys

import numpy as np
from scipy.linalg import lapack, solve_triangular

from training.standardization import centered

FEW_VALUES = 20  # a column of at most as many distinct values is hardly continuous
MAX_NAMES = 8  # in a warning
MAX_COLUMNS = 1000  # the first ones, among which sums are looked for
FAR_OUT = 100  # times the distance of the quartiles beyond them: no other value is near
SAME = 1e-10  # a column is a sum of others if they leave less than this share of its variance
UNBOUNDED = "their density is unbounded: leave them out, or set --min_log_std"


def warn_of_index(x, names):
    """Name on stderr the columns of x (N, D) that number its rows, which are as in the file."""
    counts_up = (np.diff(x[:1000], axis=0) == 1).all(axis=0) & (len(x) > 2)
    found = [name for name, counts in zip(names, counts_up, strict=True) if counts]
    warn("columns that count the rows", found, "leave them out (an index of pandas or R?)")


def warn_of_outliers(x, names):
    """Name on stderr the columns of x (N, D) with a value far from the others, and that value."""
    found = []
    for name, column in zip(names, x.T, strict=True):
        low, high = np.percentile(column, [25, 75])
        beyond = np.maximum(low - column, column - high)
        row = np.argmax(beyond)
        if beyond[row] > FAR_OUT * (high - low) > 0.0:
            found.append(f"{name} ({column[row]:g})")
    advice = "an error, a code for a missing value, or a column to take the logarithm of?"
    warn("columns with a value far from the others", found, advice)


def warn_of_columns(x, names):
    """Name on stderr the columns of x (N, D) that have few values, or are sums of others."""
    limit = max(1, min(FEW_VALUES, len(x) // 10))
    n_values = [len(np.unique(column)) for column in x.T]
    few = [f"{name} ({n})" for name, n in zip(names, n_values, strict=True) if n <= limit]
    warn("columns of few distinct values", few, UNBOUNDED)
    warn("columns that are copies or sums of others", dependent_columns(x, names), UNBOUNDED)


def warn(what, found, advice):
    """Print a warning with the first columns that were found, if there are any."""
    if found:
        more = f" and {len(found) - MAX_NAMES} more" if len(found) > MAX_NAMES else ""
        print(f"warning: {what}: {', '.join(found[:MAX_NAMES])}{more}; {advice}", file=sys.stderr)


def dependent_columns(x, names):
    """The columns of x (N, D) that are multiples or sums of others, such as "c (of a, b)".

    Pivoted Cholesky factorization of the correlation matrix: each step takes the column with the
    largest remaining variance, until none remains. With no more rows than columns every column is
    a sum of others, and none is named.
    """
    x = x[:, :MAX_COLUMNS]
    x = centered(x, x.mean(axis=0, dtype=np.float64))
    varied = np.flatnonzero(np.ptp(x, axis=0) > 1e-150)  # with squares above 0
    if len(x) <= len(varied):
        return []
    x = x[:, varied]
    x /= np.sqrt(np.mean(x**2, axis=0))
    factor, order, rank, _ = lapack.dpstrf(x.T @ x / len(x), tol=SAME)
    columns = varied[order - 1]
    weights = solve_triangular(factor[:rank, :rank], factor[:rank, rank:])
    found = []
    for column, weight in zip(columns[rank:], weights.T, strict=True):
        parts = np.sort(columns[:rank][np.abs(weight) > 1e-4 * np.abs(weight).max()])
        several = f"{len(parts)} columns" if len(parts) > 3 else ", ".join(names[j] for j in parts)
        found.append(f"{names[column]} (of {several})")
    return found
