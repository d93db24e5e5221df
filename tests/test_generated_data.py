"""Samples and reconstructions of a model whose moments are known."""

import numpy as np
import tensorflow as tf

from analysis import sampling
from training import tables
from training.standardization import Standardization
from vae_models import VAE


def assert_moments(samples, mean, covariance):
    """Mean and covariance of Gaussian samples are the given ones, within 5 standard errors."""
    n = len(samples)
    variances = np.diag(covariance)
    np.testing.assert_array_less(
        np.abs(samples.mean(axis=0) - mean), 5 * np.sqrt(variances / n) + 1e-6
    )
    errors = np.abs(np.cov(samples, rowvar=False) - covariance)
    limits = 5 * np.sqrt((np.outer(variances, variances) + covariance**2) / n)
    np.testing.assert_array_less(errors, limits + 1e-6)


def test_generated_samples_have_the_moments_of_the_model(linear_gaussian):
    samples = sampling.generate(linear_gaussian.model(), 40_000, seed=1)
    assert samples.dtype == np.float32
    assert samples.shape == (40_000, 3)
    assert_moments(samples, linear_gaussian.mean, linear_gaussian.covariance)


def test_generated_means_lie_on_the_plane_of_the_decoder(linear_gaussian):
    means = sampling.generate(linear_gaussian.model(), 20_000, seed=1, mean_only=True)
    weights = linear_gaussian.weights
    assert_moments(means, linear_gaussian.mean, weights @ weights.T)
    normal = np.cross(*weights.T)
    np.testing.assert_allclose((means - linear_gaussian.mean) @ normal, 0.0, atol=1e-5)


def test_the_noise_of_x_is_not_that_of_z(linear_gaussian):
    model, n = linear_gaussian.model(), 300
    means = sampling.generate(model, n, seed=1, mean_only=True)
    noise_of_x = (sampling.generate(model, n, seed=1) - means) / linear_gaussian.noise_std
    z = (means - linear_gaussian.mean) @ np.linalg.pinv(linear_gaussian.weights).T
    correlation = np.corrcoef(noise_of_x.ravel()[: 2 * n], z.ravel())[0, 1]
    assert abs(correlation) < 5 / np.sqrt(2 * n)


def test_fewer_generated_samples_are_the_first_rows_of_more(linear_gaussian, monkeypatch):
    """In blocks of a bounded number of rows, whose last is shorter."""
    monkeypatch.setattr(sampling, "GENERATED_BATCH", 8)
    model = linear_gaussian.model()
    blocks = list(sampling.generated_blocks(model, 300, seed=3))
    assert [len(block) for block in blocks] == [128, 128, 44]
    many = np.concatenate(blocks)
    for n in (1, 8, 129):
        np.testing.assert_array_equal(sampling.generate(model, n, seed=3), many[:n])
    assert len(np.unique(many, axis=0)) == 300
    assert not np.isin(sampling.generate(model, 150, seed=4), many).any()


def test_data_far_from_zero_keep_their_digits_from_the_network_to_the_file(tmp_path):
    """A column of Unix seconds beside one of std 1e-6: mean + std * u in float64, unrounded."""
    units = Standardization(mean=np.array([1.7e9, 0.0, -5.0]), std=np.array([40.0, 1e-6, 2.0]))
    plain, model = (VAE(3, 2, [5], seed=1, standardization=given) for given in (None, units))
    expected = units.mean + units.std * np.float64(sampling.generate(plain, 60, seed=2))
    u = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    rebuilt = units.mean + units.std * np.float64(sampling.reconstruct(plain, u, seed=2))
    np.testing.assert_array_equal(sampling.reconstruct(model, u, seed=2), rebuilt)
    for name, read in [("x.npy", np.load), ("x.dat", np.loadtxt)]:
        tables.save_blocks(tmp_path / name, sampling.generated_blocks(model, 60, 2), (60, 3))
        np.testing.assert_array_equal(read(tmp_path / name), expected)
    tables.save_blocks(tmp_path / "y.npy", sampling.generated_blocks(plain, 60, 2), (60, 3))
    assert np.load(tmp_path / "y.npy").dtype == np.float32


def test_reconstructions_have_the_moments_of_encoder_and_decoder(linear_gaussian):
    one = linear_gaussian.draw(1, seed=8)
    x = np.repeat(one, 40_000, axis=0)
    z_mean = (one[0] - linear_gaussian.mean) @ linear_gaussian.posterior_weights
    weights, noise_variances = linear_gaussian.weights, linear_gaussian.noise_std**2
    mean = weights @ z_mean + linear_gaussian.mean
    of_z = weights @ np.diag(linear_gaussian.posterior_std**2) @ weights.T
    model = linear_gaussian.model()
    samples = sampling.reconstruct(model, x, seed=2)
    assert_moments(samples, mean, of_z + np.diag(noise_variances))
    assert_moments(sampling.reconstruct(model, x, seed=2, mean_only=True), mean, of_z)
    assert len(np.unique(samples, axis=0)) > 39_900


def test_each_reconstruction_belongs_to_its_row(linear_gaussian, monkeypatch):
    monkeypatch.setattr(sampling, "GENERATED_BATCH", 16)
    x = linear_gaussian.mean + 1000.0 * np.arange(40)[:, np.newaxis] * linear_gaussian.weights[:, 0]
    means = sampling.reconstruct(linear_gaussian.model(), x, seed=2, mean_only=True)
    shrinkage = 1.0 - linear_gaussian.posterior_std[0] ** 2
    expected = linear_gaussian.mean + shrinkage * (x - linear_gaussian.mean)
    assert means.shape == (40, 3)
    np.testing.assert_allclose(means, expected, atol=5.0)


def test_decoder_data_and_encoder_decoder_data_of_one_seed_have_independent_noise():
    model = VAE(3, 2, (5, 4))
    for weight in model.weights:
        weight.assign(tf.zeros_like(weight))  # x is standard normal noise, whatever z
    generated = sampling.generate(model, 5000, seed=3)
    reconstructed = sampling.reconstruct(model, np.zeros((5000, 3), np.float32), seed=3)
    correlation = np.corrcoef(generated.T, reconstructed.T)[:3, 3:]
    assert np.abs(correlation).max() < 5 / np.sqrt(5000)
