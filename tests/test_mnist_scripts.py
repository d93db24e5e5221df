"""The two scripts on images, end to end, and what they refuse."""

import functools
import shutil

import matplotlib.image
import numpy as np
import pytest
import tensorflow as tf
from helpers import SAMPLE, change_config, contents, history, read_json, rows_of, weights

import mnist_vae_after_training
import mnist_vae_main
from analysis import evaluation, sampling
from data_processing import Chunk
from images import data as image_data
from images import look
from images import models as image_models
from images import report as image_report
from training import loop, saved_model
from training.settings import Settings

SMALL = ["--data_path", SAMPLE, "--n_width", "9", "7", "--n_epoch", "2", "--batch_size", "300"]
RUNS = {
    "bernoulli": "--n_dim 2 --activation tanh --objective iwae --n_samples 3 --output_bias mean",
    "gaussian": "--likelihood gaussian --n_dim 3 --batch_norm --beta 0.5 --warm_up 2 "
    "--lr_schedule constant",
    "squared_error": "--likelihood squared_error --n_dim 1 --n_samples 2 --keep best",
}
LOOKED_AT = {  # some of these, and the flags of the script that looks at them
    "bernoulli": "--n_importance 20",
    "gaussian": "--n_importance 200 --n_images 30 --gaps",
}


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A function: the folder of a small run of this likelihood, trained once."""

    @functools.cache
    def trained(likelihood):
        folder = tmp_path_factory.mktemp(likelihood) / "run"
        tf.config.run_functions_eagerly(likelihood != "bernoulli")  # one run is compiled
        mnist_vae_main.main([*SMALL, *RUNS[likelihood].split(), "--output_dir", str(folder)])
        tf.config.run_functions_eagerly(False)
        return folder

    return trained


@pytest.fixture(scope="module")
def looked_at(run_folder, tmp_path_factory):
    """A function: a copy of such a folder with the pictures and files of the other script."""

    @functools.cache
    def looked_at_copy(likelihood):
        folder = tmp_path_factory.mktemp("after") / "run"
        shutil.copytree(run_folder(likelihood), folder)
        flags = ["--model_dir", str(folder), *LOOKED_AT[likelihood].split()]
        mnist_vae_after_training.main(flags)
        return folder

    return looked_at_copy


def read_csv(path):
    return [{name: float(text) for name, text in row.items()} for row in rows_of(path)]


def load_model(folder):
    return saved_model.load_model(folder, image_models.make_model, ("mnist_vae",))


@pytest.mark.parametrize("likelihood", RUNS)
def test_a_run_leaves_its_files_and_its_elbo_rises(run_folder, likelihood):
    folder = run_folder(likelihood)
    epochs = read_csv(folder / "history.csv")
    assert epochs[1]["elbo"] > epochs[0]["elbo"]
    followed = "elbo_validation" if likelihood == "squared_error" else "elbo_held_out"
    assert epochs[1][followed] > epochs[0][followed]
    report = read_json(folder / "report.json")
    assert report["elbo_held_out"] == pytest.approx(report["log_px_z"] - report["rate"], abs=1e-3)
    assert report["cost_held_out"] == pytest.approx(
        report["beta"] * report["rate"] - report["log_px_z"], abs=1e-3
    )
    assert {"elbo_train", "mutual_information", "aggregate_kl", "seconds"} <= set(report)
    assert report["kept_epoch"] == 2
    assert report["verdict"][-1].startswith("Change first: ")
    assert report["active_units"] == sum(v > 0.01 for v in report["variance_of_mean"])
    np.testing.assert_array_equal(
        np.loadtxt(folder / "cost_function_vae.dat"), [[r["kl"], r["log_px_z"]] for r in epochs]
    )
    assert (folder / "checkpoint").is_dir() and (folder / "config.json").is_file()
    if likelihood == "bernoulli":  # at the logit of 0.001, where it began
        assert np.loadtxt(folder / "Decoder_b6.dat").min() < -6


@pytest.mark.parametrize("likelihood", RUNS)
def test_the_model_that_is_loaded_gives_the_report_of_the_one_that_was_trained(
    run_folder, likelihood
):
    folder = run_folder(likelihood)
    model, settings = load_model(folder)
    images = image_data.get_images(SAMPLE, settings.binarization, settings.seed)
    report = read_json(folder / "report.json")
    seed, beta = (settings.seed, "report", 2), settings.beta
    elbo = evaluation.evaluate(model, images.x_test, 16, seed, beta).elbo.mean()
    assert elbo == pytest.approx(report["elbo_held_out"], rel=1e-6)


def test_a_run_that_goes_on_after_one_epoch_ends_as_one_that_never_stopped(
    run_folder, tmp_path, uncompiled
):
    flags = [*SMALL, *RUNS["gaussian"].split(), "--output_dir", str(tmp_path / "run")]
    mnist_vae_main.main([*flags, "--n_epoch", "1"])
    mnist_vae_main.main([*flags, "--resume"])
    assert weights(tmp_path / "run") == weights(run_folder("gaussian"))
    assert history(tmp_path / "run") == history(run_folder("gaussian"))
    assert [row["beta"] for row in history(tmp_path / "run")] == ["0.25", "0.5"]


def test_batch_normalization_keeps_its_moving_statistics(run_folder):
    folder = run_folder("gaussian")
    model, _ = load_model(folder)
    layer = model.encoder.network.layers[1]
    saved = np.loadtxt(folder / "Encoder_moving_mean1.dat")
    np.testing.assert_array_equal(layer.moving_mean.numpy(), np.float32(saved))
    assert np.all(saved != 0)
    assert np.all(np.loadtxt(folder / "Decoder_gamma4.dat") != 1)
    # Two epochs are 10 steps: the moving mean has gone 1 - 0.99^10 = 10 % of its way.
    grey = image_data.get_images(SAMPLE, "none", 0).x_train
    first = model.encoder.network.layers[0](grey).numpy().mean(axis=0)
    assert np.corrcoef(first, saved)[0, 1] > 0.9
    rows = tf.constant(grey[:5])
    alone = model.encode(rows[:1])[0].numpy()
    np.testing.assert_allclose(model.encode(rows)[0][:1], alone, rtol=1e-4)
    assert not np.allclose(model.encode(rows, training=True)[0][:1], alone, rtol=1e-2)


def test_bytes_in_compiled_steps_train_like_floats_in_plain_ones():
    x = np.random.default_rng(0).integers(0, 2, (2, 4, 6), dtype=np.uint8)
    epsilon = np.random.default_rng(1).standard_normal((2, 3, 4, 2)).astype(np.float32)
    sizes = {"data_dim": 6, "n_dim": 2, "n_width": [5], "min_log_std": None, "seed": 0}
    settings = Settings(likelihood="bernoulli", activation="relu", batch_norm=True, **sizes)

    def step(model, optimizer, x, epsilon):
        beta = tf.constant(2.0)
        return mnist_vae_main.training_step(model, optimizer, x, epsilon, beta, warm_up_steps=5)

    terms = []
    for compiled in (True, False):
        model = image_models.make_model(settings)
        optimizer = loop.make_optimizer(model, "sgd", 0.1)
        if compiled:
            terms.append(loop.compile_steps(step, model, optimizer)(Chunk(x, epsilon, 2)))
        else:
            pairs = zip(np.float32(x), epsilon, strict=True)
            terms.append([step(model, optimizer, *pair) for pair in pairs])
    np.testing.assert_allclose(terms[0], terms[1], rtol=1e-4)


def test_the_first_step_of_a_warm_up_does_not_feel_the_kl(run_folder):
    gradients = []
    for beta, warm_up_steps in [(0.0, 0), (3.0, 7)]:
        model, _ = load_model(run_folder("gaussian"))
        optimizer = loop.make_optimizer(model, "sgd", 1.0)
        x, epsilon = np.ones((4, 784), np.float32), np.ones((1, 4, 3), np.float32)
        beta = tf.constant(beta)
        mnist_vae_main.training_step(model, optimizer, x, epsilon, beta, warm_up_steps)
        gradients.append([weight.numpy() for weight in model.trainable_variables])
    np.testing.assert_equal(gradients[0], gradients[1])


def test_interpolation_ends_at_the_reconstructions_of_its_two_images(run_folder):
    model, _ = load_model(run_folder("bernoulli"))
    x = image_data.get_images(SAMPLE, "static", 0).x_test
    images = look.interpolate(model, x[:4], x[4:8])
    for end, rows in [(0, x[:4]), (-1, x[4:8])]:
        mean, _ = model.encode(tf.constant(rows, tf.float32))
        np.testing.assert_allclose(images[:, end], model.decoder_mean(mean), atol=1e-6)
    assert images.shape == (4, look.STEPS, 784)
    assert not np.allclose(images[:, 5], images[:, 0], atol=1e-4)


def test_traversal_moves_one_unit_and_leaves_the_others(run_folder):
    model, _ = load_model(run_folder("gaussian"))
    z = np.float32([0.3, -0.8, 1.1])
    values = look.UNIT_VALUES
    images = sampling.traverse(model, z, [2, 0], values)
    expected = model.decoder_mean(tf.constant([[values[4], -0.8, 1.1]], tf.float32))
    np.testing.assert_allclose(images[1, 4], expected[0], atol=1e-6)


def test_the_plane_of_many_units_holds_most_of_their_variance():
    rng = np.random.default_rng(0)
    plane = rng.standard_normal((500, 2)) * [3.0, 2.0]
    mean = plane @ np.linalg.qr(rng.standard_normal((5, 2)))[0].T
    found, names = look.plane_of_means(mean, 0 * mean)
    np.testing.assert_allclose(
        np.cov(found.T), np.diag(np.linalg.eigvalsh(np.cov(plane.T))[::-1]), atol=1e-9
    )
    assert "component 1" in names[0]
    beside_log_std, _ = look.plane_of_means(mean[:, :1], 0 * mean[:, :1])
    assert beside_log_std.shape == (500, 2)


@pytest.mark.parametrize("likelihood", LOOKED_AT)
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
    report = read_json(folder / "log_likelihood.json")
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


def test_images_of_another_size_than_the_models_are_refused(refused, run_folder, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((60, 14, 14), np.uint8))
    flags = ["--data_path", "x.npy", "--model_dir", run_folder("bernoulli")]
    line = refused(mnist_vae_after_training.main, [*flags, "--output_dir", "new"])
    assert "x.npy: images of shape (14, 14); the model was trained on (28, 28)" in line


def test_an_interrupted_run_on_ones_own_images_is_looked_at_as_it_stands(
    refused, tmp_path, uncompiled
):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "mine.npy", rng.random((60, 6, 5)) ** 3)
    flags = "--n_width 7 --n_dim 3 --n_epoch 1 --batch_size 9 --keep best".split()
    mnist_vae_main.main([*flags, "--data_path", "mine.npy", "--output_dir", "run"])
    assert np.abs(np.loadtxt("run/Decoder_b6.dat")).max() < 0.1  # the logits began at zero
    for path in (tmp_path / "run").glob("*coder_*.dat"):
        path.unlink()
    flags = ["--model_dir", "run", "--n_importance", "3", "--output_dir", "new"]
    assert "--checkpoint" in refused(mnist_vae_after_training.main, flags)
    before = contents(tmp_path / "run")
    mnist_vae_after_training.main([*flags, "--checkpoint"])
    assert contents(tmp_path / "run") == before
    assert read_json(tmp_path / "new" / "log_likelihood.json")["images"] == 12
    assert list(read_csv(tmp_path / "new" / "latent_means.csv")[0]) == ["z1", "z2", "z3"]


def test_collapse_is_called_right_where_no_unit_pays_for_its_kl():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 3)) * [3.0, 2.0, 0.5]
    settings = Settings(likelihood="squared_error", n_dim=2)
    thresholds = image_report.beta_thresholds(x, settings)
    np.testing.assert_allclose(thresholds, 2 * np.linalg.eigvalsh(np.cov(x.T))[1:])
    of_one_pixel = image_report.beta_thresholds(x[:, :1], settings)
    np.testing.assert_allclose(of_one_pixel, [2 * x[:, 0].var(ddof=1)])
    assert image_report.beta_thresholds(x[:1], settings) is None
    report = {"active_units": 0, "beta": 1.01 * thresholds[1], "beta_thresholds": thresholds}
    sentence, change = image_report.of_collapse(report)
    assert sentence.startswith("Collapse is right here") and change is None
    report["beta"] = 0.99 * thresholds[1]
    sentence, change = image_report.of_collapse(report)
    assert sentence.startswith("Collapsed") and change == "more epochs"
    report["beta_thresholds"] = image_report.beta_thresholds(x, Settings(likelihood="bernoulli"))
    assert "is not known" in image_report.of_collapse(report)[0]
    assert image_report.of_collapse({"active_units": 1}) == (None, None)


def test_the_gaps_of_images_are_those_of_a_trained_encoder(looked_at):
    score = read_json(looked_at("gaussian") / "log_likelihood.json")
    assert score["gap_rows"] == 30
    assert score["gap_amortization"] > 0
    assert score["gap_family"] > -3 * score["gap_family_se"]
    assert score["effective_samples_of_best_q"] > score["effective_samples_of_encoder"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--batch_size", "1501"], "--batch_size 1501"),
        (["--likelihood", "poisson"], "--likelihood"),
        (["--adam_epsilon", "inf"], "--adam_epsilon"),
        (["--objective", "iwae", "--beta", "2"], "--objective: iwae"),
    ],
)
def test_bad_flags_are_refused_and_nothing_is_written(refused, flags, words):
    assert words in refused(mnist_vae_main.main, ["--data_path", SAMPLE, *flags])


def test_a_run_that_does_not_know_its_image_shape_is_refused(refused, run_folder, tmp_path):
    shutil.copytree(run_folder("bernoulli"), tmp_path / "run")
    change_config(tmp_path / "run", image_shape=...)
    line = refused(mnist_vae_after_training.main, ["--model_dir", "run"])
    assert "config.json: damaged (image_shape is missing)" in line
