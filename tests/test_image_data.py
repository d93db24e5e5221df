"""Files of images: what is read from them, and what is refused."""

import gzip
import io
import os
import struct
import sys
import tracemalloc
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks.fuzz_loaders import outcome
from images.data import load_images
from training.errors import InputError

SAMPLE = Path(__file__).parents[1] / "data" / "mnist_sample.npz"
FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


def some_images(seed=0):
    """Four train and three test images of 5 x 2, and labels, as Keras stores them."""
    rng = np.random.default_rng(seed)
    return {
        "x_train": rng.integers(0, 256, (4, 5, 2), dtype=np.uint8),
        "y_train": np.array([7, 0, 255, 9], np.uint8),
        "x_test": rng.integers(0, 256, (3, 5, 2), dtype=np.uint8),
        "y_test": np.array([1, 2, 3], np.uint8),
    }


def npz_file(folder, arrays):
    np.savez_compressed(folder / "x.npz", **arrays)
    return folder / "x.npz"


def idx_bytes(array):
    return struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()


def idx_folder(folder, arrays, ending="", rename=str):
    pack = gzip.compress if ending else bytes
    for name, file in FILES.items():
        (folder / (rename(file) + ending)).write_bytes(pack(idx_bytes(arrays[name])))
    return folder


def check_equal(images, arrays):
    for name, array in arrays.items():
        loaded = getattr(images, name)
        assert loaded.dtype == np.uint8
        assert loaded.flags.writeable
        np.testing.assert_array_equal(loaded, array.reshape(len(array), -1).squeeze())
    assert images.image_shape == (5, 2)


