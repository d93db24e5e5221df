"""The networks and data that all peers train and generate with: sizes, first weights, rows.

A peer is a module with a class Trainer, and maybe a class Generator, of these methods:

    Trainer(problem, x, batch_size, optimizer)  rows x to train on; "sgd" or "adam"
        step(x, epsilon) -> cost    one step on a given batch (B, data_dim), with given noise
                                    (B, n_dim); the cost is that before the step
        weights() -> 12 arrays      W1, b1, ... W6, b6 as they are now
        train(epoch)                one epoch of the rows as its users would do it: shuffled, the
                                    noise drawn, for the Bernoulli problem pixels drawn 0 or 1
    Generator(problem)
        decode(z, epsilon) -> x     a draw from p(x|z) with given noise (B, data_dim)
        generate(n_samples, seed)   z from the prior, x from p(x|z), (n_samples, data_dim)
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

import data_processing

LR = 0.001
ADAM_EPSILON = 1e-7  # Keras's, the project's
WEIGHT_STD = 0.05
MNIST_SAMPLE = Path(data_processing.__file__).parent / "data" / "mnist_sample.npz"


@dataclass(frozen=True)
class Problem:
    """A VAE of two hidden ReLU layers and its data: rows(n) gives n of them.

    likelihood: "gaussian" with a learned std, or "bernoulli", whose rows are bytes 0 to 255.
    """

    data_dim: int
    n_width: int
    n_dim: int
    likelihood: str

    @property
    def encoder_sizes(self):
        return self.data_dim, self.n_width, self.n_width, 2 * self.n_dim

    @property
    def decoder_sizes(self):
        heads = 2 if self.likelihood == "gaussian" else 1
        return self.n_dim, self.n_width, self.n_width, heads * self.data_dim

    @property
    def shapes(self):
        """(n_in, n_out) of the six layers."""
        return [*pairwise(self.encoder_sizes), *pairwise(self.decoder_sizes)]

    def first_weights(self):
        """W1, b1, ... W6, b6; the biases are not zero, so that a wrong one shows."""
        rng = np.random.default_rng(1)
        shapes = [shape for n_in, n_out in self.shapes for shape in ((n_in, n_out), (n_out,))]
        return [np.float32(WEIGHT_STD) * rng.standard_normal(s, np.float32) for s in shapes]

    def rows(self, n):
        if self.likelihood == "gaussian":
            mean, covariance = data_processing.known_gaussian()
            return data_processing.draw_gaussian(mean, covariance, n, np.random.default_rng(0))
        images = np.load(MNIST_SAMPLE)["x_train"]
        return np.resize(images.reshape(len(images), -1), (n, self.data_dim))

    def batch(self, n):
        """x (n, data_dim) float32, binary for Bernoulli, and epsilon (n, n_dim), for a check."""
        x = self.rows(n)
        if self.likelihood == "bernoulli":
            x = (x > 127).astype(np.float32)
        return x, np.random.default_rng(2).standard_normal((n, self.n_dim), np.float32)


GAUSSIAN = Problem(10, 128, 2, "gaussian")
MNIST = Problem(784, 500, 40, "bernoulli")
