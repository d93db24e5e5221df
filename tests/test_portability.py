"""No POSIX-only names; the same bits on any number of cores; TensorFlow is quiet."""

import ast
import multiprocessing
import os
import subprocess
import sys

import pytest
from helpers import PARAMETERS, ROOT, history, weights
from test_house import IMPORTS, MODULES

POSIX_MODULES = "fcntl resource termios tty pty pwd grp posix syslog readline".split()
POSIX_ONLY = {  # names of modules that exist everywhere
    "os": (
        "fork forkpty pread pwrite preadv posix_fadvise posix_fallocate sched_getaffinity "
        "sched_setaffinity getuid geteuid getgid getloadavg uname mkfifo wait waitid killpg setsid "
        "chown sysconf O_DIRECT O_NONBLOCK"
    ),
    "signal": (
        "pthread_sigmask pthread_kill sigwait sigpending alarm setitimer siginterrupt SIGKILL "
        "SIGSTOP SIGHUP SIGQUIT SIGUSR1 SIGUSR2 SIGCHLD SIGALRM SIGPIPE"
    ),
    "time": "tzset clock_gettime",
}


def test_no_module_uses_a_name_that_only_posix_has():
    missing = {f"{module}.{n}" for module, names in POSIX_ONLY.items() for n in names.split()}
    for name, tree in MODULES.items():
        assert not IMPORTS[name] & set(POSIX_MODULES), name
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                assert ast.unparse(node) not in missing, f"{name}, line {node.lineno}"
            if isinstance(node, ast.ImportFrom):
                found = {f"{node.module}.{alias.name}" for alias in node.names}
                assert not found & missing, name


def train_on(cores, folder):
    """In a process of its own: a small run on these cores, without its report."""
    os.sched_setaffinity(0, cores)
    sys.path.insert(0, str(ROOT))
    import vae_main
    from analysis import gaussian_report

    gaussian_report.make_report = lambda *_: sys.exit()
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


def test_the_environment_decides_what_tensorflow_shows_and_how_xla_compiles(environment):
    flags = "--xla_cpu_copy_insertion_use_region_analysis=false"
    result = subprocess.run(
        [sys.executable, "-c", "import os, quiet_tensorflow; print(os.environ['XLA_FLAGS'])"],
        cwd=ROOT,
        env=environment | {"TF_CPP_MIN_LOG_LEVEL": "0", "XLA_FLAGS": flags},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stderr.strip()  # else there are none: see test_house.py
    assert result.stdout.strip() == flags
