"""Pictures are written whole, of any sizes, and show their input."""

import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.image import imread

from analysis import figure_style, figures
from images import figures as image_figures


@pytest.fixture(autouse=True)
def coarse_pixels(monkeypatch):
    """A third of the pixels a side: the same drawing in less time."""
    monkeypatch.setitem(figure_style.STYLE, "figure.dpi", 50)


OPTIMA = (-11.9, -12.0)


def history(seed, n_epoch=12):
    rng = np.random.default_rng(seed)
    epochs = np.arange(1, n_epoch + 1)
    kl = 2.0 - np.exp(-epochs) + 0.01 * rng.normal(size=n_epoch)
    elbo = -12.0 - 9.0 * np.exp(-epochs) - 0.01 * rng.random(n_epoch)
    return {
        "epoch": epochs,
        "kl": kl,
        "log_px_z": elbo + kl,
        "elbo": elbo,
        "elbo_held_out": elbo - 0.02 * rng.random(n_epoch),
    }


def draw_learning_curves(path, seed):
    known = {"optima": OPTIMA, "best_linear": (2.1, -9.9), "gap": (0.02, 0.003)}
    figures.learning_curves(path, history(seed), **known)


def draw_latent_plane(path, seed):
    rng = np.random.default_rng(seed)
    linear = rng.normal(size=(50, 3)), np.array([0.3, 0.4, 0.5])
    color = rng.normal(size=50)
    z_mean = rng.normal(size=(50, 3))
    figures.latent_plane(path, z_mean, np.full((50, 3), 0.3), color=color, linear=linear)


def draw_latent_planes_over_beta(path, seed):
    rng = np.random.default_rng(seed)
    planes = [(rng.normal(size=(50, 3)), np.full((50, 3), 0.3)) for _ in range(7)]
    moments = np.zeros(4), np.eye(4)
    samples, color = rng.normal(size=(7, 40, 4)), planes[0][0][:, 0]
    figures.latent_planes_over_beta(path, np.arange(7), planes, samples, *moments, color)


def draw_covariances(path, seed):
    data, decoder = np.random.default_rng(seed).normal(size=(2, 4, 4))
    figures.covariances(path, {"data": data @ data.T, "decoder": decoder @ decoder.T})


def draw_pairwise_marginals(path, seed):
    data, decoder = np.random.default_rng(seed).normal(size=(2, 60, 3))
    samples = {"data": data, "decoder": decoder}
    figures.pairwise_marginals(path, samples, np.zeros(3), np.eye(3))


def draw_marginals(path, seed):
    data, decoder = np.random.default_rng(seed).normal(size=(2, 60, 3))
    figures.marginals(path, {"data": data, "decoder": decoder}, np.array([0.1, 0.2, 0.3]))


def draw_latent_traversal(path, seed):
    slopes = np.random.default_rng(seed).normal(size=(2, 1, 9))
    values = np.linspace(-2, 2, 5)
    figures.latent_traversal(path, values, slopes * values[:, None], np.zeros(9), np.ones(9))


def sweep(seed=0, **columns):
    """The columns of a sweep over three betas, the first without minimum."""
    rate = np.array([2.0, 1.0, 0.0]) + 0.1 * np.random.default_rng(seed).random(3)
    columns = {
        "beta": [0.5, 2.0, 4.0],
        "rate": rate,
        "distortion": [1.0, 2.0, 3.0],
        "active_units": [2, 1, 0],
        "cost_gap": [np.nan, 0.01, 0.002],
    } | columns
    errors = {f"{name}_se": np.full(len(rate), 0.1) for name in ("rate", "distortion", "cost_gap")}
    return columns | {name: se[: len(columns["beta"])] for name, se in errors.items()}


BOUND, LINEAR = ([0.5, 1.5, 3.0], [3.0, 1.0, 0.0]), ([1.0, 3.0], [2.0, 0.0])


def draw_beta_sweep(path, seed):
    figures.beta_sweep(path, BOUND, LINEAR, sweep(seed), [1.5, 3.0])


