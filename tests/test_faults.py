"""A full disk, a lost folder, a killed process, hostile files: nothing that was saved is lost.

Real processes in real faults, for POSIX; see forked_scripts.py. docs/reliability.md tells what else
is tested.
"""

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, SMALL, contents, history, weights

import beta_vae_after_training
import mnist_vae_after_training
import mnist_vae_main
import vae_decoder_sample_generation
import vae_main
import vae_models
from images import models as image_models
from training import saved_model
from training.errors import InputError

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX: fork, limits, signals")


@pytest.fixture(scope="module")
def script(environment):
    """script(name, *argv, fault=None): exit status, lines on stderr, number of a real process."""
    command = [sys.executable, "-m", "tests.forked_scripts"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:

        def call(name, *argv, fault=None):
            ask = {"script": name, "argv": [str(arg) for arg in argv], "fault": fault}
            server.stdin.write(json.dumps(ask) + "\n")
            server.stdin.flush()
            return json.loads(server.stdout.readline())

        yield call
        server.stdin.close()


@pytest.fixture
def train(script, data_file, tmp_path):
    """train(*flags, fault=None): vae_main.py on small data in tmp_path / "run"."""

    def call(*flags, fault=None):
        argv = ["--output_dir", tmp_path / "run", "--data_path", data_file, *SMALL, *flags]
        return script("vae_main", *argv, fault=fault)

    return call


def assert_one_line(lines, *words):
    assert len(lines) == 1, lines
    for word in words:
        assert word in lines[0]


def half_written(folder):
    return [path for path in folder.rglob(".*") if path.name != ".lock"]


@posix
def test_a_disk_that_is_full_at_any_file_stops_the_run_which_then_goes_on(train, tmp_path, vae_run):
    """The disk is full at one file after another; at last there is room."""
    folder = tmp_path / "run"
    status, lines, _ = train(fault=["disk full", 4])
    assert status == 1
    assert_one_line(lines, "the checkpoint of epoch 2 can't be written", str(folder))
    for name in ("Decoder_b6.dat", "report.json"):
        status, lines, _ = train("--resume", fault=["disk full", name])
        assert status == 1
        assert_one_line(lines, name, "File too large")
        assert not list(folder.rglob(name))
        assert not half_written(folder)
        assert len(list((folder / "checkpoint").glob("*.index"))) == 3
    assert saved_model.load_model(folder, vae_models.make_model)
    assert train("--resume")[:2] == [0, []]
    assert (folder / "report.json").exists()
    assert len(history(folder)) == 3
    for name in weights(vae_run):  # of a compiled run, which rounds otherwise
        np.testing.assert_allclose(np.loadtxt(folder / name), np.loadtxt(vae_run / name), atol=1e-3)


@posix
@pytest.mark.parametrize("place", [3, "history.csv"])
def test_a_folder_that_is_removed_during_the_run_ends_it_with_one_line(train, tmp_path, place):
    status, lines, _ = train(fault=["folder removed", place])
    assert status == 1
    assert_one_line(lines, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")
@pytest.mark.parametrize("place", ["/proc", "/proc/run"])
def test_a_folder_that_nobody_can_write_to_is_refused(script, data_file, place):
    argv = ["--output_dir", place, "--data_path", data_file, *SMALL]
    status, lines, _ = script("vae_main", *argv)
    assert status == 2
    assert_one_line(lines, f"--output_dir {place}: can't be written")


@posix
@pytest.mark.skipif("os.geteuid() == 0", reason="root may write to every folder")
def test_a_folder_without_write_permission_is_refused(train, tmp_path):
    (tmp_path / "run").mkdir(mode=0o500)
    status, lines, _ = train()
    assert status == 2
    assert_one_line(lines, "can't be written to (Permission denied)")


@posix
def test_a_second_process_is_refused_and_goes_on_when_the_first_is_killed(train, tmp_path):
    status, _, first = train(fault=["stop", "history.csv"])
    assert status == "stopped"
    try:
        before = contents(tmp_path)
        for flags in ([], ["--resume"]):
            status, lines, _ = train(*flags)
            assert status == 2
            assert len(lines) == 1
        assert "another run is writing to it" in lines[0]
        assert contents(tmp_path) == before
    finally:
        os.kill(first, signal.SIGKILL)
    folder = tmp_path / "run"
    assert (folder / ".lock").exists()
    (folder / ".12.report.json").write_text("{")  # what a process leaves that is killed in writing
    (folder / "checkpoint" / "ckpt-0.index").write_text("")
    (folder / "checkpoint" / "ckpt-99_temp").mkdir()
    assert train("--resume")[:2] == [0, []]
    assert (folder / "report.json").exists()
    assert not half_written(folder)
    assert len(list((folder / "checkpoint").iterdir())) == 2 * 3 + 1


@posix
@pytest.mark.slow
def test_ten_kills_at_drawn_moments_change_nothing(environment):
    """More of them: python -m tests.kill_and_resume --kills 100"""
    command = [sys.executable, "-m", "tests.kill_and_resume", "--kills", "10"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 of 10 kills survived" in done.stdout


GAUSSIAN = {"data_dim": 3, "n_dim": 2, "n_width": [5], "activation": "relu", "seed": 0}
GAUSSIAN |= {"decoder_std": "learned", "min_log_std": None, "standardization": None}
GAUSSIAN |= {"covariance_path": None, "mean_path": None, "data_size": 50}
IMAGES = {"data_dim": 20, "n_dim": 2, "n_width": [6], "image_shape": [5, 4], "seed": 0}
IMAGES |= {"min_log_std": -3.0, "likelihood": "bernoulli", "binarization": "none"}
IMAGES |= {"activation": "relu", "batch_norm": False, "beta": 1.0}
AFTER_TRAINING = {  # script: its flags, and a file that it writes
    vae_decoder_sample_generation: (["--n_samples", "30"], "decoder_data.dat"),
    beta_vae_after_training: (["--n_samples", "30"], "en_deco_data.dat"),
    mnist_vae_after_training: (["--n_importance", "3"], "images.npz"),
}
STRINGS = (  # of which some are in no config.json
    "model data_path covariance_path mean_path decoder_std likelihood activation binarization "
    "lr_schedule optimizer output_dir folder name"
).split()


@pytest.fixture
def model_folder(tmp_path, data_file, monkeypatch):
    """model_folder(script): tmp_path / "run" with a model that the script works on; its flags."""
    monkeypatch.chdir(tmp_path)

    def call(script):
        of_images = script is mnist_vae_after_training
        folder = tmp_path / "run"
        folder.mkdir()
        if of_images:
            x, y = np.arange(800, dtype=np.uint8).reshape(40, 5, 4), np.arange(40) % 3
            np.savez(tmp_path / "x.npz", x_train=x, y_train=y, x_test=x, y_test=y)
            config = {**IMAGES, "model": "mnist_vae", "data_path": str(tmp_path / "x.npz")}
            model = image_models.make_model(config)
        else:
            config = {**GAUSSIAN, "model": "beta_vae", "data_path": data_file}
            model = vae_models.make_model(config)
        saved_model.write_weights(model, folder)
        (folder / "config.json").write_text(json.dumps(config))
        return ["--model_dir", str(folder), *AFTER_TRAINING[script][0]]

    return call


@posix
@pytest.mark.parametrize("module", AFTER_TRAINING, ids=lambda module: module.__name__)
def test_a_disk_that_is_full_after_training_leaves_no_half_file(
    script, model_folder, module, tmp_path
):
    name = AFTER_TRAINING[module][1]
    status, lines, _ = script(module.__name__, *model_folder(module), fault=["disk full", name])
    assert status == 1
    assert_one_line(lines, str(tmp_path / "run" / name), "File too large")
    assert not (tmp_path / "run" / name).exists()
    assert not half_written(tmp_path)


@pytest.mark.parametrize("script", AFTER_TRAINING, ids=lambda script: script.__name__)
def test_no_string_in_a_config_leads_a_script_out_of_its_folder(model_folder, script, tmp_path):
    argv = model_folder(script)
    config = tmp_path / "run" / "config.json"
    sound = json.loads(config.read_text())
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.dat").write_text("1 2 3")
    before = {name: c for name, c in contents(tmp_path).items() if not name.startswith("run")}
    outside = [str(tmp_path / "made"), str(tmp_path / "other" / "mine.dat")]
    changes = [{name: "../made" for name in STRINGS if name not in sound}]
    changes += [{name: "../made"} for name in sound if name in STRINGS]
    changes += [{"data_path": path} for path in outside]
    for change in changes:
        config.write_text(json.dumps({**sound, **change}))
        with contextlib.suppress(InputError):
            script.main(argv)
        after = {name: c for name, c in contents(tmp_path).items() if not name.startswith("run")}
        assert after == before, change


class Hostile:
    """Whose unpickling makes the file `hit`."""

    def __reduce__(self):
        return os.mkdir, ("hit",)


def test_loading_runs_no_code_from_a_file(refused, model_folder, tmp_path):
    (tmp_path / "x.npy").write_bytes(pickle.dumps(Hostile()))
    np.save(tmp_path / "y.npy", np.array([[Hostile()]], dtype=object))
    pickled = np.array([Hostile()] * 40, dtype=object)
    argv = model_folder(mnist_vae_after_training)
    x = np.load(tmp_path / "x.npz")["x_train"]
    y = np.zeros(40, np.uint8)
    np.savez(tmp_path / "z.npz", x_train=x, y_train=y, x_test=x, y_test=pickled)
    for name in ("x.npy", "y.npy"):
        line = refused(vae_main.main, ["--data_path", name, "--output_dir", "out"])
        assert name in line
    line = refused(mnist_vae_main.main, ["--data_path", "z.npz", "--output_dir", "out"])
    assert "z.npz: Object arrays cannot be loaded" in line
    for name in ("Encoder_W1.dat", "config.json"):
        for hostile in ((tmp_path / "x.npy").read_bytes(), (tmp_path / "y.npy").read_bytes()):
            path = tmp_path / "run" / name
            sound = path.read_bytes()
            path.write_bytes(hostile)
            assert name in refused(mnist_vae_after_training.main, argv)
            path.write_bytes(sound)
    with pytest.raises(ValueError, match="allow_pickle"):
        np.load("y.npy")
    np.load("y.npy", allow_pickle=True)
    assert (tmp_path / "hit").exists()  # so it is hostile indeed
