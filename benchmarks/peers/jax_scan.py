"""JAX: an epoch is one compiled call, shuffle and noise before a `lax.scan` over the batches."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.peers.problems import ADAM_EPSILON, LR

LOG_2_PI = math.log(2.0 * math.pi)
GENERATED_BATCH = 4096  # the activations of so many stay in the cache


def network(weights, inputs):
    w1, b1, w2, b2, w3, b3 = weights
    h = jax.nn.relu(inputs @ w1 + b1)
    h = jax.nn.relu(h @ w2 + b2)
    return h @ w3 + b3


def cost_function(likelihood, weights, x, epsilon):
    """Mean over the batch of KL - log p(x|z), and the means of the two terms."""
    mean, log_std = jnp.split(network(weights[:6], x), 2, axis=-1)
    kl = -0.5 * jnp.sum(1.0 + 2.0 * log_std - mean**2 - jnp.exp(2.0 * log_std), axis=-1).mean()
    outputs = network(weights[6:], mean + jnp.exp(log_std) * epsilon)
    if likelihood == "bernoulli":
        log_px_z = jnp.sum(x * outputs - jax.nn.softplus(outputs), axis=-1).mean()
    else:
        mean, log_std = jnp.split(outputs, 2, axis=-1)
        s = (x - mean) * jnp.exp(-log_std)
        log_px_z = -jnp.sum(0.5 * (LOG_2_PI + s**2) + log_std, axis=-1).mean()
    return kl - log_px_z, (kl, log_px_z)


def sgd(state, gradients):
    (weights,) = state
    return ([w - LR * g for w, g in zip(weights, gradients, strict=True)],)


def adam(state, gradients):
    weights, m, v, t = state
    t = t + 1
    rate = LR * jnp.sqrt(1.0 - 0.999**t) / (1.0 - 0.9**t)
    m = [a + 0.1 * (g - a) for a, g in zip(m, gradients, strict=True)]
    v = [a + 0.001 * (g * g - a) for a, g in zip(v, gradients, strict=True)]
    steps = (rate * a / (jnp.sqrt(b) + ADAM_EPSILON) for a, b in zip(m, v, strict=True))
    return [w - step for w, step in zip(weights, steps, strict=True)], m, v, t


class Trainer:
    def __init__(self, problem, x, batch_size, optimizer):
        self.problem, self.x, self.batch_size = problem, jnp.array(x), batch_size
        self.optimizer = {"sgd": sgd, "adam": adam}[optimizer]
        weights = [jnp.array(w) for w in problem.first_weights()]
        zeros = ([jnp.zeros_like(w) for w in weights] for _ in range(2))
        self.state = (weights,) if optimizer == "sgd" else (weights, *zeros, jnp.float32(0.0))
        self.compiled_step = jax.jit(self.update)

    def update(self, state, batch):
        gradient = jax.grad(cost_function, argnums=1, has_aux=True)
        x = batch[0].astype(jnp.float32)
        gradients, terms = gradient(self.problem.likelihood, state[0], x, batch[1])
        return self.optimizer(state, gradients), jnp.stack(terms)

    @partial(jax.jit, static_argnums=0, donate_argnums=1)
    def run_epoch(self, state, x, key):
        order_key, pixel_key, key = jax.random.split(key, 3)
        x = x[jax.random.permutation(order_key, len(x))]
        x = x.reshape(-1, self.batch_size, x.shape[1])
        if self.problem.likelihood == "bernoulli":
            x = jax.random.bits(pixel_key, x.shape, "uint8") < x  # x / 256 for x / 255
        epsilon = jax.random.normal(key, (*x.shape[:2], self.problem.n_dim))
        return jax.lax.scan(self.update, state, (x, epsilon))

    def step(self, x, epsilon):
        self.state, (kl, log_px_z) = self.compiled_step(self.state, (x, epsilon))
        return float(kl) - float(log_px_z)

    def weights(self):
        return [np.array(w) for w in self.state[0]]

    def train(self, epoch):
        self.state, terms = self.run_epoch(self.state, self.x, jax.random.key(epoch))
        terms.block_until_ready()


class Generator:
    def __init__(self, problem):
        self.problem = problem
        self.weights = [jnp.array(w) for w in problem.first_weights()[6:]]

    def decode(self, z, epsilon):
        mean, log_std = jnp.split(network(self.weights, z), 2, axis=-1)
        return mean + jnp.exp(log_std) * epsilon

    @partial(jax.jit, static_argnums=(0, 1))
    def draw(self, n_batches, key):
        z_key, x_key = jax.random.split(key)
        shape = n_batches, GENERATED_BATCH
        noise = (
            jax.random.normal(z_key, (*shape, self.problem.n_dim)),
            jax.random.normal(x_key, (*shape, self.problem.data_dim)),
        )
        x = jax.lax.map(lambda both: self.decode(*both), noise)
        return x.reshape(-1, self.problem.data_dim)

    def generate(self, n_samples, seed):
        n_batches = -(-n_samples // GENERATED_BATCH)
        return np.asarray(self.draw(n_batches, jax.random.key(seed)))[:n_samples]
