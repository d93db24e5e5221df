import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from analysis import evaluation, latent, proposals
from vae_models import kl_divergence


def test_with_the_exact_posterior_elbo_and_log_px_are_the_exact_log_density(linear_gaussian):
    x = linear_gaussian.draw(37, seed=0)
    result = evaluation.evaluate(linear_gaussian.model(), x, 20, seed=0)
    expected = linear_gaussian.log_density(x)
    np.testing.assert_allclose(result.elbo, expected, atol=1e-4)
    np.testing.assert_allclose(result.log_px, expected, atol=1e-4)
    np.testing.assert_allclose(result.effective_samples, 20.0, rtol=1e-4)
    np.testing.assert_allclose(result.log_px_se, 0.0, atol=1e-3)
    mean = (x - linear_gaussian.mean) @ linear_gaussian.posterior_weights
    kl = kl_divergence(mean, np.log(linear_gaussian.posterior_std))
    np.testing.assert_allclose(result.kl, kl, rtol=1e-4)
    np.testing.assert_allclose(result.log_px_z - result.kl, result.elbo, atol=1e-6)


def test_with_a_wrong_encoder_log_px_holds_and_the_elbo_lies_below_by_the_kl(linear_gaussian):
    model, gap = linear_gaussian.wrong_model()
    x = linear_gaussian.draw(40, seed=0)
    expected = linear_gaussian.log_density(x)
    scores, elbos = [], []
    for seed in range(8):
        result = evaluation.evaluate(model, x, 500, seed=(seed, "evaluate", 3))
        scores.append((result.log_px - expected) / result.log_px_se)
        elbos.append(result.elbo)
        assert (result.elbo < result.log_px).all()
        assert (result.effective_samples > 1).all()
        assert (result.effective_samples < 500).all()
    scores = np.concatenate(scores)
    assert np.abs(scores).max() < 5
    assert abs(scores.mean()) < 0.3
    assert 0.8 < scores.std() < 1.2  # the standard errors are neither too small nor too large
    error = np.mean(elbos, axis=0) - (expected - gap)
    standard_error = np.std(elbos, axis=0, ddof=1) / np.sqrt(len(elbos))
    assert np.abs(error / standard_error).max() < 8  # Student's t with 7 degrees of freedom
    assert abs(error.mean()) < 5 * np.sqrt(np.mean(standard_error**2) / len(x))


def test_a_seed_repeats_an_evaluation_and_another_one_differs(linear_gaussian):
    model, _ = linear_gaussian.wrong_model()
    x = linear_gaussian.draw(9, seed=0)
    elbos = [
        evaluation.evaluate(model, x, 6, seed).elbo
        for seed in [(1, "evaluate", 2), (1, "evaluate", 2), 1, 2]
    ]
    np.testing.assert_array_equal(elbos[0], elbos[1])
    assert (elbos[0] != elbos[2]).all()
    assert (elbos[0] != elbos[3]).all()


def test_blocks_change_nothing_but_the_noise(linear_gaussian, monkeypatch):
    """With the exact posterior the noise drops out and every row must keep its place."""
    x = linear_gaussian.draw(150, seed=0)
    expected = linear_gaussian.log_density(x)
    model, gap = linear_gaussian.wrong_model()
    monkeypatch.setattr(evaluation, "Z_BATCH", 64)
    monkeypatch.setattr(proposals, "Z_BATCH", 64)
    monkeypatch.setattr(evaluation, "ROW_BATCH", 16)
    for n_samples in (1, 3, 102):  # blocks of 64, 21 and 16 rows; one and many parts of z
        result = evaluation.evaluate(linear_gaussian.model(), x, n_samples, seed=0)
        np.testing.assert_allclose(result.elbo, expected, atol=1e-4)
        np.testing.assert_allclose(result.effective_samples, n_samples, rtol=1e-2)
    result = evaluation.evaluate(model, x, 100, seed=0)
    np.testing.assert_array_less(np.abs(result.log_px - expected), 6 * result.log_px_se)
    error = result.elbo - (expected - gap)
    assert abs(error.mean()) < 5 * evaluation.standard_error(error)
    assert len(np.unique(np.round(error, 4))) > 140  # no two rows share their noise


def test_mean_elbo_is_the_mean_of_one_draw_a_row(linear_gaussian, monkeypatch):
    monkeypatch.setattr(evaluation, "ELBO_ROWS", 8)  # so that the last of four blocks has 6
    x = linear_gaussian.draw(30, seed=0)
    value = evaluation.mean_elbo(linear_gaussian.model(), x, (0, "evaluate", 1))
    np.testing.assert_allclose(value, linear_gaussian.log_density(x).mean(), atol=1e-4)


def test_the_standard_error_of_a_mean():
    values = np.array([1.0, 2.0, 4.0, 7.0])
    np.testing.assert_allclose(evaluation.standard_error(values), np.sqrt(7.0 / 4.0))
    assert evaluation.standard_error(values[1:3]) == 1.0
    assert np.isnan(evaluation.standard_error(values[:1]))


def test_units_are_active_above_a_hundredth_of_variance():
    mean = np.array([[0.09, 0.11], [-0.09, -0.11]])
    units = latent.latent_units(mean, np.zeros((2, 2)))
    np.testing.assert_allclose(units.variance_of_mean, [0.0081, 0.0121])
    np.testing.assert_array_equal(units.active, [False, True])
    np.testing.assert_allclose(units.kl, [0.0081 / 2, 0.0121 / 2])  # both std are 1


