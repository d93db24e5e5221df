"""Files of images: what is read from them, and what is refused."""

import functools
import gzip
import os
import struct

import numpy as np
import pytest
from helpers import SAMPLE, refusal_of
from hypothesis import given, settings
from hypothesis import strategies as st

from images.data import get_images, load_images
from training.errors import InputError

refusal = functools.partial(refusal_of, load_images)
IDX_FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


def some_images():
    """Four train and three test images of 5 x 2, and labels, as Keras stores them."""
    rng = np.random.default_rng(0)
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


def idx_folder(folder, arrays, rename=str, packed=False):
    pack = gzip.compress if packed else bytes
    for name, file in IDX_FILES.items():
        (folder / rename(file)).write_bytes(pack(idx_bytes(arrays[name])))
    return folder


def check_equal(images, arrays):
    for name in ("x_train", "x_test", "y_test"):
        array = arrays[name]
        loaded = getattr(images, name)
        assert loaded.dtype == np.uint8
        np.testing.assert_array_equal(loaded, array.reshape(len(array), -1).squeeze())
    assert images.image_shape == (5, 2)


@pytest.mark.parametrize(
    "store",
    [
        lambda x: x.astype(np.int64),
        lambda x: np.float32(x) / 255,
        lambda x: np.float64(x) / 255 + 1e-9 * (x < 255),
        lambda x: np.float16(x),
        lambda x: x[..., np.newaxis],
        np.asfortranarray,
    ],
    ids=["int64", "float 0..1", "not rounded", "float 0..255", "channel", "columns first"],
)
def test_an_npz_file_gives_its_images_as_rows_from_any_type_and_range(tmp_path, store):
    arrays = some_images()
    arrays["x_test"][0, 0, 0] = 255
    stored = {"unused": np.zeros(3)}
    for name, array in arrays.items():
        stored[name] = array.astype(">i4") if name[0] == "y" else store(array)
    check_equal(load_images(npz_file(tmp_path, stored)), arrays)


@pytest.mark.parametrize("dtype", [np.uint8, bool, np.int64, np.float32])
def test_images_of_zeros_and_ones_are_black_and_white(tmp_path, dtype):
    arrays = some_images()
    for name in ("x_train", "x_test"):
        arrays[name] = (arrays[name] > 99).astype(dtype)
    path = npz_file(tmp_path, arrays)
    white = arrays["x_train"].reshape(4, -1).astype(bool)
    np.testing.assert_array_equal(load_images(path).x_train, 255 * white)
    for binarization in ("static", "none"):
        np.testing.assert_array_equal(get_images(path, binarization, 0).x_train, white)


def test_dark_images_are_pointed_out(tmp_path, capsys):
    load_images(npz_file(tmp_path, {"images": np.full((10, 8, 8), 16.0)}))
    assert "the brightest pixel has the value 16" in capsys.readouterr().err
    load_images(npz_file(tmp_path, {"images": np.full((10, 8, 8), 40.0)}))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("key", ["images", "x", "data", "arr_0", None])
def test_one_array_of_images_is_split_by_the_seed_with_its_labels(tmp_path, key):
    x = np.arange(50 * 6, dtype=np.float32).reshape(50, 2, 3) / 300
    labels = np.arange(50)
    if key is None:
        path = tmp_path / "x.npy"
        np.save(path, x)
    else:
        path = npz_file(tmp_path, {key: x, "labels": labels})
    images = load_images(path, seed=1)
    assert images.image_shape == (2, 3)
    assert len(images.x_train) == 40
    rows = np.rint(255 * x.reshape(50, 6))
    if key is None:
        assert images.y_test is None
    else:
        np.testing.assert_array_equal(images.x_test, rows[images.y_test])
    together = np.concatenate([images.x_train, images.x_test])
    np.testing.assert_array_equal(np.unique(together, axis=0), np.unique(rows, axis=0))
    np.testing.assert_array_equal(images.x_test, load_images(path, seed=1).x_test)
    assert not np.array_equal(images.x_test, load_images(path, seed=2).x_test)


