"""A full disk, a lost folder, a killed process, hostile files: nothing that was saved is lost.

Real processes in real faults; see forked_scripts.py. docs/reliability.md tells what else is tested.
"""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import beta_vae_after_training
import image_data
import mnist_vae_after_training
import mnist_vae_main
import table_files
import vae_decoder_sample_generation
import vae_models
from run_files import InputError

ROOT = Path(__file__).resolve().parents[1]
FLAGS = "--data_dim 3 --n_dim 2 --n_width 5 --batch_size 4 --n_epoch 3 --lr 0.02 --seed 7".split()


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
        argv = [*FLAGS, "--data_path", data_file, "--output_dir", tmp_path / "run", *flags]
        return script("vae_main", *argv, fault=fault)

    return call


def assert_one_line(lines, *words):
    assert len(lines) == 1, lines
    for word in words:
        assert word in lines[0]


def half_written(folder):
    return [path for path in folder.rglob(".*") if path.name != ".lock"]


def test_a_disk_that_is_full_at_any_file_stops_the_run_which_then_goes_on(train, tmp_path, weights):
    """The disk is full at one file after another; at last there is room."""
    folder = tmp_path / "run"
    status, lines, _ = train(fault=["disk full at checkpoint", 4])
    assert status == 1
    assert_one_line(lines, "the checkpoint of epoch 2 can't be written", str(folder))
    names = ["Encoder_W1.dat", "Decoder_b6.dat", "cost_function_vae.dat", "history.csv"]
    for name in [*names, "learning_curves.png", "report.json"]:
        status, lines, _ = train("--resume", fault=["disk full at", name])
        assert status == 1
        assert_one_line(lines, name, "File too large")
        assert not list(folder.rglob(name))
        assert not half_written(folder)
        assert len(list((folder / "checkpoint").glob("*.index"))) == 3
    assert vae_models.load_model(folder)
    status, lines, _ = train("--resume")
    assert (status, lines) == (0, [])
    assert (folder / "report.json").exists()
    left = weights(folder)
    shutil.rmtree(folder)
    assert train()[0] == 0
    assert weights(folder) == left


def test_a_folder_that_is_removed_during_the_run_ends_it_with_one_line(train, tmp_path):
    status, lines, _ = train(fault=["folder removed", 3])
    assert status == 1
    assert_one_line(lines, str(tmp_path / "run"), "removed")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")
@pytest.mark.parametrize("place", ["/proc", "/proc/run"])
def test_a_folder_that_nobody_can_write_to_is_refused(script, data_file, place):
    argv = [*FLAGS, "--data_path", data_file, "--output_dir", place]
    status, lines, _ = script("vae_main", *argv)
    assert status == 2
    assert_one_line(lines, f"--output_dir {place}: can't be written")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to every folder")
def test_a_folder_without_write_permission_is_refused(train, tmp_path):
    (tmp_path / "run").mkdir(mode=0o500)
    status, lines, _ = train()
    assert status == 2
    assert_one_line(lines, "can't be written (Permission denied)")


def test_a_second_process_is_refused_until_the_first_is_killed(train, tmp_path, contents):
    status, _, first = train(fault=["stops", 3])
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
    assert (tmp_path / "run" / ".lock").exists()
    assert train("--resume")[:2] == [0, []]
    assert (tmp_path / "run" / "report.json").exists()
