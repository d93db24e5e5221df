"""Black and white pixels drawn from pixel intensities: once, or anew in every epoch."""

import numpy as np
import pytest
from helpers import SAMPLE

from data_processing import Batches
from images import data as image_data


def intensity_ramp(rows):
    """Images (rows, 256): pixel j has intensity j, and the last pixel numbers the image."""
    x = np.tile(np.arange(256, dtype=np.uint8), (rows, 1))
    x[:, -1] = np.where(np.arange(rows) < 5, 255, 0)
    return x


def epoch_images(batches, epoch):
    return np.concatenate([x[:n].reshape(-1, x.shape[-1]) for x, _, n in batches.chunks(epoch)])


def test_dynamic_binarization_draws_each_pixel_anew_with_its_intensity_as_probability():
    batches = Batches(intensity_ramp(2003), 10, n_dim=2, seed=1, prepare=image_data.binarize)
    epochs = [epoch_images(batches, epoch) for epoch in (1, 2)]
    assert all((x.shape, x.dtype) == ((2003, 256), np.uint8) for x in epochs)
    assert all(set(np.unique(x)) == {0, 1} for x in epochs)
    assert all(x[:, -1].sum() == 5 for x in epochs)  # every row once, white stays white
    probability = np.arange(255) / 255
    for x in epochs:
        bound = 5 * np.sqrt(probability * (1 - probability) / 2003)
        assert np.all(np.abs(x[:, :-1].mean(axis=0) - probability) <= bound)
        neighbours = x[:, 1:-1] * x[:, :-2]  # each pixel is drawn on its own
        expected = np.mean(probability[1:] * probability[:-1])
        assert neighbours.mean() == pytest.approx(expected, abs=0.005)
    assert np.mean(epochs[0] != epochs[1]) == pytest.approx(1 / 3, abs=0.01)  # 2 p (1 - p)
    np.testing.assert_array_equal(epoch_images(batches, 2), epochs[1])


def test_static_binarization_is_drawn_once_and_intensities_stay_as_they_are():
    raw = image_data.load_images(SAMPLE)
    static = image_data.get_images(SAMPLE, "static", 4)
    again, other = (image_data.get_images(SAMPLE, "static", seed).x_train for seed in (4, 5))
    np.testing.assert_array_equal(static.x_train, again)
    assert not np.array_equal(static.x_train, other)
    assert static.x_train.mean() == pytest.approx(raw.x_train.mean() / 255, abs=2e-3)
    dynamic = image_data.get_images(SAMPLE, "dynamic", 4)  # the test images: once
    np.testing.assert_array_equal(dynamic.x_test, static.x_test)
    assert set(np.unique(static.x_test)) == {0, 1}
    batches = Batches(static.x_train, 100, 2, 0)
    rows = [np.sort(epoch_images(batches, epoch) @ np.arange(784)) for epoch in (1, 2)]
    np.testing.assert_array_equal(*rows)
    intensities = image_data.get_images(SAMPLE, "none", 4)
    assert intensities.x_train.dtype == np.float32
    np.testing.assert_array_equal(np.round(255 * intensities.x_test), raw.x_test)
