"""Ranges, contours, ellipses and labels of the pictures lie where they should."""

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import random_covariance
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch
from scipy.stats import multivariate_normal

import compare_runs
from analysis import figure_style, linear_vae, run_figures, sample_figures, sweep_figures
from analysis.information import Gaussian
from analysis.mixture import Mixture
from images import figures as image_figures

BETAS = "beta rate distortion active_units cost cost_gap".split()
CURVE = [0.5, 2.0], [2.0, 0.5]


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """drawn(function, *arguments): the matplotlib Figure that the function would save."""
    kept = []

    def keep(canvas, *_, **__):
        kept.append(canvas.figure)

    monkeypatch.setattr(figure_style.FigureCanvasAgg, "print_png", keep)
    monkeypatch.setattr(figure_style, "atomic_write", nullcontext)

    def call(function, *arguments, **options):
        function(tmp_path / "figure.png", *arguments, **options)
        return kept.pop()

    return call


def panel(figure, title):
    """The panel whose title holds these words."""
    return next(axes for axes in figure.axes if title in axes.get_title())


def labels(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def radii(points, mean, covariance):
    """How far points (N, 2) are from the mean, in standard deviations of a Gaussian."""
    away = points - mean
    return np.sqrt(np.sum(away @ np.linalg.inv(covariance) * away, axis=1))


def test_late_range_holds_all_epochs_but_the_first_tenth():
    axes = Figure().subplots()
    far_then_near = np.array([-1e6, -1e5, *np.linspace(-3, -1, 18)])
    figure_style.show_late_range(axes, far_then_near, [-0.5])
    low, high = axes.get_ylim()
    assert -4 < low < -3 and -0.5 < high < 0


def test_the_least_span_keeps_noise_small():
    axes = Figure().subplots()
    figure_style.show_late_range(axes, 3.0 + 0.01 * np.sin(np.arange(20)), [3.005], span=0.2)
    low, high = axes.get_ylim()
    assert high - low == pytest.approx(0.2)
    assert low < 2.99 and high > 3.01


def test_contours_of_a_gaussian_sample_lie_at_one_and_two_std():
    axes, covariance = Figure().subplots(), np.array([[2.0, 0.6], [0.6, 0.5]])
    sample = np.random.default_rng(0).multivariate_normal([0, 0], covariance, 100_000)
    sample_figures.sample_contours(axes, sample, "black")
    outer, inner = (path.vertices for path in axes.collections[0].get_paths())
    assert radii(outer, 0, covariance).mean() == pytest.approx(2, rel=0.05)
    assert radii(inner, 0, covariance).mean() == pytest.approx(1, rel=0.05)


def test_gaussian_ellipses_lie_at_one_and_two_std():
    axes = Figure().subplots()
    mean, covariance = np.array([3.0, -1.0]), np.array([[2.0, -0.6], [-0.6, 0.5]])
    sample_figures.gaussian_ellipses(axes, mean, covariance)
    angles = np.linspace(0, 6, 11)
    for radius, ellipse in zip((1, 2), axes.artists or axes.patches, strict=True):
        circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        points = ellipse.get_patch_transform().transform(circle)
        np.testing.assert_allclose(radii(points, mean, covariance), radius)


def test_the_exact_lines_of_a_mixture_of_one_are_those_of_that_gaussian(drawn):
    mean, std = np.array([3.0, -100.0]), np.array([0.5, 20.0])
    x = mean + std * np.random.default_rng(0).normal(size=(50, 2))
    mixture = Mixture([1.0], mean[np.newaxis], std[np.newaxis])
    figure = drawn(sample_figures.pairwise_marginals, {"data": x, "decoder": x}, "ab", mixture)
    line = next(line for line in figure.axes[0].lines if line.get_label() == "exact")
    expected = multivariate_normal(mean[0], std[0] ** 2).pdf(line.get_xdata())
    np.testing.assert_allclose(line.get_ydata(), expected)
    below = figure.axes[2]  # x2 over x1
    contours = below.collections[-1].get_paths()
    for radius, path in zip((2, 1), contours, strict=True):
        distances = radii(path.vertices, mean, np.diag(std**2))
        assert distances.mean() == pytest.approx(radius, rel=0.1)


@pytest.mark.parametrize("n_rows", [20, 400])
def test_a_sample_of_few_rows_is_drawn_as_points_without_contours(drawn, n_rows):
    data, decoder = np.random.default_rng(0).normal(size=(2, n_rows, 2))
    figure = drawn(sample_figures.pairwise_marginals, {"data": data, "decoder": decoder}, "ab")
    below = figure.axes[2]
    clouds = [np.transpose(line.get_data()) for line in below.lines]
    few = n_rows < sample_figures.FEW_POINTS
    np.testing.assert_array_equal(clouds, [data, decoder] if few else [data])
    assert len(below.collections) == (0 if few else 1)


def test_panels_of_covariances_are_correlations_and_differences_in_percent(drawn):
    scale, correlations = np.diag([0.01, 1.0, 3000.0]), np.eye(3) + 0.4 * (1 - np.eye(3))
    true = scale @ correlations @ scale
    figure = drawn(sample_figures.covariances, {"true": true, "decoder": 1.02 * true}, "abc")
    reference, difference = (ax.images[0] for ax in figure.axes if ax.images)
    np.testing.assert_allclose(reference.get_array(), correlations)
    np.testing.assert_allclose(difference.get_array(), 2 * correlations)
    assert difference.get_clim() == pytest.approx((-2, 2))


def test_pictures_have_the_names_of_the_columns_and_shorten_long_ones(drawn):
    x = np.random.default_rng(0).normal(size=(30, 2))
    names = ["age", "a_name_of_many_letters"]
    figure = drawn(sample_figures.pairwise_marginals, {"data": x, "decoder": x}, names)
    assert [axes.get_xlabel() for axes in figure.axes[2:]] == ["age", "a_name_of_man…"]
    figure = drawn(sample_figures.covariances, dict.fromkeys("ab", np.eye(2)), names)
    ticks = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert ticks == ["age", "a_name_of_man…"]


def test_a_traversal_is_standardized_and_names_its_unit_and_columns(drawn):
    values, mean, std = np.linspace(-1, 1, 7), np.array([5.0, -300.0]), np.array([1.0, 60.0])
    means = mean + std * np.array([0.5, -0.9]) * values[:, None]
    names = ["sepal", "petal"]
    figure = drawn(run_figures.latent_traversal, values, means[None], mean, std, names, [4])
    assert figure.axes[0].get_title() == "only z5 moves"
    assert figure.axes[0].get_legend_handles_labels()[1] == names
    shown = np.transpose([line.get_ydata() for line in figure.axes[0].lines[:2]])
    np.testing.assert_allclose(shown, np.outer(values, [0.5, -0.9]))


def test_the_latent_plane_is_of_the_two_units_whose_means_vary_most(drawn):
    z_mean = np.random.default_rng(0).normal(size=(50, 3)) * [0.8, 0.01, 0.9]
    color = z_mean[:, 0], "a number"
    axes = drawn(run_figures.latent_plane, z_mean, np.ones((50, 3)), color).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("z1", "z3")
    np.testing.assert_array_equal(axes.collections[0].get_offsets(), z_mean[:, [0, 2]])


@pytest.mark.parametrize("wide", ["trained", "linear"])
def test_both_latent_planes_hold_the_wider_of_their_points(drawn, wide):
    z_mean = np.random.default_rng(0).normal(size=(400, 2))
    trained, linear = (3 * z_mean, z_mean) if wide == "trained" else (z_mean, 3 * z_mean)
    stds = np.ones((400, 2))
    figure = drawn(run_figures.latent_plane, trained, stds, (z_mean[:, 0], ""), (linear, stds[0]))
    for axes in figure.axes[:2]:
        assert np.mean(np.abs(3 * z_mean) < axes.get_xlim()[1]) > 0.99


def test_matched_units_undo_a_permutation_and_signs():
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(40, 2))
    hidden = np.column_stack([-reference[:, 1], rng.normal(size=40), reference[:, 0]])
    mean, std = run_figures.matched(reference, hidden, np.array([0.1, 0.2, 0.3]))
    np.testing.assert_array_equal(mean, reference)
    np.testing.assert_array_equal(std, np.tile([0.3, 0.1], (40, 1)))


