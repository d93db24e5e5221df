"""One training run in one folder: its epochs, checkpoints, resume, divergence, and best epoch."""

import contextlib
import dataclasses
import time
from pathlib import Path

import numpy as np

from training import checkpoints, distribute, run_folder, saved_model, tables
from training.errors import Stopped
from training.progress import Progress, TensorBoardLog
from training.settings import as_dictionary
from training.signals import Signals

SECONDS_BETWEEN_CHECKPOINTS = 30.0  # within an epoch
SECONDS_BETWEEN_EPOCH_CHECKPOINTS = 5.0  # at the end of an epoch
ADVICE = (  # to the user of a run that diverged
    "Try data of mean 0 and std 1 (--standardize of the Gaussian scripts), a smaller --lr, a "
    "higher --min_log_std, or --clip_norm"
)


@dataclasses.dataclass
class State:
    """How far a run has come; part of every checkpoint.

    epoch: the one under way, from 1. chunk, step: how many of its chunks and steps are done. rows:
    how many it has seen; kl, log_px_z: sums over these. seconds: time spent in it. history: one
    dictionary for each epoch that is done. best_epoch: the one of the highest followed ELBO.
    """

    epoch: int = 1
    chunk: int = 0
    step: int = 0
    rows: int = 0
    kl: float = 0.0
    log_px_z: float = 0.0
    seconds: float = 0.0
    history: list = dataclasses.field(default_factory=list)
    best_epoch: int | None = None


@contextlib.contextmanager
def training_run(settings, model, optimizer):
    """The Run of these settings: begun anew, or with settings.resume where it was interrupted.

    Its folder belongs to it alone until the block is left. InputError, Stopped: see claim_folder.
    """
    folder = Path(settings.output_dir)
    with run_folder.claim_folder(folder, as_dictionary(settings), settings.resume):
        run = Run(settings, model, optimizer, folder)
        run.begin()
        try:
            yield run
        finally:
            run.close()


