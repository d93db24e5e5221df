"""A full disk, a lost folder, a killed process, hostile files: nothing that was saved is lost.

Real processes in real faults, for POSIX; see forked_scripts.py. docs/reliability.md tells what else
is tested.
"""

import contextlib
import json
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, SMALL, contents, history, weights

import beta_vae_after_training
import data_processing
import mnist_vae_after_training
import mnist_vae_main
import vae_decoder_sample_generation
import vae_main
import vae_models
from images import data as image_data
from images import models as image_models
from training import run_folder, saved_model
from training.errors import InputError
from training.settings import as_dictionary, make_image_settings, make_settings

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX: fork, limits, signals")


@pytest.fixture(scope="module")
def script(environment):
    """script(name, *argv, pictures=False, fault=None): see forked_scripts.py for the answer."""
    command = [sys.executable, "-m", "tests.forked_scripts"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:

        def call(name, *argv, pictures=False, fault=None):
            ask = {"script": name, "argv": [str(arg) for arg in argv]}
            ask |= {"pictures": pictures, "fault": fault}
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
    status, lines, *_ = train(fault=["disk full", 5])  # a checkpoint
    assert status == 1
    assert_one_line(lines, "the checkpoint of epoch 2 can't be written", str(folder))
    for name in ("Decoder_b6.dat", "report.json"):
        status, lines, *_ = train("--resume", fault=["disk full", name])
        assert status == 1
        assert_one_line(lines, name, "File too large")
        assert not list(folder.rglob(name))
        assert not half_written(folder)
        assert len(list((folder / "checkpoint").glob("*.npz"))) == 3
    assert saved_model.load_model(folder, vae_models.make_model)
    assert train("--resume")[:2] == [0, []]
    assert (folder / "report.json").exists()
    assert len(history(folder)) == 3
    for name in weights(vae_run):  # of a compiled run, which rounds otherwise
        np.testing.assert_allclose(np.loadtxt(folder / name), np.loadtxt(vae_run / name), atol=1e-3)


@posix
@pytest.mark.parametrize("place", [4, "history.csv"])
def test_a_folder_that_is_removed_during_the_run_ends_it_with_one_line(train, tmp_path, place):
    status, lines, *_ = train(fault=["folder removed", place])
    assert status == 1
    assert_one_line(lines, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")
@pytest.mark.parametrize("place", ["/proc", "/proc/run"])
def test_a_folder_that_nobody_can_write_to_is_refused(script, data_file, place):
    argv = ["--output_dir", place, "--data_path", data_file, *SMALL]
    status, lines, *_ = script("vae_main", *argv)
    assert status == 2
    assert_one_line(lines, f"--output_dir {place}: can't be written")


@posix
@pytest.mark.skipif("os.geteuid() == 0", reason="root may write to every folder")
def test_a_folder_without_write_permission_is_refused(train, tmp_path):
    (tmp_path / "run").mkdir(mode=0o500)
    status, lines, *_ = train()
    assert status == 2
    assert_one_line(lines, "can't be written to (Permission denied)")


@posix
def test_a_second_process_is_refused_and_goes_on_when_the_first_is_killed(train, tmp_path):
    status, _, first, _ = train(fault=["SIGSTOP", "history.csv"])
    assert status == "stopped"
    try:
        before = contents(tmp_path)
        for flags in ([], ["--resume"]):
            status, lines, *_ = train(*flags)
            assert status == 2
            assert len(lines) == 1
        assert "another run is writing to it" in lines[0]
        assert contents(tmp_path) == before
    finally:
        os.kill(first, signal.SIGKILL)
    folder = tmp_path / "run"
    assert (folder / ".lock").exists()
    assert half_written(folder)
    assert train("--resume")[:2] == [0, []]
    assert (folder / "report.json").exists()
    assert not half_written(folder)
    assert len(list((folder / "checkpoint").iterdir())) == 3


KILLED = {  # what is killed, and its flags
    "vae_main": "--data_size 200 --batch_size 20 --n_width 8 --n_epoch 6",
    "beta_sweep": "--data_size 200 --batch_size 20 --n_width 8 --n_epoch 3 --beta 1 4",
    "mnist_vae_main": "--data_path data/mnist_sample.npz --batch_size 250 --n_width 8 --n_epoch 3",
}
STATUS = {  # a signal may come before or after the time in which a run takes it for itself
    "SIGKILL": {-signal.SIGKILL},
    "SIGTERM": {-signal.SIGTERM, 128 + signal.SIGTERM},
    "SIGINT": {128 + signal.SIGINT},
}


def results(folder):
    """What a run left, times aside: file name -> content; of checkpoints how many there are."""
    found = contents(folder)
    checkpoints = [name for name in found if name.endswith(".npz") and "checkpoint" in name]
    found["checkpoints"] = len([found.pop(name) for name in checkpoints])
    for path in folder.rglob("history.csv"):
        found[str(path.relative_to(folder))] = history(path.parent)
    for path in folder.rglob("report.json"):
        report = json.loads(path.read_text())
        found[str(path.relative_to(folder))] = {**report, "seconds": None}
    return found


@posix
@pytest.mark.slow
@pytest.mark.parametrize("name", KILLED)
def test_a_run_killed_again_and_again_ends_as_an_undisturbed_one(script, tmp_path, name):
    """KILLS=100 in the environment: so many kills, not 6, of each script.

    Half of them come at any moment, the others while a file is written; a run is killed up to three
    times before it may end.
    """
    n_kills, rng = int(os.environ.get("KILLS", "6")), random.Random(0)
    flags = KILLED[name].split()

    def run(folder, *more, fault=None):
        argv = ["--output_dir", folder, *flags, *more]
        return script(name, *argv, pictures=True, fault=fault)

    begin = time.monotonic()
    status, _, _, n_written = run(tmp_path / "whole")
    seconds = time.monotonic() - begin
    assert status == 0
    expected = results(tmp_path / "whole")
    for k in range(n_kills // 3):
        folder, resume = tmp_path / f"killed_{k}", []
        for moment in (rng.uniform(0, seconds), rng.randint(1, n_written), rng.randint(1, 5)):
            signal_name = rng.choice(list(STATUS))
            status, lines, *_ = run(folder, *resume, fault=[signal_name, moment])
            assert status in {0} | STATUS[signal_name], (signal_name, moment, lines)
            resume = ["--resume"]
        assert run(folder, *resume)[0] == 0
        assert results(folder) == expected


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
        folder = tmp_path / "run"
        folder.mkdir()
        if script is mnist_vae_after_training:
            x, y = np.arange(800, dtype=np.uint8).reshape(40, 5, 4), np.arange(40) % 3
            np.savez(tmp_path / "x.npz", x_train=x, y_train=y, x_test=x, y_test=y)
            args = mnist_vae_main.parse_arguments("--data_path x.npz --n_width 6".split())
            images = image_data.get_images(args.data_path, args.binarization, args.seed)
            settings = make_image_settings(args, images)
            model = image_models.make_model(settings)
        else:
            args = vae_main.parse_arguments(["--data_path", data_file, "--n_width", "5"])
            settings = make_settings(args, data_processing.get_data(args))
            model = vae_models.make_model(settings)
        saved_model.write_weights(model, folder)
        run_folder.write_json(folder / "config.json", as_dictionary(settings))
        return ["--model_dir", str(folder), *AFTER_TRAINING[script][0]]

    return call


@posix
@pytest.mark.parametrize("module", AFTER_TRAINING, ids=lambda module: module.__name__)
def test_a_disk_that_is_full_after_training_leaves_no_half_file(
    script, model_folder, module, tmp_path
):
    name = AFTER_TRAINING[module][1]
    status, lines, *_ = script(module.__name__, *model_folder(module), fault=["disk full", name])
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
