"""Rows as the networks see them, and data too large for memory: the training rows of a
memory-mapped file, shuffled by blocks.
"""

import math
from functools import partial
from itertools import pairwise

import numpy as np

from training.errors import InputError
from training.random_streams import stream
from training.standardization import centered
from training.tables import check_finite

BLOCK_BYTES = 2**18  # of float32; rows that are read together
BUFFER_BLOCKS = 2**9  # blocks that are in memory and shuffled together: 128 MiB
SAMPLE_ROWS = 20_000  # of training and of held-out rows that are kept: all that a report evaluates


class TrainingRows:
    """n_train rows of a large table (a numpy.memmap, see load_table), which stay in its file.

    The split. The held-out rows are spread evenly over the blocks of the file, and which rows of a
    block is random, so that each row is held out with equal probability and a file in some order
    still gives training and held-out rows of one distribution.

    The shuffle of an epoch. The blocks, in random order, are read about BUFFER_BLOCKS at a time,
    and the training rows of this buffer are given out in random order. Every row comes once per
    epoch, at any place with (nearly) the same probability. Unlike in a full permutation the rows of
    a block, neighbours in the file, come within one buffer: a part BUFFER_BLOCKS / n_blocks of the
    epoch. Rows that fit into one buffer are fully permuted.

    mean (data_dim,), covariance (data_dim, data_dim): of all training rows, float64, in the units
    of the file. sample, held_out: random training and held-out rows, at most SAMPLE_ROWS each, in
    random order, in the units of the file and exact; `standardize` converts the sample. rows[:n]
    gives n random training rows, or the whole sample if that is smaller.
    InputError: a value of the table is not finite.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, table, n_train, seed):
        n_rows, data_dim = table.shape
        self.table = table
        self.seed = seed
        self.shape = (n_train, data_dim)
        self.convert = np.asarray  # applied to rows before they are returned
        block_rows = max(1, BLOCK_BYTES // (4 * data_dim))
        self.edges = [*range(0, n_rows, block_rows), n_rows]  # of the blocks
        sizes = np.diff(self.edges)
        rng = stream(seed, "split")
        n_held_out = spread(n_rows - n_train, sizes, rng)  # in each block
        self.train_sizes = sizes - n_held_out
        print(f"{table.filename}: large, all rows are read once to check them", flush=True)
        self.survey(n_held_out, rng)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        return self.sample[rows]

    def read(self, block):
        """The rows of a block, as they are in the file."""
        return np.array(self.table[self.edges[block] : self.edges[block + 1]])

    def split(self, block, x):
        """Training rows and held-out rows of the block, whose rows are x, in random order."""
        order = stream(self.seed, "split", 1 + block).permutation(len(x))
        n_train = self.train_sizes[block]
        return x[order[:n_train]], x[order[n_train:]]

    def survey(self, n_held_out, rng):
        """Read all blocks once: check them, and take moments and samples."""
        n_sample = spread(min(SAMPLE_ROWS, sum(self.train_sizes)), self.train_sizes, rng)
        n_held_out_sample = spread(min(SAMPLE_ROWS, sum(n_held_out)), n_held_out, rng)
        sample, held_out = [], []
        self.lowest = self.highest = self.table[0]  # of each column
        origin = np.float64(self.table[0])  # near the mean: squares of distances keep their digits
        total, products = 0.0, 0.0
        for block, first_row in enumerate(self.edges[:-1]):
            x = self.read(block)
            check_finite(self.table.filename, x, first_row)
            self.lowest = np.minimum(self.lowest, x.min(axis=0))
            self.highest = np.maximum(self.highest, x.max(axis=0))
            train_rows, held_out_rows = self.split(block, x)
            sample.append(train_rows[: n_sample[block]].copy())
            held_out.append(held_out_rows[: n_held_out_sample[block]].copy())
            distances = centered(train_rows, origin)
            total = total + distances.sum(axis=0)
            products = products + distances.T @ distances
        self.sample = rng.permutation(np.concatenate(sample))
        self.held_out = rng.permutation(np.concatenate(held_out))
        mean = total / len(self)
        self.mean = origin + mean
        self.covariance = (products - len(self) * np.outer(mean, mean)) / (len(self) - 1)

    def standardize(self, standardization):
        """These rows, from now on given out by as_seen. InputError: a value is too large for it."""
        self.convert = partial(as_seen, standardization=standardization)
        self.convert(np.stack([self.lowest, self.highest]))  # if they fit, so do all
        self.sample = self.convert(self.sample)
        return self

    def shuffled(self, epoch, edges):
        """Yield the rows between neighbouring edges, in the random order of this epoch."""
        buffers = self.buffers(epoch, edges[0])
        rows = self.sample[:0]
        for start, stop in pairwise(edges):
            while len(rows) < stop - start:
                rows = np.concatenate([rows, next(buffers)])
            yield rows[: stop - start]
            rows = rows[stop - start :]

    def buffers(self, epoch, first_row):
        """Yield the training rows of this epoch from number first_row on, buffer by buffer."""
        order = stream(self.seed, "shuffle", epoch).permutation(len(self.train_sizes))
        n_buffers = math.ceil(len(order) / BUFFER_BLOCKS)
        start = 0
        for number, blocks in enumerate(np.array_split(order, n_buffers)):
            stop = start + sum(self.train_sizes[blocks])
            if stop > first_row:
                rng = stream(self.seed, "shuffle", epoch, 1 + number)
                yield self.buffer(blocks, rng, skipped=max(0, first_row - start))
            start = stop

    def buffer(self, blocks, rng, skipped):
        """The training rows of some blocks in random order, without the first `skipped`."""
        x = np.concatenate([self.split(block, self.read(block))[0] for block in blocks])
        order = rng.permutation(len(x))
        return self.convert(x[order[skipped:]])


def spread(n, sizes, rng):
    """How many of n rows come from each block, in proportion to the blocks' sizes, sum(sizes) >= n.

    Of the first r of all R rows floor(r n / R + u) are taken, with the same random u in [0, 1) for
    all r.
    """
    ends = np.cumsum(sizes).tolist()  # integers of Python, which do not overflow
    whole = max(1, ends[-1])
    offset = int(rng.integers(whole))
    return np.diff([(end * int(n) + offset) // whole for end in ends], prepend=0)


def some_rows(x, size):
    """x itself, or `size` of its rows drawn at random where it has more; SAMPLE_ROWS of a large
    table. InputError: a value of a large table is not finite.
    """
    if isinstance(x, np.memmap):
        return TrainingRows(x, len(x), seed=0).sample
    if len(x) > size:
        return x[stream(0, "compare", 4).choice(len(x), size, replace=False)]
    return x


class SeenTable:
    """A large table as the networks see it: its rows [a:b], read and standardized, are float32.

    InputError: a value is too large for float32.
    """

    def __init__(self, table, standardization):
        self.table = table
        self.standardization = standardization
        extremes = np.stack([table.min(axis=0), table.max(axis=0)])
        as_seen(extremes, standardization)  # if they fit, so do all

    def __len__(self):
        return len(self.table)

    def __getitem__(self, rows):
        return as_seen(np.array(self.table[rows]), self.standardization)


def as_seen(x, standardization):
    """Rows in units of the data as the networks see them, float32. InputError: too large for it."""
    if isinstance(x, TrainingRows):
        return x.standardize(standardization)
    if isinstance(x, np.memmap):
        return SeenTable(x, standardization)
    with np.errstate(over="ignore"):
        x = x.astype(np.float32) if standardization is None else standardization.apply(x)
    if not np.isfinite(x).all():
        raise InputError("--data_path: holds values that are too large for float32")
    return x
