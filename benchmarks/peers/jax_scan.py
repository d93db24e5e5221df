"""JAX with Optax: an epoch is one compiled `lax.scan` over the batches."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.peers.problems import ADAM_EPSILON, LR

LOG_2_PI = math.log(2.0 * math.pi)
GENERATED_AT_ONCE = 65_536


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


class Trainer:
    def __init__(self, problem, x, batch_size, optimizer):
        self.problem, self.x, self.batch_size = problem, x, batch_size
        self.optimizer = {"sgd": optax.sgd(LR), "adam": optax.adam(LR, eps=ADAM_EPSILON)}[optimizer]
        weights = [jnp.array(w) for w in problem.first_weights()]
        self.state = weights, self.optimizer.init(weights)
        self.compiled_step = jax.jit(self.update)

    def update(self, state, x, epsilon):
        weights, optimizer_state = state
        gradient = jax.value_and_grad(cost_function, argnums=1, has_aux=True)
        (_, terms), gradients = gradient(self.problem.likelihood, weights, x, epsilon)
        updates, optimizer_state = self.optimizer.update(gradients, optimizer_state, weights)
        return (optax.apply_updates(weights, updates), optimizer_state), jnp.stack(terms)

    @partial(jax.jit, static_argnums=0, donate_argnums=1)
    def run_epoch(self, state, x, key):
        def scanned(state, inputs):
            x, (pixel_key, key) = inputs[0], jax.random.split(inputs[1])
            if self.problem.likelihood == "bernoulli":
                x = jax.random.bernoulli(pixel_key, x / 255.0).astype(jnp.float32)
            epsilon = jax.random.normal(key, (len(x), self.problem.n_dim))
            return self.update(state, x, epsilon)

        return jax.lax.scan(scanned, state, (x, jax.random.split(key, len(x))))

    def step(self, x, epsilon):
        self.state, (kl, log_px_z) = self.compiled_step(self.state, x, epsilon)
        return float(kl) - float(log_px_z)

    def weights(self):
        return [np.array(w) for w in self.state[0]]

    def train(self, epoch):
        order = np.random.default_rng(epoch).permutation(len(self.x))
        x = self.x[order].reshape(-1, self.batch_size, self.problem.data_dim)
        self.state, terms = self.run_epoch(self.state, x, jax.random.key(epoch))
        terms.block_until_ready()


class Generator:
    def __init__(self, problem):
        self.problem = problem
        self.weights = [jnp.array(w) for w in problem.first_weights()[6:]]

    def decode(self, z, epsilon):
        mean, log_std = jnp.split(network(self.weights, z), 2, axis=-1)
        return mean + jnp.exp(log_std) * epsilon

    @partial(jax.jit, static_argnums=0)
    def draw(self, key):
        z_key, x_key = jax.random.split(key)
        z = jax.random.normal(z_key, (GENERATED_AT_ONCE, self.problem.n_dim))
        return self.decode(z, jax.random.normal(x_key, (GENERATED_AT_ONCE, self.problem.data_dim)))

    def generate(self, n_samples, seed):
        keys = jax.random.split(jax.random.key(seed), -(-n_samples // GENERATED_AT_ONCE))
        return np.concatenate([self.draw(key) for key in keys])[:n_samples]
