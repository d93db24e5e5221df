"""One run on several devices: the weights of one process, and clear ends."""

import json
import multiprocessing
import socket
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from helpers import FEW_STEPS, ROOT, SMALL, history

import beta_sweep
import beta_vae_main
import mnist_vae_main
import vae_main
from analysis import gaussian_report, run_figures
from images import figures
from training import distribute

BATCH = ["--batch_size", "5"]  # of 38 rows on two replicas: 2 and 3 rows, of the last batch 1 and 2


def tf_configs(n_workers):
    """A TF_CONFIG for each worker on free ports of this machine."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n_workers)]
    addresses = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    cluster = {"worker": addresses}
    tasks = [{"type": "worker", "index": i} for i in range(n_workers)]
    return [json.dumps({"cluster": cluster, "task": task}) for task in tasks]


@pytest.fixture
def start_workers(environment):
    """start_workers(*flags): vae_main.py on one worker per list of flags; those still running at
    the end are killed.
    """
    started = []

    def call(*flags):
        for config, own in zip(tf_configs(len(flags)), flags, strict=True):
            started.append(
                subprocess.Popen(
                    [sys.executable, ROOT / "vae_main.py", *own, "--distribute", "multi_worker"],
                    env={**environment, "TF_CONFIG": config},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        return started

    yield call
    for process in started:
        process.kill()
        process.communicate()


def largest_difference(run, other):
    """The largest difference of two runs' weights, of which there must be some."""
    names = [p.name for p in sorted(run.glob("*coder_*.dat"))]
    assert names
    return max(np.abs(np.loadtxt(run / n) - np.loadtxt(other / n)).max() for n in names)


def test_the_step_of_a_strategy_is_the_plain_one(train, monkeypatch):
    """On one device, whose share is the whole batch; of several the slow tests have some."""
    flags = [*BATCH, *FEW_STEPS, "--optimizer", "sgd"]
    one = train(vae_main.main, *flags)
    monkeypatch.setattr(distribute, "strategy", None)  # as it is after the test, too
    mirrored = train(vae_main.main, *flags, "--distribute", "mirrored")
    assert distribute.strategy is not None
    assert largest_difference(one, mirrored) < 1e-5


def test_an_error_of_tensorflow_on_one_device_is_not_taken_for_a_lost_worker():
    error = tf.errors.ResourceExhaustedError(None, None, "out of memory")
    with pytest.raises(tf.errors.ResourceExhaustedError), distribute.among_workers():
        raise error


@pytest.mark.slow
def test_two_workers_go_on_as_one_process_would_and_the_chief_alone_writes(
    start_workers, train, data_file, tmp_path
):
    constant = [*BATCH, "--lr_schedule", "constant", "--no-standardize"]
    one = train(vae_main.main, *constant, "--n_epoch", "5")
    train(vae_main.main, *constant, folder=tmp_path / "run")  # 3 epochs
    flags = [*SMALL, *constant, "--n_epoch", "5", "--resume", "--data_path", data_file]
    flags += ["--output_dir", str(tmp_path / "run")]
    chief, worker = start_workers(flags, flags)
    shown, said = chief.communicate()
    assert (chief.returncode, said) == (0, "")
    assert "device: CPU" in shown and "2 workers" in shown and "written to" in shown
    assert worker.communicate() == ("", "")
    assert worker.returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert largest_difference(one, tmp_path / "run") < 1e-5
    for row, expected in zip(history(tmp_path / "run"), history(one), strict=True):
        assert {n: float(v) for n, v in row.items()} == pytest.approx(
            {n: float(v) for n, v in expected.items()}, rel=1e-4
        )


@pytest.mark.slow
@pytest.mark.parametrize(("act", "status"), [("kill", -9), ("terminate", 143)])
@pytest.mark.skipif(sys.platform == "win32", reason="signals between processes are POSIX's")
def test_a_worker_that_ends_ends_the_chief_in_one_line_and_one_process_goes_on(
    start_workers, train, data_file, tmp_path, act, status
):
    long = [*SMALL, *BATCH, "--lr_schedule", "constant", "--lr", "1e-5", "--n_epoch", "60"]
    flags = [*long, "--data_path", data_file, "--output_dir", str(tmp_path / "run")]
    chief, worker = start_workers(flags, flags)
    assert any(line.startswith("    3 ") for line in chief.stdout)  # epoch 3 is over
    getattr(worker, act)()
    lines = chief.communicate(timeout=60)[1].splitlines()
    # TensorFlow may add lines for a kill.
    (line,) = (line for line in lines if "a worker is lost" in line)
    worker.communicate(timeout=60)
    assert (chief.returncode, worker.returncode) == (1, status)
    assert "--resume" in line
    train(vae_main.main, *long, "--resume", folder=tmp_path / "run")
    assert [int(row["epoch"]) for row in history(tmp_path / "run")] == list(range(1, 61))


