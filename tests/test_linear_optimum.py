"""The linear optimum where the answer is known by other means, and its invariances."""

import numpy as np
import pytest
from conftest import random_covariance
from scipy.optimize import minimize

from analysis import linear_search
from analysis.information import MOST_DIMENSIONS, common_information, entropy
from analysis.linear_vae import beta_thresholds, cost_bound, optimum

N_DIM = 2


def test_a_change_of_units_moves_the_cost_by_the_log_of_the_units():
    covariance, units = random_covariance(11, 5), np.array([1e-4, 1e3, 1.0, 20.0, 0.3])
    before = optimum(covariance, N_DIM, 1.5, "learned")
    after = optimum(units[:, None] * covariance * units, N_DIM, 1.5, "learned")
    assert after.cost - before.cost == pytest.approx(np.sum(np.log(units)), abs=1e-7)
    assert after.kl == pytest.approx(before.kl, abs=1e-5)


HEYWOOD = np.array([[1.0, 0.8, 0.7], [0.8, 1.0, 0.3], [0.7, 0.3, 1.0]])


def test_a_heywood_case_has_the_cost_of_its_boundary_and_no_rate():
    # corr(1, 2) corr(1, 3) / corr(2, 3) = 1.87: one factor would need a negative variance of x_1,
    # so the best model copies x_1, given which x_2 and x_3 have the variances 0.36 and 0.51.
    best = optimum(HEYWOOD, 1, 1.0, "learned")
    infimum = 1.5 * np.log(2 * np.pi * np.e) + 0.5 * np.log(0.36 * 0.51)
    assert infimum <= best.cost < infimum + 1e-7
    assert not best.attained and not best.has_rate
    np.testing.assert_allclose(best.noise_variances[1:], [0.36, 0.51], rtol=1e-6)


@pytest.mark.parametrize("min_log_std", [-8.0, -9.5, -15.0, -40.0])
def test_a_copied_coordinate_has_the_std_of_the_bound_however_low_that_is(min_log_std):
    best = optimum(HEYWOOD, 1, 1.0, "learned", min_log_std)
    assert not best.attained and best.has_rate
    assert best.noise_variances[0] == pytest.approx(np.exp(2.0 * min_log_std))
    assert best.kl == pytest.approx(-min_log_std, abs=1e-6)  # a unit copies x_1, of variance 1


def test_heywood_cases_are_seen_also_where_the_search_stops_above_the_floor():
    rng, n_seen = np.random.default_rng(9), 0
    for seed in range(12):
        mix = rng.normal(size=(6, 6)) if seed % 2 else np.eye(6)  # mixed: nearly singular
        covariance = mix @ wishart(seed, 6, 8) @ mix.T
        best = optimum(covariance, N_DIM, 1.0, "learned")
        relative = best.noise_variances * np.diag(np.linalg.inv(covariance))
        assert best.attained == (np.min(relative) > 1e-4)
        n_seen += not best.attained
    assert 3 < n_seen < 12


def wishart(seed, data_dim, rows_per_dim=3):
    """The covariance of white rows: at beta 1 many local minima, Heywood cases most of them."""
    rows = np.random.default_rng(seed).normal(size=(rows_per_dim * data_dim, data_dim))
    return np.cov(rows, rowvar=False)


def likelihood_cost(parameters, covariance, n_dim, beta):
    """The cost of (W, log psi) with its best encoder, and its gradient.

    beta times a negative log-likelihood of W W' + beta Psi, without any eigenvector.
    """
    data_dim = len(covariance)
    weights = parameters[:-data_dim].reshape(data_dim, n_dim)
    phi = beta * np.exp(parameters[-data_dim:])
    spread = weights @ weights.T + np.diag(phi)
    inverse = np.linalg.inv(spread)
    log_det = np.linalg.slogdet(2 * np.pi * spread)[1]
    cost = 0.5 * beta * (log_det + np.sum(inverse * covariance))
    cost -= 0.5 * (beta - 1) * np.sum(np.log(2 * np.pi * phi)) + 0.5 * data_dim * np.log(beta)
    slope = inverse - inverse @ covariance @ inverse
    of_log_psi = 0.5 * beta * phi * np.diag(slope) - 0.5 * (beta - 1)
    return cost, np.append(beta * slope @ weights, of_log_psi)


