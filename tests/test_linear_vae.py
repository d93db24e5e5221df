"""The optima of the theory against the plain cost of any linear model."""

from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from conftest import random_covariance
from scipy.optimize import minimize

from analysis import linear_vae
from analysis.information import entropy
from analysis.linear_vae import (
    cost_of_rows,
    fixed_std_optimum,
    linear_optimum,
    shared_std_optimum,
)

DATA_DIM, N_DIM = 3, 2


def plain_terms(covariance, weights, encoder, posterior_covariance, noise_variances):
    """(kl, log_px_z, distortion) of any linear model, by the textbook formulas of Gaussians."""
    n_dim = weights.shape[1]
    mean_covariance = encoder @ covariance @ encoder.T
    log_det = np.linalg.slogdet(posterior_covariance)[1]
    kl = 0.5 * (np.trace(posterior_covariance + mean_covariance) - n_dim - log_det)
    error_map = np.eye(len(covariance)) - weights @ encoder
    errors = error_map @ covariance @ error_map.T + weights @ posterior_covariance @ weights.T
    log_px_z = -0.5 * np.sum(
        np.log(2 * np.pi * noise_variances) + np.diag(errors) / noise_variances
    )
    return kl, log_px_z, np.trace(errors)


def encoder_of(optimum, beta):
    """The encoder's matrix as the docstring of Optimum gives it."""
    return optimum.posterior_covariance @ optimum.weights.T / optimum.noise_variances / beta


