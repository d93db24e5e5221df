"""The data: load or draw them, split them, and give them out shuffled and batched every epoch."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from analysis.information import Gaussian
from analysis.known import known_distribution
from analysis.mixture import Mixture
from training import columns, tables
from training.errors import InputError
from training.large_data import SAMPLE_ROWS, TrainingRows, as_seen
from training.prefetch import prefetched
from training.random_streams import stream
from training.standardization import Standardization, centering_of, moments, standardization_of

CHUNK_NUMBERS = 2**20  # about as many numbers of x go to one compiled call: 4 MB of float32


@dataclass(frozen=True, eq=False)
class Data:
    """The rows of a run, float32, as the networks see them: standardized where that is asked for,
    and without the means of columns that lie far from zero.

    x_train (N, data_dim) train, x_validation choose the epoch (None: the last one is kept),
    x_held_out are touched once, by the report. If the data are too large for memory, x_train stays
    in its file, and the other two are random samples of the remaining rows; x_train[:n] are random
    rows of it in any case. In units of the data:
    known, their distribution (None where it is not known); fitted, the Gaussian with the mean and
    covariance of x_train.
    """

    x_train: np.ndarray | TrainingRows
    x_validation: np.ndarray | None
    x_held_out: np.ndarray
    known: Gaussian | Mixture | None = None
    standardization: Standardization | None = None
    fitted: Gaussian | None = None

    @property
    def followed(self):
        """The rows whose ELBO is followed from epoch to epoch."""
        return self.x_held_out if self.x_validation is None else self.x_validation

    def in_data_units(self, x):
        """Rows as the networks see them, in units of the data; float64 if these are other units."""
        return x if self.standardization is None else self.standardization.undo(x)

    def reference(self):
        """The known distribution, or else the fitted one."""
        return self.fitted if self.known is None else self.known


def get_rows(settings):
    """The rows of a file, or rows drawn from the known distribution, and that distribution.

    settings: the flags of a run, or its Settings. Returns x (N, data_dim) in units of the data, a
    numpy.memmap where it is too large for memory, and known_distribution(settings).
    InputError: see load_table and known_distribution.
    """
    known = known_distribution(settings)
    if settings.data_path is None:
        return known.draw(settings.data_size, stream(settings.seed, "draw")), known
    data_dim = settings.data_dim if known is None else len(known.mean)
    return tables.load_table(settings.data_path, data_dim, settings.data_size), known


def get_data(args):
    """The rows of a run, split at random into training, validation and held-out rows: a Data.

    args: the flags of a Gaussian main. InputError: see get_rows and training_size.
    """
    x, known = get_rows(args)
    keep_best = args.keep == "best"
    n_train = training_size(len(x), args.training_data_size, keep_best)
    x_train, x_rest = split(x, n_train, args.seed)
    if args.data_path is not None:
        names = tables.names_of_columns(args.data_path, x.shape[1])
        columns.warn_of_index(x, names)
        columns.warn_of_outliers(x_train.sample if isinstance(x, np.memmap) else x, names)
        columns.warn_of_columns(x_train[:SAMPLE_ROWS], names)
    mean, covariance = moments(x_train)
    std = np.sqrt(np.diag(covariance) * (n_train - 1) / n_train)
    if args.standardize:
        standardization = standardization_of(mean, std)
    else:
        standardization = centering_of(mean, std)
    x_train = as_seen(x_train, standardization)
    x_rest = as_seen(x_rest, standardization)
    n_validation = len(x_rest) // 2 if keep_best else 0
    return Data(
        x_train=x_train,
        x_validation=x_rest[:n_validation] if keep_best else None,
        x_held_out=x_rest[n_validation:],
        known=known,
        standardization=standardization,
        fitted=Gaussian(mean, covariance),
    )


def training_size(n_rows, training_data_size, keep_best):
    """How many of n_rows rows train: as many as asked for, or 80 % (None).

    At least two of the others are held out; with keep_best, at least two more are validation rows.
    InputError: fewer than two train, or too few are left.
    """
    n_others = 4 if keep_best else 2
    most = n_rows - n_others
    if most < 2:
        raise InputError(
            f"{n_rows} rows of data are too few: at least 2 for training and {n_others} others "
            "are needed (2 others with --keep last)"
        )
    if training_data_size is None:
        return min(n_rows * 4 // 5, most)
    if not 2 <= training_data_size <= most:
        raise InputError(f"--training_data_size {training_data_size}: must be between 2 and {most}")
    return training_data_size


def split(x, n_train, seed):
    """n_train training rows of x, chosen at random, and the others.

    Of a large table the training rows stay in the file, and only a sample of the others is
    returned.
    """
    if isinstance(x, np.memmap):
        x_train = TrainingRows(x, n_train, seed)
        return x_train, x_train.held_out
    order = stream(seed, "split").permutation(len(x))
    return x[order[:n_train]], x[order[n_train:]]


class Chunk(NamedTuple):
    """As many batches as one call of the compiled loop takes; the first n_steps of K count."""

    x: np.ndarray  # (K, batch, data_dim)
    epsilon: np.ndarray  # noise for z, (K, batch, n_dim) or (K, n_samples, batch, n_dim)
    n_steps: int


@dataclass(frozen=True)
class Batches:
    """Shuffled batches of the rows of x (N, data_dim), with the noise for z, in chunks.

    Every row is used once per epoch; the last batch is smaller when batch_size does not divide N.
    InputError: batch_size is above N.
    """

    x: np.ndarray | TrainingRows
    batch_size: int
    n_dim: int
    seed: int
    n_samples: int | None = None  # of z for each row; None: one, and epsilon without its axis
    prepare: Callable | None = None  # (rows, rng) -> what the model gets of them, in their shape
    chunk_numbers: int = CHUNK_NUMBERS

    def __post_init__(self):
        if self.batch_size > len(self.x):
            raise InputError(
                f"--batch_size {self.batch_size}: must be at most the {len(self.x)} training rows"
            )

    @property
    def steps(self):
        """Training steps of one epoch."""
        return math.ceil(len(self.x) / self.batch_size)

    @property
    def chunk_steps(self):
        """Batches in a chunk."""
        full_batches = len(self.x) // self.batch_size
        return min(full_batches, max(1, self.chunk_numbers // (self.batch_size * self.x.shape[1])))

    @property
    def edges(self):
        """The first row of each chunk of an epoch, and the end of the last one."""
        n_rows, chunk_rows = len(self.x), self.chunk_steps * self.batch_size
        full = n_rows - n_rows % self.batch_size
        return sorted({*range(0, full, chunk_rows), full, n_rows})

    def chunks(self, epoch, first=0, last_epoch=None):
        """Chunks of `epoch` from index `first`, then of later epochs through last_epoch.

        A thread makes the next one while the caller works on one. K is the same for all chunks, so
        that one compiled form serves them; a smaller last batch makes a chunk of its own.
        """
        return prefetched(self.make_chunks(epoch, first, last_epoch or epoch))

    def make_chunks(self, epoch, first, last_epoch):
        while epoch <= last_epoch:
            for k, rows in enumerate(self.shuffled(epoch, self.edges[first:]), first):
                yield self.make_chunk(rows, stream(self.seed, "noise", epoch, k))
            epoch, first = epoch + 1, 0

    def shuffled(self, epoch, edges):
        """The rows between each two neighbouring edges in the random order of this epoch."""
        if isinstance(self.x, TrainingRows):
            yield from self.x.shuffled(epoch, edges)
            return
        order = stream(self.seed, "shuffle", epoch).permutation(len(self.x))
        for start, stop in itertools.pairwise(edges):
            yield self.x[order[start:stop]]

    def make_chunk(self, rows, rng):
        batch = min(self.batch_size, len(rows))
        room = self.chunk_steps if batch == self.batch_size else 1
        n_steps = len(rows) // batch
        x = np.zeros((room * batch, self.x.shape[1]), self.x.dtype)
        x[: len(rows)] = rows if self.prepare is None else self.prepare(rows, rng)
        draws = () if self.n_samples is None else (self.n_samples,)
        noise_shape = (*draws, batch, self.n_dim)
        epsilon = np.zeros((room, *noise_shape), np.float32)
        epsilon[:n_steps] = rng.standard_normal((n_steps, *noise_shape), np.float32)
        return Chunk(x.reshape(room, batch, -1), epsilon, n_steps)
