"""Entropies, densities and the rate-distortion function of a Gaussian; refused arguments."""

import numpy as np
import pytest
from conftest import random_covariance
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from analysis.information import (
    Gaussian,
    check_covariance,
    common_information,
    entropy,
    rate_distortion,
    total_correlation,
)
from analysis.linear_vae import optimum


def test_entropy_and_log_density_agree_with_scipy():
    mean, covariance = np.array([0.5, -2.0, 1.0]), random_covariance(1)
    expected = multivariate_normal(mean, covariance)
    assert entropy(covariance) == pytest.approx(expected.entropy(), abs=1e-12)
    x = np.random.default_rng(1).normal(size=(4, 3))
    found = Gaussian(mean, covariance).log_density(x)
    np.testing.assert_allclose(found, expected.logpdf(x), atol=1e-12)


def test_the_draws_of_a_gaussian_are_those_of_float32_arithmetic_bit_for_bit():
    mean, covariance = np.array([0.3, -2.0, 1.7]), random_covariance(2)
    drawn = Gaussian(mean, covariance).draw(5000, np.random.default_rng(4))
    noise = np.random.default_rng(4).standard_normal((5000, 3), dtype=np.float32)
    root = np.linalg.cholesky(covariance).astype(np.float32)
    np.testing.assert_array_equal(drawn.astype(np.float32), noise @ root.T + np.float32(mean))
    np.testing.assert_allclose(np.cov(drawn, rowvar=False), covariance, atol=0.1)


def test_a_mean_far_above_the_std_costs_no_digits_of_the_draws():
    far, covariance = np.array([1e9 + 0.1, 0.0, -3e7]), random_covariance(2)
    near_rows = Gaussian(np.zeros(3), covariance).draw(50, np.random.default_rng(5))
    far_rows = Gaussian(far, covariance).draw(50, np.random.default_rng(5))
    np.testing.assert_allclose(far_rows - far, near_rows, atol=1e-6)
    near_rows = Gaussian(np.zeros(3), 1e-6 * covariance).draw(50, np.random.default_rng(5))
    far_rows = Gaussian(far / 1e9, 1e-6 * covariance).draw(50, np.random.default_rng(5))
    np.testing.assert_allclose(far_rows - far / 1e9, near_rows, atol=1e-12)


def test_rate_distortion_agrees_with_a_numerical_solution():
    covariance = random_covariance(16, 4)
    variances = np.linalg.eigvalsh(covariance)
    distortions = np.array([0.02, 0.3, 0.6, 0.9]) * np.sum(variances)
    rates = rate_distortion(covariance, distortions)
    for distortion, rate in zip(distortions, rates, strict=True):
        share = {"type": "eq", "fun": lambda d, total=distortion: np.sum(d) - total}
        solution = minimize(
            lambda d: 0.5 * np.sum(np.log(variances / d)),
            distortion * variances / np.sum(variances),
            method="SLSQP",
            bounds=[(1e-9, variance) for variance in variances],
            constraints=[share],
            options={"ftol": 1e-14, "maxiter": 500},
        )
        assert rate == pytest.approx(solution.fun, abs=1e-6)
        assert rate_distortion(covariance, distortion) == rate


@pytest.mark.parametrize(
    ("covariance", "message"),
    [
        (np.ones((2, 3)), "square"),
        (np.empty((0, 0)), "square"),
        ([[1.0, np.nan], [np.nan, 1.0]], "finite"),
        ([[1.0, 0.2], [0.1, 1.0]], "symmetric"),
        ([[1.0, 0.0], [0.0, 0.0]], "positive variances"),
        ([[1.0, 2.0], [2.0, 4.0]], "singular"),
        ([[1.0, 2.0], [2.0, 1.0]], "not positive semi-definite"),
    ],
)
def test_a_bad_covariance_is_refused_with_its_fault_named(covariance, message):
    for function in [
        check_covariance,
        entropy,
        lambda bad: Gaussian(np.zeros(2), bad).log_density(np.zeros((4, 2))),
        lambda bad: optimum(bad, 1, 2.0, "learned"),
        lambda bad: rate_distortion(bad, 0.1),
        total_correlation,
        common_information,
    ]:
        with pytest.raises(ValueError, match=message):
            function(covariance)
