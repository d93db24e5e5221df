"""Make the small MNIST: 1500 train and 500 test images, as many of each digit, drawn at random.

    python data/make_mnist_sample.py --data_path mnist.npz

--data_path is the whole set as Keras stores it. Writes mnist_sample.npz beside this file, in the
same layout. See MNIST_LICENSE.md for whose work the images are.
"""

import argparse
from pathlib import Path

import numpy as np

N_TRAIN, N_TEST = 1500, 500
SEED = 0


def draw(x, y, size, rng):
    """`size` images and labels, equally many of each label, in random order."""
    labels = np.unique(y)
    rows = [rng.choice(np.flatnonzero(y == k), size // len(labels), replace=False) for k in labels]
    rows = rng.permutation(np.concatenate(rows))
    return x[rows], y[rows]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_path", required=True, help="mnist.npz as Keras stores it")
    with np.load(parser.parse_args().data_path, allow_pickle=False) as mnist:
        rng = np.random.default_rng(SEED)
        x_train, y_train = draw(mnist["x_train"], mnist["y_train"], N_TRAIN, rng)
        x_test, y_test = draw(mnist["x_test"], mnist["y_test"], N_TEST, rng)
    np.savez_compressed(
        Path(__file__).resolve().parent / "mnist_sample.npz",
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
    )


if __name__ == "__main__":
    main()
