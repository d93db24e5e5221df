"""The theorems of docs/theory.md tried where a computer can, and the tables of the documents."""

from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from conftest import random_covariance

from analysis.information import entropy
from analysis.linear_search import profile_cost
from analysis.linear_vae import bound_holds_for, cost_bound, linear_optimum, optimum
from docs import make_theory

DOCS = Path(__file__).parents[1] / "docs"


def grid(data_dim, size):
    """The points of a grid over the data, (size^data_dim, data_dim), and its cell."""
    axis = np.linspace(-8.0, 8.0, size)
    points = np.stack(np.meshgrid(*[axis] * data_dim, indexing="ij"), axis=-1)
    return points.reshape(-1, data_dim), (axis[1] - axis[0]) ** data_dim


def log_gaussian(x, covariance):
    return scipy.stats.multivariate_normal(np.zeros(len(covariance)), covariance).logpdf(x)


def gaussian(x, covariance):
    return np.exp(log_gaussian(x, covariance))


def divergence(p, log_q, cell):
    return cell * np.sum(p * (np.log(np.maximum(p, 1e-300)) - log_q))


def marginals(density, data_dim, size):
    """The density of each coordinate of a density on the grid, (data_dim, size)."""
    table, step = density.reshape([size] * data_dim), 16.0 / (size - 1)
    others = [tuple(k for k in range(data_dim) if k != j) for j in range(data_dim)]
    return np.array([table.sum(axis=axes) * step ** (data_dim - 1) for axes in others])


def bumps(rng, x, n_bumps=3):
    """A random density that is not Gaussian: a mixture of a few Gaussians of any shape."""
    density = np.zeros(len(x))
    for _ in range(n_bumps):
        root = rng.normal(scale=0.5, size=2 * x.shape[1:]) + 0.5 * np.eye(x.shape[1])
        shape = root @ root.T + 0.1 * np.eye(x.shape[1])
        density += rng.uniform() * gaussian(x - rng.normal(size=x.shape[1]), shape)
    return density


def lemma_ratio(density, covariance, x, cell, size):
    """The left side of the lemma over its right side, for the least beta that it allows."""
    data_dim = len(covariance)
    axis = np.linspace(-8.0, 8.0, size)[:, None]
    left = 0.0
    for j, marginal in enumerate(marginals(density, data_dim, size)):
        other = log_gaussian(axis, covariance[j : j + 1, j : j + 1])
        left += divergence(marginal, other, 16.0 / (size - 1))
    std = np.sqrt(np.diag(covariance))
    beta = np.linalg.eigvalsh(covariance / np.outer(std, std))[-1]
    return left / (beta * divergence(density, log_gaussian(x, covariance), cell))


@pytest.mark.parametrize(("data_dim", "size", "n_densities"), [(2, 161, 40), (3, 65, 8)])
def test_the_lemma_holds_for_random_densities_and_is_sharp(data_dim, size, n_densities):
    rng = np.random.default_rng(data_dim)
    x, cell = grid(data_dim, size)
    for _ in range(n_densities):
        covariance = random_covariance(rng.integers(1000), data_dim) + 0.1 * np.eye(data_dim)
        covariance /= np.max(np.diag(covariance))
        density = bumps(rng, x)
        density /= cell * np.sum(density)
        assert lemma_ratio(density, covariance, x, cell, size) < 1.0 + 1e-6
    # Equality where N(0, K) is shifted along the first eigenvector of K Psi^-1.
    scaled = covariance / np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    shift = np.sqrt(np.diag(covariance)) * np.linalg.eigh(scaled)[1][:, -1]
    shifted = gaussian(x - shift, covariance)
    assert lemma_ratio(shifted, covariance, x, cell, size) == pytest.approx(1.0, abs=1e-4)


def left_by(best, covariance):
    return covariance - best.weights @ best.weights.T


