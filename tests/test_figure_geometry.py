"""Ranges, contours, ellipses and labels of the pictures lie where they should."""

from contextlib import nullcontext

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch

from analysis import figure_style, figures
from images import figures as image_figures


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """drawn(function, *arguments): the matplotlib Figure that the function would save."""
    kept, canvas = [], figure_style.FigureCanvasAgg
    monkeypatch.setattr(
        figure_style, "FigureCanvasAgg", lambda figure: kept.append(figure) or canvas(figure)
    )
    monkeypatch.setattr(figure_style, "imsave", lambda *_, **__: None)
    monkeypatch.setattr(figure_style, "atomic_write", nullcontext)

    def call(function, *arguments, **options):
        function(tmp_path / "figure.png", *arguments, **options)
        return kept.pop()

    return call


def test_late_range_holds_all_epochs_but_the_first_tenth():
    axes = Figure().subplots()
    far_then_near = np.array([-1e6, -1e5, *np.linspace(-3, -1, 18)])
    figures.show_late_range(axes, far_then_near, [-0.5])
    low, high = axes.get_ylim()
    assert -4 < low < -3 and -0.5 < high < 0


def test_mass_contours_of_a_gaussian_sample_lie_at_one_and_two_std():
    axes = Figure().subplots()
    covariance = np.array([[2.0, 0.6], [0.6, 0.5]])
    sample = np.random.default_rng(0).multivariate_normal([0, 0], covariance, 100_000)
    figures.mass_contours(axes, sample, "black")
    outer, inner = (path.vertices for path in axes.collections[0].get_paths())
    for radius, vertices in ((2, outer), (1, inner)):
        squared = np.sum(vertices @ np.linalg.inv(covariance) * vertices, axis=1)
        assert np.sqrt(squared).mean() == pytest.approx(radius, rel=0.05)


@pytest.mark.parametrize("n_rows", [20, 400])
def test_a_sample_of_few_rows_is_drawn_as_points_without_contours(drawn, n_rows):
    data, decoder = np.random.default_rng(0).normal(size=(2, n_rows, 2))
    figure = drawn(figures.pairwise_marginals, {"data": data, "decoder": decoder})
    pair = figure.axes[2]  # below the diagonal
    clouds = [np.transpose(line.get_data()) for line in pair.lines]
    few = n_rows < figures.FEW_POINTS
    np.testing.assert_array_equal(clouds, [data, decoder] if few else [data])
    assert len(pair.collections) == (0 if few else 1)


def test_a_traversal_is_standardized(drawn):
    values, mean, std = np.linspace(-1, 1, 7), np.array([5.0, -300.0]), np.array([1.0, 60.0])
    means = mean + std * np.array([0.5, -0.9]) * values[:, None]
    figure = drawn(figures.latent_traversal, values, means[None], mean, std)
    shown = np.transpose([line.get_ydata() for line in figure.axes[0].lines[:2]])
    np.testing.assert_allclose(shown, np.outer(values, [0.5, -0.9]))


def test_gaussian_ellipses_lie_at_one_and_two_std():
    axes = Figure().subplots()
    mean, covariance = np.array([3.0, -1.0]), np.array([[2.0, -0.6], [-0.6, 0.5]])
    figures.gaussian_ellipses(axes, mean, covariance)
    for radius, ellipse in zip((1, 2), axes.patches, strict=True):
        points = (
            np.array(
                [
                    ellipse.get_patch_transform().transform((np.cos(t), np.sin(t)))
                    for t in np.linspace(0, 6, 11)
                ]
            )
            - mean
        )
        squared = np.sum(points @ np.linalg.inv(covariance) * points, axis=1)
        np.testing.assert_allclose(squared, radius**2)


def test_the_least_span_keeps_noise_small():
    axes = Figure().subplots()
    figures.show_late_range(axes, 3.0 + 0.01 * np.sin(np.arange(20)), [3.005], span=0.2)
    low, high = axes.get_ylim()
    assert high - low == pytest.approx(0.2)
    assert low < 2.99 and high > 3.01


@pytest.mark.parametrize("betas", [[0.8, 9.0], [1.4, 2.3]])  # a logarithmic and a linear axis
def test_the_staircase_jumps_at_the_thresholds(betas, drawn):
    columns = {name: [0.5, 0.2] for name in "rate distortion active_units cost_gap".split()}
    thresholds = [1.5, 2.0, 2.0, 7.0]
    figure = drawn(
        figures.beta_sweep,
        ([1, 2], [1, 0]),
        ([1, 2], [1, 0]),
        columns | {"beta": betas},
        thresholds,
    )
    axes = next(ax for ax in figure.axes if ax.get_title() == "active units")
    stairs = next(patch for patch in axes.patches if isinstance(patch, StepPatch))
    values, edges, _ = stairs.get_data()
    left, right = axes.get_xlim()
    for beta in np.random.default_rng(0).uniform(left, right, size=50):
        shown = values[np.searchsorted(edges, beta) - 1]
        assert shown == sum(beta < threshold for threshold in thresholds)
    labels = {text.get_text().strip() for text in axes.texts}
    assert labels == {f"{t:g}" for t in thresholds if left < t < right}


