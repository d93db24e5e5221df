"""The scripts run where POSIX-only names are missing, as on Windows; TensorFlow is quiet."""

import os
import subprocess
import sys

import numpy as np
from helpers import PARAMETERS, ROOT, read_json

# TensorFlow and the lock's package have their own ways on each system, so they load before.
PRELUDE = """
import os, runpy, signal, sys
script = sys.argv[1]
sys.path.insert(0, os.path.dirname(script))
import quiet_tensorflow, filelock
for name in ("fcntl", "resource", "termios", "pwd", "grp"):
    sys.modules[name] = None
for module, names in [(os, "pread fork sched_getaffinity geteuid"), (signal, "pthread_sigmask")]:
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)
sys.argv = sys.argv[1:]
runpy.run_path(script, run_name="__main__")
"""


def run(script, *flags, environment):
    command = [sys.executable, "-c", PRELUDE, str(ROOT / script), *map(str, flags)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_a_run_needs_no_name_that_only_posix_has(environment, tmp_path):
    x = np.random.default_rng(0).normal(size=(30, 3))
    np.save(tmp_path / "x.npy", x)
    flags = "--n_width 5 --n_epoch 1 --batch_size 9 --n_dim 2".split()
    flags += ["--data_path", tmp_path / "x.npy", "--output_dir", tmp_path / "run"]
    done = run("vae_main.py", *flags, environment=environment | {"TF_CPP_MIN_LOG_LEVEL": "3"})
    assert (done.returncode, done.stderr) == (0, "")
    assert set(PARAMETERS) <= set(os.listdir(tmp_path / "run"))
    assert np.isfinite(read_json(tmp_path / "run" / "report.json")["elbo"])


def test_the_log_level_of_the_environment_says_whether_tensorflow_is_quiet(environment):
    command = [sys.executable, "-c", "import quiet_tensorflow"]
    running = {
        level: subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment | {"TF_CPP_MIN_LOG_LEVEL": level},
            stderr=subprocess.PIPE,
            text=True,
        )
        for level in "02"  # 3: the test above
    }
    shown = {level: process.communicate()[1] for level, process in running.items()}
    assert shown["0"].strip()
    assert shown["2"] == ""
