"""The compiled loop, a run and its folder: history, divergence, resume, checkpoints, best epoch."""

import errno
import re
import signal
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import contents, history, read_json, rows_of, weights

import beta_vae_main
import vae_main
from data_processing import Batches, Chunk
from training import checkpoints, loop, run_folder
from training import run as run_module
from training.errors import InputError, Stopped
from training.run import training_run
from training.settings import Settings
from vae_models import VAE


def settings_of_a_run(folder):
    flags = {"n_epoch": 2, "resume": False, "tensorboard": False, "keep": "last"}
    return Settings(output_dir=str(folder), model="vae", **flags)


@pytest.fixture
def batches():
    x = np.random.default_rng(0).normal(size=(23, 3)).astype(np.float32)
    return Batches(x, 4, 2, seed=0)  # five batches of 4 and one of 3


def model_and_optimizer():
    model = VAE(3, 2, (5, 5), seed=1)
    rate = loop.learning_rate(0.05, "cosine", 60)
    return model, loop.make_optimizer(model, "adam", rate)


@pytest.fixture
def run(tmp_path):
    """A Run in the folder tmp_path; no step of it needs compiled code."""
    with training_run(settings_of_a_run(tmp_path), *model_and_optimizer()) as run:
        yield run


def add(run, terms, batch_size=4):
    """Give the run the terms of a chunk of steps."""
    x = np.zeros((len(terms), batch_size, 3))
    run.add(Chunk(x, epsilon=None, n_steps=len(terms)), np.float32(terms))


def test_the_compiled_loop_equals_a_plain_loop_over_the_same_batches(batches):
    model, optimizer = model_and_optimizer()
    plain_model, plain_optimizer = model_and_optimizer()
    iterate = loop.compile_steps(vae_main.training_step, model, optimizer)
    n_rows = []
    for epoch in (1, 2):
        for x, epsilon, n_steps in batches.chunks(epoch):
            padded = [np.concatenate([a, np.full_like(a[:2], np.nan)]) for a in (x, epsilon)]
            terms = iterate(Chunk(*padded, n_steps))
            expected = [
                vae_main.training_step(plain_model, plain_optimizer, *pair)
                for pair in zip(x[:n_steps], epsilon[:n_steps], strict=True)
            ]
            assert terms.shape == (n_steps, 2)
            np.testing.assert_allclose(terms, expected, rtol=1e-4, atol=1e-6)
            n_rows += n_steps * [x.shape[1]]
    assert n_rows == 2 * [4, 4, 4, 4, 4, 3]
    for weight, plain in zip(model.weights, plain_model.weights, strict=True):
        np.testing.assert_allclose(weight, plain, rtol=1e-3, atol=2e-5)
    start = model_and_optimizer()[0].weights
    assert any(np.abs(w - s).max() > 0.01 for w, s in zip(model.weights, start, strict=True))


def test_beta_one_takes_the_steps_of_the_vae_to_the_bit_in_compiled_code(batches):
    of_beta_vae = partial(beta_vae_main.training_step, beta=tf.constant(1.0))
    chunk, _ = batches.chunks(epoch=1)
    found = []
    for step in (vae_main.training_step, of_beta_vae):
        model = VAE(3, 2, (5, 5), seed=1)
        iterate = loop.compile_steps(step, model, loop.make_optimizer(model, "sgd", 0.05))
        found.append([iterate(chunk), *model.get_weights()])
    np.testing.assert_equal(*found)


def test_a_training_step_lowers_minus_the_elbo_along_its_gradient():
    model = VAE(3, 2, (5, 5), seed=1)
    optimizer = loop.make_optimizer(model, "sgd", 0.01)
    x, epsilon = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    epsilon = epsilon[:, :2]
    before = model.get_weights()
    with tf.GradientTape() as tape:
        kl, log_px_z = model.elbo_terms(x, epsilon)
        cost = tf.reduce_mean(kl) - tf.reduce_mean(log_px_z)
    gradients = tape.gradient(cost, model.trainable_variables)
    terms = vae_main.training_step(model, optimizer, x, epsilon)
    np.testing.assert_allclose(terms, [np.mean(kl), np.mean(log_px_z)], rtol=1e-6)
    for old, gradient, weight in zip(before, gradients, model.trainable_variables, strict=True):
        np.testing.assert_allclose(weight, old - 0.01 * gradient, rtol=1e-4, atol=1e-8)


def test_learning_rates_stay_or_rise_and_fall_to_zero_as_half_a_cosine():
    model = VAE(3, 2, (5, 5))
    constant = loop.make_optimizer(model, "adam", loop.learning_rate(0.3, "constant", 10))
    assert isinstance(constant, keras.optimizers.Adam)
    np.testing.assert_allclose(constant.learning_rate, 0.3)
    cosine = loop.make_optimizer(model, "sgd", loop.learning_rate(0.3, "cosine", 40))
    assert isinstance(cosine, keras.optimizers.SGD)
    for step in range(41):
        cosine.iterations.assign(step)
        falling = 0.15 * (1 + np.cos(np.pi * (step - 8) / 32))
        expected = 0.0375 * step if step < 8 else falling
        np.testing.assert_allclose(cosine.learning_rate, expected, atol=1e-7)


