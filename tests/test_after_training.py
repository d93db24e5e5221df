"""The two scripts that work on a trained model of Gaussian data, end to end."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import contents, numpy_log_px, read_json, rows_of

import beta_vae_after_training
import vae_decoder_sample_generation
import vae_main
from analysis import comparison, evaluation, latent, latent_tables, sampling
from training.saved_model import load_model
from vae_models import make_model

pytestmark = pytest.mark.usefixtures("uncompiled")


def call(script, *argv):
    script.main([str(arg) for arg in argv])


def table_of(path):
    """The numbers of a .csv file with a line of names."""
    return np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)


@pytest.mark.parametrize(("name", "draw"), [("x.dat", "sample"), ("x.npy", "mean")])
def test_decoder_data_are_those_of_the_saved_model(
    vae_run, tmp_path, name, draw, capsys, monkeypatch
):
    """The model's folder may be read-only: the picture stands beside the output."""
    monkeypatch.setattr(comparison, "COMPARED_ROWS", 20)
    before = contents(vae_run)
    path = tmp_path / name
    argv = ["--model_dir", vae_run, "--n_samples", "200", "--output", path, "--seed", "3"]
    call(vae_decoder_sample_generation, *argv, "--draw", draw)
    x = np.load(path) if name == "x.npy" else np.loadtxt(path)
    model, _ = load_model(vae_run, make_model)
    expected = sampling.generate(model, 200, seed=3, mean_only=draw == "mean")
    np.testing.assert_allclose(x, expected, rtol=1e-6)
    shown = capsys.readouterr().out
    assert str(path) in shown
    assert "20 of them with 20 rows of data, chosen at random" in shown
    assert (tmp_path / "figures" / "x.png").exists()
    assert contents(vae_run) == before


def test_without_an_output_the_samples_go_to_the_folder_of_the_model(run_copy):
    folder = run_copy()
    before = contents(folder)
    call(vae_decoder_sample_generation, "--model_dir", folder, "--n_samples", "40")
    assert np.loadtxt(folder / "decoder_data.dat").shape == (40, 3)
    after = contents(folder)
    new = {"decoder_data.dat", "figures", str(Path("figures", "decoder_data.png"))}
    assert after.keys() - before.keys() == new
    assert {name: after[name] for name in before} == before


def test_after_training_writes_both_kinds_of_data_and_tables_of_rows_and_units(
    run_copy, data_file, capsys
):
    folder = run_copy()
    call(beta_vae_after_training, "--model_dir", folder, "--n_samples", "60")
    assert np.loadtxt(folder / "deco_data.dat").shape == (60, 3)
    assert np.loadtxt(folder / "en_deco_data.dat").shape == (50, 3)
    shown = capsys.readouterr().out
    model, _ = load_model(folder, make_model)
    u = model.standardization.apply(np.loadtxt(data_file))
    mean, log_std = (part.numpy() for part in model.encode(u))
    std = np.exp(log_std)

    assert list(rows_of(folder / "latent.csv")[0]) == ["z1", "z2", "std1", "std2"]
    latent = table_of(folder / "latent.csv")
    np.testing.assert_allclose(latent, np.hstack([mean, std]), rtol=1e-4, atol=1e-5)

    units = rows_of(folder / "active_units.csv")
    assert [row["unit"] for row in units] == ["1", "2"]
    kl = 0.5 * (mean**2 + std**2 - 1) - np.log(std)
    expected = {"variance_of_mean": mean.var(axis=0), "kl": kl.mean(axis=0)}
    expected |= {"variance_of_std": std.var(axis=0), "active": mean.var(axis=0) > 0.01}
    for name, values in expected.items():
        np.testing.assert_allclose([float(u[name]) for u in units], values, rtol=1e-3, atol=1e-6)
    assert f"active units: {expected['active'].sum()} of 2" in shown

    assert list(rows_of(folder / "active_dimensions.csv")[0]) == ["unit", "x1", "x2", "x3"]
    z = np.random.default_rng(0).normal(size=(20_000, 1)).astype(np.float32)
    for unit, found in enumerate(table_of(folder / "active_dimensions.csv")):
        means = model.in_data_units(model.decoder_mean(z * np.eye(2, dtype=np.float32)[unit]))
        np.testing.assert_allclose(found[1:], means.var(axis=0), rtol=0.1, atol=1e-6)
    pictures = {path.name for path in (folder / "figures").iterdir()}
    assert pictures >= {"latent_traversal.png", "generated_data.png"}


def test_the_variances_of_a_linear_decoder_over_the_prior_are_exact(linear_gaussian):
    found = latent_tables.variances_over_prior(linear_gaussian.model())
    np.testing.assert_allclose(found, linear_gaussian.weights.T**2, rtol=1e-5)


def test_every_row_is_scored_in_order(linear_gaussian, tmp_path, monkeypatch, capsys):
    """The encoder is the posterior, so ELBO and log p(x) are the log-density, in any block."""
    monkeypatch.setattr(latent_tables, "BLOCK_ROWS", 7)
    x = linear_gaussian.draw(30, seed=5)
    expected = linear_gaussian.log_density(x)
    model = linear_gaussian.model()
    n_draws = latent_tables.draws_for(30)
    found = latent_tables.score_rows(tmp_path / "log_px.csv", model, x, n_draws, 2, 1.0)
    latent_tables.print_scores(*found, n_draws)
    assert list(rows_of(tmp_path / "log_px.csv")[0]) == ["elbo", "log_px", "log_px_se"]
    scores = table_of(tmp_path / "log_px.csv")
    np.testing.assert_allclose(scores[:, :2], np.stack([expected] * 2, axis=1), atol=2e-4)
    np.testing.assert_allclose(scores[:, 2], 0, atol=2e-4)
    words = capsys.readouterr().out.split()
    assert float(words[2]) == pytest.approx(expected.mean(), abs=2e-4)
    assert float(words[4]) == pytest.approx(expected.std(ddof=1) / np.sqrt(30), abs=2e-4)
    assert words[10:] == "(1024 draws of z for each)".split()
    monkeypatch.setattr(evaluation, "FEW_EFFECTIVE", 10_000)
    found = latent_tables.score_rows(tmp_path / "log_px.csv", model, x, n_draws, 2, 1.0)
    latent_tables.print_scores(*found, n_draws)
    assert "in 30 rows few of the draws count" in capsys.readouterr().out


