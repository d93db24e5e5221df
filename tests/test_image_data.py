"""Files of images: what is read from them, and what is refused."""

import gzip
import os
import struct
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from images.data import IDX_FILES, load_images
from training.errors import InputError

SAMPLE = Path(__file__).parents[1] / "data" / "mnist_sample.npz"


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
    for name, file in IDX_FILES.items():
        (folder / (rename(file) + ending)).write_bytes(pack(idx_bytes(arrays[name])))
    return folder


def check_equal(images, arrays):
    for name, array in arrays.items():
        loaded = getattr(images, name)
        assert loaded.dtype == np.uint8
        np.testing.assert_array_equal(loaded, array.reshape(len(array), -1).squeeze())
    assert images.image_shape == (5, 2)


def refusal(path):
    """What the InputError says after the name of the file or folder."""
    with pytest.raises(InputError) as caught:
        load_images(path)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.startswith(str(path))
    return message.removeprefix(str(path))


@pytest.mark.parametrize("label_dtype", ["u1", "i8", ">i4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_npz_file_gives_its_images_as_rows(tmp_path, label_dtype, order):
    stored = {"unused": np.zeros(3)}
    for name, array in some_images().items():
        stored[name] = array.astype(label_dtype) if name[0] == "y" else array.copy(order)
    np.savez(tmp_path / "x.npz", **stored)
    check_equal(load_images(tmp_path / "x.npz"), some_images())


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
        ("x_train", np.zeros((4, 10), np.uint8), "x_train holds uint8 of shape (4, 10); it must"),
        ("x_train", np.zeros((4, 5, 2)), "x_train holds float64 of shape (4, 5, 2); it must hold"),
        ("x_train", np.zeros((0, 5, 2), np.uint8), "x_train holds uint8 of shape (0, 5, 2)"),
        ("x_test", np.zeros((3, 2, 5), np.uint8), "of one size for training and test"),
        ("y_train", np.zeros(3, np.uint8), "y_train holds uint8 of shape (3,); it must hold 4"),
        ("y_test", np.zeros((3, 10), np.uint8), "y_test holds uint8 of shape (3, 10)"),
        ("y_test", np.zeros(3), "y_test holds float64 of shape (3,)"),
        ("y_test", np.array([0, 256, 1]), "integers in 0..255"),
        ("y_train", np.array([1, None, 2, 3]), "Object arrays cannot be loaded"),
    ],
)
def test_an_npz_file_with_a_wrong_array_is_refused(tmp_path, name, array, said):
    assert said in refusal(npz_file(tmp_path, some_images() | {name: array}))


def test_an_npz_file_without_an_array_is_refused(tmp_path):
    arrays = some_images()
    del arrays["y_test"]
    assert "y_test is not a file in the archive" in refusal(npz_file(tmp_path, arrays))


def test_idx_files_that_are_swapped_missing_or_of_another_type_are_refused(tmp_path):
    idx_folder(tmp_path, some_images())
    images, labels = tmp_path / IDX_FILES["x_train"], tmp_path / IDX_FILES["y_train"]
    content = images.read_bytes()
    images.write_bytes(labels.read_bytes())
    assert "x_train holds uint8 of shape (4,)" in refusal(tmp_path)
    images.write_bytes(content)
    labels.write_bytes(content)
    assert "y_train holds uint8 of shape (4, 5, 2)" in refusal(tmp_path)
    for content in (b"\0\0\x0d\1" + bytes(8), b""):
        labels.write_bytes(content)
        assert "train-labels-idx1-ubyte: not an idx file of images or labels" in refusal(tmp_path)
    labels.unlink()
    assert "no train-labels-idx1-ubyte or train-labels-idx1-ubyte.gz" in refusal(tmp_path)
    labels.mkdir()
    assert "train-labels-idx1-ubyte" in refusal(tmp_path)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_every_shortened_or_lengthened_idx_file_is_refused(tmp_path, ending):
    idx_folder(tmp_path, some_images(), ending)
    pack = gzip.compress if ending else bytes
    for name in ("x_train", "y_test"):
        path = tmp_path / (IDX_FILES[name] + ending)
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


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.sampled_from(["x.npz", *IDX_FILES.values()]), st.booleans(), st.data())
def test_any_damage_of_a_file_ends_in_images_or_in_one_line(tmp_path_factory, name, packed, data):
    folder, ending = tmp_path_factory.mktemp("images"), ".gz" if packed else ""
    if name == "x.npz":
        damaged = source = npz_file(folder, some_images())
    else:
        source = idx_folder(folder, some_images(), ending)
        damaged = folder / (name + ending)
    content = bytearray(damaged.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    damaged.write_bytes(content)
    try:
        images = load_images(source)
    except InputError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert all(array.dtype == np.uint8 for array in images[:4])
        for x, y in (images[:2], images[2:4]):
            assert x.shape == (len(y), np.prod(images.image_shape))


def test_paths_that_lead_to_no_images_are_refused(tmp_path):
    assert "give an .npz file or a folder of idx files" in refusal(tmp_path / "none")
    assert "No such file" in refusal(tmp_path / "none.npz")
    (tmp_path / "x.dat").write_text("1 2")
    assert "give an .npz file or a folder of idx files" in refusal(tmp_path / "x.dat")
    (tmp_path / "x.npz").write_bytes(b"1 2")
    assert refusal(tmp_path / "x.npz")
    with (tmp_path / "x.npz").open("wb") as file:
        np.save(file, np.zeros((4, 5, 2), np.uint8))
    assert refusal(tmp_path / "x.npz")
