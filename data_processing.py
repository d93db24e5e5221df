"""The data: load or draw them, split them, and give them out shuffled and batched every epoch."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from training.errors import InputError, config_at_fault
from training.large_data import SAMPLE_ROWS, TrainingRows
from training.random_streams import stream
from training.tables import column_names, load_table, warn_of_columns

DATA_FOLDER = Path(__file__).resolve().parent / "data"
BATCH_SIZE, N_EPOCH, STEPS = 250, 30, 9600  # where the flags leave them open; few rows: more epochs
CHUNK_NUMBERS = 2**20  # about as many numbers of x go to one compiled call: 4 MB of float32


@dataclass(frozen=True)
class Data:
    """x_train (N, data_dim) and x_held_out (M, data_dim); mean and covariance where known.

    standardization: what the networks subtract from x and divide it by, where they do.

    Of data too large for memory x_train stays in its file, and x_held_out are some of the held-out
    rows, drawn at random.
    """

    x_train: np.ndarray | TrainingRows
    x_held_out: np.ndarray
    mean: np.ndarray | None = None
    covariance: np.ndarray | None = None
    standardization: dict | None = None

    def reference(self):
        """Mean and covariance of the data, or of its training rows where they are not known."""
        if self.covariance is not None:
            return self.mean, self.covariance
        return moments(self.x_train)

    def training_sample(self, size):
        """`size` of the training rows, drawn at random; fewer where there are not as many."""
        return getattr(self.x_train, "sample", self.x_train)[:size]


def known_gaussian(covariance_path=None, mean_path=None):
    """Mean (data_dim,) and covariance (data_dim, data_dim) of the known Gaussian, float64.

    Text files; without any those of data/. A covariance alone has mean zero, a mean alone the
    covariance of data/. InputError: no sound covariance, or a mean of another size.
    """
    covariance = load_table(covariance_path or DATA_FOLDER / "covariance.dat", dtype=np.float64)
    check_covariance(covariance, covariance_path)
    if covariance_path and not mean_path:
        return np.zeros(len(covariance)), covariance
    mean = load_table(mean_path or DATA_FOLDER / "mean.dat", dtype=np.float64).ravel()
    if len(mean) != len(covariance):
        raise InputError(
            f"--mean_path {mean_path}: has {len(mean)} numbers, but the covariance has "
            f"{len(covariance)} rows"
        )
    return mean, covariance


def check_covariance(covariance, path):
    """InputError: it is not square, not symmetric, or not positive definite."""
    problem = None
    if covariance.shape[0] != covariance.shape[1]:
        problem = f"has shape {covariance.shape}; a covariance must be square"
    elif np.abs(covariance - covariance.T).max() > 1e-8 * np.abs(covariance).max():
        problem = "is not symmetric"
    elif np.diag(covariance).min() <= 0:
        problem = f"has a variance of {np.diag(covariance).min():g}; variances must be positive"
    else:
        std = np.sqrt(np.diag(covariance))
        smallest = np.linalg.eigvalsh(covariance / np.outer(std, std))[0]
        if smallest < 1e-12:
            problem = f"is not positive definite: correlation matrix with eigenvalue {smallest:g}"
    if problem:
        raise InputError(f"--covariance_path {path}: {problem}")


def draw_gaussian(mean, covariance, size, rng):
    """`size` independent points of N(mean, covariance), (size, data_dim) float32."""
    x = rng.standard_normal((size, len(mean)), dtype=np.float32)
    return x @ np.linalg.cholesky(covariance).T.astype(np.float32) + mean.astype(np.float32)


def get_rows(settings):
    """The rows of a file, or rows drawn from the known Gaussian.

    settings: the flags of a run, or its config.json, a dictionary. Returns x (N, data_dim), a
    numpy.memmap where it is too large for memory, and mean and covariance where the distribution is
    known, else None. InputError: see load_table and known_gaussian, or another data_dim.
    """
    path, data_dim, mean, covariance = settings["data_path"], settings["data_dim"], None, None
    if path is None or settings["covariance_path"] or settings["mean_path"]:
        mean, covariance = known_gaussian(settings["covariance_path"], settings["mean_path"])
        if data_dim not in (None, len(mean)):
            where = settings["covariance_path"] or "data/covariance.dat"
            raise InputError(f"--data_dim {data_dim}: {where} has {len(mean)} dimensions")
        data_dim = len(mean)
    if path is not None:
        return load_table(path, data_dim, settings["data_size"]), mean, covariance
    rng = stream(settings["seed"], "draw")
    return draw_gaussian(mean, covariance, settings["data_size"], rng), mean, covariance


def get_rows_of_run(settings):
    """get_rows with the config.json of a run. InputError: also where that is damaged."""
    with config_at_fault():
        size = settings["data_size"]
        if not (size is None or (type(size) is int and size > 0)):
            raise ValueError(f"data_size {size}")
        return get_rows(settings)


def get_data(args):
    """The rows of a run, split at random into training and held-out rows: a Data.

    Completes in `args` what the data decide: data_dim, training_data_size, standardize,
    batch_size and n_epoch, where the flags leave them open.
    InputError: see get_rows and training_size; or a batch above the training rows.
    """
    x, mean, covariance = get_rows(vars(args))
    n_train = training_size(len(x), args.training_data_size)
    x_train, x_held_out = split(x, n_train, args.seed)
    args.data_dim, args.training_data_size = x.shape[1], n_train
    if args.standardize is None:
        args.standardize = args.data_path is not None
    if args.batch_size is None:
        args.batch_size = min(BATCH_SIZE, max(1, n_train // 10))
    if args.n_epoch is None:
        args.n_epoch = max(N_EPOCH, round(STEPS / -(-n_train // args.batch_size)))
    standardization = mean_and_std(x_train) if args.standardize else None
    data = Data(x_train, x_held_out, mean, covariance, standardization)
    if args.data_path is not None:
        warn_of_columns(data.training_sample(SAMPLE_ROWS), column_names(args.data_path))
    return data


def moments(x):
    """Mean (data_dim,) and covariance (data_dim, data_dim) of the rows of x, in float64."""
    if isinstance(x, TrainingRows):
        return x.mean, x.covariance
    covariance = np.atleast_2d(np.cov(x, rowvar=False, dtype=np.float64))
    return x.mean(axis=0, dtype=np.float64), covariance


def mean_and_std(x):
    """Mean and std of each column of x as a dictionary of lists; a constant column's std is 1."""
    mean, covariance = moments(x)
    std = np.sqrt(np.diag(covariance) * (len(x) - 1) / len(x))
    return {"mean": mean.tolist(), "std": np.where(std > 0, std, 1.0).tolist()}