class Run:
    """A training run: where it stands, its history, its checkpoints. Made by training_run."""

    def __init__(self, settings, model, optimizer, folder):
        self.settings = settings
        self.model = model
        self.optimizer = optimizer
        self.folder = folder
        self.followed = "validation" if settings.keep == "best" else "held_out"
        self.state = State()
        self.best_weights = model.get_weights()  # of state.best_epoch
        self.n_saved = 0  # checkpoints
        self.chunks_ahead = None  # the iterator over the chunks of this epoch and all later ones
        self.signals = Signals()
        self.progress = None
        self.log = TensorBoardLog(folder, settings.tensorboard)
        self.clock = self.saved_at = time.monotonic()

    @property
    def history(self):
        return self.state.history

    def begin(self):
        """Take up the newest checkpoint with --resume, and make the first one of a new run."""
        if self.settings.resume:
            self.restore()
        distribute.check_agreement("checkpoints", [self.state.epoch, self.state.step])
        if self.n_saved == 0:
            self.save()
        self.progress = Progress(self.settings.n_epoch, len(self.history), self.followed)
        self.signals.begin()
        self.clock = self.saved_at = time.monotonic()

    def close(self):
        """What is left to do after the last step, or after an error."""
        if self.chunks_ahead is not None:
            self.chunks_ahead.close()
        self.progress.close()
        self.signals.end()

    def epochs(self):
        """The numbers of the epochs that are still to run, the one under way first."""
        while self.state.epoch <= self.settings.n_epoch:
            yield self.state.epoch
        self.progress.close()
        self.save()
        self.signals.end()  # what follows can be made again, so a signal may end it

    def chunks(self, batches):
        """The chunks of steps of this epoch that are still to run.

        They come from one iterator over all epochs, so that the first chunk of the next epoch is
        made while the last one of this epoch is at work.
        """
        state = self.state
        if self.chunks_ahead is None:
            self.chunks_ahead = batches.chunks(state.epoch, state.chunk, self.settings.n_epoch)
        for _ in range(state.chunk, len(batches.edges) - 1):
            yield next(self.chunks_ahead)

    def add(self, chunk, terms):
        """Take the terms (n_steps, 2), KL and log p(x|z), of the steps of a chunk."""
        state = self.state
        batch_size = chunk.x.shape[1]
        if not np.isfinite(terms).all():
            step, term = np.argwhere(~np.isfinite(terms))[0]
            name = ("KL", "log p(x|z)")[term]
            self.diverge(f"in epoch {state.epoch}, step {state.step + step + 1}: {name}")
        kl, log_px_z = batch_size * terms.sum(axis=0, dtype=np.float64)
        state.kl += kl
        state.log_px_z += log_px_z
        state.rows += batch_size * len(terms)
        state.step += len(terms)
        state.chunk += 1
        self.take_time()
        self.save_when_due(SECONDS_BETWEEN_CHECKPOINTS)

    def end_epoch(self, elbo, **more):
        """Close the epoch: add its mean terms and the ELBO of unseen rows to the history.

        elbo: of the validation rows where there are some, else of the held-out rows. more: further
        columns of the history.
        """
        state = self.state
        if not np.isfinite(elbo):
            self.diverge(f"at the end of epoch {state.epoch}: the ELBO of rows not trained on")
        self.take_time()
        kl = state.kl / state.rows
        log_px_z = state.log_px_z / state.rows
        row = {
            "epoch": state.epoch,
            "kl": kl,
            "log_px_z": log_px_z,
            "elbo": log_px_z - kl,
            f"elbo_{self.followed}": float(elbo),
            **more,
            "seconds": round(state.seconds, 3),
        }
        if self.settings.keep == "best":
            self.note_best(elbo)
        state.history.append(row)
        self.state = State(
            epoch=state.epoch + 1, history=state.history, best_epoch=state.best_epoch
        )
        self.progress.show(row)
        self.log.add_epoch(row)
        self.save_when_due(SECONDS_BETWEEN_EPOCH_CHECKPOINTS)

    def note_best(self, elbo):
        """Keep the weights of the epoch that ends, if its validation ELBO is the highest."""
        best = self.state.best_epoch
        if best is None or elbo > self.history[best - 1]["elbo_validation"]:
            self.state.best_epoch = self.state.epoch
            self.best_weights = self.model.get_weights()

    def take_time(self):
        now = time.monotonic()
        self.state.seconds += now - self.clock
        self.clock = now

    def diverge(self, where):
        """Go back to the last finite weights, keep them as files, and end the run."""
        self.restore()
        saved_model.write_weights(self.model, self.folder)
        raise Stopped(
            f"diverged {where} is not finite; the last good weights (epoch {self.state.epoch}, "
            f"step {self.state.step}) are kept in {self.folder}. {ADVICE}"
        )

    def save_when_due(self, seconds):
        """Save if the last checkpoint is old enough, or if a signal ends the run."""
        number = self.signals.noted
        if number is not None:
            self.signals.noted = None
            self.save()
            raise Stopped(
                f"stopped in epoch {self.state.epoch}; all work is saved: continue with the "
                "same command and --resume",
                status=128 + number,
            )
        if time.monotonic() - self.saved_at >= seconds:
            self.save()

    def save(self):
        """Write a checkpoint, unless a weight is not finite."""
        if not self.folder.is_dir():
            raise Stopped(f"{self.folder}: the folder was removed during the run, with its results")
        weights = self.model.get_weights()
        if not all(np.isfinite(weight).all() for weight in weights):
            self.diverge(f"in epoch {self.state.epoch}, step {self.state.step}: a weight")
        try:
            checkpoints.save(
                self.folder,
                number=self.n_saved + 1,
                state=dataclasses.asdict(self.state),
                model=weights,
                optimizer=[variable.numpy() for variable in self.optimizer.variables],
                best=self.best_weights,
            )
        except OSError as error:
            raise Stopped(
                f"{self.folder}: the checkpoint of epoch {self.state.epoch} can't be written "
                f"({error.strerror}); earlier ones are kept"
            ) from None
        self.n_saved += 1
        self.saved_at = time.monotonic()

    def restore(self):
        """Take the newest checkpoint that can be read; without any the run is at its start."""
        newest = checkpoints.load_newest(
            self.folder,
            model=self.model.weights,
            optimizer=self.optimizer.variables,
            best=self.model.weights,
        )
        if newest is None:
            return
        self.n_saved, state, arrays = newest
        self.state = State(**state)
        self.model.set_weights(arrays["model"])
        for variable, array in zip(self.optimizer.variables, arrays["optimizer"], strict=True):
            variable.assign(array)
        self.best_weights = arrays["best"]

    def write_results(self):
        """Write the weights that are kept, the history, and the cost file: KL and log p(x|z)."""
        if self.settings.keep == "best":
            self.model.set_weights(self.best_weights)
        saved_model.write_weights(self.model, self.folder)
        name = "beta_vae" if self.settings.model == "beta_vae" else "vae"
        terms = np.array([[row["kl"], row["log_px_z"]] for row in self.history])
        tables.save_table(self.folder / f"cost_function_{name}.dat", terms)
        run_folder.write_table(self.folder / "history.csv", self.history)

    def finish(self, report):
        """Complete the report and write it, the last file of a run."""
        report["kept_epoch"] = self.state.best_epoch or len(self.history)
        report["seconds"] = round(sum(row["seconds"] for row in self.history), 3)
        run_folder.write_json(self.folder / "report.json", report)
