"""What training shows while it runs: a bar on a terminal, plain lines elsewhere; TensorBoard."""

import sys
from pathlib import Path

import tensorflow as tf
from tqdm import tqdm

MAX_LINES = 100  # a longer run shows every second, third ... epoch as a plain line


class Progress:
    """Epochs done, the terms of the last one in nats, and the time left.

    n_epoch: epochs of a run. n_runs: runs that are shown one after another, as in a sweep.
    """

    def __init__(self, n_epoch, n_runs=1):
        self.n_epoch, self.n_runs = n_epoch, n_runs
        self.label = ""
        self.bar = None

    def __enter__(self):
        if sys.stdout.isatty():
            self.bar = tqdm(
                total=self.n_epoch * self.n_runs,
                file=sys.stdout,
                dynamic_ncols=True,
                bar_format="{desc} {bar} {elapsed}<{remaining}",
            )
        else:
            space = " " * 10 if self.n_runs > 1 else ""
            print(
                f"{space}epoch       KL  log p(x|z)      ELBO  held-out ELBO  seconds", flush=True
            )
        return self

    def __exit__(self, error_type, error, traceback):
        if self.bar is not None:
            self.bar.close()

    def skip(self, n_epochs):
        """Count epochs that were done before."""
        if self.bar is not None:
            self.bar.initial += n_epochs
            self.bar.update(n_epochs)

    def show(self, row):
        """Show a finished epoch, a row of the history."""
        kl, log_px_z, elbo, held_out = (
            row[name] for name in ("kl", "log_px_z", "elbo", "elbo_held_out")
        )
        if self.bar is not None:
            self.bar.set_description_str(
                f"{self.label}epoch {row['epoch']}/{self.n_epoch}  KL {kl:.3f}  "
                f"log p(x|z) {log_px_z:.3f}  ELBO {elbo:.3f}  held-out {held_out:.3f}",
                refresh=False,
            )
            self.bar.update()
        elif row["epoch"] % -(-self.n_epoch // MAX_LINES) == 0 or row["epoch"] == self.n_epoch:
            print(
                f"{self.label:<{10 if self.n_runs > 1 else 0}}{row['epoch']:5d} {kl:8.4f} "
                f"{log_px_z:11.4f} {elbo:9.4f} {held_out:14.4f} {row['seconds']:8.2f}",
                flush=True,
            )


class TensorBoardLog:
    """The events of the run in `folder`, in its folder tensorboard/; none unless `wanted`."""

    def __init__(self, folder, wanted):
        self.folder = Path(folder)
        self.writer = None
        if wanted:
            self.writer = tf.summary.create_file_writer(str(self.folder / "tensorboard"))

    def add_epoch(self, row):
        """Log a row of the history: nats per data point, and seconds."""
        if self.writer is None:
            return
        with self.writer.as_default(step=row["epoch"]):
            for name, value in row.items():
                if name != "epoch":
                    tf.summary.scalar(name, value)
        self.writer.flush()

    def add_pictures(self, epoch):
        """Log every picture in the run's folder figures/."""
        if self.writer is None:
            return
        with self.writer.as_default(step=epoch):
            for path in sorted((self.folder / "figures").glob("*.png")):
                tf.summary.image(path.stem, [tf.io.decode_png(path.read_bytes(), channels=3)])
        self.writer.flush()
