"""Rows that stay in their .npy file: what is refused; runs and scripts on such a file."""

import os
import signal
import threading
from functools import partial

import numpy as np
import pytest
from helpers import history, rows_of, weights

import beta_vae_after_training
import beta_vae_main
import data_processing
import vae_decoder_sample_generation
import vae_main
from analysis import gaussian_report, run_figures, sample_figures, sampling
from training import large_data
from training import run as run_module
from training.errors import InputError
from training.large_data import TrainingRows
from training.saved_model import load_model
from vae_models import make_model

pytestmark = pytest.mark.usefixtures("small_blocks")


@pytest.fixture(scope="module")
def gaussian_file(tmp_path_factory):
    """50 rows of 3 correlated numbers."""
    path = tmp_path_factory.mktemp("large") / "x.npy"
    rng = np.random.default_rng(0)
    np.save(path, np.float32(rng.normal(size=(50, 3)) @ rng.normal(size=(3, 3)) + 1.0))
    return str(path)


def get_data(path, data_size, training_data_size, standardize=False):
    """The data of a run with these flags."""
    argv = ["--data_path", str(path), "--data_size", str(data_size), "--keep", "last"]
    args = vae_main.parse_arguments([*argv, "--standardize" if standardize else "--no-standardize"])
    args.training_data_size = training_data_size
    return data_processing.get_data(args)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", ">f4", ">f8", "i1", "u2", ">i4", "u8"])
def test_rows_of_every_number_type_are_given_out_as_float32(tmp_path, dtype, order):
    values = np.asarray(np.random.default_rng(0).integers(0, 99, (23, 3)), dtype, order=order)
    np.save(tmp_path / "x.npy", values)
    x_train = get_data(tmp_path / "x.npy", 17, 15).x_train
    assert isinstance(x_train, TrainingRows)
    rows = next(x_train.shuffled(1, [0, 15]))
    assert rows.dtype == x_train.dtype == np.float32
    rows = np.concatenate([rows, x_train.held_out])
    np.testing.assert_array_equal(np.unique(rows, axis=0), np.unique(values[:17], axis=0))


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_first_value_that_is_not_finite_is_named_by_its_row(tmp_path, order):
    x = np.ones((23, 3), order=order)
    x[9, 2], x[17, 0], x[17, 1] = -np.inf, np.nan, 1e200
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(InputError, match="x.npy, row 10, column 3: NaN, infinite or too large"):
        get_data(tmp_path / "x.npy", 23, None)
    get_data(tmp_path / "x.npy", 9, None)  # of the rows that are used all are finite


@pytest.mark.parametrize("offset", [1e39, 2**60])
def test_rows_are_standardized_before_they_become_float32(tmp_path, offset):
    x = np.random.default_rng(0).integers(0, 1500, (90, 3)) * (1 if offset == 2**60 else 1e37)
    np.save(tmp_path / "x.npy", x + offset)
    data = get_data(tmp_path / "x.npy", 90, 70, standardize=True)
    rows = next(data.x_train.shuffled(1, [0, 70]))
    np.testing.assert_allclose(rows.std(axis=0), np.ones(3), rtol=1e-6)
    np.testing.assert_array_equal(np.sort(data.training_sample(70), axis=0), np.sort(rows, axis=0))
    u = np.sort(np.concatenate([rows, data.x_held_out]), axis=0)
    assert u.dtype == np.float32
    for column, expected in zip(u.T, np.sort(x, axis=0).T, strict=True):
        assert np.corrcoef(column, expected)[0, 1] > 1 - 1e-9
    if offset == 1e39:
        with pytest.raises(InputError, match="too large for float32"):
            get_data(tmp_path / "x.npy", 90, 70)


