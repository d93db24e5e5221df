"""Runs scripts as processes of their own for test_faults.py, with the faults that it asks for.

One line of JSON on stdin asks for one run: script, argv, and a fault (name, *arguments) or null. The
answer, one on stdout, is its exit status, its lines on stderr and its number; or the status
"stopped". The processes are forked after the imports, which take longer than a small run.
"""

import json
import os
import resource
import shutil
import signal
import sys
from pathlib import Path

from benchmarks import kill_and_resume

# isort: split
import beta_vae_after_training
import command_line
import data_processing
import figure_style
import mnist_vae_after_training
import run_files
import training
import vae_decoder_sample_generation
import vae_main

MODULES = (
    *(vae_main, vae_decoder_sample_generation, beta_vae_after_training),
    mnist_vae_after_training,
)
MAINS = {module.__name__: module.main for module in MODULES}


def disk_full_at(name):
    """From the first writing of the file of this name on, no file can grow above ten bytes."""
    written_whole = run_files.written_whole

    def limited(path):
        if path.name == name:
            fill_disk()
        return written_whole(path)

    run_files.written_whole = figure_style.written_whole = limited
    data_processing.written_whole = lambda path: limited(Path(path))


def fill_disk():
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))


def before_checkpoint(number, then):
    save, count = training.Run.save, iter(range(1, 10**6))

    def interrupted_save(run):
        if next(count) == number:
            then(run)
        save(run)

    training.Run.save = interrupted_save


FAULTS = {
    "disk full at": disk_full_at,
    "disk full at checkpoint": lambda number: before_checkpoint(number, lambda _: fill_disk()),
    "folder removed": lambda number: before_checkpoint(
        number, lambda run: shutil.rmtree(run.folder)
    ),
    "stops": lambda number: before_checkpoint(
        number, lambda _: os.kill(os.getpid(), signal.SIGSTOP)
    ),
}


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
        if fault:
            FAULTS[fault[0]](*fault[1:])
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
