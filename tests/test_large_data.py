"""Rows that stay in their .npy file: what is refused; runs and scripts on such a file."""

import threading

import numpy as np
import pytest
from helpers import rows_of

import beta_vae_after_training
import beta_vae_main
import data_processing
import vae_decoder_sample_generation
import vae_main
from analysis import run_figures, sample_figures, sampling
from training import large_data
from training.errors import InputError
from training.large_data import TrainingRows
from training.saved_model import load_model
from training.standardization import Standardization
from vae_models import make_model

pytestmark = pytest.mark.usefixtures("small_blocks")


def get_data(path, data_size, training_data_size, standardize=False):
    """The data of a run with these flags."""
    argv = ["--data_path", str(path), "--data_size", str(data_size), "--keep", "last"]
    args = vae_main.parse_arguments([*argv, "--standardize" if standardize else "--no-standardize"])
    args.training_data_size = training_data_size
    return data_processing.get_data(args)


@pytest.mark.parametrize("dtype", ["f2", ">f8", "i1", "u8"])
def test_rows_of_every_number_type_are_given_out_as_float32(tmp_path, dtype, capsys):
    values = np.random.default_rng(0).integers(0, 99, (23, 3)).astype(dtype)
    np.save(tmp_path / "x.npy", values)
    x_train = get_data(tmp_path / "x.npy", 17, 15).x_train
    assert capsys.readouterr().out.count("x.npy: large") == 1
    assert isinstance(x_train, TrainingRows)
    rows = next(x_train.shuffled(1, [0, 15]))
    assert rows.dtype == x_train.dtype == np.float32
    rows = np.concatenate([rows, x_train.held_out])
    np.testing.assert_array_equal(np.unique(rows, axis=0), np.unique(values[:17], axis=0))


def test_the_first_value_that_is_not_finite_is_named_by_its_row(tmp_path):
    x = np.ones((23, 3))
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
    np.testing.assert_array_equal(np.sort(data.x_train[:70], axis=0), np.sort(rows, axis=0))
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


@pytest.fixture
def large_file(data_file, tmp_path):
    """50 rows of 3 correlated numbers."""
    np.save(tmp_path / "x.npy", np.loadtxt(data_file))
    return str(tmp_path / "x.npy")


def test_a_read_error_in_the_thread_ends_the_run_with_one_line(
    train, large_file, monkeypatch, ends
):
    def fails(self, block):
        if threading.current_thread() is threading.main_thread():
            return read(self, block)
        raise OSError(5, "Input/output error", "x.npy")

    read = TrainingRows.read
    monkeypatch.setattr(TrainingRows, "read", fails)
    flags = ["--data_path", large_file]
    status, lines = ends(lambda argv: train(vae_main.main, *argv), flags)
    assert status == 1
    assert len(lines) == 1
    assert "x.npy: Input/output error" in lines[0]


def test_the_scripts_after_training_work_on_a_large_file_block_by_block(
    train, large_file, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(large_data, "SAMPLE_ROWS", 20)
    monkeypatch.setattr(sampling, "GENERATED_BATCH", 16)
    monkeypatch.setattr(sample_figures, "marginals", lambda *_, **__: None)
    monkeypatch.setattr(run_figures, "latent_traversal", lambda *_, **__: None)
    folder = train(beta_vae_main.main, "--data_path", large_file, "--beta", "1")
    model, x = load_model(folder, make_model)[0], np.load(large_file)
    argv = ["--model_dir", str(folder), "--n_samples", "30", "--seed", "3"]
    beta_vae_after_training.main([*argv, "--format", "npy"])
    shown = capsys.readouterr().out
    assert "all 50 rows" in shown
    assert "20 of them, chosen at random" in shown
    expected = sampling.reconstruct(model, model.standardization.apply(x), seed=3)
    np.testing.assert_allclose(np.load(folder / "en_deco_data.npy"), expected, rtol=1e-6)
    for name in ("latent.csv", "log_px.csv"):
        assert len(rows_of(folder / name)) == 50
    vae_decoder_sample_generation.main([*argv, "--output", str(tmp_path / "y.npy")])
    assert np.load(tmp_path / "y.npy").shape == (30, 3)


@pytest.mark.parametrize(("std", "value"), [(None, 1e39), (0.1, 1e38)])
def test_a_value_of_a_large_table_that_float32_cannot_hold_is_refused_wherever_it_is(
    tmp_path, std, value
):
    np.save(tmp_path / "x.npy", np.arange(150.0).reshape(50, 3))
    units = None if std is None else Standardization(np.zeros(3), np.full(3, std))
    table = np.load(tmp_path / "x.npy", mmap_mode="r+")
    assert len(large_data.as_seen(table, units)) == 50
    table[41, 1] = value
    for rows in (table, TrainingRows(table, 45, seed=0)):
        with pytest.raises(InputError, match="too large for float32"):
            large_data.as_seen(rows, units)
