"""The project itself: what vae_main.py, mnist_vae_main.py and analysis.sampling do."""

import quiet_tensorflow

from functools import partial

import tensorflow as tf

import data_processing
import mnist_vae_main
import vae_main
import vae_models
from analysis import sampling
from benchmarks.peers.problems import ADAM_EPSILON, LR
from images import data as image_data
from images.models import BernoulliVAE
from training import loop
from vae_models import VAE


def make_model(problem):
    """The project's model with the common first weights."""
    model_class = VAE if problem.likelihood == "gaussian" else BernoulliVAE
    model = model_class(problem.data_dim, problem.n_dim, (problem.n_width, problem.n_width))
    for weight, value in zip(model.weights, problem.first_weights(), strict=True):
        weight.assign(value)
    return model


class Trainer:
    def __init__(self, problem, x, batch_size, optimizer):
        self.model, self.coming = make_model(problem), None
        model = self.model
        if problem.likelihood == "gaussian":
            self.noise_shape = ()
            self.batches = data_processing.Batches(x, batch_size, problem.n_dim, seed=0)
            optimizer = loop.make_optimizer(model, optimizer, LR)
            self.iterate = loop.compile_steps(vae_main.training_step, model, optimizer)
            return
        self.noise_shape = (1,)  # one draw of z for each image
        self.batches = image_data.BinarizedBatches(x, batch_size, problem.n_dim, 0, n_samples=1)
        optimizer = loop.make_optimizer(model, "adam", LR, epsilon=ADAM_EPSILON)
        step = partial(mnist_vae_main.training_step, beta=tf.constant(1.0))
        self.iterate = loop.compile_steps(step, model, optimizer)

    def step(self, x, epsilon):
        epsilon = epsilon.reshape(1, *self.noise_shape, *epsilon.shape)
        chunk = data_processing.Chunk(x[None], epsilon, 1)
        kl, log_px_z = self.iterate(chunk)[0].astype(float)
        return kl - log_px_z

    def weights(self):
        return [w.numpy() for w in self.model.weights]

    def train(self, epoch):
        if self.coming is None:  # as in a run, whose chunks are made ahead across epochs
            self.coming = self.batches.chunks(1, last_epoch=10**6)
        for _ in range(self.batches.chunks_per_epoch):
            self.iterate(next(self.coming))


class Generator:
    def __init__(self, problem):
        self.model = make_model(problem)

    def decode(self, z, epsilon):
        mean, log_std = self.model.decode(z)
        return vae_models.reparameterize(mean, log_std, epsilon).numpy()

    def generate(self, n_samples, seed):
        return sampling.generate(self.model, n_samples, seed)