def test_labels_may_be_absent(tmp_path):
    arrays = some_images()
    idx_folder(tmp_path, arrays)
    (tmp_path / IDX_FILES["y_test"]).unlink()
    del arrays["y_test"]
    for path in (npz_file(tmp_path, arrays), tmp_path):
        images = load_images(path)
        assert images.y_test is None
        np.testing.assert_array_equal(images.x_test, arrays["x_test"].reshape(3, 10))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "rename",
    [str, lambda name: name.replace("-idx", ".idx"), lambda name: f"{name}.gz"],
    ids=["plain", "a dot", "gz"],
)
def test_a_folder_of_idx_files_gives_its_images_as_rows(tmp_path, packed, rename):
    check_equal(load_images(idx_folder(tmp_path, some_images(), rename, packed)), some_images())


def test_the_transposed_images_of_emnist_are_turned_and_it_is_said(tmp_path, capsys):
    stored = some_images()
    for name in ("x_train", "x_test"):
        stored[name] = stored[name].transpose(0, 2, 1)

    def rename(name):
        return f"emnist-letters-{name.replace('t10k', 'test')}"

    check_equal(load_images(idx_folder(tmp_path, stored, rename)), some_images())
    assert "transposed" in capsys.readouterr().out
    idx_folder(tmp_path, stored, lambda name: f"emnist-digits-{name}")
    assert "several sets of images" in refusal(tmp_path)


def test_the_last_sixth_of_the_training_images_validates_where_asked_for():
    images = get_images(SAMPLE, "none", seed=0, keep="best")
    whole = get_images(SAMPLE, "none", seed=0, keep="last")
    assert whole.x_validation is None
    assert len(images.x_validation) == 250
    together = np.concatenate([images.x_train, images.x_validation])
    np.testing.assert_array_equal(together, whole.x_train)
    binary = get_images(SAMPLE, "dynamic", seed=0, keep="best")
    assert set(np.unique(binary.x_validation)) == {0, 1}
    np.testing.assert_array_equal(binary.x_test, get_images(SAMPLE, "dynamic", seed=0).x_test)


def test_the_sample_of_mnist_holds_as_many_of_each_digit():
    images = load_images(SAMPLE)
    assert images.x_train.shape == (1500, 784) and images.x_test.shape == (500, 784)
    assert images.image_shape == (28, 28)
    np.testing.assert_array_equal(np.bincount(images.y_test), np.full(10, 50))
    assert 0.12 < images.x_train.mean() / 255 < 0.14  # all of MNIST: 0.1307
    assert os.path.getsize(SAMPLE) < 500_000


def test_without_a_path_the_images_are_those_of_keras(monkeypatch):
    a = some_images()
    pairs = (a["x_train"], a["y_train"]), (a["x_test"], a["y_test"])
    monkeypatch.setattr("keras.datasets.mnist.load_data", lambda: pairs)
    check_equal(load_images(), a)


def test_without_a_path_and_a_network_the_user_is_told_what_to_get(monkeypatch):
    def load_data():
        raise Exception("URL fetch failure on\nmnist.npz")  # noqa: TRY002  as Keras does

    monkeypatch.setattr("keras.datasets.mnist.load_data", load_data)
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
        ("x_train", np.zeros((4, 10), np.uint8), "x_train holds uint8 of shape (4, 10): rows of"),
        ("x_train", np.zeros((4, 5, 2, 3)), "in colour; x[..., :3].mean(axis=-1) makes them grey"),
        ("x_train", np.zeros((4, 2, 5, 2)), "x_train holds float64 of shape (4, 2, 5, 2); it must"),
        ("x_train", np.zeros((2, 300, 300), bool), "more than 65536 pixels"),
        ("x_train", np.full((4, 5, 2), "a"), "x_train holds <U1"),
        ("x_train", np.full((4, 5, 2), -1.0), "values from -1 to -1; they must be in 0..1 or"),
        ("x_train", np.full((4, 5, 2), np.nan), "values from nan to nan"),
        (
            "x_test",
            np.zeros((3, 2, 5), np.uint8),
            "x_train and x_test must hold images of one size",
        ),
        (
            "y_test",
            np.zeros((3, 10), np.uint8),
            "y_test holds uint8 of shape (3, 10); it must hold 3",
        ),
        ("y_test", np.array([0, 256, 1]), "integers in 0..255"),
    ],
)
def test_an_npz_file_with_a_wrong_array_is_refused(tmp_path, name, array, said):
    assert said in refusal(npz_file(tmp_path, some_images() | {name: array}))


