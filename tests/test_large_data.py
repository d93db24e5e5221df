"""Rows that stay in their .npy file: reading and refusals; runs and scripts on such a file."""

import os
import signal

import numpy as np
import pytest

import beta_vae_after_training
import beta_vae_main
import data_processing
import vae_decoder_sample_generation
import vae_main
from analysis import figures, gaussian_report
from analysis.sampling import reconstruct
from data_processing import get_rows
from training import large_data, loop
from training.errors import InputError
from training.large_data import LargeTable, TrainingRows
from training.saved_model import load_model
from vae_models import make_model

pytestmark = pytest.mark.usefixtures("small_blocks")
EVERY_NUMBER_TYPE = ["f4", "f8", "f2", ">f4", ">f8", "i1", "u2", ">i4", "u8"]


@pytest.fixture(scope="module")
def gaussian_file(tmp_path_factory):
    """50 rows of 3 correlated numbers."""
    path = tmp_path_factory.mktemp("large") / "x.npy"
    rng = np.random.default_rng(0)
    np.save(path, np.float32(rng.normal(size=(50, 3)) @ rng.normal(size=(3, 3)) + 1.0))
    return str(path)


def get_data(path, data_size, training_data_size, standardize=False):
    """The data of a run with these flags."""
    settings = {"data_path": path, "data_size": data_size, "data_dim": 3, "seed": 0}
    settings |= {"training_data_size": training_data_size, "standardize": standardize}
    return data_processing.get_data(settings)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", EVERY_NUMBER_TYPE)
def test_slices_of_a_file_are_its_rows_as_float32(tmp_path, dtype, order):
    values = np.asarray(np.random.default_rng(0).integers(0, 99, (11, 3)), dtype, order=order)
    np.save(tmp_path / "x.npy", values)
    table, cut = LargeTable(tmp_path / "x.npy"), LargeTable(tmp_path / "x.npy", 3, data_size=7)
    for rows in (slice(None), slice(2, 9), slice(5, 6), slice(8, 100), slice(11, 20)):
        assert table[rows].dtype == np.float32
        np.testing.assert_array_equal(table[rows], values[rows])
        np.testing.assert_array_equal(cut[rows], values[:7][rows])
    assert (table.shape, cut.shape) == ((11, 3), (7, 3))
    np.testing.assert_array_equal(np.concatenate(list(table.checked_blocks())), values)


def test_only_many_rows_of_an_npy_file_stay_in_it(tmp_path, monkeypatch):
    values = np.arange(36, dtype=np.int16).reshape(12, 3)
    np.save(tmp_path / "x.npy", values)
    np.savetxt(tmp_path / "x.dat", values)
    monkeypatch.setattr(large_data, "LARGE_BYTES", 4 * 10 * 3)
    for path, size in [("x.npy", 10), ("x.npy", 2), ("x.dat", 12)]:
        x, _, _ = get_rows(tmp_path / path, size, 3, seed=0)
        assert isinstance(x, np.ndarray)
        np.testing.assert_array_equal(x, values[:size])
    for size in (11, 12, None):
        x, _, _ = get_rows(tmp_path / "x.npy", size, 3, seed=0)
        assert isinstance(x, LargeTable)
        assert len(x) == (size or 12)


def test_a_file_that_is_no_table_is_refused_as_a_small_one_is(tmp_path, monkeypatch):
    path, damaged = tmp_path / "x.npy", []
    for array in (np.zeros(3), np.zeros((0, 3)), np.zeros((2, 3), complex), np.array([[None]])):
        np.save(path, array, allow_pickle=True)
        damaged.append(path.read_bytes())
    np.save(path, np.zeros((2, 7)))
    whole = path.read_bytes()
    damaged += [whole, whole[:-1], whole + b"\0", whole[:50], b"", whole.replace(b"(2,", b"(9,")]
    for content in damaged:
        path.write_bytes(content)
        refusals = []
        for limit in (0, 2**29):
            monkeypatch.setattr(large_data, "LARGE_BYTES", limit)
            with pytest.raises(InputError) as refused:
                get_rows(path, None, 3, seed=0)
            refusals.append(str(refused.value))
        assert refusals[0] == refusals[1]


@pytest.mark.parametrize("order", ["C", "F"])
def test_values_that_are_not_finite_are_counted_and_the_first_row_is_named(tmp_path, order):
    x = np.ones((23, 3), order=order)
    x[9, 2], x[17, 0], x[17, 1] = 1e39, np.nan, -np.inf
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(InputError, match="x.npy: has 3 values .* first at row 10, column 3"):
        get_data(tmp_path / "x.npy", 23, None)
    get_data(tmp_path / "x.npy", 9, None)  # of the rows that are used all are finite


def test_one_line_on_stderr_says_that_a_large_file_is_not_finite(tmp_path, refused):
    np.save(tmp_path / "x.npy", np.full((23, 3), np.nan))
    argv = ["--data_path", tmp_path / "x.npy", "--data_dim", 3, "--output_dir", tmp_path / "out"]
    assert "x.npy: has 69 values that are NaN" in refused(vae_main.main, argv)


def test_sizes_outside_the_rows_of_the_file_are_refused(numbered):
    for size in (0, 1, 10, 11):
        with pytest.raises(InputError, match=f"--training_data_size {size}: of 11 rows"):
            get_data(numbered(11).path, 100, size)
    assert len(get_data(numbered(11).path, 100, None).x_train) == 8