def test_rows_are_coloured_by_their_principal_component_or_their_component():
    covariance = random_covariance(0)
    x = np.random.default_rng(0).multivariate_normal(np.ones(3), covariance, 4000)
    colors, _ = run_figures.color_of_rows(Gaussian(np.ones(3), covariance), x)
    first = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[0][: len(colors), 0]
    assert abs(np.corrcoef(colors, first)[0, 1]) > 0.999
    assert np.std(colors) == pytest.approx(1, rel=0.05)
    means = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    clusters = Mixture([1.0, 1.0, 1.0], means, np.ones((3, 2)))
    colors, _ = run_figures.color_of_rows(clusters, means[[2, 0, 1]])
    np.testing.assert_array_equal(colors, [3, 1, 2])


def history(**columns):
    elbo = np.array([-5.0, -4.0, -3.5, -3.2])
    return {"epoch": np.arange(1, 5), "kl": elbo, "log_px_z": elbo, "elbo": elbo, **columns}


def test_the_final_gap_of_the_report_is_the_one_in_the_picture(drawn):
    elbo = np.array([-5.1, -4.1, -3.6, -3.3])
    curves = history(elbo_held_out=elbo)
    figure = drawn(run_figures.learning_curves, curves, (-3.0, -3.1), gap=(0.0987, 0.002))
    axes = panel(figure, "gap")
    assert "0.0987 ± 0.0020 nats" in axes.texts[0].get_text()
    np.testing.assert_allclose(axes.lines[0].get_ydata(), -3.1 - elbo)
    assert axes.lines[1].get_xdata() == [4]
    assert "validation" not in " ".join(text.get_text() for text in figure.legends[0].get_texts())