def networks(*columns):
    """The columns of a sweep that the picture of the common information needs."""
    names = ["beta", "mutual_information", "conditional_total_correlation"]
    trained = dict(zip(names, map(np.array, columns), strict=True))
    return trained | {f"{name}_se": 0.02 + 0 * trained[name] for name in names[1:]}


def draw_common_information(path, seed):
    curve = np.array([0.0, 0.5, 1.1]), np.array([0.7, 0.1, 0.0])
    trained = networks([1.02, 1.5], [1.0, 0.4 + 0.1 * seed], [0.02, 0.2])
    figures.common_information(path, curve, trained, 1.1, 0.7, closed_form=curve)


def draw_runs(path, seed):
    values = np.random.default_rng(seed).normal(size=(4, 12))
    groups = {"n_dim 2": (np.arange(1, 13), values[:3]), "n_dim 3": (np.arange(1, 13), values[3:])}
    figures.runs(path, groups, "ELBO")


def images(seed, *shape):
    return np.random.default_rng(seed).random((*shape, 7, 5))


def draw_image_grid(path, seed):
    image_figures.image_grid(path, images(seed, 7), title="samples")


def draw_image_pairs(path, seed):
    image_figures.image_pairs(path, images(seed, 12), images(seed + 1, 12))


def draw_interpolation(path, seed):
    image_figures.interpolation(path, images(seed, 2, 6), images(seed, 2, 2).round())


def draw_manifold(path, seed):
    z_rows, z_columns = np.array([1.0, 0.0, -1.0]), np.array([-0.7, -0.2, 0.2, 0.7])
    image_figures.manifold(path, images(seed, 3, 4), z_rows, z_columns)


def draw_image_traversal(path, seed):
    image_figures.image_traversal(path, images(seed, 2, 3), np.array([-1.0, 0.0, 1.0]), [4, 9])


def draw_latent_scatter(path, seed):
    rng = np.random.default_rng(seed)
    image_figures.latent_scatter(path, rng.normal(size=(60, 2)), np.arange(60) % 10, ("z1", "z4"))


def draw_elbo_per_epoch(path, seed):
    run = history(seed)
    image_figures.elbo_per_epoch(path, run["epoch"], run["elbo"], run["elbo_held_out"])


PICTURES = [
    draw_learning_curves,
    draw_latent_plane,
    draw_latent_planes_over_beta,
    draw_covariances,
    draw_pairwise_marginals,
    draw_marginals,
    draw_latent_traversal,
    draw_beta_sweep,
    draw_common_information,
    draw_runs,
    draw_image_grid,
    draw_image_pairs,
    draw_interpolation,
    draw_manifold,
    draw_image_traversal,
    draw_latent_scatter,
    draw_elbo_per_epoch,
]


def assert_is_a_picture(path):
    assert path.read_bytes().startswith(b"\x89PNG")
    pixels = imread(path)[..., :3]
    height, width = pixels.shape[:2]
    assert 50 < width <= 430 and 50 < height <= 500
    assert pixels.std() > 0.03
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("draw", PICTURES)
def test_a_picture_shows_its_input_and_leaves_matplotlib_as_it_was(draw, tmp_path):
    before = matplotlib.rcParams.copy()
    one, other = tmp_path / "figures" / "one.png", tmp_path / "other.png"
    draw(one, seed=0)
    assert_is_a_picture(one)
    draw(other, seed=1)
    assert one.read_bytes() != other.read_bytes()
    assert matplotlib.rcParams.copy() == before


def test_a_picture_has_pixels_enough_for_a_page_800_wide(tmp_path, monkeypatch):
    monkeypatch.undo()
    draw_learning_curves(tmp_path / "figure.png", seed=0)
    assert 1150 < imread(tmp_path / "figure.png").shape[1] < 1300


def test_import_changes_no_setting_and_loads_no_pyplot():
    script = (
        "import sys, matplotlib; before = matplotlib.rcParams.copy(); "
        "import analysis.figures, images.figures; "
        "assert matplotlib.rcParams.copy() == before; "
        "assert not {'matplotlib.pyplot', 'tensorflow'} & set(sys.modules)"
    )
    root = Path(figures.__file__).parent.parent
    subprocess.run([sys.executable, "-c", script], cwd=root, check=True)


