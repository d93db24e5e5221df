"""Reads MNIST and sets of images that are stored alike, such as Fashion-MNIST."""

import gzip
import math
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_processing import Batches
from training.errors import InputError
from training.random_streams import stream
from training.table_files import check_is_file, read_npy_header, shown

_LARGEST_ARRAY = 2**30  # bytes; MNIST's largest array has 47 million
_LARGEST_RATIO = 1032  # deflate cannot shrink data more than this
_IDX_KINDS = {b"\0\0\x08\x03": "images", b"\0\0\x08\x01": "labels"}  # magic number of uint8 idx
_KERAS_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"


class Images(NamedTuple):
    """Images as rows of h * w grey values 0..255 and a label for each, all uint8."""

    x_train: np.ndarray  # (N, h * w)
    y_train: np.ndarray  # (N,)
    x_test: np.ndarray  # (M, h * w)
    y_test: np.ndarray  # (M,)
    image_shape: tuple  # (h, w)


def load_images(path=None):
    """The Images in an .npz file or a folder of idx files; without a path, Keras's own MNIST.

    The .npz file holds x_train (N, h, w), y_train (N,), x_test and y_test, as Keras stores MNIST.
    The folder holds train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
    t10k-labels-idx1-ubyte, as MNIST is distributed, each plain or, where there is no plain one,
    with .gz; a dot may stand before idx. Without a path Keras downloads MNIST once.

    Raises InputError for files that are missing, damaged, or hold anything else.
    """
    if path is None:
        arrays, place = _download_mnist(), "MNIST from Keras"
    else:
        path, place = Path(path), shown(path)
        if path.suffix.lower() == ".npz":
            check_is_file(path)
            arrays = _read_archive(path)
        elif os.path.isdir(path):
            arrays = _read_idx_folder(path)
        elif os.path.exists(path):
            raise InputError(f"{place}: is neither an .npz file nor a folder of idx files")
        else:
            raise InputError(f"{place}: there is no such file or folder")
    return _as_images(arrays, place)


def binarize(x, rng):
    """0 or 1 for each grey value of x, uint8 like x: 1 with probability x / 255, exactly.

    Stochastic binarisation of images after Salakhutdinov & Murray (2008). Of the 255 equally
    likely draws 0..254, x are below x. rng is a numpy.random.Generator.
    """
    if x.dtype != np.uint8:
        raise ValueError(f"x must be grey values of dtype uint8, it is {x.dtype}")
    return (rng.integers(0, 255, x.shape, dtype=np.uint8) < x).view(np.uint8)


def get_images(path, binarization, seed):
    """The Images to train and test on, their values in 0..1.

    none: grey values, float32. static: binarised once, uint8. dynamic: the test images binarised
    once, the training images left as they are for BinarizedBatches. InputError: see load_images.
    """
    images = load_images(path)
    if binarization == "none":
        return images._replace(
            x_train=images.x_train / np.float32(255), x_test=images.x_test / np.float32(255)
        )
    if binarization == "static":
        images = images._replace(x_train=binarize(images.x_train, stream(seed, "draw")))
    return images._replace(x_test=binarize(images.x_test, stream(seed, "held_out")))


def pixel_means(x_train, binarization):
    """The mean of each pixel over the training images of get_images, (data_dim,) in 0..1."""
    white = 255 if binarization == "dynamic" else 1
    return x_train.mean(axis=0, dtype=np.float64) / white


class BinarizedBatches(Batches):
    """Batches of grey values 0..255, binarised anew each time that they are given out."""

    def prepared(self, rows, rng):
        return binarize(rows, rng)


