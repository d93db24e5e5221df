"""Reads a table of numbers, one data point a row, from a .dat, .txt, .csv or .npy file.

The text that is read is plain UTF-8: decimal numbers such as 1.5 or -2e-3, parted by blanks or
tabs (.dat, .txt) or by commas (.csv), a row a line. Blank lines and lines that begin with # are
passed over, and a .csv file may open with a line of column names. Everything else is refused with
one line that names the place; lines, rows and columns are counted from 1.
"""

import csv
import io
import itertools
import math
import os
import re
import stat
import warnings
from pathlib import Path

import numpy as np

from training.errors import InputError

_LONGEST_LINE = 2**22  # bytes; keeps a file without line ends from filling the memory
_LONGEST_NPY_HEADER = 2**14
_BLOCK = 2**20  # numbers looked at together when a table is searched for NaN
_FLOAT32_OVERFLOW = 2.0**128 - 2.0**103  # from here on a number rounds to infinity in float32
_NUMBER = re.compile(
    r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?|[+-]?(nan|inf|infinity)", re.ASCII | re.IGNORECASE
)


def load_table(path, data_dim=None):
    """The data points in the file at path, (N, D) with N and D at least 1, all finite in float32.

    Text gives float32: each number is read as the nearest float64 and rounded to the nearest
    float32, so float32 values written with 9 significant digits come back exact. A .npy file of
    float32 or float64 in native byte order is memory-mapped read-only; other real numbers become
    float32.

    Raises InputError for anything that is not such a table, and for D other than data_dim.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in (".dat", ".txt", ".csv", ".npy"):
        raise InputError(f"{shown(path)}: the file name must end in .dat, .txt, .csv or .npy")
    check_is_file(path)
    try:
        table = _load_npy(path) if ending == ".npy" else _load_text(path, ending == ".csv")
    except OSError as error:
        raise InputError(f"{shown(path)}: cannot be read ({error.strerror})") from error
    check_columns(path, table.shape, data_dim)
    return table


def check_columns(path, shape, data_dim):
    """Raises InputError unless a table of this shape has data_dim columns; None: any number."""
    if data_dim not in (None, shape[1]):
        raise InputError(
            f"{shown(path)}: has {shape[1]} columns, --data_dim is {data_dim}; they must be equal"
        )


def shown(name):
    """The name of a file (or a dtype) as text on one line, whatever characters it holds."""
    text = str(name)
    return text if text.isprintable() else ascii(text)


def check_is_file(path):
    """Raises InputError unless path is an ordinary file."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{shown(path)}: there is no such file") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        raise InputError(f"{shown(path)}: cannot be read ({error})".replace("\n", " ")) from error
    if stat.S_ISDIR(mode):
        raise InputError(f"{shown(path)}: is a folder, a file is needed")
    if not stat.S_ISREG(mode):
        raise InputError(f"{shown(path)}: is not an ordinary file")


def _load_text(path, commas):
    lines = _lines(path)
    first = next(lines, None)
    names = _column_names(path, *first) if commas and first else []
    if names:
        first = next(lines, None)
    if not first:
        raise InputError(f"{shown(path)}: holds no row of numbers")
    try:
        table = np.loadtxt(
            _plain_lines(itertools.chain([first], lines), commas),
            dtype=np.float32,
            comments=None,
            delimiter="," if commas else None,
            ndmin=2,
        )
    except InputError:
        raise
    except ValueError:
        _explain(path, commas, first[0])
        raise
    if not np.isfinite(table).all():
        _explain(path, commas, first[0])
    if names and len(names) != table.shape[1]:
        raise InputError(
            f"{shown(path)}, line {first[0]}: {table.shape[1]} numbers under {len(names)} "
            "column names; there must be one name a column"
        )
    return table


def _lines(path):
    """(line number, bytes) of each line that is neither blank nor a comment."""
    with open(path, "rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE), b""), 1):
            if len(line) == _LONGEST_LINE:
                raise InputError(
                    f"{shown(path)}, line {number}: is longer than {_LONGEST_LINE >> 20} MiB; "
                    "a row of numbers must stand on a line"
                )
            if number == 1:
                if line.startswith((b"\xff\xfe", b"\xfe\xff")):
                    raise InputError(f"{shown(path)}: is UTF-16 or UTF-32 text; save it as UTF-8")
                line = line.removeprefix(b"\xef\xbb\xbf")  # the byte-order mark of UTF-8
            line = line.strip(b" \t\r\n")
            if line.startswith(b"#"):
                _text(path, number, line)
            elif line:
                yield number, line


def _plain_lines(lines, commas):
    """The lines as text; ValueError at a character that no decimal number is written with.

    This keeps from np.loadtxt what it reads in its own way: form feeds, nan, infinity, Unicode.
    """
    plain = b"0123456789+-.eE \t," if commas else b"0123456789+-.eE \t"
    for number, line in lines:
        if line.translate(None, plain):
            raise ValueError(f"line {number}")
        yield line.decode("ascii")


def _text(path, number, line):
    """The line's bytes as text, or InputError where they are not plain UTF-8."""
    if b"\0" in line:
        raise InputError(
            f"{shown(path)}, line {number}: holds NUL bytes; the file must be plain UTF-8 text"
        )
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{shown(path)}, line {number}: byte 0x{line[error.start]:02x} is not UTF-8 text; "
            "save the file as UTF-8"
        ) from error


def _column_names(path, number, line):
    """The names in a .csv file's first line; none if it is a line of data, right or wrong."""
    text = _text(path, number, line)
    try:
        fields = next(csv.reader([text], strict=True))
    except csv.Error as error:
        raise InputError(
            f"{shown(path)}, line {number}: is neither numbers nor column names ({error})"
        ) from error
    names = [field.strip() for field in fields]
    like_numbers = [name == "" or name[0] in "0123456789+-." for name in names]
    return [] if any(like_numbers) or any(map(_NUMBER.fullmatch, names)) else names


