import io
import os
import struct
import tracemalloc

import numpy as np
import pytest

from benchmarks.fuzz_loaders import KINDS, run
from training.errors import InputError
from training.table_files import load_table


def text_file(folder, content, name="x.dat"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def npy_file(folder, array, name="x.npy"):
    np.save(folder / name, array, allow_pickle=True)
    return folder / name


def npy_bytes(header, data=b"", version=1):
    header = header.encode() + b"\n"
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + data


def refusal(path, data_dim=None):
    """What the InputError says after the file's name."""
    with pytest.raises(InputError) as caught:
        load_table(path, data_dim)
    message = str(caught.value)
    assert message.isprintable()
    assert message.startswith(str(path)) or not str(path).isprintable()
    return message.removeprefix(str(path))


@pytest.mark.parametrize("form", ["%.9g", "%.18e"])
@pytest.mark.parametrize("ending", [".dat", ".txt", ".csv"])
def test_float32_values_written_as_text_come_back_exact_to_the_bit(tmp_path, ending, form):
    bits = np.random.default_rng(0).integers(0, 2**32, 3000, dtype=np.uint32)
    bits[:4] = 0x00000001, 0x80000000, 0x7F7FFFFF, 0x00800000  # smallest, -0, largest, normal
    values = bits.view(np.float32)
    values = values[np.isfinite(values)]
    values = values[: len(values) // 3 * 3].reshape(-1, 3)
    path = tmp_path / f"x{ending}"
    np.savetxt(path, values, fmt=form, delimiter="," if ending == ".csv" else " ")
    loaded = load_table(path, 3)
    assert loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded.view(np.uint32), values.view(np.uint32))


def test_float64_values_written_as_text_become_the_nearest_float32(tmp_path):
    values = np.random.default_rng(0).standard_normal((50, 2))
    np.savetxt(tmp_path / "x.dat", values)
    np.testing.assert_array_equal(load_table(tmp_path / "x.dat"), values.astype(np.float32))


def test_numbers_are_read_as_python_reads_them(tmp_path):
    tokens = ["-0", ".5", "5.", "+1E+2", "1e-50", "16777217", "0" * 400 + "7", "3.4028235e38"]
    loaded = load_table(text_file(tmp_path, "\n".join(tokens)))
    np.testing.assert_array_equal(loaded[:, 0], [np.float32(float(token)) for token in tokens])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.dat", "1 2 3\n4 5 6"),
        ("x.TXT", "  1\t2  3 \n\n \t\n4 5\t\t6\n\n"),
        ("x.dat", b"\xef\xbb\xbf1 2 3\r\n4 5 6\r\n"),
        ("x.dat", "# größe 1 2\n1 2 3\n  # 7 8\n4 5 6\n#"),
        ("x.csv", "1,2,3\n4,5,6\n"),
        ("x.csv", "a,b_2,Größe (m)\n1, 2 ,3\n\t4,5\t,6"),
        ("x.csv", b'\xef\xbb\xbf# made by hand\r\n"a","b,c",d\r\n1,2,3\r\n4,5,6\r\n'),
    ],
)
def test_text_of_every_accepted_form_gives_the_same_table(tmp_path, name, content):
    np.testing.assert_array_equal(
        load_table(text_file(tmp_path, content, name)), [[1, 2, 3], [4, 5, 6]]
    )


