"""The VAE in plain numpy with hand-written gradients, in memory that is kept."""

import math

import numpy as np

from benchmarks.peers.problems import ADAM_EPSILON, LR
from data_processing import Batches
from images.data import BinarizedBatches

LOG_2_PI = math.log(2.0 * math.pi)
GENERATED_BATCH = 4096  # the activations of so many stay in the cache


def views(vector, shapes):
    """Arrays of these shapes that share the memory of one vector."""
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    return [part.reshape(s) for part, s in zip(np.split(vector, ends[:-1]), shapes, strict=True)]


class Network:
    """Three layers, (W1, b1, ... W3, b3), and the memory for `batch` rows on the way and back."""

    def __init__(self, weights, batch):
        self.weights, dtype = weights, weights[0].dtype
        widths = [w.shape[1] for w in weights[::2]]
        self.outputs = [np.empty((batch, n), dtype) for n in widths]
        self.d_outputs = [np.empty((batch, n), dtype) for n in (weights[0].shape[0], *widths)]

    def forward(self, inputs):
        self.inputs = [inputs, *self.outputs[:-1]]
        for k, (h, out) in enumerate(zip(self.inputs, self.outputs, strict=True)):
            np.matmul(h, self.weights[2 * k], out=out)
            out += self.weights[2 * k + 1]
            if k < 2:
                np.maximum(out, 0.0, out=out)
        return self.outputs[-1]

    def backward(self, gradients, to_inputs):
        """From d_outputs[3] fill `gradients`; return that of the inputs where it is wanted."""
        for k in (2, 1, 0):
            h, d_out, d_in = self.inputs[k], self.d_outputs[k + 1], self.d_outputs[k]
            np.matmul(h.T, d_out, out=gradients[2 * k])
            np.sum(d_out, axis=0, out=gradients[2 * k + 1])
            if k or to_inputs:
                np.matmul(d_out, self.weights[2 * k].T, out=d_in)
            if k:
                d_in *= h > 0.0
        return self.d_outputs[0]


def minus_log_px_z(likelihood, x, outputs, d_outputs):
    """-log p(x|z) summed over the rows; fills its gradient by the decoder's outputs."""
    if likelihood == "bernoulli":
        e = np.abs(outputs)
        np.exp(np.negative(e, out=e), out=e)
        np.divide(np.where(outputs > 0.0, 1.0, e), 1.0 + e, out=d_outputs)
        d_outputs -= x
        e += 1.0
        softplus = np.log(e, out=e)
        softplus += np.maximum(outputs, 0.0)
        return softplus.sum() - np.vdot(x, outputs)
    mean, log_std = np.split(outputs, 2, axis=1)
    d_mean, d_log_std = np.split(d_outputs, 2, axis=1)
    inverse_std = np.exp(-log_std)
    s = (x - mean) * inverse_std
    np.multiply(s, inverse_std, out=d_mean)
    np.negative(d_mean, out=d_mean)
    s *= s
    np.subtract(1.0, s, out=d_log_std)
    return 0.5 * (LOG_2_PI * s.size + s.sum()) + log_std.sum()


def cost_and_gradients(likelihood, encoder, decoder, x, epsilon, gradients):
    """Mean over the batch of KL - log p(x|z); its gradients go into the arrays `gradients`."""
    n = len(x)
    mean, log_std = np.split(encoder.forward(x), 2, axis=1)
    std = np.exp(log_std)
    outputs = decoder.forward(mean + std * epsilon)
    d_outputs = decoder.d_outputs[3]
    minus_log_px = minus_log_px_z(likelihood, x, outputs, d_outputs)
    kl = -0.5 * (1.0 + 2.0 * log_std - mean * mean - std * std).sum()

    d_outputs /= n
    d_z = decoder.backward(gradients[6:], to_inputs=True)
    d_mean, d_log_std = np.split(encoder.d_outputs[3], 2, axis=1)
    np.add(d_z, mean / n, out=d_mean)
    np.add(d_z * epsilon * std, (std * std - 1.0) / n, out=d_log_std)
    encoder.backward(gradients[:6], to_inputs=False)
    return (kl + minus_log_px) / n


class Trainer:
    """All weights lie in one vector, and so do their gradients: an update is one expression."""

    def __init__(self, problem, x, batch_size, optimizer, dtype=np.float32):
        first = [w.astype(dtype) for w in problem.first_weights()]
        shapes = [w.shape for w in first]
        self.vector = np.concatenate([w.ravel() for w in first])
        self.gradient, self.m, self.v = (np.zeros_like(self.vector) for _ in range(3))
        self.views, self.gradients = views(self.vector, shapes), views(self.gradient, shapes)
        self.likelihood, self.t = problem.likelihood, 0
        self.encoder = Network(self.views[:6], batch_size)
        self.decoder = Network(self.views[6:], batch_size)
        self.update = {"sgd": self.sgd, "adam": self.adam}[optimizer]
        batches = BinarizedBatches if problem.likelihood == "bernoulli" else Batches
        self.batches = batches(x, batch_size, problem.n_dim, seed=0)

    def sgd(self):
        self.gradient *= LR
        self.vector -= self.gradient

    def adam(self):
        """Kingma & Ba (2015), the order of operations at the end of Section 2."""
        self.t += 1
        rate = LR * math.sqrt(1.0 - 0.999**self.t) / (1.0 - 0.9**self.t)
        g, m, v = self.gradient, self.m, self.v
        m *= 0.9
        m += 0.1 * g
        v *= 0.999
        g *= g
        g *= 0.001
        v += g
        np.sqrt(v, out=g)
        g += ADAM_EPSILON
        np.divide(m, g, out=g)
        g *= rate
        self.vector -= g

    def step(self, x, epsilon):
        networks = self.encoder, self.decoder
        cost = cost_and_gradients(self.likelihood, *networks, x, epsilon, self.gradients)
        self.update()
        return float(cost)

    def weights(self):
        return [w.copy() for w in self.views]

    def train(self, epoch):
        for x, epsilon, n_steps in self.batches.chunks(epoch):
            for k in range(n_steps):
                self.step(x[k].astype(np.float32, copy=False), epsilon[k])


class Generator:
    def __init__(self, problem):
        self.problem, self.weights = problem, problem.first_weights()[6:]

    def decode(self, z, epsilon):
        mean, log_std = np.split(Network(self.weights, len(z)).forward(z), 2, axis=1)
        return mean + np.exp(log_std) * epsilon

    def generate(self, n_samples, seed):
        rng, decoder = np.random.default_rng(seed), Network(self.weights, GENERATED_BATCH)
        n_batches = -(-n_samples // GENERATED_BATCH)
        x = np.empty((n_batches, GENERATED_BATCH, self.problem.data_dim), np.float32)
        for part in x:
            rng.standard_normal(out=part, dtype=np.float32)
            z = rng.standard_normal((GENERATED_BATCH, self.problem.n_dim), np.float32)
            mean, log_std = np.split(decoder.forward(z), 2, axis=1)
            part *= np.exp(log_std)
            part += mean
        return x.reshape(-1, self.problem.data_dim)[:n_samples]
