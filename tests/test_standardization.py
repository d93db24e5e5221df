"""Rows centred and scaled in float64 before they become float32."""

import numpy as np

from training.standardization import moments, standardization_of


def test_a_column_far_from_zero_keeps_its_digits():
    seconds = 1.6e9 + 60.0 * np.arange(500)  # float32 has steps of 128 there
    units = standardization_of(np.column_stack([seconds, np.zeros(500)]))
    u = units.apply(np.column_stack([seconds, np.zeros(500)]))
    assert u.dtype == np.float32
    assert len(np.unique(u[:, 0])) == 500
    np.testing.assert_allclose(units.undo(u)[:, 0], seconds, rtol=0, atol=0.01)
    np.testing.assert_array_equal(u[:, 1], 0.0)  # a constant column has the unit 1


def test_whole_numbers_beyond_the_digits_of_float64_do_not_merge():
    x = 2**60 + np.arange(1500).reshape(-1, 1)
    mean, covariance = moments(x)
    np.testing.assert_allclose(covariance, [[np.var(np.arange(1500), ddof=1)]])
    np.testing.assert_allclose(mean, 2**60 + 749.5)
    assert len(np.unique(standardization_of(x).apply(x))) == 1500