def test_an_error_on_the_way_leaves_the_old_picture_and_no_other_file(tmp_path, monkeypatch):
    path = tmp_path / "figure.png"
    path.write_bytes(b"old")
    before = matplotlib.rcParams.copy()

    def full_disk(beside, image, **options):
        beside.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(figure_style, "imsave", full_disk)
    with pytest.raises(OSError, match="no space left"):
        draw_covariances(path, seed=0)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    assert matplotlib.rcParams.copy() == before


def without_numbers():
    return history(0) | dict.fromkeys(("kl", "log_px_z", "elbo", "elbo_held_out"), [np.nan] * 12)


def partly_finite():
    run = history(0)
    run["elbo_held_out"][::2], run["elbo"][-1] = np.nan, -np.inf
    return run


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape)


def pair(a, b):
    return {"data": a, "decoder": b}


FAILED = sweep(rate=[np.nan, 1.0, 0.5], distortion=[np.nan, 2.0, 3.0])
ONE_BETA = {name: column[1:2] for name, column in sweep().items()}
UNUSUAL = {
    "one epoch": (figures.learning_curves, history(0, 1), OPTIMA),
    "many epochs": (figures.learning_curves, history(0, 2000), OPTIMA),
    "no optimum": (figures.learning_curves, history(0, 2)),
    "above the optimum": (figures.learning_curves, history(0), (-12.0, -12.003)),
    "at the optimum": (figures.learning_curves, history(0) | {"elbo": [-12.0] * 12}, OPTIMA),
    "not all finite": (figures.learning_curves, partly_finite(), OPTIMA),
    "nothing finite": (figures.learning_curves, without_numbers(), OPTIMA),
    "plane of one unit": (figures.latent_plane, noise(40, 1), np.full((40, 1), 0.5)),
    "plane of one row": (figures.latent_plane, noise(1, 2), np.full((1, 2), 0.5)),
    "pairs of one": (figures.pairwise_marginals, pair(*noise(2, 40, 1)), [0.0], np.eye(1)),
    "pairs of 27": (figures.pairwise_marginals, pair(*noise(2, 40, 27)), np.zeros(27), np.eye(27)),
    "constant": (figures.pairwise_marginals, pair(*np.zeros((2, 40, 2)))),
    "marginals of one": (figures.marginals, pair(*noise(2, 40, 1))),
    "marginals of 27": (figures.marginals, pair(*noise(2, 40, 27))),
    "covariance of one": (figures.covariances, pair(np.eye(1), np.eye(1))),
    "covariance of 27": (figures.covariances, pair(np.eye(27), np.eye(27))),
    "covariance of zero": (figures.covariances, pair(*np.zeros((2, 2, 2)))),
    "traversal of one": (figures.latent_traversal, np.arange(3), noise(1, 3, 1), *np.zeros((2, 1))),
    "traversal of 27": (figures.latent_traversal, np.arange(3), noise(1, 3, 27), *np.ones((2, 27))),
    "one beta": (figures.beta_sweep, BOUND, LINEAR, ONE_BETA, [1.5]),
    "a failed run": (figures.beta_sweep, BOUND, LINEAR, FAILED, []),
    "no network": (figures.common_information, LINEAR, networks([], [], []), 1.0, 0.5),
    "one unit, one beta": (
        figures.latent_planes_over_beta,
        [2.0],
        [(noise(40, 1), np.ones((40, 1)))],
        [noise(30, 1)],
        np.zeros(1),
        np.eye(1),
    ),
    "a single image": (image_figures.image_grid, images(0, 1)),
    "a single pair": (image_figures.image_pairs, images(0, 1), images(1, 1)),
}


@pytest.mark.parametrize(("draw", "arguments"), [(d, a) for d, *a in UNUSUAL.values()], ids=UNUSUAL)
def test_unusual_input_is_drawn(draw, arguments, tmp_path):
    draw(tmp_path / "figure.png", *arguments)
    assert_is_a_picture(tmp_path / "figure.png")
