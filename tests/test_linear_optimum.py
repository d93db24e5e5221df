"""The linear optimum where its answer is known otherwise, and what it must not depend on."""

import itertools

import numpy as np
import pytest
from conftest import random_covariance
from sklearn.decomposition import FactorAnalysis

from analysis.information import entropy
from analysis.linear_vae import linear_optimum, shared_std_optimum

N_DIM = 2


@pytest.mark.parametrize("n_dim", [1, 2])
@pytest.mark.parametrize("seed", [0, 1, 3])
def test_linear_optimum_at_beta_one_is_factor_analysis(n_dim, seed):
    rng = np.random.default_rng(seed)
    # Two factors and noise, so that both fits have an inner optimum, which EM reaches soon.
    data = rng.normal(size=(400, 2)) @ rng.normal(size=(2, 6)) + rng.normal(size=(400, 6))
    analysis = FactorAnalysis(n_dim, tol=1e-9, max_iter=5000, svd_method="lapack").fit(data)
    optimum = linear_optimum(np.cov(data, rowvar=False, bias=True), n_dim)
    assert -optimum.cost == pytest.approx(analysis.score(data), abs=1e-4)
    assert optimum.elbo == pytest.approx(-optimum.cost, abs=1e-12)


@pytest.mark.parametrize("extra_dims", [0, 2])
def test_linear_optimum_reaches_the_entropy_of_a_factor_model(extra_dims):
    rng = np.random.default_rng(4)
    weights, noise_variances = rng.normal(size=(7, 2)), rng.uniform(0.3, 1.0, size=7)
    covariance = weights @ weights.T + np.diag(noise_variances)
    optimum = linear_optimum(covariance, 2 + extra_dims)
    assert optimum.cost == pytest.approx(entropy(covariance), abs=1e-8)
    # The posterior of a factor model gives its kl whatever the number of spare latents.
    precision = np.eye(2) + weights.T @ (weights / noise_variances[:, None])
    assert optimum.kl == pytest.approx(0.5 * np.linalg.slogdet(precision)[1], abs=1e-4)
    assert optimum.active_units == 2
    np.testing.assert_allclose(optimum.noise_variances, noise_variances, rtol=1e-3)
    np.testing.assert_allclose(optimum.weights @ optimum.weights.T, weights @ weights.T, atol=1e-3)


def test_the_best_variances_are_the_squared_errors_and_keep_the_variances_of_the_data():
    covariance = random_covariance(10, 6)
    optimum = linear_optimum(covariance, 3, 1.5)
    variances = np.diag(optimum.weights @ optimum.weights.T) + optimum.noise_variances
    np.testing.assert_allclose(variances, np.diag(covariance), rtol=1e-6)
    assert optimum.distortion == pytest.approx(np.sum(optimum.noise_variances), rel=1e-6)


def test_a_change_of_units_moves_the_cost_by_the_log_of_the_units():
    covariance, units = random_covariance(11, 5), np.array([1e-4, 1e3, 1.0, 20.0, 0.3])
    before = linear_optimum(covariance, N_DIM, 1.5)
    after = linear_optimum(units[:, None] * covariance * units, N_DIM, 1.5)
    assert after.cost - before.cost == pytest.approx(np.sum(np.log(units)), abs=1e-7)
    assert after.kl == pytest.approx(before.kl, abs=1e-5)


def test_weakly_correlated_data_collapse_at_large_beta():
    covariance = 0.7 * np.eye(5) + 0.3
    for optimum in [linear_optimum(covariance, N_DIM, 8.0), shared_std_optimum(covariance, 2, 8.0)]:
        assert optimum.kl == 0.0
        assert optimum.active_units == 0
        np.testing.assert_allclose(optimum.weights, 0.0)
        # Independent coordinates of variance 1.
        assert optimum.cost == pytest.approx(2.5 * np.log(2 * np.pi * np.e), abs=1e-9)


def test_two_equal_coordinates_have_the_solution_found_by_hand():
    # One factor, psi the same in both: lambda = (1 + r) / (beta psi), and 2 psi = 2 - w^2 with
    # w^2 = 1 + r - beta psi give psi = (1 - r) / (2 - beta).
    correlation, beta = 0.9, 1.4
    optimum = linear_optimum([[1.0, correlation], [correlation, 1.0]], 1, beta)
    variance = (1.0 - correlation) / (2.0 - beta)
    np.testing.assert_allclose(optimum.noise_variances, variance, rtol=1e-6)
    expected_kl = 0.5 * np.log((1.0 + correlation) / (beta * variance))
    assert optimum.kl == pytest.approx(expected_kl, abs=1e-6)
    assert optimum.active_units == 1


def test_a_heywood_case_has_the_cost_of_its_boundary():
    # corr(1, 2) corr(1, 3) / corr(2, 3) = 1.28: one factor would need a negative variance of x_1,
    # so the best model copies x_1, given which x_2 and x_3 are independent with variance 0.36.
    covariance = np.array([[1.0, 0.8, 0.8], [0.8, 1.0, 0.5], [0.8, 0.5, 1.0]])
    optimum = linear_optimum(covariance, 1)
    infimum = 1.5 * np.log(2 * np.pi * np.e) + np.log(0.36)
    assert infimum <= optimum.cost < infimum + 1e-7
    assert 0.0 < optimum.noise_variances[0] < 1e-6
    assert np.isfinite(optimum.kl) and np.isfinite(optimum.log_px_z)


def test_no_pair_of_copied_coordinates_beats_the_optimum():
    # Near-singular data: many Heywood cases, which are local minima of one another.
    data = np.random.default_rng(12).normal(size=(8, 10))
    covariance = data.T @ data / 8 + 0.05 * np.eye(10)
    costs = []
    for pair in itertools.combinations(range(10), 2):
        kept, rest = list(pair), np.setdiff1d(range(10), pair)
        block = covariance[np.ix_(kept, kept)]
        cross = covariance[np.ix_(rest, kept)]
        left = np.diag(covariance)[rest] - np.sum(cross @ np.linalg.inv(block) * cross, axis=1)
        costs.append(entropy(block) + 0.5 * np.sum(np.log(2 * np.pi * np.e * left)))
    assert linear_optimum(covariance, 2).cost <= min(costs) + 1e-7


def test_more_latents_than_data_dimensions_stay_unused():
    covariance = random_covariance(13)
    for beta in [1.0, 1.3]:
        for optimum_of in [linear_optimum, shared_std_optimum]:
            wide, square = optimum_of(covariance, 5, beta), optimum_of(covariance, 3, beta)
            assert wide.weights.shape == (3, 5)
            assert wide.posterior_covariance.shape == (5, 5)
            np.testing.assert_array_equal(wide.weights[:, 3:], 0.0)
            assert wide.cost == pytest.approx(square.cost, abs=1e-10)
