"""Tables of numbers, one data point per row: read from files, checked, written to files."""

import csv
import io
import itertools
import os
import sys
import warnings
from pathlib import Path

import numpy as np

from training.errors import InputError, input_error
from training.run_folder import atomic_write

LARGE_BYTES = 2**29  # rows of a .npy file that need more memory, as float32, stay in the file
TEXT_ROWS = 1024  # written at once
FEW_VALUES = 20  # a column of at most as many distinct values is hardly continuous
MAX_NAMES = 8  # of columns in a warning


def load_table(path, data_dim=None, data_size=None, dtype=np.float32):
    """The first data_size rows (None: all) of a file as an array (N, D), finite in `dtype`.

    Text (.dat, .txt: numbers separated by whitespace; .csv: by commas, below an optional line of
    column names) is UTF-8 with a row per line; # begins a comment. A .npy file holds real numbers.
    If its rows need more than LARGE_BYTES they stay in the file: a numpy.memmap, not checked yet.

    InputError: the file cannot be read, is no such table, or D is not data_dim (None: any).
    """
    path = Path(path)
    if path.suffix.lower() not in (".dat", ".txt", ".csv", ".npy"):
        raise InputError(f"{path}: the name of a table must end in .dat, .txt, .csv or .npy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NumPy, of an empty or an old file
        is_text = path.suffix.lower() != ".npy"
        x = _read_text(path, data_size) if is_text else _read_npy(path)[:data_size]
    if min(x.shape) == 0:
        raise InputError(f"{path}: holds no rows of numbers")
    if data_dim not in (None, x.shape[1]):
        raise InputError(f"{path}: has {x.shape[1]} columns, but --data_dim is {data_dim}")
    if isinstance(x, np.memmap) and 4 * x.size > LARGE_BYTES:
        return x
    (x,) = checked(path, [as_type(x, dtype)])
    return x


def column_names(path):
    """The names in the first line of a .csv file that load_table reads; None: it has none."""
    if Path(path).suffix.lower() != ".csv":
        return None
    with open(path, encoding="utf-8-sig") as file:
        line = file.readline()
    names = [name.strip() for name in next(csv.reader([line]), [])]
    numbers = [name[:1] in set("+-.0123456789") or name.lower() in ("nan", "inf") for name in names]
    return names if names and not any(numbers) and not line.startswith("#") else None


def names_of_columns(path, data_dim):
    """The names of the columns of a table; x1, x2, ... where it has none or there is no table."""
    names = None if path is None else column_names(path)
    return names or [f"x{j + 1}" for j in range(data_dim)]


def check_order_of_columns(path, trained_on):
    """InputError: the table has the columns of the one that a model was trained on, but in another
    order. Nothing is known where that table is not there any more, or one of them has no names.
    """
    if trained_on is None or not Path(trained_on).exists() or not Path(path).exists():
        return
    names, expected = column_names(path), column_names(trained_on)
    if names and expected and names != expected and sorted(names) == sorted(expected):
        raise InputError(f"{path}: its columns must be in the order of {trained_on}")


def as_type(x, dtype):
    """A copy of x in memory; what is too large for the type becomes infinite, without a warning."""
    with np.errstate(all="ignore"):
        return np.array(x, dtype)


def checked(path, blocks):
    """Yields blocks of rows (n, D); at the end InputError if a value in them was not finite."""
    n_rows, n_bad, first = 0, 0, None
    for x in blocks:
        bad = ~np.isfinite(x)
        if bad.any():
            row, column = np.argwhere(bad)[0] + 1
            first = first or f"row {n_rows + row}, column {column}"
            n_bad += np.count_nonzero(bad)
        n_rows += len(x)
        yield x
    if n_bad:
        raise InputError(
            f"{path}: values that are NaN, infinite or too large for {x.dtype}: {n_bad}, "
            f"the first in {first}"
        )


def _read_npy(path):
    """The table in a .npy file, memory-mapped read-only."""
    try:
        x = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # a damaged header lets NumPy fail in about any way
        raise input_error(path, error) from error
    if x.ndim != 2 or x.dtype.kind not in "fiu":
        kind = f"{x.dtype} of shape {x.shape}"
        raise input_error(path, f"holds {kind}; it must hold (rows, columns) of real numbers")
    return x


def _read_text(path, n_rows):
    """The first n_rows rows of a text file as float64; (0, 1) if it has none."""
    comma = "," if path.suffix.lower() == ".csv" else None
    n_lines = itertools.count()  # the next one is how many lines NumPy has taken
    try:
        names = column_names(path)
        with open(path, encoding="utf-8-sig") as file:
            lines = (line for line, _ in zip(file, n_lines, strict=False))
            x = np.loadtxt(
                lines, delimiter=comma, skiprows=1 if names else 0, max_rows=n_rows, ndmin=2
            )
    except Exception as error:  # not OSError and ValueError alone: csv.Error, MemoryError
        reason, at_row, _ = str(error).partition(" at row ")  # NumPy counts neither header nor gaps
        if at_row:
            raise input_error(f"{path}, line {next(n_lines)}", reason) from error
        raise input_error(path, error) from error
    if names and x.size and len(names) != x.shape[1]:
        raise InputError(f"{path}: has {len(names)} column names, but {x.shape[1]} columns")
    return x


def warn_of_columns(x, names):
    """Name on stderr the columns of x (N, data_dim) that are constant or have few values."""
    names = names or [f"x{j + 1}" for j in range(x.shape[1])]
    counts = [len(np.unique(column)) for column in x.T]
    limit = max(1, min(FEW_VALUES, len(x) // 10))
    few = [f"{name} ({n})" for name, n in zip(names, counts, strict=True) if n <= limit]
    if few:
        more = f" and {len(few) - MAX_NAMES} more" if len(few) > MAX_NAMES else ""
        print(
            f"warning: columns of few distinct values: {', '.join(few[:MAX_NAMES])}{more}; their "
            "density is unbounded: leave them out, or set --min_log_std",
            file=sys.stderr,
        )


def save_table(path, x, names=None):
    """Write x (N, data_dim), float32 or float64, exactly: text to .dat and .csv, or .npy.

    names: of the columns, the first line of a .csv file.
    """
    save_blocks(path, [x], x.shape, names)


def save_blocks(path, blocks, shape, names=None):
    """save_table for rows that come in blocks, arrays (n, data_dim); shape: of all together."""
    ending = Path(path).suffix
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        if names is not None:
            file.write(line_of(names))
        for number, x in enumerate(blocks):
            if ending == ".npy" and number == 0:
                header = {"descr": x.dtype.str, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
            if ending == ".npy":
                file.write(np.ascontiguousarray(x))
            else:
                write_text(file, x, b"," if ending == ".csv" else b" ")


def line_of(names):
    """The first line of a .csv file, UTF-8; a name with a comma stands in quotes."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(names)
    return line.getvalue().encode()


def write_text(file, x, separator=b" "):
    """np.savetxt(file, x), exact, in half its time: many rows at once, not one."""
    digits = b"%.9g" if x.dtype == np.float32 else b"%.17g"
    row_format = separator.join([digits] * x.shape[1]) + b"\n"
    for start in range(0, len(x), TEXT_ROWS):
        rows = x[start : start + TEXT_ROWS]
        file.write(row_format * len(rows) % tuple(rows.ravel().tolist()))


def check_output(path):
    """InputError: a file of this name can't be written as a table."""
    path = Path(path)
    if path.suffix not in (".dat", ".npy"):
        raise InputError(f"{path}: the name of an output file must end in .dat or .npy")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK) or path.is_dir():
        raise InputError(f"{path}: can't be written")
