"""A known truth that is not Gaussian: a mixture of Gaussians with independent coordinates.

A fine grid of components along a curve or surface is a nonlinear factor model of exact density; a
few components far from each other are clusters.
"""

import numpy as np
from scipy.special import logsumexp

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
            raise ValueError(
                f"has a standard deviation of {np.min(stds):g}; it must be at least 1e-18"
            )
        if np.max(np.abs(table)) > 1e18:
            raise ValueError(f"has a number of size {np.max(np.abs(table)):g}; the limit is 1e18")
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

    def log_joint(self, x):
        """log p(x, k) of each row and each component, (N, data_dim) -> (N, K), in nats."""
        x, means = np.float64(x) - self.mean, self.means - self.mean
        return np.log(self.weights) + log_normal(x, means, np.log(self.stds))

    def log_density(self, x):
        """log p(x) of each row of x, (N, data_dim) -> (N,), in nats."""
        n_rows = max(1, BLOCK_NUMBERS // len(self.weights))
        starts = range(0, len(x), n_rows)
        blocks = [logsumexp(self.log_joint(x[start : start + n_rows]), axis=1) for start in starts]
        return np.concatenate(blocks)


def squared_distances(x, mean, log_std):
    """sum_j ((x_j - mean_j) / std_j)^2 of every x (N, d) from every mean (K, d), (N, K)."""
    precision = np.exp(-2.0 * log_std)
    squares = x**2 @ precision.T - 2.0 * x @ (mean * precision).T
    return squares + np.sum(mean**2 * precision, axis=1)


def log_normal(x, mean, log_std):
    """log N(x; mean, diag(std^2)) of every x (N, d) for every mean (K, d), (N, K)."""
    log_normalizer = np.sum(log_std + 0.5 * np.log(2.0 * np.pi), axis=1)
    return -0.5 * squared_distances(x, mean, log_std) - log_normalizer


def normal_density(x, mean=0.0, std=1.0):
    """N(x; mean, std^2); scipy.stats would take a third of a second to import."""
    return np.exp(-0.5 * ((x - mean) / std) ** 2) / (std * np.sqrt(2.0 * np.pi))
