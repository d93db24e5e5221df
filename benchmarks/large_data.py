"""Training from a file too large for memory beside training in memory: speed and memory (Linux)."""

import quiet_tensorflow

import contextlib
import csv
import os
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import data_processing
import vae_main
from benchmarks import measuring
from benchmarks.measuring import short
from training import random_streams, tables

PAGE = measuring.DOCS / "large_data.md"
N_ROWS, HELD_OUT = 6_000_000, 20_000  # of 10 numbers: 0.24 GB
WAYS = {"file": 0, "memory": sys.maxsize}  # the rows' bytes from which on they stay in the file
FLAGS = "--n_epoch 1 --batch_size 1000".split()
FLAGS += ["--data_size", str(N_ROWS), "--training_data_size", str(N_ROWS - HELD_OUT)]


def own_memory():
    """The memory of this process in MB, without the pages of mapped files."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) * 1024 / 1e6


def train(way, path):
    """A whole run in this process: rows per second of its epoch, highest memory, seconds."""
    tables.LARGE_BYTES = WAYS[way]
    memory, begin = [own_memory()], time.perf_counter()

    def watch():
        while True:
            memory.append(own_memory())
            time.sleep(0.05)

    threading.Thread(target=watch, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        vae_main.main([*FLAGS, "--data_path", path, "--output_dir", f"{folder}/run"])
        (epoch,) = csv.DictReader((Path(folder) / "run" / "history.csv").read_text().splitlines())
    seconds = time.perf_counter() - begin
    return (N_ROWS - HELD_OUT) / float(epoch["seconds"]), max(memory) - memory[0], seconds


def beside_memory(rounds):
    """One epoch of vae_main.py, its rows in the file or in memory, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x.npy")
        rng = random_streams.stream(0, "draw")
        x = data_processing.draw_gaussian(*data_processing.known_gaussian(), N_ROWS, rng)
        tables.save_table(path, x)
        lines = []
        for way in rounds * list(WAYS):
            with ProcessPoolExecutor(1, get_context("spawn")) as process:
                lines.append([way, *map(short, process.submit(train, way, path).result())])
    header = ["rows in", "rows per second", "memory above start-up, MB", "seconds of the run"]
    note = measuring.circumstances(f"large_data --rounds {rounds}")
    measuring.write_table("large_data", f"{note}\n\n{measuring.markdown(header, lines)}", PAGE)
