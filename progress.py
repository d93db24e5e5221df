"""What a training run shows while it runs: one bar on a terminal, plain lines elsewhere."""

import sys

from tqdm import tqdm

MAX_LINES = 100  # a longer run shows every second, third ... epoch as a plain line


class Progress:
    """Epochs done, the terms of the last one in nats, and the time left.

    n_epoch: epochs in all. label: a word before them, such as the run of a sweep.
    """

    def __init__(self, n_epoch, label=""):
        self.n_epoch, self.label = n_epoch, label
        self.bar = None

    def begin(self, history):
        """Start to show; `history` holds the epochs done before."""
        if sys.stdout.isatty():
            self.bar = tqdm(
                total=self.n_epoch,
                initial=len(history),
                file=sys.stdout,
                dynamic_ncols=True,
                bar_format="{desc} {bar} {elapsed}<{remaining}",
            )
        else:
            print(f"{self.label}epoch       KL  log p(x|z)      ELBO  held-out ELBO  seconds", flush=True)

    def show(self, row):
        """Show one row of the history."""
        terms = [row[name] for name in ("kl", "log_px_z", "elbo", "elbo_held_out")]
        if self.bar is not None:
            kl, log_px_z, elbo, held_out = terms
            self.bar.set_description_str(
                f"{self.label}epoch {row['epoch']}/{self.n_epoch}  KL {kl:.3f}  "
                f"log p(x|z) {log_px_z:.3f}  ELBO {elbo:.3f}  held-out {held_out:.3f}",
                refresh=False,
            )
            self.bar.update()
        elif row["epoch"] % -(-self.n_epoch // MAX_LINES) == 0 or row["epoch"] == self.n_epoch:
            kl, log_px_z, elbo, held_out = terms
            print(
                f"{self.label}{row['epoch']:5d} {kl:8.4f} {log_px_z:11.4f} {elbo:9.4f} "
                f"{held_out:14.4f} {row['seconds']:8.2f}",
                flush=True,
            )

    def end(self):
        """Leave the last state on the screen."""
        if self.bar is not None:
            self.bar.close()