@pytest.mark.parametrize("standardize", [False, True])
def test_mean_and_covariance_are_those_of_the_training_rows(tmp_path, standardize):
    x = np.random.default_rng(0).normal(size=(90, 3)) + [1e4, 0, 5]
    x[:, 2] = 5.1
    np.save(tmp_path / "x.npy", x)
    data = get_data(tmp_path / "x.npy", 90, 70, standardize)
    rows = data.in_data_units(next(data.x_train.shuffled(1, [0, 70])))
    fitted = data.reference()
    np.testing.assert_allclose(fitted.mean, rows.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(fitted.covariance, np.cov(rows, rowvar=False), rtol=1e-3, atol=1e-12)
    assert (fitted.covariance[2] == 0).all()  # a constant column, exactly


def flags_of(path, folder):
    return (
        f"--data_path {path} --data_dim 3 --n_width 5 --batch_size 4 --training_data_size 30 "
        f"--n_epoch 2 --lr 0.02 --seed 7 --output_dir {folder}"
    ).split()


@pytest.fixture
def quick(monkeypatch, uncompiled):
    """Runs without compiling and without pictures, several chunks an epoch."""
    monkeypatch.setattr(run_figures, "draw_run", lambda *_, **__: None)
    monkeypatch.setattr(sample_figures, "marginals", lambda *_, **__: None)
    monkeypatch.setattr(run_figures, "latent_traversal", lambda *_, **__: None)
    monkeypatch.setattr(gaussian_report, "COVARIANCE_SAMPLES", 2000)
    small_chunks = partial(data_processing.Batches, chunk_numbers=30)
    monkeypatch.setattr(data_processing, "Batches", small_chunks)


def test_a_run_from_a_large_file_is_interrupted_and_resumed_to_the_same_bits(
    quick, gaussian_file, tmp_path, monkeypatch, ends
):
    vae_main.main(flags_of(gaussian_file, tmp_path / "whole"))
    add = run_module.Run.add

    def interrupted_add(run, *args, **kwargs):
        if (run.state.epoch, run.state.chunk) == (2, 3):
            os.kill(os.getpid(), signal.SIGINT)
        add(run, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(run_module.Run, "add", interrupted_add)
        status, lines = ends(vae_main.main, flags_of(gaussian_file, tmp_path / "out"))
    assert status == 130
    assert len(lines) == 1
    assert "stopped in epoch 2; all work is saved" in lines[0]
    vae_main.main([*flags_of(gaussian_file, tmp_path / "out"), "--resume"])
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")
    assert history(tmp_path / "out") == history(tmp_path / "whole")


def test_a_read_error_in_the_thread_ends_the_run_with_one_line(
    quick, gaussian_file, tmp_path, monkeypatch, ends
):
    def fails(self, block):
        if threading.current_thread() is threading.main_thread():
            return read(self, block)
        raise OSError(5, "Input/output error", "x.npy")

    read = TrainingRows.read
    monkeypatch.setattr(TrainingRows, "read", fails)
    status, lines = ends(vae_main.main, flags_of(gaussian_file, tmp_path / "out"))
    assert status == 1
    assert len(lines) == 1
    assert "x.npy: Input/output error" in lines[0]


def test_the_scripts_after_training_work_on_a_large_file_by_blocks(
    quick, gaussian_file, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(large_data, "SAMPLE_ROWS", 20)
    monkeypatch.setattr("analysis.sampling.GENERATED_BATCH", 16)
    folder = tmp_path / "out"
    beta_vae_main.main([*flags_of(gaussian_file, folder), "--beta", "1"])
    model, x = load_model(folder, make_model)[0], np.load(gaussian_file)
    argv = ["--model_dir", str(folder), "--n_samples", "30", "--seed", "3"]
    for more in (["--format", "npy"], ["--data_path", gaussian_file]):
        capsys.readouterr()
        beta_vae_after_training.main([*argv, *more])
        shown = capsys.readouterr().out
        assert "all 50 rows" in shown
        assert "20 of them, chosen at random" in shown
    u = model.standardization.apply(x)
    for rows in (np.load(folder / "en_deco_data.npy"), np.loadtxt(folder / "en_deco_data.dat")):
        np.testing.assert_allclose(rows, sampling.reconstruct(model, u, 3), rtol=1e-6)
    for name in ("latent.csv", "log_px.csv"):
        assert len(rows_of(folder / name)) == 50
    argv += ["--output", str(tmp_path / "y.npy")]
    vae_decoder_sample_generation.main(argv)
    assert np.load(tmp_path / "y.npy").shape == (30, 3)


def test_a_large_file_is_announced_once_on_stdout(numbered, capsys):
    get_data(numbered(40).filename, 40, None)
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 1
    assert "x.npy: large" in shown[0]
