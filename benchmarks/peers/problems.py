"""The networks and data that all peers train and generate with: sizes, first weights, rows.

A peer is a module with a class Trainer, and maybe a class Generator, of these methods:

    Trainer(problem, x, batch_size, optimizer)  "sgd" or "adam", of rate LR, on the rows x
        step(x, epsilon)            one step on a given batch with given noise; the cost before it
        train(epoch)                one epoch as its users would do it: shuffled, the noise drawn
        weights()                   W1, b1, ... W6, b6 as they are now
    Generator(problem)
        generate(n_samples, seed)   z from the prior, x from p(x|z), (n_samples, data_dim)
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

LR = 0.001
LOG_2_PI = math.log(2.0 * math.pi)
ADAM_EPSILON = 1e-7  # Keras's, this project's
GENERATED_BATCH = 4096  # the activations of so many stay in the cache
DATA_FOLDER = Path(__file__).resolve().parents[2] / "data"


@dataclass(frozen=True)
class Problem:
    """A VAE of two hidden ReLU layers; likelihood: "gaussian" with a learned std, "bernoulli"."""

    data_dim: int
    n_width: list
    n_dim: int
    likelihood: str

    @property
    def shapes(self):
        """(n_in, n_out) of the six layers."""
        hidden, heads = self.n_width * 2, 2 if self.likelihood == "gaussian" else 1
        encoder = pairwise([self.data_dim, *hidden, 2 * self.n_dim])
        return [*encoder, *pairwise([self.n_dim, *hidden, heads * self.data_dim])]

    def first_weights(self):
        """W1, b1, ... W6, b6, as the project starts; small biases, so that a wrong one shows."""
        rng = np.random.default_rng(1)
        weights = []
        for n_in, n_out in self.shapes:
            limit = np.sqrt(6.0 / (n_in + n_out))
            kernel, bias = rng.uniform(-limit, limit, (n_in, n_out)), rng.normal(0.0, 0.1, n_out)
            weights += [np.float32(kernel), np.float32(bias)]
        if self.likelihood == "gaussian":
            of_z, bias_of_z, of_x = weights[4], weights[5], weights[10]
            of_z[:, self.n_dim :] = 0.0
            bias_of_z[self.n_dim :] += np.log(0.2)
            of_x[:, self.data_dim :] = 0.0
        return weights

    def rows(self, n):
        """n rows of the data, float32: the known Gaussian, or digits with pixels 0 or 1."""
        if self.likelihood == "gaussian":
            mean = np.loadtxt(DATA_FOLDER / "mean.dat")
            covariance = np.loadtxt(DATA_FOLDER / "covariance.dat")
            return np.random.default_rng(0).multivariate_normal(mean, covariance, n).astype("f4")
        images = np.load(DATA_FOLDER / "mnist_sample.npz")["x_train"]
        return np.resize((images > 127).astype("f4"), (n, self.data_dim))


GAUSSIAN = Problem(data_dim=10, n_width=[128], n_dim=2, likelihood="gaussian")
MNIST = Problem(data_dim=784, n_width=[500], n_dim=40, likelihood="bernoulli")
