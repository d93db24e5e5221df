"""The data: load or draw them, split them, and give them out shuffled and batched every epoch.

Every random number comes from a stream of its own, made of the seed, a purpose and a position
such as the epoch, so that any part of a run can be drawn again without what came before it.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from run_files import written_whole
from table_files import InputError, load_table

DATA_FOLDER = Path(__file__).resolve().parent / "data"
PURPOSES = ("draw", "split", "shuffle", "noise", "held_out")
CHUNK_NUMBERS = 2**20  # about as many numbers of x go to one compiled call: 4 MB of float32


@dataclass(frozen=True)
class Data:
    """x_train (N, data_dim) and x_held_out (M, data_dim); mean and covariance where known.

    standardization: what the networks subtract from x and divide it by, where they do.
    """

    x_train: np.ndarray
    x_held_out: np.ndarray
    mean: np.ndarray | None = None
    covariance: np.ndarray | None = None
    standardization: dict | None = None

    def reference(self):
        """Mean and covariance of the data, or of its training rows where they are not known."""
        if self.covariance is not None:
            return self.mean, self.covariance
        covariance = np.atleast_2d(np.cov(self.x_train, rowvar=False, dtype=np.float64))
        return self.x_train.mean(axis=0, dtype=np.float64), covariance


def stream(seed, purpose, *position):
    """The random generator of one purpose at one position of a run, e.g. "noise" in epoch 3."""
    return np.random.default_rng([seed, PURPOSES.index(purpose), *position])


def known_gaussian():
    """Mean (10,) and covariance (10, 10) of the Gaussian that the default data are drawn from."""
    return np.loadtxt(DATA_FOLDER / "mean.dat"), np.loadtxt(DATA_FOLDER / "covariance.dat")


def draw_gaussian(mean, covariance, size, rng):
    """`size` independent points of N(mean, covariance), (size, data_dim) float32."""
    x = rng.standard_normal((size, len(mean)), dtype=np.float32)
    return x @ np.linalg.cholesky(covariance).T.astype(np.float32) + mean.astype(np.float32)


def get_rows(data_path, data_size, data_dim, seed):
    """The rows of a file, or rows drawn from the known Gaussian.

    data_path: .dat, .txt, .csv or .npy, its first `data_size` rows; None draws that many.
    Returns x (N, data_dim), and mean and covariance where the distribution is known, else None.
    InputError: see load_table, or another data_dim than the known Gaussian's.
    """
    if data_path is not None:
        return load_table(data_path, data_dim)[:data_size], None, None
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
    x_train, x_held_out = split(x, settings["training_data_size"], settings["seed"])
    standardization = mean_and_std(x_train) if settings["standardize"] else None
    return Data(x_train, x_held_out, mean, covariance, standardization)


def mean_and_std(x):
    """Mean and std of each column of x as a dictionary of lists; a constant column's std is 1."""
    mean, std = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
    return {"mean": mean.tolist(), "std": np.where(std > 0, std, 1.0).tolist()}


def save_table(path, x):
    """Write x (N, data_dim) to a .dat file (text, exact) or a .npy file, whole or not at all."""
    with written_whole(path) as beside, open(beside, "wb") as file:
        if Path(path).suffix == ".npy":
            np.save(file, x)
        else:
            np.savetxt(file, x, fmt="%.9g")


def check_output(path):
    """InputError: a file of this name can't be written as a table."""
    path = Path(path)
    if path.suffix not in (".dat", ".npy"):
        raise InputError(f"{path}: the name of an output file ends in .dat or .npy")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK) or path.is_dir():
        raise InputError(f"{path}: can't be written there")


def split(x, training_data_size, seed):
    """Training rows and held-out rows of x, chosen at random; at least two of each.

    training_data_size: None takes 80 % of the rows.
    """
    n_train = len(x) * 4 // 5 if training_data_size is None else training_data_size
    if not 2 <= n_train <= len(x) - 2:
        raise InputError(
            f"--training_data_size {n_train}: of {len(x)} rows at least 2 train and at least 2 "
            "are held out"
        )
    order = stream(seed, "split").permutation(len(x))
    return x[order[:n_train]], x[order[n_train:]]


@dataclass(frozen=True)
class Batches:
    """Shuffled batches of the rows of x (N, data_dim), with the noise for z, in chunks.

    Every row is used once in an epoch; the last batch is smaller when batch_size does not divide N.
    A chunk is as many batches as one call of the compiled loop takes.
    """

    x: np.ndarray
    batch_size: int
    n_dim: int
    seed: int
    n_samples: int | None = None  # of z for each row; None: one, and epsilon without its axis

    def __post_init__(self):
        if self.batch_size > len(self.x):
            raise InputError(
                f"--batch_size {self.batch_size} is above the {len(self.x)} training rows"
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
        order = stream(self.seed, "shuffle", epoch).permutation(len(self.x))
        full, last = np.split(order, [len(order) - len(order) % self.batch_size])
        chunk_rows = self.chunk_steps * self.batch_size
        parts = np.split(full, range(chunk_rows, len(full), chunk_rows))
        if len(last):
            parts.append(last)
        for number in range(first, len(parts)):
            yield self.one_chunk(parts[number], stream(self.seed, "noise", epoch, number))

    def one_chunk(self, rows, rng):
        batch = min(self.batch_size, len(rows))
        room = self.chunk_steps if batch == self.batch_size else 1
        n_steps = len(rows) // batch
        number = np.uint8 if self.x.dtype == np.uint8 else np.float32
        x = np.zeros((room * batch, self.x.shape[1]), number)
        x[: len(rows)] = self.take(rows, rng)
        samples = () if self.n_samples is None else (self.n_samples,)
        epsilon = np.zeros((room, *samples, batch, self.n_dim), np.float32)
        epsilon[:n_steps] = rng.standard_normal((n_steps, *epsilon.shape[1:]), np.float32)
        return x.reshape(room, batch, -1), epsilon, n_steps

    def take(self, rows, rng):
        """The rows of x of these numbers, (len(rows), data_dim)."""
        return self.x[rows]
