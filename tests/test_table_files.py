"""Files of numbers: what is read from them exactly, and what is refused with one line."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training import tables
from training.errors import InputError
from training.tables import column_names, load_table

FUZZ = settings(deadline=None, max_examples=60, derandomize=True)


def text_file(folder, content, name="x.dat"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def npy_file(folder, array, name="x.npy"):
    np.save(folder / name, array, allow_pickle=True)
    return folder / name


def refusal(path, data_dim=None):
    """What the InputError says after the file's name."""
    with pytest.raises(InputError) as caught:
        load_table(path, data_dim)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.startswith(str(path))
    return message.removeprefix(str(path))


@pytest.mark.parametrize(
    ("ending", "form"), [(".dat", "%.9g"), (".txt", "%.18e"), (".csv", "%.9g")]
)
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
    np.testing.assert_array_equal(load_table(tmp_path / "x.dat", dtype=np.float64), values)


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
        ("x.dat", "# größe 1 2\n1 2 3 # one\n  # 7 8\n4 5 6\n#"),
        ("x.csv", "1,2,3\n4,5,6\n"),
        ("x.csv", "a,b_2,Größe (m)\n1, 2 ,3\n\t4,5\t,6"),
        ("x.csv", b'\xef\xbb\xbf"a","b,c",d\r\n1,2,3\r\n\r\n4,5,6\r\n'),
        ("x.csv", "# made by hand\n1,2,3\n4,5,6\n"),
    ],
)
def test_text_of_every_accepted_form_gives_the_same_table(tmp_path, name, content):
    path = text_file(tmp_path, content, name)
    np.testing.assert_array_equal(load_table(path), [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(load_table(path, 3, data_size=1), [[1, 2, 3]])


def test_the_column_names_of_a_csv_file_are_known(tmp_path):
    path = text_file(tmp_path, '\ufeffa, b_2 ,"Größe, m"\n1,2,3\n', "x.csv")
    assert column_names(path) == ["a", "b_2", "Größe, m"]
    for content in ("1,b\n1,2\n", "nan,inf\n", "", "\na,b\n1,2\n", "# a,b\n1,2\n"):
        assert column_names(text_file(tmp_path, content, "x.csv")) is None
    assert column_names(text_file(tmp_path, "a b\n1 2\n")) is None
    assert column_names(npy_file(tmp_path, np.ones((2, 3)))) is None


@pytest.mark.parametrize(
    ("content", "shape"), [("1 2 3", (1, 3)), ("1\n2\n", (2, 1)), ("7", (1, 1))]
)
def test_a_single_row_or_column_is_a_table_too(tmp_path, content, shape):
    assert load_table(text_file(tmp_path, content)).shape == shape


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.dat", "", "holds no rows of numbers"),
        ("x.dat", "\n# 1 2\n  \r\n", "holds no rows of numbers"),
        ("x.csv", "a,b\n\n", "holds no rows of numbers"),
        ("x.dat", "1 2\n\n3 four\n", ", line 3: could not convert string 'four'"),
        ("x.dat", "x1 x2\n1 2\n", ", line 1: could not convert string 'x1'"),
        ("x.csv", "a,b\nc,d\n1,2\n", ", line 2: could not convert string 'c'"),
        ("x.csv", "1,2,\n", ", line 1: could not convert string ''"),
        ("x.csv", "a,b,c\n1,2\n", "has 3 column names, but 2 columns"),
        ("x.csv", 'a,"b\n1;2\n', ", line 2: could not convert string '1;2'"),
        ("x.dat", "1 2\nnan 4\n-inf 1e39\n", "float32: 3, the first in row 2, column 1"),
        ("x.dat", "3.4028235e38\n3.4028235677973366e38", "the first in row 2, column 1"),
        ("x.dat", "1 2\n\n3 4 5\n", ", line 3: the number of columns changed from 2 to 3"),
        ("x.dat", "1,5 2,5\n", "could not convert string '1,5'"),
        ("x.csv", "1,5;2,5\n", "could not convert string '5;2'"),
        ("x.csv", '"1","2"\n', "could not convert string"),
        ("x.dat", "1_000\n", "could not convert string '1_000'"),
        ("x.dat", "1 \0 2\n", ", line 1: could not convert string"),
        ("x.dat", "1 2\n".encode("utf-16"), "'utf-8' codec can't decode byte 0xff"),
        ("x.dat", b"1 2\n3 \xe9\n", "'utf-8' codec can't decode byte 0xe9"),
        ("x.csv", b"\xe9,b\n1,2\n", "'utf-8' codec can't decode byte 0xe9"),
    ],
)
def test_text_that_is_no_table_is_refused_with_its_place(tmp_path, name, content, said):
    assert said in refusal(text_file(tmp_path, content, name))


