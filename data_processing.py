"""The data: load or draw them, split them, and give them out shuffled and batched every epoch."""

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.errors import InputError
from training.large_data import TrainingRows
from training.random_streams import stream
from training.run_folder import written_whole
from training.tables import load_table

DATA_FOLDER = Path(__file__).resolve().parent / "data"
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


def known_gaussian():
    """Mean (10,) and covariance (10, 10) of the Gaussian that the default data are drawn from."""
    files = (DATA_FOLDER / "mean.dat", DATA_FOLDER / "covariance.dat")
    mean, covariance = (load_table(path, dtype=np.float64) for path in files)
    return mean.ravel(), covariance


def draw_gaussian(mean, covariance, size, rng):
    """`size` independent points of N(mean, covariance), (size, data_dim) float32."""
    x = rng.standard_normal((size, len(mean)), dtype=np.float32)
    return x @ np.linalg.cholesky(covariance).T.astype(np.float32) + mean.astype(np.float32)


def get_rows(data_path, data_size, data_dim, seed):
    """The rows of a file, or rows drawn from the known Gaussian.

    data_path: .dat, .txt, .csv or .npy, its first `data_size` rows (None: all); None draws that
    many. Returns x (N, data_dim), a numpy.memmap where it is too large for memory, and mean and
    covariance where the distribution is known, else None.
    InputError: see load_table, or another data_dim than the known Gaussian's.
    """
    if data_path is not None:
        return load_table(data_path, data_dim, data_size), None, None
    mean, covariance = known_gaussian()
    if data_dim != len(mean):
        raise InputError(
            f"--data_dim {data_dim}: the known Gaussian of data/ has {len(mean)} dimensions; "
            "give a file of your own with --data_path"
        )
    return draw_gaussian(mean, covariance, data_size, stream(seed, "draw")), mean, covariance


def get_rows_of_run(settings):
    """get_rows with the settings of a run: its flags, or its config.json."""
    names = ("data_path", "data_size", "data_dim", "seed")
    return get_rows(*(settings[name] for name in names))


def get_data(settings):
    """The rows of a run, split at random into training and held-out rows.

    settings: the flags of the run, a dictionary. InputError: see get_rows and split.
    """
    x, mean, covariance = get_rows_of_run(settings)
    size, seed = settings["training_data_size"], settings["seed"]
    x_train, x_held_out = split(x, size, seed)
    standardization = mean_and_std(x_train) if settings["standardize"] else None
    return Data(x_train, x_held_out, mean, covariance, standardization)


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


def some_rows(x):
    """x itself, or random rows of a large table. InputError: a value in it is not finite."""
    return TrainingRows(x, len(x), seed=0).sample if isinstance(x, np.memmap) else x


def save_table(path, x):
    """Write x (N, data_dim), float32, to a .dat file (text, exact) or a .npy file, whole or not."""
    save_blocks(path, [x], x.shape)


def save_blocks(path, blocks, shape):
    """save_table for rows that come in blocks, arrays (n, data_dim); shape: of all together."""
    with written_whole(path) as beside, open(beside, "wb") as file:
        if Path(path).suffix == ".npy":
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
        for x in blocks:
            if Path(path).suffix == ".npy":
                file.write(np.ascontiguousarray(x, "<f4"))
            else:
                np.savetxt(file, x, fmt="%.9g")


def check_output(path):
    """InputError: a file of this name can't be written as a table."""
    path = Path(path)
    if path.suffix not in (".dat", ".npy"):
        raise InputError(f"{path}: the name of an output file ends in .dat or .npy")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK) or path.is_dir():
        raise InputError(f"{path}: can't be written there")


def training_size(n_rows, training_data_size):
    """How many of n_rows rows train: as many as asked for, None: 80 %.

    InputError: fewer than two train, or fewer than two are held out.
    """
    n_train = n_rows * 4 // 5 if training_data_size is None else training_data_size
    if not 2 <= n_train <= n_rows - 2:
        raise InputError(
            f"--training_data_size {n_train}: of {n_rows} rows at least 2 train and at least 2 "
            "are held out"
        )
    return n_train


def split(x, training_data_size, seed):
    """Training rows and held-out rows of x, chosen at random. InputError: see training_size.

    Of a large table the training rows stay in the file, and the held-out rows are some of them.
    """
    n_train = training_size(len(x), training_data_size)
    if isinstance(x, np.memmap):
        x_train = TrainingRows(x, n_train, seed)
        return x_train, x_train.held_out
    order = stream(seed, "split").permutation(len(x))
    return x[order[:n_train]], x[order[n_train:]]


def prefetched(items):
    """The items of an iterator; a thread makes the next one while the caller works on one.

    What goes wrong in the thread is raised here. The thread ends with the last item, or, when the
    caller leaves before, with the item that it is at.
    """
    items = iter(items)
    with ThreadPoolExecutor(max_workers=1) as thread:
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item


@dataclass(frozen=True)
class Batches:
    """Shuffled batches of the rows of x (N, data_dim), with the noise for z, in chunks.

    Every row is used once in an epoch; the last batch is smaller when batch_size does not divide N.
    A chunk is as many batches as one call of the compiled loop takes.
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
                f"--batch_size {self.batch_size}: is above the {len(self.x)} training rows"
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

    def chunks(self, epoch, first=0):
        """The chunks of an epoch from number `first` on, each (x, epsilon, n_steps).

        x (K, batch, data_dim) and epsilon (K, batch, n_dim), or (K, n_samples, batch, n_dim), of
        which the first n_steps count.
        K is the same for all chunks, so that one compiled form serves them; a smaller last batch
        makes a chunk of its own.
        """
        return prefetched(self.make_chunks(epoch, first))

    def make_chunks(self, epoch, first):
        n_rows = len(self.x)
        full, chunk_rows = n_rows - n_rows % self.batch_size, self.chunk_steps * self.batch_size
        edges = [*range(0, full, chunk_rows), full] + ([n_rows] if full < n_rows else [])
        for number, x in enumerate(self.shuffled(epoch, edges[first:]), first):
            yield self.one_chunk(x, stream(self.seed, "noise", epoch, number))

    def shuffled(self, epoch, edges):
        """The rows between each two neighbouring edges in the random order of this epoch."""
        if isinstance(self.x, TrainingRows):
            yield from self.x.shuffled(epoch, edges)
            return
        order = stream(self.seed, "shuffle", epoch).permutation(len(self.x))
        for start, stop in itertools.pairwise(edges):
            yield self.x[order[start:stop]]

    def one_chunk(self, rows, rng):
        batch = min(self.batch_size, len(rows))
        room = self.chunk_steps if batch == self.batch_size else 1
        n_steps = len(rows) // batch
        number = np.uint8 if self.x.dtype == np.uint8 else np.float32
        x = np.zeros((room * batch, self.x.shape[1]), number)
        x[: len(rows)] = self.prepared(rows, rng)
        samples = () if self.n_samples is None else (self.n_samples,)
        epsilon = np.zeros((room, *samples, batch, self.n_dim), np.float32)
        epsilon[:n_steps] = rng.standard_normal((n_steps, *epsilon.shape[1:]), np.float32)
        return x.reshape(room, batch, -1), epsilon, n_steps

    def prepared(self, rows, rng):
        """What the model gets of these rows, an array of their shape."""
        return rows
