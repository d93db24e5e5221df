"""The scripts run where POSIX-only names are missing, as on Windows; TensorFlow is quiet."""

import ast
import importlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers import PARAMETERS, ROOT, history, read_json, weights
from test_house import IMPORTS, MODULES

POSIX_MODULES = "fcntl resource termios tty pty pwd grp posix syslog readline".split()
POSIX_ONLY = {  # names of modules that exist everywhere
    os: (
        "fork forkpty pread pwrite preadv posix_fadvise posix_fallocate sched_getaffinity "
        "sched_setaffinity getuid geteuid getgid getloadavg uname mkfifo wait waitid killpg setsid "
        "chown sysconf O_DIRECT O_NONBLOCK"
    ).split(),
    signal: (
        "pthread_sigmask pthread_kill sigwait sigpending alarm setitimer siginterrupt SIGKILL "
        "SIGSTOP SIGHUP SIGQUIT SIGUSR1 SIGUSR2 SIGCHLD SIGALRM SIGPIPE"
    ).split(),
    time: ["tzset", "clock_gettime"],
}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_uses_no_name_that_only_posix_has(name):
    assert not IMPORTS[name] & set(POSIX_MODULES)
    missing = {f"{module.__name__}.{n}" for module, names in POSIX_ONLY.items() for n in names}
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.Attribute):
            assert ast.unparse(node) not in missing, node.lineno
        if isinstance(node, ast.ImportFrom):
            assert not {f"{node.module}.{alias.name}" for alias in node.names} & missing


def run_without_posix(script, flags, stderr):
    """In a process of its own: run a script without these names; its stderr goes into a file."""
    os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT), 2)
    sys.argv = [script, *flags]
    sys.path.insert(0, str(ROOT))
    for package in ("quiet_tensorflow", "filelock"):  # which have their own ways on each system
        importlib.import_module(package)
    for name in POSIX_MODULES:
        if name != "posix":  # Python's own os needs it
            sys.modules[name] = None
    for module, names in POSIX_ONLY.items():
        for name in names:
            if hasattr(module, name) and not name.startswith("O_"):  # filelock needs these
                delattr(module, name)
    runpy.run_path(str(ROOT / script), run_name="__main__")


def test_a_run_needs_no_name_that_only_posix_has(tmp_path, monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(30, 3)))
    flags = "--n_width 5 --n_epoch 1 --batch_size 9 --n_dim 2".split()
    flags += ["--data_path", str(tmp_path / "x.npy"), "--output_dir", str(tmp_path / "run")]
    process = multiprocessing.get_context("spawn").Process(
        target=run_without_posix, args=["vae_main.py", flags, str(tmp_path / "stderr")]
    )
    process.start()
    process.join()
    assert (process.exitcode, (tmp_path / "stderr").read_text()) == (0, "")
    assert set(PARAMETERS) <= set(os.listdir(tmp_path / "run"))
    assert np.isfinite(read_json(tmp_path / "run" / "report.json")["elbo"])


def train_on(cores, folder):
    """In a process of its own: a small run on these cores, without its pictures."""
    os.sched_setaffinity(0, cores)
    sys.path.insert(0, str(ROOT))
    import vae_main
    from analysis import run_figures

    run_figures.draw_run = lambda *_: None
    vae_main.main("--data_size 2000 --batch_size 100 --n_epoch 1 --output_dir".split() + [folder])


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores can't be chosen here")
@pytest.mark.skipif("len(os.sched_getaffinity(0)) < 2", reason="there is only one core")
def test_a_run_of_small_steps_gives_the_same_bits_on_one_core_and_on_all(tmp_path):
    cores = os.sched_getaffinity(0)
    context = multiprocessing.get_context("spawn")
    processes = []
    for name, some in [("one", {min(cores)}), ("all", cores)]:
        processes.append(context.Process(target=train_on, args=[some, str(tmp_path / name)]))
        processes[-1].start()
    for process in processes:
        process.join()
    assert set(PARAMETERS) <= set(os.listdir(tmp_path / "one"))
    assert weights(tmp_path / "one") == weights(tmp_path / "all")
    assert history(tmp_path / "one") == history(tmp_path / "all")


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
