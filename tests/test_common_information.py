"""Wyner's common information, its relaxation, and the betas at which units go."""

import numpy as np
import pytest
from conftest import random_covariance

from analysis.information import (
    common_information,
    pair_relaxed_common_information,
    total_correlation,
)
from analysis.known import known_gaussian
from analysis.linear_vae import beta_thresholds, optimum


def star(edges):
    return np.outer(edges, edges) + np.diag(1.0 - np.square(edges))


def curve(covariance, n_dim, betas):
    """I and TC of the best linear VAE at each of the betas, two arrays."""
    optima = [optimum(covariance, n_dim, beta, "learned") for beta in betas]
    information = np.array([best.kl for best in optima])
    return information, np.array([best.conditional_total_correlation for best in optima])


@pytest.mark.parametrize("rho", [-0.999999, -0.3, 0.0, 0.8])
def test_a_pair_has_wyners_closed_form(rho):
    common = common_information([[1.0, rho], [rho, 1.0]])
    expected = 0.5 * np.log((1.0 + abs(rho)) / (1.0 - abs(rho)))
    assert common.nats == pytest.approx(expected, abs=1e-8)
    assert common.units == (rho != 0.0)
    assert pair_relaxed_common_information(rho, 0.0) == pytest.approx(expected)


@pytest.mark.parametrize("data_dim", [1, 4, 30])
def test_the_certificate_holds(data_dim):
    rows = np.random.default_rng(data_dim).normal(size=(2 * data_dim + 1, data_dim))
    covariance = np.atleast_2d(np.cov(rows, rowvar=False))
    common = common_information(covariance)
    psi, dual = common.noise_variances, common.dual
    left = covariance - np.diag(psi)
    assert 0.0 <= common.duality_gap < 1e-8
    assert np.linalg.eigvalsh(left)[0] > 0.0
    assert np.linalg.eigvalsh(dual)[0] > 0.0
    np.testing.assert_allclose(dual @ left, 0.0, atol=1e-6)
    np.testing.assert_allclose(np.diag(dual) * psi, 1.0, atol=1e-3)
    bound = np.linalg.slogdet(covariance)[1] + np.sum(np.log(np.diag(dual)))
    bound = 0.5 * (bound - np.sum(dual * covariance) + data_dim)
    assert bound == pytest.approx(common.nats - common.duality_gap, abs=1e-9)
    assert common.nats == pytest.approx(
        0.5 * (np.linalg.slogdet(covariance)[1] - np.sum(np.log(psi))), abs=1e-9
    )


def test_nearly_singular_data_are_certified_as_far_as_rounding_lets_them_be():
    for distance, gap in [(1e-6, 1e-9), (1e-11, 1e-4)]:
        common = common_information([[1.0, 1.0 - distance], [1.0 - distance, 1.0]])
        expected = 0.5 * np.log((2.0 - distance) / distance)
        assert common.units == 1
        assert common.duality_gap < gap
        assert common.nats == pytest.approx(expected, abs=gap)


def test_it_depends_neither_on_units_nor_on_the_order_of_the_coordinates():
    covariance, units = random_covariance(4, 5), np.array([1e-4, 1e3, 1.0, 20.0, 0.3])
    common, order = common_information(covariance), np.array([3, 0, 4, 2, 1])
    other = common_information((units[:, None] * covariance * units)[np.ix_(order, order)])
    assert other.nats == pytest.approx(common.nats, abs=1e-9)
    expected = (units**2 * common.noise_variances)[order]
    np.testing.assert_allclose(other.noise_variances, expected, rtol=1e-5)


def test_the_default_data_have_the_common_information_of_their_two_factors():
    common = common_information(known_gaussian().covariance)
    assert common.nats == pytest.approx(3.2774153, abs=1e-6)
    assert common.units == 2
    np.testing.assert_allclose(
        common.noise_variances, [0.15, 0.2, 0.25, 0.12, 0.2, 0.28, 0.15, 0.25, 0.3, 0.2], rtol=1e-6
    )