@pytest.mark.parametrize("power", [0.0, 0.1, 0.5, 2.0, 20.0])
def test_the_tempered_encoder_is_a_power_of_q_times_one_of_the_prior(power):
    mean, log_std = np.array([[0.7, -1.2]]), np.log([[0.9, 0.1]])
    tempered_mean, tempered_log_std = (
        part.numpy()[0] for part in proposals.tempered(mean, log_std, power)
    )
    z = np.linspace(-2.0, 2.0, 9)[:, np.newaxis]
    log_t = norm(tempered_mean, np.exp(tempered_log_std)).logpdf(z)
    product = power * norm(mean[0], np.exp(log_std[0])).logpdf(z)
    difference = log_t - product - (1.0 - power) * norm.logpdf(z)
    np.testing.assert_allclose(difference, np.tile(difference[:1], (9, 1)), atol=1e-9)


def test_the_tempered_encoder_is_never_broader_than_the_prior():
    mean, log_std = proposals.tempered(np.array([0.1]), np.log([1.05]), 50.0)
    assert np.isfinite(mean.numpy()).all()
    np.testing.assert_allclose(log_std, 0.0, atol=1e-12)


def test_the_beta_of_a_collapsed_model_may_be_as_large_as_one_likes(linear_gaussian):
    x = linear_gaussian.draw(20, seed=0)
    result = evaluation.evaluate(linear_gaussian.wrong_model()[0], x, 40, 1, 1e300)
    for values in result:
        assert np.isfinite(values).all()


def test_rate_splits_into_information_and_the_kl_of_an_aggregate_that_is_not_gaussian():
    mean = np.where(np.arange(1500) % 2, -2.0, 1.0)[:, np.newaxis]  # two clusters
    log_std = np.full((1500, 1), np.log(0.5))

    def aggregate(z):
        return 0.5 * norm.pdf(z, -2.0, 0.5) + 0.5 * norm.pdf(z, 1.0, 0.5)

    def integrand(z):
        return aggregate(z) * (np.log(aggregate(z)) - norm.logpdf(z))

    aggregate_kl = quad(integrand, -8.0, 8.0)[0]
    found = latent.latent_information(mean, log_std, (0, "evaluate"))
    rate = kl_divergence(mean, log_std).numpy().mean()
    assert abs(found["aggregate_kl"] - aggregate_kl) < 4 * found["aggregate_kl_se"] + 1e-3
    assert found["mutual_information"] + found["aggregate_kl"] == pytest.approx(rate)
    error = found["mutual_information_at_least"] - (rate - aggregate_kl)
    assert abs(error) < 4 * found["mutual_information_at_least_se"] + 1e-3
    assert found["aggregate_kl_se"] < 0.05


def test_information_beyond_the_reach_of_the_rows_lies_between_the_two_bounds():
    rng = np.random.default_rng(0)
    mean, log_std = rng.normal(size=(400, 12)), np.full((400, 12), np.log(0.05))
    truth = 12 * 0.5 * np.log((1 + 0.05**2) / 0.05**2)  # N(0, I) means and Gaussian noise
    found = latent.latent_information(mean, log_std, (0, "evaluate"))
    assert found["mutual_information_at_least"] == pytest.approx(np.log(400), abs=1e-6)
    assert abs(found["mutual_information"] - truth) < 4 * found["mutual_information_se"]


@pytest.mark.parametrize("mean", [-0.5, 0.0, 0.1, 0.7])
def test_an_estimate_taken_as_zero_where_it_is_negative_scatters_as_its_error_says(mean):
    estimates = np.random.default_rng(0).normal(mean, 0.2, 100_000)
    spread = np.std(np.maximum(estimates, 0.0))
    assert latent.error_of_positive_part(mean, 0.2) == pytest.approx(spread, rel=0.03, abs=1e-3)


def test_a_part_that_is_far_below_zero_or_of_a_single_row_has_no_error():
    assert latent.error_of_positive_part(-1.0, 1e-300) == pytest.approx(0.0, abs=1e-12)
    assert latent.error_of_positive_part(0.0, 0.0) == 0.0
    assert latent.error_of_positive_part(-np.inf, np.nan) == 0.0


def test_aggregate_kl_of_few_rows_of_a_linear_encoder_is_zero_on_average():
    found = []
    for seed in range(60):
        mean = np.random.default_rng(seed).normal(size=(50, 3)) * [0.9, 0.6, 0.0]
        log_std = np.tile(0.5 * np.log([0.19, 0.64, 1.0]), (50, 1))
        _, values, bias = latent.gaussian_aggregate_kl(mean, log_std)
        found.append([values.mean(), bias])
    raw, bias = np.array(found).T
    assert raw.mean() > 0.02
    assert abs((raw - bias).mean()) < 4 * evaluation.standard_error(raw - bias)


def test_draws_from_the_exact_posterior_miss_nothing(linear_gaussian):
    model = linear_gaussian.model()
    missed = evaluation.missed_share(model, 50, n_samples=4, key=(0, "evaluate"), beta=1.0)
    np.testing.assert_allclose(missed, np.zeros(50), atol=1e-4)
