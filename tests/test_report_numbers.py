"""Networks that are the best linear VAE, seen by the report's own code, whose answers are exact."""

from pathlib import Path

import numpy as np
import pytest
from conftest import set_affine
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA, FactorAnalysis

from analysis import evaluation, gaussian_report, linear_vae, report_text
from analysis.information import Gaussian
from analysis.known import known_gaussian
from data_processing import Data
from training.settings import Settings
from vae_models import VAE

LOADINGS = np.array([[1.0, 0.1], [0.9, 0.3], [-0.2, 1.0], [0.3, 0.8]])
COVARIANCE = LOADINGS @ LOADINGS.T + np.diag([0.2, 0.1, 0.15, 0.3])
MEAN = np.array([1.0, -2.0, 0.5, 0.0])
ROUNDING = 2e-5  # nats of a float32 network
CASES = [(0.5, beta) for beta in (0.25, 0.5, 1, 2, 4, 8, 20)] + [
    ("learned", beta) for beta in (1, 2, 4, 8, 20)
]


def linear_network(optimum, beta, mean, decoder_std, error=0.0, seed=0):
    """A ReLU network that computes the best linear beta-VAE; error: of its weights, relative."""
    data_dim, n_dim = optimum.weights.shape
    width, none = 2 * max(data_dim, n_dim), np.zeros((data_dim, n_dim))
    model = VAE(data_dim, n_dim, [width], decoder_std=decoder_std)
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


def settings_of(model, n_train, **changes):
    """What make_report and the verdict read of the settings of a run."""
    return Settings(
        beta=changes.get("beta", 1.0),
        seed=changes.get("seed", 0),
        decoder_std=changes.get("decoder_std", "learned"),
        data_path=changes.get("data_path"),
        min_log_std=None,
        n_dim=model.n_dim,
        data_dim=model.data_dim,
        training_data_size=n_train,
        n_epoch=10,
        keep="last",
        standardize=False,
    )


def report_on(model, mean, covariance, beta, decoder_std, seed=0, n_rows=20_000):
    """make_report on fresh rows of N(mean, covariance)."""
    x = draw(mean, covariance, 2 * n_rows, (seed, 1))
    data = Data(
        x_train=x[:n_rows],
        x_validation=None,
        x_held_out=x[n_rows:],
        known=Gaussian(mean, covariance),
    )
    settings = settings_of(model, n_rows, beta=beta, decoder_std=decoder_std, seed=seed)
    return gaussian_report.make_report(model, data, settings, n_z=2**16)[0]


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
        yield


@pytest.mark.parametrize(("decoder_std", "beta"), [(0.5, 0.25), (0.5, 4), ("learned", 1.4)])
def test_every_number_is_right_for_the_best_linear_vae(decoder_std, beta):
    check(MEAN, COVARIANCE, 2, decoder_std, beta, n_rows=1500)


@pytest.mark.slow
@pytest.mark.parametrize("n_dim", [1, 2, 10])
@pytest.mark.parametrize(("decoder_std", "beta"), CASES)
def test_every_number_is_right_for_the_best_linear_vae_of_the_known_gaussian(
    decoder_std, beta, n_dim
):
    known = known_gaussian()
    check(known.mean, known.covariance, n_dim, decoder_std, beta, n_rows=20_000)


def spread_of_scores(repetitions, decoder_std, beta, bend):
    """The std over seeds and rows of error / printed standard error, for each key.

    bend: of the networks, without which some numbers are free of error. They have no exact numbers
    then: the errors are taken from the mean of the repetitions.
    """
    optimum = linear_vae.optimum(COVARIANCE, 2, beta, decoder_std)
    model, _ = linear_network(optimum, beta, MEAN, decoder_std)
    for network in (model.encoder.network, model.decoder.network):
        head = network.layers[-1]  # a = relu(a) - relu(-a) bends where the two differ
        head.kernel.assign(head.kernel * (1.0 + bend * (head.kernel.numpy() > 0.0)))
    reports = [
        report_on(model, MEAN, COVARIANCE, beta, decoder_std, seed, n_rows=400)
        for seed in range(repetitions)
    ]
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
    model, of_model = linear_network(optimum, beta, MEAN, decoder_std, error=0.05)
    x = draw(MEAN, COVARIANCE, 1200, seed=5)
    found = evaluation.evaluate(model, x, 40, 3, beta)
    errors = found.log_px_corrected - multivariate_normal(MEAN, of_model).logpdf(x)
    assert abs(errors.mean()) < 4 * evaluation.standard_error(errors) + ROUNDING
    assert evaluation.standard_error(errors) < 0.01
    assert np.median(found.effective_samples) > 20