def test_one_unit_explains_a_star_unless_an_edge_dominates():
    rng = np.random.default_rng(5)
    kinds = []
    for _ in range(60):
        data_dim = rng.integers(3, 9)
        edges = rng.uniform(0.1, 0.95, size=data_dim) * rng.choice([-1.0, 1.0], size=data_dim)
        if rng.uniform() < 0.5:
            edges[0] = rng.uniform(0.95, 0.999)
        t = np.abs(edges) / np.sqrt(1.0 - edges**2)
        excess = 2.0 * t.max() - t.sum()
        if abs(excess) < 1e-3:
            continue
        common = common_information(star(edges))
        naive = 0.5 * np.log1p(np.sum(t**2))  # of z itself, the star's centre
        kinds.append(excess > 0.0)
        if excess > 0.0:
            assert common.units == data_dim - 1
            assert common.nats < naive - 1e-7
        else:
            assert common.units == 1
            assert common.nats == pytest.approx(naive, abs=1e-8)
    assert 10 < sum(kinds) < len(kinds) - 10


def test_a_pair_follows_the_curve_of_sula_and_gastpar():
    rho, betas = 0.8, np.array([1.0, 1.003, 1.05, 1.2, 1.5, 1.7, 1.8, 3.0])
    for n_dim in [2, 1]:
        information, dependence = curve(np.array([[1.0, rho], [rho, 1.0]]), n_dim, betas)
        expected = pair_relaxed_common_information(rho, dependence)
        np.testing.assert_allclose(information, expected, atol=2e-6)
        np.testing.assert_allclose(information[2:4], [1.048571, 0.895880], atol=1e-6)
        np.testing.assert_allclose(dependence[2:4], [0.001252, 0.020411], atol=1e-6)
        assert information[-1] == 0.0
        pair = total_correlation([[1.0, rho], [rho, 1.0]])
        assert dependence[-1] == pytest.approx(pair, abs=1e-12)


def test_the_curve_falls_with_the_slope_of_its_price():
    # TC is convex in I with slope -(beta - 1): the Lagrangian of the relaxed common information.
    betas = np.linspace(1.05, 5.0, 20)
    information, dependence = curve(known_gaussian().covariance, 10, betas)
    assert np.all(np.diff(information) < 0.0) and np.all(np.diff(dependence) > 0.0)
    slopes = -np.diff(dependence) / np.diff(information)
    assert np.all((betas[:-1] - 1.0 < slopes) & (slopes < betas[1:] - 1.0))


def live_units(best):
    return int(np.sum(np.diag(best.posterior_covariance) < 1.0 - 1e-7))


@pytest.mark.parametrize("min_log_std", [None, -0.9, 0.2])
@pytest.mark.parametrize("n_dim", [1, 2, 4, 6])
def test_units_go_at_the_thresholds_and_nowhere_else(n_dim, min_log_std):
    rows = np.random.default_rng(6).normal(size=(7, 4)) @ np.diag([1.0, 2.0, 0.3, 5.0])
    covariance = np.cov(rows, rowvar=False) + 0.02 * np.eye(4)
    for kind in ["learned", "shared", 0.9]:
        bound = None if kind == 0.9 else min_log_std
        thresholds = beta_thresholds(covariance, n_dim, kind, bound)
        assert np.all(np.diff(thresholds) >= 0.0)
        if bound is not None or kind == 0.9:
            assert len(thresholds) == min(n_dim, 4)
        for beta in np.concatenate([thresholds * (1 - 1e-4), thresholds * (1 + 1e-4)]):
            best = optimum(covariance, n_dim, beta, kind, bound)
            if best is not None:
                assert live_units(best) == np.sum(thresholds > beta)


def test_the_number_of_units_only_falls_as_beta_grows():
    # A conjecture, on which the thresholds rest (docs/theory.md, section 4).
    for seed in range(8):
        covariance = random_covariance(30 + seed, 3 + seed % 3)
        betas = 1.0 + np.geomspace(1e-3, 4.0, 25)
        units = [live_units(optimum(covariance, 5, beta, "learned")) for beta in betas]
        thresholds = beta_thresholds(covariance, 5, "learned")
        assert units == [np.sum(thresholds > beta) for beta in betas]


def test_data_without_any_dependence_have_no_threshold_above_one_but_that_of_the_std():
    one_column, independent = np.array([[2.0]]), np.diag([1.0, 3.0])
    assert len(beta_thresholds(one_column, 2, "learned")) == 0
    assert len(beta_thresholds(one_column, 2, "shared")) == 0
    np.testing.assert_allclose(beta_thresholds(one_column, 2, 0.7), [2.0 / 0.49])
    assert len(beta_thresholds(independent, 2, "learned")) == 0
    bounded = beta_thresholds(independent, 2, "learned", 0.2)
    np.testing.assert_allclose(bounded, [1 / np.exp(0.4), 1])