@pytest.mark.parametrize(("rise", "n_steps"), [(0.0, 7), (0.1, 7)])
def test_a_rate_that_rises_in_no_step_starts_at_its_height(rise, n_steps):
    rate = loop.learning_rate(0.3, "cosine", n_steps, rise)
    for step in range(n_steps + 1):
        np.testing.assert_allclose(rate(step), 0.15 * (1 + np.cos(np.pi * step / 7)), atol=1e-7)


def test_epoch_means_are_weighted_by_rows(run):
    add(run, [[1.0, -2.0], [3.0, -6.0]])
    add(run, [[9.0, -1.0]], batch_size=2)
    run.end_epoch(-5.5)
    row = run.history[0]
    assert row["kl"] == (4 * 1 + 4 * 3 + 2 * 9) / 10
    assert row["log_px_z"] == -(4 * 2 + 4 * 6 + 2 * 1) / 10
    assert row["elbo"] == row["log_px_z"] - row["kl"]
    assert row["elbo_held_out"] == -5.5
    assert row["epoch"] == 1
    add(run, [[5.0, -7.0]])
    run.end_epoch(-5.0)
    assert run.history[1]["kl"] == 5.0
    assert list(run.epochs()) == []


def test_a_term_that_is_not_finite_ends_the_run_with_epoch_step_and_term(run, tmp_path):
    add(run, np.ones((3, 2)))
    start = run.model.encoder.weights[0].numpy()
    run.model.encoder.weights[0].assign(np.full((3, 5), np.inf))
    with pytest.raises(Stopped, match=r"epoch 1, step 5: log p\(x\|z\) is not finite") as stopped:
        add(run, [[1.0, -2.0], [1.0, np.nan], [np.nan, 1.0]])
    assert stopped.value.status == 1
    np.testing.assert_array_equal(np.loadtxt(tmp_path / "Encoder_W1.dat", np.float32), start)


def test_weights_that_are_not_finite_are_not_saved(run, tmp_path):
    run.model.decoder.weights[3].assign(np.full(5, np.nan))
    with pytest.raises(Stopped, match="a weight is not finite"):
        run.save()
    assert np.isfinite(np.loadtxt(tmp_path / "Decoder_b5.dat")).all()
    assert np.isfinite(run.model.decoder.weights[3]).all()


def test_a_diverging_run_keeps_finite_weights_and_its_settings(train, ends, tmp_path):
    flags = "--optimizer sgd --lr 1e6 --no-standardize".split()
    status, lines = ends(lambda argv: train(vae_main.main, *argv, folder=tmp_path), flags)
    assert (status, len(lines)) == (1, 1)
    assert re.search(r"diverged in epoch 1, step \d+: (KL|log p\(x\|z\)) is not finite", lines[0])
    for advice in ("--lr", "--clip_norm", "--min_log_std", "--standardize"):
        assert advice in lines[0]
    files = [tmp_path / name for name in weights(tmp_path)]
    assert len(files) == 12
    assert all(np.isfinite(np.loadtxt(file)).all() for file in files)
    assert (tmp_path / "config.json").exists()
    assert not (tmp_path / "report.json").exists()


