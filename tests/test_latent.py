"""Modes that the encoder misses and the dependence that z leaves, on models of known answers."""

import numpy as np
from helpers import affine_vae
from scipy.stats import norm

from analysis import evaluation, latent

WEIGHTS = np.array([1.5, -0.8, 1.1])
STD = 0.4


def folded(n_dim):
    """x = |z_1| w + noise, and an encoder that knows the posterior's mode z_1 > 0 alone."""
    weights, std = np.zeros((3, n_dim)), np.ones(n_dim)
    weights[:, 0] = WEIGHTS
    std[0] = (1.0 + WEIGHTS @ WEIGHTS / STD**2) ** -0.5
    model = affine_vae(
        weights=weights,
        noise_std=np.full(3, STD),
        encoder=weights / STD**2 * std**2,
        posterior_std=std,
        mean=np.zeros(3),
    )
    head = model.decoder.network.layers[-1]
    kernel = head.kernel.numpy()
    kernel[n_dim] = kernel[0]  # the unit relu(-z_1) as relu(z_1)
    head.kernel.assign(kernel)
    return model


def test_a_mode_that_the_encoder_never_visits_is_found_by_points_of_the_prior():
    rng = np.random.default_rng(0)
    z = np.abs(rng.standard_normal((40, 1))) + 1.2
    x = (z * WEIGHTS + STD * rng.standard_normal((40, 3))).astype(np.float32)
    found = evaluation.evaluate(folded(1), x, 60, 0)
    z = np.linspace(0.0, 9.0, 9001)[:, np.newaxis]  # the other half is the same
    log_px_z = norm.logpdf(x, z[..., np.newaxis] * WEIGHTS, STD).sum(axis=-1)
    log_px = np.log(2.0 * np.trapezoid(norm.pdf(z) * np.exp(log_px_z), z, axis=0))
    errors = found.log_px_corrected - log_px
    assert np.abs(errors).max() < 0.15  # log 2 is 0.69
    assert abs(np.mean(errors)) < 0.02


def test_where_points_have_no_reach_the_missed_share_is_reported():
    found = evaluation.missed_share(folded(5), 500, 60, (0, "evaluate"), beta=1.0)
    assert abs(found.mean() - 0.45) < 0.1  # half of the posterior, but where |z_1| is near 0
    found = evaluation.missed_share(folded(1), 500, 60, (0, "evaluate"), beta=1.0)
    assert abs(found.mean()) < 0.07  # only where |z_1| is near 0, and the two modes meet


def test_a_code_is_the_shorter_one_only_where_that_is_clear():
    noise = np.random.default_rng(0).normal(size=(400, 3))
    noise -= noise.mean(axis=0)
    np.testing.assert_array_equal(latent.shorter_codes(noise + [0.3, -0.3, -0.02]), [0, 1, 0])
    np.testing.assert_array_equal(latent.shorter_codes(noise - 0.08), [1, 1, 1])  # in their sum
