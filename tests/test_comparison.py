from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import binom, ks_2samp

from analysis import comparison


def samples(n_rows, seed, scale=1.0, shift=0.0):
    return scale * np.random.default_rng(seed).normal(size=(n_rows, 3)) + shift


def false_alarms_within_bounds(p_values, level):
    low, high = binom.ppf([1e-4, 1 - 1e-4], len(p_values), level)
    return low <= np.count_nonzero(np.array(p_values) <= level) <= high


def test_energy_distance_agrees_with_a_naive_double_loop_over_columns_in_their_std():
    a, b = samples(7, 0), samples(9, 1, shift=0.5)
    std = np.vstack([a, b]).std(axis=0)

    def mean_distance(left, right):
        return np.mean([[np.sqrt(np.sum(((u - v) / std) ** 2)) for v in right] for u in left])

    expected = 2 * mean_distance(a, b) - mean_distance(a, a) - mean_distance(b, b)
    np.testing.assert_allclose(comparison.energy_test(a, b)[0], expected, rtol=1e-10)


def test_no_column_counts_for_its_unit():
    """A column of Unix seconds and a constant one beside two that tell the samples apart."""
    a, x = samples(150, 0), samples(140, 1)
    a[:, 2] *= 0.3
    in_other_units = [rows * [1e9, 1.0, 1e-6] + [1.7e9, 0.0, 5.0] for rows in (a, x)]
    expected, found = comparison.compare(a, x), comparison.compare(*in_other_units)
    for name in ("mean_error", "covariance_error", "energy_distance", "energy_p"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-6)
    assert found.energy_p == 1 / 200
    with_constant = [np.insert(rows, 1, 4.0, axis=1) for rows in (a, x)]
    assert comparison.compare(*with_constant).energy_distance == expected.energy_distance


@pytest.mark.parametrize("ties", [False, True])
def test_energy_test_alarms_falsely_as_often_as_its_level_and_less_often_with_ties(ties):
    p_values = []
    for k in range(300):
        a, x = samples(20, 2 * k), samples(25, 2 * k + 1)
        if ties:
            a, x = np.sign(a[:4, :1]), np.sign(x[:5, :1])
        p_values.append(comparison.energy_test(a, x, seed=k)[1])
    for level in (0.05, 0.3):
        if ties:
            assert np.count_nonzero(np.array(p_values) <= level) <= binom.ppf(1 - 1e-4, 300, level)
        else:
            assert false_alarms_within_bounds(p_values, level)


@pytest.mark.parametrize("change", [{"shift": 0.7}, {"scale": 1.9}])
def test_energy_test_detects_a_shifted_and_a_rescaled_sample(change):
    assert comparison.energy_test(samples(150, 0), samples(140, 1))[1] > 0.01
    assert comparison.energy_test(samples(150, 0), samples(140, 1, **change))[1] == 1 / 200


def test_energy_test_draws_its_rows_at_random_and_the_seed_repeats_it(monkeypatch):
    monkeypatch.setattr(comparison, "TESTED_ROWS", 50)
    ordered = np.sort(samples(400, 0), axis=0)  # its first rows are its smallest
    assert comparison.energy_test(ordered, ordered[::-1])[1] > 0.01
    a, x = samples(90, 0), samples(80, 1)
    results = [comparison.energy_test(a, x, seed) for seed in (3, 3, 4)]
    assert results[0] == results[1]
    assert results[0] != results[2]


def test_compare_gives_the_moments_errors_and_scipys_ks():
    a, x = samples(60, 0, scale=1.2), samples(50, 1)
    known = SimpleNamespace(mean=np.array([0.5, 0.0, 0.0]), covariance=np.diag([4.0, 1.0, 1.0]))
    result = comparison.compare(a, x, known)
    np.testing.assert_allclose(
        result.mean_error, np.max(np.abs(a.mean(axis=0) - known.mean) / [2.0, 1.0, 1.0])
    )
    in_std = np.cov(a / [2.0, 1.0, 1.0], rowvar=False)
    error = np.linalg.norm(in_std - np.eye(3)) / np.sqrt(3)
    np.testing.assert_allclose(result.covariance_error, error)
    for j in range(3):
        test = ks_2samp(a[:, j], x[:, j])
        assert (result.ks[j], result.ks_p[j]) == (test.statistic, test.pvalue)
    assert (result.energy_distance, result.energy_p) == comparison.energy_test(a, x, 0)


