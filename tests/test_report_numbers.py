"""The report's code on the networks of best linear VAEs, so that every number is known exactly."""

from pathlib import Path

import numpy as np
import pytest
from helpers import affine_vae, exact_numbers
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA, FactorAnalysis

from analysis import evaluation, gaps, latent, linear_vae, report_text
from analysis.gaussian_report import covariance_metrics, dependence_metrics, make_report
from analysis.information import Gaussian, entropy
from data_processing import Data
from training.errors import Stopped
from training.settings import Settings
from vae_models import VAE

LOADINGS = np.array([[1.0, 0.1], [0.9, 0.3], [-0.2, 1.0], [0.3, 0.8]])
COVARIANCE = LOADINGS @ LOADINGS.T + np.diag([0.2, 0.1, 0.15, 0.3])
MEAN = np.array([1.0, -2.0, 0.5, 0.0])
KNOWN = Gaussian(MEAN, COVARIANCE)
ROUNDING = 2e-5  # nats of a float32 network


@pytest.fixture(scope="module", autouse=True)
def fewer_draws():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("analysis.gaussian_report.REPORT_Z", 2**16)
        patch.setattr("analysis.gaussian_report.COVARIANCE_SAMPLES", 3000)
        patch.setattr(gaps, "REPORT_WORK", 0)
        yield


def linear_network(optimum, beta, decoder_std, error=0.0):
    """Networks of the best linear VAE; error: of their weights, relative."""
    rng = np.random.default_rng(0)

    def nearly(array):
        return array * (1.0 + error * rng.standard_normal(array.shape))

    noise_variances = optimum.noise_variances
    variances = np.diag(optimum.posterior_covariance)
    encoder = nearly(optimum.weights / noise_variances[:, np.newaxis] * variances / beta)
    return affine_vae(
        nearly(optimum.weights),
        np.sqrt(noise_variances),
        encoder,
        np.sqrt(variances),
        MEAN,
        decoder_std=decoder_std,
    )


def bent_network(beta, decoder_std, bend):
    """Networks that are the best linear VAE but for their bends."""
    optimum = linear_vae.optimum(COVARIANCE, 2, beta, decoder_std)
    model = linear_network(optimum, beta, decoder_std)
    for network in (model.encoder.network, model.decoder.network):
        head = network.layers[-1]  # a = relu(a) - relu(-a) bends where the two differ
        head.kernel.assign(head.kernel * (1.0 + bend * (head.kernel.numpy() > 0.0)))
    return model


def draw(n_rows, seed):
    rows = np.random.default_rng(seed).multivariate_normal(MEAN, COVARIANCE, n_rows)
    return rows.astype(np.float32)


def settings_of(model, beta=1.0, decoder_std="learned", seed=0, data_path=None):
    """What make_report reads of the settings of a run."""
    return Settings(
        beta=beta,
        decoder_std=decoder_std,
        seed=seed,
        data_path=data_path,
        n_dim=model.n_dim,
        min_log_std=None,
    )


def report_on(model, beta, decoder_std, n_rows, seed=0):
    """make_report on fresh rows of the known Gaussian."""
    x = draw(2 * n_rows, (seed, 1))
    data = Data(x[:n_rows], x_validation=None, x_held_out=x[n_rows:], known=KNOWN)
    return make_report(model, data, settings_of(model, beta, decoder_std, seed))[0]


@pytest.mark.parametrize(
    ("n_dim", "decoder_std", "beta"),
    [(2, 0.5, 0.25), (1, 0.5, 4.0), (3, "learned", 1.4), (2, "learned", 20.0)],
)
def test_every_number_is_right_for_the_best_linear_vae(n_dim, decoder_std, beta):
    optimum = linear_vae.optimum(COVARIANCE, n_dim, beta, decoder_std)
    model = linear_network(optimum, beta, decoder_std)
    report = report_on(model, beta, decoder_std, n_rows=1500)
    exact = exact_numbers(optimum, MEAN, COVARIANCE, beta)
    for name, value in exact.items():
        assert abs(report[name] - value) <= 4 * report[f"{name}_se"] + ROUNDING, name
    for name in ("gap_model", "gap_encoder", "rate", "distortion", "cost", "covariance_error"):
        assert report[f"{name}_exact"] == pytest.approx(exact[name], abs=1e-6)
    assert report["active_units"] == report["active_units_exact"]
    assert report["mutual_information"] + report["aggregate_kl"] == pytest.approx(report["rate"])
    assert report["effective_samples"] >= 0.5 * report["log_px_draws"]


