"""Networks that are the best linear VAE, seen by the report's own code, whose answers are exact."""

import argparse

import numpy as np
import pytest
from conftest import random_covariance, set_affine
from scipy.stats import multivariate_normal

from analysis import evaluation, gaussian_report, linear_vae
from data_processing import Data, known_gaussian
from vae_models import VAE

ROUNDING = 2e-5  # nats of a float32 network
CASES = [(0.5, beta) for beta in (0.25, 0.5, 1, 2, 4, 8, 20)] + [
    ("learned", beta) for beta in (1, 2, 4, 8, 20)
]


def linear_network(optimum, beta, mean, decoder_std, error=0.0, seed=0):
    """A ReLU network that computes the best linear beta-VAE; error: of its weights, relative."""
    data_dim, n_dim = optimum.weights.shape
    width, none = 2 * max(data_dim, n_dim), np.zeros((data_dim, n_dim))
    fixed = None if decoder_std == "learned" else decoder_std
    model = VAE(data_dim, n_dim, (width, width), fixed)
    rng = np.random.default_rng(seed)

    def nearly(array):
        return array * (1.0 + error * rng.standard_normal(array.shape))

    variances = np.diag(optimum.posterior_covariance)
    encoder = nearly(optimum.weights / optimum.noise_variances[:, None] * variances / beta)
    decoder = nearly(optimum.weights)
    set_affine(
        model.encoder.network,
        np.hstack([encoder, none]),
        np.hstack([-mean @ encoder, 0.5 * np.log(variances)]),
    )
    set_affine(
        model.decoder.network,
        np.hstack([decoder.T, none.T]),
        np.hstack([mean, 0.5 * np.log(optimum.noise_variances)]),
    )
    return model, decoder @ decoder.T + np.diag(optimum.noise_variances)


def draw(mean, covariance, n_rows, seed):
    rows = np.random.default_rng(seed).multivariate_normal(mean, covariance, n_rows)
    return rows.astype(np.float32)


def report_on(model, mean, covariance, beta, decoder_std, seed=0, n_rows=20_000):
    """make_report on fresh rows of N(mean, covariance)."""
    x = draw(mean, covariance, 2 * n_rows, (seed, 1))
    data = Data(x[:n_rows], x[n_rows:], mean, covariance)
    settings = {"decoder_std": decoder_std, "min_log_std": None, "seed": seed, "data_path": None}
    return gaussian_report.make_report(model, data, argparse.Namespace(**settings), beta)


def gaussian_kl(covariance, of_model):
    ratio = np.linalg.solve(of_model, covariance)
    return 0.5 * (np.trace(ratio) - len(ratio) - np.linalg.slogdet(ratio)[1])


def exact_numbers(optimum, mean, covariance, beta):
    """What the report on the best linear VAE must say, from the joint Gaussian of x and z alone."""
    weights, psi = optimum.weights, optimum.noise_variances
    variances = np.diag(optimum.posterior_covariance)
    encoder = (weights / psi[:, None] * variances / beta).T  # z = encoder (x - mean) + noise
    of_z = encoder @ covariance @ encoder.T + np.diag(variances)
    of_x_given_z = covariance - covariance @ encoder.T @ np.linalg.solve(of_z, encoder @ covariance)
    entropy = multivariate_normal(mean, covariance).entropy()
    rate = 0.5 * np.sum(np.diag(of_z) - 1.0 - np.log(variances))
    information = 0.5 * (np.linalg.slogdet(of_z)[1] - np.sum(np.log(variances)))
    left = np.eye(len(psi)) - weights @ encoder  # x - E[x|z] = left (x - mean) - weights noise
    errors = left @ covariance @ left.T + weights @ np.diag(variances) @ weights.T
    log_px_z = -0.5 * np.sum(np.log(2 * np.pi * psi) + np.diag(errors) / psi)
    of_model = weights @ weights.T + np.diag(psi)
    gap_model = gaussian_kl(covariance, of_model)
    each = 0.5 * np.log(2 * np.pi * np.e * np.diag(of_x_given_z))
    return {
        "elbo_train": log_px_z - rate,
        "elbo_held_out": log_px_z - rate,
        "optimum": -entropy,
        "gap": -entropy - log_px_z + rate,
        "gap_model": gap_model,
        "gap_encoder": -entropy - gap_model - log_px_z + rate,
        "log_px": -entropy - gap_model,
        "rate": rate,
        "log_px_z": log_px_z,
        "distortion": np.trace(errors),
        "cost_held_out": beta * rate - log_px_z,
        "cost": beta * rate - log_px_z,
        "cost_gap": 0.0,
        "mutual_information": information,
        "aggregate_kl": rate - information,
        "conditional_total_correlation": np.sum(each) - entropy + information,
        "decoder_mismatch": -log_px_z - np.sum(each),
        "covariance_error": np.linalg.norm(of_model - covariance) / np.linalg.norm(covariance),
    }


