"""Small runs of the Gaussian mains, made once and shared, and a model whose answers are exact."""

import contextlib
import os
import shutil
import warnings
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before NumPy: small matrices wait for many threads

import numpy as np
import pytest
from helpers import SMALL, affine_vae, contents, read_json
from scipy.stats import multivariate_normal

COARSE = 50  # dots per inch


@contextlib.contextmanager
def nothing_compiled():
    """TensorFlow compiles nothing, which would take longer than the steps of a small run."""
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


@pytest.fixture
def uncompiled():
    with nothing_compiled():
        yield


@pytest.fixture(autouse=True)
def coarse_pixels(monkeypatch):
    """Pictures have a third of their pixels a side: the same drawing in less time."""
    from analysis import figure_style

    monkeypatch.setitem(figure_style.STYLE, "figure.dpi", COARSE)


@pytest.fixture(scope="session")
def data_file(tmp_path_factory):
    """50 rows of 3 correlated numbers as text."""
    path = tmp_path_factory.mktemp("data") / "x.dat"
    rng = np.random.default_rng(0)
    np.savetxt(path, rng.normal(size=(50, 3)) @ rng.normal(size=(3, 3)) + 1.0, fmt="%.9g")
    return str(path)


@pytest.fixture(scope="session")
def train(tmp_path_factory, data_file):
    """train(main, *flags): a small run, not compiled, without pictures and gaps; its folder."""
    from analysis import gaps, gaussian_report, run_figures

    def call(main, *flags, folder=None):
        folder = folder or tmp_path_factory.mktemp("run") / "out"
        with pytest.MonkeyPatch.context() as patch, nothing_compiled():
            patch.setattr(run_figures, "draw_run", lambda *_: None)
            patch.setattr(gaussian_report, "COVARIANCE_SAMPLES", 2000)
            patch.setattr(gaps, "REPORT_WORK", 0)
            main([*SMALL, "--data_path", data_file, "--output_dir", str(folder), *flags])
        return folder

    return call


@pytest.fixture(scope="session")
def vae_run(tmp_path_factory, data_file):
    """The folder of a finished run of vae_main.py, pictures and all. Copy it to change it."""
    import vae_main
    from analysis import figure_style

    folder = tmp_path_factory.mktemp("vae") / "run"
    with nothing_compiled(), pytest.MonkeyPatch.context() as patch:
        patch.setitem(figure_style.STYLE, "figure.dpi", COARSE)
        vae_main.main([*SMALL, "--data_path", data_file, "--output_dir", str(folder)])
    return folder


@pytest.fixture
def without_report(vae_run, monkeypatch):
    """Runs take the report of vae_run for their own: for tests of weights and history."""
    from analysis import gaussian_report

    report = read_json(vae_run / "report.json")
    monkeypatch.setattr(gaussian_report, "make_report", lambda *_: (dict(report), None))


@pytest.fixture(scope="session")
def environment():
    """What a user's shell hands to a script: without the variables that TensorFlow's import set."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TF_CPP")}


@pytest.fixture
def small_blocks(monkeypatch):
    """Every .npy file is large; blocks of 4 rows of 3 numbers, 5 blocks in a buffer."""
    from training import large_data, tables

    monkeypatch.setattr(tables, "LARGE_BYTES", 0)
    monkeypatch.setattr(large_data, "BLOCK_BYTES", 50)
    monkeypatch.setattr(large_data, "BUFFER_BLOCKS", 5)


@pytest.fixture
def ends(capsys):
    """ends(main, argv): a script's exit status and what it leaves on stderr, as a list of lines.

    An exception that is no exit would be a traceback for the user: it fails the test.
    """
    from training import command_line

    def call(main, argv):
        capsys.readouterr()
        with warnings.catch_warnings(record=True) as caught, pytest.raises(SystemExit) as left:
            warnings.simplefilter("default")
            command_line.run(lambda: main([str(arg) for arg in argv]))
        shown = [
            str(w.message) for w in caught if issubclass(w.category, (RuntimeWarning, UserWarning))
        ]
        assert not shown  # each would be a line on stderr
        return left.value.code, capsys.readouterr().err.splitlines()

    return call


@pytest.fixture
def refused(ends, tmp_path, monkeypatch):
    """refused(main, argv): asserts the contract of wrong input; returns the line on stderr.

    The script runs in `tmp_path`, and no file under it may be made or changed.
    """
    monkeypatch.chdir(tmp_path)

    def call(main, argv):
        before = contents(tmp_path)
        status, lines = ends(main, argv)
        assert status == 2, lines
        assert len(lines) == 1, lines
        assert contents(tmp_path) == before
        return lines[0]

    return call


@pytest.fixture
def run_copy(vae_run, tmp_path):
    """run_copy(): a copy of a run's folder, without its checkpoints and pictures, to be changed."""

    def call():
        unused = shutil.ignore_patterns("checkpoint", "figures")
        return Path(shutil.copytree(vae_run, tmp_path / "run", ignore=unused))

    return call


@pytest.fixture
def float64():
    """Models are built and computed in float64 while the test runs."""
    import keras

    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")  # of the inputs
    keras.config.set_dtype_policy("float64")  # of the layers
    yield
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(policy)


def random_covariance(seed, data_dim=3):
    """A full-rank covariance with correlations of every size and unequal variances."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(data_dim, data_dim + 2))
    return factors @ factors.T / data_dim


class LinearGaussian:
    """x = W z + mean + noise in 3 dimensions with 2 latent ones, whose posterior is diagonal.

    weights: W (3, 2). noise_std (3,). covariance: of x. posterior: z given x is Gaussian with mean
    (x - mean) @ posterior_weights and standard deviation posterior_std (2,), because the columns
    of W are orthogonal in the metric of the noise.
    """

    mean = np.array([1.0, -2.0, 0.5])
    noise_std = np.array([0.3, 0.5, 0.8])
    directions = np.linalg.qr(np.array([[1.0, 0.4], [-0.5, 1.0], [0.7, 0.2]]))[0]
    weights = noise_std[:, np.newaxis] * directions * [2.0, 1.2]
    covariance = weights @ weights.T + np.diag(noise_std**2)
    posterior_std = np.array([2.0**2 + 1.0, 1.2**2 + 1.0]) ** -0.5
    posterior_weights = weights / noise_std[:, np.newaxis] ** 2 * posterior_std**2

    def draw(self, n_rows, seed):
        return np.random.default_rng(seed).multivariate_normal(self.mean, self.covariance, n_rows)

    def log_density(self, x):
        return multivariate_normal(self.mean, self.covariance).logpdf(x)

    def model(self, encoder_shift=0.0, encoder_stretch=1.0):
        """A VAE with this decoder; its encoder is the posterior, shifted and stretched."""
        return affine_vae(
            weights=self.weights,
            noise_std=self.noise_std,
            encoder=self.posterior_weights,
            posterior_std=encoder_stretch * self.posterior_std,
            mean=self.mean,
            z_mean=encoder_shift,
        )

    def wrong_model(self):
        """The model with a wrong encoder, and its D_KL[q(z|x) || p(z|x)], the same for every x."""
        shift, stretch = 0.2, 1.3
        squares = (shift / self.posterior_std) ** 2 + stretch**2
        return self.model(shift, stretch), np.sum(0.5 * (squares - 1.0) - np.log(stretch))


@pytest.fixture(scope="session")
def linear_gaussian():
    return LinearGaussian()