@pytest.mark.parametrize(("beta", "bend"), [(1.0, 0.6), (1.4, 0.3)])
def test_the_terms_of_the_cost_add_up_for_networks_that_bend(beta, bend):
    report = report_on(bent_network(beta, "learned", bend), beta, "learned", n_rows=600)
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


def spread_of_scores(repetitions, decoder_std, beta):
    """The std over seeds and rows of error / printed standard error, for each key.

    The networks bend, since some numbers of linear ones have no error. Their exact numbers are
    unknown, so errors are taken from the mean of the repetitions.
    """
    model = bent_network(beta, decoder_std, bend=0.1)
    reports = [
        report_on(model, beta, decoder_std, n_rows=1600, seed=seed) for seed in range(repetitions)
    ]
    optimum = linear_vae.optimum(COVARIANCE, 2, beta, decoder_std)
    spread = {}
    for name in exact_numbers(optimum, MEAN, COVARIANCE, beta):
        values, errors = np.transpose([(r[name], r[f"{name}_se"]) for r in reports])
        spread[name] = np.std((values - values.mean()) / errors)
    return spread


@pytest.mark.parametrize(
    ("decoder_std", "beta", "n_dim"),
    [(0.5, 0.1, 2), (0.5, 0.5, 1), (0.5, 8, 2), (0.5, 12, 2), ("learned", 1.4, 2)],
)
def test_log_px_is_right_near_the_optimum_of_any_beta(decoder_std, beta, n_dim):
    optimum = linear_vae.optimum(COVARIANCE, n_dim, beta, decoder_std)
    model = linear_network(optimum, beta, decoder_std, error=0.05)
    weights = model.decoder_mean(np.eye(n_dim, dtype=np.float32)).numpy().T - MEAN[:, np.newaxis]
    of_model = weights @ weights.T + np.diag(optimum.noise_variances)
    x = draw(1200, seed=5)
    found = evaluation.evaluate(model, x, 40, 3, beta)
    errors = found.log_px_corrected - multivariate_normal(MEAN, of_model).logpdf(x)
    assert abs(errors.mean()) < 4 * evaluation.standard_error(errors) + ROUNDING
    assert evaluation.standard_error(errors) < 0.01
    assert np.median(found.effective_samples) > 20


def test_errors_are_as_large_as_the_printed_standard_errors_say():
    spread = spread_of_scores(10, "learned", 1.3)
    assert 0.5 < np.median(list(spread.values())) < 1.5
    assert max(spread.values()) < 2.0


def test_the_covariance_error_of_networks_that_bend_scatters_as_its_standard_error_says():
    model = bent_network(1.0, "learned", bend=0.6)
    metrics = [covariance_metrics(model, KNOWN, seed) for seed in range(60)]
    spread = np.std([m["covariance_error"] for m in metrics], ddof=1)
    assert spread == pytest.approx(metrics[0]["covariance_error_se"], rel=0.4)


def test_of_wide_rows_fewer_are_drawn_and_too_few_leave_no_total_correlation(monkeypatch):
    monkeypatch.setattr("analysis.gaussian_report.REPORT_NUMBERS", 19 * 4)  # one row too few
    x = draw(8, seed=0)
    data = Data(x_train=x, x_validation=None, x_held_out=x, known=KNOWN)
    model = bent_network(1.0, "learned", bend=0.1)
    found = dependence_metrics(model, data, knowledge=None, seed=0)
    assert found == latent.no_dependence()


def test_a_held_out_row_without_a_finite_elbo_ends_the_report_with_one_line():
    x = draw(8, seed=0)
    x_held_out = np.concatenate([x, [[1e30, 0.0, 0.0, 0.0]]]).astype(np.float32)
    data = Data(x_train=x, x_validation=None, x_held_out=x_held_out, known=KNOWN)
    model = bent_network(1.0, "learned", bend=0.1)
    settings = settings_of(model)
    settings.output_dir = "out"
    with pytest.raises(Stopped, match="not finite: 1 of 9; weights and history are in out"):
        make_report(model, data, settings)


