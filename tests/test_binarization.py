"""Black and white pixels drawn from grey values: once, or anew in every epoch."""

from pathlib import Path

import numpy as np
import pytest

import data_processing
import image_data

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = str(ROOT / "data" / "mnist_sample.npz")


def grey_ramp(rows):
    """Images (rows, 256): pixel j is grey value j, and the last pixel numbers the image."""
    x = np.tile(np.arange(256, dtype=np.uint8), (rows, 1))
    x[:, -1] = np.where(np.arange(rows) < 5, 255, 0)
    return x


def epoch_images(batches, epoch):
    return np.concatenate([x[:n].reshape(-1, x.shape[-1]) for x, _, n in batches.chunks(epoch)])


def test_dynamic_binarisation_draws_each_pixel_anew_with_its_grey_value_as_probability():
    batches = image_data.BinarizedBatches(grey_ramp(2003), 10, n_dim=2, seed=1)
    epochs = [epoch_images(batches, epoch) for epoch in (1, 2)]
    assert all(x.shape == (2003, 256) and set(np.unique(x)) == {0, 1} for x in epochs)
    assert all(x[:, -1].sum() == 5 for x in epochs)  # every row once, white stays white
    probability = np.arange(255) / 255
    for x in epochs:
        bound = 5 * np.sqrt(probability * (1 - probability) / 2003)
        assert np.all(np.abs(x[:, :-1].mean(axis=0) - probability) <= bound)
    assert np.mean(epochs[0] != epochs[1]) == pytest.approx(1 / 3, abs=0.01)  # 2 p (1 - p)


def test_dynamic_binarisation_is_drawn_again_alike_by_the_same_seed_alone():
    def images(seed):
        return epoch_images(image_data.BinarizedBatches(grey_ramp(30), 7, 2, seed), 3)

    np.testing.assert_array_equal(images(1), images(1))
    assert not np.array_equal(images(1), images(2))


def test_static_binarisation_is_drawn_once_and_grey_values_stay_grey():
    raw = image_data.load_images(SAMPLE)
    static = image_data.get_images(SAMPLE, "static", 4)
    np.testing.assert_array_equal(static.x_train, image_data.get_images(SAMPLE, "static", 4)[0])
    assert not np.array_equal(static.x_train, image_data.get_images(SAMPLE, "static", 5)[0])
    assert static.x_train.mean() == pytest.approx(raw.x_train.mean() / 255, abs=2e-3)
    batches = data_processing.Batches(static.x_train, 100, 2, 0)
    rows = [np.sort(epoch_images(batches, epoch) @ np.arange(784)) for epoch in (1, 2)]
    np.testing.assert_array_equal(*rows)
    grey = image_data.get_images(SAMPLE, "none", 4)
    assert grey.x_train.dtype == np.float32
    np.testing.assert_array_equal(np.round(255 * grey.x_test), raw.x_test)


@pytest.mark.parametrize("binarization", ["dynamic", "static"])
def test_the_test_images_are_binarised_once(binarization):
    one, two = (image_data.get_images(SAMPLE, binarization, 4).x_test for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert set(np.unique(one)) == {0, 1}
