"""Keras: a model with its own train_step, as in Keras's VAE example, trained by `fit` under XLA."""

import quiet_tensorflow

import math

import keras
import tensorflow as tf
from keras import ops

from benchmarks.peers.problems import ADAM_EPSILON, LR

LOG_2_PI = math.log(2.0 * math.pi)
STEPS_PER_EXECUTION = 20  # more are no faster, and take long to trace


def network(sizes):
    n_in, *hidden, n_out = sizes
    layers = [keras.layers.Dense(width, activation="relu") for width in hidden]
    return keras.Sequential([keras.Input((n_in,)), *layers, keras.layers.Dense(n_out)])


class VAE(keras.Model):
    def __init__(self, problem):
        super().__init__()
        self.problem = problem
        self.encoder, self.decoder = network(problem.encoder_sizes), network(problem.decoder_sizes)
        self.seed_generator = keras.random.SeedGenerator(0)
        self.kl_tracker = keras.metrics.Mean(name="kl")
        self.log_px_z_tracker = keras.metrics.Mean(name="log_px_z")
        self.built = True

    @property
    def metrics(self):
        return [self.kl_tracker, self.log_px_z_tracker]

    def terms(self, x, epsilon):
        mean, log_std = ops.split(self.encoder(x), 2, axis=-1)
        kl = -0.5 * ops.sum(1.0 + 2.0 * log_std - mean**2 - ops.exp(2.0 * log_std), axis=-1)
        outputs = self.decoder(mean + ops.exp(log_std) * epsilon)
        if self.problem.likelihood == "bernoulli":
            log_px_z = ops.sum(x * outputs - ops.softplus(outputs), axis=-1)
        else:
            mean, log_std = ops.split(outputs, 2, axis=-1)
            s = (x - mean) * ops.exp(-log_std)
            log_px_z = -ops.sum(0.5 * (LOG_2_PI + s**2) + log_std, axis=-1)
        return ops.mean(kl), ops.mean(log_px_z)

    def step(self, x, epsilon):
        with tf.GradientTape() as tape:
            kl, log_px_z = self.terms(x, epsilon)
            cost = kl - log_px_z
        gradients = tape.gradient(cost, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        self.kl_tracker.update_state(kl)
        self.log_px_z_tracker.update_state(log_px_z)
        return cost

    def train_step(self, x):
        if self.problem.likelihood == "bernoulli":
            grey = ops.cast(x, "float32") / 255.0
            uniform = keras.random.uniform(ops.shape(x), seed=self.seed_generator)
            x = ops.cast(uniform < grey, "float32")
        shape = (ops.shape(x)[0], self.problem.n_dim)
        self.step(x, keras.random.normal(shape, seed=self.seed_generator))
        return {metric.name: metric.result() for metric in self.metrics}


class Trainer:
    def __init__(self, problem, x, batch_size, optimizer):
        self.x, self.batch_size = x, batch_size
        self.model = VAE(problem)
        self.model.set_weights([*problem.first_weights(), *self.model.get_weights()[12:]])
        optimizers = {
            "sgd": keras.optimizers.SGD(LR),
            "adam": keras.optimizers.Adam(LR, epsilon=ADAM_EPSILON),
        }
        self.model.compile(
            optimizer=optimizers[optimizer],
            steps_per_execution=min(STEPS_PER_EXECUTION, len(x) // batch_size),
            jit_compile=True,
        )

    def step(self, x, epsilon):
        return float(self.model.step(x, epsilon))

    def weights(self):
        return [w.numpy() for w in self.model.trainable_variables]

    def train(self, epoch):
        self.model.fit(self.x, batch_size=self.batch_size, epochs=1, verbose=0)
