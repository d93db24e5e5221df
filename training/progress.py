"""What training shows while it runs: a bar on a terminal, plain lines elsewhere; TensorBoard."""

import math
import sys

import tensorflow as tf
from tqdm import tqdm

MAX_LINES = 100  # a longer run shows every second, third ... epoch as a plain line
LINE = "{epoch:5d} {kl:8.4f} {log_px_z:11.4f} {elbo:9.4f} {followed:15.4f} {seconds:8.2f}"
BESIDE_BAR = "KL {kl:.3f}  log p(x|z) {log_px_z:.3f}  ELBO {elbo:.3f}  {rows} {followed:.3f}"


class Progress:
    """Epochs done, the terms of the last one in nats, and the time left.

    n_epoch: epochs of the run. n_done: how many of them were done before. followed: the rows whose
    ELBO is shown beside that of the training rows, held_out or validation.
    """

    def __init__(self, n_epoch, n_done, followed):
        self.n_epoch = n_epoch
        self.followed = followed
        self.rows = followed.replace("_", "-")
        self.shown_every = math.ceil(n_epoch / MAX_LINES)
        self.bar = tqdm(
            total=n_epoch,
            initial=n_done,
            file=sys.stdout,
            dynamic_ncols=True,
            bar_format="{desc} {bar} {elapsed}<{remaining}",
            disable=None,  # where stdout is no terminal
        )
        if self.bar.disable:
            header = f"{self.rows} ELBO"
            print(f"epoch       KL  log p(x|z)      ELBO {header:>15}  seconds", flush=True)

    def show(self, row):
        """Show a finished epoch, a row of the history."""
        epoch = row["epoch"]
        values = {**row, "followed": row[f"elbo_{self.followed}"], "rows": self.rows}
        if not self.bar.disable:
            terms = BESIDE_BAR.format_map(values)
            self.bar.set_description_str(f"epoch {epoch}/{self.n_epoch}  {terms}", refresh=False)
            self.bar.update()
        elif epoch % self.shown_every == 0 or epoch == self.n_epoch:
            print(LINE.format_map(values), flush=True)

    def close(self):
        self.bar.close()


class TensorBoardLog:
    """The events of the run in `folder`, in its folder tensorboard/; none unless `wanted`."""

    def __init__(self, folder, wanted):
        self.writer = None
        if wanted:
            self.writer = tf.summary.create_file_writer(str(folder / "tensorboard"))

    def add_epoch(self, row):
        """Log a row of the history: nats per data point, and seconds."""
        if self.writer is None:
            return
        with self.writer.as_default(step=row["epoch"]):
            for name, value in row.items():
                if name != "epoch":
                    tf.summary.scalar(name, value)
        self.writer.flush()