def test_another_number_of_columns_than_data_dim_is_refused(tmp_path):
    said = ": has 7 columns, but --data_dim is 10"
    assert said in refusal(text_file(tmp_path, "1 2 3 4 5 6 7"), data_dim=10)
    assert said in refusal(npy_file(tmp_path, np.zeros((2, 7))), data_dim=10)


@pytest.mark.parametrize("ending", [".dat", ".csv", ".npy"])
def test_what_is_no_readable_file_is_refused(tmp_path, ending):
    assert "No such file" in refusal(tmp_path / f"x{ending}")
    (tmp_path / f"folder{ending}").mkdir()
    assert refusal(tmp_path / f"folder{ending}")  # the system's reason
    assert "null byte" in refusal(tmp_path / f"nul\0{ending}")


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() == 0, reason="POSIX permissions, which root does not need"
)
def test_a_file_without_read_permission_is_refused(tmp_path):
    path = text_file(tmp_path, "1 2")
    path.chmod(0)
    assert "Permission denied" in refusal(path)


@pytest.mark.parametrize("name", ["x", "x.npz", "x.dat.gz", "dat", ".csv"])
def test_other_endings_are_refused_with_the_four_that_are_read(tmp_path, name):
    said = refusal(text_file(tmp_path, "1 2", name))
    assert said == ": the name of a table must end in .dat, .txt, .csv or .npy"


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "u2", "i4", "u8", ">f4", ">f8", ">i2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_files_of_real_numbers_become_float32_in_memory(tmp_path, dtype, order):
    values = np.asarray(np.arange(15).reshape(5, 3), dtype, order=order)
    loaded = load_table(npy_file(tmp_path, values), 3)
    assert (type(loaded), loaded.dtype) == (np.ndarray, np.dtype("=f4"))
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


NOT_FINITE = [
    (np.array([[1, 2], [np.nan, -np.inf]]), "float32: 2, the first in row 2, column 1"),
    (np.array([[1, np.inf], [3, np.nan], [5, 6]], order="F"), "first in row 1, column 2"),
]
NO_TABLES = [
    (np.float32(3), "holds float32 of shape ()"),
    (np.zeros(3), "holds float64 of shape (3,); it must hold (rows, columns) of real numbers"),
    (np.zeros((0, 3)), "holds no rows of numbers"),
    (np.zeros((2, 3), complex), "holds complex128 of shape (2, 3)"),
    (np.zeros((2, 3), "U5"), "holds <U5"),
    (np.zeros((2, 3), [("a\nb", "f4")]), "it must hold (rows, columns) of real numbers"),
    (np.array([[1, None]]), "Python objects in dtype"),
]


@pytest.mark.parametrize(("array", "said"), NOT_FINITE + NO_TABLES)
def test_npy_files_of_anything_else_are_refused(tmp_path, array, said):
    assert said in refusal(npy_file(tmp_path, array))


@pytest.mark.parametrize(("array", "said"), NO_TABLES)
def test_a_large_file_that_is_no_table_is_refused_as_a_small_one_is(
    tmp_path, monkeypatch, array, said
):
    monkeypatch.setattr(tables, "LARGE_BYTES", 0)
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


def test_a_header_of_python_2_is_read_without_a_warning(tmp_path, recwarn):
    whole = npy_file(tmp_path, np.ones((2, 3))).read_bytes()
    path = text_file(tmp_path, whole.replace(b"(2, 3)", b"(2L,3)"), "old.npy")
    np.testing.assert_array_equal(load_table(path), np.ones((2, 3)))
    assert "no row" in refusal(text_file(tmp_path, ""))
    assert not recwarn.list


def test_a_file_of_another_kind_named_npy_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.zeros((2, 3)))
    for content in (b"1 2 3\n4 5 6\n", (tmp_path / "x.npz").read_bytes()):
        assert "magic string is not correct" in refusal(text_file(tmp_path, content, "x.npy"))


TOKENS = ["1", "-2.5", "3e2", "nan", "1e39", "x", "", ",", ";", "#", '"', "é", "\0", "\x0c", "1_0"]


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
            [float(token) for token in (line.split(",") if is_csv else line.split())]
            for line in lines
        ]
        np.testing.assert_array_equal(table, np.float32(expected))


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
        assert table.ndim == 2 and table.dtype == np.float32 and np.isfinite(table).all()
