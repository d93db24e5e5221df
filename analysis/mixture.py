"""A known truth that is not Gaussian: a mixture of Gaussians with independent coordinates.

A fine grid of components along a curve or surface is a nonlinear factor model of exact density; a
few components far from each other are clusters.
"""

import numpy as np

NEGLIGIBLE = 60.0  # nats below the largest: e^-60 is far below the rounding of float64
BLOCK_NUMBERS = 2**21  # of rows times components at once: 16 MB


class Mixture:
    """sum_k weights_k N(x; means_k, diag(stds_k^2)).

    weights (K,), positive, are divided by their sum; means, stds: (K, data_dim). All are float64.
    """

    def __init__(self, weights, means, stds):
        self.weights = np.asarray(weights, np.float64) / np.sum(weights, dtype=np.float64)
        self.means = np.asarray(means, np.float64)
        self.stds = np.asarray(stds, np.float64)

    @classmethod
    def from_table(cls, table):
        """The mixture of a table with a row (weight, means, standard deviations) per component.

        table: (K, 1 + 2 * data_dim). ValueError: it is no such table.
        """
        table = np.asarray(table, np.float64)
        n_columns = table.shape[1]
        if n_columns < 3 or n_columns % 2 == 0:
            raise ValueError(
                f"has {n_columns} columns; a mixture has a weight, then as many means as standard "
                "deviations in each row, an odd number of columns"
            )
        if not np.all(np.isfinite(table)):
            raise ValueError("holds nan or infinity")
        weights = table[:, 0]
        means, stds = np.split(table[:, 1:], 2, axis=1)
        if np.min(weights) <= 0.0:
            raise ValueError(f"has a weight of {np.min(weights):g}; weights must be positive")
        if np.min(stds) < 1e-18:
            raise ValueError(f"has a standard deviation of {np.min(stds):g}; at least 1e-18 serves")
        if np.max(np.abs(table)) > 1e18:
            raise ValueError(f"has a number of size {np.max(np.abs(table)):g}; at most 1e18 serves")
        return cls(weights, means, stds)

    @property
    def mean(self):
        """The mean of x, (data_dim,)."""
        return self.weights @ self.means

    @property
    def covariance(self):
        """The covariance of x, (data_dim, data_dim)."""
        centred = self.means - self.mean
        between = (self.weights[:, np.newaxis] * centred).T @ centred
        return between + np.diag(self.weights @ self.stds**2)

    def draw(self, size, rng):
        """`size` independent points, (size, data_dim) float64."""
        k = rng.choice(len(self.weights), size, p=self.weights)
        return self.means[k] + self.stds[k] * rng.standard_normal((size, self.means.shape[1]))

    def log_density(self, x):
        """log p(x) of each row of x, (N, data_dim) -> (N,), in nats."""
        n_rows = max(1, BLOCK_NUMBERS // len(self.weights))
        blocks = [np.zeros(0)]
        for first in range(0, len(x), n_rows):
            rows, _, log_joint = self._terms(x[first : first + n_rows])
            blocks.append(_log_sums(rows, log_joint))
        return np.concatenate(blocks)

    def posterior(self, x):
        """p(k|x), the probability of each component, (N, data_dim) -> (N, K).

        One below about e^-60 of the row's largest is 0.
        """
        rows, components, log_joint = self._terms(x)
        probabilities = np.zeros((len(x), len(self.weights)))
        probabilities[rows, components] = np.exp(log_joint - _log_sums(rows, log_joint)[rows])
        return probabilities

    def _terms(self, x):
        """Rows, components and log p(x, k), each (T,), of every pair that counts, row by row.

        One matrix product gives log p(x, k) of all pairs, with the rounding of squares that cancel.
        It finds the pairs that count, which are computed again from the differences x - mean.
        """
        x = np.asarray(x, np.float64)
        precisions = self.stds**-2.0
        constants = np.log(self.weights) - np.sum(np.log(self.stds), axis=1)
        constants -= 0.5 * self.means.shape[1] * np.log(2.0 * np.pi)

        centred, means = x - self.mean, self.means - self.mean
        features = np.concatenate([-0.5 * centred**2, centred], axis=1)
        coefficients = np.concatenate([precisions, means * precisions], axis=1)
        rounded = features @ coefficients.T + (constants - 0.5 * np.sum(means**2 * precisions, 1))
        reach = (np.max(np.abs(centred), 0) + np.max(np.abs(means), 0)) / np.min(self.stds, 0)
        margin = NEGLIGIBLE + 1e-15 * np.sum(reach**2)  # the latter bounds the rounding
        rows, k = np.nonzero(rounded >= np.max(rounded, axis=1, keepdims=True) - margin)

        standardized = (x[rows] - self.means[k]) / self.stds[k]
        return rows, k, constants[k] - 0.5 * np.sum(standardized**2, axis=1)


def _log_sums(rows, log_terms):
    """log of the sum of exp(log_terms) of each row; rows: ascending, with every row in it."""
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    return np.logaddexp.reduceat(log_terms, starts)