@pytest.mark.parametrize(
    ("content", "shape"), [("1 2 3", (1, 3)), ("1\n2\n", (2, 1)), ("7", (1, 1))]
)
def test_a_single_row_or_column_is_a_table_too(tmp_path, content, shape):
    assert load_table(text_file(tmp_path, content)).shape == shape


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.dat", "", "holds no row of numbers"),
        ("x.dat", "\n# 1 2\n  \r\n", "holds no row of numbers"),
        ("x.csv", "a,b\n\n", "holds no row of numbers"),
        ("x.dat", "1 2\n\n3 four\n", ", line 3, column 2: 'four' is not a number"),
        ("x.dat", "x1 x2\n1 2\n", ", line 1, column 1: 'x1' is not a number"),
        ("x.csv", "a,b\nc,d\n1,2\n", ", line 2, column 1: 'c' is not a number"),
        ("x.csv", "a,2\n1,2\n", ", line 1, column 1: 'a' is not a number"),
        ("x.csv", "1,2,\n", ", line 1, column 3: is empty"),
        ("x.csv", ",0,1\n0,1,2\n", ", line 1, column 1: is empty"),
        ("x.csv", "a,b,c\n1,2\n", ", line 2: 2 numbers under 3 column names"),
        ("x.csv", 'a,"b\n1,2\n', ", line 1: is neither numbers nor column names"),
        ("x.dat", "1 2\nnan 4\n-inf 1e39\n", "has 3 values that are NaN, infinite or too large"),
        ("x.dat", "1 2\n3 4\n5 1e400\n", "first at line 3, column 2"),
        ("x.dat", "3.4028235e38\n3.4028235677973366e38", "first at line 2, column 1"),
        ("x.csv", "nan,nan\n", "first at line 1, column 1"),
        ("x.dat", "1 2\n3 4 5\n", ", line 2: has 3 columns, line 1 has 2"),
        ("x.csv", "1,2\n3\n", ", line 2: has 1 columns, line 1 has 2"),
        ("x.dat", "1,5 2,5\n", "'1,5' is not a number; write decimals as 1.5"),
        ("x.csv", "1,5;2,5\n", "column 2: '5;2' is not a number; columns are parted by commas"),
        ("x.csv", "a;b\n1,5;2,5\n", "line 2, column 2: '5;2' is not a number; columns are parted"),
        ("x.csv", "1 2\n", "'1 2' is not a number; columns are parted by commas"),
        ("x.dat", "1;2\n", "'1;2' is not a number; columns are parted by blanks"),
        ("x.csv", '"1","2"\n', "is not a number; write numbers without quotes"),
        ("x.dat", "1 2\r3 4\r", "lines must end in \\n or \\r\\n"),
        ("x.dat", "1 2 # 3\n", "column 3: '#' is not a number"),
        ("x.dat", "1_000\n", "'1_000' is not a number"),
        ("x.dat", "0x1p3\n", "'0x1p3' is not a number"),
        ("x.dat", "1d5\n", "'1d5' is not a number"),
        ("x.dat", "١\n", "'١' is not a number"),
        ("x.dat", "1\x0c2\n", "'1\\x0c2' is not a number"),
        ("x.dat", "1\x1c2\n", "'1\\x1c2' is not a number"),
        ("x.dat", "x" * 1000, "'" + "x" * 30 + "...' is not a number"),
        ("x.dat", "1 2\n3 \0 4\n", ", line 2: holds NUL bytes"),
        ("x.dat", "1 2\n".encode("utf-16"), "is UTF-16 or UTF-32 text; save it as UTF-8"),
        ("x.dat", "1 2\n".encode("utf-16-le"), ", line 1: holds NUL bytes"),
        ("x.dat", b"1 2\n3 \xe9\n", ", line 2: byte 0xe9 is not UTF-8 text"),
        ("x.dat", b"# \xe9\n1 2\n", ", line 1: byte 0xe9 is not UTF-8 text"),
        ("x.csv", b"\xe9,b\n1,2\n", ", line 1: byte 0xe9 is not UTF-8 text"),
        ("x.dat", b"1 " * 2**21, ", line 1: is longer than 4 MiB"),
    ],
)
def test_text_that_is_no_table_is_refused_with_its_place(tmp_path, name, content, said):
    assert said in refusal(text_file(tmp_path, content, name))


def test_another_number_of_columns_than_data_dim_is_refused(tmp_path):
    said = ": has 7 columns, --data_dim is 10"
    assert said in refusal(text_file(tmp_path, "1 2 3 4 5 6 7"), data_dim=10)
    assert said in refusal(npy_file(tmp_path, np.zeros((2, 7))), data_dim=10)


def test_what_is_no_readable_file_is_refused(tmp_path):
    assert "there is no such file" in refusal(tmp_path / "x.dat")
    (tmp_path / "folder.npy").mkdir()
    assert "is a folder" in refusal(tmp_path / "folder.npy")
    assert "there is no such file" in refusal(text_file(tmp_path, "1") / "x.dat")
    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    assert "cannot be read" in refusal(tmp_path / "loop.csv")
    os.mkfifo(tmp_path / "pipe.dat")
    assert "is not an ordinary file" in refusal(tmp_path / "pipe.dat")
    assert "cannot be read" in refusal(tmp_path / "nul\0.dat")
    assert "there is no such file" in refusal(tmp_path / "two\nlines.dat")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_read_permission_is_refused(tmp_path):
    path = text_file(tmp_path, "1 2")
    path.chmod(0)
    assert "cannot be read (Permission denied)" in refusal(path)


@pytest.mark.parametrize("name", ["x", "x.npz", "x.dat.gz", "dat", ".csv"])
def test_other_endings_are_refused_with_the_four_that_are_read(tmp_path, name):
    said = refusal(text_file(tmp_path, "1 2", name))
    assert said == ": the file name must end in .dat, .txt, .csv or .npy"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_files_of_floats_are_mapped_and_cannot_be_written(tmp_path, dtype, order):
    values = np.asarray(np.random.default_rng(0).standard_normal((5, 3)), dtype, order=order)
    loaded = load_table(npy_file(tmp_path, values), 3)
    assert isinstance(loaded, np.memmap) and loaded.dtype == dtype
    assert not loaded.flags.writeable
    np.testing.assert_array_equal(loaded, values)


