"""Numerical checks of the theorems in docs/theory.md, and the tables of the documents."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats
from conftest import random_covariance
from helpers import ROOT

from analysis.gaussian_report import gaussian_metrics
from analysis.information import Gaussian
from analysis.linear_vae import cost_bound, optimum
from docs import make_theory

AXIS = np.linspace(-8.0, 8.0, 161)
STEP = AXIS[1] - AXIS[0]
X = np.stack(np.meshgrid(AXIS, AXIS, indexing="ij"), axis=-1).reshape(-1, 2)  # a grid of the plane


def log_gaussian(x, covariance):
    return scipy.stats.multivariate_normal(np.zeros(len(covariance)), covariance).logpdf(x)


def gaussian(x, covariance):
    return np.exp(log_gaussian(x, covariance))


def divergence(p, log_q, cell):
    return cell * np.sum(p * (np.log(np.maximum(p, 1e-300)) - log_q))


def marginals(density):
    """The density of each coordinate of a density on the grid, (2, 161)."""
    table = density.reshape(len(AXIS), len(AXIS))
    return STEP * np.array([table.sum(axis=1), table.sum(axis=0)])


def bumps(rng):
    """A random density that is not Gaussian: a mixture of three Gaussians of any shape."""
    density = np.zeros(len(X))
    for _ in range(3):
        root = rng.normal(scale=0.5, size=(2, 4)) + 0.5 * np.eye(2, 4)
        shape = root @ root.T + 0.1 * np.eye(2)
        density += rng.uniform() * gaussian(X - rng.normal(size=2), shape)
    return density / (STEP**2 * np.sum(density))


def lemma_ratio(density, covariance):
    """The left side of the lemma over its right side, for the least beta that it allows."""
    variances = np.diag(covariance)
    left = 0.0
    for marginal, variance in zip(marginals(density), variances, strict=True):
        left += divergence(marginal, scipy.stats.norm(0, np.sqrt(variance)).logpdf(AXIS), STEP)
    beta = np.linalg.eigvalsh(covariance / np.sqrt(np.outer(variances, variances)))[-1]
    return left / (beta * divergence(density, log_gaussian(X, covariance), STEP**2))


def test_the_lemma_holds_for_random_densities_and_is_sharp():
    rng = np.random.default_rng(2)
    for _ in range(40):
        covariance = random_covariance(rng.integers(1000), 2) + 0.1 * np.eye(2)
        covariance /= np.max(np.diag(covariance))
        assert lemma_ratio(bumps(rng), covariance) < 1.0 + 1e-6
    # Equality where N(0, K) is shifted along the first eigenvector of K Psi^-1.
    std = np.sqrt(np.diag(covariance))
    shift = std * np.linalg.eigh(covariance / np.outer(std, std))[1][:, -1]
    assert lemma_ratio(gaussian(X - shift, covariance), covariance) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("seed", range(6))
def test_the_identities_behind_theorem_7_hold_at_random_optima(seed):
    data_dim, beta = 3 + seed, [1.01, 1.2, 1.5, 2.0, 3.0, 1.1][seed]
    covariance = random_covariance(seed, data_dim)
    best = optimum(covariance, data_dim, beta, "learned")
    psi, left = best.noise_variances, covariance - best.weights @ best.weights.T
    inverse = np.linalg.inv(left)
    np.testing.assert_allclose(np.diag(left), psi, rtol=1e-8)
    np.testing.assert_allclose(
        (inverse - np.diag(1 / (beta * psi))) @ (covariance - left), 0, atol=1e-6
    )
    assert np.linalg.eigvalsh(beta * np.diag(psi) - left)[0] > -1e-9
    expected = data_dim - data_dim / beta + np.sum(np.diag(covariance) / psi) / beta
    assert np.trace(inverse @ covariance) == pytest.approx(expected, rel=1e-8)


def test_no_nonlinear_encoder_costs_less_than_the_linear_optimum_with_all_units():
    covariance, beta, rng = np.array([[1.0, 0.8], [0.8, 1.0]]), 1.5, np.random.default_rng(4)
    data = gaussian(X, covariance)
    lowest = cost_bound(covariance, beta, "learned")
    best = optimum(covariance, 1, beta, "learned")
    variance = best.posterior_covariance[0, 0]
    encoder = variance * best.weights[:, 0] / (beta * best.noise_variances)
    levels = np.linspace(-4.5, 4.5, 31)  # of z: the linear encoder, nearly, where scale is 0
    of_x = np.column_stack([X, X**2, X[:, :1] * X[:, 1:], np.sin(2 * X)]) / 4
    of_level = np.array([levels, levels**2, np.sin(levels)]) / 4
    found = []
    for scale in [0.0, 0.1, 0.3, 1.0, 3.0] * 3:
        logits = -(((X @ encoder)[:, None] - levels) ** 2) / (2 * variance)
        logits += scale * of_x @ rng.normal(size=(7, 3)) @ of_level
        given_x = np.exp(logits - logits.max(axis=1, keepdims=True))
        given_x /= given_x.sum(axis=1, keepdims=True)
        of_z = STEP**2 * data @ given_x
        cost = 0.0  # beta I + sum_j h(x_j|z), what no decoder with independent coordinates beats
        for k in np.flatnonzero(of_z > 1e-6):
            conditional = data * given_x[:, k] / of_z[k]
            cost += of_z[k] * beta * divergence(conditional, log_gaussian(X, covariance), STEP**2)
            for marginal in marginals(conditional):
                cost -= of_z[k] * divergence(marginal, 0.0, STEP)
        found.append(cost - lowest)
    assert -1e-6 < min(found) < 1e-3


def holds_for(covariance, best, beta, kind, min_log_std=None):
    """What the report says of `best`, an Optimum: that it is the best of "all" or "linear"."""
    settings = SimpleNamespace(n_dim=1, beta=beta, decoder_std=kind, min_log_std=min_log_std)
    gaussian = Gaussian(np.zeros(len(covariance)), covariance)
    return gaussian_metrics(gaussian, best, settings)["bound_holds_for"]


def test_with_fewer_units_than_the_bound_uses_a_nonlinear_encoder_wins():
    best = optimum(np.eye(2), 1, 1.0, 0.1)
    bound = cost_bound(np.eye(2), 1.0, 0.1)
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(200_000, 2)), rng.normal(size=200_000)
    mean_z, std_z = np.sign(x[:, 1]) * (0.95 + 0.3 * x[:, 0]), 0.03
    z = mean_z + std_z * noise
    kl = 0.5 * (mean_z**2 + std_z**2 - 1) - np.log(std_z)
    decoded = np.column_stack([3.33 * np.abs(z) - 3.16, 0.8 * np.sign(z)])
    squares = np.sum((x - decoded) ** 2, axis=1)
    cost = np.mean(kl + np.log(2 * np.pi * 0.1**2) + squares / (2 * 0.1**2))
    assert bound < cost < best.cost - 30.0
    assert cost == pytest.approx(
        make_theory.folding_cost(0.95, 0.3, 0.03, 3.33, 3.16, 0.8), abs=0.3
    )
    assert holds_for(np.eye(2), best, 1.0, 0.1) == "linear"


@pytest.mark.parametrize(
    ("n_dim", "beta", "kind", "min_log_std", "whom"),
    [
        (2, 1.0, "learned", None, "all"),
        (2, 1.5, "learned", None, "all"),
        (1, 1.5, "learned", None, "linear"),
        (1, 4.0, "learned", None, "all"),
        (2, 0.5, "learned", -1.0, "linear"),
        (2, 1.16, 0.5, None, "linear"),
        (2, 1.17, 0.5, None, "all"),
        (10, 0.5, 0.5, None, "all"),
        (2, 1.0, "shared", None, "linear"),
        (2, 0.5, "shared", None, "linear"),
    ],
)
def test_the_bound_holds_where_the_optimum_with_all_units_uses_no_more(
    n_dim, beta, kind, min_log_std, whom
):
    covariance = make_theory.DATA["covariance"]
    bound = cost_bound(covariance, beta, kind, min_log_std)
    best = optimum(covariance, n_dim, beta, kind, min_log_std)
    assert holds_for(covariance, best, beta, kind, min_log_std) == whom
    if bound is None:
        assert (beta, kind) == (0.5, "shared")
    else:
        all_units = optimum(covariance, 10, beta, kind, min_log_std)
        used = np.sum(np.diag(all_units.posterior_covariance) < 1.0 - 1e-6)
        assert best.cost >= bound - 1e-9
        assert whom == "all" or used > n_dim


@pytest.mark.parametrize("table", make_theory.TABLES)
def test_the_tables_of_the_documents_are_those_of_the_command(table):
    document, make = make_theory.TABLES[table]
    _, rows = make()
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    shown = text.partition(f"<!-- {table} -->\n")[2].partition("<!-- end -->")[0]
    expected = ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    assert shown.splitlines()[2:] == expected