def _explain(path, commas, first_line):
    """Raises InputError for the first fault of a text file; slow, for files that have one."""
    width, n_bad, bad_place = None, 0, ""
    for number, line in _lines(path):
        if number < first_line:
            continue
        text = _text(path, number, line)
        row = re.split("[ \t]*,[ \t]*" if commas else "[ \t]+", text)
        for column, token in enumerate(row, 1):
            if not _NUMBER.fullmatch(token):
                place = f"{shown(path)}, line {number}, column {column}"
                raise InputError(f"{place}: {_not_a_number(token, commas)}")
            if not abs(float(token)) < _FLOAT32_OVERFLOW:
                n_bad += 1
                bad_place = bad_place or f"line {number}, column {column}"
        width = width or len(row)
        if len(row) != width:
            raise InputError(
                f"{shown(path)}, line {number}: has {len(row)} columns, "
                f"line {first_line} has {width}; rows must be equally long"
            )
    if n_bad:
        raise not_finite(path, n_bad, bad_place)


def _not_a_number(token, commas):
    if token == "":
        return "is empty where a number belongs"
    short = repr(token if len(token) <= 30 else token[:30] + "...")
    if ";" in token or (commas and re.search(r"[ \t]", token)):
        separator = "commas" if commas else "blanks"
        return f"{short} is not a number; columns are parted by {separator}, decimals written 1.5"
    if "," in token:
        return f"{short} is not a number; write decimals as 1.5, or end the name in .csv for commas"
    if "\r" in token:
        return f"{short} is not a number; lines must end in \\n or \\r\\n"
    if token[0] in "\"'":
        return f"{short} is not a number; write numbers without quotes"
    return f"{short} is not a number such as 1.5 or -2e-3"


def not_finite(path, n_bad, place):
    """The InputError for n_bad such values, the first of them at this place."""
    many = "a value that is" if n_bad == 1 else f"{n_bad} values that are"
    return InputError(
        f"{shown(path)}: has {many} NaN, infinite or too large for float32, first at {place}; "
        "every value must be finite"
    )


def npy_layout(path):
    """(shape, fortran_order, dtype, offset of the data) of the table in an .npy file.

    Reads the header alone. Raises InputError unless the file has what the header says.
    """
    check_is_file(path)
    try:
        with open(path, "rb") as file:
            shape, fortran_order, dtype, offset = read_npy_header(file, shown(path))
            size = os.fstat(file.fileno()).st_size - offset
    except OSError as error:
        raise InputError(f"{shown(path)}: cannot be read ({error.strerror})") from error
    if len(shape) != 2:
        raise InputError(f"{shown(path)}: has shape {shape}; it must be (rows, columns)")
    if min(shape) < 1:
        raise InputError(f"{shown(path)}: has shape {shape}; it holds no row of numbers")
    if dtype.kind not in "fiu" or dtype.itemsize > 8:  # long double differs between computers
        raise InputError(f"{shown(path)}: holds {shown(dtype)}; save real numbers such as float32")
    if size != math.prod(shape) * dtype.itemsize:
        raise InputError(
            f"{shown(path)}: holds {size} bytes of data, its header says "
            f"{math.prod(shape) * dtype.itemsize}; the file is damaged or incomplete"
        )
    return shape, fortran_order, dtype, offset


def _load_npy(path):
    shape, fortran_order, dtype, offset = npy_layout(path)
    order = "F" if fortran_order else "C"
    table = np.memmap(path, dtype, mode="r", offset=offset, shape=shape, order=order)
    if dtype not in (np.float32, np.float64) or not table.flags.aligned:
        with np.errstate(all="ignore"):  # what overflows is found and reported below
            table = np.asarray(table).astype(np.float32)
    n_bad, first_bad = _count_not_finite(table.ravel(order="K"))
    if n_bad:
        row, column = np.unravel_index(first_bad, shape, order=order)
        raise not_finite(path, n_bad, f"row {row + 1}, column {column + 1}")
    return table


def _count_not_finite(flat):
    """How many of the values are not finite in float32, and where the first is."""
    n_bad, first_bad = 0, None
    for start in range(0, flat.size, _BLOCK):
        with np.errstate(all="ignore"):
            bad = ~np.isfinite(np.asarray(flat[start : start + _BLOCK], np.float32))
        if bad.any():
            first_bad = start + int(bad.argmax()) if n_bad == 0 else first_bad
            n_bad += int(bad.sum())
    return n_bad, first_bad


def read_npy_header(file, place):
    """(shape, fortran_order, dtype, offset of the data) of an .npy file open at its start.

    Reads 16 KiB at most and allocates nothing that the header asks for. place, the file's name,
    opens the message of the InputError that a damaged or pickled file raises.
    """
    head = io.BytesIO(file.read(_LONGEST_NPY_HEADER))
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # all that NumPy says of some damaged headers
            shape, fortran_order, dtype = readers[np.lib.format.read_magic(head)](head)
    except Exception as error:  # a damaged header lets NumPy fail in about any way
        raise InputError(f"{place}: is not an .npy file, or its header is damaged") from error
    if not all(0 <= n < 2**63 for n in shape):
        raise InputError(f"{place}: is not an .npy file, or its header is damaged")
    if dtype.hasobject:
        raise InputError(f"{place}: holds pickled Python objects; save plain numbers")
    return tuple(int(n) for n in shape), fortran_order, dtype, head.tell()
