"""The compiled training loop, its checkpoints, resume and divergence; independent of the model.

A script's loop over epochs and chunks of steps reads

    with Run(args, model, optimizer) as run:
        for epoch in run.epochs():
            for chunk in run.chunks(batches):
                run.add(chunk, iterate(chunk))
            run.end_epoch(held_out_elbo)
"""

import contextlib
import json
import shutil
import signal
import sys
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from training import distribute, run_folder, saved_model
from training.errors import InputError, Stopped, one_line
from training.progress import Progress, TensorBoardLog

SECONDS_BETWEEN_CHECKPOINTS = 30.0  # within an epoch
SECONDS_BETWEEN_EPOCH_CHECKPOINTS = 5.0  # at the end of an epoch
ADVICE = (  # to the user of a run that diverged
    "Try data of mean 0 and std 1 (--standardize of the Gaussian scripts), a smaller --lr, a "
    "higher --min_log_std, or --clip_norm"
)
OPTIMIZERS = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}
LR_SCHEDULES = ("cosine", "constant")


def make_optimizer(model, name, rate, clip_norm=None, **options):
    """A Keras optimizer of the model's weights, `adam` or `sgd`, ready for a compiled step.

    rate: a number or a Keras schedule. A gradient whose norm, over all weights, is above clip_norm
    is scaled down to it. options: more arguments of Keras's optimizer.
    """
    optimizer = OPTIMIZERS[name](rate, global_clipnorm=clip_norm, **options)
    optimizer.build(model.trainable_variables)
    return optimizer


def learning_rate(lr, lr_schedule, n_steps):
    """The rate of all n_steps steps: lr throughout, or falling to zero as half a cosine."""
    return keras.optimizers.schedules.CosineDecay(lr, n_steps) if lr_schedule == "cosine" else lr


def compile_steps(training_step, model, optimizer):
    """Many training steps in one compiled call.

    training_step(model, optimizer, x, epsilon) -> (kl, log_px_z), means over the batch.
    Returns iterate(chunk) -> (n_steps, 2) float32, the terms of each step of a
    data_processing.Chunk: x (K, B, data_dim), epsilon (K, B, n_dim), n_steps up to K. A call costs
    about a millisecond whatever it holds; a step inside the compiled loop costs its arithmetic.
    Noise is an argument because random numbers are slow, and differ, in compiled code.
    """
    if distribute.strategy is not None:
        return distribute.compile_steps(training_step, model, optimizer)

    # It has no branches for AutoGraph, which would read its code for 0.3 s.
    training_step = tf.autograph.experimental.do_not_convert(training_step)

    @tf.function(jit_compile=True)
    def run_steps(x, epsilon, n_steps):
        terms = tf.TensorArray(tf.float32, x.shape[0], element_shape=(2,))
        for i in tf.range(n_steps):
            step_terms = tf.stack(training_step(model, optimizer, x[i], epsilon[i]))
            terms = terms.write(i, step_terms)
        return terms.stack()

    def iterate(chunk):
        x, epsilon, n_steps = chunk
        return run_steps(x, epsilon, tf.constant(n_steps)).numpy()[:n_steps]

    return iterate


class Position(tf.train.experimental.PythonState):
    """How far a run has come; part of every checkpoint.

    epoch: the one under way, from 1. chunk: how many of its chunks are done. rows: how many it has
    seen; kl, log_px_z: sums over these. seconds: time spent in it. history: one dictionary for each
    epoch done.
    """

    def __init__(self):
        self.history = []
        self.begin_epoch()

    def begin_epoch(self):
        self.epoch = len(self.history) + 1
        self.chunk = self.step = self.rows = 0
        self.kl = self.log_px_z = self.seconds = 0.0

    def serialize(self):
        return json.dumps({k: v for k, v in vars(self).items() if not k.startswith("_")})

    def deserialize(self, string_value):
        vars(self).update(json.loads(string_value))