def test_compare_takes_the_moments_of_the_data_where_none_are_given():
    a, x = samples(60, 0, shift=0.3), samples(50, 1)
    known = SimpleNamespace(mean=x.mean(axis=0), covariance=np.cov(x, rowvar=False))
    found, expected = comparison.compare(a, x), comparison.compare(a, x, known)
    assert found.mean_error == pytest.approx(expected.mean_error)
    assert found.covariance_error == pytest.approx(expected.covariance_error)
    assert comparison.compare(x, x).covariance_error == 0
    assert comparison.compare(a[:, :1], x[:, :1]).covariance_error > 0
    assert comparison.compare(a[:1], x) is None
    assert comparison.compare(a[:3], x[:3], paired=True) is None


def test_means_of_many_rows_far_from_zero_are_exact():
    rng = np.random.default_rng(0)
    a, x = (np.float32(3000.0 + rng.normal(size=(n, 2))) for n in (100_000, 20_000))
    assert comparison.compare(a, x).mean_error < 0.03


def test_samples_made_from_the_rows_themselves_are_tested_against_other_rows():
    """Reconstructions by a perfect model: p-values too large without halves, right with them."""
    known = SimpleNamespace(mean=np.zeros(1), covariance=1.04 * np.eye(1))
    p_values = {True: [], False: []}
    for seed in range(40):
        z, noise, other_noise = np.random.default_rng(seed).normal(size=(3, 80, 1))
        x, made = z + 0.2 * noise, z + 0.2 * other_noise
        for paired, found in p_values.items():
            result = comparison.compare(made, x, known, seed, paired)
            found += [result.ks_p[0], result.energy_p]
    assert np.min(p_values[False]) > 0.3
    assert false_alarms_within_bounds(p_values[True][::2], 0.3)
    assert false_alarms_within_bounds(p_values[True][1::2], 0.3)


def test_the_printed_table_holds_the_figures_and_the_names_of_the_columns(capsys):
    a, x = samples(60, 0), samples(50, 1)
    results = {
        "decoder": comparison.compare(a, x),
        "encoder-decoder": comparison.compare(x, x, paired=True),
    }
    comparison.print_comparison(results, ["sepal", "petal", "a very long name of a column, cut"])
    shown = capsys.readouterr().out
    assert f"{results['decoder'].mean_error:.4f}" in shown
    assert f"{results['decoder'].energy_p:.4f}" in shown
    for j, name in enumerate(["sepal", "petal", "a very long name of a column"]):
        line = next(line for line in shown.splitlines() if name in line)
        assert f"{results['decoder'].ks[j]:.4f}" in line
        assert f"{results['encoder-decoder'].ks[j]:.4f}" in line
    assert "encoder-decoder: tested on" in shown
    assert "\ndecoder: tested on" not in shown
    comparison.print_comparison({"decoder": None}, ["sepal"])
    assert "too few rows to compare" in capsys.readouterr().out


def test_of_many_columns_those_that_are_farthest_are_shown(capsys):
    a, x = np.random.default_rng(0).normal(size=(2, 50, 41))
    a[:, 33] += 3.0
    comparison.print_comparison({"decoder": comparison.compare(a, x)}, [f"c{j}" for j in range(41)])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < 30
    assert any(line.split()[0] == "c33" for line in lines if line)


def test_wide_tables_are_compared_in_fewer_rows():
    assert comparison.compared_rows(10) == 100_000
    assert 5000 < comparison.compared_rows(1846) < 6000
    assert comparison.compared_rows(10**6) == comparison.TESTED_ROWS
