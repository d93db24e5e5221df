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
from analysis import evaluation
from benchmarks import measuring
from benchmarks.measuring import short
from benchmarks.peers.floor import matmul_seconds
from benchmarks.peers.problems import GAUSSIAN, MNIST
from benchmarks.peers.this_project import Trainer, make_model

ROOT = Path(__file__).resolve().parents[1]


EPOCHS = {"the default run": (100_000, 250), "batch 5": (25_000, 5), "batch 1000": (300_000, 1000)}


def epoch(rounds):
    """Whole epochs of vae_main.py beside the same compiled calls alone.

    As vae_main.py runs it, a thread makes the next chunks meanwhile, and an epoch ends with the
    held-out ELBO, the progress and perhaps a checkpoint.
    """
    lines = []
    for label, (data_size, batch_size) in EPOCHS.items():
        with tempfile.TemporaryDirectory() as folder:
            flags = f"--data_size {data_size} --batch_size {batch_size} --n_epoch {rounds + 1}"
            vae_main.main([*flags.split(), "--output_dir", f"{folder}/run"])
            history = np.genfromtxt(f"{folder}/run/history.csv", delimiter=",", names=True)
        trainer = Trainer(GAUSSIAN, GAUSSIAN.rows(data_size * 4 // 5), batch_size, "adam")
        chunks = list(trainer.batches.chunks(1))
        times = [sum(timed(trainer.iterate, c) for c in chunks) for _ in range(rounds + 1)]
        whole, alone = np.median(history["seconds"][1:]), np.median(times[1:])  # the first compiles
        lines.append([label, short(whole), short(alone), f"{whole / alone:.2f}"])
    header = ["", "seconds an epoch", "its compiled calls alone", "ratio"]
    write("epoch", rounds, measuring.markdown(header, lines))


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
