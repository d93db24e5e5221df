"""Files of numbers: what is read from them exactly, and what is refused with one line."""

import functools
import gzip

import numpy as np
import pytest
from helpers import npy_file, refusal_of, text_file
from hypothesis import given, settings
from hypothesis import strategies as st

from training import tables
from training.errors import InputError
from training.standardization import centered
from training.tables import column_names, load_table

FUZZ = settings(deadline=None, max_examples=60, derandomize=True)
refusal = functools.partial(refusal_of, load_table)


@pytest.mark.parametrize("name", ["x.dat", "x.txt", "x.csv"])
def test_float64_values_written_as_text_come_back_exact_to_the_bit(tmp_path, name):
    bits = np.random.default_rng(0).integers(0, 2**64, 3000, dtype=np.uint64)
    bits[:3] = 0x1, 0x8000000000000000, 0x10000000000000  # smallest, -0, smallest normal
    values = bits.view(np.float64)
    values = values[np.abs(values) < 1e150][:900].reshape(300, 3)
    np.savetxt(tmp_path / name, values, delimiter="," if name == "x.csv" else " ")
    loaded = load_table(tmp_path / name, 3)
    np.testing.assert_array_equal(loaded.view(np.uint64), values.view(np.uint64))


def test_numbers_are_read_as_python_reads_them(tmp_path):
    tokens = ["-0", ".5", "5.", "+1E+2", "1e-50", "16777217", "0" * 400 + "7", "3.4028235e39"]
    loaded = load_table(text_file(tmp_path, "\n".join(tokens)))
    np.testing.assert_array_equal(loaded[:, 0], [float(token) for token in tokens])


@pytest.mark.parametrize(
    ("name", "content", "names"),
    [
        ("x.dat", "1 2 3\n4 5 6", None),
        ("x.TXT", "  1\t2  3 \n\n \t\n4 5\t\t6\n\n", None),
        ("x.txt", "1\t2 \t3\r\n4\t5\t6", None),
        ("x.dat", b"\xef\xbb\xbf1 2 3\r\n4 5 6\r\n", None),
        ("x.dat", "1 2 3\n4 5 6 # two", None),
        ("x.dat", "# größe 1 2\n1 2 3 # one\n  # 7 8\n4 5 6\n#", None),
        ("x.txt", '\na "b" c\n1 2 3\n4 5 6', ["a", "b", "c"]),
        ("x.txt", "a b\tc\td\n1\t2\t3\n4\t5\t6", ["a b", "c", "d"]),
        ("x.csv", "1,2,3\n   \n4,5,6\n \t ", None),
        ("x.csv", "a,b_2,Größe (m)\n1, 2 ,3\n\t4,5\t,6", ["a", "b_2", "Größe (m)"]),
        ("x.csv", b'\xef\xbb\xbf"a","b,c",d\r\n1,2,3\r\n\r\n4,5,6\r\n', ["a", "b,c", "d"]),
        ("x.csv", "# by hand\n\n1st,-a,nr#\n1,2,3\n# half\n4,5,6\n", ["1st", "-a", "nr#"]),
        ("x.csv", 'a,,c\n"1","2","3"\n"4", 5,"6"\n', ["a", "", "c"]),
        ("x.csv", b"a,b,\xe9\n1,2,3\n4,5,6\n", ["a", "b", "\ufffd"]),
    ],
)
@pytest.mark.filterwarnings("error")
def test_text_of_every_accepted_form_gives_the_same_table(tmp_path, name, content, names):
    path = text_file(tmp_path, content, name)
    np.testing.assert_array_equal(load_table(path), [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(load_table(path, 3, data_size=1), [[1, 2, 3]])
    assert column_names(path) == names


@pytest.mark.parametrize(
    ("first", "rest", "are_names"),
    [
        ("0,1,2,3,4", "0.5,7,.1,2,3\n1,3.5,4,2.1,-1e0", True),
        ("2020,2021,2022", "3,4,5.5\n5,9,1", True),  # count up
        ("1990,2000", "0.5,1.5\n1,2", True),  # whole above fractions
        (",0,1", "0,0.5,3\n1,2.5,3", True),  # written by pandas
        ("1990,2000", "5,1.5\n1,2", False),  # like the whole numbers of the first column
        ("1,2,3", "2,3,4\n3,4,5", False),  # every row counts up
        ("0,2,1", "0.5,0.1,0.2\n0.3,0.5,0.6", False),
        ("0.0,1.0,2.0", "0.5,0.1,0.2\n0.3,0.5,0.6", False),
        ("0", "0.5\n1.5", False),
        ("0,1,2", "", False),
    ],
)
def test_a_first_line_of_rising_whole_numbers_above_other_data_is_taken_for_names(
    tmp_path, capsys, first, rest, are_names
):
    path = text_file(tmp_path, f"{first}\n{rest}\n", "x.csv")
    n_rows = len(rest.splitlines()) + (not are_names)
    assert len(load_table(path)) == n_rows
    assert (f"{path}: the numbers in its first line" in capsys.readouterr().out) == are_names
    assert column_names(path) == (first.split(",") if are_names else None)
    if first[0] != ",":
        assert len(load_table(path, may_have_names=False)) == len(rest.splitlines()) + 1


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.dat", "", ": holds no rows of numbers"),
        ("x.csv", " \n\n  ", ": holds no rows of numbers"),
        ("x.csv", "a,b\n\n", ", line 1, column 1: 'a' is not a number"),
        ("x.dat", "1 2\n\n3 four\n", ", line 3, column 2: 'four' is not a number"),
        ("x.csv", "a,b\nc,d\n1,2\n", ", line 2, column 1 (\"a\"): 'c' is not a number; names of r"),
        ("x.csv", "mpg,cyl\n1,21,6\n", ", line 2: has 3 cells, but above there are 2; names of"),
        ("x.csv", "1,2,\n", ", line 1, column 3: an empty cell, or a line that ends with its sep"),
        ("x.csv", "a,b\n1,2\n,4\n", ", line 3, column 1 (\"a\"): '' is a missing value; drop such"),
        ("x.csv", "a,b\n1,2\n3,NA\n", ", line 3, column 2 (\"b\"): 'NA' is a missing value; drop"),
        ("x.dat", "# n\n1 2\n3 nan\n", ", line 3, column 2: 'nan' is a missing value"),
        ("x.txt", "1\t\t3\n4\t5\t\n", ", line 1, column 2: '' is a missing value"),
        ("x.dat", "1 2\n1e150 4\n", ", line 2, column 1: 1e150 is infinite or too large"),
        ("x.dat", "1 2\n\n3 4 5\n", ", line 3: has 3 cells, but above there are 2"),
        ("x.dat", "1,5 2,5\n", "'1,5': a decimal comma, or a table that must be named .csv"),
        ("x.csv", "a;b\n1,5;2,5\n", "'5;2': the cells of a .csv file are separated by commas"),
        ("x.dat", "1_000\n", ", line 1, column 1: '1_000' is not a number"),
        ("x.dat", "1 \0 2\n", ", line 1, column 2: '\\x00' is not a number"),
        ("x.dat", b"1 2\n3 \xe9\n", ", line 2, column 2: '\ufffd' is not a number"),
        ("x.csv", "a,b\n1,2\n".encode("utf-16"), ": is UTF-16: save it as UTF-8"),
        ("x.csv", gzip.compress(b"a,b\n1,2\n", mtime=0), ": is compressed by gzip: unpack it"),
    ],
)
def test_text_that_is_no_table_is_refused_with_its_place_and_what_to_do(
    tmp_path, name, content, said
):
    assert said in refusal(text_file(tmp_path, content, name))