def test_an_npz_file_without_images_is_refused_with_what_it_holds_and_what_fits(tmp_path):
    message = refusal(npz_file(tmp_path, {"pixels": np.zeros(3), "x_train": np.zeros(2)}))
    assert message.startswith(": holds pixels, x_train; give an .npz file with x_train and x_test")


@pytest.mark.parametrize("images", [np.zeros((0, 5, 2)), np.float64(3)], ids=["empty", "number"])
def test_an_npz_file_whose_labels_come_before_what_are_no_images_is_refused(tmp_path, images):
    arrays = {"labels": np.zeros(0, np.uint8), "images": images}
    assert ": images holds float64 of shape" in refusal(npz_file(tmp_path, arrays))


def test_idx_files_that_are_swapped_missing_or_of_another_type_are_refused(tmp_path):
    idx_folder(tmp_path, some_images())
    images, labels = tmp_path / IDX_FILES["x_train"], tmp_path / IDX_FILES["y_test"]
    content = images.read_bytes()
    images.write_bytes(labels.read_bytes())
    assert "x_train holds uint8 of shape (3,)" in refusal(tmp_path)
    images.write_bytes(content)
    labels.write_bytes(content)
    assert "y_test holds uint8 of shape (4, 5, 2)" in refusal(tmp_path)
    labels.write_bytes(b"\0\0\x0d\1" + bytes(8))
    assert "t10k-labels-idx1-ubyte: not an idx file of images or labels" in refusal(tmp_path)
    labels.unlink()
    labels.mkdir()
    assert "t10k-labels-idx1-ubyte" in refusal(tmp_path)
    images.unlink()
    assert "no train-images-idx3-ubyte or .gz of it" in refusal(tmp_path)


def test_every_shortened_or_lengthened_idx_file_is_refused(tmp_path):
    idx_folder(tmp_path, some_images())
    for name in ("x_train", "y_test"):
        path = tmp_path / IDX_FILES[name]
        whole = path.read_bytes()
        packed = gzip.compress(whole)
        damaged = [whole + b"\0", *(whole[:length] for length in range(len(whole)))]
        damaged += [gzip.compress(content) for content in damaged]
        damaged += [packed[:length] for length in range(len(packed))]
        for content in damaged:
            path.write_bytes(content)
            refusal(tmp_path)
        path.write_bytes(whole)
    check_equal(load_images(tmp_path), some_images())


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.sampled_from(["x.npz", *IDX_FILES.values()]), st.booleans(), st.data())
def test_any_damage_of_a_file_ends_in_images_or_in_one_line(tmp_path_factory, name, packed, data):
    folder = tmp_path_factory.mktemp("images")
    if name == "x.npz":
        damaged = source = npz_file(folder, some_images())
    else:
        source = idx_folder(folder, some_images(), packed=packed)
        damaged = folder / name
    content = bytearray(damaged.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    damaged.write_bytes(content)
    try:
        images = load_images(source)
    except InputError as error:
        assert len(str(error).splitlines()) == 1
    else:
        for x in (images.x_train, images.x_test):
            assert x.dtype == np.uint8
            assert x.shape == (len(x), np.prod(images.image_shape))


def test_paths_that_lead_to_no_images_are_refused(tmp_path):
    assert "not a file of images: give an .npz file" in refusal(tmp_path / "none")
    assert "No such file" in refusal(tmp_path / "none.npz")
    (tmp_path / "x.npz").write_bytes(b"1 2")
    assert refusal(tmp_path / "x.npz")