@pytest.mark.parametrize("dtype", ["f2", "i1", "u2", "i4", "u8", ">f4", ">f8", ">i2"])
def test_npy_files_of_other_numbers_become_float32(tmp_path, dtype):
    values = np.arange(15).reshape(5, 3).astype(dtype)
    loaded = load_table(npy_file(tmp_path, values))
    assert loaded.dtype == np.dtype("=f4")
    np.testing.assert_array_equal(loaded, np.arange(15).reshape(5, 3))


def test_npy_files_of_format_2_and_of_odd_alignment_are_read(tmp_path):
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1)}"
    for filling in range(4):
        content = npy_bytes(header + filling * " ", struct.pack("<2f", 1.5, -2), version=2)
        loaded = load_table(text_file(tmp_path, content, f"x{filling}.npy"))
        assert loaded.flags.aligned
        assert loaded.tolist() == [[1.5], [-2]]


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros(3), "has shape (3,); it must be (rows, columns)"),
        (np.zeros((2, 3, 4)), "has shape (2, 3, 4); it must be (rows, columns)"),
        (np.zeros((0, 3)), "has shape (0, 3); it holds no row of numbers"),
        (np.zeros((3, 0)), "has shape (3, 0); it holds no row of numbers"),
        (np.zeros((2, 3), complex), "holds complex128; save real numbers"),
        (np.zeros((2, 3), bool), "holds bool; save real numbers"),
        (np.zeros((2, 3), "U5"), "holds <U5; save real numbers"),
        (np.zeros((2, 3), "M8[s]"), "holds datetime64[s]; save real numbers"),
        (np.zeros((2, 3), [("a\nb", "f4")]), "save real numbers"),
        (np.array([[1, None]]), "holds pickled Python objects"),
        (np.array([[1, 2], [np.nan, -np.inf]]), "has 2 values that are NaN, infinite or too large"),
        (np.array([[1, 2], [3, 1e39]]), "has a value that is NaN, infinite or too large"),
        (np.array([[1, 2], [3, 1e39]]), "first at row 2, column 2"),
        (np.array([[1, np.inf], [3, np.nan], [5, 6]], order="F"), "first at row 1, column 2"),
    ],
)
def test_npy_files_of_anything_else_are_refused(tmp_path, array, said):
    assert said in refusal(npy_file(tmp_path, array))


def test_a_long_double_npy_file_is_refused(tmp_path):
    if np.dtype(np.longdouble).itemsize == 8:
        pytest.skip("long double is float64 here")
    assert "save real numbers" in refusal(npy_file(tmp_path, np.zeros((2, 3), np.longdouble)))


def test_every_shortened_or_lengthened_npy_file_is_refused(tmp_path):
    whole = npy_file(tmp_path, np.ones((2, 3))).read_bytes()
    for length in range(len(whole)):
        assert "damaged" in refusal(text_file(tmp_path, whole[:length], "short.npy"))
    assert "holds 49 bytes of data, its header says 48" in refusal(
        text_file(tmp_path, whole + b"\0", "long.npy")
    )


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ("(1000000000, 1000)", "its header says 4000000000000"),
        ("(9223372036854775808, 2)", "header is damaged"),
        ("(-1, 2)", "header is damaged"),
        ("(2.0, 2)", "header is damaged"),
        ("(" + "1" + "0" * 4200 + ",)", "header is damaged"),
        ("(" + "(" * 3000, "header is damaged"),
    ],
)
def test_an_npy_header_that_asks_for_too_much_is_refused_at_little_memory(tmp_path, shape, said):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}"
    path = text_file(tmp_path, npy_bytes(header, bytes(16)), "x.npy")
    tracemalloc.start()
    assert said in refusal(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24


def test_the_memory_to_search_a_mapped_file_does_not_grow_with_it(tmp_path):
    path = tmp_path / "x.npy"
    shape = (2**22, 3)
    np.lib.format.open_memmap(path, "w+", np.float64, shape)[-1, 1] = np.nan
    tracemalloc.start()
    assert (
        f"has a value that is NaN, infinite or too large for float32, first at row {2**22}, "
        in (refusal(path))
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24 < path.stat().st_size / 5


def test_a_file_that_is_not_npy_is_refused(tmp_path):
    file = io.BytesIO()
    np.savez(file, x=np.zeros((2, 3)))
    odd = "{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 1)}"  # NumPy takes it, and warns
    contents = [b"", b"1 2 3\n", file.getvalue(), npy_bytes("{"), npy_bytes(odd, bytes(8))]
    for content in contents:
        assert "is not an .npy file" in refusal(text_file(tmp_path, content, "x.npy"))


def test_500_fuzzed_files_end_in_their_data_or_in_one_line():
    counts = run(500, seed=0)
    assert counts.total() >= 500
    for kind in KINDS:
        assert counts[kind, "InputError"] > 0 and counts[kind, "data of a sound file"] > 0
