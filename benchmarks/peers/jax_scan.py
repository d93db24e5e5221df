"""JAX and optax: an epoch is one compiled call, shuffle and noise before a `lax.scan` over it."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.peers.problems import ADAM_EPSILON, LOG_2_PI, LR


def network(weights, inputs):
    w1, b1, w2, b2, w3, b3 = weights
    h = jax.nn.relu(inputs @ w1 + b1)
    h = jax.nn.relu(h @ w2 + b2)
    return h @ w3 + b3


def cost_function(weights, x, epsilon, likelihood):
    """Mean over the batch of KL - log p(x|z)."""
    mean, log_std = jnp.split(network(weights[:6], x), 2, axis=-1)
    kl = -0.5 * jnp.sum(1.0 + 2.0 * log_std - mean**2 - jnp.exp(2.0 * log_std), axis=-1)
    outputs = network(weights[6:], mean + jnp.exp(log_std) * epsilon)
    if likelihood == "bernoulli":
        return jnp.mean(kl - jnp.sum(x * outputs - jax.nn.softplus(outputs), axis=-1))
    mean, log_std = jnp.split(outputs, 2, axis=-1)
    s = (x - mean) * jnp.exp(-log_std)
    return jnp.mean(kl + jnp.sum(0.5 * (LOG_2_PI + s**2) + log_std, axis=-1))


class Trainer:
    def __init__(self, problem, x, batch_size, optimizer):
        self.problem, self.batch_size = problem, batch_size
        self.x = jnp.array(x)
        sgd, adam = optax.sgd(LR), optax.adam(LR, eps=ADAM_EPSILON)
        self.optimizer = sgd if optimizer == "sgd" else adam
        weights = [jnp.array(w) for w in problem.first_weights()]
        self.state = weights, self.optimizer.init(weights)

    def update(self, state, batch):
        weights, optimizer_state = state
        cost_and_gradients = jax.value_and_grad(cost_function)
        cost, gradients = cost_and_gradients(weights, *batch, self.problem.likelihood)
        updates, optimizer_state = self.optimizer.update(gradients, optimizer_state)
        return (optax.apply_updates(weights, updates), optimizer_state), cost

    @partial(jax.jit, static_argnums=0, donate_argnums=1)
    def run_epoch(self, state, x, key):
        order_key, key = jax.random.split(key)
        x = x[jax.random.permutation(order_key, len(x))]
        x = x.reshape(-1, self.batch_size, x.shape[1])
        epsilon = jax.random.normal(key, (*x.shape[:2], self.problem.n_dim))
        return jax.lax.scan(self.update, state, (x, epsilon))

    def step(self, x, epsilon):
        self.state, cost = self.update(self.state, (x, epsilon))
        return float(cost)

    def weights(self):
        return [np.array(w) for w in self.state[0]]

    def train(self, epoch):
        self.state, costs = self.run_epoch(self.state, self.x, jax.random.key(epoch))
        costs.block_until_ready()
