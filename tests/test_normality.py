import numpy as np
import pytest

from analysis import normality


def normal(n_rows, seed, data_dim=3):
    return np.random.default_rng(seed).normal(size=(n_rows, data_dim))


def statistics(x):
    white = normality.whiten(x)
    return normality.mardia_skewness(white), normality.mardia_kurtosis(white)


def test_mardias_statistics_agree_with_naive_sums():
    x = normal(11, 0)
    centered = x - x.mean(axis=0)
    distances = centered @ np.linalg.inv(np.cov(x, rowvar=False, ddof=0)) @ centered.T
    expected = np.mean(distances**3), np.mean(np.diag(distances) ** 2)
    np.testing.assert_allclose(statistics(x), expected, rtol=1e-9)


@pytest.mark.parametrize(("n_rows", "data_dim", "rarely"), [(12, 1, 0), (90, 2, 0.025)])
def test_mardias_test_alarms_falsely_at_most_as_often_as_its_level(n_rows, data_dim, rarely):
    null = normality.mardia_null(n_rows, data_dim)
    rows = np.random.default_rng(1).standard_normal((1000, n_rows, data_dim))
    p_values = np.array([normality.mardia_p_value(*statistics(x), null) for x in rows])
    for level, least, most in [(0.001, 0, 0.005), (0.01, 0, 0.02), (0.05, rarely, 0.075)]:
        assert least <= np.mean(p_values <= level) <= most


def test_mardias_test_detects_skewed_and_heavy_tailed_data_and_ignores_affine_maps():
    x = normal(300, 0)
    assert normality.mardia_test(x) > 0.001
    assert normality.mardia_test(np.exp(x)) < 1e-6
    assert normality.mardia_test(np.random.default_rng(0).standard_t(3, size=(300, 3))) < 1e-6
    assert normality.mardia_test(np.random.default_rng(0).uniform(size=(300, 3))) < 1e-3
    mapped = x @ np.random.default_rng(1).normal(size=(3, 3)) + 4.0
    np.testing.assert_allclose(normality.mardia_test(mapped), normality.mardia_test(x), rtol=1e-6)


@pytest.mark.parametrize(("n_rows", "data_dim"), [(700, 80), (40, 31)])
def test_mardias_test_is_bounded_work_at_any_width(n_rows, data_dim, monkeypatch):
    """Counted in products: the third moments of d columns take d^3 of them for each row."""
    products = []

    def counted(x):
        products.append(len(x) * x.shape[1] ** 3)
        return whiten(x)

    whiten = normality.whiten
    monkeypatch.setattr(normality, "whiten", counted)
    x = normal(n_rows, 0, data_dim)
    assert normality.mardia_test(x) > 0.001
    assert normality.mardia_test(np.exp(x)) < 0.001
    assert sum(products) < 6e9


def test_a_test_of_too_few_rows_is_not_made():
    assert normality.mardia_test(normal(9, 0)) is None
    assert 0.01 < normality.mardia_test(normal(10, 0)) <= 1
