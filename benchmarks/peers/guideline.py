"""The guideline's way: a call for each batch, over a tf.data pipeline; a call for each sample."""

import quiet_tensorflow

import numpy as np
import tensorflow as tf

from benchmarks.peers.problems import LR
from benchmarks.peers.this_project import make_model
from training import loop
from vae_main import training_step
from vae_models import reparameterize


class Trainer:
    def __init__(self, problem, x, batch_size, optimizer):
        self.model = model = make_model(problem)
        optimizer = loop.make_optimizer(model, optimizer, LR)
        self.dataset = tf.data.Dataset.from_tensor_slices(x).shuffle(len(x)).batch(batch_size)

        @tf.function
        def given_step(x, epsilon):
            return training_step(model, optimizer, x, epsilon)

        @tf.function
        def one_step(x):
            if problem.likelihood == "bernoulli":
                grey = tf.cast(x, tf.float32) / 255.0
                x = tf.cast(tf.random.uniform(tf.shape(grey)) < grey, tf.float32)
            epsilon = tf.random.normal((tf.shape(x)[0], problem.n_dim))
            return training_step(model, optimizer, x, epsilon)

        self.given_step, self.one_step = given_step, one_step

    def step(self, x, epsilon):
        kl, log_px_z = self.given_step(tf.constant(x), tf.constant(epsilon))
        return float(kl) - float(log_px_z)

    def weights(self):
        return [w.numpy() for w in self.model.weights]

    def train(self, epoch):
        for x in self.dataset:
            self.one_step(x)


class Generator:
    """One sample at a time, each an eager call of the decoder."""

    def __init__(self, problem):
        self.model = make_model(problem)

    def draw(self, z, epsilon):
        mean, log_std = self.model.decode(z)
        return reparameterize(mean, log_std, epsilon)

    def decode(self, z, epsilon):
        rows = zip(z[:, None], epsilon[:, None], strict=True)
        return np.concatenate([self.draw(*map(tf.constant, row)) for row in rows])

    def generate(self, n_samples, seed):
        tf.random.set_seed(seed)
        shapes = (1, self.model.n_dim), (1, self.model.data_dim)
        draws = (self.draw(*map(tf.random.normal, shapes)).numpy() for _ in range(n_samples))
        return np.concatenate(list(draws))


class CompiledGenerator(Generator):
    """One sample at a time, each a call of one tf.function."""

    def __init__(self, problem):
        super().__init__(problem)
        self.draw = tf.function(self.draw)