def plain_cost(parameters, covariance, n_dim, beta, noise_variances_of):
    """Cost of the model packed in a vector: W, encoder, a root of V, what the noise depends on."""
    size = len(covariance) * n_dim
    weights, encoder, root, noise = np.split(parameters, [size, 2 * size, 2 * size + n_dim**2])
    root = np.tril(root.reshape(n_dim, n_dim))
    root[np.diag_indices(n_dim)] = np.exp(np.diag(root))
    kl, log_px_z, _ = plain_terms(
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
    fixed = fixed_std_optimum(covariance, n_dim, beta, 0.6)
    shared = shared_std_optimum(covariance, n_dim, beta)
    kinds = [
        (fixed, lambda free: np.full(data_dim, 0.36), 0),
        (shared, lambda free: np.full(data_dim, np.exp(free[0])), 1),
    ]
    if beta >= 1.0:
        kinds.append((linear_optimum(covariance, n_dim, beta), np.exp, data_dim))
    return kinds


@pytest.mark.parametrize("beta", [0.5, 1.5, 2.0, 4.0])
def test_terms_agree_with_the_plain_formula(beta):
    covariance = random_covariance(5, 5)
    for optimum, _, _ in all_optima(covariance, 3, beta):
        kl, log_px_z, distortion = plain_terms(
            covariance,
            optimum.weights,
            encoder_of(optimum, beta),
            optimum.posterior_covariance,
            optimum.noise_variances,
        )
        assert optimum.kl == pytest.approx(kl, abs=1e-10)
        assert optimum.log_px_z == pytest.approx(log_px_z, abs=1e-10)
        assert optimum.distortion == pytest.approx(distortion, abs=1e-10)
        assert optimum.elbo == pytest.approx(log_px_z - kl, abs=1e-10)
        assert optimum.cost == pytest.approx(beta * kl - log_px_z, abs=1e-10)


@pytest.mark.parametrize("beta", [0.5, 1.0, 1.5, 4.0])
def test_the_gaps_are_the_divergences_of_model_and_posterior(beta):
    covariance = random_covariance(19, 5)
    for best, _, _ in all_optima(covariance, 3, beta):
        weights, v, a = best.weights, best.posterior_covariance, encoder_of(best, beta)
        model = weights @ weights.T + np.diag(best.noise_variances)
        log_dets = np.linalg.slogdet(model)[1] - np.linalg.slogdet(covariance)[1]
        gap_model = 0.5 * (np.trace(np.linalg.solve(model, covariance)) - 5 + log_dets)
        assert best.gap_model == pytest.approx(gap_model, abs=1e-10)
        precision = np.eye(3) + weights.T @ (weights / best.noise_variances[:, None])
        shift = a - np.linalg.solve(precision, weights.T / best.noise_variances)
        log_dets = -np.linalg.slogdet(precision)[1] - np.linalg.slogdet(v)[1]
        traces = np.trace(precision @ (v + shift @ covariance @ shift.T))
        assert best.gap_encoder == pytest.approx(0.5 * (traces - 3 + log_dets), abs=1e-10)
        assert best.gap_model + best.gap_encoder + best.elbo == pytest.approx(-entropy(covariance))
        np.testing.assert_allclose(best.model_covariance, model)
        error = np.sqrt(np.sum((model - covariance) ** 2) / np.sum(covariance**2))
        assert best.covariance_error == pytest.approx(error, abs=1e-10)


@pytest.mark.parametrize("beta", [0.5, 1.02, 1.5, 4.0])
def test_the_cost_is_entropy_and_information_and_the_dependence_left(beta):
    covariance = random_covariance(20, 5)
    for best, _, _ in all_optima(covariance, 2, beta):
        a = encoder_of(best, beta)
        aggregate = a @ covariance @ a.T + best.posterior_covariance
        np.testing.assert_allclose(aggregate, np.eye(2), atol=1e-9)
        left = covariance - covariance @ a.T @ np.linalg.solve(aggregate, a @ covariance)
        log_det = np.linalg.slogdet(left)[1]
        information = 0.5 * (np.linalg.slogdet(covariance)[1] - log_det)
        dependence = 0.5 * (np.sum(np.log(np.diag(left))) - log_det)
        ratios = np.diag(left) / best.noise_variances
        mismatch = 0.5 * np.sum(ratios - 1.0 - np.log(ratios))
        assert best.kl == pytest.approx(information, abs=1e-9)
        assert best.conditional_total_correlation == pytest.approx(dependence, abs=1e-9)
        assert best.decoder_mismatch == pytest.approx(mismatch, abs=1e-9)
        cost = entropy(covariance) + (beta - 1.0) * information + dependence + mismatch
        assert best.cost == pytest.approx(cost, abs=1e-9)


@pytest.mark.parametrize("beta", [0.5, 1.02, 2.5])
def test_at_an_optimum_the_cost_of_a_row_is_the_same_at_every_z(beta):
    covariance, mean = random_covariance(21, 4), np.array([1.0, 0.0, -2.0, 0.5])
    x = np.random.default_rng(21).multivariate_normal(mean, covariance, size=6)
    for best, _, _ in all_optima(covariance, 2, beta):
        std = np.sqrt(np.diag(best.posterior_covariance))
        z_mean = (x - mean) @ encoder_of(best, beta).T
        z = z_mean + std * np.random.default_rng(22).normal(size=(50, 6, 2))
        log_ratio = np.sum(
            scipy.stats.norm.logpdf(z) - scipy.stats.norm.logpdf(z, z_mean, std), axis=-1
        )
        x_std = np.sqrt(best.noise_variances)
        log_px_z = scipy.stats.norm.logpdf(x, mean + z @ best.weights.T, x_std).sum(axis=-1)
        costs = -(log_px_z + beta * log_ratio)
        exact = cost_of_rows(best, beta, x, mean, covariance)
        np.testing.assert_allclose(costs, np.tile(exact, (50, 1)), rtol=1e-9)
        # The tempered encoder q^beta p^(1 - beta) is the posterior of the decoder.
        precision = np.eye(2) + best.weights.T @ (best.weights / best.noise_variances[:, None])
        np.testing.assert_allclose(np.diag(beta / std**2 + 1.0 - beta), precision, atol=1e-9)
        posterior_mean = np.linalg.solve(precision, best.weights.T / best.noise_variances)
        tempered = (beta * z_mean / std**2) / (beta / std**2 + 1.0 - beta)
        np.testing.assert_allclose(tempered, (x - mean) @ posterior_mean.T, atol=1e-9)


@pytest.mark.parametrize("beta", [0.5, 1.3, 4.0])
def test_a_general_optimizer_with_any_posterior_reaches_the_optima_and_does_not_beat_them(beta):
    # At beta = 4 the shared variance has n_dim * beta > data_dim, and a minimum all the same.
    covariance = np.array([[2.0, 1.5, 0.7], [1.5, 1.8, 0.4], [0.7, 0.4, 0.5]])
    for optimum, noise_of, n_noise in all_optima(covariance, N_DIM, beta):
        found = lowest_cost_found(covariance, N_DIM, beta, noise_of, n_noise)
        assert found == pytest.approx(optimum.cost, abs=1e-6)


def test_optimum_chooses_by_the_decoder_std_and_says_why_there_is_none():
    covariance = random_covariance(14)
    for beta in [0.5, 2.0]:
        cost = linear_vae.optimum(covariance, N_DIM, beta, 0.3).cost
        assert cost == fixed_std_optimum(covariance, N_DIM, beta, 0.3).cost
        cost = linear_vae.optimum(covariance, N_DIM, beta, "shared").cost
        assert cost == shared_std_optimum(covariance, N_DIM, beta).cost
    learned = linear_vae.optimum(covariance, N_DIM, 2.0, "learned")
    assert learned.cost == linear_optimum(covariance, N_DIM, 2.0).cost
    assert learned.attained
    for n_dim, beta, kind in [(2, 0.99, "learned"), (3, 0.99, "shared"), (2, 0.0, 0.5)]:
        assert linear_vae.optimum(covariance, n_dim, beta, kind) is None
        assert "no minimum" in linear_vae.why_no_optimum(DATA_DIM, n_dim, beta, kind)
        assert linear_vae.why_no_optimum(DATA_DIM, n_dim, 1.0, kind) is None
    for optimum_of in [linear_optimum, shared_std_optimum]:
        with pytest.raises(ValueError, match="no minimum"):
            optimum_of(covariance, DATA_DIM, 0.99)
        assert not optimum_of(covariance, DATA_DIM, 0.5, min_log_std=-1.0).attained


@pytest.mark.parametrize(("n_dim", "beta"), [(1, 0.5), (1, 1.0), (2, 1.3)])
def test_a_bound_of_the_std_is_kept_as_softplus_keeps_it(n_dim, beta):
    covariance, least = random_covariance(6), 0.1
    best = linear_optimum(covariance, n_dim, beta, min_log_std=least)
    shared = shared_std_optimum(covariance, n_dim, beta, min_log_std=least)
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
    free, bounded = (linear_optimum(covariance, N_DIM, 1.3, bound) for bound in (None, -40.0))
    assert free.cost == bounded.cost and bounded.attained
    free, bounded = (shared_std_optimum(covariance, N_DIM, 0.5, bound) for bound in (None, -40.0))
    assert free.cost == bounded.cost and bounded.attained


def test_a_unit_is_active_where_its_mean_varies_as_for_trained_models():
    covariance = np.loadtxt(Path(__file__).parents[1] / "data" / "covariance.dat")
    best = fixed_std_optimum(covariance, 2, 15.757, 0.5)
    variances = 1.0 - np.diag(best.posterior_covariance)
    np.testing.assert_allclose(variances, [0.449, 0.005], atol=1e-3)
    assert 1e-4 < variances[1] < 0.01 and best.active_units == 1