def lowest_of_many_starts(covariance, n_dim, beta, n_starts):
    """likelihood_cost by scipy's L-BFGS-B from random starts."""
    rng = np.random.default_rng(23)
    log_std = 0.5 * np.log(np.diag(covariance))
    found = []
    for _ in range(n_starts):
        weights = rng.normal(size=(len(covariance), n_dim)) * np.exp(log_std)[:, None]
        start = np.append(weights, 2.0 * log_std - rng.exponential(size=len(covariance)))
        bounds = [(None, None)] * weights.size + [(value - 16.0, None) for value in 2.0 * log_std]
        options = {"maxiter": 1500, "ftol": 1e-14, "gtol": 1e-8}
        args = (covariance, n_dim, beta)
        found.append(
            minimize(
                likelihood_cost, start, args, "L-BFGS-B", jac=True, bounds=bounds, options=options
            ).fun
        )
    return min(found)


@pytest.mark.parametrize(("n_dim", "beta"), [(1, 1.0), (3, 1.0), (2, 1.1)])
def test_many_starts_find_the_same_and_nothing_lower(n_dim, beta):
    covariance = wishart(24, 6)
    lowest = lowest_of_many_starts(covariance, n_dim, beta, 8)
    assert lowest - 1e-4 < optimum(covariance, n_dim, beta, "learned").cost < lowest + 1e-8


@pytest.mark.slow
@pytest.mark.parametrize("data_dim", [21, 60])
@pytest.mark.parametrize(("n_dim", "beta"), [(1, 1.0), (4, 1.0), (2, 1.05), (3, 1.2)])
def test_many_starts_find_nothing_lower_in_high_dimensions(data_dim, n_dim, beta):
    for rows_per_dim in [2, 20]:
        covariance = wishart(25, data_dim, rows_per_dim)
        lowest = lowest_of_many_starts(covariance, n_dim, beta, 12)
        assert optimum(covariance, n_dim, beta, "learned").cost < lowest + 1e-8


def test_the_work_is_bounded_at_any_width(monkeypatch):
    searches = []
    minimize_one = linear_search.minimize

    def counted(*arguments, **options):
        searches.append(arguments)
        return minimize_one(*arguments, **options)

    monkeypatch.setattr(linear_search, "minimize", counted)
    optimum(wishart(3, 160, 2), 2, 1.2, "learned")
    assert len(searches) <= 8
    wide = np.eye(MOST_DIMENSIONS + 1)
    assert optimum(wide, 2, 1.0, "learned") is None
    assert common_information(wide) is None
    assert beta_thresholds(wide, 2, "learned") is None
    assert beta_thresholds(np.eye(120), 100, "learned") is None
    assert cost_bound(wide, 1.0, "learned") == pytest.approx(entropy(wide))
    assert cost_bound(wide, 1.5, "learned") is None
    assert optimum(wide, 2, 1.0, "shared").attained


def test_at_beta_one_the_solution_of_least_kl_is_the_common_information():
    rng = np.random.default_rng(2)  # two factors, but the common information takes four units
    weights, noise_variances = rng.normal(size=(6, 2)), rng.uniform(0.3, 1.0, size=6)
    covariance = weights @ weights.T + np.diag(noise_variances)
    common = common_information(covariance)
    assert common.units == 4
    for n_dim in [4, 6]:
        best = optimum(covariance, n_dim, 1.0, "learned")
        assert best.kl == pytest.approx(common.nats, abs=1e-8)
        assert best.cost == pytest.approx(entropy(covariance), abs=1e-9)
    fewer = optimum(covariance, 3, 1.0, "learned")
    assert fewer.cost == pytest.approx(entropy(covariance), abs=1e-8)
    assert common.nats < fewer.kl < optimum(covariance, 2, 1.0, "learned").kl


def test_more_latents_than_data_dimensions_stay_unused():
    covariance = random_covariance(13)
    for beta in [1.0, 1.3]:
        for kind in ["learned", "shared"]:
            wide, square = (optimum(covariance, n_dim, beta, kind) for n_dim in (5, 3))
            assert wide.weights.shape == (3, 5)
            assert wide.posterior_covariance.shape == (5, 5)
            np.testing.assert_array_equal(wide.weights[:, 3:], 0.0)
            assert wide.cost == pytest.approx(square.cost, abs=1e-10)