def test_rows_of_fewer_than_five_effective_draws_are_doubtful():
    model = bent_network(1.0, "learned", bend=2.0)
    n_rows = 2**16 // 40  # 40 draws for each
    report = report_on(model, 1.0, "learned", n_rows)
    x = draw(2 * n_rows, (0, 1))[n_rows:]
    effective = evaluation.evaluate(model, x, 40, (0, "report", 2)).effective_samples
    assert report["log_px_draws"] == 40
    assert report["log_px_doubtful_rows"] == np.mean(effective < 5)
    assert np.mean(effective < 5) != np.mean(effective < 11)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("decoder_std", "beta"), [(0.5, 0.5), (0.5, 4.0), ("learned", 1.0), ("learned", 1.3)]
)
def test_errors_of_200_reports_are_as_large_as_their_standard_errors_say(decoder_std, beta):
    spread = spread_of_scores(200, decoder_std, beta)
    of_tc = spread.pop("conditional_total_correlation")
    assert 0.2 < of_tc < 1.2  # below 0.8 where its part beyond a Gaussian is cut off at 0
    wrong = {name: value for name, value in spread.items() if not 0.8 < value < 1.2}
    assert not wrong


def report_on_file(x, decoder_std="learned", n_dim=2):
    """The report on an untrained model of the rows of x, two thirds of which train."""
    n_train = 2 * len(x) // 3
    fitted = Gaussian(x[:n_train].mean(axis=0), np.cov(x[:n_train], rowvar=False))
    data = Data(x_train=x[:n_train], x_validation=None, x_held_out=x[n_train:], fitted=fitted)
    model = VAE(x.shape[1], n_dim, [7, 6])
    settings = settings_of(model, decoder_std=decoder_std, data_path="x.npy")
    return make_report(model, data, settings)[0]


@pytest.mark.parametrize("decoder_std", ["learned", "shared"])
def test_the_reference_of_a_file_is_factor_analysis_or_probabilistic_pca(decoder_std):
    x = draw(1200, seed=2)
    train, held_out = np.float64(x[:800]), np.float64(x[800:])
    fit = PCA(2) if decoder_std == "shared" else FactorAnalysis(2, tol=1e-10, max_iter=20_000)
    expected = fit.fit(train).score_samples(held_out)
    report = report_on_file(x, decoder_std)
    assert report["linear_log_px"] == pytest.approx(expected.mean(), abs=2e-3)
    error = expected.std(ddof=1) / np.sqrt(400)
    assert report["linear_log_px_se"] == pytest.approx(error, rel=1e-2)


def test_the_screen_of_data_that_are_not_gaussian_speaks_of_no_optimum(capsys):
    report = report_on_file(np.exp(draw(600, seed=2)))
    report_text.print_report(report, Path("out"))
    shown = capsys.readouterr().out
    assert report["optimum_is"] == "estimate"
    assert "optimum" not in shown
    assert "fitted Gaussian" in shown
    assert "clearly not Gaussian" in shown
    assert f"{report['linear_log_px']:.4f}" in shown
    assert "learning_curves.png first" in shown
    for name in ("conditional_total_correlation", "decoder_mismatch"):
        assert report[name] is None  # without the entropy of the data


def test_where_the_best_linear_vae_copies_a_column_no_number_stands_for_its_information(capsys):
    # One factor would have to explain 0.8 * 0.8 / 0.4 = 1.6 of the first column's variance of 1.
    covariance = np.array([[1.0, 0.8, 0.8], [0.8, 1.0, 0.4], [0.8, 0.4, 1.0]])
    x = np.random.default_rng(2).multivariate_normal(np.zeros(3), covariance, 600)
    report = report_on_file(x.astype(np.float32), n_dim=1)
    report_text.print_report(report, Path("out"))
    assert report["rate_exact"] is None and report["cost_exact"] is not None
    assert "copies a column" in capsys.readouterr().out


def test_the_screen_of_known_data_shows_the_best_linear_vae_beside_each_number(capsys):
    optimum = linear_vae.optimum(COVARIANCE, 2, 4.0, 0.5)
    model = linear_network(optimum, 4.0, 0.5)
    report = report_on(model, 4.0, 0.5, n_rows=300)
    report_text.print_report(report, Path("out"))
    shown = capsys.readouterr().out
    assert "exact optimum" in shown
    assert "best possible" in shown
    for name in ("gap_model", "gap_encoder", "cost"):
        assert f"{report[name]:.4f}" in shown
        assert f"{report[name + '_exact']:.4f}" in shown
    assert f"of {report['log_px_draws']} draws of z are effective" in shown
    assert f"common information: {report['common_information']:.4f} nats" in shown
