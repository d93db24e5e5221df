"""Columns of a table that a density model stumbles over, named before it is trained."""

import sys

import numpy as np
from scipy.linalg import lapack, solve_triangular

from training.tables import centered

FEW_VALUES = 20  # a column of at most as many distinct values is hardly continuous
MAX_NAMES = 8  # in a warning
MAX_COLUMNS = 1000  # the first ones, among which sums are looked for
SAME = 1e-10  # of a column's variance: what other columns leave of it if it is a sum of them
UNBOUNDED = "their density is unbounded: leave them out, or set --min_log_std"


def warn_of_index(x, names=None):
    """Name on stderr the columns of x (N, D), rows in the order of the file, that count them."""
    counts_up = (np.diff(x[:1000], axis=0) == 1).all(axis=0) & (len(x) > 2)
    found = [label for label, counts in zip(labels(x, names), counts_up, strict=True) if counts]
    warn("columns that count the rows", found, "leave them out (an index of pandas or R?)")


def warn_of_columns(x, names=None):
    """Name on stderr the columns of x (N, D) that have few values, or are sums of others."""
    limit = max(1, min(FEW_VALUES, len(x) // 10))
    few = []
    for label, column in zip(labels(x, names), x.T, strict=True):
        n_values = len(np.unique(column))
        if n_values <= limit:
            few.append(f"{label} ({n_values})")
    warn("columns of few distinct values", few, UNBOUNDED)
    warn("columns that are copies or sums of others", dependent_columns(x, names), UNBOUNDED)


def warn(what, found, advice):
    """Print a warning with the first columns that were found, if there are any."""
    if found:
        more = f" and {len(found) - MAX_NAMES} more" if len(found) > MAX_NAMES else ""
        print(f"warning: {what}: {', '.join(found[:MAX_NAMES])}{more}; {advice}", file=sys.stderr)


def labels(x, names):
    """What to call each column of x (N, D)."""
    names = names or [f"x{j + 1}" for j in range(x.shape[1])]
    return [name or f"column {j + 1} (no name)" for j, name in enumerate(names)]


def dependent_columns(x, names=None):
    """The columns of x (N, D) that are multiples or sums of others, such as "c (of a, b)".

    Gaussian elimination of the correlation matrix, in each step by the column of which most is
    left (its pivoted Cholesky factor), stops where nothing is left of the others. No more rows
    than columns make every column a sum of others: then none is named.
    """
    label = labels(x, names)
    varied = np.flatnonzero(np.ptp(x[:, :MAX_COLUMNS], axis=0) > 0)
    if len(x) <= len(varied):
        return []
    x = x[:, varied]
    x = centered(x, x.mean(axis=0, dtype=np.float64))
    x /= np.sqrt(np.mean(x**2, axis=0))
    factor, order, rank, _ = lapack.dpstrf(x.T @ x / len(x), tol=SAME)
    columns = varied[order - 1]
    weights = solve_triangular(factor[:rank, :rank], factor[:rank, rank:])
    found = []
    for column, weight in zip(columns[rank:], weights.T, strict=True):
        parts = np.sort(columns[:rank][np.abs(weight) > 1e-4 * np.abs(weight).max()])
        several = f"{len(parts)} columns" if len(parts) > 3 else ", ".join(label[j] for j in parts)
        found.append(f"{label[column]} (of {several})")
    return found