@pytest.mark.parametrize("seed", range(6))
def test_the_identities_behind_theorem_7_hold_at_random_optima(seed):
    data_dim, beta = 3 + seed, [1.01, 1.2, 1.5, 2.0, 3.0, 1.1][seed]
    covariance = random_covariance(seed, data_dim)
    best = linear_optimum(covariance, data_dim, beta)
    psi, left = best.noise_variances, left_by(best, covariance)
    inverse = np.linalg.inv(left)
    np.testing.assert_allclose(np.diag(left), psi, rtol=1e-8)
    np.testing.assert_allclose(
        (inverse - np.diag(1 / (beta * psi))) @ (covariance - left), 0, atol=1e-6
    )
    assert np.linalg.eigvalsh(beta * np.diag(psi) - left)[0] > -1e-9
    expected = data_dim - data_dim / beta + np.sum(np.diag(covariance) / psi) / beta
    assert np.trace(inverse @ covariance) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(
    ("beta", "kind", "min_log_std"),
    [(1.4, "learned", None), (1.4, "learned", -0.5), (0.6, "learned", -0.5), (0.6, 0.5, None)],
)
def test_theorem_6_bounds_every_conditional_covariance(beta, kind, min_log_std):
    rng, covariance = np.random.default_rng(1), random_covariance(9, 4)
    best = optimum(covariance, 4, beta, kind, min_log_std)

    def value(left):
        """F of theorem 6: the least cost of a decoder for x given z, beta h(x|z) taken off."""
        variances = np.diag(left)
        psi = np.full(4, 0.25) if kind == 0.5 else variances
        if min_log_std is not None:
            psi = np.maximum(psi, np.exp(2 * min_log_std))
        code = np.sum(np.log(2 * np.pi * psi) + variances / psi)
        return 0.5 * code - 0.5 * beta * np.linalg.slogdet(2 * np.pi * np.e * left)[1]

    left = left_by(best, covariance)
    assert value(left) + beta * entropy(covariance) == pytest.approx(best.cost, abs=1e-9)
    multiplier = 0.5 * beta * (np.linalg.inv(left) - np.diag(1 / (beta * best.noise_variances)))
    for scale in [0.02, 0.3, 2.0]:
        for _ in range(30):
            root = np.linalg.cholesky(left) @ (np.eye(4) + scale * rng.normal(size=(4, 4)))
            other = root @ root.T
            assert value(other) >= value(left) - np.sum(multiplier * (other - left)) - 1e-9


@pytest.mark.parametrize("beta", [1.1, 1.5])
def test_no_nonlinear_encoder_costs_less_than_the_linear_optimum_with_all_units(beta):
    covariance, size, rng = np.array([[1.0, 0.8], [0.8, 1.0]]), 161, np.random.default_rng(4)
    x, cell = grid(2, size)
    data = gaussian(x, covariance)
    lowest = cost_bound(covariance, beta, "learned")
    best = linear_optimum(covariance, 1, beta)
    variance = best.posterior_covariance[0, 0]
    encoder = variance * best.weights[:, 0] / (beta * best.noise_variances)
    levels = np.linspace(-4.5, 4.5, 31)  # of z: the linear encoder, nearly, where scale is 0
    of_x = np.column_stack([x, x**2, x[:, :1] * x[:, 1:], np.sin(2 * x)]) / 4
    of_level = np.array([levels, levels**2, np.sin(levels)]) / 4
    found = []
    for scale in [0.0, 0.1, 0.3, 1.0, 3.0] * 3:
        logits = -(((x @ encoder)[:, None] - levels) ** 2) / (2 * variance)
        logits += scale * of_x @ rng.normal(size=(7, 3)) @ of_level
        given_x = np.exp(logits - logits.max(axis=1, keepdims=True))
        given_x /= given_x.sum(axis=1, keepdims=True)
        of_z = cell * data @ given_x
        cost = 0.0  # beta I + sum_j h(x_j|z), what no decoder with independent coordinates beats
        for k in np.flatnonzero(of_z > 1e-6):
            conditional = data * given_x[:, k] / of_z[k]
            cost += of_z[k] * beta * divergence(conditional, log_gaussian(x, covariance), cell)
            for marginal in marginals(conditional, 2, size):
                cost -= of_z[k] * divergence(marginal, 0.0, 16.0 / (size - 1))
        found.append(cost - lowest)
    assert -1e-6 < min(found) < 1e-3


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
    assert bound_holds_for(best, bound) == "linear"


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
    assert bound_holds_for(best, bound) == whom
    if bound is None:
        assert (beta, kind) == (0.5, "shared")
    else:
        all_units = optimum(covariance, 10, beta, kind, min_log_std)
        used = np.sum(np.diag(all_units.posterior_covariance) < 1.0 - 1e-6)
        assert best.cost >= bound - 1e-9
        assert whom == "all" if used <= n_dim else True


def test_the_cost_is_convex_with_all_units_and_not_with_fewer():
    rng, broken = np.random.default_rng(2), 0
    for seed in range(30):
        root = np.linalg.cholesky(random_covariance(seed, 4))
        ends = rng.normal(scale=1.5, size=(20, 2, 4))
        for beta, n_dim in [(0.7, 4), (2.0, 4), (2.0, 1)]:
            for one, other in ends:
                costs = [
                    profile_cost(point, root, n_dim, beta)[0]
                    for point in (one, other, 0.5 * (one + other))
                ]
                excess = costs[2] - 0.5 * (costs[0] + costs[1])
                broken += n_dim == 1 and excess > 1e-6
                assert excess < 1e-9 or n_dim == 1
    assert broken > 0


@pytest.mark.parametrize("table", make_theory.TABLES)
def test_the_tables_of_the_documents_are_those_of_the_command(table):
    document, make = make_theory.TABLES[table]
    _, rows = make()
    text = (DOCS / document).read_text(encoding="utf-8")
    shown = text.partition(f"<!-- {table} -->\n")[2].partition("<!-- end -->")[0]
    expected = ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    assert shown.splitlines()[2:] == expected
