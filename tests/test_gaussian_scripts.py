"""The five scripts on Gaussian data, end to end."""

import csv
import json
import shutil
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import multivariate_normal

import beta_sweep
import beta_vae_after_training
import beta_vae_main
import evaluation
import gaussian_report
import mnist_vae_after_training
import mnist_vae_main
import run_files
import training
import vae_decoder_sample_generation
import vae_main
from data_processing import get_data
from vae_models import VAE, load_model

ROOT = Path(vae_main.__file__).parent
RUN_FLAGS = (
    "--data_path --data_size --training_data_size --data_dim --n_dim --n_width --n_epoch "
    "--batch_size --lr --lr_schedule --optimizer --decoder_std --seed --output_dir --resume"
).split()
SCRIPTS = {
    vae_main: RUN_FLAGS,
    beta_vae_main: [*RUN_FLAGS, "--beta"],
    vae_decoder_sample_generation: ["--model_dir", "--n_samples", "--output", "--seed"],
    beta_vae_after_training: ["--model_dir", "--n_samples", "--data_path", "--seed"],
    mnist_vae_main: (
        "--data_path --n_dim --n_width --batch_size --n_epoch --lr --output_dir --beta --seed "
        "--resume"
    ).split(),
    mnist_vae_after_training: ["--model_dir", "--data_path", "--n_importance"],
}
PARAMETERS = [f"Encoder_{kind}{number}.dat" for number in "123" for kind in "Wb"] + [
    f"Decoder_{kind}{number}.dat" for number in "456" for kind in "Wb"
]
FEW_STEPS = "--training_data_size 14 --n_epoch 1".split()  # three batches of 4 and one of 2
SWEEP_COLUMNS = (
    "beta cost cost_exact rate rate_exact distortion distortion_exact elbo active_units "
    "active_units_exact covariance_error"
).split()


