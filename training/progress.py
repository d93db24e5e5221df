"""What training shows while it runs: a bar on a terminal, plain lines elsewhere; TensorBoard."""

import sys
from pathlib import Path

import tensorflow as tf
from tqdm import tqdm

MAX_LINES = 100  # a longer run shows every second, third ... epoch as a plain line


class Progress:
    """Epochs done, the terms of the last one in nats, and the time left.

    n_epoch: epochs of the run. n_done: how many of them were done before.
    """

    def __init__(self, n_epoch, n_done=0):
        self.n_epoch = n_epoch
        self.bar = tqdm(
            total=n_epoch,
            initial=n_done,
            file=sys.stdout,
            dynamic_ncols=True,
            bar_format="{desc} {bar} {elapsed}<{remaining}",
            disable=None,  # where stdout is no terminal
        )
        if self.bar.disable:
            print("epoch       KL  log p(x|z)      ELBO  held-out ELBO  seconds", flush=True)

    def __enter__(self):
        return self

    def __exit__(self, error_type, error, traceback):
        self.bar.close()

    def show(self, row):
        """Show a finished epoch, a row of the history."""
        epoch, *terms = (row[k] for k in ("epoch", "kl", "log_px_z", "elbo", "elbo_held_out"))
        kl, log_px_z, elbo, held_out = terms
        if not self.bar.disable:
            self.bar.set_description_str(
                f"epoch {epoch}/{self.n_epoch}  KL {kl:.3f}  log p(x|z) {log_px_z:.3f}  "
                f"ELBO {elbo:.3f}  held-out {held_out:.3f}",
                refresh=False,
            )
            self.bar.update()
        elif epoch % -(-self.n_epoch // MAX_LINES) == 0 or epoch == self.n_epoch:
            print(
                f"{epoch:5d} {kl:8.4f} {log_px_z:11.4f} {elbo:9.4f} {held_out:14.4f} "
                f"{row['seconds']:8.2f}",
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
