"""The linear optimum where its answer is known otherwise, and what it must not depend on."""

import numpy as np
import pytest
from conftest import random_covariance
from scipy.optimize import minimize
from sklearn.decomposition import FactorAnalysis

from analysis.information import common_information, entropy
from analysis.linear_vae import linear_optimum, shared_std_optimum

N_DIM = 2


@pytest.mark.parametrize("n_dim", [1, 2])
def test_linear_optimum_at_beta_one_is_factor_analysis(n_dim):
    rng = np.random.default_rng(0)
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


def test_a_heywood_case_has_the_cost_of_its_boundary():
    # corr(1, 2) corr(1, 3) / corr(2, 3) = 1.28: one factor would need a negative variance of x_1,
    # so the best model copies x_1, given which x_2 and x_3 are independent with variance 0.36.
    covariance = np.array([[1.0, 0.8, 0.8], [0.8, 1.0, 0.5], [0.8, 0.5, 1.0]])
    optimum = linear_optimum(covariance, 1)
    infimum = 1.5 * np.log(2 * np.pi * np.e) + np.log(0.36)
    assert infimum <= optimum.cost < infimum + 1e-7
    assert 0.0 < optimum.noise_variances[0] < 1e-6
    assert np.isfinite(optimum.kl) and np.isfinite(optimum.log_px_z)


def wishart(seed, data_dim, rows_per_dim=3):
    """The covariance of white rows: at beta 1 many local minima, Heywood cases most of them."""
    rows = np.random.default_rng(seed).normal(size=(rows_per_dim * data_dim, data_dim))
    return np.cov(rows, rowvar=False)


def profile_cost(log_variances, covariance, n_dim, beta):
    """Eq. (5) and (6) of docs/theory.md, written out again."""
    root = np.linalg.cholesky(covariance) / np.sqrt(beta * np.exp(log_variances))[:, None]
    u, singular_values, _ = np.linalg.svd(root)
    coded = np.maximum(singular_values**2, 1.0)
    coded[n_dim:] = 1.0
    left = singular_values**2 / coded
    cost = np.sum(np.log(2 * np.pi) + log_variances + beta * (np.log(coded) + left))
    return 0.5 * cost, 0.5 - 0.5 * beta * u**2 @ left


def lowest_of_many_starts(covariance, n_dim, beta, n_starts):
    """The profile cost by scipy's L-BFGS-B from random starts, some coordinates copied."""
    rng = np.random.default_rng(23)
    upper = np.log(np.diag(covariance))
    conditional = -np.log(np.diag(np.linalg.inv(covariance)))
    bounds = list(zip(conditional + np.log(1e-8), upper, strict=True))
    lowest = np.inf
    for _ in range(n_starts):
        start = upper + rng.uniform(size=len(upper)) * (conditional - upper)
        copied = rng.permutation(len(upper))[: rng.integers(0, n_dim + 2)]
        start[copied] = conditional[copied] - 5.0
        options = {"maxiter": 2000, "ftol": 1e-15, "gtol": 1e-9}
        args = (covariance, n_dim, beta)
        found = minimize(
            profile_cost, start, args, "L-BFGS-B", jac=True, bounds=bounds, options=options
        )
        lowest = min(lowest, found.fun)
    return lowest


@pytest.mark.parametrize(("n_dim", "beta"), [(1, 1.0), (3, 1.0), (2, 1.1)])
def test_many_starts_find_nothing_lower(n_dim, beta):
    covariance = wishart(24, 7)
    lowest = lowest_of_many_starts(covariance, n_dim, beta, 10)
    assert linear_optimum(covariance, n_dim, beta).cost < lowest + 1e-8


@pytest.mark.slow
@pytest.mark.parametrize("data_dim", [21, 35, 50, 60])
@pytest.mark.parametrize(("n_dim", "beta"), [(1, 1.0), (2, 1.0), (4, 1.0), (2, 1.05), (3, 1.2)])
def test_many_starts_find_nothing_lower_in_high_dimensions(data_dim, n_dim, beta):
    for rows_per_dim in [2, 20]:
        covariance = wishart(25, data_dim, rows_per_dim)
        lowest = lowest_of_many_starts(covariance, n_dim, beta, 60)
        assert linear_optimum(covariance, n_dim, beta).cost < lowest + 1e-8


def test_at_beta_one_the_solution_of_least_kl_is_the_common_information():
    rng = np.random.default_rng(2)  # two factors, but the common information takes four units
    weights, noise_variances = rng.normal(size=(6, 2)), rng.uniform(0.3, 1.0, size=6)
    covariance = weights @ weights.T + np.diag(noise_variances)
    common = common_information(covariance)
    assert common.units == 4
    for n_dim in [4, 6]:
        best = linear_optimum(covariance, n_dim)
        assert best.kl == pytest.approx(common.nats, abs=1e-8)
        assert best.cost == pytest.approx(entropy(covariance), abs=1e-9)
    fewer = linear_optimum(covariance, 3)
    assert fewer.cost == pytest.approx(entropy(covariance), abs=1e-8)
    assert common.nats < fewer.kl < linear_optimum(covariance, 2).kl


def test_more_latents_than_data_dimensions_stay_unused():
    covariance = random_covariance(13)
    for beta in [1.0, 1.3]:
        for optimum_of in [linear_optimum, shared_std_optimum]:
            wide, square = optimum_of(covariance, 5, beta), optimum_of(covariance, 3, beta)
            assert wide.weights.shape == (3, 5)
            assert wide.posterior_covariance.shape == (5, 5)
            np.testing.assert_array_equal(wide.weights[:, 3:], 0.0)
            assert wide.cost == pytest.approx(square.cost, abs=1e-10)
