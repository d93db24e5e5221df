"""Runs scripts as processes of their own, with the faults that test_faults.py asks for.

One line of JSON on stdin asks for one run: script, argv (which begins with the flag of the run's
folder), pictures (whether it draws), and a fault or null. A fault is [what, where]: one of FAULTS
or the name of a signal, at the file of this name, at the k-th file that the run writes, or after so
many seconds (a float). The answer, one line on stdout, is the exit status or "stopped", the lines
on stderr, the number of the process, and how many files it wrote. The processes are forked after
the imports, which take longer than a small run.
"""

import quiet_tensorflow

import contextlib
import json
import os
import resource
import shutil
import signal
import sys
import threading
from pathlib import Path

import tensorflow as tf

import beta_sweep
import beta_vae_after_training
import mnist_vae_after_training
import mnist_vae_main
import vae_decoder_sample_generation
import vae_main
from analysis import figure_style, gaussian_report, run_figures
from training import command_line, run, run_folder, tables

MODULES = (
    vae_main,
    beta_sweep,
    mnist_vae_main,
    vae_decoder_sample_generation,
    beta_vae_after_training,
    mnist_vae_after_training,
)
MAINS = {module.__name__: module.main for module in MODULES}
FAULTS = {  # each with the run's folder
    "disk full": lambda _: resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10)),
    "folder removed": shutil.rmtree,
}


def make_small(pictures):
    """A checkpoint after every chunk and epoch, a rough report; nothing is compiled."""
    run.SECONDS_BETWEEN_CHECKPOINTS = run.SECONDS_BETWEEN_EPOCH_CHECKPOINTS = 0.0
    gaussian_report.REPORT_Z, gaussian_report.COVARIANCE_SAMPLES = 2**12, 2000
    if not pictures:
        run_figures.draw_run = lambda *_: None
    tf.config.run_functions_eagerly(True)  # compiling would take longer than the steps


def let_happen(fault, place, folder, written):
    """Let a fault come at its place: those of FAULTS before a file has content, signals after."""
    atomic_write = run_folder.atomic_write

    @contextlib.contextmanager
    def interrupted_atomic_write(path):
        os.write(written, b".")
        written_here.append(path)
        here = place in (len(written_here), Path(path).name)
        with atomic_write(path) as temporary:
            if here and fault in FAULTS:
                FAULTS[fault](folder)
            yield temporary
            if here and fault not in FAULTS:
                os.kill(os.getpid(), signal.Signals[fault])

    written_here = []
    for module in (run_folder, figure_style, tables):
        module.atomic_write = interrupted_atomic_write
    if isinstance(place, float):
        timer = threading.Timer(place, os.kill, (os.getpid(), signal.Signals[fault]))
        timer.daemon = True
        timer.start()


def run_script(script, argv, pictures, fault, errors, written):
    status = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(errors, 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
        sys.argv = [f"{script}.py"]
        make_small(pictures)
        let_happen(*(fault or [None, None]), folder=argv[1], written=written)
        command_line.run(lambda: MAINS[script](argv))
        status = 0
    except SystemExit as left:
        status = left.code
    except BaseException as error:  # noqa: BLE001 - what a user would see as a traceback
        print(f"Traceback: {error!r}", file=sys.stderr)
    finally:
        sys.stderr.flush()
        os._exit(status)


def answer(script, argv, pictures, fault):
    stderr, errors = os.pipe()
    writes, written = os.pipe()
    process = os.fork()
    if process == 0:
        run_script(script, argv, pictures, fault, errors, written)
    os.close(errors)
    os.close(written)
    _, status = os.waitpid(process, os.WUNTRACED)
    if os.WIFSTOPPED(status):
        return "stopped", [], process, 0
    with open(stderr) as file, open(writes) as dots:
        lines = file.read().splitlines()
        return os.waitstatus_to_exitcode(status), lines, process, len(dots.read())


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(**json.loads(line))), flush=True)