def _download_mnist():
    import keras

    try:
        (x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
    except Exception as error:  # Keras raises a bare Exception when a download fails
        folder = os.path.join(os.environ.get("KERAS_HOME", "~/.keras"), "datasets")
        raise InputError(
            f"MNIST is not on this computer and could not be downloaded: get {_KERAS_URL} and put "
            f"it into {folder} (or name it with --data_path); "
            "--data_path data/mnist_sample.npz is enough for a first try"
        ) from error
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def _as_images(arrays, place):
    """Images from the four arrays, or InputError where these do not belong together."""
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if len(x) != len(y):
            raise InputError(
                f"{place}: {len(x)} images but {len(y)} labels in the {part} part; "
                "there must be one label an image"
            )
        if y.min() < 0 or y.max() > 255:
            raise InputError(
                f"{place}: the {part} labels run from {y.min()} to {y.max()}; "
                "they must lie in 0..255"
            )
    image_shape = arrays["x_train"].shape[1:]
    if arrays["x_test"].shape[1:] != image_shape:
        raise InputError(
            f"{place}: train images have shape {image_shape}, test images "
            f"{arrays['x_test'].shape[1:]}; they must be equal"
        )
    return Images(
        arrays["x_train"].reshape(-1, math.prod(image_shape)),
        arrays["y_train"].astype(np.uint8),
        arrays["x_test"].reshape(-1, math.prod(image_shape)),
        arrays["y_test"].astype(np.uint8),
        image_shape,
    )


def _read_archive(path):
    try:
        with zipfile.ZipFile(path) as archive:
            return {
                name: _read_member(archive, name, shown(path), os.path.getsize(path))
                for name in ("x_train", "y_train", "x_test", "y_test")
            }
    except InputError:
        raise
    except (
        zipfile.BadZipFile,
        zlib.error,
        OSError,
        EOFError,
        ValueError,
        RuntimeError,
    ) as error:
        raise InputError(
            f"{shown(path)}: cannot be read as an .npz file ({_line(error)})"
        ) from error


def _read_member(archive, name, path, archive_size):
    """One array of the archive; its sizes are checked before memory is taken for it."""
    members = [info for info in archive.infolist() if info.filename == f"{name}.npy"]
    if len(members) != 1:
        raise InputError(
            f"{path}: holds {len(members)} arrays named {name}; "
            "x_train, y_train, x_test and y_test must be there once each"
        )
    (member,) = members
    place = f"{path}, {name}"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(f"{place}: is compressed in a way that numpy.savez does not use")
    with archive.open(member) as file:
        shape, fortran_order, dtype, offset = read_npy_header(file, place)
    n_dims, kinds, wanted = (
        (3, ("u1",), "(images, height, width) of uint8")
        if name.startswith("x")
        else (1, ("i", "u"), "(labels,) of an integer type")
    )
    if len(shape) != n_dims or not (dtype.kind in kinds or dtype.str[1:] in kinds):
        raise InputError(f"{place}: holds {shown(dtype)} of shape {shape}; it must be {wanted}")
    _check_size(shape, dtype.itemsize, member.file_size - offset, archive_size, place)
    with archive.open(member) as file:
        file.read(offset)
        flat = _read_exactly(file, math.prod(shape) * dtype.itemsize, place).view(dtype)
    return flat.reshape(shape, order="F" if fortran_order else "C")


def _read_idx_folder(folder):
    arrays = {}
    for part, prefix in (("train", "train"), ("test", "t10k")):
        for letter, kind, n_dims in (("x", "images", 3), ("y", "labels", 1)):
            path = _find_idx_file(folder, f"{prefix}-{kind}-idx{n_dims}-ubyte")
            try:
                arrays[f"{letter}_{part}"] = _read_idx_file(path, kind, n_dims)
            except (zlib.error, OSError, EOFError) as error:
                raise InputError(f"{shown(path)}: cannot be read ({_line(error)})") from error
    return arrays


def _find_idx_file(folder, name):
    for file_name in (name, name.replace("-idx", ".idx")):
        for ending in ("", ".gz"):
            path = folder / (file_name + ending)
            if os.path.exists(path):
                check_is_file(path)
                return path
    raise InputError(f"{shown(folder)}: has no file {name} or {name}.gz")


def _read_idx_file(path, kind, n_dims):
    """The uint8 array in an idx file: magic number and sizes, big-endian, then the values."""
    place, file_size = shown(path), path.stat().st_size
    header = struct.Struct(f">4s{n_dims}I")
    is_gzip = path.suffix == ".gz"
    with gzip.open(path) if is_gzip else open(path, "rb") as file:
        head = file.read(header.size)
        first_bytes = head[:4].hex(" ") or "missing"
        found = _IDX_KINDS.get(head[:4], f"no uint8 idx data (its first bytes are {first_bytes})")
        if found != kind:
            raise InputError(f"{place}: holds {found}; idx {kind} belong there")
        if len(head) < header.size:
            raise InputError(f"{place}: ends within its header; the file is incomplete")
        _, *shape = header.unpack(head)
        data_size = math.prod(shape) if is_gzip else file_size - header.size
        _check_size(shape, 1, data_size, file_size, place)
        return _read_exactly(file, math.prod(shape), place).reshape(shape)


def _check_size(shape, itemsize, data_size, file_size, place):
    """Raises InputError where data of this shape cannot be in a file of this size."""
    wanted = math.prod(shape) * itemsize
    if min(shape) < 1:
        raise InputError(f"{place}: has shape {shape}; it must hold at least one value")
    if wanted > _LARGEST_ARRAY or wanted > _LARGEST_RATIO * file_size:
        raise InputError(
            f"{place}: says its shape is {shape}, more than a file of {file_size} bytes holds "
            f"or than {_LARGEST_ARRAY >> 30} GiB"
        )
    if wanted != data_size:
        raise InputError(
            f"{place}: holds {data_size} bytes of data, its header says {wanted}; "
            "the file is damaged or incomplete"
        )


def _read_exactly(stream, n_bytes, place):
    data = np.empty(n_bytes, np.uint8)
    n_read = stream.readinto(data)
    if n_read != n_bytes or stream.read(1):
        more_or_less = "less" if n_read != n_bytes else "more"
        raise InputError(
            f"{place}: holds {more_or_less} than the {n_bytes} bytes of data that its header says; "
            "the file is damaged or incomplete"
        )
    return data


def _line(error):
    return " ".join(str(error).split()) or type(error).__name__
