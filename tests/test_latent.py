"""Where the encoder does not look, and what z leaves: models whose answers are known otherwise."""

import numpy as np
import pytest
from conftest import set_affine
from scipy.integrate import quad
from scipy.stats import norm
from test_report_numbers import COVARIANCE, MEAN, linear_network, report_on

from analysis import evaluation, latent, linear_vae
from analysis.information import Gaussian, entropy
from vae_models import VAE

WEIGHTS = np.array([1.5, -0.8, 1.1])
STD = 0.4


def folded(n_dim):
    """x = |z_1| w + noise, and an encoder that knows the posterior's mode z_1 > 0 alone."""
    model = VAE(3, n_dim, [12])
    std = (1.0 + WEIGHTS @ WEIGHTS / STD**2) ** -0.5
    encoder = np.zeros((3, 2 * n_dim))
    encoder[:, 0] = WEIGHTS / STD**2 * std**2
    log_std = np.zeros(n_dim)
    log_std[0] = np.log(std)
    set_affine(model.encoder.network, encoder, np.hstack([np.zeros(n_dim), log_std]))
    decoder = np.zeros((n_dim, 6))
    decoder[0, :3] = WEIGHTS
    set_affine(model.decoder.network, decoder, np.hstack([np.zeros(3), np.full(3, np.log(STD))]))
    head = model.decoder.network.layers[-1]
    kernel = head.kernel.numpy()
    kernel[n_dim] = kernel[0]  # the unit relu(-z_1) as relu(z_1)
    head.kernel.assign(kernel)
    return model


def rows_of_folded(n_rows):
    rng = np.random.default_rng(0)
    z = np.abs(rng.standard_normal((n_rows, 1))) + 1.2
    return (z * WEIGHTS + STD * rng.standard_normal((n_rows, 3))).astype(np.float32)


def test_a_mode_that_the_encoder_never_visits_is_found_by_points_of_the_prior():
    x = rows_of_folded(40)
    found = evaluation.evaluate(folded(1), x, 60, 0)

    def joint(z, row):
        return norm.pdf(z) * np.prod(norm.pdf(row, np.abs(z) * WEIGHTS, STD))

    errors = []
    for row, log_px in zip(np.float64(x), found.log_px_corrected, strict=True):
        at = max(row @ WEIGHTS / (WEIGHTS @ WEIGHTS), 0.0)
        one_mode = quad(joint, 0.0, 9.0, (row,), points=[at], limit=200)[0]
        errors.append(log_px - np.log(2.0 * one_mode))
    assert np.abs(errors).max() < 0.15  # log 2 is 0.69
    assert abs(np.mean(errors)) < 0.02


def test_where_points_have_no_reach_the_share_that_is_missed_is_told():
    found = evaluation.missed_share(folded(5), 500, 60, 0, beta=1.0)
    assert abs(found.mean() - 0.45) < 0.1  # half of the posterior, but where |z_1| is near 0
    found = evaluation.missed_share(folded(1), 500, 60, 0, beta=1.0)
    assert abs(found.mean()) < 0.07  # of the modes that are near each other


def bent_report(beta, bend, n_rows=600):
    """The report on networks that are the best linear VAE but for their bends."""
    optimum = linear_vae.optimum(COVARIANCE, 2, beta, "learned")
    model, _ = linear_network(optimum, beta, MEAN, "learned")
    for network in (model.encoder.network, model.decoder.network):
        head = network.layers[-1]
        head.kernel.assign(head.kernel * (1.0 + bend * (head.kernel.numpy() > 0.0)))
    return report_on(model, MEAN, COVARIANCE, beta, "learned", n_rows=n_rows)


@pytest.mark.parametrize(("beta", "bend"), [(1.0, 0.1), (1.0, 0.6), (1.4, 0.3), (4.0, 0.3)])
def test_the_terms_of_the_cost_add_up_for_networks_that_bend(beta, bend):
    report = bent_report(beta, bend)
    weights = {
        "mutual_information": beta - 1.0,
        "conditional_total_correlation": 1.0,
        "aggregate_kl": beta,
        "decoder_mismatch": 1.0,
    }
    terms = sum(weight * report[name] for name, weight in weights.items())
    errors = [weight * report[f"{name}_se"] for name, weight in weights.items()]
    error = np.linalg.norm([report["cost_se"], *errors])
    assert abs(report["cost"] - entropy(COVARIANCE) - terms) < 3.5 * error
    for name in weights:
        assert report[name] >= -3.0 * report[f"{name}_se"], name
    if beta == 1.0:
        error = np.hypot(report["conditional_total_correlation_se"], report["gap_se"])
        assert report["conditional_total_correlation"] < report["gap"] + 3.0 * error


def test_too_few_rows_for_a_regression_leave_no_total_correlation():
    model, gaussian = VAE(4, 2, [5]), Gaussian(MEAN, COVARIANCE)
    x = gaussian.draw(19, np.random.default_rng(0)).astype(np.float32)
    assert latent.dependence(model, x, gaussian, 0.0, 0.0, seed=0) is None


def test_a_code_is_the_shorter_one_only_where_that_is_clear():
    noise = np.random.default_rng(0).normal(size=(400, 3))
    noise -= noise.mean(axis=0)
    np.testing.assert_array_equal(latent.shorter_codes(noise + [0.3, -0.3, -0.02]), [0, 1, 0])
    np.testing.assert_array_equal(latent.shorter_codes(noise - 0.08), [1, 1, 1])  # in their sum