def read_json(path):
    return json.loads(path.read_text())


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def data_of_run(folder):
    return get_data(read_json(folder / "config.json"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_help_names_every_flag_of_the_contract_with_its_default(script, capsys):
    with pytest.raises(SystemExit) as left:
        script.main(["--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    for flag in SCRIPTS[script]:
        assert flag in shown
    assert shown.count("(default:") >= len(SCRIPTS[script])


def test_defaults_of_the_two_mains_are_the_same_and_those_of_the_contract():
    vae, beta_vae = (vars(main.parse_arguments([])) for main in (vae_main, beta_vae_main))
    assert (vae.pop("output_dir"), beta_vae.pop("output_dir")) == (
        "results/vae",
        "results/beta_vae",
    )
    beta_vae.pop("beta")
    assert vae == beta_vae
    expected = {"data_path": None, "data_size": 100_000, "data_dim": 10, "n_dim": 2, "n_width": 128}
    expected |= {"decoder_std": None, "seed": 0, "resume": False}
    assert {name: vae[name] for name in expected} == expected


@pytest.mark.parametrize("script", [vae_main, beta_vae_main], ids=lambda script: script.__name__)
def test_the_guidelines_own_settings_can_be_read_from_a_file(script):
    args = script.parse_arguments([f"@{ROOT / 'data' / 'original_settings.args'}"])
    expected = {"data_size": 100, "training_data_size": 80, "batch_size": 5, "n_epoch": 2}
    expected |= {"n_width": 128, "optimizer": "sgd", "lr": 0.001, "lr_schedule": "constant"}
    assert {name: vars(args)[name] for name in expected} == expected


def test_flag_files_hold_comments_and_quotes_and_later_flags_win(tmp_path):
    path = tmp_path / "my.args"
    path.write_text("# don't\n--lr 0.5 --n_dim 3  # a half\n\n--output_dir 'a b'\n")
    args = vae_main.parse_arguments([f"@{path}", "--n_dim", "4"])
    assert (args.lr, args.n_dim, args.output_dir) == (0.5, 4, "a b")


def test_config_holds_every_setting_and_version_before_the_first_step(
    tmp_path, data_file, monkeypatch
):
    def no_step(*_):
        raise RuntimeError("first step")

    monkeypatch.setattr(training, "compile_steps", lambda *_: no_step)
    monkeypatch.chdir(Path(data_file).parent)
    flags = "--data_path x.dat --data_dim 3 --n_width 5 --batch_size 4 --lr 0.02".split()
    with pytest.raises(RuntimeError, match="first step"):
        vae_main.main([*flags, "--output_dir", str(tmp_path / "out")])
    config = read_json(tmp_path / "out" / "config.json")
    args = vars(vae_main.parse_arguments(flags))
    for name in ("resume", "output_dir"):
        del args[name]
    assert {name: config[name] for name in args} == args | {"data_path": data_file}
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
    history = rows_of(vae_run / "history.csv")
    assert list(history[0]) == ["epoch", "kl", "log_px_z", "elbo", "elbo_held_out", "seconds"]
    assert [row["epoch"] for row in history] == ["1", "2", "3"]
    terms = np.array([[float(row["kl"]), float(row["log_px_z"])] for row in history])
    np.testing.assert_array_equal(np.loadtxt(vae_run / "cost_function_vae.dat"), terms)
    elbos = [float(row["elbo"]) for row in history]
    np.testing.assert_allclose(elbos, terms[:, 1] - terms[:, 0], rtol=1e-12)
    seconds = read_json(vae_run / "report.json")["seconds"]
    assert seconds == pytest.approx(sum(float(row["seconds"]) for row in history), abs=2e-3)


def test_the_report_agrees_with_itself_and_with_the_saved_weights(vae_run):
    report = read_json(vae_run / "report.json")
    assert report["elbo"] == report["elbo_held_out"]
    assert report["elbo"] == pytest.approx(report["log_px_z"] - report["rate"], abs=1e-6)
    assert report["gap"] == pytest.approx(report["optimum"] - report["elbo"], abs=1e-9)
    assert report["gap"] == pytest.approx(report["gap_model"] + report["gap_encoder"], abs=1e-6)
    assert report["cost_held_out"] == pytest.approx(-report["elbo"], abs=1e-6)
    data = data_of_run(vae_run)
    assert (len(data.x_train), len(data.x_held_out)) == (38, 12)
    fitted = multivariate_normal(data.x_train.mean(axis=0), np.cov(data.x_train, rowvar=False))
    optimum = fitted.logpdf(data.x_held_out).mean()
    assert report["optimum"] == pytest.approx(optimum, abs=1e-4)
    model, _ = load_model(vae_run)
    for name, x in [("elbo_train", data.x_train), ("elbo_held_out", data.x_held_out)]:
        again = evaluation.evaluate(model, x, 2000, seed=(99,))
        assert report[name] == pytest.approx(again.elbo.mean(), abs=0.05)
    assert report["rate"] == pytest.approx(again.kl.mean(), abs=1e-5)


def test_beta_one_trains_exactly_as_the_vae(vae_run, beta_run, weights, history):
    assert weights(beta_run).keys() == set(PARAMETERS)
    assert weights(beta_run) == weights(vae_run)
    assert history(beta_run) == history(vae_run)
    terms = (vae_run / "cost_function_vae.dat").read_bytes()
    assert (beta_run / "cost_function_beta_vae.dat").read_bytes() == terms
    assert read_json(beta_run / "config.json")["beta"] == 1.0


def test_one_seed_repeats_a_run_to_the_bit_and_another_differs(
    plain_steps, train, weights, history
):
    """The runs that beta_run and the interrupted one repeat are compiled ones."""
    one, again, other = (train(vae_main.main, *FEW_STEPS, "--seed", seed) for seed in "778")
    assert weights(one) == weights(again)
    assert history(one) == history(again)
    assert not set(weights(one).values()) & set(weights(other).values())
    assert history(one)[0]["kl"] != history(other)[0]["kl"]


def test_beta_weighs_the_kl_in_training(plain_steps, train, weights, history):
    flags = ["--training_data_size", "14", "--n_epoch", "2"]
    low, high = (train(beta_vae_main.main, *flags, "--beta", beta) for beta in ("0", "100"))
    assert weights(low) != weights(high)
    assert history(low)[-1]["kl"] > history(high)[-1]["kl"]


def test_a_fixed_decoder_std_reaches_the_files_exactly(plain_steps, train):
    folder = train(vae_main.main, *FEW_STEPS, "--decoder_std", "0.3")
    last_w, last_b = (np.loadtxt(folder / f"Decoder_{kind}6.dat", np.float32) for kind in "Wb")
    assert not last_w[:, 3:].any()
    assert last_w[:, :3].any()
    np.testing.assert_array_equal(last_b[3:], np.full(3, np.log(np.float32(0.3))))
    model, settings = load_model(folder)
    assert settings["decoder_std"] == 0.3
    assert len(set(np.ravel(model.decode(np.eye(2, dtype=np.float32))[1]))) == 1


def test_a_short_run_on_the_known_gaussian_lowers_the_cost_and_beats_an_untrained_model(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(gaussian_report, "draw_figures", lambda *_: None)
    flags = "--data_size 3000 --training_data_size 2500 --data_dim 10 --n_width 16 --lr 0.01"
    flags = [*flags.split(), "--batch_size", "50", "--n_epoch", "5"]
    folder = tmp_path / "run"
    vae_main.main([*flags, "--output_dir", str(folder)])
    elbos = [float(row["elbo"]) for row in rows_of(folder / "history.csv")]
    assert elbos[0] < elbos[1] < elbos[-1]
    report = read_json(folder / "report.json")
    x = data_of_run(folder).x_held_out
    untrained = evaluation.mean_elbo(VAE(10, 2, (16, 16)), x, seed=(0,))
    assert report["elbo_held_out"] > untrained + 1.0
    without_z = -np.log(np.sqrt(2 * np.pi * np.e) * x.std(axis=0)).sum()  # independent Gaussians
    assert report["elbo_held_out"] > without_z
    assert report["optimum_is"] == "exact"
    assert report["elbo_held_out"] < report["optimum"]
    assert report["active_units"] >= 1


def sweep(train, *flags, folder=None):
    beta = ["--beta", "4", "0.5"]
    flags = [*FEW_STEPS, "--lr_schedule", "constant", *flags]
    return train(beta_vae_main.main, *beta, *flags, folder=folder)


def test_a_sweep_makes_a_folder_for_each_beta_and_a_table(
    plain_steps, train, weights, capsys, tmp_path
):
    folder = sweep(train, folder=tmp_path / "sweep")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "warning: beta 0.5" in lines[0]
    assert {p.name for p in folder.iterdir() if p.is_dir()} == {"beta_4", "beta_0.5", "figures"}
    assert (folder / "figures" / "beta_sweep.png").stat().st_size > 0
    table = rows_of(folder / "sweep.csv")
    assert list(table[0]) == SWEEP_COLUMNS
    assert [float(row["beta"]) for row in table] == [0.5, 4.0]
    for row in table:
        run = folder / f"beta_{float(row['beta']):g}"
        assert {*PARAMETERS, "cost_function_beta_vae.dat"} < {p.name for p in run.iterdir()}
        assert read_json(run / "config.json")["beta"] == float(row["beta"])
        report = read_json(run / "report.json")
        for name, text in row.items():
            if report[name] is None:
                assert text == "nan"
            else:
                assert float(text) == report[name]
    assert {name for name, text in table[0].items() if text == "nan"} == {
        "cost_exact", "rate_exact", "distortion_exact", "active_units_exact"
    }  # fmt: skip
    assert "nan" not in table[1].values()
    single = train(beta_vae_main.main, "--beta", "4", *FEW_STEPS, "--lr_schedule", "constant")
    assert weights(single) == weights(folder / "beta_4")


def test_a_resumed_sweep_trains_what_is_missing_and_more_epochs(
    plain_steps, train, weights, history, monkeypatch, tmp_path
):
    folder = tmp_path / "sweep"
    once, epochs = beta_vae_main.train, []

    def second_fails(args, data, batches, beta, *rest):
        if beta == 0.5 and not epochs:
            raise RuntimeError("power cut")
        return once(args, data, batches, beta, *rest)

    monkeypatch.setattr(beta_vae_main, "train", second_fails)
    monkeypatch.setattr(beta_sweep, "draw", lambda *_: None)
    with pytest.raises(RuntimeError, match="power cut"):
        sweep(train, folder=folder)
    first = weights(folder / "beta_4")
    epochs.append(1)
    sweep(train, "--resume", folder=folder)
    assert weights(folder / "beta_4") == first
    assert len(rows_of(folder / "sweep.csv")) == 2
    sweep(train, "--n_epoch", "2", "--resume", folder=folder)
    assert [len(history(folder / name)) for name in ("beta_4", "beta_0.5")] == [2, 2]
    assert weights(folder / "beta_4") != first


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
        argv = [
            "--model_dir",
            str(folder),
            "--output",
            str(tmp_path / "x.npy"),
            "--n_samples",
            "50",
        ]
        vae_decoder_sample_generation.main([*argv, *flags])
        return np.load(tmp_path / "x.npy")

    first = samples("--seed", "3")
    np.testing.assert_array_equal(samples("--seed", "3"), first)
    assert not np.isin(samples("--seed", "4"), first).any()
    means = samples("--seed", "3", "--draw", "mean")
    assert (means.std(axis=0) < first.std(axis=0)).all()


def test_after_training_writes_both_kinds_of_data_and_the_active_units(copy_of, beta_run, capsys):
    folder = copy_of(beta_run)
    beta_vae_after_training.main(["--model_dir", str(folder), "--n_samples", "60"])
    assert np.loadtxt(folder / "deco_data.dat").shape == (60, 3)
    assert np.loadtxt(folder / "en_deco_data.dat").shape == (50, 3)
    shown = capsys.readouterr().out
    data = data_of_run(folder)
    x = np.concatenate([data.x_train, data.x_held_out])
    units = evaluation.latent_units(load_model(folder)[0], x)
    assert f"active units: {units.active.sum()} of 2" in shown
    for variance in units.variance_of_mean:
        assert f"{variance:.4f}" in shown
    pictures = {path.name for path in (folder / "figures").iterdir()}
    assert pictures >= {"latent_traversal.png", "generated_data.png"}


def test_after_training_encodes_a_given_file_into_a_given_folder(copy_of, beta_run, tmp_path):
    folder, out = copy_of(beta_run), tmp_path / "out"
    out.mkdir()
    x = 3.0 * np.random.default_rng(0).normal(size=(7, 3))
    np.savetxt(tmp_path / "mine.csv", x, delimiter=",")
    before = sorted(path.name for path in folder.iterdir())
    argv = ["--model_dir", folder, "--data_path", tmp_path / "mine.csv", "--output_dir", out]
    argv += ["--format", "npy", "--draw", "mean", "--n_samples", "20"]
    beta_vae_after_training.main([str(arg) for arg in argv])
    assert sorted(path.name for path in folder.iterdir()) == before
    assert np.load(out / "deco_data.npy").shape == (20, 3)
    reconstructed = np.load(out / "en_deco_data.npy")
    model, _ = load_model(folder)
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


@pytest.mark.parametrize(
    "flags",
    [
        "--training_data_size 2 --batch_size 1",
        "--training_data_size 3 --batch_size 3",  # too few for a covariance
        "--training_data_size 4",
        "--training_data_size 48 --batch_size 48",
        "--n_dim 4",
    ],
)
def test_odd_sizes_train_to_a_report(plain_steps, train, flags, recwarn):
    report = read_json(train(vae_main.main, *FEW_STEPS, *flags.split()) / "report.json")
    assert np.isfinite(report["elbo_held_out"])
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]


def test_data_of_one_dimension_train_and_generate(plain_steps, train, tmp_path):
    np.savetxt(tmp_path / "x.dat", np.random.default_rng(0).normal(size=50))
    flags = ["--data_path", str(tmp_path / "x.dat"), "--data_dim", "1", "--n_dim", "1"]
    folder = train(vae_main.main, *FEW_STEPS, *flags)
    x = data_of_run(folder).x_train
    optimum = -0.5 * np.log(2 * np.pi * np.var(x, ddof=1)) - 0.5
    assert read_json(folder / "report.json")["cost_exact"] == pytest.approx(-optimum, abs=1e-5)
    argv = ["--model_dir", str(folder), "--n_samples", "9", "--output", str(tmp_path / "y.dat")]
    vae_decoder_sample_generation.main(argv)
    assert np.loadtxt(tmp_path / "y.dat").shape == (9,)


def test_data_with_a_constant_column_train_to_a_report_without_a_reference(
    plain_steps, train, tmp_path, capsys
):
    x = np.random.default_rng(0).normal(size=(50, 3))
    x[:, 1] = 2.0
    np.savetxt(tmp_path / "x.dat", x)
    for main, flags in [(vae_main.main, []), (beta_vae_main.main, ["--beta", "1", "2"])]:
        folder = train(main, *FEW_STEPS, "--data_path", str(tmp_path / "x.dat"), *flags)
    report = read_json(folder / "beta_1" / "report.json")
    assert report["optimum"] is report["gap"] is report["cost_exact"] is None
    assert np.isfinite(report["elbo_held_out"])
    assert rows_of(folder / "sweep.csv")[0]["cost_exact"] == "nan"
    assert "no Gaussian reference" in capsys.readouterr().out


def test_a_script_that_is_stopped_leaves_by_its_own_status(ends):
    def stopped():
        raise run_files.Stopped("stopped in epoch 3", status=143)

    def interrupted():
        raise KeyboardInterrupt

    def full_disk():
        raise OSError(28, "No space left on device", "x.dat")

    assert ends(lambda _: stopped(), [])[0] == 143
    assert ends(lambda _: interrupted(), [])[0] == 130
    status, lines = ends(lambda _: full_disk(), [])
    assert status == 1
    assert len(lines) == 1
    assert "x.dat: No space left on device" in lines[0]