def test_mean_and_covariance_are_those_of_the_training_rows(tmp_path):
    x = np.float32(np.random.default_rng(0).normal(size=(90, 3)) + [1e4, 0, 5])
    x[:, 2] = 5.1
    np.save(tmp_path / "x.npy", x)
    data = get_data(tmp_path / "x.npy", 90, 70, standardize=True)
    rows = np.float64(next(data.x_train.shuffled(1, [0, 70])))
    mean, covariance = data.reference()
    np.testing.assert_allclose(mean, rows.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(covariance, np.cov(rows, rowvar=False), rtol=1e-9, atol=1e-12)
    assert (covariance[2] == 0).all()  # a constant column, exactly
    assert data.standardization["mean"] == pytest.approx(rows.mean(axis=0))
    assert data.standardization["std"] == pytest.approx([*rows.std(axis=0, ddof=1)[:2], 1.0])


def test_a_file_that_shrinks_ends_in_an_error_with_its_name(numbered):
    table = numbered(40)
    os.truncate(table.path, 300)
    with pytest.raises(OSError, match="shortened.*x.npy"):
        table[20:40]


def test_a_file_that_is_replaced_or_deleted_is_read_on(numbered):
    table = numbered(7)
    table.path.unlink()
    np.testing.assert_array_equal(table[:][:, 0], np.arange(7))


def flags_of(path, folder):
    return (
        f"--data_path {path} --data_dim 3 --n_width 5 --batch_size 4 --training_data_size 30 "
        f"--n_epoch 2 --lr 0.02 --seed 7 --output_dir {folder}"
    ).split()


@pytest.fixture
def quick(monkeypatch, plain_steps):
    """Runs without compiling and without pictures, several chunks an epoch."""
    monkeypatch.setattr(gaussian_report, "draw_figures", lambda *_: None)
    monkeypatch.setattr(figures, "marginals", lambda *_: None)
    monkeypatch.setattr(figures, "latent_traversal", lambda *_: None)
    monkeypatch.setattr(gaussian_report, "COVARIANCE_SAMPLES", 2000)
    monkeypatch.setattr(data_processing, "CHUNK_NUMBERS", 30)


def test_a_run_from_a_large_file_is_interrupted_and_resumed_to_the_same_bits(
    quick, gaussian_file, tmp_path, monkeypatch, weights, history, ends
):
    monkeypatch.setattr(gaussian_report, "finish", lambda run, *_, **__: run.write_results("c.dat"))
    monkeypatch.setattr(gaussian_report, "print_report", lambda *_: None)
    vae_main.main(flags_of(gaussian_file, tmp_path / "whole"))
    add = loop.Run.add

    def interrupted_add(run, *args, **kwargs):
        if (run.position.epoch, run.position.chunk) == (2, 3):
            os.kill(os.getpid(), signal.SIGINT)
        add(run, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Run, "add", interrupted_add)
        status, lines = ends(vae_main.main, flags_of(gaussian_file, tmp_path / "out"))
    assert status == 130
    assert len(lines) == 1
    assert "stopped in epoch 2, all work is saved" in lines[0]
    vae_main.main([*flags_of(gaussian_file, tmp_path / "out"), "--resume"])
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")
    assert history(tmp_path / "out") == history(tmp_path / "whole")


def test_a_read_error_in_the_thread_ends_the_run_with_one_line(
    quick, gaussian_file, tmp_path, monkeypatch, ends
):
    def fails(self, blocks, n_rows):
        raise OSError(5, "Input/output error", "x.npy")

    monkeypatch.setattr(TrainingRows, "read", fails)
    status, lines = ends(vae_main.main, flags_of(gaussian_file, tmp_path / "out"))
    assert status == 1
    assert len(lines) == 1
    assert "x.npy: Input/output error" in lines[0]


def test_the_scripts_after_training_work_on_a_large_file_by_blocks(
    quick, gaussian_file, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(large_data, "SAMPLE_ROWS", 20)
    monkeypatch.setattr("sampling.BLOCK", 16)
    folder = tmp_path / "out"
    beta_vae_main.main([*flags_of(gaussian_file, folder), "--beta", "1"])
    model, x = load_model(folder, make_model)[0], np.load(gaussian_file)
    argv = ["--model_dir", str(folder), "--n_samples", "30", "--seed", "3"]
    for more in (["--format", "npy"], ["--data_path", gaussian_file]):
        capsys.readouterr()
        beta_vae_after_training.main([*argv, *more])
        shown = capsys.readouterr().out
        assert "50 rows are being written" in shown
        assert "20 of them" in shown
    for rows in (np.load(folder / "en_deco_data.npy"), np.loadtxt(folder / "en_deco_data.dat")):
        np.testing.assert_allclose(rows, reconstruct(model, x, 3), rtol=1e-6)
    argv += ["--output", str(tmp_path / "y.npy")]
    vae_decoder_sample_generation.main(argv)
    assert np.load(tmp_path / "y.npy").shape == (30, 3)


def test_a_large_file_is_announced_once_on_stdout(numbered, capsys):
    get_data(numbered(40).path, 40, None)
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 1
    assert "x.npy: large" in shown[0]
