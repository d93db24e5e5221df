"""A text file of numbers: what separates its cells, whether it has names, what is wrong in it."""

import csv
import re
import warnings
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from training.errors import InputError, input_error

NOT_TEXT = {
    b"\x1f\x8b": "is compressed by gzip: unpack it first",
    b"PK": "is a zip archive, or a spreadsheet: save it as .csv",
    b"\xff\xfe": "is UTF-16: save it as UTF-8",
    b"\xfe\xff": "is UTF-16: save it as UTF-8",
}
MISSING = ("", "na", "n/a", "nan", "null", "none", "?")
TOO_LARGE = 1e150  # for a value: its square must be a float64 too
LOOKED_AT = 100  # lines that tell how the table is laid out


class Layout(NamedTuple):
    """How a text file holds its table."""

    separator: str | None  # None: any whitespace
    names: list | None  # of the columns
    n_lines_above: int  # the numbers


def read_text(path, n_rows, may_have_names):
    """The first n_rows rows (None: all) of a text file as float64; (0, 1) if it has none."""
    layout = read_layout(path, may_have_names)
    names = layout.names
    try:
        with warnings.catch_warnings(action="ignore"), open_text(path) as file:  # of empty lines
            x = np.loadtxt(
                filter(has_cells, islice(file, layout.n_lines_above, None)),
                delimiter=layout.separator,
                quotechar='"' if layout.separator == "," else None,
                max_rows=n_rows,
                ndmin=2,
            )
    except (ValueError, MemoryError) as error:
        fault = find_fault(path, layout)
        if fault:
            raise InputError(f"{path}, {fault}") from error
        raise input_error(path, error) from error
    if x.size and (not (np.abs(x) < TOO_LARGE).all() or (names and len(names) != x.shape[1])):
        raise InputError(f"{path}, {find_fault(path, layout)}")
    if names and is_number(names[-1]):
        print(f"{path}: the numbers in its first line are taken for names: {', '.join(names)}")
    return x


def open_text(path):
    return open(path, encoding="utf-8-sig", errors="replace")


def read_layout(path, may_have_names=True):
    """The Layout of a text file, from its first lines. InputError: it can't be read as text."""
    try:
        with open(path, "rb") as file:
            start = file.read(2)
        with open_text(path) as file:
            rows = ((n_above, line) for n_above, line in enumerate(file) if has_cells(line))
            rows = list(islice(rows, LOOKED_AT))
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise input_error(path, error) from error
    if start in NOT_TEXT:
        raise InputError(f"{path}: {NOT_TEXT[start]}")
    separator = "," if Path(path).suffix.lower() == ".csv" else None
    if not rows:
        return Layout(separator, None, 0)
    if separator is None and is_tab_separated(rows[-1][1]):
        separator = "\t"
    first = cells_of(rows[0][1], separator)  # a name may hold a #
    below = [cells_of(line.partition("#")[0], separator) for _, line in rows[1:]]
    if may_have_names and are_names(first, below):
        return Layout(separator, first, rows[0][0] + 1)
    return Layout(separator, None, 0)


def has_cells(line):
    """Whether there is more in a line than a comment."""
    return line.partition("#")[0].strip() != ""


def is_tab_separated(line):
    """Whether all whitespace between numbers is single tabs, so that a cell can be empty."""
    cells = line.split("\t")
    return len(cells) > 1 and all(len(cell.split()) < 2 for cell in cells)


def cells_of(line, separator):
    """The cells of a line, without quotes."""
    if separator is None:
        return [cell.strip('"') for cell in line.split()]
    cells = next(csv.reader([line.rstrip("\r\n")], delimiter=separator), [])
    return [cell.strip() for cell in cells]


def are_names(first, below):
    """Whether the first row of cells holds names; below: some rows under it.

    Names are not numbers. Whole numbers that rise (0, 1, 2; 1990, 2000) are names if every column
    below has fractions, if they count up by one and the next row does not, or if they follow an
    empty cell, which is the name of an index.
    """
    if not below:
        return False
    if not any(is_number(cell) for cell in first):
        return any(first)
    has_index = first[0] == ""
    steps = steps_of(first[1:] if has_index else first)
    if len(steps) == 0 or min(steps) < 1:
        return False
    counts_up = len(steps) > 1 and max(steps) == 1 and set(steps_of(below[0])) != {1}
    columns = zip(*below, strict=False)
    has_fractions = all(any(not is_whole(cell) for cell in column) for column in columns)
    return has_index or counts_up or has_fractions


def steps_of(cells):
    """The steps from cell to cell, if all are whole numbers; else none."""
    if not all(is_whole(cell) for cell in cells):
        return []
    return [int(after) - int(before) for before, after in pairwise(cells)]


def is_whole(cell):
    return re.fullmatch("[+-]?[0-9]+", cell) is not None


def is_number(cell):
    """Whether NumPy reads the cell, possibly as nan or infinite."""
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def find_fault(path, layout):
    """The first line that is no row of finite numbers, and what is wrong there; None: no such."""
    names = layout.names or []
    n_cells = len(names)
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            if number <= layout.n_lines_above or not has_cells(line):
                continue
            cells = cells_of(line.partition("#")[0], layout.separator)
            for column, cell in enumerate(cells):
                if not is_number(cell) or not abs(float(cell)) < TOO_LARGE:
                    name = f' ("{names[column]}")' if column < len(names) else ""
                    reason = what_is_wrong(cell, column, len(cells), layout.separator)
                    return f"line {number}, column {column + 1}{name}: {reason}"
            n_cells = n_cells or len(cells)
            if len(cells) != n_cells:
                return (
                    f"line {number}: has {len(cells)} cells, but above there are {n_cells}; "
                    "names of rows must be left out"
                )
    return None


def what_is_wrong(cell, column, n_columns, separator):
    """Why a cell is no finite number, and what to do about it."""
    if cell == "" and 0 < column == n_columns - 1:
        return "an empty cell, or a line that ends with its separator; fill it (docs/own_data.md)"
    if cell.lower() in MISSING:
        return f"{cell!r} is a missing value; drop such rows or fill the cells (docs/own_data.md)"
    if is_number(cell):
        return f"{cell} is infinite or too large"
    if separator == "," and re.search("[;\t]", cell):
        return f"{cell!r}: the cells of a .csv file are separated by commas (docs/own_data.md)"
    if separator != "," and "," in cell:
        return f"{cell!r}: a decimal comma, or a table that must be named .csv"
    if column == 0:
        return f"{cell!r} is not a number; names of rows must be left out"
    return f"{cell!r} is not a number"
