"""The two parts of the encoder's gap, against linear optima and grids over z."""

import numpy as np
import pytest
from helpers import read_json, set_affine
from scipy.optimize import minimize
from scipy.special import logsumexp
from scipy.stats import norm

from analysis import gaps
from analysis.evaluation import encode, evaluate, means, standard_error
from vae_models import VAE


def folded(n_dim, noise, mean, std):
    """A VAE of one number x = |z_1| + ... + noise whose q(z|x) is N(mean, std^2) for every x."""
    model = VAE(1, n_dim, [2 * n_dim])
    of_q = np.repeat([mean, np.log(std)], n_dim)
    set_affine(model.encoder.network, np.zeros((1, 2 * n_dim)), of_q)
    set_affine(model.decoder.network, np.tile([1.0, 0.0], (n_dim, 1)), [0.0, np.log(noise)])
    head = model.decoder.network.layers[-1]
    head.kernel.assign(np.abs(head.kernel))  # relu(z) + relu(-z), which was a difference
    return model


def on_a_grid(n_dim, x, noise, mean, std):
    """log p(x) of the same model, the highest ELBO of a Gaussian near its q, and that of its q."""
    axis = np.linspace(-6.0, 6.0, 201)  # right to 0.001 nats
    z = np.stack(np.meshgrid(*[axis] * n_dim, indexing="ij"), axis=-1).reshape(-1, n_dim)
    log_joint = norm(np.abs(z).sum(axis=1), noise).logpdf(x) + norm.logpdf(z).sum(axis=1)

    def kl(mean_and_log_std):
        q_mean, q_log_std = np.split(mean_and_log_std, 2)
        log_q = norm(q_mean, np.exp(q_log_std)).logpdf(z).sum(axis=1)
        q = np.exp(log_q - logsumexp(log_q))
        return q @ (log_q - log_joint)

    start = np.repeat([mean, np.log(std)], n_dim)
    best = minimize(kl, start, method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-6})
    return logsumexp(log_joint) + n_dim * np.log(axis[1] - axis[0]), -best.fun, -kl(start)


@pytest.mark.parametrize(
    ("n_dim", "x", "noise", "mean", "std"),
    [
        (1, 2.0, 0.3, 1.2, 0.5),  # the other half of the posterior, at -z, costs log 2
        (1, 0.2, 0.5, 0.5, 0.4),  # the modes run into each other
        (2, 3.0, 0.4, 1.3, 0.6),  # z1 and z2 depend on each other, in each of four modes
    ],
)
def test_where_the_posterior_has_several_modes_the_gaps_are_those_of_a_grid_over_z(
    n_dim, x, noise, mean, std
):
    model = folded(n_dim, noise, mean, std)
    found = gaps.gaps(model, np.full((60, 1), x, np.float32), seed=0, n_draws=500)
    log_px, elbo_best, elbo = on_a_grid(n_dim, x, noise, mean, std)
    for name, exact in [
        ("gap_family", log_px - elbo_best),
        ("gap_amortization", elbo_best - elbo),
    ]:
        error = found[name] - exact
        assert abs(error.mean()) < 4 * standard_error(error) + 0.005, name
    if x >= 2.0:
        assert log_px - elbo_best > 0.9 * n_dim * np.log(2.0)


def test_the_ascent_ends_where_there_is_nothing_to_gain(linear_gaussian, monkeypatch):
    calls = []
    ascent = gaps.elbo_and_ascent
    monkeypatch.setattr(gaps, "elbo_and_ascent", lambda *q: calls.append(1) or ascent(*q))
    x = linear_gaussian.draw(40, seed=0)
    gaps.best_gaussian(linear_gaussian.model(), x, seed=0)
    assert len(calls) == 1
    gaps.best_gaussian(linear_gaussian.wrong_model()[0], x, seed=0)
    assert 3 < len(calls) < gaps.STEPS


def test_a_wrong_encoder_of_a_linear_model_has_all_of_its_gap_in_amortization(linear_gaussian):
    x = linear_gaussian.draw(600, seed=1)  # in two blocks
    model, kl = linear_gaussian.wrong_model()
    report = means(gaps.gaps(model, x, seed=0))
    assert abs(report["gap_family"]) < 1e-3
    assert abs(report["gap_amortization"] - kl) < 4 * report["gap_amortization_se"]
    found = evaluate(model, x, 5, seed=0, proposal=gaps.best_gaussian(model, x, seed=0))
    np.testing.assert_allclose(found.log_px, linear_gaussian.log_density(x), atol=0.01)


def test_a_row_keeps_the_encoders_q_where_the_ascent_went_astray(linear_gaussian, monkeypatch):
    model = linear_gaussian.model(encoder_shift=0.5)
    x = np.float32(linear_gaussian.draw(6, seed=4))
    encoded = np.stack(encode(model, x))
    better, worse = encoded - 0.5, encoded + 0.5
    better[1] = worse[1] = encoded[1]
    proposed = np.where(np.arange(6)[:, np.newaxis] < 3, better, worse)
    monkeypatch.setattr(gaps, "best_of_block", lambda *_: proposed)
    found = gaps.best_gaussian(model, x, seed=0)
    np.testing.assert_allclose(found[:, :3], better[:, :3])
    np.testing.assert_allclose(found[:, 3:], encoded[:, 3:])


@pytest.mark.parametrize("n_dim", [1, 2, 3, 5, 20])
def test_nodes_average_polynomials_of_degree_3_as_the_normal_distribution_does(n_dim):
    epsilon, weights = gaps.nodes(n_dim, seed=3)
    epsilon = epsilon[:, 0]
    assert weights.sum() == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(weights @ epsilon, 0.0, atol=1e-6)
    np.testing.assert_allclose((weights * epsilon.T) @ epsilon, np.eye(n_dim), atol=1e-5)
    np.testing.assert_allclose(weights @ epsilon**3, 0.0, atol=1e-5)
    fourth = weights @ np.sum(epsilon**2, axis=1) ** 2
    assert fourth == pytest.approx(n_dim * (n_dim + 2), rel=1e-4)


def test_a_report_finds_the_gaps_of_fewer_rows_or_none_of_a_wide_network():
    rows = [gaps.affordable_rows(VAE(10, 2, [width])) for width in (8, 128, 180, 1000)]
    assert rows[0] == gaps.GAP_ROWS
    assert gaps.FEWEST_ROWS <= rows[2] < rows[1] < gaps.GAP_ROWS
    assert rows[3] == 0


def test_a_report_has_the_gaps_of_its_first_rows_or_none(vae_run, linear_gaussian):
    report = read_json(vae_run / "report.json")
    assert report["gap_rows"] == report["rows_held_out"]
    parts = report["gap_family"] + report["gap_amortization"]
    assert abs(parts - report["gap_encoder"]) < 0.01 + 4 * report["gap_family_se"]
    without = gaps.metrics(linear_gaussian.model(), np.zeros((0, 3)), seed=0)
    assert without == dict.fromkeys(without, None) | {"gap_rows": 0}