def test_rows_after_data_size_are_not_looked_at(tmp_path):
    path = text_file(tmp_path, "a,b\n1,2\n3,4\n5,\n", "x.csv")
    np.testing.assert_array_equal(load_table(path, data_size=2), [[1, 2], [3, 4]])


def test_another_number_of_columns_than_data_dim_is_refused(tmp_path):
    said = ": has 7 columns; 10 are expected (by --data_dim"
    assert said in refusal(text_file(tmp_path, "1 2 3 4 5 6 7"), data_dim=10)
    assert said in refusal(npy_file(tmp_path, np.zeros((2, 7))), data_dim=10)


@pytest.mark.parametrize("ending", [".dat", ".csv", ".npy"])
def test_what_is_no_readable_file_is_refused(tmp_path, ending):
    assert "No such file" in refusal(tmp_path / f"x{ending}")
    (tmp_path / f"folder{ending}").mkdir()
    assert refusal(tmp_path / f"folder{ending}")  # the system's reason
    assert "null byte" in refusal(tmp_path / f"nul\0{ending}")


@pytest.mark.parametrize(
    ("name", "hint"),
    [("x", ""), ("x.npz", ""), (".csv", ""), ("x.dat.gz", "; unpack"), ("x.tsv", "; where tabs")],
)
def test_other_endings_are_refused_with_the_four_that_are_read(tmp_path, name, hint):
    said = refusal(text_file(tmp_path, "1 2", name))
    assert said.startswith(": the name of a table must end in .dat, .txt, .csv or .npy" + hint)


