"""The terms of the cost, their gradients, and the weight files of a model."""

import numpy as np
import pytest
from helpers import PARAMETERS, assert_gradients, noise, numpy_network
from scipy.integrate import quad
from scipy.stats import norm

import vae_main
from training import saved_model
from training.standardization import Standardization
from vae_models import VAE, cost_function, gaussian_log_likelihood, kl_divergence, make_model

UNITS = Standardization(np.array([10.0, -0.2, 0.5]), np.array([2.0, 0.3, 1.0]))


def random_model(seed=0, **options):
    """A VAE whose weights, biases too, are large enough for every unit to matter."""
    model = VAE(3, 2, (5, 5), seed=seed, **options)
    rng = np.random.default_rng(seed)
    for weight in model.trainable_variables:
        weight.assign(0.5 * rng.normal(size=weight.shape))
    return model


def test_kl_divergence_agrees_with_numerical_integration():
    means, stds = np.array([[0.3, -1.2], [0.0, 2.0]]), np.array([[0.5, 1.7], [1.0, 0.2]])

    def integral(mean, std):
        q = norm(mean, std)
        return quad(
            lambda z: q.pdf(z) * (q.logpdf(z) - norm.logpdf(z)), mean - 12 * std, mean + 12 * std
        )[0]

    expected = [sum(map(integral, *row)) for row in zip(means, stds, strict=True)]
    np.testing.assert_allclose(kl_divergence(means, np.log(stds)), expected, rtol=1e-7)


def test_gaussian_log_likelihood_agrees_with_scipy():
    x, mean, log_std = np.random.default_rng(0).normal(size=(3, 4, 3))
    expected = norm.logpdf(x, mean, np.exp(log_std)).sum(axis=-1)
    np.testing.assert_allclose(gaussian_log_likelihood(x, mean, log_std), expected, rtol=1e-10)


def test_cost_is_the_mean_of_beta_times_kl_less_the_log_likelihood():
    kl, log_px_z = np.array([1.0, 4.0]), np.array([-3.0, -5.0])
    assert cost_function(kl, log_px_z) == 6.5
    assert cost_function(kl, log_px_z, 3.0) == 11.5


@pytest.mark.parametrize(
    "options",
    [{}, {"decoder_std": "shared", "standardization": UNITS}],
    ids=["learned std", "shared std, standardized"],
)
def test_gradient_of_the_cost_agrees_with_finite_differences_for_every_weight(float64, options):
    model = random_model(**options)
    x, epsilon = (np.float64(noise(4, n_columns)) for n_columns in (3, 2))

    def cost():
        return cost_function(*model.elbo_terms(x, epsilon), beta=1.7)

    assert_gradients(cost, model.trainable_variables)


def test_elbo_terms_agree_with_numpy_on_the_encoder_and_decoder():
    model, x, epsilon = random_model(), noise(4, 3), noise(4, 2, seed=2)
    mean, log_std = (np.float64(a) for a in model.encode(x))
    x_mean, x_log_std = (np.float64(a) for a in model.decode(mean + np.exp(log_std) * epsilon))
    kl, log_px_z = model.elbo_terms(x, epsilon)
    expected = norm.logpdf(x, x_mean, np.exp(x_log_std)).sum(axis=1)
    np.testing.assert_allclose(log_px_z, expected, rtol=1e-4)
    np.testing.assert_allclose(kl, kl_divergence(mean, log_std), rtol=1e-4)


def test_every_layer_starts_from_weights_of_its_own_that_the_seed_gives():
    def start(seed):
        return b"".join(w.numpy().tobytes() for w in VAE(2, 2, (5, 5), seed=seed).weights)

    assert start(0) == start(0) != start(1)
    kernels = VAE(2, 2, (5, 5)).weights[::2]
    assert len({kernel.numpy().tobytes() for kernel in kernels}) == 6


def test_weight_files_have_the_names_and_shapes_of_the_contract(tmp_path):
    """With two widths, which the decoder has in reverse order."""
    saved_model.write_weights(VAE(3, 2, (7, 6)), tmp_path)
    w = zip(PARAMETERS[::2], [(3, 7), (7, 6), (6, 4), (2, 6), (6, 7), (7, 6)], strict=True)
    b = zip(PARAMETERS[1::2], [(7,), (6,), (4,), (6,), (7,), (6,)], strict=True)
    assert {p.name: np.loadtxt(p).shape for p in tmp_path.iterdir()} == {**dict(w), **dict(b)}


def test_every_float32_survives_write_and_read_to_the_bit(tmp_path):
    model, loaded = random_model(), random_model(seed=5)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        bits = rng.integers(0, 2**32, weight.shape, dtype=np.uint32)
        values = bits.view(np.float32)
        weight.assign(np.where(np.isfinite(values), values, np.float32(-0.0)))
    model.encoder.weights[1].assign(np.float32([1e-45, -0.0, 3.4028235e38, 1.1754944e-38, 0.1]))
    saved_model.write_weights(model, tmp_path)
    saved_model.read_weights(loaded, tmp_path)
    for weight, other in zip(model.weights, loaded.weights, strict=True):
        assert weight.numpy().tobytes() == other.numpy().tobytes()
    for name, weight in saved_model.weight_files(model).items():
        assert np.loadtxt(tmp_path / name, np.float32).tobytes() == weight.numpy().tobytes()


def test_weights_of_data_far_from_zero_lose_nothing_in_their_files(tmp_path):
    """The files are those of a network of x as it is."""
    std = np.array([20.0, 0.03, 1.0])
    units = Standardization(1e5 * std * [1, -1, 0.5], std)
    trained = random_model(standardization=units)
    saved_model.write_weights(trained, tmp_path)
    loaded = random_model(seed=1, standardization=units)
    saved_model.read_weights(loaded, tmp_path)
    for weight, again in zip(trained.weights, loaded.weights, strict=True):
        np.testing.assert_allclose(again, weight, rtol=1e-5, atol=1e-5)
    x = units.mean + std * np.random.default_rng(0).normal(size=(7, 3))
    mean, log_std = (part.numpy() for part in trained.encode(units.apply(x)))
    raw_mean, raw_log_std = numpy_network(tmp_path, "Encoder", x)
    np.testing.assert_allclose(raw_mean, mean, atol=1e-5)
    np.testing.assert_allclose(raw_log_std, log_std, atol=1e-5)


def test_log_px_z_of_a_standardized_row_is_a_density_in_the_units_of_the_data(tmp_path):
    model = random_model(standardization=UNITS)
    saved_model.write_weights(model, tmp_path)
    z = noise(4, 2)
    mean, log_std = numpy_network(tmp_path, "Decoder", z)
    x = mean + np.exp(log_std) * noise(4, 3, seed=3)
    expected = norm.logpdf(x, mean, np.exp(log_std)).sum(axis=1)
    np.testing.assert_allclose(model.log_px_z(UNITS.apply(x), z), expected, rtol=1e-4)


@pytest.mark.parametrize(("flag", "std"), [("--no-standardize", 0.2), ("--standardize", 1.0)])
def test_q_is_narrow_before_training_where_rows_are_not_standardized(flag, std):
    settings = vae_main.parse_arguments(["--data_dim", "3", flag])
    settings.standardization = None
    _, log_std = make_model(settings).encode(noise(4, 3))
    np.testing.assert_allclose(np.exp(log_std), std, rtol=1e-6)
