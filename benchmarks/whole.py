"""What a whole run takes: an epoch beside its steps, a run beside another version, log p(x)."""

import quiet_tensorflow

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import vae_main
from analysis import evaluation, gaussian_report
from benchmarks import measuring
from benchmarks.measuring import short
from benchmarks.peers.floor import matmul_seconds
from benchmarks.peers.problems import MNIST
from benchmarks.peers.this_project import make_model
from training import errors, loop

ROOT = Path(__file__).resolve().parents[1]


class Clock:
    """Seconds of each epoch of a run, and of its compiled calls once more, alone.

    As vae_main.py runs it, a thread makes the next chunks meanwhile, and an epoch ends with the
    held-out ELBO, the progress and perhaps a checkpoint.
    """

    def __init__(self):
        self.whole, self.alone, self.chunks = [], [], []

    def compile_steps(self, *arguments):
        self.iterate = COMPILE_STEPS(*arguments)

        def noted(chunk):
            self.chunks.append(chunk)
            return self.iterate(chunk)

        return noted

    def end_epoch(self, run, elbo_held_out):
        END_EPOCH(run, elbo_held_out)
        now = time.perf_counter()
        if self.alone:
            self.whole.append(now - self.begun)
        self.alone.append(sum(timed(self.iterate, chunk) for chunk in self.chunks))
        self.chunks.clear()
        self.begun = time.perf_counter()


COMPILE_STEPS, END_EPOCH = loop.compile_steps, loop.Run.end_epoch
EPOCHS = {
    "the default run": "",
    "batch 5": "--data_size 25000 --batch_size 5",
    "batch 1000": "--data_size 300000 --batch_size 1000",
}


def epoch(rounds):
    """Whole epochs of vae_main.py beside their compiled calls alone, which take turns."""
    lines = []
    for label, more in EPOCHS.items():
        clock = Clock()
        loop.compile_steps = clock.compile_steps
        loop.Run.end_epoch = lambda run, elbo, clock=clock: clock.end_epoch(run, elbo)
        try:
            with tempfile.TemporaryDirectory() as folder:
                run_until(2 * rounds, [*more.split(), "--output_dir", f"{folder}/run"])
        finally:
            loop.compile_steps, loop.Run.end_epoch = COMPILE_STEPS, END_EPOCH
        whole, alone = np.median(clock.whole), np.median(clock.alone[1:])
        ratio = np.median(np.array(clock.whole) / clock.alone[1:])
        lines.append([label, short(whole), short(alone), f"{ratio:.2f}"])
    header = ["", "seconds an epoch", "its compiled calls alone", "ratio"]
    write("epoch", rounds, measuring.markdown(header, lines))


def run_until(n_epoch, flags):
    """Train for so many epochs, without the report."""
    finish, gaussian_report.finish = gaussian_report.finish, stop
    try:
        vae_main.main(["--n_epoch", str(n_epoch), "--lr_schedule", "constant", *flags])
    except errors.Stopped:
        pass
    finally:
        gaussian_report.finish = finish


def stop(*arguments, **names):
    raise errors.Stopped("measured")


def run(rounds, other):
    """The default run in this folder and in the folder `other`, in turn."""
    folders = {"this version": ROOT, **{f"the version in {Path(f).name}": Path(f) for f in other}}
    parts = {label: [] for label in folders}

    def turn(label, number):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "vae_main.py", "--output_dir", f"{folder}/run"]
            start = time.perf_counter()
            subprocess.run(command, cwd=folders[label], check=True, stdout=subprocess.DEVNULL)
            seconds = time.perf_counter() - start
            trained = json.loads((Path(folder) / "run" / "report.json").read_text())["seconds"]
            parts[label].append((seconds, trained))
        return seconds

    turns = {label: lambda k, name=label: turn(name, k) for label in folders}
    times = measuring.take_turns(turns, rounds)
    first = statistics.median(next(iter(times.values())))
    lines = []
    for label, seconds in times.items():
        median = statistics.median(seconds)
        trained = statistics.median(t for _, t in parts[label][1:])
        lines.append([label, *map(short, (median, trained, median - trained, median / first))])
    header = ["`python vae_main.py`", "seconds", "of these in epochs", "elsewhere", "ratio"]
    write("run", rounds, measuring.markdown(header, lines))


def evaluate(rounds, n_images=500, n_samples=5000):
    """log p(x) of images by importance sampling beside the matrix products of the decoder."""
    model, x = make_model(MNIST), MNIST.batch(n_images)[0]
    turns = {
        "log p(x)": lambda k: timed(evaluation.evaluate, model, x, n_samples, (k, "evaluate")),
        "the decoder's matrix products": lambda k: matmul_seconds(
            MNIST.shapes[3:], evaluation.Z_BATCH, n_images * n_samples
        ),
    }
    times = measuring.take_turns(turns, rounds)
    medians = {label: statistics.median(values) for label, values in times.items()}
    floor = list(medians.values())[-1]
    lines = [[label, short(s), f"{s / floor:.2f}"] for label, s in medians.items()]
    header = [f"{n_images} images, {n_samples} draws each", "seconds", "ratio"]
    write("evaluate", rounds, measuring.markdown(header, lines))


def timed(function, *arguments):
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def write(question, rounds, text):
    note = measuring.circumstances(f"{question} --rounds {rounds}")
    measuring.write_table(question, f"{note}\n\n{text}")