def test_another_table_is_scored_in_the_units_of_the_model(vae_run, tmp_path, capsys):
    """The weight files are those of a network of x as it is: numpy scores the rows with them."""
    before = contents(vae_run)
    out = tmp_path / "out"
    out.mkdir()
    x = 1.0 + np.random.default_rng(0).normal(size=(7, 3))
    np.savetxt(tmp_path / "mine.csv", x, delimiter=",", header="a,b b,c", comments="")
    argv = ["--model_dir", vae_run, "--data_path", tmp_path / "mine.csv", "--output_dir", out]
    argv += ["--format", "npy", "--draw", "mean", "--n_samples", "20", "--gaps"]
    call(beta_vae_after_training, *argv)
    assert contents(vae_run) == before
    scores = table_of(out / "log_px.csv")
    expected, se = numpy_log_px(vae_run, x, n_draws=20_000, seed=0)
    assert (np.abs(scores[:, 1] - expected) < 5 * np.hypot(se, scores[:, 2]) + 1e-3).all()
    assert (scores[:, 0] < expected + 5 * se + 0.02).all()  # its own draws have noise too
    shown = capsys.readouterr().out
    assert f"log p(x): {scores[:, 1].mean():.4f} ± " in shown

    assert len(rows_of(out / "latent.csv")) == 7
    assert list(rows_of(out / "active_dimensions.csv")[0]) == ["unit", "a", "b b", "c"]
    assert "b b" in shown
    assert np.load(out / "deco_data.npy").shape == (20, 3)
    model, _ = load_model(vae_run, make_model)
    expected = sampling.reconstruct(model, model.standardization.apply(x), seed=0, mean_only=True)
    np.testing.assert_allclose(np.load(out / "en_deco_data.npy"), expected, rtol=1e-6)

    found = read_json(out / "gaps.json")
    assert found["gap_rows"] == 7
    assert found["gap_family_se"] > 0 and found["gap_amortization_se"] > 0
    assert found["effective_samples_of_best_q"] > found["effective_samples_of_encoder"]


def test_a_single_row_of_data_and_of_samples_is_enough_for_the_scripts(run_copy, tmp_path, recwarn):
    folder = run_copy()
    np.savetxt(tmp_path / "one.dat", np.ones((1, 3)))
    argv = ["--model_dir", folder, "--n_samples", "1"]
    call(beta_vae_after_training, *argv, "--data_path", tmp_path / "one.dat")
    assert np.loadtxt(folder / "en_deco_data.dat").shape == (3,)
    call(vae_decoder_sample_generation, *argv, "--output", tmp_path / "one.npy")
    assert np.load(tmp_path / "one.npy").shape == (1, 3)
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]


def test_an_interrupted_run_is_looked_at_as_it_stands(vae_run, tmp_path, capsys, ends):
    folder = Path(shutil.copytree(vae_run, tmp_path / "run"))
    argv = ["--model_dir", folder, "--n_samples", "30"]
    names = {
        vae_decoder_sample_generation: "decoder_data.dat",
        beta_vae_after_training: "deco_data.dat",
    }
    model, _ = load_model(folder, make_model)
    expected = sampling.generate(model, 30, seed=0)
    for path in [*folder.glob("*.dat"), folder / "report.json"]:
        path.unlink()
    for script, name in names.items():
        status, lines = ends(script.main, argv)
        assert status == 2
        assert "--resume" in lines[0]
        assert "--checkpoint" in lines[0]
        call(script, *argv, "--checkpoint")
        np.testing.assert_allclose(np.loadtxt(folder / name), expected, rtol=1e-4, atol=1e-5)
        assert "3 epochs" in capsys.readouterr().out


def test_many_units_and_columns_are_shown_in_part(capsys):
    kl = np.random.default_rng(0).uniform(size=200)
    kl[[7, 150]] = 2.0
    units = latent.LatentUnits(kl, kl, kl)
    latent_tables.print_units(units, np.ones((200, 90)), [f"c{j}" for j in range(90)])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < 50
    assert max(map(len, lines)) < 130
    assert {7, 150} < set(units.shown)
    assert any(line.startswith("z151 ") for line in lines)


def test_a_run_in_a_folder_with_blanks_and_any_letters_is_found_from_anywhere(
    train, data_file, tmp_path, monkeypatch
):
    home = tmp_path / "Läufe von 東京"
    home.mkdir()
    shutil.copy(data_file, home / "Daten ä.dat")
    monkeypatch.chdir(home)
    folder = Path("ein Lauf [1]")
    train(vae_main.main, "--n_epoch", "1", "--data_path", "Daten ä.dat", folder=folder)
    monkeypatch.chdir(tmp_path)
    argv = ["--model_dir", "Läufe von 東京/ein Lauf [1]", "--n_samples", "40", "--checkpoint"]
    call(beta_vae_after_training, *argv)
    assert np.loadtxt(home / folder / "en_deco_data.dat").shape == (50, 3)
