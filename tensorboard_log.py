"""What TensorBoard shows of a run (--tensorboard): figures of each epoch, pictures at the end.

tensorboard --logdir results
"""

from pathlib import Path

import tensorflow as tf


class TensorBoardLog:
    """The events of the run in `folder`, in its folder tensorboard/; without `wanted` none."""

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
