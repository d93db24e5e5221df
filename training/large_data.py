"""Data too large for memory: the training rows of a memory-mapped file, shuffled by blocks."""

import itertools

import numpy as np

from training.random_streams import stream
from training.tables import as_type, checked

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

    mean (data_dim,), covariance (data_dim, data_dim): of all training rows, float64.
    sample, held_out: random training and held-out rows, at most SAMPLE_ROWS each, in random order.
    InputError: a value of the table is not finite in float32.
    """

    def __init__(self, table, n_train, seed):
        n_rows, data_dim = table.shape
        self.table, self.seed = table, seed
        self.shape, self.dtype = (n_train, data_dim), np.dtype(np.float32)
        edges = [*range(0, n_rows, max(1, BLOCK_BYTES // (4 * data_dim))), n_rows]
        self.blocks = [slice(*pair) for pair in itertools.pairwise(edges)]
        sizes, rng = np.diff(edges), stream(seed, "split")
        self.n_train = sizes - spread(n_rows - n_train, sizes, rng)  # in each block
        print(f"{table.filename}: large, all rows are read once to check them", flush=True)
        self.survey(sizes - self.n_train, rng)

    def __len__(self):
        return self.shape[0]

    def read(self, block):
        """The rows of a block, float32."""
        return as_type(self.table[self.blocks[block]], self.dtype)

    def split(self, block, x):
        """Training rows and held-out rows of the block, whose rows are x, in random order."""
        order = stream(self.seed, "split", 1 + block).permutation(len(x))
        return np.split(x[order], [self.n_train[block]])

    def survey(self, n_held_out, rng):
        """Read all blocks once: check them, and take moments and samples."""
        parts = (self.n_train, n_held_out)
        kept = [spread(min(SAMPLE_ROWS, n.sum()), n, rng) for n in parts]
        samples, origin, total, products = ([], []), None, 0.0, 0.0
        blocks = map(self.read, range(len(self.blocks)))
        for block, x in enumerate(checked(self.table.filename, blocks)):
            rows = self.split(block, x)
            for sample, part, n in zip(samples, rows, kept, strict=True):
                sample.append(part[: n[block]].copy())
            origin = np.float64(x[0]) if origin is None else origin
            with np.errstate(all="ignore"):  # values that are not finite are reported at the end
                x = rows[0] - origin
                total, products = total + x.sum(axis=0), products + x.T @ x
        self.sample, self.held_out = (rng.permutation(np.concatenate(sample)) for sample in samples)
        mean = total / len(self)
        self.mean = origin + mean
        self.covariance = (products - len(self) * np.outer(mean, mean)) / (len(self) - 1)

    def shuffled(self, epoch, edges):
        """Yields the rows between neighbouring edges, in the random order of this epoch."""
        order = stream(self.seed, "shuffle", epoch).permutation(len(self.blocks))
        buffers = np.array_split(order, -(-len(order) // BUFFER_BLOCKS))
        starts = np.cumsum([0, *(self.n_train[blocks].sum() for blocks in buffers)])
        places = []  # in the buffer, of its rows that are still to come
        for start, stop in itertools.pairwise(edges):
            parts = []
            while start < stop:
                if not len(places):
                    k = np.searchsorted(starts, start, side="right") - 1
                    x = None  # one buffer at a time is in memory
                    x = np.concatenate([self.split(b, self.read(b))[0] for b in buffers[k]])
                    places = stream(self.seed, "shuffle", epoch, 1 + k).permutation(len(x))
                    places = places[start - starts[k] :]
                now, places = np.split(places, [stop - start])
                parts.append(x[now])
                start += len(now)
            yield np.concatenate(parts)


def spread(n, sizes, rng):
    """How many of n rows come from each block, in proportion to the blocks' sizes, sum(sizes) >= n.

    Of the first r of R rows floor(r n / R + u), with one random u in [0, 1).
    """
    ends = [int(end) for end in np.cumsum(sizes)]  # of Python, which does not overflow
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
    """A large table as the networks see it: its rows [a:b], read and standardized, are float32."""

    def __init__(self, table, standardization):
        self.table = table
        self.standardization = standardization

    def __len__(self):
        return len(self.table)

    def __getitem__(self, rows):
        x = np.array(self.table[rows])
        if self.standardization is None:
            return x.astype(np.float32)
        return self.standardization.apply(x)
