"""What no program that computes the same can go below by much: the matrix products alone.

Training: of each layer the product forward and the two backward (the first layer needs no
gradient of its inputs). Generation: the decoder's products forward, and as many normal numbers as
z and x have. All by numpy in float32, into memory that is kept.
"""

import numpy as np

GENERATED_AT_ONCE = 4096


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


class Generator:
    def __init__(self, problem):
        sizes = problem.decoder_sizes
        self.weights = [normal(n_in, n_out) for n_in, n_out in problem.shapes[3:]]
        self.h = [normal(GENERATED_AT_ONCE, n) for n in sizes]
        self.numbers = np.empty(GENERATED_AT_ONCE * (problem.n_dim + problem.data_dim), np.float32)

    def generate(self, n_samples, seed):
        rng = np.random.default_rng(seed)
        for _ in range(-(-n_samples // GENERATED_AT_ONCE)):
            rng.standard_normal(out=self.numbers, dtype=np.float32)
            for k, w in enumerate(self.weights):
                np.matmul(self.h[k], w, self.h[k + 1])