def test_runs_are_drawn_as_their_median_and_range(drawn):
    values = np.array([[1.0, 5.0, 2.0], [3.0, 4.0, 9.0], [2.0, 6.0, 0.0]])
    figure = drawn(figures.runs, {"n_dim 2": (np.array([1, 2, 3]), values)}, "ELBO")
    (axes,) = figure.axes
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [2.0, 5.0, 2.0])
    corners = axes.collections[0].get_paths()[0].vertices
    for epoch, low, high in [(1, 1.0, 3.0), (2, 4.0, 6.0), (3, 0.0, 9.0)]:
        band = corners[corners[:, 0] == epoch, 1]
        assert (band.min(), band.max()) == (low, high)


def test_the_latent_plane_is_of_the_two_units_whose_means_vary_most(drawn):
    z_mean = np.random.default_rng(0).normal(size=(50, 3)) * [0.8, 0.01, 0.9]
    axes = drawn(figures.latent_plane, z_mean, np.ones((50, 3))).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("z1", "z3")
    np.testing.assert_array_equal(axes.collections[0].get_offsets(), z_mean[:, [0, 2]])


def test_the_samples_of_a_sweep_are_shown_in_the_two_dimensions_that_correlate_most(drawn):
    covariance = np.array([[4.0, 0.4, 0.1], [0.4, 1.0, -0.5], [0.1, -0.5, 1.0]])
    planes, samples = [(np.zeros((5, 2)), np.ones((5, 2)))], np.arange(12.0).reshape(1, 4, 3)
    figure = drawn(figures.latent_planes_over_beta, [2.0], planes, samples, np.zeros(3), covariance)
    below = next(ax for ax in figure.axes if ax.get_xlabel() == "x2")
    assert below.get_ylabel().startswith("decoder samples, x3")
    np.testing.assert_array_equal(below.lines[0].get_xydata(), samples[0][:, 1:])


def test_matched_units_undo_a_permutation_and_signs():
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(40, 2))
    hidden = np.column_stack([-reference[:, 1], rng.normal(size=40), reference[:, 0]])
    mean, std = figures.matched(reference, hidden, np.array([0.1, 0.2, 0.3]))
    np.testing.assert_array_equal(mean, reference)
    np.testing.assert_array_equal(std, np.tile([0.3, 0.1], (40, 1)))


def test_panels_of_covariances_are_correlations_and_differences_in_percent(drawn):
    scale, correlations = np.diag([0.01, 1.0, 3000.0]), np.eye(3) + 0.4 * (1 - np.eye(3))
    true = scale @ correlations @ scale
    figure = drawn(figures.covariances, {"true": true, "decoder": 1.02 * true})
    reference, difference = (ax.images[0] for ax in figure.axes if ax.images)
    np.testing.assert_allclose(reference.get_array(), correlations)
    np.testing.assert_allclose(difference.get_array(), 2 * correlations)
    assert difference.get_clim() == pytest.approx((-2, 2))


def test_the_final_gap_of_the_report_is_the_one_in_the_picture(drawn):
    elbo = np.array([-5.0, -4.0, -3.5, -3.2])
    history = {name: elbo for name in ("kl", "log_px_z", "elbo", "elbo_held_out")}
    history["epoch"] = np.arange(1, 5)
    figure = drawn(figures.learning_curves, history, (-3.0, -3.1), gap=(0.0987, 0.002))
    axes = next(ax for ax in figure.axes if "gap" in ax.get_title())
    assert "0.0987 ± 0.0020 nats" in axes.texts[0].get_text()
    np.testing.assert_allclose(axes.lines[0].get_ydata(), -3.1 - elbo)


def test_an_interpolation_ends_at_its_two_images(drawn):
    images, ends = np.full((1, 3, 4, 4), 0.5), np.stack([np.zeros((4, 4)), np.ones((4, 4))])
    figure = drawn(image_figures.interpolation, images, ends[None])
    sheet = figure.axes[0].images[0].get_array()
    np.testing.assert_array_equal(sheet[:4, :4], ends[0])
    np.testing.assert_array_equal(sheet[:4, -4:], ends[1])
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == ["binarized\ndata", "0", "0.5", "1", "binarized\ndata"]


@pytest.mark.parametrize(("exact", "words"), [(True, "for any model"), (False, "were Gaussian")])
def test_the_bound_of_a_fitted_gaussian_is_not_called_impossible_for_all(drawn, exact, words):
    names = "beta rate distortion active_units cost_gap rate_se distortion_se cost_gap_se"
    one = {name: [1.0] for name in names.split()}
    curve = [0.5, 2.0], [2.0, 0.5]
    figure = drawn(figures.beta_sweep, curve, curve, one, [1.5], exact=exact)
    legend = [text.get_text() for ax in figure.axes[:1] for text in ax.get_legend().get_texts()]
    assert sum(words in label for label in legend) == 1