def scores(report, exact):
    return {name: (report[name] - exact[name]) / report[f"{name}_se"] for name in exact}


def assert_right(report, exact):
    for name, value in exact.items():
        assert abs(report[name] - value) <= 4 * report[f"{name}_se"] + ROUNDING, name


def check(mean, covariance, n_dim, decoder_std, beta, n_rows):
    optimum = linear_vae.optimum(covariance, n_dim, beta, decoder_std)
    model, _ = linear_network(optimum, beta, mean, decoder_std)
    report = report_on(model, mean, covariance, beta, decoder_std, n_rows=n_rows)
    exact = exact_numbers(optimum, mean, covariance, beta)
    assert_right(report, exact)
    for name in ("gap_model", "gap_encoder", "rate", "distortion", "cost", "covariance_error"):
        assert report[f"{name}_exact"] == pytest.approx(exact[name], abs=1e-6)
    four_terms = (
        multivariate_normal(mean, covariance).entropy()
        + (beta - 1.0) * exact["mutual_information"]
        + exact["conditional_total_correlation"]
        + beta * exact["aggregate_kl"]
        + exact["decoder_mismatch"]
    )
    assert four_terms == pytest.approx(exact["cost"], abs=1e-8)
    assert report["active_units"] == report["active_units_exact"]
    assert report["mutual_information"] + report["aggregate_kl"] == pytest.approx(report["rate"])
    assert report["effective_samples"] >= 0.5 * report["log_px_draws"]


@pytest.fixture(scope="module", autouse=True)
def fewer_draws():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gaussian_report, "COVARIANCE_SAMPLES", 3000)
        patch.setattr(gaussian_report, "REPORT_Z", 2**16)
        yield


@pytest.mark.parametrize(("decoder_std", "beta"), [(0.5, 0.25), (0.5, 4), ("learned", 1.5)])
def test_every_number_is_right_for_the_best_linear_vae(decoder_std, beta):
    mean, covariance = np.array([1.0, -2.0, 0.5]), random_covariance(3)
    check(mean, covariance, 2, decoder_std, beta, n_rows=1500)


@pytest.mark.slow
@pytest.mark.parametrize("n_dim", [1, 2, 10])
@pytest.mark.parametrize(("decoder_std", "beta"), CASES)
def test_every_number_is_right_for_the_best_linear_vae_of_the_known_gaussian(
    decoder_std, beta, n_dim
):
    check(*known_gaussian(), n_dim, decoder_std, beta, n_rows=20_000)


def assert_calibrated(repetitions, low, high, decoder_std="learned", beta=2.0):
    """Errors over printed standard errors, over seeds and rows, have a std between the two."""
    mean, covariance = np.array([1.0, -2.0, 0.5]), random_covariance(3)
    optimum = linear_vae.optimum(covariance, 2, beta, decoder_std)
    found = []
    for seed in range(repetitions):
        # Small errors of the weights, so that no number is free of noise.
        model, of_model = linear_network(optimum, beta, mean, decoder_std)
        report = report_on(model, mean, covariance, beta, decoder_std, seed, n_rows=400)
        found.append(scores(report, exact_numbers(optimum, mean, covariance, beta)))
    spread = {name: np.std([s[name] for s in found]) for name in found[0]}
    print({name: round(float(value), 3) for name, value in spread.items()})
    return spread


if __name__ == "__main__":
    pass
