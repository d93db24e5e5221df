"""Pictures are written whole, of any sizes; what they show: test_figure_geometry.py."""

import matplotlib
import numpy as np
import pytest
from helpers import noise
from matplotlib.image import imread

from analysis import figure_style, run_figures, sample_figures, sweep_figures
from analysis.information import Gaussian
from analysis.mixture import Mixture
from images import figures as image_figures

OPTIMA, GAP = (-11.9, -12.0), (0.01, 0.001)
NAMES = [f"x{number}" for number in range(1, 28)]


def pair(*shape):
    data, decoder = noise(2, *shape)
    return {"data": data, "decoder": decoder}


def history(n_epoch=12):
    epochs = np.arange(1, n_epoch + 1)
    kl = 2.0 - np.exp(-epochs)
    elbo = -12.0 - 9.0 * np.exp(-epochs)
    return {
        "epoch": epochs,
        "kl": kl,
        "log_px_z": elbo + kl,
        "elbo": elbo,
        "elbo_held_out": elbo - 0.001,
    }


def color(n_rows):
    return noise(n_rows), "first principal component"


def assert_is_a_picture(path):
    assert path.read_bytes().startswith(b"\x89PNG")
    pixels = imread(path)[..., :3]
    height, width = pixels.shape[:2]
    assert 50 < width <= 430 and 50 < height <= 500
    assert pixels.std() > 0.03
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_picture_has_pixels_enough_for_a_page_800_wide(tmp_path, monkeypatch):
    monkeypatch.undo()  # the coarse pixels of the tests
    run_figures.learning_curves(tmp_path / "figure.png", history(), OPTIMA, GAP)
    assert 1150 < imread(tmp_path / "figure.png").shape[1] < 1300


def test_an_error_on_the_way_leaves_the_old_picture_and_no_other_file(tmp_path, monkeypatch):
    path = tmp_path / "figure.png"
    path.write_bytes(b"old")
    before = matplotlib.rcParams.copy()

    def full_disk(canvas, beside, **_):
        beside.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(figure_style.FigureCanvasAgg, "print_png", full_disk)
    with pytest.raises(OSError, match="no space left"):
        run_figures.learning_curves(path, history())
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    assert matplotlib.rcParams.copy() == before


PARTLY_FINITE = history()
PARTLY_FINITE["elbo_held_out"][::2] = np.nan
PARTLY_FINITE["elbo"][-1] = -np.inf
NOTHING = history() | dict.fromkeys(("kl", "log_px_z", "elbo", "elbo_held_out"), [np.nan] * 12)
CLUSTERS = Mixture([1.0, 2.0], noise(2, 3), np.ones((2, 3)))
CONSTANT = {"data": np.zeros((40, 2)), "decoder": np.zeros((40, 2))}
FAILED = {  # a sweep whose first beta has no minimum
    "beta": [0.5, 2.0, 4.0],
    "rate": [np.nan, 1.0, 0.5],
    "distortion": [np.nan, 2.0, 3.0],
    "active_units": [2, 1, 0],
    "cost": [3.0, 4.0, 5.0],
    "cost_gap": [np.nan, 0.01, 0.002],
    **dict.fromkeys(["rate_se", "distortion_se", "cost_se", "cost_gap_se"], np.full(3, 0.1)),
}
ONE_BETA = {name: column[1:2] for name, column in FAILED.items()}
NO_NETWORK = dict.fromkeys(
    ["beta", "mutual_information", "conditional_total_correlation"], np.empty(0)
)
CURVE = np.array([3.0, 1.0, 0.5]), np.array([0.1, 0.5, 1.0])
IMAGE = np.random.default_rng(0).random((1, 7, 5))
STEPS = np.arange(3)
UNUSUAL = {
    "one epoch": (run_figures.learning_curves, history(1), OPTIMA, GAP),
    "no optimum": (run_figures.learning_curves, history(2)),
    "above the optimum": (run_figures.learning_curves, history(), (-12.0, -12.003), GAP),
    "not all finite": (run_figures.learning_curves, PARTLY_FINITE, OPTIMA, GAP),
    "nothing finite": (run_figures.learning_curves, NOTHING, OPTIMA, GAP),
    "plane of one unit": (run_figures.latent_plane, noise(40, 1), np.full((40, 1), 0.5), color(40)),
    "plane of one row": (run_figures.latent_plane, noise(1, 2), np.full((1, 2), 0.5), color(1)),
    "traversal of one": (
        run_figures.latent_traversal,
        *(STEPS, noise(1, 3, 1), *np.zeros((2, 1)), NAMES, [0]),
    ),
    "traversal of 27": (
        run_figures.latent_traversal,
        *(STEPS, noise(1, 3, 27), *np.ones((2, 27)), NAMES, [0]),
    ),
    "pairs of one": (
        sample_figures.pairwise_marginals,
        *(pair(40, 1), NAMES, Gaussian(np.zeros(1), np.eye(1))),
    ),
    "pairs of 27": (sample_figures.pairwise_marginals, pair(40, 27), NAMES),
    "pairs of a mixture": (sample_figures.pairwise_marginals, pair(60, 3), NAMES, CLUSTERS),
    "constant": (sample_figures.pairwise_marginals, CONSTANT, NAMES),
    "marginals of one": (sample_figures.marginals, pair(40, 1), NAMES),
    "marginals of 27": (sample_figures.marginals, pair(40, 27), NAMES),
    "covariance of one": (sample_figures.covariances, dict.fromkeys("ab", np.eye(1)), NAMES),
    "covariance of 27": (sample_figures.covariances, dict.fromkeys("ab", np.eye(27)), NAMES),
    "covariance of zero": (
        sample_figures.covariances,
        dict.fromkeys("ab", np.zeros((2, 2))),
        NAMES,
    ),
    "one beta": (sweep_figures.beta_sweep, ONE_BETA, CURVE, CURVE, [1.5]),
    "a failed run": (sweep_figures.beta_sweep, FAILED, CURVE, CURVE, []),
    "no network": (sweep_figures.common_information, CURVE, NO_NETWORK, 1.0, 0.5),
    "a single image": (image_figures.image_grid, IMAGE),
    "a single pair": (image_figures.image_pairs, IMAGE, IMAGE),
}


@pytest.mark.parametrize(("draw", "arguments"), [(d, a) for d, *a in UNUSUAL.values()], ids=UNUSUAL)
def test_unusual_input_is_drawn_and_matplotlib_is_left_as_it_was(draw, arguments, tmp_path):
    before = matplotlib.rcParams.copy()
    path = tmp_path / "figures" / "figure.png"  # of a folder that is not there yet
    draw(path, *arguments)
    assert_is_a_picture(path)
    assert matplotlib.rcParams.copy() == before


def test_columns_farther_from_zero_than_float64_has_digits_are_drawn(tmp_path):
    x = 2.0**60 + 128.0 * np.random.default_rng(0).integers(-4, 5, (400, 2))
    sample_figures.pairwise_marginals(tmp_path / "pairs.png", {"data": x, "decoder": x[::-1]}, "ab")
    assert (tmp_path / "pairs.png").exists()
