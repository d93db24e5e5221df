import itertools
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from scipy.optimize import minimize
from sklearn.decomposition import FactorAnalysis

from gaussian_theory import (
    check_covariance,
    cost_of_rows,
    entropy,
    fixed_std_optimum,
    linear_optimum,
    log_density,
    mean_log_density,
    rate_distortion,
    shared_std_optimum,
)

DATA_DIM, N_DIM = 3, 2


def random_covariance(seed, data_dim=DATA_DIM):
    """A full-rank covariance with correlations of every size and unequal variances."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(data_dim, data_dim + 2))
    return factors @ factors.T / data_dim


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
    """Cost of the model packed in a vector: W, encoder, log variances of q(z|x), noise."""
    size = len(covariance) * n_dim
    weights = parameters[:size].reshape(len(covariance), n_dim)
    encoder = parameters[size : 2 * size].reshape(n_dim, len(covariance))
    posterior = np.diag(np.exp(parameters[2 * size : 2 * size + n_dim]))
    noise_variances = noise_variances_of(parameters[2 * size + n_dim :])
    kl, log_px_z, _ = plain_terms(covariance, weights, encoder, posterior, noise_variances)
    return beta * kl - log_px_z


def packed(optimum, beta, noise_parameters):
    posterior_variances = np.diag(optimum.posterior_covariance)
    encoder = encoder_of(optimum, beta)
    parts = [optimum.weights.ravel(), encoder.ravel(), np.log(posterior_variances)]
    return np.concatenate([*parts, noise_parameters])


def lowest_cost_found(covariance, n_dim, beta, noise_variances_of, n_noise, n_starts=2):
    """The plain cost minimised by a general optimiser from random models."""
    rng = np.random.default_rng(3)
    n_parameters = 2 * len(covariance) * n_dim + n_dim + n_noise
    args = (covariance, n_dim, beta, noise_variances_of)
    options = {"maxiter": 3000, "maxfun": 200000, "ftol": 1e-14, "gtol": 1e-8}
    starts = rng.normal(scale=0.5, size=(n_starts, n_parameters))
    return min(
        minimize(plain_cost, start, args, method="L-BFGS-B", options=options).fun
        for start in starts
    )


def test_entropy_agrees_with_scipy():
    covariance = random_covariance(0)
    expected = scipy.stats.multivariate_normal(np.zeros(DATA_DIM), covariance).entropy()
    assert entropy(covariance) == pytest.approx(expected, abs=1e-12)


def test_log_density_agrees_with_scipy():
    covariance, mean = random_covariance(1), np.array([0.5, -2.0, 1.0])
    x = np.random.default_rng(1).normal(size=(4, DATA_DIM))
    expected = scipy.stats.multivariate_normal(mean, covariance).logpdf(x)
    np.testing.assert_allclose(log_density(x, mean, covariance), expected, atol=1e-12)
    assert mean_log_density(x, mean, covariance) == pytest.approx(expected.mean(), abs=1e-12)


@pytest.mark.parametrize(
    ("x_shape", "mean_shape", "message"),
    [((4, 2), (3,), "x must"), ((3,), (3,), "x must"), ((4, 3), (2,), "mean must")],
)
def test_log_density_refuses_wrong_shapes(x_shape, mean_shape, message):
    with pytest.raises(ValueError, match=message):
        log_density(np.zeros(x_shape), np.zeros(mean_shape), np.eye(3))


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


def all_optima(covariance, n_dim, beta):
    """Each kind of optimum, with the noise of its model as a function of its free parameters."""
    data_dim = len(covariance)
    fixed = fixed_std_optimum(covariance, n_dim, beta, 0.6)
    shared = shared_std_optimum(covariance, n_dim, beta)
    kinds = [
        (fixed, lambda free: np.full(data_dim, 0.36), np.empty(0)),
        (shared, lambda free: np.full(data_dim, np.exp(free[0])), shared.noise_variances[:1]),
    ]
    if beta >= 1.0:
        linear = linear_optimum(covariance, n_dim, beta)
        kinds.append((linear, np.exp, linear.noise_variances))
    return [(optimum, noise_of, np.log(free)) for optimum, noise_of, free in kinds]


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


def test_terms_agree_with_monte_carlo():
    covariance, beta, rows = random_covariance(6), 1.3, 200_000
    optimum = linear_optimum(covariance, N_DIM, beta)
    rng = np.random.default_rng(6)
    x = rng.multivariate_normal(np.zeros(DATA_DIM), covariance, size=rows)
    mean, std = x @ encoder_of(optimum, beta).T, np.sqrt(np.diag(optimum.posterior_covariance))
    z = mean + std * rng.normal(size=mean.shape)
    log_q = scipy.stats.norm.logpdf(z, mean, std).sum(axis=1)
    kl = log_q - scipy.stats.norm.logpdf(z).sum(axis=1)
    mean_x, std_x = z @ optimum.weights.T, np.sqrt(optimum.noise_variances)
    log_px_z = scipy.stats.norm.logpdf(x, mean_x, std_x).sum(axis=1)
    for draws, expected in [
        (kl, optimum.kl),
        (log_px_z, optimum.log_px_z),
        (beta * kl - log_px_z, optimum.cost),
        (np.sum((x - mean_x) ** 2, axis=1), optimum.distortion),
    ]:
        standard_error = draws.std() / np.sqrt(rows)
        assert standard_error < 0.015
        assert draws.mean() == pytest.approx(expected, abs=4.5 * standard_error)


@pytest.mark.parametrize("beta", [0.5, 1.2, 2.0, 4.0])
def test_the_optima_are_stationary_and_random_steps_do_not_improve_them(beta):
    covariance = random_covariance(7, 5)
    rng = np.random.default_rng(7)
    for optimum, noise_of, free in all_optima(covariance, N_DIM, beta):
        parameters = packed(optimum, beta, free)
        args = (covariance, N_DIM, beta, noise_of)
        # Central differences: forward ones are off by the curvature.
        gradient = [
            (plain_cost(parameters + step, *args) - plain_cost(parameters - step, *args)) / 2e-5
            for step in 1e-5 * np.eye(len(parameters))
        ]
        np.testing.assert_allclose(gradient, 0.0, atol=1e-6)
        for scale in [1e-3, 1e-2, 1e-1, 1.0]:
            steps = scale * rng.normal(size=(25, len(parameters)))
            costs = [plain_cost(parameters + step, *args) for step in steps]
            assert min(costs) >= optimum.cost - 1e-9


@pytest.mark.parametrize("beta", [0.5, 1.3, 4.0])
def test_a_general_optimiser_reaches_the_optima_and_does_not_beat_them(beta):
    # At beta = 4 the shared variance has n_dim * beta > data_dim, and a minimum all the same.
    covariance = np.array([[2.0, 1.5, 0.7], [1.5, 1.8, 0.4], [0.7, 0.4, 0.5]])
    for optimum, noise_of, free in all_optima(covariance, N_DIM, beta):
        found = lowest_cost_found(covariance, N_DIM, beta, noise_of, len(free))
        assert found == pytest.approx(optimum.cost, abs=1e-6)


def test_a_full_posterior_covariance_is_no_better_than_a_diagonal_one():
    covariance, beta = random_covariance(8, 4), 1.5
    optimum = linear_optimum(covariance, N_DIM, beta)

    def cost(parameters):
        root = np.array([[np.exp(parameters[0]), 0.0], [parameters[1], np.exp(parameters[2])]])
        encoder, weights = parameters[3:11].reshape(2, 4), parameters[11:19].reshape(4, 2)
        noise_variances = np.exp(parameters[19:])
        kl, log_px_z, _ = plain_terms(covariance, weights, encoder, root @ root.T, noise_variances)
        return beta * kl - log_px_z

    starts = np.random.default_rng(8).normal(scale=0.5, size=(5, 23))
    found = min(minimize(cost, start, method="BFGS").fun for start in starts)
    assert found == pytest.approx(optimum.cost, abs=1e-6)


def test_the_slope_of_the_cost_in_beta_is_the_kl():
    covariance = random_covariance(9, 4)
    for optimum_of in [
        lambda beta: linear_optimum(covariance, N_DIM, beta),
        lambda beta: shared_std_optimum(covariance, N_DIM, beta),
        lambda beta: fixed_std_optimum(covariance, N_DIM, beta, 0.3),
    ]:
        optimum = optimum_of(1.4)
        slope = (optimum_of(1.4 + 1e-4).cost - optimum_of(1.4 - 1e-4).cost) / 2e-4
        assert optimum.kl > 0.1
        assert slope == pytest.approx(optimum.kl, abs=1e-5)


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


def test_beta_below_one_has_no_minimum_where_variances_are_learned():
    covariance = random_covariance(14)
    with pytest.raises(ValueError, match="no minimum"):
        linear_optimum(covariance, N_DIM, 0.99)
    with pytest.raises(ValueError, match="no minimum"):
        shared_std_optimum(covariance, DATA_DIM, 0.99)
    # The reason given: a latent that copies x_1 lowers the plain cost by (1 - beta)/2 log(psi).
    costs = []
    for psi in [1e-6, 1e-8]:
        weights = np.sqrt(covariance[0, 0] - psi) * np.eye(3)[:, :1]
        encoder = weights.T / covariance[0, 0]
        noise_variances = np.array([psi, covariance[1, 1], covariance[2, 2]])
        posterior = np.array([[psi / covariance[0, 0]]])
        terms = plain_terms(covariance, weights, encoder, posterior, noise_variances)
        costs.append(0.5 * terms[0] - terms[1])
    assert costs[1] - costs[0] == pytest.approx(0.25 * np.log(1e-2), abs=1e-4)


def test_fixed_std_counts_the_eigenvalues_above_the_water_level():
    rotation = np.linalg.qr(np.random.default_rng(15).normal(size=(5, 5)))[0]
    covariance = rotation * np.array([4.0, 2.0, 1.0, 0.5, 0.1]) @ rotation.T
    for n_dim, beta, expected in [(5, 1.0, 4), (5, 3.0, 3), (2, 1.0, 2), (4, 40.0, 0)]:
        optimum = fixed_std_optimum(covariance, n_dim, beta, 0.5)
        assert optimum.active_units == expected


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


def test_rate_distortion_is_reached_by_the_fixed_std_optimum_with_all_dimensions():
    covariance = random_covariance(17, 5)
    for beta, decoder_std in [(0.5, 0.2), (1.0, 0.6), (4.0, 0.5), (1.0, 20.0)]:
        optimum = fixed_std_optimum(covariance, 5, beta, decoder_std)
        rate = rate_distortion(covariance, optimum.distortion)
        assert optimum.kl == pytest.approx(rate, abs=1e-9)


def test_no_linear_model_has_a_rate_below_the_rate_distortion_function():
    rng = np.random.default_rng(18)
    covariance = random_covariance(18)
    for _ in range(300):
        weights, encoder = rng.normal(size=(3, 2)), rng.normal(size=(2, 3))
        posterior = np.diag(np.exp(rng.normal(size=2)))
        kl, _, distortion = plain_terms(covariance, weights, encoder, posterior, np.ones(3))
        assert kl >= rate_distortion(covariance, distortion)
    for beta in [1.0, 1.2, 2.0]:
        optimum = linear_optimum(covariance, N_DIM, beta)
        assert optimum.kl >= rate_distortion(covariance, optimum.distortion) - 1e-9


@pytest.mark.parametrize("distortion", [0.0, -1.0, np.nan, np.inf, [1.0, 0.0]])
def test_rate_distortion_refuses_a_distortion_that_is_not_positive(distortion):
    with pytest.raises(ValueError, match="distortion must be positive"):
        rate_distortion(np.eye(3), distortion)


@pytest.mark.parametrize(
    ("covariance", "message"),
    [
        (np.ones((2, 3)), "square"),
        (np.ones(3), "square"),
        (np.empty((0, 0)), "square"),
        ([[1.0, np.nan], [np.nan, 1.0]], "finite"),
        ([[np.inf, 0.0], [0.0, 1.0]], "finite"),
        ([[1.0, 0.2], [0.1, 1.0]], "symmetric"),
        ([[1.0, 0.0], [0.0, 0.0]], "positive variances"),
        ([[1.0, 0.0], [0.0, -2.0]], "positive variances"),
        ([[1.0, 2.0], [2.0, 4.0]], "singular"),
        ([[1.0, 2.0], [2.0, 1.0]], "not positive semi-definite"),
    ],
)
def test_a_bad_covariance_is_refused_with_its_fault_named(covariance, message):
    for function in [
        check_covariance,
        entropy,
        lambda bad: log_density(np.zeros((4, 2)), np.zeros(2), bad),
        lambda bad: linear_optimum(bad, 1, 2.0),
        lambda bad: fixed_std_optimum(bad, 1, 2.0, 0.5),
        lambda bad: shared_std_optimum(bad, 1, 2.0),
        lambda bad: rate_distortion(bad, 0.1),
    ]:
        with pytest.raises(ValueError, match=message):
            function(covariance)


@pytest.mark.parametrize("n_dim", [0, -1, 1.5, True, "2"])
def test_a_bad_n_dim_is_refused(n_dim):
    for optimum_of in [linear_optimum, shared_std_optimum]:
        with pytest.raises(ValueError, match="n_dim must"):
            optimum_of(np.eye(3), n_dim, 2.0)
    with pytest.raises(ValueError, match="n_dim must"):
        fixed_std_optimum(np.eye(3), n_dim, 2.0, 0.5)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_a_bad_beta_or_decoder_std_is_refused(value):
    for optimum_of in [linear_optimum, shared_std_optimum]:
        with pytest.raises(ValueError, match="beta must"):
            optimum_of(np.eye(3), 2, value)
    with pytest.raises(ValueError, match="beta must"):
        fixed_std_optimum(np.eye(3), 2, value, 0.5)
    with pytest.raises(ValueError, match="decoder_std must"):
        fixed_std_optimum(np.eye(3), 2, 1.0, value)


def test_cost_of_rows_is_the_cost_of_the_linear_model_written_out_for_each_row():
    covariance = np.loadtxt(Path(__file__).parents[1] / "data" / "covariance.dat")[:4, :4]
    mean, beta = np.array([0.5, -1.0, 2.0, 0.0]), 1.5
    optimum = linear_optimum(covariance, 2, beta)
    weights, psi, v = optimum.weights, optimum.noise_variances, optimum.posterior_covariance
    x = np.random.default_rng(5).multivariate_normal(mean, 1.3 * covariance, size=7)
    z_mean = (x - mean) @ (v @ weights.T / psi / beta).T
    kl = 0.5 * (np.trace(v) + np.sum(z_mean**2, axis=1) - 2 - np.linalg.slogdet(v)[1])
    error = (x - mean - z_mean @ weights.T) ** 2 + np.diag(weights @ v @ weights.T)
    log_px_z = -0.5 * np.sum(np.log(2 * np.pi * psi) + error / psi, axis=1)
    rows = cost_of_rows(optimum, beta, x, mean, covariance)
    np.testing.assert_allclose(rows, beta * kl - log_px_z, rtol=1e-9)
