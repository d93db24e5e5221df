"""The two scripts that work on a trained model of Gaussian data, end to end."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import contents, rows_of

import beta_vae_after_training
import vae_decoder_sample_generation
import vae_main
from training.saved_model import load_model
from vae_models import make_model


@pytest.fixture
def copy_of(tmp_path):
    """copy_of(folder): a copy of a run that a script may write to."""
    return lambda folder: Path(shutil.copytree(folder, tmp_path / "copy"))


@pytest.mark.parametrize("name", ["x.dat", "x.npy"])
def test_decoder_samples_come_from_the_saved_weights(copy_of, tmp_path, vae_run, name, capsys):
    folder = copy_of(vae_run)
    argv = ["--model_dir", folder, "--n_samples", "200", "--output", tmp_path / name, "--seed", "3"]
    vae_decoder_sample_generation.main([str(arg) for arg in argv])
    x = np.load(tmp_path / name) if name == "x.npy" else np.loadtxt(tmp_path / name, np.float32)
    assert x.shape == (200, 3)
    z_std = np.exp(np.loadtxt(folder / "Decoder_b6.dat")[3:])
    assert (x.std(axis=0) > 0.3 * z_std).all()
    assert str(tmp_path / name) in capsys.readouterr().out
    assert (folder / "figures" / "decoder_data.png").exists()


def test_the_seed_repeats_decoder_samples_and_draw_chooses_their_mean(copy_of, tmp_path, vae_run):
    folder = copy_of(vae_run)

    def samples(*flags):
        argv = ["--model_dir", folder, "--output", tmp_path / "x.npy", "--n_samples", "50", *flags]
        vae_decoder_sample_generation.main([str(arg) for arg in argv])
        return np.load(tmp_path / "x.npy")

    first = samples("--seed", "3")
    np.testing.assert_array_equal(samples("--seed", "3"), first)
    assert not np.isin(samples("--seed", "4"), first).any()
    means = samples("--seed", "3", "--draw", "mean")
    assert (means.std(axis=0) < first.std(axis=0)).all()


def test_without_an_output_the_samples_go_to_the_folder_of_the_model(copy_of, vae_run):
    folder = copy_of(vae_run)
    before = contents(folder)
    vae_decoder_sample_generation.main(["--model_dir", str(folder), "--n_samples", "40"])
    assert np.loadtxt(folder / "decoder_data.dat").shape == (40, 3)
    after = contents(folder)
    new = {"decoder_data.dat", str(Path("figures", "decoder_data.png"))}
    assert after.keys() - before.keys() == new
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize("script", [vae_decoder_sample_generation, beta_vae_after_training])
def test_the_scripts_take_the_runs_of_either_main(copy_of, vae_run, beta_run, script):
    other = vae_run if script is beta_vae_after_training else beta_run
    folder = copy_of(other)
    script.main(["--model_dir", str(folder), "--n_samples", "30"])
    name = "deco" if script is beta_vae_after_training else "decoder"
    assert np.loadtxt(folder / f"{name}_data.dat").shape == (30, 3)


def test_after_training_writes_both_kinds_of_data_and_tables_of_the_units(
    copy_of, beta_run, data_file, capsys
):
    folder = copy_of(beta_run)
    beta_vae_after_training.main(["--model_dir", str(folder), "--n_samples", "60"])
    assert np.loadtxt(folder / "deco_data.dat").shape == (60, 3)
    assert np.loadtxt(folder / "en_deco_data.dat").shape == (50, 3)
    shown = capsys.readouterr().out
    x = np.loadtxt(data_file, dtype=np.float32)
    model, _ = load_model(folder, make_model)
    mean, std = (part.numpy() for part in model.encode(x))
    std = np.exp(std)

    latent = rows_of(folder / "latent.csv")
    assert list(latent[0]) == ["z1", "z2", "std1", "std2"]
    found = [[float(text) for text in row.values()] for row in latent]
    np.testing.assert_allclose(found, np.hstack([mean, std]), rtol=1e-4, atol=1e-5)

    units = rows_of(folder / "active_units.csv")
    assert [row["unit"] for row in units] == ["1", "2"]
    kl = 0.5 * (mean**2 + std**2 - 1) - np.log(std)
    expected = {"variance_of_mean": mean.var(axis=0), "kl": kl.mean(axis=0)}
    expected |= {"variance_of_std": std.var(axis=0), "active": mean.var(axis=0) > 0.01}
    for name, values in expected.items():
        np.testing.assert_allclose([float(u[name]) for u in units], values, rtol=1e-3, atol=1e-6)
    assert f"active units: {expected['active'].sum()} of 2" in shown

    dimensions = rows_of(folder / "active_dimensions.csv")
    assert [list(row) for row in dimensions] == 2 * [["unit", "x1", "x2", "x3"]]
    z = np.random.default_rng(0).normal(size=(20_000, 1)).astype(np.float32)
    for unit, row in enumerate(dimensions):  # the variance over its prior, by Monte Carlo
        moved = model.decoder_mean(z * np.eye(2, dtype=np.float32)[unit]).numpy().var(axis=0)
        found = [float(row[name]) for name in ("x1", "x2", "x3")]
        np.testing.assert_allclose(found, moved, rtol=0.1, atol=1e-6)
    pictures = {path.name for path in (folder / "figures").iterdir()}
    assert pictures >= {"latent_traversal.png", "generated_data.png"}


def test_after_training_encodes_a_given_file_into_a_given_folder(copy_of, beta_run, tmp_path):
    folder, out = copy_of(beta_run), tmp_path / "out"
    out.mkdir()
    x = 3.0 * np.random.default_rng(0).normal(size=(7, 3))
    np.savetxt(tmp_path / "mine.csv", x, delimiter=",")
    before = contents(folder)
    argv = ["--model_dir", folder, "--data_path", tmp_path / "mine.csv", "--output_dir", out]
    argv += ["--format", "npy", "--draw", "mean", "--n_samples", "20"]
    beta_vae_after_training.main([str(arg) for arg in argv])
    assert contents(folder) == before
    assert len(rows_of(out / "latent.csv")) == 7
    assert np.load(out / "deco_data.npy").shape == (20, 3)
    reconstructed = np.load(out / "en_deco_data.npy")
    model, _ = load_model(folder, make_model)
    mean, log_std = model.encode(np.float32(x))
    draws = np.random.default_rng(0).normal(size=(4000, 7, 2)) * np.exp(log_std) + mean
    low, high = (f(model.decoder_mean(np.float32(draws)), axis=0) for f in (np.min, np.max))
    assert (low - 0.1 <= reconstructed).all()
    assert (reconstructed <= high + 0.1).all()


def test_a_single_row_of_data_and_of_samples_is_enough_for_the_scripts(
    copy_of, beta_run, tmp_path, recwarn
):
    folder = copy_of(beta_run)
    np.savetxt(tmp_path / "one.dat", np.ones((1, 3)))
    argv = ["--model_dir", str(folder), "--n_samples", "1"]
    beta_vae_after_training.main([*argv, "--data_path", str(tmp_path / "one.dat")])
    assert np.loadtxt(folder / "en_deco_data.dat").shape == (3,)
    vae_decoder_sample_generation.main([*argv, "--output", str(tmp_path / "one.npy")])
    assert np.load(tmp_path / "one.npy").shape == (1, 3)
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]


def test_a_run_in_a_folder_with_blanks_and_any_letters_is_found_from_anywhere(
    uncompiled, train, data_file, tmp_path, monkeypatch
):
    home = tmp_path / "Läufe von 東京"
    home.mkdir()
    shutil.copy(data_file, home / "Daten ä.dat")
    monkeypatch.chdir(home)
    train(vae_main.main, "--n_epoch", "1", "--data_path", "Daten ä.dat", folder=Path("ein Lauf"))
    monkeypatch.chdir(tmp_path)
    argv = ["--model_dir", "Läufe von 東京/ein Lauf", "--n_samples", "40"]
    vae_decoder_sample_generation.main([*argv, "--output", "Läufe von 東京/x 1.npy"])
    assert np.load(home / "x 1.npy").shape == (40, 3)
    beta_vae_after_training.main(argv)
    assert np.loadtxt(home / "ein Lauf" / "en_deco_data.dat").shape == (50, 3)
