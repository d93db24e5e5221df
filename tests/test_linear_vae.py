"""The optima of the theory against the plain cost of any linear model."""

import numpy as np
import pytest
import scipy.stats
from conftest import random_covariance
from helpers import exact_numbers
from scipy.optimize import minimize

from analysis.known import known_gaussian
from analysis.linear_vae import cost_of_rows, optimum

DATA_DIM, N_DIM = 3, 2


def plain_terms(covariance, weights, encoder, posterior_covariance, noise_variances):
    """(kl, log_px_z) of any linear model, by the textbook formulas of Gaussians."""
    n_dim = weights.shape[1]
    mean_covariance = encoder @ covariance @ encoder.T
    log_det = np.linalg.slogdet(posterior_covariance)[1]
    kl = 0.5 * (np.trace(posterior_covariance + mean_covariance) - n_dim - log_det)
    error_map = np.eye(len(covariance)) - weights @ encoder
    errors = error_map @ covariance @ error_map.T + weights @ posterior_covariance @ weights.T
    log_px_z = -0.5 * np.sum(
        np.log(2 * np.pi * noise_variances) + np.diag(errors) / noise_variances
    )
    return kl, log_px_z


def plain_cost(parameters, covariance, n_dim, beta, noise_variances_of):
    """Cost of the model packed in a vector: W, encoder, a root of V, what the noise depends on."""
    size = len(covariance) * n_dim
    weights, encoder, root, noise = np.split(parameters, [size, 2 * size, 2 * size + n_dim**2])
    root = np.tril(root.reshape(n_dim, n_dim))
    root[np.diag_indices(n_dim)] = np.exp(np.diag(root))
    kl, log_px_z = plain_terms(
        covariance,
        weights.reshape(-1, n_dim),
        encoder.reshape(n_dim, -1),
        root @ root.T,
        noise_variances_of(noise),
    )
    return beta * kl - log_px_z


def lowest_cost_found(covariance, n_dim, beta, noise_variances_of, n_noise, n_starts=2, steps=3000):
    """The plain cost minimised by a general optimizer from random models."""
    n_parameters = 2 * len(covariance) * n_dim + n_dim**2 + n_noise
    starts = np.random.default_rng(3).normal(scale=0.5, size=(n_starts, n_parameters))
    args = (covariance, n_dim, beta, noise_variances_of)
    options = {"maxiter": steps, "maxfun": 200000, "ftol": 1e-14, "gtol": 1e-8}
    found = [minimize(plain_cost, start, args, "L-BFGS-B", options=options) for start in starts]
    return min(solution.fun for solution in found)


def all_optima(covariance, n_dim, beta):
    """Each kind of optimum, and the noise of its model as a function of so many parameters."""
    data_dim = len(covariance)
    kinds = [
        (0.6, lambda free: np.full(data_dim, 0.36), 0),
        ("shared", lambda free: np.full(data_dim, np.exp(free[0])), 1),
    ]
    if beta >= 1.0:
        kinds.append(("learned", np.exp, data_dim))
    return [(optimum(covariance, n_dim, beta, kind), *noise) for kind, *noise in kinds]


@pytest.mark.parametrize("beta", [0.5, 1.0, 1.02, 1.5, 4.0])
def test_every_number_of_an_optimum_is_that_of_the_joint_gaussian_of_x_and_z(beta):
    covariance = random_covariance(5, 5)
    for best, _, _ in all_optima(covariance, 3, beta):
        exact = exact_numbers(best, np.zeros(5), covariance, beta)
        assert exact["aggregate_kl"] == pytest.approx(0.0, abs=1e-9)
        assert best.kl == pytest.approx(exact["rate"], abs=1e-9)
        assert best.elbo == pytest.approx(exact["elbo_held_out"], abs=1e-9)
        for name in (
            "cost log_px_z distortion gap_model gap_encoder conditional_total_correlation "
            "decoder_mismatch covariance_error"
        ).split():
            assert getattr(best, name) == pytest.approx(exact[name], abs=1e-9), name