@pytest.mark.parametrize("dtype", ["f2", "f4", "i8", "u8", ">f4", ">i2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_files_of_real_numbers_are_read_as_they_are(tmp_path, dtype, order):
    values = np.asarray(np.arange(15).reshape(5, 3), dtype, order=order)
    if dtype[-2:] in ("i8", "u8"):
        values += 2**60
    loaded = load_table(npy_file(tmp_path, values), 3)
    assert (type(loaded), loaded.dtype) == (np.ndarray, np.dtype(dtype).newbyteorder("="))
    np.testing.assert_array_equal(loaded, values)
    np.testing.assert_array_equal(load_table(tmp_path / "x.npy", 3, data_size=2), values[:2])


def test_only_many_rows_of_an_npy_file_stay_in_it(tmp_path, monkeypatch):
    values = np.arange(36, dtype=np.int16).reshape(12, 3)
    np.savetxt(tmp_path / "x.dat", values)
    path = npy_file(tmp_path, values)
    monkeypatch.setattr(tables, "LARGE_BYTES", 4 * 10 * 3)
    assert not isinstance(load_table(tmp_path / "x.dat", 3), np.memmap)
    for size, is_large in [(2, False), (10, False), (11, True), (12, True), (40, True)]:
        x = load_table(path, 3, size)
        assert isinstance(x, np.memmap) == is_large
        np.testing.assert_array_equal(x, values[:size])


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_the_first_value_that_is_not_finite_is_named(tmp_path, dtype):
    x = np.ones((3, 2), dtype, order="F")
    x[1, 1], x[2, 0] = np.nan, -np.inf
    said = f", row 2, column 2: NaN, infinite or too large for {x.dtype}; drop such rows"
    assert said in refusal(npy_file(tmp_path, x))


@pytest.mark.parametrize(
    ("dtype", "offset"),
    [("i8", 2**60), ("i8", -(2**63)), ("i8", 2**63 - 1001), ("u8", 2**64 - 1001), ("i2", -5)],
)
def test_differences_from_a_mean_keep_the_digits_of_whole_numbers(dtype, offset):
    whole = [[offset, offset + 1000], [offset + 1, offset + 700], [offset + 999, offset + 5]]
    mean = float(offset + 500)
    expected = [[float(value - int(mean)) for value in row] for row in whole]
    np.testing.assert_array_equal(centered(np.array(whole, dtype), mean), expected)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.float32(3), "holds float32 of shape ()"),
        (np.zeros(3), "holds float64 of shape (3,); it must hold (rows, columns) of real numbers"),
        (np.zeros((0, 3)), "holds no rows of numbers"),
        (np.zeros((2, 3), complex), "holds complex128 of shape (2, 3)"),
        (np.zeros((2, 3), "U5"), "holds <U5"),
        (np.zeros((2, 3), [("a\nb", "f4")]), "it must hold (rows, columns) of real numbers"),
    ],
)
def test_npy_files_of_anything_else_are_refused(tmp_path, array, said):
    assert said in refusal(npy_file(tmp_path, array))


def test_every_shortened_npy_file_is_refused(tmp_path):
    whole = npy_file(tmp_path, np.ones((2, 3))).read_bytes()
    for length in range(len(whole)):
        assert refusal(text_file(tmp_path, whole[:length], "short.npy"))


@pytest.mark.parametrize("shape", ["(10**9,1000)", "(-1, 2)", "(2.0, 2)", "(" * 60, "(9" * 40])
def test_a_damaged_npy_header_is_refused(tmp_path, shape):
    whole = npy_file(tmp_path, np.ones((2, 3))).read_bytes()
    damaged = whole.replace(b"(2, 3)", shape.encode())[: len(whole)]
    assert refusal(text_file(tmp_path, damaged, "x.npy"))


TOKENS = ["", "\t", *'1 -2.5 3e2 nan 1e39 x , ; # " é \0 \x0c 1_0'.split(" ")]


@FUZZ
@given(st.lists(st.lists(st.sampled_from(TOKENS), max_size=4), max_size=5), st.booleans())
def test_any_text_ends_in_numbers_that_python_reads_too_or_in_one_line(
    tmp_path_factory, rows, is_csv
):
    separator, ending = (",", "csv") if is_csv else (" ", "dat")
    content = "\n".join(separator.join(row) for row in rows)
    path = text_file(tmp_path_factory.mktemp("text"), content, f"x.{ending}")
    try:
        table = load_table(path)
    except InputError as error:
        assert len(str(error).splitlines()) == 1
    else:
        lines = [line.partition("#")[0].strip() for line in content.split("\n")]
        lines = [line for line in lines if line][1 if column_names(path) else 0 :]
        expected = [
            [float(token.strip('"')) for token in (line.split(",") if is_csv else line.split())]
            for line in lines
        ]
        np.testing.assert_array_equal(table, expected)


@FUZZ
@given(st.data())
def test_any_damage_of_an_npy_file_ends_in_a_table_or_in_one_line(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("npy")
    content = bytearray(npy_file(folder, np.float32([[1, 2, 3], [4, 5, 6]])).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = text_file(folder, bytes(content), "x.npy")
    try:
        table = load_table(path)
    except InputError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert table.ndim == 2 and np.isfinite(table).all()