def train_on_three_devices(runs):
    """In a process of its own: train on one device and on three, each without its pictures.

    runs: (main, folder, flags) of each.
    """
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 3)
    run_figures.draw_run = figures.elbo_per_epoch = lambda *_, **__: None
    gaussian_report.COVARIANCE_SAMPLES = 2000
    for main, folder, flags in runs:
        main([*flags, "--output_dir", f"{folder}_one"])
        main([*flags, "--output_dir", f"{folder}_three", "--distribute", "mirrored"])


@pytest.mark.slow
def test_three_devices_of_one_machine_train_as_one_and_clip_the_averaged_gradient(
    data_file, tmp_path
):
    rng = np.random.default_rng(0)
    images = {"y_train": np.zeros(22, np.uint8), "y_test": np.zeros(6, np.uint8)}
    for part, n_images in [("x_train", 22), ("x_test", 6)]:
        images[part] = rng.integers(0, 255, (n_images, 4, 3), np.uint8)
    np.savez(tmp_path / "images.npz", **images)
    # Adam would magnify the rounding of gradients near zero.
    gaussian = [*SMALL, *BATCH, "--data_path", data_file, "--clip_norm", "0.8"]
    gaussian += ["--optimizer", "sgd"]
    of_images = "--n_dim 2 --n_width 5 --batch_size 7 --n_epoch 1 --n_samples 3".split()
    of_images += ["--data_path", str(tmp_path / "images.npz")]  # a last batch of one image
    runs = [
        (vae_main.main, tmp_path / "vae", gaussian),
        (vae_main.main, tmp_path / "few", [*gaussian, "--batch_size", "2"]),  # for three devices
        (beta_vae_main.main, tmp_path / "beta", [*gaussian, "--beta", "3"]),
        (mnist_vae_main.main, tmp_path / "images", of_images),
    ]
    process = multiprocessing.get_context("spawn").Process(
        target=train_on_three_devices, args=[runs]
    )
    process.start()
    process.join()
    assert process.exitcode == 0
    for _, folder, _ in runs:
        one, three = folder.with_name(f"{folder.name}_one"), f"{folder.name}_three"
        assert largest_difference(one, folder.with_name(three)) < 1e-5


TASK = {"type": "worker", "index": 0}


@pytest.mark.parametrize(
    "config",
    [
        None,
        "{",
        {"cluster": {"worker": ["a:1"]}},
        {"cluster": {"worker": ["a:1", "a:1"]}, "task": TASK},
        {"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": TASK},
        {"cluster": {"chief": ["a:1"]}, "task": TASK},
        {"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}},
        {"cluster": {"worker": {"1": "a:1", "3": "b:1"}}, "task": {"type": "worker", "index": 1}},
    ],
    ids=str,
)
def test_a_missing_or_damaged_tf_config_is_refused(refused, monkeypatch, config):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if config is not None:
        text = config if isinstance(config, str) else json.dumps(config)
        monkeypatch.setenv("TF_CONFIG", text)
    line = refused(vae_main.main, ["--distribute", "multi_worker"])
    assert "TF_CONFIG" in line and '"index": 0' in line


def test_a_chief_may_stand_beside_the_workers(monkeypatch):
    cluster = {"worker": ["b:2", "c:3"], "chief": ["a:1"]}
    config = {"cluster": cluster, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    assert distribute.place_among_workers() == (3, False)
    config["task"] = {"type": "chief", "index": 0}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    assert distribute.place_among_workers() == (3, True)
    del cluster["worker"]
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    assert distribute.place_among_workers() == (1, True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("own", "what"), [(["--lr", "0.5"], "flags"), (["--output_dir", "elsewhere"], "checkpoints")]
)
def test_workers_of_other_flags_or_without_the_chiefs_checkpoint_are_refused(
    start_workers, train, data_file, tmp_path, own, what
):
    train(vae_main.main, *BATCH, "--lr_schedule", "constant", folder=tmp_path / "run")
    flags = [*SMALL, *BATCH, "--lr_schedule", "constant", "--n_epoch", "5", "--resume"]
    flags += ["--data_path", data_file, "--output_dir", str(tmp_path / "run")]
    for process in start_workers(flags, [*flags, *own]):
        line = process.communicate(timeout=60)[1]
        assert f"the {what} of the workers differ" in line
        assert (process.returncode, line.count("\n")) == (2, 1)


def test_what_several_devices_do_not_do_is_refused(refused):
    several_beta = ["--beta", "1", "2", "--distribute", "multi_worker"]
    assert "--distribute" in refused(beta_sweep.main, several_beta)
    batch_norm = ["--batch_norm", "--distribute", "mirrored"]
    assert "--batch_norm" in refused(mnist_vae_main.main, batch_norm)