def test_errors_are_as_large_as_the_printed_standard_errors_say():
    spread = spread_of_scores(10, "learned", 1.3, bend=0.1)
    assert 0.5 < np.median(list(spread.values())) < 1.5
    assert max(spread.values()) < 2.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("decoder_std", "beta"), [(0.5, 0.5), (0.5, 4.0), ("learned", 1.0), ("learned", 1.3)]
)
def test_errors_of_200_reports_are_as_large_as_their_standard_errors_say(decoder_std, beta):
    spread = spread_of_scores(200, decoder_std, beta, bend=0.1)
    wrong = {name: value for name, value in spread.items() if not 0.8 < value < 1.2}
    assert not wrong


def report_on_file(x, decoder_std="learned", n_dim=2):
    """The report on an untrained model of the rows of x, two thirds of which train."""
    n_train = 2 * len(x) // 3
    data = Data(x_train=x[:n_train], x_validation=None, x_held_out=x[n_train:])
    model = VAE(x.shape[1], n_dim, [7, 6])
    settings = settings_of(model, n_train, decoder_std=decoder_std, data_path="x.npy")
    return gaussian_report.make_report(model, data, settings, n_z=2**16)[0]


@pytest.mark.parametrize("decoder_std", ["learned", "shared"])
def test_the_reference_of_a_file_is_factor_analysis_or_probabilistic_pca(decoder_std):
    x = draw(MEAN, COVARIANCE, 1200, seed=2)
    train, held_out = np.float64(x[:800]), np.float64(x[800:])
    fit = PCA(2) if decoder_std == "shared" else FactorAnalysis(2, tol=1e-10, max_iter=20_000)
    expected = fit.fit(train).score_samples(held_out)
    report = report_on_file(x, decoder_std)
    assert report["linear_log_px"] == pytest.approx(expected.mean(), abs=2e-3)
    error = expected.std(ddof=1) / np.sqrt(400)
    assert report["linear_log_px_se"] == pytest.approx(error, rel=1e-2)


def test_the_screen_of_data_that_are_not_gaussian_speaks_of_no_optimum(capsys):
    report = report_on_file(np.exp(draw(MEAN, COVARIANCE, 600, seed=2)))
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
    report = report_on_file(draw(np.zeros(3), covariance, 600, seed=2), n_dim=1)
    report_text.print_report(report, Path("out"))
    assert report["rate_exact"] is None and report["cost_exact"] is not None
    assert "copies a column" in capsys.readouterr().out


def test_the_screen_of_known_data_shows_the_best_linear_vae_beside_each_number(capsys):
    optimum = linear_vae.optimum(COVARIANCE, 2, 4.0, 0.5)
    model, _ = linear_network(optimum, 4.0, MEAN, 0.5)
    report = report_on(model, MEAN, COVARIANCE, 4.0, 0.5, n_rows=300)
    report_text.print_report(report, Path("out"))
    shown = capsys.readouterr().out
    assert "exact optimum" in shown
    assert "best possible" in shown
    for name in ("gap_model", "gap_encoder", "cost"):
        assert f"{report[name]:.4f}" in shown
        assert f"{report[name + '_exact']:.4f}" in shown
    assert f"of {report['log_px_draws']} draws of z are effective" in shown
    assert f"common information: {report['common_information']:.4f} nats" in shown
