"""Data too large for memory: the rows of a .npy file, read in blocks while they are needed.

The rows stay in the file. One pass at the start checks every value and takes what the report needs:
mean and covariance of the training rows, and random samples. Each epoch then reads the blocks in a
new order. The blocks are read with plain reads, because the pages of a memory-mapped file count as
memory of the process; what the system keeps in its file cache does not.
"""

import bisect
import errno
import itertools
import os
import weakref
from pathlib import Path

import numpy as np

from training.random_streams import stream
from training.table_files import check_columns, load_table, not_finite, npy_layout, shown

LARGE_BYTES = 2**29  # rows that need more in memory, as float32, stay in their file
BLOCK_BYTES = 2**18  # of float32; rows that are read together
BUFFER_BLOCKS = 2**10  # blocks that are in memory and shuffled together: 256 MiB
SAMPLE_ROWS = 20_000  # of training and of held-out rows that are kept: all that a report evaluates


def get_table(path, data_dim=None, data_size=None):
    """The first data_size rows (None: all) of a file: an array, or a LargeTable if they are many.

    InputError: see load_table. The values of a LargeTable are not checked yet.
    """
    if Path(path).suffix.lower() != ".npy" or not LargeTable(path, data_dim).is_large:
        return load_table(path, data_dim)[:data_size]
    table = LargeTable(path, data_dim, data_size)
    return table if table.is_large else np.concatenate(list(table.checked_blocks()))