def refusal(path):
    """What the InputError says after the name of the file or folder."""
    with pytest.raises(InputError) as caught:
        load_images(path)
    message = str(caught.value)
    assert message.isprintable()
    assert message.startswith(str(path))
    return message.removeprefix(str(path))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("label_dtype", ["u1", "i8", ">i4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_npz_file_gives_its_images_as_rows(tmp_path, save, label_dtype, order):
    arrays = some_images()
    save(
        tmp_path / "x.npz",
        x_train=np.asarray(arrays["x_train"], order=order),
        y_train=arrays["y_train"].astype(label_dtype),
        x_test=np.asarray(arrays["x_test"], order=order),
        y_test=arrays["y_test"].astype(label_dtype),
        unused=np.zeros(3),
    )
    check_equal(load_images(tmp_path / "x.npz"), arrays)


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("rename", [str, lambda name: name.replace("-idx", ".idx")])
def test_a_folder_of_idx_files_gives_its_images_as_rows(tmp_path, ending, rename):
    check_equal(load_images(idx_folder(tmp_path, some_images(), ending, rename)), some_images())


def test_a_plain_idx_file_is_taken_before_a_gz_file(tmp_path):
    idx_folder(tmp_path, some_images(seed=1), ".gz")
    check_equal(load_images(idx_folder(tmp_path, some_images())), some_images())


def test_the_sample_of_mnist_holds_as_many_of_each_digit():
    images = load_images(SAMPLE)
    assert images.x_train.shape == (1500, 784) and images.x_test.shape == (500, 784)
    assert images.image_shape == (28, 28)
    np.testing.assert_array_equal(np.bincount(images.y_train), np.full(10, 150))
    np.testing.assert_array_equal(np.bincount(images.y_test), np.full(10, 50))
    assert 0.12 < images.x_train.mean() / 255 < 0.14  # all of MNIST: 0.1307
    assert SAMPLE.stat().st_size < 500_000


def keras_whose_load_data(load_data):
    mnist = types.SimpleNamespace(load_data=load_data)
    return types.SimpleNamespace(datasets=types.SimpleNamespace(mnist=mnist))


def test_without_a_path_the_images_are_those_of_keras(monkeypatch):
    a = some_images()
    pairs = (a["x_train"], a["y_train"]), (a["x_test"], a["y_test"])
    monkeypatch.setitem(sys.modules, "keras", keras_whose_load_data(lambda: pairs))
    check_equal(load_images(), a)


def test_without_a_path_and_a_network_the_user_is_told_what_to_get(monkeypatch):
    def load_data():
        raise Exception("URL fetch failure on\nmnist.npz")  # noqa: TRY002  as Keras does

    monkeypatch.setitem(sys.modules, "keras", keras_whose_load_data(load_data))
    monkeypatch.setenv("KERAS_HOME", os.path.join("home", "keras"))
    with pytest.raises(InputError) as caught:
        load_images()
    message = str(caught.value)
    assert message.isprintable()
    assert "tf-keras-datasets/mnist.npz" in message
    assert os.path.join("home", "keras", "datasets") in message
    assert "--data_path data/mnist_sample.npz" in message


@pytest.mark.parametrize(
    ("name", "array", "said"),
    [
        (
            "x_train",
            np.zeros((4, 10), np.uint8),
            "x_train: holds uint8 of shape (4, 10); it must be",
        ),
        ("x_test", np.zeros((3, 5, 2, 1), np.uint8), "x_test: holds uint8 of shape (3, 5, 2, 1)"),
        ("x_train", np.zeros((4, 5, 2)), "x_train: holds float64 of shape (4, 5, 2); it must be"),
        ("x_train", np.zeros((4, 5, 2), np.int8), "x_train: holds int8 of shape"),
        ("x_train", np.zeros((0, 5, 2), np.uint8), "x_train: has shape (0, 5, 2); it must hold"),
        ("x_test", np.zeros((3, 0, 2), np.uint8), "x_test: has shape (3, 0, 2); it must hold"),
        ("x_test", np.zeros((3, 2, 5), np.uint8), "test images (2, 5); they must be equal"),
        ("y_train", np.zeros(3, np.uint8), ": 4 images but 3 labels in the train part"),
        ("y_test", np.zeros(4, np.uint8), ": 3 images but 4 labels in the test part"),
        ("y_test", np.zeros((3, 10), np.uint8), "y_test: holds uint8 of shape (3, 10); it must be"),
        ("y_test", np.zeros(3), "y_test: holds float64 of shape (3,); it must be (labels,)"),
        ("y_test", np.zeros(3, bool), "y_test: holds bool of shape"),
        ("y_test", np.array([0, 256, 1]), "the test labels run from 0 to 256; they must lie in"),
        ("y_train", np.array([0, 1, 2, -1]), "the train labels run from -1 to 2; they must lie in"),
        ("y_train", np.array([1, None, 2, 3]), "y_train: holds pickled Python objects"),
    ],
)
def test_an_npz_file_with_a_wrong_array_is_refused(tmp_path, name, array, said):
    assert said in refusal(npz_file(tmp_path, some_images() | {name: array}))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_npz_file_without_an_array_or_with_it_twice_is_refused(tmp_path):
    arrays = some_images()
    y_test = arrays.pop("y_test")
    path = npz_file(tmp_path, arrays)
    assert "holds 0 arrays named y_test" in refusal(path)
    file = io.BytesIO()
    np.save(file, y_test)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("y_test.npy", file.getvalue())
        archive.writestr("y_test.npy", file.getvalue())
    assert "holds 2 arrays named y_test" in refusal(path)


def member_with(folder, header, n_bytes, method=zipfile.ZIP_DEFLATED):
    """An archive whose x_train has this header and then zeros."""
    path = npz_file(folder, {k: v for k, v in some_images().items() if k != "x_train"})
    content = b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode() + bytes(n_bytes)
    with zipfile.ZipFile(path, "a", method) as archive:
        archive.writestr("x_train.npy", content)
    return path


def test_images_with_bytes_too_few_or_too_many_in_the_archive_are_refused(tmp_path):
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (4, 5, 2)}\n"
    for n_bytes in (39, 41):
        said = f"x_train: holds {n_bytes} bytes of data, its header says 40; the file is damaged"
        assert said in refusal(member_with(tmp_path, header, n_bytes))


def test_an_archive_with_a_compression_that_numpy_does_not_use_is_refused(tmp_path):
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (4, 5, 2)}\n"
    path = member_with(tmp_path, header, 40, zipfile.ZIP_BZIP2)
    assert "x_train: is compressed in a way that numpy.savez does not use" in refusal(path)


