import numpy as np
import pytest
from scipy.stats import binom, ks_2samp

from analysis import comparison

REPETITIONS = 300


def samples(n_rows, seed, scale=1.0, shift=0.0):
    return scale * np.random.default_rng(seed).normal(size=(n_rows, 3)) + shift


def false_alarms_within_bounds(p_values, level):
    low, high = binom.ppf([1e-4, 1 - 1e-4], len(p_values), level)
    return low <= np.count_nonzero(np.array(p_values) <= level) <= high


def test_relative_error_is_a_ratio_of_frobenius_norms():
    matrix, reference = np.array([[1.0, 2.0], [2.0, 5.0]]), np.array([[1.0, 0.0], [0.0, 2.0]])
    np.testing.assert_allclose(comparison.relative_error(matrix, reference), np.sqrt(17 / 5))
    assert comparison.relative_error(reference, reference) == 0
    np.testing.assert_allclose(comparison.relative_error(3.0, np.array([[2.0]])), 0.5)


def test_energy_distance_agrees_with_a_naive_double_loop():
    a, b = samples(7, 0), samples(9, 1, shift=0.5)

    def mean_distance(left, right):
        return np.mean([[np.sqrt(np.sum((u - v) ** 2)) for v in right] for u in left])

    expected = 2 * mean_distance(a, b) - mean_distance(a, a) - mean_distance(b, b)
    np.testing.assert_allclose(comparison.energy_test(a, b)[0], expected, rtol=1e-10)


def test_energy_test_alarms_falsely_as_often_as_its_level():
    p_values = [
        comparison.energy_test(samples(20, 2 * k), samples(25, 2 * k + 1), seed=k)[1]
        for k in range(REPETITIONS)
    ]
    for level in (0.05, 0.3):
        assert false_alarms_within_bounds(p_values, level)


@pytest.mark.parametrize("change", [{"shift": 0.7}, {"scale": 1.9}])
def test_energy_test_detects_a_shifted_and_a_rescaled_sample(change):
    assert comparison.energy_test(samples(150, 0), samples(140, 1))[1] > 0.01
    assert comparison.energy_test(samples(150, 0), samples(140, 1, **change))[1] == 1 / 200


def test_energy_test_draws_its_rows_at_random_and_the_seed_repeats_it(monkeypatch):
    monkeypatch.setattr(comparison, "TESTED_ROWS", 50)
    ordered = np.sort(samples(400, 0), axis=0)  # its first rows are its smallest
    assert comparison.energy_test(ordered, ordered[::-1])[1] > 0.01
    results = [comparison.energy_test(samples(90, 0), samples(80, 1), seed=s) for s in (3, 3, 4)]
    assert results[0] == results[1]
    assert results[0] != results[2]


def test_compare_gives_the_moments_errors_and_scipys_ks():
    a, x = samples(60, 0, scale=1.2), samples(50, 1)
    mean, covariance = np.array([0.5, 0.0, 0.0]), np.diag([4.0, 1.0, 1.0])
    result = comparison.compare(a, x, mean, covariance)
    expected = np.max(np.abs(a.mean(axis=0) - mean) / [2.0, 1.0, 1.0])
    np.testing.assert_allclose(result.mean_error, expected)
    error = np.linalg.norm(np.cov(a, rowvar=False) - covariance) / np.linalg.norm(covariance)
    np.testing.assert_allclose(result.covariance_error, error)
    for j in range(3):
        test = ks_2samp(a[:, j], x[:, j])
        assert (result.ks[j], result.ks_p[j]) == (test.statistic, test.pvalue)
    assert (result.energy_distance, result.energy_p) == comparison.energy_test(a, x, 0)


def test_compare_takes_the_moments_of_the_data_where_none_are_given():
    a, x = samples(60, 0, shift=0.3), samples(50, 1)
    exact = comparison.compare(a, x, x.mean(axis=0), np.cov(x, rowvar=False))
    assert comparison.compare(a, x).mean_error == exact.mean_error
    assert comparison.compare(a, x).covariance_error == exact.covariance_error
    assert comparison.compare(x, x).covariance_error == 0


def test_the_printed_table_holds_the_figures(capsys):
    a, x = samples(60, 0), samples(50, 1)
    results = comparison.print_comparison({"decoder": a, "encoder-decoder": x}, x, None, None)
    shown = capsys.readouterr().out
    assert list(results) == ["decoder", "encoder-decoder"]
    assert f"{results['decoder'].mean_error:.4f}" in shown
    assert f"{results['decoder'].energy_p:.4f}" in shown
    for j in range(3):
        assert f"{results['decoder'].ks[j]:.4f}" in shown


def test_means_of_many_rows_far_from_zero_are_exact():
    rng = np.random.default_rng(0)
    a, x = (np.float32(3000.0 + rng.normal(size=(n, 2))) for n in (100_000, 20_000))
    assert comparison.compare(a, x).mean_error < 0.03


def test_samples_made_from_the_rows_themselves_are_tested_against_other_rows():
    """Reconstructions by a perfect model: p-values too large without halves, right with them."""
    p_values = {True: [], False: []}
    for seed in range(40):
        z, noise, other_noise = np.random.default_rng(seed).normal(size=(3, 80, 1))
        x, made = z + 0.2 * noise, z + 0.2 * other_noise
        for paired, found in p_values.items():
            result = comparison.compare(made, x, np.zeros(1), 1.04 * np.eye(1), seed, paired)
            found += [result.ks_p[0], result.energy_p]
    assert np.min(p_values[False]) > 0.3
    assert false_alarms_within_bounds(p_values[True][::2], 0.3)
    assert false_alarms_within_bounds(p_values[True][1::2], 0.3)


def test_the_table_says_which_samples_were_tested_by_halves(capsys):
    x = samples(50, 1)
    comparison.print_comparison({"encoder-decoder": x}, x, None, None, ["encoder-decoder"])
    assert "encoder-decoder: tested on" in capsys.readouterr().out
