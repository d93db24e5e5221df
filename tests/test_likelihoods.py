"""p(x|z) of images: Bernoulli, Gaussian, squared error; and the bound from several draws."""

import math

import numpy as np
import pytest
import tensorflow as tf
from helpers import assert_gradients, noise
from scipy import stats

import vae_models
from analysis import evaluation
from images import data as image_data
from images import models as image_models
from training.settings import Settings

SETTINGS = {
    "data_dim": 6,
    "n_dim": 2,
    "n_width": [5, 7],
    "activation": "tanh",
    "batch_norm": False,
    "min_log_std": -1.5,
    "seed": 3,
}
BATCH, N_SAMPLES = 4, 3


def settings_of(likelihood, **changes):
    return Settings(**{**SETTINGS, "likelihood": likelihood, **changes})


def make(likelihood, **changes):
    return image_models.make_model(settings_of(likelihood, **changes))


BITS = np.random.default_rng(0).integers(0, 2, (BATCH, 6)).astype(np.float32)
EPSILON = noise(N_SAMPLES, BATCH, 2)


def test_bernoulli_log_likelihood_is_that_of_scipy():
    logits, x = 3 * noise(BATCH, 6), BITS
    expected = stats.bernoulli.logpmf(x, 1 / (1 + np.exp(-np.float64(logits)))).sum(axis=1)
    np.testing.assert_allclose(
        image_models.bernoulli_log_likelihood(x, logits), expected, rtol=1e-5
    )


def test_bernoulli_log_likelihood_stays_finite_for_logits_of_any_size():
    x, logits = np.float32([[1, 0, 1, 0]]), np.float32([[1e4, -1e4, -1e4, 1e4]])
    assert image_models.bernoulli_log_likelihood(x, logits).numpy() == pytest.approx(-2e4)


