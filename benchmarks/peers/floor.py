"""What no program that computes the same can go below by much: the matrix products alone.

Training: of each layer the product forward and the two backward (the first layer needs no
gradient of its inputs). Generation: the decoder's products forward, and as many normal numbers as
z and x have. All by numpy in float32, into memory that is kept.
"""

import time

import numpy as np

GENERATED_BATCH = 4096


def normal(*shape):
    return np.random.default_rng(0).standard_normal(shape, np.float32)


class Trainer:
    def __init__(self, problem, x, batch_size, optimizer):
        self.steps = len(x) // batch_size
        self.products = []
        for k, (n_in, n_out) in enumerate(problem.shapes):
            h, w, d_out = normal(batch_size, n_in), normal(n_in, n_out), normal(batch_size, n_out)
            self.products += [(h, w, h @ w), (h.T, d_out, h.T @ d_out)]
            if k:
                self.products.append((d_out, w.T, d_out @ w.T))

    def train(self, epoch):
        for _ in range(self.steps):
            for a, b, out in self.products:
                np.matmul(a, b, out)


class Layers:
    """The products of layers of these shapes (n_in, n_out), for so many rows at once."""

    def __init__(self, shapes, batch):
        self.weights = [normal(*shape) for shape in shapes]
        self.h = [normal(batch, n) for n in (shapes[0][0], *(n for _, n in shapes))]

    def forward(self):
        for k, w in enumerate(self.weights):
            np.matmul(self.h[k], w, self.h[k + 1])


def matmul_seconds(shapes, batch, n_rows):
    """Seconds of the products forward of n_rows rows, from those of at most 20 batches."""
    layers, n_batches = Layers(shapes, batch), n_rows / batch
    timed = min(20, round(n_batches))
    start = time.perf_counter()
    for _ in range(timed):
        layers.forward()
    return (time.perf_counter() - start) * n_batches / timed


class Generator:
    def __init__(self, problem):
        self.layers = Layers(problem.shapes[3:], GENERATED_BATCH)
        self.numbers = np.empty(GENERATED_BATCH * (problem.n_dim + problem.data_dim), np.float32)

    def generate(self, n_samples, seed):
        rng = np.random.default_rng(seed)
        for _ in range(-(-n_samples // GENERATED_BATCH)):
            rng.standard_normal(out=self.numbers, dtype=np.float32)
            self.layers.forward()
