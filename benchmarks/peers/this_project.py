"""The project itself: what vae_main.py and analysis.sampling do."""

import quiet_tensorflow

import data_processing
import vae_main
import vae_models
from analysis import sampling
from benchmarks.peers.problems import LR
from images.models import BernoulliVAE
from training import loop
from training.settings import Settings


def make_model(problem):
    """The project's model with the common first weights."""
    kind = vae_models.VAE if problem.likelihood == "gaussian" else BernoulliVAE
    model = kind(data_dim=problem.data_dim, n_dim=problem.n_dim, n_width=problem.n_width)
    model.set_weights(problem.first_weights())
    return model


class Trainer:
    """lr to weight_decay: those of a run; without them a constant rate of LR and no decay."""

    def __init__(
        self,
        problem,
        x,
        batch_size,
        optimizer,
        lr=LR,
        lr_schedule="constant",
        n_epoch=1,
        weight_decay=0.0,
    ):
        loop.choose_threads(Settings(**vars(problem), batch_size=batch_size, distribute=None))
        self.model = make_model(problem)
        self.batches = data_processing.Batches(
            x=x, batch_size=batch_size, n_dim=problem.n_dim, seed=0
        )
        rate = loop.learning_rate(lr, lr_schedule, n_epoch * self.batches.steps)
        optimizer = loop.make_optimizer(self.model, optimizer, rate, weight_decay=weight_decay)
        self.iterate = loop.compile_steps(vae_main.training_step, self.model, optimizer)
        self.coming = None

    def step(self, x, epsilon):
        kl, log_px_z = self.iterate(data_processing.Chunk(x[None], epsilon[None], 1))[0]
        return float(kl) - float(log_px_z)

    def weights(self):
        return self.model.get_weights()

    def train(self, epoch):
        if self.coming is None:  # as in a run, whose chunks are made ahead across epochs
            self.coming = self.batches.chunks(epoch, last_epoch=epoch + 10**6)
        for _ in range(len(self.batches.edges) - 1):
            self.iterate(next(self.coming))


class Generator:
    def __init__(self, problem):
        self.model = make_model(problem)

    def generate(self, n_samples, seed):
        return sampling.generate(self.model, n_samples, seed)
