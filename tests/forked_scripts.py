"""Runs scripts as processes of their own, with the faults that test_faults.py asks for.

One line of JSON on stdin asks for one run: script, argv (which begins with the flag of the run's
folder), and a fault or null. A fault is (one of FAULTS, where): at the checkpoint of this number or
the file of this name. The answer, one line on stdout, is the exit status or "stopped", the lines on
stderr, and the number of the process. The processes are forked after the imports, which take longer
than a small run.
"""

import quiet_tensorflow

import itertools
import json
import os
import resource
import shutil
import signal
import sys
from pathlib import Path

import tensorflow as tf

import beta_vae_after_training
import data_processing
import mnist_vae_after_training
import vae_decoder_sample_generation
import vae_main
from analysis import figure_style
from tests import kill_and_resume
from training import command_line, loop, run_folder

MODULES = (
    *(vae_main, vae_decoder_sample_generation, beta_vae_after_training),
    mnist_vae_after_training,
)
MAINS = {module.__name__: module.main for module in MODULES}
FAULTS = {  # each with the run's folder
    "disk full": lambda _: resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10)),
    "folder removed": shutil.rmtree,
    "stop": lambda _: os.kill(os.getpid(), signal.SIGSTOP),
}


def let_happen(fault, place, folder):
    """Let a fault come just before the checkpoint or the file named by `place` is written."""
    save, atomic_write, numbers = loop.Run.save, run_folder.atomic_write, itertools.count(1)

    def interrupted_save(run):
        if next(numbers) == place:
            FAULTS[fault](folder)
        save(run)

    def interrupted_atomic_write(path):
        if Path(path).name == place:
            FAULTS[fault](folder)
        return atomic_write(path)

    loop.Run.save = interrupted_save
    for module in (run_folder, figure_style, data_processing):
        module.atomic_write = interrupted_atomic_write


def answer(script, argv, fault):
    stderr, errors = os.pipe()
    process = os.fork()
    if process == 0:
        run_script(script, argv, fault, errors)
    os.close(errors)
    _, status = os.waitpid(process, os.WUNTRACED)
    if os.WIFSTOPPED(status):
        return "stopped", [], process
    with open(stderr) as file:
        return os.waitstatus_to_exitcode(status), file.read().splitlines(), process


def run_script(script, argv, fault, errors):
    status = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(errors, 2)
        sys.argv = [f"{script}.py"]
        kill_and_resume.make_small()
        tf.config.run_functions_eagerly(True)  # compiling would take longer than the steps
        if fault:
            let_happen(*fault, folder=argv[1])
        command_line.run(lambda: MAINS[script](argv))
        status = 0
    except SystemExit as left:
        status = left.code
    except BaseException as error:  # noqa: BLE001 - what a user would see as a traceback
        print(f"Traceback: {error!r}", file=sys.stderr)
    finally:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(**json.loads(line))), flush=True)
