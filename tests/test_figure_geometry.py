"""Ranges, contours, ellipses and labels of the pictures lie where they should."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from analysis import figures
from images import figures as image_figures


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
    figures.mass_contours(axes, sample, "black", "-")
    outer, inner = (path.vertices for path in axes.collections[0].get_paths())
    for radius, vertices in ((2, outer), (1, inner)):
        squared = np.sum(vertices @ np.linalg.inv(covariance) * vertices, axis=1)
        assert np.sqrt(squared).mean() == pytest.approx(radius, rel=0.05)


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


def test_spread_apart_keeps_the_order_and_the_distance():
    positions = np.array([0.3, 0.0, 0.31, 5.0])
    spread = figures.spread_apart(positions, 0.2)
    assert list(np.argsort(spread)) == list(np.argsort(positions))
    assert np.diff(np.sort(spread)).min() >= 0.2 - 1e-12
    np.testing.assert_array_equal(figures.spread_apart([0.0, 1.0], 0.2), [0.0, 1.0])


def test_merged_labels_join_the_names_of_near_points():
    groups = figures.merged_labels([1, 2, 4, 8], [0.0, 0.5, 0.501, 0.5], [1.0, 0.2, 0.2, 0.9])
    assert groups == [([1], 0.0, 1.0), ([2, 4], 0.5, 0.2), ([8], 0.5, 0.9)]


def test_pushed_apart_points_do_not_cover_each_other():
    points = np.array([[0.0, 0.0], [0.0, 0.0], [0.1, 0.0], [9.0, 9.0]])
    pushed = image_figures.pushed_apart(points, 1.0)
    between = np.linalg.norm(pushed[:, None] - pushed[None], axis=-1)
    assert between[np.triu_indices(4, 1)].min() > 0.95
    np.testing.assert_allclose(pushed[3], points[3], atol=2e-3)
