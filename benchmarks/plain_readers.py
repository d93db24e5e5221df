"""Readers of tables and images written from the formats alone, to check the loaders against.

Slow, and without a word on what is wrong: any exception says that a file holds no sound data.
"""

import ast
import csv
import io
import struct
import zlib

import numpy as np

IDX_NAMES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


def read_text(content, commas):
    """The table as csv.reader or str.split, float and np.float32 see it."""
    lines = io.StringIO(content.decode("utf-8-sig"), newline=None).read().split("\n")
    lines = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    rows = list(csv.reader(lines)) if commas else [line.split() for line in lines]
    try:
        table = [[float(token) for token in row] for row in rows]
    except ValueError:
        table = [[float(token) for token in row] for row in rows[commas:]]
    with np.errstate(over="ignore"):
        table = np.array([[np.float32(value) for value in row] for row in table])
    assert table.ndim == 2 and table.size and np.isfinite(table).all()
    return [table]


def read_npy(content):
    """(struct format of a number, array of Python numbers) of an .npy file."""
    assert content[:6] == b"\x93NUMPY" and content[6:8] in (b"\1\0", b"\2\0")
    length = struct.Struct("<H" if content[6] == 1 else "<I")
    start = 8 + length.size
    (n_header,) = length.unpack(content[8:start])
    header = ast.literal_eval(content[start : start + n_header].decode("latin-1"))
    code = header["descr"][-2:]
    code = {"i1": "b", "i2": "h", "i4": "i", "i8": "q", "f2": "e", "f4": "f", "f8": "d"}.get(
        code, {"u1": "B", "u2": "H", "u4": "I", "u8": "Q"}.get(code)
    )
    order = {"<": "<", ">": ">", "|": "<", "=": "<"}[header["descr"][0]]
    n = np.prod(header["shape"], dtype=object)
    values = struct.unpack(f"{order}{n}{code}", content[start + n_header :])
    array = np.empty(n, object)
    array[:] = values
    return order + code, array.reshape(
        header["shape"], order="F" if header["fortran_order"] else "C"
    )


def to_float32(value):
    """The nearest float32 of an integer or float; an integer is rounded once, half to even."""
    if isinstance(value, float):
        return np.float32(value)
    shift = max(0, abs(value).bit_length() - 24)
    whole, rest = divmod(abs(value), 1 << shift)
    whole += 2 * rest > 1 << shift or (2 * rest == 1 << shift and whole % 2)
    return np.float32(float(whole << shift) * (-1 if value < 0 else 1))


def read_npy_table(content):
    form, table = read_npy(content)
    dtype = np.float64 if form == "<d" else np.float32
    with np.errstate(over="ignore"):
        assert table.ndim == 2 and table.size
        assert all(np.isfinite(to_float32(value)) for value in table.flat)
    convert = float if form == "<d" else to_float32
    return [np.array([convert(v) for v in table.flat], dtype).reshape(table.shape)]


def read_zip(content):
    """{member name: bytes} by way of the central directory, each against its size and CRC."""
    end = content.rindex(b"PK\5\6")
    size, offset = struct.unpack("<12xII", content[end : end + 20])
    directory, shift, members = content[end - size : end], end - size - offset, {}
    while directory:
        entry = struct.unpack("<4s6xH4xIIIHHH8xI", directory[:46])
        signature, method, crc, packed, size, n_name, n_extra, n_comment, offset = entry
        assert signature == b"PK\1\2"
        name = directory[46 : 46 + n_name]
        directory = directory[46 + n_name + n_extra + n_comment :]
        offset += shift
        start = offset + 30 + sum(struct.unpack("<HH", content[offset + 26 : offset + 30]))
        data = content[start : start + packed]
        data = zlib.decompressobj(-15).decompress(data)[:size] if method == 8 else data
        if (zlib.crc32(data), len(data)) == (crc, size):
            assert name not in members
            members[name] = data
    return members


def read_idx(content, n_dims):
    magic, *shape = struct.unpack(f">{1 + n_dims}I", content[: 4 + 4 * n_dims])
    assert magic == 0x800 + n_dims
    return np.array(list(content[4 + 4 * n_dims :]), np.uint8).reshape(shape)


def read_images(kind, files):
    if kind == "images.npz":
        members = read_zip(files[kind])
        arrays = [read_npy(members[f"{name}.npy".encode()]) for name in IDX_NAMES]
        assert arrays[0][0] == arrays[2][0] == "<B" and arrays[0][1].ndim == arrays[2][1].ndim == 3
        assert all(form[1] in "bBhHiIqQ" and y.ndim == 1 for form, y in arrays[1::2])
        assert all(0 <= label <= 255 for _, y in arrays[1::2] for label in y)
        arrays = [array.astype(np.uint8) for _, array in arrays]
    else:
        contents = list(files.values())
        if kind == "idx.gz":
            contents = [gunzip(content) for content in contents]
        arrays = [read_idx(content, n) for content, n in zip(contents, (3, 1, 3, 1), strict=True)]
    x_train, y_train, x_test, y_test = arrays
    assert len(x_train) == len(y_train) and len(x_test) == len(y_test)
    assert x_train.size and x_test.size and x_train.shape[1:] == x_test.shape[1:]
    return [x_train.reshape(len(x_train), -1), y_train, x_test.reshape(len(x_test), -1), y_test]


def gunzip(content):
    data = b""
    while content.strip(b"\0"):
        flags = content[3] & 0x1F  # the others are reserved; zlib refuses them, gzip does not
        content = content[:3] + bytes([flags]) + content[4:]
        part = zlib.decompressobj(31)
        data += part.decompress(content)
        assert part.eof
        content = part.unused_data
    return data


def plain_reading(kind, files):
    """The arrays that the files hold, or None where the plain readers find no sound data."""
    try:
        if kind.startswith(("images", "idx")):
            return read_images(kind, files)
        content = files[kind]
        if kind == "table.npy":
            return read_npy_table(content)
        return read_text(content, kind == "table.csv")
    except Exception:  # noqa: BLE001  whatever stops a plain reader, it has seen no data
        return None