def test_interrupted_runs_end_in_the_same_bits(
    vae_run, train, without_report, tmp_path, monkeypatch
):
    """A signal within an epoch, then a crash, then a damaged checkpoint."""
    monkeypatch.setattr(run_module, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    monkeypatch.setattr(run_module, "SECONDS_BETWEEN_EPOCH_CHECKPOINTS", 0.0)
    plain_add, calls = run_module.Run.add, []

    def interrupted_add(run, chunk, terms):
        calls.append(run.state.epoch)
        if len(calls) == 3:  # the first of two chunks of epoch 2
            signal.raise_signal(signal.SIGTERM)
        if len(calls) == 5:  # epoch 3
            raise RuntimeError("power cut")
        plain_add(run, chunk, terms)

    monkeypatch.setattr(run_module.Run, "add", interrupted_add)
    handler = signal.getsignal(signal.SIGTERM)
    folder = tmp_path / "interrupted"
    with pytest.raises(Stopped, match="epoch 2.*--resume") as stopped:
        train(vae_main.main, folder=folder)
    assert stopped.value.status == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is handler
    with pytest.raises(RuntimeError, match="power cut"):
        train(vae_main.main, "--resume", folder=folder)
    assert calls == [1, 1, 2, 2, 3]
    newest = checkpoints.paths(folder)[-1]
    newest.write_bytes(newest.read_bytes()[:-1000])
    train(vae_main.main, "--resume", folder=folder)
    assert calls[5:] == [3, 3]  # from the end of the last chunk of epoch 2
    assert weights(folder) == weights(vae_run)
    assert history(folder) == history(vae_run)


def test_a_signal_after_the_last_step_is_not_lost(tmp_path):
    outer = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    try:
        with (
            pytest.raises(KeyboardInterrupt),
            training_run(settings_of_a_run(tmp_path), *model_and_optimizer()),
        ):
            signal.raise_signal(signal.SIGINT)
            (tmp_path / "last").touch()  # the block ends first
    finally:
        signal.signal(signal.SIGINT, outer)
    assert (tmp_path / "last").exists()


def test_a_run_whose_first_checkpoint_fails_leaves_signals_to_their_handlers(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints, "save", fail)
    handler = signal.getsignal(signal.SIGINT)
    run = training_run(settings_of_a_run(tmp_path), *model_and_optimizer())
    with pytest.raises(Stopped, match="No space left"), run:
        pass
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_resumed_run_with_other_settings_is_refused(vae_run, train):
    before = contents(vae_run)
    for flags in (["--seed", "8"], ["--n_width", "6"], ["--n_epoch", "2"]):
        with pytest.raises(InputError, match=rf"{flags[0]} .*now \[?{flags[1]}"):
            train(vae_main.main, *flags, "--resume", folder=vae_run)
    with pytest.raises(InputError, match="--n_epoch 4.*cosine"):
        train(vae_main.main, "--n_epoch", "4", "--resume", folder=vae_run)
    assert contents(vae_run) == before


def test_a_finished_run_has_nothing_to_resume(vae_run, train):
    before = contents(vae_run)
    with pytest.raises(Stopped, match="finished") as stopped:
        train(vae_main.main, "--resume", folder=vae_run)
    assert stopped.value.status == 0
    assert contents(vae_run) == before


@pytest.mark.parametrize(
    ("batch_size", "distribute", "expected"),
    [(138, None, [1]), (140, None, []), (5, "mirrored", [])],
)
def test_a_run_of_small_steps_on_one_device_takes_one_thread(
    monkeypatch, batch_size, distribute, expected
):
    """10-128-128-2 in the encoder: 17 920 weights, as many in the decoder: 139.5 rows are 5e6."""
    asked_for = []
    monkeypatch.setattr(tf.config.threading, "set_intra_op_parallelism_threads", asked_for.append)
    sizes = {"data_dim": 10, "n_width": [128], "n_dim": 2}
    loop.choose_threads(Settings(batch_size=batch_size, distribute=distribute, **sizes))
    assert asked_for == expected


BEST = (  # a large rate without decay memorizes the 38 rows within a few epochs
    "--n_width 16 --batch_size 19 --n_epoch 12 --lr 0.2 --lr_schedule constant "
    "--weight_decay 0 --keep best"
).split()


@pytest.fixture(scope="module")
def best(train):
    """The folder of a run that keeps an earlier epoch than its last."""
    return train(vae_main.main, *BEST)


def test_the_epoch_of_the_highest_validation_elbo_is_kept(best, vae_run, train, without_report):
    elbos = [float(row["elbo_validation"]) for row in rows_of(best / "history.csv")]
    report = read_json(best / "report.json")
    kept = report["kept_epoch"]
    assert kept == 1 + int(np.argmax(elbos))
    assert kept < 12
    assert report["rows_held_out"] == 6  # the other half of the 12 rows that did not train
    shorter = train(vae_main.main, *BEST, "--n_epoch", str(kept))
    assert weights(shorter) == weights(best)
    assert read_json(vae_run / "report.json")["kept_epoch"] == 3  # the last: --keep last


def test_the_best_weights_survive_a_crash_after_their_epoch(
    best, train, without_report, tmp_path, monkeypatch
):
    kept = read_json(best / "report.json")["kept_epoch"]
    monkeypatch.setattr(run_module, "SECONDS_BETWEEN_EPOCH_CHECKPOINTS", 0.0)
    end_epoch = run_module.Run.end_epoch

    def crash_two_epochs_later(run, elbo):
        if run.state.epoch == kept + 2:
            raise RuntimeError("power cut")
        end_epoch(run, elbo)

    with monkeypatch.context() as patch:
        patch.setattr(run_module.Run, "end_epoch", crash_two_epochs_later)
        with pytest.raises(RuntimeError, match="power cut"):
            train(vae_main.main, *BEST, folder=tmp_path / "cut")
    cut = train(vae_main.main, *BEST, "--resume", folder=tmp_path / "cut")
    assert weights(cut) == weights(best)
    assert read_json(cut / "report.json")["kept_epoch"] == kept


def test_resume_without_an_earlier_run_starts_one(train, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "compile_steps", lambda *_: lambda _: np.full((1, 2), np.nan))
    with pytest.raises(Stopped, match="epoch 1, step 1: KL"):
        train(vae_main.main, "--resume", folder=tmp_path / "new")


def test_json_holds_no_nan_and_comes_back(tmp_path):
    values = {"a": 0.1, "b": [float("nan"), float("inf"), 2], "c": None, "ü": "é"}
    run_folder.write_json(tmp_path / "x.json", values)
    assert run_folder.read_json(tmp_path / "x.json") == {**values, "b": [None, None, 2]}