def test_learning_curves_mark_the_epoch_that_validation_rows_chose(drawn):
    curves = history(elbo_validation=np.array([-5.1, -3.4, -3.6, -3.9]))
    figure = drawn(run_figures.learning_curves, curves, (-3.0, -3.1), gap=(0.2, 0.1))
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "validation" in words and "kept: epoch 2" in words
    line = next(line for line in panel(figure, "ELBO").lines if "kept" in line.get_label())
    assert line.get_xdata() == [2, 2]
    axes = panel(figure, "gap")
    assert "validation rows" in axes.get_title()
    assert axes.lines[1].get_xdata() == [2]  # the gap of the weights that are kept
    assert "held-out rows" in axes.texts[0].get_text()


@pytest.mark.parametrize(
    ("holds", "optimum", "name"),
    [("all", "exact", "possible"), ("linear", "exact", "linear"), ("all", "estimate", "linear")],
)
def test_the_best_linear_vae_is_called_the_best_where_nothing_beats_it(holds, optimum, name):
    reports = [
        {"cost_exact": 1.0, "bound_holds_for": "all", "optimum_is": "exact"},
        {"cost_exact": 2.0, "bound_holds_for": holds, "optimum_is": optimum},
        {"cost_exact": None, "bound_holds_for": None, "optimum_is": "exact"},
    ]
    assert run_figures.name_of_best(reports) == f"best {name} VAE"


