"""A known mixture: its density, moments and draws against scipy, and refused tables."""

import numpy as np
import pytest
from helpers import ROOT, read_json
from scipy.integrate import quad
from scipy.special import logsumexp
from scipy.stats import norm

import data_processing
import vae_main
from analysis import mixture
from analysis.mixture import Mixture
from training.settings import read_config

CURVE = str(ROOT / "data" / "curve_10.dat")


def random_mixture(n_components=7, shift=0.0):
    rng = np.random.default_rng(n_components)
    weights = rng.uniform(0.1, 2.0, n_components)
    means = shift + 2.0 * rng.normal(size=(n_components, 3))
    return Mixture(weights, means, rng.uniform(0.15, 1.0, means.shape))


def log_joint(known, x):
    """log p(x, k), (N, K), by scipy."""
    of_coordinates = norm(known.means, known.stds).logpdf(x[:, np.newaxis])
    return np.log(known.weights) + of_coordinates.sum(axis=2)


@pytest.mark.parametrize(("n_components", "shift"), [(7, 0.0), (1, 0.0), (60, 1e5)])
def test_the_density_agrees_with_scipy_near_and_far_from_zero(n_components, shift, monkeypatch):
    monkeypatch.setattr(mixture, "BLOCK_NUMBERS", 50)  # blocks of 7 rows, of 50, of one
    known = random_mixture(n_components, shift)
    x = known.draw(23, np.random.default_rng(1))
    x[:3] += 30.0 * known.stds.mean()  # where no component is near
    expected = log_joint(known, x)
    np.testing.assert_allclose(known.log_joint(x), expected, rtol=1e-13, atol=1e-10)
    expected = logsumexp(expected, axis=1)
    np.testing.assert_allclose(known.log_density(x), expected, rtol=1e-13, atol=1e-10)


def test_moments_are_those_of_many_draws_and_draws_come_in_proportion_to_the_weights():
    known = random_mixture()
    x = known.draw(200_000, np.random.default_rng(3))
    se = np.sqrt(np.diag(known.covariance) / len(x))
    assert np.abs((x.mean(axis=0) - known.mean) / se).max() < 4
    np.testing.assert_allclose(np.cov(x.T), known.covariance, atol=0.05)
    clusters = Mixture([3.0, 1.0], [[-50.0], [50.0]], [[1.0], [2.0]])
    x = clusters.draw(10_000, np.random.default_rng(4))
    assert abs((x < 0).mean() - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 10_000)
    assert x[x > 0].std() == pytest.approx(2.0, rel=0.06)


def test_a_table_is_weights_means_and_stds_and_its_weights_are_normalized():
    known = Mixture.from_table([[3, 1, 2, 0.5, 0.25], [1, -1, 0, 2, 4]])
    np.testing.assert_array_equal(known.weights, [0.75, 0.25])
    np.testing.assert_array_equal(known.means, [[1, 2], [-1, 0]])
    np.testing.assert_array_equal(known.stds, [[0.5, 0.25], [2, 4]])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([1.0, 0.0, 0.0, 1.0], "4 columns"),
        ([1.0], "1 columns"),
        ([np.nan, 0.0, 1.0], "nan or infinity"),
        ([-0.5, 0.0, 1.0], "weight of -0.5"),
        ([0.0, 0.0, 1.0], "weight of 0"),
        ([1.0, 0.0, 0.0], "deviation of 0; it must"),
        ([1.0, 0.0, 1e20], r"size 1e\+20"),
        ([1.0, 1e30, 1.0], r"size 1e\+30"),
    ],
)
def test_a_table_that_is_no_mixture_is_refused_with_its_fault_named(row, message):
    with pytest.raises(ValueError, match=message):
        Mixture.from_table([row])


def test_the_components_of_the_shipped_curve_are_so_close_that_it_is_a_curve():
    known = Mixture.from_table(np.loadtxt(CURVE))
    x = known.draw(5, np.random.default_rng(5))
    turns, phases = np.repeat([1, 2], [6, 4]), np.pi * np.append(np.arange(6) / 6, np.arange(4) / 4)
    phases[6:] += 6 * np.pi / 4

    def density(t, row):
        return np.exp(norm(np.cos(turns * t - phases), 0.2).logpdf(row).sum())

    exact = [quad(density, 0, 2 * np.pi, row, limit=400)[0] / (2 * np.pi) for row in x]
    np.testing.assert_allclose(known.log_density(x), np.log(exact), atol=1e-3)


def test_a_run_beside_a_mixture_is_judged_by_its_exact_density(train, tmp_path):
    known = random_mixture()
    path = tmp_path / "mixture.dat"
    np.savetxt(path, np.column_stack([known.weights, known.means, known.stds]), fmt="%.17g")
    folder = train(vae_main.main, "--mixture_path", str(path))
    data = data_processing.get_data(read_config(folder, ("vae",)))
    x = data.in_data_units(data.x_held_out)
    expected = logsumexp(log_joint(known, x), axis=1).mean()
    report = read_json(folder / "report.json")
    assert report["optimum"] == pytest.approx(expected, abs=1e-5)
    assert report["gap"] == pytest.approx(expected - report["elbo_held_out"], abs=1e-5)
    assert report["gap_model"] + report["gap_encoder"] == pytest.approx(report["gap"], abs=1e-5)
    assert report["optimum_is"] == "exact"
    assert report["cost_exact"] is report["common_information"] is None
    assert report["linear_log_px"] is not None


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--mixture_path", "mixture.dat"], "weight of -1"),
        (["--mixture_path", CURVE, "--covariance_path", "covariance.dat"], "not both"),
        (["--mixture_path", CURVE, "--data_dim", "3"], "--data_dim 3"),
    ],
)
def test_wrong_flags_of_a_mixture_are_refused(refused, tmp_path, flags, said):
    (tmp_path / "mixture.dat").write_text("-1 0 1\n")
    assert said in refused(vae_main.main, flags)