def test_a_bernoulli_model_starts_at_the_mean_of_each_pixel():
    x = np.uint8([[0, 255, 51, 255, 0, 102], [0, 255, 153, 255, 255, 102]])
    model = make("bernoulli")
    model.start_at_pixel_means(image_data.pixel_means(x, "dynamic"))
    at_origin = model.decoder_mean(np.zeros((1, 2), np.float32))[0]
    np.testing.assert_allclose(at_origin, [0.001, 0.999, 0.4, 0.999, 0.5, 0.4], rtol=1e-5)
    np.testing.assert_allclose(image_data.pixel_means(x // 255, "static")[:2], [0, 1])


def test_the_std_of_a_gaussian_likelihood_keeps_to_its_bound():
    model = make("gaussian")
    head = model.decoder.network.layers[-1]
    head.kernel.assign(20 * noise(*head.kernel.shape))
    log_std = model.decode(50 * noise(12, 2))[1].numpy()
    assert log_std.min() == pytest.approx(SETTINGS["min_log_std"], abs=1e-3)
    assert log_std.max() > 1


def test_the_squared_error_is_a_gaussian_of_variance_one_half_but_for_its_constant():
    model, x, z = make("squared_error"), noise(BATCH, 6), noise(BATCH, 2)
    x_rec = model.decoder_mean(tf.constant(z)).numpy()
    density = stats.norm.logpdf(x, x_rec, math.sqrt(0.5)).sum(axis=1)
    log_px_z = model.log_px_z(x, tf.constant(z)).numpy()
    np.testing.assert_allclose(log_px_z, -((x_rec - x) ** 2).sum(axis=1), rtol=1e-5)
    np.testing.assert_allclose(log_px_z - density, 6 / 2 * math.log(math.pi), rtol=1e-5)
    assert "3.43 nats" in image_models.describe_bound(settings_of("squared_error"))


@pytest.mark.parametrize("likelihood", image_models.MODELS)
def test_several_draws_of_z_give_the_mean_of_their_terms(likelihood):
    model, x, epsilon = make(likelihood), BITS, EPSILON
    kl, log_px_z = model.elbo_terms(x, epsilon)
    single = [model.elbo_terms(x, one) for one in epsilon]
    np.testing.assert_allclose(kl, single[0][0], rtol=1e-6)
    np.testing.assert_allclose(log_px_z, np.mean([s[1] for s in single], axis=0), rtol=1e-5)


def elbo_cost(model, x, epsilon):
    kl, log_px_z = model.elbo_terms(x, epsilon, training=True)
    return vae_models.cost_function(kl, log_px_z, beta=1.5)


def iwae_cost(model, x, epsilon):
    _, log_px_z, log_p_over_q = model.weight_terms(x, epsilon, training=True)
    return vae_models.iwae_cost(log_px_z + log_p_over_q)


@pytest.mark.parametrize("cost_of", [elbo_cost, iwae_cost])
@pytest.mark.parametrize("likelihood", image_models.MODELS)
def test_gradients_agree_with_finite_differences(likelihood, cost_of, float64):
    model = make(likelihood)
    x, epsilon = np.float64(BITS), np.float64(EPSILON)
    assert_gradients(lambda: cost_of(model, x, epsilon), model.trainable_variables)


def test_the_bound_from_several_draws_is_that_of_densities_multiplied_out(float64):
    model = make("gaussian")
    x, epsilon = np.float64(BITS), np.float64(EPSILON)
    mean, log_std = (np.float64(part) for part in model.encode(x))
    z = mean + np.exp(log_std) * epsilon
    x_mean, x_log_std = (np.float64(part) for part in model.decode(z))
    w = stats.norm.pdf(x, x_mean, np.exp(x_log_std)).prod(axis=-1)
    w *= stats.norm.pdf(z).prod(axis=-1) / stats.norm.pdf(z, mean, np.exp(log_std)).prod(axis=-1)
    assert float(iwae_cost(model, x, epsilon)) == pytest.approx(-np.log(w.mean(axis=0)).mean())
    kl, log_px_z, log_p_over_q = model.weight_terms(x, epsilon[:1])
    single = np.log(w[0]).mean()  # the ELBO with both of its terms estimated from one draw
    assert float(vae_models.iwae_cost(log_px_z + log_p_over_q)) == pytest.approx(-single)
    np.testing.assert_allclose(kl, model.elbo_terms(x, epsilon)[0])


@pytest.mark.parametrize("likelihood", image_models.MODELS)
def test_samples_have_the_mean_and_the_variance_of_the_likelihood(likelihood):
    model, z = make(likelihood), tf.tile(tf.constant(noise(1, 2)), (40_000, 1))
    x = model.decoder_sample(z, (1, 2)).numpy()
    mean = model.decoder_mean(z[:1]).numpy()[0]
    if likelihood == "bernoulli":
        std = np.sqrt(mean * (1 - mean))
    else:
        gaussian = likelihood == "gaussian"
        std = np.exp(model.decode(z[:1])[1][0]) if gaussian else np.full(6, math.sqrt(0.5))
    np.testing.assert_allclose(x.mean(axis=0), mean, atol=5 * std.max() / 200)
    np.testing.assert_allclose(x.std(axis=0), std, rtol=0.03)


@pytest.mark.parametrize("likelihood", image_models.MODELS)
def test_importance_sampling_agrees_with_quadrature_over_one_latent_unit(likelihood):
    model, x = make(likelihood, n_dim=1), BITS
    head = model.encoder.network.layers[-1]  # q(z|x) near the prior: weights scatter little
    head.kernel.assign(0.2 * head.kernel)
    head.bias.assign([0.1, 0.1])
    for layer in model.decoder.network.layers:
        if layer.weights:
            layer.kernel.assign(2 * layer.kernel)
    z = np.linspace(-8, 8, 4001)
    log_px_z = model.log_px_z(x, tf.constant(np.tile(z[:, None, None], (1, BATCH, 1)), tf.float32))
    joint = np.exp(np.float64(log_px_z)) * stats.norm.pdf(z)[:, None]
    rows = evaluation.evaluate(model, x, 32_000, 0)
    error = rows.log_px - np.log(np.trapezoid(joint, z, axis=0))
    assert np.all(np.abs(error) < 4 * rows.log_px_se + 1e-4), (error, rows.log_px_se)
    assert np.all(rows.log_px_se < 0.03)
    assert np.all(rows.elbo < rows.log_px)


def test_only_a_bernoulli_of_binarized_images_is_called_a_log_likelihood():
    def sentence(likelihood, binarization):
        return image_models.describe_bound(settings_of(likelihood, binarization=binarization))

    assert sentence("bernoulli", "none").startswith(
        "not a bound on a log-likelihood: pixel intensities"
    )
    assert sentence("bernoulli", "dynamic") == sentence("bernoulli", "static")
    assert sentence("bernoulli", "static").startswith("a bound on the log-likelihood")
    assert "density" in sentence("gaussian", "none")
