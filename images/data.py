"""Reads MNIST and one's own sets of images, and draws their pixels as 0 or 1."""

import gzip
import math
import os
import re
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_processing import split, training_size
from training.errors import InputError, input_error
from training.random_streams import stream
from training.settings import MAX_SIZE

KERAS_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
# Names of idx files: of MNIST, Fashion-MNIST and KMNIST, and with a prefix those of EMNIST.
IDX_NAME = re.compile(
    r"(?P<set>\w+(-\w+)*-)?(?P<part>train|t10k|test)-(?P<kind>images|labels)[-.]idx[13]-ubyte(\.gz)?"
)
SPLIT_NAMES = ("x_train", "x_test", "y_test")  # arrays of a file whose test images are apart
ONE_ARRAY_NAMES = {"images": "images", "x": "images", "data": "images", "arr_0": "images"}
LABEL_NAMES = {"labels": "labels", "y": "labels"}
DARK = 32  # brightest pixel, of 255: if it is darker, the values are probably on another scale
WHAT_FITS = (
    "give an .npz file with x_train and x_test, or with images (x, data), each (N, height, width); "
    "an .npy file of such an array; or a folder of idx files. Labels (y_test, labels) may be absent"
)


class Images(NamedTuple):
    """Images as rows of h * w pixels; labels of the test images, where there are some."""

    x_train: np.ndarray  # (N, h * w)
    x_validation: np.ndarray | None  # the last sixth of the training images, where asked for
    x_test: np.ndarray  # (M, h * w)
    y_test: np.ndarray | None  # (M,) uint8
    image_shape: tuple  # (h, w)

    @property
    def followed(self):
        """The images whose ELBO is followed from epoch to epoch."""
        return self.x_test if self.x_validation is None else self.x_validation