class LargeTable:
    """The first data_size rows of a .npy file of real numbers, (N, data_dim).

    table[start:stop] reads these rows and gives them as float32. InputError: see load_table.
    """

    def __init__(self, path, data_dim=None, data_size=None):
        self.path = Path(path)
        shape, self.columns_first, self.file_dtype, self.offset = npy_layout(self.path)
        check_columns(self.path, shape, data_dim)
        n_rows, data_dim = shape
        self.column_length = n_rows
        self.shape = (n_rows if data_size is None else min(n_rows, data_size), data_dim)
        self.dtype = np.dtype(np.float32)
        self.block_rows = max(1, BLOCK_BYTES // (4 * data_dim))
        self.n_blocks = -(-len(self) // self.block_rows)
        self.file = os.open(self.path, os.O_RDONLY)  # stays this file whatever the name becomes
        weakref.finalize(self, os.close, self.file)

    def __len__(self):
        return self.shape[0]

    @property
    def is_large(self):
        return 4 * self.shape[0] * self.shape[1] > LARGE_BYTES

    def __getitem__(self, rows):
        start, stop, _ = rows.indices(len(self))
        n_rows, data_dim = max(0, stop - start), self.shape[1]
        if self.columns_first:
            first = [column * self.column_length + start for column in range(data_dim)]
            x = np.stack([self.numbers(place, n_rows) for place in first], axis=1)
        else:
            x = self.numbers(start * data_dim, n_rows * data_dim).reshape(n_rows, data_dim)
        with np.errstate(all="ignore"):  # what overflows is found and reported by checked_blocks
            return x.astype(np.float32)

    def numbers(self, first, count):
        """`count` numbers of the file from number `first` on."""
        size = self.file_dtype.itemsize
        data = os.pread(self.file, count * size, self.offset + first * size)
        if len(data) < count * size:
            raise OSError(errno.EIO, "was shortened while it was in use", str(self.path))
        return np.frombuffer(data, self.file_dtype)

    def block(self, k):
        """The rows of the block with this number."""
        return self[k * self.block_rows : (k + 1) * self.block_rows]

    def checked_blocks(self):
        """All rows, block by block. InputError at the end: a value is not finite in float32."""
        n_bad, place = 0, None
        for k in range(self.n_blocks):
            x = self.block(k)
            bad = ~np.isfinite(x)
            if bad.any():
                row, column = np.argwhere(bad)[0]
                place = place or f"row {k * self.block_rows + row + 1}, column {column + 1}"
                n_bad += int(bad.sum())
            yield x
        if n_bad:
            raise not_finite(self.path, n_bad, place)


class TrainingRows:
    """The training rows of a LargeTable, (n_train, data_dim), which stay in its file.

    The split. M of N rows are held out, spread evenly over the file: floor(r M / N + u) of its
    first r rows, with one random u in [0, 1) and r a multiple of the block's rows; which rows of a
    block is random. So M rows are held out, each row with probability M / N, and a file in some
    order still gives training and held-out rows of one distribution.

    The shuffle of an epoch. The blocks, in random order, are read about BUFFER_BLOCKS at a time,
    and the training rows of this buffer are given out in random order. Every row comes once in an
    epoch, at any place with (nearly) the same probability. What a full permutation would not do:
    the rows of a block, neighbours in the file, come within one buffer, which is a part
    BUFFER_BLOCKS / n_blocks of the epoch. Rows that fit one buffer are fully permuted.

    mean (data_dim,) and covariance (data_dim, data_dim): of all training rows, float64.
    sample, held_out: random training and held-out rows, at most SAMPLE_ROWS each, in random order.
    InputError: a value of the table is not finite.
    """

    def __init__(self, table, n_train, seed):
        self.table, self.seed = table, seed
        self.shape, self.dtype = (n_train, table.shape[1]), table.dtype
        self.n_held_out = len(table) - n_train
        rng = stream(seed, "split")
        self.phase = rng.random()
        print(f"{shown(table.path)}: large, all rows are read once to check them", flush=True)
        self.survey(rng)

    def __len__(self):
        return self.shape[0]

    def share(self, position, part, whole):
        """How many of the first `position` of `whole` rows are in a part spread evenly over all."""
        return (position * part + int(self.phase * whole)) // whole if part else 0

    def before(self, block):
        """How many training rows, and how many held-out rows, stand before this block."""
        row = min(block * self.table.block_rows, len(self.table))
        n_held_out = self.share(row, self.n_held_out, len(self.table))
        return row - n_held_out, n_held_out

    def split(self, block, x):
        """Training rows and held-out rows of the block, whose rows are x."""
        n_held_out = self.before(block + 1)[1] - self.before(block)[1]
        rng = stream(self.seed, "split", 1 + block)
        trains = np.ones(len(x), bool)
        trains[rng.choice(len(x), n_held_out, replace=False)] = False
        return x[trains], x[~trains]

    def survey(self, rng):
        """Read all blocks once: check them, and take moments and samples."""
        sizes = (len(self), self.n_held_out)
        kept = [min(SAMPLE_ROWS, size) for size in sizes]
        samples, origin, total, products = ([], []), None, 0.0, 0.0
        for block, x in enumerate(self.table.checked_blocks()):
            parts = self.split(block, x)
            places = zip(self.before(block), self.before(block + 1), kept, sizes, strict=True)
            for rows, sample, (start, stop, n, size) in zip(parts, samples, places, strict=True):
                n_rows = self.share(stop, n, size) - self.share(start, n, size)
                sample.append(rng.choice(rows, n_rows, replace=False))
            origin = x[0] if origin is None else origin
            with np.errstate(all="ignore"):  # values that are not finite are reported at the end
                x = np.float64(parts[0]) - origin
                total, products = total + x.sum(axis=0), products + x.T @ x
        self.sample, self.held_out = (rng.permutation(np.concatenate(rows)) for rows in samples)
        mean = total / len(self)
        self.mean = origin + mean
        self.covariance = (products - len(self) * np.outer(mean, mean)) / (len(self) - 1)

    def shuffled(self, epoch, edges):
        """The rows between each two neighbouring edges in the order of this epoch."""
        order = stream(self.seed, "shuffle", epoch).permutation(self.table.n_blocks)
        buffers = np.array_split(order, -(-len(order) // BUFFER_BLOCKS))
        sizes = [
            sum(self.before(k + 1)[0] - self.before(k)[0] for k in b.tolist()) for b in buffers
        ]
        starts = [0, *itertools.accumulate(sizes)]
        number = None
        for start, stop in itertools.pairwise(edges):
            parts = []
            while start < stop:
                needed = bisect.bisect(starts, start) - 1
                if needed != number:
                    x = None  # one buffer at a time is in memory
                    number, x = needed, self.read(buffers[needed], sizes[needed])
                    places = stream(self.seed, "shuffle", epoch, 1 + number).permutation(len(x))
                end = min(stop, starts[number + 1])
                parts.append(x[places[start - starts[number] : end - starts[number]]])
                start = end
            yield np.concatenate(parts)

    def read(self, blocks, n_rows):
        """The training rows of these blocks, n_rows in all."""
        x, n_read = np.empty((n_rows, self.shape[1]), np.float32), 0
        for k in blocks.tolist():
            rows, _ = self.split(k, self.table.block(k))
            x[n_read : n_read + len(rows)] = rows
            n_read += len(rows)
        return x
