"""Pictures are written whole, of any sizes, and show their input."""

import matplotlib
import numpy as np
import pytest
from matplotlib.image import imread

import compare_runs
from analysis import figure_style, run_figures, sample_figures, sweep_figures
from analysis.information import Gaussian
from analysis.mixture import Mixture
from images import figures as image_figures

OPTIMA = (-11.9, -12.0)
NAMES = [f"x{number}" for number in range(1, 28)]


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def images(seed, *shape):
    return np.random.default_rng(seed).random((*shape, 7, 5))


def pair(seed, *shape):
    data, decoder = noise(2, *shape, seed=seed)
    return {"data": data, "decoder": decoder}


def history(seed, n_epoch=12):
    rng = np.random.default_rng(seed)
    epochs = np.arange(1, n_epoch + 1)
    kl = 2.0 - np.exp(-epochs) + 0.01 * rng.normal(size=n_epoch)
    elbo = -12.0 - 9.0 * np.exp(-epochs) - 0.01 * rng.random(n_epoch)
    held_out = elbo - 0.02 * rng.random(n_epoch)
    return {"epoch": epochs, "kl": kl, "log_px_z": elbo + kl, "elbo": elbo} | {
        "elbo_held_out": held_out
    }


def color(seed, n_rows=50):
    return noise(n_rows, seed=seed), "first principal component"


def sweep(seed=0, **columns):
    """The columns of a sweep over three betas, the first without minimum."""
    rate = np.array([2.0, 1.0, 0.0]) + 0.1 * np.random.default_rng(seed).random(3)
    columns = {
        "beta": [0.5, 2.0, 4.0],
        "rate": rate,
        "distortion": [1.0, 2.0, 3.0],
        "active_units": [2, 1, 0],
        "cost": [3.0, 4.0, 5.0],
        "cost_gap": [np.nan, 0.01, 0.002],
    } | columns
    size = len(columns["beta"])
    for name in ("rate", "distortion", "cost", "cost_gap"):
        columns[f"{name}_se"] = np.full(size, 0.1)
    return columns


CURVE = np.array([3.0, 1.0, 0.5]), np.array([0.1, 0.5, 1.0])


def networks(betas, seed=0):
    """The columns of a sweep that the picture of the common information needs."""
    trained = {"beta": np.array(betas)}
    for name in ("mutual_information", "conditional_total_correlation"):
        trained[name] = 0.1 * seed + np.arange(1.0, 1.0 + len(betas))
        trained[f"{name}_se"] = np.full(len(betas), 0.02)
    return trained


def runs(seed):
    values = noise(4, 12, seed=seed)
    epochs = np.arange(1, 13)
    return {"n_dim 2": (epochs, values[:3]), "n_dim 3": (epochs, values[3:])}


NORMAL = Gaussian(np.zeros(3), np.eye(3))
CLUSTERS = Mixture([1.0, 2.0], noise(2, 3), np.ones((2, 3)))
# Each picture: the function and its arguments, made from a seed.
PICTURES = {
    "learning curves": lambda s: (
        run_figures.learning_curves,
        *(history(s), OPTIMA, "exact log p(x)", (2.1, -9.9), "best linear VAE", (0.02, 0.003)),
    ),
    "latent plane": lambda s: (
        run_figures.latent_plane,
        noise(50, 3, seed=s),
        np.full((50, 3), 0.3),
        color(s),
        (noise(50, 3, seed=s), np.array([0.3, 0.4, 0.5])),
    ),
    "latent traversal": lambda s: (
        run_figures.latent_traversal,
        np.linspace(-2, 2, 5),
        noise(2, 1, 9, seed=s) * np.linspace(-2, 2, 5)[:, None],
        *(np.zeros(9), np.ones(9), NAMES, [2, 4]),
    ),
    "covariances": lambda s: (
        sample_figures.covariances,
        {name: x @ x.T for name, x in pair(s, 4, 4).items()},
        NAMES,
    ),
    "pairs": lambda s: (sample_figures.pairwise_marginals, pair(s, 60, 3), NAMES, NORMAL),
    "pairs of a mixture": lambda s: (
        sample_figures.pairwise_marginals,
        *(pair(s, 60, 3), NAMES, CLUSTERS),
    ),
    "marginals": lambda s: (sample_figures.marginals, pair(s, 60, 3), NAMES, [0.1, 0.2, 0.3]),
    "sweep": lambda s: (sweep_figures.beta_sweep, sweep(s), CURVE, CURVE, [1.5, 3.0]),
    "common information": lambda s: (
        sweep_figures.common_information,
        *(CURVE, networks([1.02, 1.7], s), 1.1, 0.7, CURVE),
    ),
    "runs": lambda s: (compare_runs.draw, runs(s), "ELBO"),
    "image grid": lambda s: (image_figures.image_grid, images(s, 7), "samples"),
    "image pairs": lambda s: (image_figures.image_pairs, images(s, 12), images(s + 1, 12)),
    "interpolation": lambda s: (
        image_figures.interpolation,
        *(images(s, 2, 6), images(s, 2, 2).round()),
    ),
    "manifold": lambda s: (
        image_figures.manifold,
        *(images(s, 3, 4), np.array([1.0, 0.0, -1.0]), np.array([-0.7, -0.2, 0.2, 0.7])),
    ),
    "image traversal": lambda s: (
        image_figures.image_traversal,
        *(images(s, 2, 3), np.array([-1.0, 0.0, 1.0]), [4, 9]),
    ),
    "latent scatter": lambda s: (
        image_figures.latent_scatter,
        *(noise(60, 2, seed=s), np.arange(60) % 10, ("z1", "z4")),
    ),
    "ELBO per epoch": lambda s: (
        image_figures.elbo_per_epoch,
        *(history(s)[name] for name in ("epoch", "elbo", "elbo_held_out")),
    ),
}