def get_images(path, binarization, seed, keep="last"):
    """The Images to train and test on, their values in 0..1.

    binarization: "none" keeps the intensities (float32). "static" binarizes all images once
    (uint8). "dynamic" leaves the training images as intensities 0..255, for `binarize` in every
    epoch, and binarizes the others once.
    keep: with `best`, the last sixth of the training images are validation images.
    InputError: see load_images.
    """
    images = load_images(path, seed)
    x_train, x_validation = images.x_train, None
    if keep == "best":
        x_train, x_validation = np.split(x_train, [-max(1, len(x_train) // 6)])
        x_validation = as_seen(x_validation, binarization, stream(seed, "binarize", 3))
    if binarization != "dynamic":
        x_train = as_seen(x_train, binarization, stream(seed, "binarize", 0))
    x_test = as_seen(images.x_test, binarization, stream(seed, "binarize", 1))
    return images._replace(x_train=x_train, x_validation=x_validation, x_test=x_test)


def as_seen(x, binarization, rng):
    """Intensities x (N, data_dim) as a model sees them: binarized, or in 0..1 as they are."""
    return x / np.float32(255) if binarization == "none" else binarize(x, rng)


def binarize(x, rng):
    """0 or 1 for each pixel intensity of x, both uint8: 1 with probability x / 255, exactly.

    Stochastic binarization of images after Salakhutdinov & Murray (2008). Of the 255 equally
    likely draws 0..254, x are below x. rng is a numpy.random.Generator.
    """
    return (rng.integers(0, 255, x.shape, dtype=np.uint8) < x).view(np.uint8)


def pixel_means(x_train, binarization):
    """The mean of each pixel over the training images of get_images, (data_dim,) in 0..1."""
    white = 255 if binarization == "dynamic" else 1
    return x_train.mean(axis=0, dtype=np.float64) / white


def training_sample(images, size, binarization, seed):
    """The first `size` training images, (size, data_dim), as a model sees them."""
    x = images.x_train[:size]
    return binarize(x, stream(seed, "binarize", 2)) if binarization == "dynamic" else x


def load_images(path=None, seed=0):
    """The images at a path as Images of pixel intensities 0..255, uint8, without validation images.

    path: an .npz or .npy file or a folder of idx files, see WHAT_FITS; None: MNIST, which Keras
    downloads once. Values are in 0..1 or in 0..255, of any type; where none is above 1, 1 is white.
    One array of images is split at random by the seed: 80 % train, the others are test images.
    InputError: files are missing or damaged, or hold anything else.
    """
    if path is None:
        arrays = download_mnist()
        place = "MNIST from Keras"
    else:
        arrays = read_folder(path) if Path(path).is_dir() else read_file(path)
        place = path
    for name in ("x_train", "x_test", "images"):
        if name in arrays:
            arrays[name] = as_grey(f"{place}: {name}", arrays[name])
    for name, images in [("y_test", "x_test"), ("labels", "images")]:
        if name in arrays:
            check_labels(f"{place}: {name}", arrays[name], len(arrays[images]))
    if "images" in arrays:
        n_train = training_size(len(arrays["images"]), None, keep_best=False)
        arrays["x_train"], arrays["x_test"] = split(arrays["images"], n_train, seed)
        if "labels" in arrays:
            _, arrays["y_test"] = split(arrays["labels"], n_train, seed)
    image_shape = arrays["x_train"].shape[1:]
    if arrays["x_test"].shape[1:] != image_shape:
        raise InputError(f"{place}: x_train and x_test must hold images of one size")
    brightest = max(arrays["x_train"].max(), arrays["x_test"].max())
    if 1 < brightest < DARK:
        print(
            f"warning: {place}: the brightest pixel has the value {brightest:g}, and white is 255; "
            f"if it should be white, divide the images by {brightest:g}",
            file=sys.stderr,
        )
    labels = arrays.get("y_test")
    return Images(
        x_train=intensities(arrays["x_train"], brightest),
        x_validation=None,
        x_test=intensities(arrays["x_test"], brightest),
        y_test=None if labels is None else labels.astype(np.uint8),
        image_shape=image_shape,
    )


def download_mnist():
    import keras

    try:
        (x_train, _), (x_test, y_test) = keras.datasets.mnist.load_data()
    except Exception as error:  # Keras raises a bare Exception when a download fails
        folder = os.path.join(os.environ.get("KERAS_HOME", "~/.keras"), "datasets")
        raise InputError(
            f"MNIST is not on this computer and could not be downloaded: get {KERAS_URL} and put "
            f"it into {folder} (or name it with --data_path); "
            "--data_path data/mnist_sample.npz is enough for a first try"
        ) from error
    return {"x_train": x_train, "x_test": x_test, "y_test": y_test}


def read_file(path):
    """The arrays of an .npz file under the names x_train, x_test, y_test or images, labels.

    That of an .npy file has the name images.
    """
    if Path(path).suffix.lower() not in (".npz", ".npy"):
        raise InputError(f"{path}: not a file of images: {WHAT_FITS}")
    try:
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return {"images": content}
        with content:
            found = content.files
            if "x_train" in found and "x_test" in found:
                names = {name: name for name in SPLIT_NAMES}
            else:
                names = ONE_ARRAY_NAMES | LABEL_NAMES
            arrays = {names[name]: content[name] for name in found if name in names}
    except Exception as error:  # a damaged file lets NumPy and zipfile fail in about any way
        raise input_error(path, error) from error
    if "x_train" not in arrays and "images" not in arrays:
        raise InputError(f"{path}: holds {', '.join(found) or 'nothing'}; {WHAT_FITS}")
    return arrays


def read_folder(folder):
    """The arrays of a folder of idx files under the names x_train, x_test and y_test."""
    paths = {}
    names_of_sets = set()
    for path in sorted(Path(folder).iterdir(), reverse=True):  # a plain file after its .gz
        name = IDX_NAME.fullmatch(path.name)
        if name is None:
            continue
        kind = "x" if name["kind"] == "images" else "y"
        part = "train" if name["part"] == "train" else "test"
        paths[f"{kind}_{part}"] = path
        names_of_sets.add(name["set"] or "")
    for array, file_name in [("x_train", "train-images"), ("x_test", "t10k-images")]:
        if array not in paths:
            raise InputError(f"{folder}: no {file_name}-idx3-ubyte or .gz of it; {WHAT_FITS}")
    if len(names_of_sets) > 1:
        raise InputError(f"{folder}: holds several sets of images, {sorted(names_of_sets)}")
    arrays = {name: read_idx_file(paths[name]) for name in SPLIT_NAMES if name in paths}
    if "emnist" in names_of_sets.pop():
        print("EMNIST holds its images transposed: they are turned upright")
        for name in ("x_train", "x_test"):
            arrays[name] = np.moveaxis(arrays[name], -1, 1)
    return arrays


def read_idx_file(path):
    """The array in an idx file of uint8: magic number and sizes, big-endian, then the values."""
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":  # packed by gzip, whatever the file is called
            content = gzip.decompress(content)
        n_dims = {b"\0\0\x08\1": 1, b"\0\0\x08\3": 3}.get(content[:4])
        if n_dims is None:
            raise InputError("not an idx file of images or labels")
        shape = np.frombuffer(content, ">u4", n_dims, offset=4)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * n_dims).reshape(shape)
    except Exception as error:  # a damaged file lets NumPy and gzip fail in about any way
        raise input_error(path, error) from error


def as_grey(place, x):
    """Images x as (N, h, w), from that or from (N, h, w, 1).

    InputError: x does not hold images of values in 0..1 or 0..255.
    """
    found = f"{place} holds {x.dtype} of shape {x.shape}"
    if x.ndim == 4 and x.shape[-1] == 1:
        x = x[..., 0]
    if x.ndim == 4 and x.shape[-1] in (3, 4):
        raise InputError(f"{found}: in colour; x[..., :3].mean(axis=-1) makes them grey")
    if x.ndim == 2:
        raise InputError(f"{found}: rows of pixels; x.reshape(-1, height, width) makes them images")
    if x.ndim != 3 or x.size == 0 or x.dtype.kind not in "buif":
        raise InputError(f"{found}; it must hold images, numbers of shape (N, height, width)")
    if math.prod(x.shape[1:]) > MAX_SIZE:
        raise InputError(f"{found}: more than {MAX_SIZE} pixels; scale the images down")
    low, high = x.min(), x.max()
    if not (low >= 0 and high <= 255):
        raise InputError(
            f"{place} holds values from {low:g} to {high:g}; they must be in 0..1 or 0..255 "
            "((x + 1) / 2 takes -1..1 to 0..1)"
        )
    return x


def check_labels(place, y, n_images):
    """InputError: y does not hold a label for each image."""
    if y.shape != (n_images,) or y.dtype.kind not in "iu" or y.min() < 0 or y.max() > 255:
        raise InputError(
            f"{place} holds {y.dtype} of shape {y.shape}; it must hold {n_images} labels, one per "
            "image, integers in 0..255, or be left out"
        )


def intensities(x, brightest):
    """Images (N, h, w) as rows (N, h * w) of uint8; floats are rounded to a 255th of white."""
    rows = x.reshape(len(x), -1)
    if brightest <= 1:
        rows = rows * np.float32(255)
    return rows.round().astype(np.uint8)
