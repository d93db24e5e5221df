"""Feed the two loaders sound, odd and damaged files, and compare with plain readers.

    python -m benchmarks.fuzz_loaders --cases 10000 --seed 0

Each case must end in exactly the data that plain_readers.py sees, or in an InputError of
one line, within MEMORY_LIMIT; a sound file must end in its data. Prints the count of each outcome;
stops with the smallest failing case if there is one.
"""

import argparse
import collections
import gzip
import io
import math
import struct
import tempfile
import time
import tracemalloc
import zipfile
from pathlib import Path

import hypothesis
import numpy as np
from hypothesis import strategies as st

from benchmarks.plain_readers import IDX_NAMES, plain_reading
from images.data import load_images
from training.errors import InputError
from training.table_files import load_table

MEMORY_LIMIT = 2**26  # bytes a load may take; the files made here are below 2**15
KINDS = ("table.dat", "table.csv", "table.npy", "images.npz", "idx", "idx.gz")
NUMBER_DTYPES = ("<f4", "<f8", ">f4", ">f8", "<f2", "|i1", "<u2", "<i8", "<u8")
ODD_DTYPES = ("<c8", "|b1", "|S3", "<M8[s]", "|O", "<f4,<i2")

ODD_TOKENS = (
    *(
        "nan",
        "-inf",
        "Infinity",
        "1e39",
        "3.4028236e38",
        "1e-50",
        "1e400",
        "-0",
        ".5",
        "5.",
        "+1E+2",
    ),
    *("1_000", "0x1p3", "1d5", "1,5", "1;2", "'1'", '"1"', "", "x", "é", "١", "#", "--1", "1e"),
    *("1.00000017881393433", "16777217", "0" * 400 + "7", "1" * 400, "1\x0c2", "1\xa02", "\x00"),
)
ODD_LINES = (
    "",
    "  ",
    "# é",
    "#1 2",
    "a,b",
    '"a","b,c"',
    'a"',
    '"a',
    "\x0c",
    "\ufeff",
    "1 2 # 3",
    ",",
)
SPLICES = (b"0", b"9" * 30, b"-", b".", b"e", b"\n", b",", b" ", b"\xff" * 8)


@st.composite
def cases(draw):
    """(kind, {file name: bytes}, sound): files to load, and whether they are as they should be."""
    kind = draw(st.sampled_from(KINDS))
    odd, inner, outer = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    if kind == "table.npy":
        files = {kind: draw(npy_files(NUMBER_DTYPES, draw(st.tuples(SIZES, SIZES)), odd))}
    elif kind.startswith("table"):
        files = {kind: draw(text_tables("," if kind == "table.csv" else " ", odd))}
    else:
        files = draw(image_files(kind, odd, inner))
    for name in files:
        if outer and (len(files) == 1 or draw(st.booleans())):
            files[name] = draw(damaged(files[name]))
    return kind, files, not (odd or inner or outer)


SIZES = st.integers(1, 5)


@st.composite
def text_tables(draw, separator, odd):
    """A table as text; if odd, with one thing that a table may not or need not have."""
    width = draw(SIZES)
    form = draw(st.sampled_from(("{:.9g}", "{:.18e}", "{!r}"))).format
    row = st.lists(st.floats(-1e38, 1e38).map(form), min_size=width, max_size=width)
    lines = draw(st.lists(row.map(separator.join), min_size=1, max_size=6))
    if separator == "," and draw(st.booleans()):
        lines.insert(0, separator.join(f"x{i}" for i in range(width)))
    lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(("", "  ", "# a line, é"))))
    end, code = draw(st.sampled_from(("\n", "\r\n"))), draw(st.sampled_from(("utf-8", "utf-8-sig")))
    odd_part = draw(st.sampled_from(("token", "token", "line", "end", "code"))) if odd else None
    if odd_part in ("token", "line"):
        extra = st.sampled_from(ODD_LINES)
        if odd_part == "token":
            extra = st.permutations(draw(row)[1:] + [draw(st.sampled_from(ODD_TOKENS))])
            extra = extra.map(separator.join)
        lines.insert(draw(st.integers(0, len(lines))), draw(extra))
    if odd_part == "end":
        end = draw(st.sampled_from(("\r", "\n\r", "\x0c", "\x85")))
    if odd_part == "code":
        code = draw(st.sampled_from(("utf-16", "utf-16-le", "utf-32", "latin-1")))
    return (end.join(lines) + draw(st.sampled_from(("", end)))).encode(code)


