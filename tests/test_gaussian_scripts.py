"""Training runs and sweeps of the mains on Gaussian data, end to end."""

import shutil
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from conftest import random_covariance
from helpers import FEW_STEPS, PARAMETERS, contents, history, read_json, rows_of, weights
from scipy.stats import multivariate_normal

import beta_sweep
import beta_vae_main
import data_processing
import vae_decoder_sample_generation
import vae_main
from analysis import evaluation, gaps, run_figures, sweep_figures
from training import loop
from training.errors import InputError
from training.saved_model import load_model
from training.settings import read_config
from vae_models import make_model

SWEEP_COLUMNS = (
    "beta cost cost_se cost_exact cost_bound rate rate_exact distortion distortion_exact elbo "
    "active_units active_units_exact covariance_error"
).split()


def data_of_run(folder):
    return data_processing.get_data(read_config(folder, ["vae", "beta_vae"]))


def test_config_holds_every_setting_and_version_before_the_first_step(
    tmp_path, data_file, monkeypatch
):
    def no_step(*_):
        raise RuntimeError("first step")

    monkeypatch.setattr(loop, "compile_steps", lambda *_: no_step)
    monkeypatch.chdir(Path(data_file).parent)
    flags = "--data_path x.dat --n_width 5 --batch_size 4 --lr 0.02".split()
    with pytest.raises(RuntimeError, match="first step"):
        vae_main.main([*flags, "--output_dir", str(tmp_path / "out")])
    config = read_json(tmp_path / "out" / "config.json")
    args = vars(vae_main.parse_arguments(flags))
    for name in ("resume", "output_dir"):
        del args[name]
    data = {"data_path": data_file, "data_dim": 3, "training_data_size": 40, "standardize": True}
    args |= data | {"n_epoch": 960, "keep": "best", "weight_decay": 1.0}  # of ten batches each
    assert {name: config[name] for name in args} == args
    assert config["model"] == "vae"
    for package in ("tensorflow", "keras", "numpy", "scipy"):
        assert config["versions"][package] == metadata.version(package)
    assert config["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))


def test_a_run_leaves_the_files_of_the_contract_and_no_others(vae_run):
    expected = {*PARAMETERS, "cost_function_vae.dat", "history.csv", "config.json", "report.json"}
    expected |= {"checkpoint", "figures", ".lock"}
    assert {path.name for path in vae_run.iterdir()} == expected
    pictures = {path.name for path in (vae_run / "figures").iterdir()}
    assert pictures == {
        f"{name}.png"
        for name in ("learning_curves", "latent_plane", "covariances", "pairwise_marginals")
    }


def test_history_cost_function_and_report_agree(vae_run):
    rows = rows_of(vae_run / "history.csv")
    assert list(rows[0]) == ["epoch", "kl", "log_px_z", "elbo", "elbo_held_out", "seconds"]
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    terms = np.array([[float(row["kl"]), float(row["log_px_z"])] for row in rows])
    np.testing.assert_array_equal(np.loadtxt(vae_run / "cost_function_vae.dat"), terms)
    elbos = [float(row["elbo"]) for row in rows]
    np.testing.assert_allclose(elbos, terms[:, 1] - terms[:, 0], rtol=1e-12)
    seconds = read_json(vae_run / "report.json")["seconds"]
    assert seconds == pytest.approx(sum(float(row["seconds"]) for row in rows), abs=2e-3)


def test_the_report_agrees_with_itself_and_with_the_saved_weights(vae_run):
    report = read_json(vae_run / "report.json")
    assert report["elbo"] == report["elbo_held_out"]
    assert report["elbo"] == pytest.approx(report["log_px_z"] - report["rate"], abs=1e-6)
    data = data_of_run(vae_run)
    assert (len(data.x_train), len(data.x_held_out)) == (38, 12)
    x_train, x_held_out = map(data.in_data_units, (data.x_train, data.x_held_out))
    fitted = multivariate_normal(x_train.mean(axis=0), np.cov(x_train, rowvar=False))
    optimum = fitted.logpdf(x_held_out).mean()
    assert report["optimum"] == pytest.approx(optimum, abs=1e-4)
    model, _ = load_model(vae_run, make_model)
    for name, x in [("elbo_train", data.x_train), ("elbo_held_out", data.x_held_out)]:
        again = evaluation.evaluate(model, x, 2000, seed=99)
        assert report[name] == pytest.approx(again.elbo.mean(), abs=0.05)
    assert report["rate"] == pytest.approx(again.kl.mean(), abs=1e-5)


def test_beta_one_trains_exactly_as_the_vae(vae_run, train):
    beta_run = train(beta_vae_main.main, "--beta", "1")
    assert weights(beta_run).keys() == set(PARAMETERS)
    assert weights(beta_run) == weights(vae_run)
    assert history(beta_run) == history(vae_run)
    terms = (vae_run / "cost_function_vae.dat").read_bytes()
    assert (beta_run / "cost_function_beta_vae.dat").read_bytes() == terms
    config = read_json(beta_run / "config.json")
    assert (config["beta"], config["model"]) == (1.0, "beta_vae")


def test_a_shared_decoder_std_reaches_the_files(train):
    folder = train(vae_main.main, *FEW_STEPS, "--decoder_std", "shared")
    last_w, last_b = (np.loadtxt(folder / f"Decoder_{kind}6.dat") for kind in "Wb")
    assert not last_w[:, 3:].any()
    assert last_w[:, :3].any()
    np.testing.assert_allclose(last_b[3:], last_b[3], rtol=1e-6)


def test_a_short_run_on_the_known_gaussian_beats_independent_columns(tmp_path, monkeypatch):
    monkeypatch.setattr(run_figures, "draw_run", lambda *_: None)
    monkeypatch.setattr(gaps, "REPORT_WORK", 0)
    flags = "--data_size 3000 --training_data_size 2500 --n_width 16 --lr 0.01"
    flags = [*flags.split(), "--batch_size", "50", "--n_epoch", "10"]
    folder = tmp_path / "run"
    vae_main.main([*flags, "--output_dir", str(folder)])
    elbos = [float(row["elbo"]) for row in rows_of(folder / "history.csv")]
    assert elbos[0] < elbos[1] < elbos[-1]
    report = read_json(folder / "report.json")
    x = data_of_run(folder).x_held_out
    without_z = -np.log(np.sqrt(2 * np.pi * np.e) * x.std(axis=0)).sum()  # independent Gaussians
    assert report["elbo_held_out"] > without_z
    assert report["optimum_is"] == "exact"
    assert report["elbo_held_out"] < report["optimum"]
    assert report["active_units"] >= 1


def test_rows_are_drawn_from_the_covariance_and_the_mean_of_the_files_or_known_to_be(tmp_path):
    mean, covariance = [1.0, -2.0, 0.5], random_covariance(0)
    np.savetxt(tmp_path / "c.dat", covariance)
    np.savetxt(tmp_path / "m.dat", mean)
    flags = ["--covariance_path", str(tmp_path / "c.dat"), "--data_size", "20000"]
    for more, expected in [(["--mean_path", str(tmp_path / "m.dat")], mean), ([], np.zeros(3))]:
        args = vae_main.parse_arguments([*flags, *more])
        data = data_processing.get_data(args)
        assert data.x_train.shape[1] == 3
        x, std = np.float64(data.x_train), np.sqrt(np.diag(covariance))
        np.testing.assert_array_less(np.abs(x.mean(axis=0) - expected), 5 * std / len(x) ** 0.5)
        error = np.abs(np.cov(x, rowvar=False) - covariance) / np.outer(std, std)
        assert error.max() < 5 * (2 / len(x)) ** 0.5
        np.save(tmp_path / "x.npy", x[:50])
        beside = vae_main.parse_arguments([*flags, *more, "--data_path", str(tmp_path / "x.npy")])
        known = data_processing.get_data(beside).known
        np.testing.assert_array_equal(known.mean, expected)
        np.testing.assert_allclose(known.covariance, covariance)


def sweep(train, betas, *flags, folder=None):
    flags = ["--beta", *betas.split(), *FEW_STEPS, "--lr_schedule", "constant", *flags]
    return train(beta_sweep.main, *flags, folder=folder)


@pytest.fixture(scope="module")
def sweep_run(train):
    """The folder of a finished sweep. Copy it to change it."""
    return sweep(train, "4 0.5")


def test_a_sweep_makes_a_folder_for_each_beta_a_table_and_pictures(sweep_run):
    folder = sweep_run
    assert {p.name for p in folder.iterdir() if p.is_dir()} == {"beta_4", "beta_0.5", "figures"}
    pictures = {path.stem for path in (folder / "figures").iterdir()}
    assert pictures == {"beta_sweep", "common_information"}
    table = rows_of(folder / "sweep.csv")
    assert list(table[0]) == SWEEP_COLUMNS
    assert [float(row["beta"]) for row in table] == [0.5, 4.0]
    for row in table:
        run = folder / f"beta_{float(row['beta']):g}"
        assert {*PARAMETERS, "cost_function_beta_vae.dat"} < {p.name for p in run.iterdir()}
        config = read_json(run / "config.json")
        assert (config["beta"], config["lr_schedule"]) == (float(row["beta"]), "constant")
        report = read_json(run / "report.json")
        for name, text in row.items():
            value = report.get(name)
            assert text == "nan" if value is None else float(text) == value
    without = {name for name, text in table[0].items() if text == "nan"}
    assert without >= {"cost_exact", "rate_exact", "distortion_exact", "active_units_exact"}
    assert not [name for name, text in table[1].items() if text == "nan"]
    assert weights(folder / "beta_4") != weights(folder / "beta_0.5")


def test_a_resumed_sweep_trains_what_is_missing_and_more_epochs(
    sweep_run, train, monkeypatch, tmp_path
):
    monkeypatch.setattr(sweep_figures, "draw_sweep", lambda *_: None)
    folder = Path(shutil.copytree(sweep_run, tmp_path / "sweep"))
    shutil.rmtree(folder / "beta_4")
    (folder / "sweep.csv").unlink()
    (folder / ".12.sweep.csv").write_text("beta,")  # what a killed sweep was writing
    finished = contents(folder / "beta_0.5")
    sweep(train, "4 0.5", "--resume", folder=folder)
    assert not (folder / ".12.sweep.csv").exists()
    assert contents(folder / "beta_0.5") == finished
    assert (folder / "sweep.csv").read_text() == (sweep_run / "sweep.csv").read_text()
    sweep(train, "4 0.5", "--n_epoch", "2", "--resume", folder=folder)
    assert [len(history(folder / name)) for name in ("beta_4", "beta_0.5")] == [2, 2]
    assert weights(folder / "beta_0.5") != weights(sweep_run / "beta_0.5")


def test_a_resumed_sweep_with_other_settings_is_refused(sweep_run, train):
    before = contents(sweep_run)
    with pytest.raises(InputError, match=r"beta_0.5 was begun with --n_dim .*, now 4"):
        sweep(train, "4 0.5", "--n_dim", "4", "--resume", folder=sweep_run)
    assert contents(sweep_run) == before


def test_one_column_trains_sweeps_and_generates(uncompiled, train, tmp_path):
    np.savetxt(tmp_path / "x.dat", np.random.default_rng(0).normal(size=50))
    flags = ["--data_path", str(tmp_path / "x.dat"), "--data_dim", "1", "--n_dim", "1"]
    folder = sweep(train, "1", *flags)
    pictures = {path.stem for path in (folder / "figures").iterdir()}
    assert pictures == {"beta_sweep"}  # without dependence there is no common information
    run = folder / "beta_1"
    data = data_of_run(run)
    x = data.in_data_units(data.x_train)
    optimum = -0.5 * np.log(2 * np.pi * np.var(x, ddof=1)) - 0.5
    report = read_json(run / "report.json")
    assert report["cost_exact"] == pytest.approx(-optimum, abs=1e-5)
    assert report["beta_thresholds"] == []
    argv = ["--model_dir", str(run), "--n_samples", "9", "--output", str(tmp_path / "y.dat")]
    vae_decoder_sample_generation.main(argv)
    assert np.loadtxt(tmp_path / "y.dat").shape == (9,)


@pytest.mark.parametrize(
    "flags",
    [
        "--training_data_size 2 --batch_size 1 --n_dim 4 --n_width 6 5 4",
        "--training_data_size 48 --batch_size 48",
    ],
)
def test_odd_sizes_train_to_a_report(train, flags, recwarn):
    report = read_json(train(vae_main.main, *FEW_STEPS, *flags.split()) / "report.json")
    assert np.isfinite(report["elbo_held_out"])
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]


def test_data_with_a_constant_column_train_to_a_report_without_a_reference(train, tmp_path, capsys):
    x = np.random.default_rng(0).normal(size=(50, 3))
    x[:, 1] = 2.0
    np.savetxt(tmp_path / "x.dat", x)
    flags = [*FEW_STEPS, "--data_path", str(tmp_path / "x.dat"), "--beta", "1"]
    folder = train(beta_sweep.main, *flags)
    report = read_json(folder / "beta_1" / "report.json")
    assert report["optimum"] is report["gap"] is report["cost_exact"] is None
    assert np.isfinite(report["elbo_held_out"])
    assert rows_of(folder / "sweep.csv")[0]["cost_exact"] == "nan"
    assert "no Gaussian reference" in capsys.readouterr().out
