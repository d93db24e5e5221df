"""The VAE in plain numpy with hand-written gradients."""

import math

import numpy as np

from benchmarks.peers.problems import ADAM_EPSILON, LR
from data_processing import Batches
from images.data import BinarizedBatches

LOG_2_PI = math.log(2.0 * math.pi)
GENERATED_AT_ONCE = 4096  # the activations of so many stay in the cache


def views(vector, shapes):
    """Arrays of these shapes that share the memory of one vector."""
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    return [part.reshape(s) for part, s in zip(np.split(vector, ends[:-1]), shapes, strict=True)]


def forward(weights, inputs):
    """The inputs of the three layers of a network, and its outputs."""
    w1, b1, w2, b2, w3, b3 = weights
    h1 = inputs @ w1
    h1 += b1
    np.maximum(h1, 0.0, out=h1)
    h2 = h1 @ w2
    h2 += b2
    np.maximum(h2, 0.0, out=h2)
    return (inputs, h1, h2), h2 @ w3 + b3


def backward(weights, layer_inputs, d_outputs, gradients, to_inputs):
    """Fill `gradients`; the gradient of the network's inputs where it is wanted."""
    for k in (2, 1, 0):
        h, w = layer_inputs[k], weights[2 * k]
        np.matmul(h.T, d_outputs, out=gradients[2 * k])
        np.sum(d_outputs, axis=0, out=gradients[2 * k + 1])
        if k or to_inputs:
            d_outputs = d_outputs @ w.T
        if k:
            d_outputs *= h > 0.0
    return d_outputs


def minus_log_px_z(likelihood, x, outputs):
    """-log p(x|z) summed over the rows, and its gradient by the decoder's outputs."""
    if likelihood == "bernoulli":
        softplus = np.logaddexp(0.0, outputs, dtype=outputs.dtype)
        probability = np.exp(outputs - softplus)
        return (softplus - x * outputs).sum(), probability - x
    mean, log_std = np.split(outputs, 2, axis=1)
    inverse_std = np.exp(-log_std)
    s = (x - mean) * inverse_std
    d_outputs = np.concatenate([-s * inverse_std, 1.0 - s * s], axis=1)
    return (0.5 * (LOG_2_PI + s * s) + log_std).sum(), d_outputs


def cost_and_gradients(likelihood, weights, x, epsilon, gradients):
    """Mean over the batch of KL - log p(x|z); its gradients go into the arrays `gradients`."""
    n = len(x)
    encoder_inputs, heads = forward(weights[:6], x)
    mean, log_std = np.split(heads, 2, axis=1)
    std = np.exp(log_std)
    decoder_inputs, outputs = forward(weights[6:], mean + std * epsilon)
    minus_log_px, d_outputs = minus_log_px_z(likelihood, x, outputs)
    kl = -0.5 * (1.0 + 2.0 * log_std - mean * mean - std * std).sum()

    d_outputs /= n
    d_z = backward(weights[6:], decoder_inputs, d_outputs, gradients[6:], to_inputs=True)
    d_mean = d_z + mean / n
    d_log_std = d_z * epsilon * std + (std * std - 1.0) / n
    d_heads = np.concatenate([d_mean, d_log_std], axis=1)
    backward(weights[:6], encoder_inputs, d_heads, gradients[:6], to_inputs=False)
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
        cost = cost_and_gradients(self.likelihood, self.views, x, epsilon, self.gradients)
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
        mean, log_std = np.split(forward(self.weights, z)[1], 2, axis=1)
        return mean + np.exp(log_std) * epsilon

    def generate(self, n_samples, seed):
        rng = np.random.default_rng(seed)
        x = np.empty((n_samples, self.problem.data_dim), np.float32)
        for start in range(0, n_samples, GENERATED_AT_ONCE):
            part = x[start : start + GENERATED_AT_ONCE]
            z = rng.standard_normal((len(part), self.problem.n_dim), np.float32)
            part[:] = self.decode(z, rng.standard_normal(part.shape, np.float32))
        return x