def assert_is_a_picture(path):
    assert path.read_bytes().startswith(b"\x89PNG")
    pixels = imread(path)[..., :3]
    height, width = pixels.shape[:2]
    assert 50 < width <= 430 and 50 < height <= 500
    assert pixels.std() > 0.03
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("make", PICTURES.values(), ids=PICTURES)
def test_a_picture_shows_its_input_and_leaves_matplotlib_as_it_was(make, tmp_path):
    before = matplotlib.rcParams.copy()
    paths = tmp_path / "figures" / "one.png", tmp_path / "other.png"
    for seed, path in enumerate(paths):
        draw, *arguments = make(seed)
        draw(path, *arguments)
    assert_is_a_picture(paths[0])
    assert paths[0].read_bytes() != paths[1].read_bytes()
    assert matplotlib.rcParams.copy() == before


def test_a_picture_has_pixels_enough_for_a_page_800_wide(tmp_path, monkeypatch):
    monkeypatch.undo()  # the coarse pixels of the tests
    run_figures.learning_curves(tmp_path / "figure.png", history(0), OPTIMA)
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
        run_figures.learning_curves(path, history(0))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    assert matplotlib.rcParams.copy() == before


def partly_finite():
    run = history(0)
    run["elbo_held_out"][::2], run["elbo"][-1] = np.nan, -np.inf
    return run


NOTHING = history(0) | dict.fromkeys(("kl", "log_px_z", "elbo", "elbo_held_out"), [np.nan] * 12)
CONSTANT = {"data": np.zeros((40, 2)), "decoder": np.zeros((40, 2))}
FAILED = sweep(rate=[np.nan, 1.0, 0.5], distortion=[np.nan, 2.0, 3.0])
ONE_BETA = {name: column[1:2] for name, column in sweep().items()}
STEPS = np.arange(3)
UNUSUAL = {
    "one epoch": (run_figures.learning_curves, history(0, 1), OPTIMA),
    "many epochs": (run_figures.learning_curves, history(0, 2000), OPTIMA),
    "no optimum": (run_figures.learning_curves, history(0, 2)),
    "above the optimum": (run_figures.learning_curves, history(0), (-12.0, -12.003)),
    "at the optimum": (run_figures.learning_curves, history(0) | {"elbo": [-12.0] * 12}, OPTIMA),
    "not all finite": (run_figures.learning_curves, partly_finite(), OPTIMA),
    "nothing finite": (run_figures.learning_curves, NOTHING, OPTIMA),
    "plane of one unit": (run_figures.latent_plane, noise(40, 1), np.full((40, 1), 0.5), color(0)),
    "plane of one row": (run_figures.latent_plane, noise(1, 2), np.full((1, 2), 0.5), color(0, 1)),
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
        *(pair(0, 40, 1), NAMES, Gaussian(np.zeros(1), np.eye(1))),
    ),
    "pairs of 27": (sample_figures.pairwise_marginals, pair(0, 40, 27), NAMES),
    "constant": (sample_figures.pairwise_marginals, CONSTANT, NAMES),
    "marginals of one": (sample_figures.marginals, pair(0, 40, 1), NAMES),
    "marginals of 27": (sample_figures.marginals, pair(0, 40, 27), NAMES),
    "covariance of one": (sample_figures.covariances, dict.fromkeys("ab", np.eye(1)), NAMES),
    "covariance of 27": (sample_figures.covariances, dict.fromkeys("ab", np.eye(27)), NAMES),
    "covariance of zero": (
        sample_figures.covariances,
        dict.fromkeys("ab", np.zeros((2, 2))),
        NAMES,
    ),
    "one beta": (sweep_figures.beta_sweep, ONE_BETA, CURVE, CURVE, [1.5]),
    "a failed run": (sweep_figures.beta_sweep, FAILED, CURVE, CURVE, []),
    "no Gaussian reference": (sweep_figures.beta_sweep, sweep()),
    "no network": (sweep_figures.common_information, CURVE, networks([]), 1.0, 0.5),
    "a single image": (image_figures.image_grid, images(0, 1)),
    "a single pair": (image_figures.image_pairs, images(0, 1), images(1, 1)),
}


@pytest.mark.parametrize(("draw", "arguments"), [(d, a) for d, *a in UNUSUAL.values()], ids=UNUSUAL)
def test_unusual_input_is_drawn(draw, arguments, tmp_path):
    draw(tmp_path / "figure.png", *arguments)
    assert_is_a_picture(tmp_path / "figure.png")


def test_columns_farther_from_zero_than_float64_has_digits_are_drawn(tmp_path):
    x = 2.0**60 + 128.0 * np.random.default_rng(0).integers(-4, 5, (400, 2))
    sample_figures.pairwise_marginals(tmp_path / "pairs.png", {"data": x, "decoder": x[::-1]}, "ab")
    assert (tmp_path / "pairs.png").exists()