@pytest.mark.parametrize("beta", [0.5, 1.02, 2.5])
def test_at_an_optimum_the_cost_of_a_row_is_the_same_at_every_z(beta):
    covariance, mean = random_covariance(21, 4), np.array([1.0, 0.0, -2.0, 0.5])
    x = np.random.default_rng(21).multivariate_normal(mean, covariance, size=6)
    for best, _, _ in all_optima(covariance, 2, beta):
        std = np.sqrt(np.diag(best.posterior_covariance))
        # The encoder's matrix as the docstring of Optimum gives it:
        encoder = best.posterior_covariance @ best.weights.T / best.noise_variances / beta
        z_mean = (x - mean) @ encoder.T
        z = z_mean + std * np.random.default_rng(22).normal(size=(50, 6, 2))
        log_ratio = np.sum(
            scipy.stats.norm.logpdf(z) - scipy.stats.norm.logpdf(z, z_mean, std), axis=-1
        )
        x_std = np.sqrt(best.noise_variances)
        log_px_z = scipy.stats.norm.logpdf(x, mean + z @ best.weights.T, x_std).sum(axis=-1)
        costs = -(log_px_z + beta * log_ratio)
        exact = cost_of_rows(best, beta, x, mean, covariance)
        np.testing.assert_allclose(costs, np.tile(exact, (50, 1)), rtol=1e-9)


@pytest.mark.parametrize("beta", [0.5, 1.3, 4.0])
def test_a_general_optimizer_with_any_posterior_reaches_the_optima_and_does_not_beat_them(beta):
    # At beta = 4 the shared variance has n_dim * beta > data_dim, and a minimum all the same.
    covariance = np.array([[2.0, 1.5, 0.7], [1.5, 1.8, 0.4], [0.7, 0.4, 0.5]])
    for best, noise_of, n_noise in all_optima(covariance, N_DIM, beta):
        found = lowest_cost_found(covariance, N_DIM, beta, noise_of, n_noise)
        assert found == pytest.approx(best.cost, abs=1e-6)


def test_there_is_no_optimum_where_the_cost_falls_without_end():
    covariance = random_covariance(14)
    for n_dim, beta, kind in [(2, 0.99, "learned"), (3, 0.99, "shared"), (2, 0.0, 0.5)]:
        assert optimum(covariance, n_dim, beta, kind) is None
        assert optimum(covariance, n_dim, 1.0, kind) is not None
    for kind in ("learned", "shared"):
        assert not optimum(covariance, DATA_DIM, 0.5, kind, min_log_std=-1.0).attained


@pytest.mark.parametrize(("n_dim", "beta"), [(1, 0.5), (1, 1.0), (2, 1.3)])
def test_a_bound_of_the_std_is_kept_as_softplus_keeps_it(n_dim, beta):
    covariance, least = random_covariance(6), 0.1
    best = optimum(covariance, n_dim, beta, "learned", least)
    shared = optimum(covariance, n_dim, beta, "shared", least)
    assert best.noise_variances.min() == pytest.approx(np.exp(2.0 * least))
    assert not best.attained

    def softly_bounded(raw):
        log_std = least + np.logaddexp(0.0, raw - least)
        return np.exp(2.0 * log_std) * np.ones(DATA_DIM)

    for exact, n_free in [(best, DATA_DIM), (shared, 1)]:
        found = lowest_cost_found(covariance, n_dim, beta, softly_bounded, n_free, 1, steps=80)
        assert exact.cost - 1e-9 < found < exact.cost + 2e-3


def test_a_bound_that_does_not_bind_changes_nothing():
    covariance = random_covariance(6)
    for kind, beta in [("learned", 1.3), ("shared", 0.5)]:
        free, bounded = (optimum(covariance, N_DIM, beta, kind, bound) for bound in (None, -40.0))
        assert free.cost == bounded.cost and bounded.attained


def test_a_unit_is_active_where_its_mean_varies_as_for_trained_models():
    best = optimum(known_gaussian().covariance, 2, 15.757, 0.5)
    variances = 1.0 - np.diag(best.posterior_covariance)
    np.testing.assert_allclose(variances, [0.449, 0.005], atol=1e-3)
    assert 1e-4 < variances[1] < 0.01 and best.active_units == 1
