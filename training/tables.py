"""Tables of numbers, one data point per row: read from files, checked, written to files."""

import csv
import io
import os
from pathlib import Path

import numpy as np

from training.errors import InputError, input_error
from training.run_folder import atomic_write
from training.text_tables import TOO_LARGE, read_layout, read_text

ENDINGS = (".dat", ".txt", ".csv", ".npy")
HINTS = {
    ".tsv": "; where tabs separate the cells, .txt",
    ".gz": "; unpack it first",
    ".xlsx": "; save it as .csv",
}
LARGE_BYTES = 2**29  # rows of a .npy file that need more memory, as float32, stay in the file
TEXT_ROWS = 1024  # written at once


def load_table(path, data_dim=None, data_size=None, may_have_names=True):
    """The first data_size rows (None: all) of a file, (N, D), finite, as exact as in the file.

    Text (.dat, .txt: separated by whitespace or tabs; .csv: by commas) is UTF-8 with a row per
    line, below an optional line of column names; # begins a comment. It becomes float64. A .npy
    file holds real numbers and keeps their type. If its rows need more than LARGE_BYTES they stay
    in the file: a numpy.memmap, not checked yet.

    InputError: the file cannot be read or is not such a table, or D is not data_dim (None: any D).
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        hint = HINTS.get(ending, "")
        raise InputError(f"{path}: the name of a table must end in .dat, .txt, .csv or .npy{hint}")
    if ending == ".npy":
        x = _read_npy(path)[:data_size]
    else:
        x = read_text(path, data_size, may_have_names)
    if min(x.shape) == 0:
        raise InputError(f"{path}: holds no rows of numbers")
    if data_dim not in (None, x.shape[1]):
        raise InputError(
            f"{path}: has {x.shape[1]} columns; {data_dim} are expected (by --data_dim, the known "
            "distribution, or the model)"
        )
    if isinstance(x, np.memmap) and 4 * x.size > LARGE_BYTES:
        return x
    check_finite(path, x)
    return np.array(x, dtype=x.dtype.newbyteorder("="))


def column_names(path):
    """The names in the first line of a text file that load_table reads; None: it has none."""
    if Path(path).suffix.lower() == ".npy":
        return None
    return read_layout(path).names


def names_of_columns(path, data_dim):
    """The names of the columns of a table; x1, x2, ... where it has none or there is no table."""
    names = None if path is None else column_names(path)
    return [name or f"x{j}" for j, name in enumerate(names or [""] * data_dim, 1)]


def check_order_of_columns(path, trained_on):
    """InputError: the table has the columns of the one that a model was trained on, but in another
    order. Nothing is known where that table is not there any more, or one of them has no names.
    """
    if trained_on is None or not Path(trained_on).exists() or not Path(path).exists():
        return
    names, expected = column_names(path), column_names(trained_on)
    if names and expected and names != expected and sorted(names) == sorted(expected):
        raise InputError(f"{path}: its columns must be in the order of {trained_on}")


def check_finite(path, x, first_row=0):
    """InputError: a value of x (n, D), rows of a file from first_row on, is no finite number."""
    bad = ~(np.abs(x) < np.float64(TOO_LARGE))  # of NaN too
    if bad.any():
        row, column = np.argwhere(bad)[0] + 1
        raise InputError(
            f"{path}, row {first_row + row}, column {column}: NaN, infinite or too large for "
            f"{x.dtype}; drop such rows or fill the cells (docs/own_data.md)"
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
            line = io.StringIO()
            csv.writer(line, lineterminator="\n").writerow(names)  # quotes a name with a comma
            file.write(line.getvalue().encode())
        for number, x in enumerate(blocks):
            if ending == ".npy" and number == 0:
                header = {"descr": x.dtype.str, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
            if ending == ".npy":
                file.write(np.ascontiguousarray(x))
            else:
                write_text(file, x, b"," if ending == ".csv" else b" ")


def write_text(file, x, separator):
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
