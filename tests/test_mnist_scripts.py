import csv
import json
import shutil
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import tensorflow as tf

import data_processing
import evaluation
import image_data
import image_models
import mnist_vae_after_training
import mnist_vae_main
import training

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = str(ROOT / "data" / "mnist_sample.npz")
SMALL = ["--data_path", SAMPLE, "--n_width", "9", "7", "--n_epoch", "2", "--batch_size", "60"]
RUNS = {
    "bernoulli": ["--n_dim", "2", "--activation", "tanh"],
    "gaussian": ["--likelihood", "gaussian", "--n_dim", "3", "--batch_norm", "--beta", "0.5"],
    "squared_error": ["--likelihood", "squared_error", "--n_dim", "1", "--n_samples", "2"],
}


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A function: the folder of a small run of this likelihood, trained once."""
    folders = {}

    def folder_of(likelihood):
        if likelihood not in folders:
            folders[likelihood] = tmp_path_factory.mktemp(likelihood) / "run"
            flags = [*SMALL, *RUNS[likelihood], "--output_dir", str(folders[likelihood])]
            mnist_vae_main.main(flags)
        return folders[likelihood]

    return folder_of


@pytest.fixture(scope="module")
def looked_at(run_folder, tmp_path_factory):
    """A function: a copy of such a folder with the pictures and files of the other script."""
    folders = {}

    def folder_of(likelihood):
        if likelihood not in folders:
            folders[likelihood] = tmp_path_factory.mktemp("after") / "run"
            shutil.copytree(run_folder(likelihood), folders[likelihood])
            flags = ["--model_dir", str(folders[likelihood]), "--n_importance", "20"]
            mnist_vae_after_training.main(flags)
        return folders[likelihood]

    return folder_of


def read_csv(path):
    with open(path, newline="") as file:
        return [{name: float(v) for name, v in row.items()} for row in csv.DictReader(file)]


def preset(name, *more):
    return mnist_vae_main.parse_arguments([f"@{ROOT / 'presets' / name}.args", *more])


@pytest.mark.parametrize("likelihood", RUNS)
def test_a_run_leaves_its_files_and_its_elbo_rises(run_folder, likelihood):
    folder = run_folder(likelihood)
    history = read_csv(folder / "history.csv")
    assert history[1]["elbo"] > history[0]["elbo"]
    assert history[1]["elbo_held_out"] > history[0]["elbo_held_out"]
    report = json.loads((folder / "report.json").read_text())
    assert report["elbo_held_out"] == pytest.approx(report["log_px_z"] - report["rate"], abs=1e-3)
    assert report["cost_held_out"] == pytest.approx(
        report["beta"] * report["rate"] - report["log_px_z"], abs=1e-3
    )
    assert {"elbo_train", "active_units", "seconds"} <= set(report)
    assert report["active_units"] == sum(v > 0.01 for v in report["variance_of_mean"])
    np.testing.assert_array_equal(
        np.loadtxt(folder / "cost_function_vae.dat"), [[r["kl"], r["log_px_z"]] for r in history]
    )
    assert (folder / "checkpoint").is_dir() and (folder / "config.json").is_file()


@pytest.mark.parametrize("likelihood", RUNS)
def test_the_model_that_is_loaded_gives_the_report_of_the_one_that_was_trained(
    run_folder, likelihood
):
    folder = run_folder(likelihood)
    model, settings = image_models.load_model(folder)
    images = image_data.get_images(SAMPLE, settings["binarization"], settings["seed"])
    report = json.loads((folder / "report.json").read_text())
    elbo = evaluation.evaluate(model, images.x_test, 16, (settings["seed"], 2)).elbo.mean()
    assert elbo == pytest.approx(report["elbo_held_out"], rel=1e-6)


@pytest.mark.parametrize("kind", ["bernoulli", "gaussian"])  # the second with batch normalisation
def test_a_run_that_goes_on_after_one_epoch_ends_as_one_that_never_stopped(
    run_folder, tmp_path, kind
):
    flags = [*SMALL, *RUNS[kind], "--output_dir", str(tmp_path / "run")]
    mnist_vae_main.main([*flags, "--n_epoch", "1"])
    mnist_vae_main.main([*flags, "--resume"])
    for path in run_folder(kind).glob("*.dat"):
        assert path.read_bytes() == (tmp_path / "run" / path.name).read_bytes()


def test_batch_normalisation_keeps_its_moving_statistics(run_folder):
    folder = run_folder("gaussian")
    model, _ = image_models.load_model(folder)
    layer = model.encoder.network.layers[1]
    saved = np.loadtxt(folder / "Encoder_moving_mean1.dat")
    np.testing.assert_array_equal(layer.moving_mean.numpy(), np.float32(saved))
    assert np.all(saved != 0)
    assert np.all(np.loadtxt(folder / "Decoder_gamma4.dat") != 1)
    # Two epochs are 50 steps: the moving mean has gone 1 - 0.99^50 = 39 % of its way.
    grey = image_data.get_images(SAMPLE, "none", 0).x_train
    first = model.encoder.network.layers[0](grey).numpy().mean(axis=0)
    assert np.corrcoef(first, saved)[0, 1] > 0.9
    rows = tf.constant(grey[:5])
    alone = model.encode(rows[:1])[0].numpy()
    np.testing.assert_allclose(model.encode(rows)[0][:1], alone, rtol=1e-4)
    assert not np.allclose(model.encode(rows, training=True)[0][:1], alone, rtol=1e-2)


def test_bytes_and_floats_train_alike_in_xla_and_outside(tmp_path):
    x = np.random.default_rng(0).integers(0, 2, (2, 4, 6), dtype=np.uint8)
    epsilon = np.random.default_rng(1).standard_normal((2, 3, 4, 2)).astype(np.float32)
    settings = {"data_dim": 6, "n_dim": 2, "n_width": [5], "likelihood": "bernoulli", "seed": 0}
    terms = []
    for images, jit_compile in [(x, True), (np.float32(x), False)]:
        model = image_models.make_model({**settings, "activation": "relu", "batch_norm": True})
        optimizer = training.make_optimizer("adam", 0.1, "constant", 2, model)

        def step(model, optimizer, x, epsilon):
            return mnist_vae_main.training_step(model, optimizer, x, epsilon, tf.constant(2.0))

        run_steps = training.compile_steps(step, model, optimizer, jit_compile)
        terms.append(run_steps(images, epsilon, 2))
    np.testing.assert_allclose(terms[0], terms[1], rtol=1e-4)


def grey_ramp(rows):
    """Images (rows, 256): pixel j is grey value j, and the last pixel numbers the image."""
    x = np.tile(np.arange(256, dtype=np.uint8), (rows, 1))
    x[:, -1] = np.where(np.arange(rows) < 5, 255, 0)
    return x


def epoch_images(batches, epoch):
    return np.concatenate([x[:n].reshape(-1, x.shape[-1]) for x, _, n in batches.chunks(epoch)])


def test_dynamic_binarisation_draws_each_pixel_anew_with_its_grey_value_as_probability():
    batches = image_data.BinarizedBatches(grey_ramp(2003), 10, n_dim=2, seed=1)
    epochs = [epoch_images(batches, epoch) for epoch in (1, 2)]
    assert all(x.shape == (2003, 256) and set(np.unique(x)) == {0, 1} for x in epochs)
    assert all(x[:, -1].sum() == 5 for x in epochs)  # every row once, white stays white
    probability = np.arange(255) / 255
    for x in epochs:
        bound = 5 * np.sqrt(probability * (1 - probability) / 2003)
        assert np.all(np.abs(x[:, :-1].mean(axis=0) - probability) <= bound)
    assert np.mean(epochs[0] != epochs[1]) == pytest.approx(1 / 3, abs=0.01)  # 2 p (1 - p)


def test_dynamic_binarisation_is_drawn_again_alike_by_the_same_seed_alone():
    def images(seed):
        return epoch_images(image_data.BinarizedBatches(grey_ramp(30), 7, 2, seed), 3)

    np.testing.assert_array_equal(images(1), images(1))
    assert not np.array_equal(images(1), images(2))


def test_static_binarisation_is_drawn_once_and_grey_values_stay_grey():
    raw = image_data.load_images(SAMPLE)
    static = image_data.get_images(SAMPLE, "static", 4)
    np.testing.assert_array_equal(static.x_train, image_data.get_images(SAMPLE, "static", 4)[0])
    assert not np.array_equal(static.x_train, image_data.get_images(SAMPLE, "static", 5)[0])
    assert static.x_train.mean() == pytest.approx(raw.x_train.mean() / 255, abs=2e-3)
    batches = data_processing.Batches(static.x_train, 100, 2, 0)
    rows = [np.sort(epoch_images(batches, epoch) @ np.arange(784)) for epoch in (1, 2)]
    np.testing.assert_array_equal(*rows)
    grey = image_data.get_images(SAMPLE, "none", 4)
    assert grey.x_train.dtype == np.float32
    np.testing.assert_array_equal(np.round(255 * grey.x_test), raw.x_test)


@pytest.mark.parametrize("binarization", ["dynamic", "static"])
def test_the_test_images_are_binarised_once(binarization):
    one, two = (image_data.get_images(SAMPLE, binarization, 4).x_test for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert set(np.unique(one)) == {0, 1}


def test_batches_hold_several_draws_of_noise_for_each_row():
    batches = data_processing.Batches(np.zeros((11, 3), np.float32), 4, 2, seed=0, n_samples=5)
    shapes = [(x.shape, epsilon.shape, n) for x, epsilon, n in batches.chunks(1)]
    assert shapes == [((2, 4, 3), (2, 5, 4, 2), 2), ((1, 3, 3), (1, 5, 3, 2), 1)]
    values = np.concatenate([epsilon.ravel() for _, epsilon, _ in batches.chunks(1)])
    assert len(np.unique(values)) == 11 * 5 * 2


def rates_by_epoch(args, epochs, steps=7):
    rate = training.learning_rate_by_epoch(
        args.lr, args.lr_schedule, steps, args.lr_factor, args.lr_every
    )
    first, last = ([float(rate(e * steps + k)) for e in epochs] for k in (0, steps - 1))
    assert first == last
    return first


def test_the_homework_preset_takes_the_rate_times_075_every_200_epochs():
    args = preset("mnist_homework")
    assert (args.n_dim, args.n_width, args.n_samples) == (40, [500, 500], 10)
    assert (args.batch_size, args.batch_norm, args.binarization) == (100, True, "dynamic")
    epochs = [0, 199, 200, 399, 400, 999]
    expected = [0.001 * 0.75 ** (epoch // 200) for epoch in epochs]
    assert rates_by_epoch(args, epochs) == pytest.approx(expected)


def test_the_burda_preset_has_the_schedule_of_the_paper():
    args = preset("mnist_burda2015")
    assert (args.n_dim, args.n_width, args.activation) == (50, [200, 200], "tanh")
    assert (args.batch_size, args.adam_epsilon, args.n_samples) == (20, 1e-4, 1)
    expected = [0.001 * 10 ** (-i / 7) for i in range(8) for _ in range(3**i)]
    assert len(expected) == args.n_epoch == 3280
    epochs = [0, 1, 3, 4, 12, 13, 39, 40, 120, 121, 363, 364, 1092, 1093, 3279]
    assert rates_by_epoch(args, epochs) == pytest.approx([expected[epoch] for epoch in epochs])


def test_the_other_presets_say_what_their_names_say():
    assert preset("mnist_2d").n_dim == 2
    assert preset("mnist_report").n_epoch == 30
    names = {preset(path.stem).output_dir for path in (ROOT / "presets").glob("mnist_*.args")}
    assert len(names) == 4


def test_widths_are_one_for_all_layers_or_one_for_each():
    def widths(*flags):
        return mnist_vae_main.parse_arguments(flags).n_width

    assert widths() == [500, 500]
    assert widths("--n_width", "30") == [30, 30]
    assert widths("--n_width", "30", "--n_layers", "1") == [30]
    assert widths("--n_width", "30", "20", "10") == [30, 20, 10]


def test_interpolation_ends_at_the_reconstructions_of_its_two_images(run_folder):
    model, _ = image_models.load_model(run_folder("bernoulli"))
    x = image_data.get_images(SAMPLE, "static", 0).x_test
    images = mnist_vae_after_training.interpolate(model, x[:4], x[4:8])
    for end, rows in [(0, x[:4]), (-1, x[4:8])]:
        mean, _ = model.encode(tf.constant(rows, tf.float32))
        np.testing.assert_allclose(images[:, end], model.decoder_mean(mean), atol=1e-6)
    assert images.shape == (4, mnist_vae_after_training.STEPS, 784)
    assert not np.allclose(images[:, 5], images[:, 0], atol=1e-4)


def test_traversal_moves_one_unit_and_leaves_the_others(run_folder):
    model, _ = image_models.load_model(run_folder("gaussian"))
    z = np.float32([0.3, -0.8, 1.1])
    images = mnist_vae_after_training.traverse(model, z, [2, 0])
    values = mnist_vae_after_training.UNIT_VALUES
    expected = model.decoder_mean(tf.constant([[values[4], -0.8, 1.1]], tf.float32))
    np.testing.assert_allclose(images[1, 4], expected[0], atol=1e-6)


def test_the_plane_of_many_units_holds_most_of_their_variance():
    rng = np.random.default_rng(0)
    plane = rng.standard_normal((500, 2)) * [3.0, 2.0]
    mean = plane @ np.linalg.qr(rng.standard_normal((5, 2)))[0].T
    found, names = mnist_vae_after_training.plane_of_means(mean, 0 * mean)
    np.testing.assert_allclose(
        np.cov(found.T), np.diag(np.linalg.eigvalsh(np.cov(plane.T))[::-1]), atol=1e-9
    )
    assert "component 1" in names[0]


@pytest.mark.parametrize("likelihood", RUNS)
def test_every_picture_is_written_and_not_blank(looked_at, likelihood):
    folder = looked_at(likelihood)
    names = {
        *("elbo_per_epoch", "generated_means", "generated_samples", "generated_uniform_z"),
        *("reconstructions", "interpolation", "latent_space", "traversal"),
    }
    if likelihood == "bernoulli":
        names.add("manifold")
    assert {path.stem for path in (folder / "figures").glob("*.png")} == names
    for path in (folder / "figures").glob("*.png"):
        assert matplotlib.image.imread(path)[..., :3].std() > 0.05, path.name


def test_the_files_beside_the_pictures_hold_their_numbers(looked_at):
    folder = looked_at("bernoulli")
    rows = read_csv(folder / "log_likelihood.csv")
    report = json.loads((folder / "log_likelihood.json").read_text())
    log_px = np.array([row["log_px"] for row in rows])
    assert len(rows) == report["images"] == 500
    assert report["log_px"] == pytest.approx(log_px.mean(), rel=1e-6)
    assert report["log_px_se"] == pytest.approx(log_px.std(ddof=1) / np.sqrt(500), rel=1e-5)
    assert report["log_px"] > report["elbo"]
    images = np.load(folder / "images.npz")
    assert images["generated_means"].shape == (25, 28, 28)
    assert set(np.unique(images["generated_samples"])) == {0, 1}
    assert len(read_csv(folder / "latent_means.csv")) == 500
    units = read_csv(folder / "active_units.csv")
    assert sum(row["active"] for row in units) == report["active_units"]


def test_another_set_of_images_can_be_scored(run_folder, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run_folder("bernoulli"), folder)
    with np.load(SAMPLE) as arrays:
        smaller = {name: array[:40] for name, array in arrays.items()}
    np.savez(tmp_path / "few.npz", **smaller)
    flags = ["--model_dir", str(folder), "--data_path", str(tmp_path / "few.npz")]
    mnist_vae_after_training.main([*flags, "--n_importance", "3"])
    assert json.loads((folder / "log_likelihood.json").read_text())["images"] == 40


def test_grey_values_under_a_bernoulli_are_not_called_a_log_likelihood(tmp_path, capsys):
    flags = [*SMALL, "--n_epoch", "1", "--n_dim", "2", "--binarization", "none"]
    mnist_vae_main.main([*flags, "--output_dir", str(tmp_path / "run")])
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["elbo_is"].startswith("not a bound on a log-likelihood")
    assert report["elbo_is"] in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--data_path", "nowhere.npz"], "nowhere.npz"),
        (["--batch_size", "1501"], "--batch_size 1501"),
        (["--n_width", "5", "6", "--n_layers", "3"], "--n_width"),
        (["--likelihood", "poisson"], "--likelihood"),
        (["--lr", "-1"], "--lr"),
        (["--min_log_std", "nan"], "--min_log_std"),
        (["--lr_factor", "0"], "--lr_factor"),
        (["--adam_epsilon", "inf"], "--adam_epsilon"),
    ],
)
def test_bad_flags_are_refused_and_nothing_is_written(refused, flags, words):
    assert words in refused(mnist_vae_main.main, ["--data_path", SAMPLE, *flags])


def test_without_network_and_file_one_line_says_what_to_get(refused, monkeypatch):
    def no_network(*args, **kwargs):
        raise OSError("URL fetch failure")

    monkeypatch.setattr("keras.datasets.mnist.load_data", no_network)
    line = refused(mnist_vae_main.main, [])
    assert "mnist.npz" in line and ".keras" in line and "--data_path" in line


def test_a_folder_with_results_is_refused(refused, run_folder, tmp_path):
    shutil.copytree(run_folder("bernoulli"), tmp_path / "run")
    flags = [*SMALL, *RUNS["bernoulli"], "--output_dir", "run"]
    assert "holds results already" in refused(mnist_vae_main.main, flags)
    assert "--n_dim" in refused(mnist_vae_main.main, [*flags, "--resume", "--n_dim", "5"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (None, "config.json: no such file"),
        ({"model": "vae"}, "not of a run of mnist_vae_main.py"),
        ({"n_width": "wide"}, "damaged"),
        ({"likelihood": "poisson"}, "damaged"),
        ({"binarization": None}, "damaged"),
        ({"n_dim": -2}, "n_dim"),
        ({"n_dim": 5}, "Encoder_W3.dat"),
    ],
)
def test_a_folder_without_a_sound_run_is_refused(refused, run_folder, tmp_path, change, words):
    folder = tmp_path / "run"
    shutil.copytree(run_folder("bernoulli"), folder)
    config = folder / "config.json"
    settings = json.loads(config.read_text())
    config.unlink()
    if change is not None:
        config.write_text(json.dumps({**settings, **change}))
    assert words in refused(mnist_vae_after_training.main, ["--model_dir", "run"])


def test_images_of_another_size_than_the_models_are_refused(refused, run_folder, tmp_path):
    shutil.copytree(run_folder("bernoulli"), tmp_path / "run")
    x, y = np.zeros((3, 14, 14), np.uint8), np.zeros(3, np.uint8)
    np.savez(tmp_path / "small.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    flags = ["--model_dir", "run", "--data_path", "small.npz"]
    assert "small.npz: images of shape" in refused(mnist_vae_after_training.main, flags)
