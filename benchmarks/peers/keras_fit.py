"""Keras: the project's model and step in a model with its own train_step, trained by `fit`."""

import quiet_tensorflow

import keras
from keras import ops

from benchmarks.peers.problems import LR
from benchmarks.peers.this_project import make_model
from vae_main import training_step

STEPS_PER_EXECUTION = 20  # more are no faster, and take long to trace


class FitModel(keras.Model):
    def __init__(self, vae):
        super().__init__()
        self.vae = vae
        self.seed_generator = keras.random.SeedGenerator(0)
        self.built = True

    def train_step(self, x):
        shape = (ops.shape(x)[0], self.vae.n_dim)
        epsilon = keras.random.normal(shape, seed=self.seed_generator)
        kl, log_px_z = training_step(self.vae, self.optimizer, x, epsilon)
        return {"cost": kl - log_px_z}


class Trainer:
    def __init__(self, problem, x, batch_size, optimizer):
        self.x, self.batch_size = x, batch_size
        self.model = FitModel(make_model(problem))
        make_optimizer = keras.optimizers.SGD if optimizer == "sgd" else keras.optimizers.Adam
        self.model.compile(
            optimizer=make_optimizer(LR),
            steps_per_execution=min(STEPS_PER_EXECUTION, len(x) // batch_size),
            jit_compile=True,
        )

    def step(self, x, epsilon):
        kl, log_px_z = training_step(self.model.vae, self.model.optimizer, x, epsilon)
        return float(kl) - float(log_px_z)

    def weights(self):
        return self.model.vae.get_weights()

    def train(self, epoch):
        self.model.fit(self.x, batch_size=self.batch_size, verbose=0)
