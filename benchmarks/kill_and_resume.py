"""Kill training runs at random moments, resume them, and compare the end with an undisturbed run.

    python benchmarks/kill_and_resume.py --kills 100

Each run is a process of its own, forked after the imports so that the moments fall into the run:
start-up, steps, writing of checkpoints, final saving. It is killed by SIGKILL, SIGTERM or SIGINT,
then started again with --resume until it ends. Survived: every file that the run leaves, times
aside, is byte for byte that of the undisturbed run.
"""

import argparse
import collections
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import quiet_tensorflow  # noqa: F401 - before TensorFlow is imported

# isort: split
import command_line
import training
import vae_main

FLAGS = "--data_size 500 --n_epoch 12 --batch_size 20 --n_width 8 --seed 3".split()
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
LONGEST = 120.0  # seconds that one process may take


def start(folder, *flags):
    """Start one run as a process and return its number."""
    process = os.fork()
    if process == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        training.SECONDS_BETWEEN_CHECKPOINTS = training.SECONDS_BETWEEN_EPOCH_CHECKPOINTS = 0.0
        status = 0
        try:
            command_line.run(lambda: vae_main.main(["--output_dir", str(folder), *FLAGS, *flags]))
        except SystemExit as left:
            status = left.code
        os._exit(status)
    return process


def finish(process):
    """Wait for a process; its exit status, negative for a signal that killed it."""
    deadline = time.monotonic() + LONGEST
    while time.monotonic() < deadline:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    raise RuntimeError(f"a run took more than {LONGEST:g} s")


def results(folder):
    """What a run left, times aside: file name -> content."""
    found = {path.name: path.read_bytes() for path in Path(folder).glob("*.dat")}
    found["config.json"] = (folder / "config.json").read_bytes()
    lines = (folder / "history.csv").read_text().splitlines()
    found["history.csv"] = [line.rsplit(",", 1)[0] for line in lines]
    found["report.json"] = json.loads((folder / "report.json").read_text())
    del found["report.json"]["seconds"]
    return found


def stage(folder):
    """What a killed run had come to, by the files it left."""
    if (folder / "report.json").exists():
        return "finished"
    if (folder / "Encoder_W1.dat").exists():
        return "final saving"
    if list((folder / "checkpoint").glob("*.index")):
        return "training"
    return "start-up"


def kill_and_resume(folder, delay, number):
    """One run, sent the signal after `delay` seconds, then resumed to its end; where it was hit."""
    process = start(folder)
    time.sleep(delay)
    os.kill(process, number)
    finish(process)
    hit = stage(folder)
    for _ in range(3):
        if finish(start(folder, "--resume")) == 0:
            return hit
    raise RuntimeError(f"{folder}: could not be resumed")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the moments and signals")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    survived, stages = 0, collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        undisturbed = Path(folder) / "undisturbed"
        begin = time.monotonic()
        assert finish(start(undisturbed)) == 0
        length = time.monotonic() - begin
        expected = results(undisturbed)
        for kill in range(args.kills):
            killed = Path(folder) / f"killed_{kill}"
            number = rng.choice(SIGNALS)
            hit = kill_and_resume(killed, rng.uniform(0.0, length), number)
            same = results(killed) == expected
            survived += same
            stages[hit] += 1
            if not same:
                print(f"kill {kill} ({number.name}, {hit}): the results differ", flush=True)
    print(f"{survived} survived of {args.kills}; hit in " + str(dict(stages)))
    sys.exit(survived != args.kills)


if __name__ == "__main__":
    main()