@pytest.mark.parametrize("betas", [[0.8, 9.0], [1.4, 2.3]])  # a logarithmic and a linear axis
def test_the_staircase_jumps_at_the_thresholds(betas, drawn):
    columns = {name: [0.5, 0.2] for name in BETAS}
    thresholds = [1.5, 2.0, 2.0, 7.0]
    figure = drawn(sweep_figures.beta_sweep, columns | {"beta": betas}, CURVE, CURVE, thresholds)
    axes = panel(figure, "active units")
    stairs = next(patch for patch in axes.patches if isinstance(patch, StepPatch))
    values, edges, _ = stairs.get_data()
    left, right = axes.get_xlim()
    for beta in np.random.default_rng(0).uniform(left, right, size=50):
        shown = values[np.searchsorted(edges, beta) - 1]
        assert shown == sum(beta < threshold for threshold in thresholds)
    texts = {text.get_text().strip() for text in axes.texts}
    assert texts == {f"{t:g}" for t in thresholds if left < t < right}


@pytest.mark.parametrize(("exact", "words"), [(True, "for any model"), (False, "were Gaussian")])
def test_the_bound_of_a_fitted_gaussian_is_not_called_impossible_for_all(drawn, exact, words):
    one = {name: [1.0] for name in BETAS}
    figure = drawn(sweep_figures.beta_sweep, one, CURVE, CURVE, [1.5], exact)
    assert sum(words in label for label in labels(figure.axes[0])) == 1


def test_below_beta_one_a_bounded_std_has_its_theory_drawn():
    settings = SimpleNamespace(n_dim=1, decoder_std="learned", min_log_std=-2.0)
    covariance = random_covariance(3)
    optima = sweep_figures.optima_over_beta(covariance, settings, np.array([0.5, 2.0]), [])
    at_lowest_beta = linear_vae.optimum(covariance, 1, 0.5, "learned", min_log_std=-2.0)
    assert max(best.kl for best in optima) >= at_lowest_beta.kl


def test_a_sweep_without_a_gaussian_reference_shows_its_costs_and_no_theory(drawn):
    columns = {name: [1.0, 2.0] for name in BETAS}
    figure = drawn(sweep_figures.beta_sweep, columns | {"cost": [3.0, 4.0]})
    assert labels(figure.axes[0]) == ["trained, β = 1", "trained, β = 2"]
    assert [line.get_ydata() for line in panel(figure, "cost").lines] == [[3.0], [4.0]]
    assert panel(figure, "active units").get_ylim() == (-0.3, 2.3)


def test_runs_are_drawn_as_their_median_and_range(drawn):
    values = np.array([[1.0, 5.0, 2.0], [3.0, 4.0, 9.0], [2.0, 6.0, 0.0]])
    figure = drawn(compare_runs.draw, {"n_dim 2": values}, "ELBO")
    (axes,) = figure.axes
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [2.0, 5.0, 2.0])
    corners = axes.collections[0].get_paths()[0].vertices
    for epoch, low, high in [(1, 1.0, 3.0), (2, 4.0, 6.0), (3, 0.0, 9.0)]:
        band = corners[corners[:, 0] == epoch, 1]
        assert (band.min(), band.max()) == (low, high)


def test_an_interpolation_ends_at_its_two_images(drawn):
    images, ends = np.full((1, 3, 4, 4), 0.5), np.stack([np.zeros((4, 4)), np.ones((4, 4))])
    figure = drawn(image_figures.interpolation, images, ends[None])
    sheet = figure.axes[0].images[0].get_array()
    np.testing.assert_array_equal(sheet[:4, :4], ends[0])
    np.testing.assert_array_equal(sheet[:4, -4:], ends[1])
    ticks = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert ticks == ["data", "0", "0.5", "1", "data"]


def test_names_in_pictures_are_short_and_of_letters_that_the_font_has():
    names = ["a", "日本", "größe", "a_name_of_many_letters"]
    assert figure_style.names_in_pictures(names) == ["a", "x2", "größe", "a_name_of_man…"]


def test_the_bins_hold_values_of_every_sample_however_few():
    bins = sample_figures.bins_of(np.array([-1.0, 1.0]), np.linspace(-0.9, 0.9, 40))
    assert np.histogram([-1.0, 1.0], bins)[0].sum() == 2