def training_size(n_rows, training_data_size):
    """How many of n_rows rows train: as many as asked for, or 80 % (None), with two held out.

    InputError: fewer than two train, or fewer than two are held out.
    """
    if n_rows < 4:
        raise InputError(
            f"{n_rows} rows of data are too few: at least 2 for training and 2 held out are needed"
        )
    default = min(n_rows * 4 // 5, n_rows - 2)
    n_train = default if training_data_size is None else training_data_size
    if not 2 <= n_train <= n_rows - 2:
        raise InputError(f"--training_data_size {n_train}: must be between 2 and {n_rows - 2}")
    return n_train


def split(x, n_train, seed):
    """n_train training rows of x, chosen at random, and the others, held out.

    Of a large table the training rows stay in the file, and the held-out rows are some of them.
    """
    if isinstance(x, np.memmap):
        x_train = TrainingRows(x, n_train, seed)
        return x_train, x_train.held_out
    order = stream(seed, "split").permutation(len(x))
    return x[order[:n_train]], x[order[n_train:]]


def prefetched(items):
    """The items of an iterator; a thread makes the next one while the caller works on one.

    An error in the thread is raised here. The thread ends with the last item, or, when the
    caller leaves before, with the item that it is making.
    """
    items = iter(items)
    with ThreadPoolExecutor(max_workers=1) as thread:
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item


class Chunk(NamedTuple):
    """As many batches as one call of the compiled loop takes, and the noise for z.

    x (K, batch, data_dim), epsilon (K, batch, n_dim) or (K, n_samples, batch, n_dim), of which
    the first n_steps count.
    """

    x: np.ndarray
    epsilon: np.ndarray
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

    def __post_init__(self):
        if self.batch_size > len(self.x):
            raise InputError(
                f"--batch_size {self.batch_size}: must be at most the {len(self.x)} training rows"
            )

    @property
    def steps(self):
        """Training steps of one epoch."""
        return -(-len(self.x) // self.batch_size)

    @property
    def chunk_steps(self):
        """Batches in a chunk."""
        full_batches = len(self.x) // self.batch_size
        return min(full_batches, max(1, CHUNK_NUMBERS // (self.batch_size * self.x.shape[1])))

    @property
    def edges(self):
        """The first row of each chunk of an epoch, and the end of the last one."""
        n_rows, chunk_rows = len(self.x), self.chunk_steps * self.batch_size
        full = n_rows - n_rows % self.batch_size
        return sorted({*range(0, full, chunk_rows), full, n_rows})

    @property
    def chunks_per_epoch(self):
        return len(self.edges) - 1

    def chunks(self, epoch, first=0, last_epoch=None):
        """The Chunks of an epoch from number `first` on, then those up to last_epoch (None: epoch).

        A thread makes the next one while the caller works on one, across epochs too. K is the same
        for all chunks, so that one compiled form serves them; a smaller last batch makes a chunk
        of its own.
        """
        return prefetched(self.make_chunks(epoch, first, last_epoch or epoch))

    def make_chunks(self, epoch, first, last_epoch):
        while epoch <= last_epoch:
            for number, x in enumerate(self.shuffled(epoch, self.edges[first:]), first):
                yield self.make_chunk(x, stream(self.seed, "noise", epoch, number))
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
        number = np.uint8 if self.x.dtype == np.uint8 else np.float32
        x = np.zeros((room * batch, self.x.shape[1]), number)
        x[: len(rows)] = self.prepared(rows, rng)
        samples = () if self.n_samples is None else (self.n_samples,)
        epsilon = np.zeros((room, *samples, batch, self.n_dim), np.float32)
        epsilon[:n_steps] = rng.standard_normal((n_steps, *epsilon.shape[1:]), np.float32)
        return Chunk(x.reshape(room, batch, -1), epsilon, n_steps)

    def prepared(self, rows, rng):
        """What the model gets of these rows, an array of their shape."""
        return rows