class Run:
    """One training run in one folder: where it stands, its history, its checkpoints.

    args: the flags; args.output_dir is claimed, and config.json written, where the block begins.
    more: further settings for config.json. The run's folder is `folder`.
    """

    def __init__(self, args, model, optimizer, **more):
        self.args, self.model, self.optimizer, self.more = args, model, optimizer, more
        self.folder = Path(args.output_dir)
        self.position = Position()
        self.checkpoint = tf.train.Checkpoint(
            model=model, optimizer=optimizer, position=self.position
        )
        self.signal_number = None
        self.coming = None  # the chunks of this epoch and the next ones, made ahead

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            stack.enter_context(run_folder.claim_folder(self.args, **self.more))
            self.begin()
            n_done = len(self.position.history)
            self.progress = stack.enter_context(Progress(self.args.n_epoch, n_done))
            for number in (signal.SIGINT, signal.SIGTERM):
                handler = signal.signal(number, self.note_signal)
                stack.callback(signal.signal, number, handler)
            if not self.manager.checkpoints:
                self.save()
            self.leave = stack.pop_all()
        self.clock = self.saved_at = time.monotonic()
        return self

    def begin(self):
        """Start anew, or with --resume from the newest checkpoint that can be read."""
        # Reading save_counter makes it, so that a restored checkpoint finds it.
        shared = [*self.model.weights, *self.optimizer.variables, self.checkpoint.save_counter]
        if self.args.resume:
            self.restore()
        if distribute.strategy is not None:  # all workers begin where the chief does
            position = distribute.text_from_chief(self.position.serialize())
            self.position.deserialize(position)
            for variable in shared:
                variable.assign(distribute.from_chief(variable.numpy()))
        self.manager = tf.train.CheckpointManager(
            self.checkpoint, self.folder / "checkpoint", max_to_keep=3
        )
        self.log = TensorBoardLog(self.folder, self.args.tensorboard)
        (self.folder / "report.json").unlink(missing_ok=True)  # it stands for a finished run

    def __exit__(self, error_type, error, traceback):
        if self.coming is not None:
            self.coming.close()
        self.leave.__exit__(error_type, error, traceback)
        if error is None and self.signal_number is not None:  # it came after the last step
            signal.raise_signal(self.signal_number)

    def note_signal(self, number, frame):
        self.signal_number = number

    def epochs(self):
        """The numbers of the epochs that are still to run, the one under way first."""
        while self.position.epoch <= self.args.n_epoch:
            yield self.position.epoch
        if not distribute.is_chief():
            raise Stopped("done; the chief writes the results", status=0)
        self.save()

    def chunks(self, batches):
        """The chunks of steps of the epoch that are still to run."""
        here = self.position
        if self.coming is None:
            self.coming = batches.chunks(here.epoch, here.chunk, self.args.n_epoch)
        for _ in range(here.chunk, batches.chunks_per_epoch):
            yield next(self.coming)

    def add(self, chunk, terms):
        """Take the terms (n_steps, 2) of the steps of a chunk."""
        here, batch_size = self.position, chunk.x.shape[1]
        if not np.isfinite(terms).all():
            step, term = np.argwhere(~np.isfinite(terms))[0]
            self.diverge(f"{('KL', 'log p(x|z)')[term]} is not finite", here.step + step + 1)
        kl, log_px_z = batch_size * terms.sum(axis=0, dtype=np.float64)
        here.kl += kl
        here.log_px_z += log_px_z
        here.rows += batch_size * len(terms)
        here.step += len(terms)
        here.chunk += 1
        self.take_time()
        self.save_when_due(SECONDS_BETWEEN_CHECKPOINTS)

    def end_epoch(self, elbo_held_out):
        """Close the epoch: the means of its terms and the held-out ELBO go to the history."""
        here = self.position
        self.take_time()
        kl, log_px_z = here.kl / here.rows, here.log_px_z / here.rows
        here.history.append(
            {
                "epoch": here.epoch,
                "kl": kl,
                "log_px_z": log_px_z,
                "elbo": log_px_z - kl,
                "elbo_held_out": float(elbo_held_out),
                "seconds": round(here.seconds, 3),
            }
        )
        here.begin_epoch()
        self.progress.show(here.history[-1])
        self.log.add_epoch(here.history[-1])
        self.save_when_due(SECONDS_BETWEEN_EPOCH_CHECKPOINTS)

    def take_time(self):
        now = time.monotonic()
        self.position.seconds += now - self.clock
        self.clock = now

    def diverge(self, what, step):
        """Go back to the last finite weights, keep them as files, and end the run."""
        epoch = self.position.epoch
        where = f"in epoch {epoch}, step {step}" if step else f"at the end of epoch {epoch - 1}"
        if not distribute.is_chief():
            raise Stopped(f"diverged {where}: {what}")
        self.restore()
        saved_model.write_weights(self.model, self.folder)
        raise Stopped(
            f"diverged {where}: {what}; the last good weights (epoch "
            f"{self.position.epoch}, step {self.position.step}) are kept in {self.folder}. {ADVICE}"
        )

    def save_when_due(self, seconds):
        number = distribute.signal_of_any(self.signal_number)
        if number is not None:
            self.save()
            raise Stopped(
                f"stopped in epoch {self.position.epoch}; all work is saved: continue with the "
                "same command and --resume",
                status=128 + number,
            )
        if time.monotonic() - self.saved_at >= seconds:
            self.save()

    def save(self):
        """Write a checkpoint; the last three are kept, none with weights that are not finite."""
        if not self.folder.is_dir():  # TensorFlow would make it anew
            raise Stopped(f"{self.folder}: the folder was removed during the run, with its results")
        if not all(np.isfinite(w.numpy()).all() for w in self.model.weights):
            self.diverge("a weight is not finite", self.position.step)
        try:
            self.manager.save()
            self.remove_strays()
        except (tf.errors.OpError, OSError) as error:
            raise Stopped(
                f"{self.folder}: the checkpoint of epoch {self.position.epoch} can't be written "
                f"({one_line(error)}); earlier ones are kept"
            ) from None
        self.saved_at = time.monotonic()

    def remove_strays(self):
        """Remove the checkpoints that killed runs left half written, or whole but unlisted."""
        kept = {Path(path).name for path in self.manager.checkpoints}
        for path in (self.folder / "checkpoint").iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != "checkpoint" and path.stem not in kept:
                path.unlink()

    def restore(self):
        """Take the newest checkpoint that can be read; without any the run is at its start."""
        checkpoints = sorted(
            (self.folder / "checkpoint").glob("ckpt-*.index"), key=lambda p: int(p.stem[5:])
        )
        for index in reversed(checkpoints):
            path = str(index.with_suffix(""))
            try:
                self.checkpoint.restore(path).assert_existing_objects_matched()
                return
            except Exception as error:  # noqa: BLE001 - TensorFlow's reader raises many kinds
                print(f"warning: {path} is damaged, skipped ({one_line(error)})", file=sys.stderr)
        if checkpoints:
            raise InputError(f"{self.folder / 'checkpoint'}: no checkpoint in it can be read")

    def write_results(self, cost_file):
        """Write the weights, the history, and the columns KL and log-likelihood to `cost_file`."""
        history = self.position.history
        saved_model.write_weights(self.model, self.folder)
        with run_folder.atomic_write(self.folder / cost_file) as path:
            np.savetxt(path, [[row["kl"], row["log_px_z"]] for row in history], fmt="%.17g")
        run_folder.write_table(self.folder / "history.csv", history)