@st.composite
def npy_files(draw, dtypes, shape, odd):
    """An .npy file of numbers; if odd, perhaps of another dtype, shape or with a value too many."""
    if odd and draw(st.booleans()):
        shape = draw(st.lists(st.integers(0, 4), max_size=3))
    dtype = np.dtype(draw(st.sampled_from(dtypes + ODD_DTYPES if odd else dtypes)))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    values = np.asarray(rng.integers(0, 100, shape)).astype(dtype)
    special = {"f": [-1.5, 6e4], "i": [-100, 127], "u": [255, 0]}.get(dtype.kind)
    if dtype in (np.int64, np.uint64):
        special = [2**60 + 1, 2**24 + 1]
    if odd and dtype.kind == "f":
        special = [np.nan, -np.inf, 1e39, 3.4028235677973366e38]
    if special and values.size and (odd or len(shape) == 2):
        with np.errstate(over="ignore"):
            values.flat[rng.integers(values.size)] = draw(st.sampled_from(special))
    file = io.BytesIO()
    np.save(file, np.array(values, order=draw(st.sampled_from("CF"))), allow_pickle=True)
    return file.getvalue()


@st.composite
def image_files(draw, kind, odd, inner):
    height, width = draw(SIZES), draw(SIZES)
    members = {}
    for name in IDX_NAMES:
        n = (4 if name.endswith("train") else 3) + (odd and draw(st.integers(0, 1)))
        shape = (n, height, width) if name[0] == "x" else (n,)
        if kind == "images.npz":
            dtypes = ("|u1",) if name[0] == "x" else ("|u1", "<i8", ">i4")
            members[name] = draw(npy_files(dtypes, shape, odd and draw(st.booleans())))
        else:
            size = math.prod(shape)
            values = draw(st.binary(min_size=size, max_size=size))
            members[name] = struct.pack(f">{1 + len(shape)}I", 0x800 + len(shape), *shape) + values
        if inner and draw(st.booleans()):
            members[name] = draw(damaged(members[name]))
    if kind == "images.npz":
        return {kind: zipped(members, draw(st.integers(0, 2 if odd else 1)))}
    if odd and draw(st.booleans()):
        members["x_train"], members["y_train"] = members["y_train"], members["x_train"]
    if kind == "idx.gz":
        return {f"{IDX_NAMES[name]}.gz": gzip.compress(members[name], mtime=0) for name in members}
    return {IDX_NAMES[name]: members[name] for name in members}


def zipped(members, method):
    file = io.BytesIO()
    methods = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA)
    with zipfile.ZipFile(file, "w", methods[method]) as archive:
        for name in members:
            archive.writestr(f"{name}.npy", members[name])
    return file.getvalue()


@st.composite
def damaged(draw, content):
    """content with bits flipped, bytes cut off or out, put in, or copied from elsewhere in it."""
    for _ in range(draw(st.integers(1, 3))):
        places = st.integers(0, min(160, len(content))) | st.integers(0, len(content))
        at, other = draw(places), draw(places)
        before, after = content[:at], content[at:]
        match draw(st.sampled_from(("flip", "cut off", "cut out", "put in", "splice"))):
            case "flip":
                after = bytes(b ^ (1 << draw(st.integers(0, 7))) for b in after[:1]) + after[1:]
            case "cut off":
                after = b""
            case "cut out":
                after = after[draw(st.integers(1, 9)) :]
            case "put in":
                after = draw(st.binary(max_size=9) | st.sampled_from(SPLICES)) + after
            case "splice":
                after = content[other : other + draw(st.integers(1, 200))] + after
        content = before + after
    return content


def outcome(case):
    """How the loader ended, in words; AssertionError if it ended in any other way."""
    kind, files, sound = case
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        wanted = plain_reading(kind, files)
        tracemalloc.start()
        try:
            if kind.startswith("table"):
                loaded = [load_table(Path(folder) / kind)]
            else:
                loaded = load_images(Path(folder) / kind if kind in files else folder)[:4]
        except InputError as error:
            message = str(error)
            assert message.isprintable() and not sound, message
            return "InputError" if wanted is None else "InputError, plain readers see data"
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < MEMORY_LIMIT, peak
        assert wanted is not None, loaded
        for array, right in zip(loaded, wanted, strict=True):
            assert array.dtype == right.dtype
            np.testing.assert_array_equal(array, right)
        return "data of a sound file" if sound else "data of an odd or damaged file"


def run(n_cases, seed):
    """Counts of (kind, outcome) over n_cases cases drawn from the seed."""
    counts = collections.Counter()

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=n_cases,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(cases())
    def check(case):
        counts[case[0], outcome(case)] += 1

    check()
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    start = time.perf_counter()
    counts = run(args.cases, args.seed)
    for (kind, how), n in sorted(counts.items()):
        print(f"{n:7d}  {kind:11s} {how}")
    print(f"{counts.total():7d}  cases, no failure, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
