"""A lower bound on the time of a step: its matrix products alone.

Of each layer one forward and two backward (of the first one backward); to generate, the decoder's
forward, and normal numbers. By numpy, in float32.
"""

import math

import numpy as np

from benchmarks.peers.problems import GENERATED_BATCH

rng = np.random.default_rng(0)


def normal(*shape):
    return rng.standard_normal(shape, np.float32)


class Trainer:
    def __init__(self, problem, x, batch_size, optimizer):
        self.steps = len(x) // batch_size
        self.products = []
        for k, (n_in, n_out) in enumerate(problem.shapes):
            h, w, d_out = normal(batch_size, n_in), normal(n_in, n_out), normal(batch_size, n_out)
            self.products += [(h, w, h @ w), (h.T, d_out, h.T @ d_out)]
            if k > 0:
                self.products.append((d_out, w.T, d_out @ w.T))

    def train(self, epoch):
        for _ in range(self.steps):
            for a, b, out in self.products:
                np.matmul(a, b, out)


class Generator:
    def __init__(self, problem):
        self.numbers = normal(GENERATED_BATCH * (problem.n_dim + problem.data_dim))
        self.products = []
        for n_in, n_out in problem.shapes[3:]:
            h, w = normal(GENERATED_BATCH, n_in), normal(n_in, n_out)
            self.products.append((h, w, h @ w))

    def generate(self, n_samples, seed):
        for _ in range(math.ceil(n_samples / GENERATED_BATCH)):
            rng.standard_normal(out=self.numbers, dtype=np.float32)
            for h, w, out in self.products:
                np.matmul(h, w, out)