def peak_memory_of_refusal(path):
    tracemalloc.start()
    said = refusal(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return said, peak


def test_arrays_larger_than_their_file_are_refused_at_little_memory(tmp_path):
    n_bytes = 2**25
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({n_bytes}, 64, 64)}}\n"
    said, peak = peak_memory_of_refusal(member_with(tmp_path, header, n_bytes))
    assert f"x_train: says its shape is ({n_bytes}, 64, 64), more than a file of" in said
    assert peak < 2**22
    for ending, size in (("", 6), (".gz", 4)):  # 1.1 GiB and 0.5 GiB
        folder = tmp_path / f"idx{ending}"
        folder.mkdir()
        idx_folder(folder, some_images(), ending)
        content = struct.pack(">4I", 0x803, n_bytes, size, size)
        pack = gzip.compress if ending else bytes
        path = folder / (FILES["x_train"] + ending)
        path.write_bytes(pack(content))
        if not ending:
            os.truncate(path, 16 + n_bytes * size**2)  # longer, without taking room on the disk
        said, peak = peak_memory_of_refusal(folder)
        assert f"says its shape is [{n_bytes}, {size}, {size}], more than a file of" in said
        assert peak < 2**22


def test_a_gz_file_that_unpacks_to_far_more_than_its_header_says_is_refused(tmp_path):
    idx_folder(tmp_path, some_images(), ".gz")
    path = tmp_path / (FILES["x_test"] + ".gz")
    path.write_bytes(gzip.compress(idx_bytes(some_images()["x_test"]) + bytes(2**26)))
    said, peak = peak_memory_of_refusal(tmp_path)
    assert "holds more than the 30 bytes of data that its header says" in said
    assert peak < 2**22


def test_idx_files_that_are_swapped_missing_or_of_another_type_are_refused(tmp_path):
    idx_folder(tmp_path, some_images())
    images, labels = tmp_path / FILES["x_train"], tmp_path / FILES["y_train"]
    content = images.read_bytes()
    images.write_bytes(labels.read_bytes())
    assert "train-images-idx3-ubyte: holds labels; idx images belong there" in refusal(tmp_path)
    images.write_bytes(content)
    labels.write_bytes(content)
    assert "train-labels-idx1-ubyte: holds images; idx labels belong there" in refusal(tmp_path)
    labels.write_bytes(b"\0\0\x0d\1" + bytes(8))
    assert "holds no uint8 idx data (its first bytes are 00 00 0d 01)" in refusal(tmp_path)
    labels.write_bytes(b"")
    assert "holds no uint8 idx data (its first bytes are missing)" in refusal(tmp_path)
    labels.unlink()
    assert "has no file train-labels-idx1-ubyte or train-labels-idx1-ubyte.gz" in refusal(tmp_path)
    labels.mkdir()
    assert "train-labels-idx1-ubyte: is a folder" in refusal(tmp_path)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_every_shortened_or_lengthened_idx_file_is_refused(tmp_path, ending):
    idx_folder(tmp_path, some_images(), ending)
    pack = gzip.compress if ending else bytes
    for name in ("x_train", "y_test"):
        path = tmp_path / (FILES[name] + ending)
        content, whole = idx_bytes(some_images()[name]), path.read_bytes()
        for length in range(len(content)):
            path.write_bytes(pack(content[:length]))
            refusal(tmp_path)
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            refusal(tmp_path)
        path.write_bytes(pack(content + b"\0"))
        refusal(tmp_path)
        path.write_bytes(whole)
    check_equal(load_images(tmp_path), some_images())


@pytest.mark.parametrize("mask", [0x01, 0xFF])
def test_a_damaged_byte_anywhere_in_an_archive_ends_in_the_data_or_in_one_line(tmp_path, mask):
    whole = npz_file(tmp_path, some_images()).read_bytes()
    outcomes = set()
    for at in range(len(whole)):
        damaged = whole[:at] + bytes([whole[at] ^ mask]) + whole[at + 1 :]
        outcomes.add(outcome(("images.npz", {"images.npz": damaged}, False)))
    assert "InputError" in outcomes


def test_paths_that_lead_to_no_images_are_refused(tmp_path):
    assert ": there is no such file or folder" in refusal(tmp_path / "none")
    assert ": there is no such file" in refusal(tmp_path / "none.npz")
    (tmp_path / "x.dat").write_text("1 2")
    assert ": is neither an .npz file nor a folder of idx files" in refusal(tmp_path / "x.dat")
    (tmp_path / "x.npz").write_bytes(b"1 2")
    assert ": cannot be read as an .npz file (File is not a zip file)" in refusal(
        tmp_path / "x.npz"
    )
