"""Reads MNIST and sets of images that are stored alike, such as Fashion-MNIST."""

import gzip
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_processing import Batches
from training.errors import InputError, input_error
from training.random_streams import stream

IDX_FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
KERAS_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"


class Images(NamedTuple):
    """Images as rows of h * w pixel intensities 0..255 and a label for each, all uint8."""

    x_train: np.ndarray  # (N, h * w)
    y_train: np.ndarray  # (N,)
    x_test: np.ndarray  # (M, h * w)
    y_test: np.ndarray  # (M,)
    image_shape: tuple  # (h, w)


def load_images(path=None):
    """The Images in an .npz file or a folder of idx files; without a path, Keras's own MNIST.

    The .npz file holds x_train (N, h, w), y_train (N,), x_test and y_test, as Keras stores MNIST.
    The folder holds IDX_FILES, as MNIST is distributed, each plain or, where there is no plain one,
    with .gz; a dot may stand before idx. Without a path Keras downloads MNIST once.

    InputError: files are missing or damaged, or hold anything else.
    """
    if path is None:
        return _as_images(_download_mnist(), "MNIST from Keras")
    place, arrays = Path(path), {}
    try:
        if place.suffix.lower() == ".npz":
            with np.load(place, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in IDX_FILES}
        else:
            for name, file_name in IDX_FILES.items():
                place = _find_idx_file(path, file_name)
                arrays[name] = _read_idx_file(place)
    except Exception as error:  # a damaged file lets NumPy, zipfile and gzip fail in about any way
        raise input_error(place, error) from error
    return _as_images(arrays, path)


def binarize(x, rng):
    """0 or 1 for each pixel intensity of x, uint8 like x: 1 with probability x / 255, exactly.

    Stochastic binarization of images after Salakhutdinov & Murray (2008). Of the 255 equally
    likely draws 0..254, x are below x. rng is a numpy.random.Generator.
    """
    if x.dtype != np.uint8:
        raise ValueError(f"x must be pixel intensities of dtype uint8, it is {x.dtype}")
    return (rng.integers(0, 255, x.shape, dtype=np.uint8) < x).view(np.uint8)


def get_images(path, binarization, seed):
    """The Images to train and test on, their values in 0..1.

    none: intensities, float32. static: binarized once, uint8. dynamic: the test images binarized
    once, the training images left as they are for BinarizedBatches. InputError: see load_images.
    """
    images = load_images(path)
    if binarization == "none":
        return images._replace(
            x_train=images.x_train / np.float32(255), x_test=images.x_test / np.float32(255)
        )
    if binarization not in ("static", "dynamic"):
        raise ValueError(f"binarization {binarization}")
    if binarization == "static":
        images = images._replace(x_train=binarize(images.x_train, stream(seed, "binarize", 0)))
    return images._replace(x_test=binarize(images.x_test, stream(seed, "binarize", 1)))


def pixel_means(x_train, binarization):
    """The mean of each pixel over the training images of get_images, (data_dim,) in 0..1."""
    white = 255 if binarization == "dynamic" else 1
    return x_train.mean(axis=0, dtype=np.float64) / white


def training_sample(images, size, binarization, seed):
    """The first `size` training images, (size, data_dim), as a model gets them."""
    x = images.x_train[:size]
    return binarize(x, stream(seed, "binarize", 2)) if binarization == "dynamic" else x


class BinarizedBatches(Batches):
    """Batches of pixel intensities 0..255, binarized anew each time that they are given out."""

    def prepared(self, rows, rng):
        return binarize(rows, rng)


def _download_mnist():
    import keras

    try:
        (x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
    except Exception as error:  # Keras raises a bare Exception when a download fails
        folder = os.path.join(os.environ.get("KERAS_HOME", "~/.keras"), "datasets")
        raise InputError(
            f"MNIST is not on this computer and could not be downloaded: get {KERAS_URL} and put "
            f"it into {folder} (or name it with --data_path); "
            "--data_path data/mnist_sample.npz is enough for a first try"
        ) from error
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def _find_idx_file(folder, name):
    for file_name in (name, name.replace("-idx", ".idx")):
        for ending in ("", ".gz"):
            if (path := Path(folder, file_name + ending)).exists():
                return path
    raise InputError(f"no {name} or {name}.gz in it; give an .npz file or a folder of idx files")


def _read_idx_file(path):
    """The array in an idx file of uint8: magic number and sizes, big-endian, then the values."""
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    if content[:4] not in (b"\0\0\x08\1", b"\0\0\x08\3"):
        raise InputError("not an idx file of images or labels")
    n_dims = content[3]
    shape = np.frombuffer(content, ">u4", n_dims, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * n_dims).reshape(shape)


def _as_images(arrays, place):
    """Images from the four arrays. InputError: these are not images of one shape and labels."""
    image_shape = arrays["x_train"].shape[1:]
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if x.ndim != 3 or x.dtype != np.uint8 or x.size == 0 or x.shape[1:] != image_shape:
            raise InputError(
                f"{place}: x_{part} holds {x.dtype} of shape {x.shape}; it must hold images, "
                "(N, height, width) of uint8, of one size for training and test"
            )
        if y.shape != x.shape[:1] or y.dtype.kind not in "iu" or y.min() < 0 or y.max() > 255:
            raise InputError(
                f"{place}: y_{part} holds {y.dtype} of shape {y.shape}; it must hold {len(x)} "
                "labels, one per image, integers in 0..255"
            )
    x_train, y_train, x_test, y_test = (arrays[name] for name in IDX_FILES)
    return Images(
        x_train.reshape(len(x_train), -1),
        y_train.astype(np.uint8),
        x_test.reshape(len(x_test), -1),
        y_test.astype(np.uint8),
        image_shape,
    )
