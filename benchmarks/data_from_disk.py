"""Training from a file too large for memory against training in memory: rows per second, memory.

    python benchmarks/data_from_disk.py --folder FOLDER --table docs/developers/large_data.md

Makes a .npy file of known Gaussian rows in FOLDER (kept, and used again if it is there) and trains
vae_main.py for one epoch at batch 1000, once with the rows left in the file and once with all of
them in memory, each in a process of its own. 20 000 rows are held out. Memory is the process's own
(RssAnon) at its highest, above that after the imports: the pages of the mapped file, which the
system takes back when it needs them, do not count. The numbers of the file are those of a whole
run with its report; in memory the run ends after the epoch, because its report would take several
times the memory of the data.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import quiet_tensorflow

# isort: split
import numpy as np
import tensorflow as tf

import data_processing
import vae_main
from analysis import gaussian_report
from training import tables

HELD_OUT = 20_000
ROWS_PER_BLOCK = 10**6
HEADING = "## What it costs"  # in the file of the table; what stands above it stays
WAYS = {"file": 0, "memory": sys.maxsize}  # the rows' bytes from which on they stay in the file


def make_file(path, n_rows):
    """n_rows rows of the known Gaussian as float32, written by blocks."""
    mean, covariance = data_processing.known_gaussian()
    blocks = (
        data_processing.draw_gaussian(
            mean, covariance, min(ROWS_PER_BLOCK, n_rows - first), np.random.default_rng(first)
        )
        for first in range(0, n_rows, ROWS_PER_BLOCK)
    )
    data_processing.save_blocks(path, blocks, (n_rows, len(mean)))


def own_memory():
    """The memory of this process without mapped files, in MB (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("/proc/self/status has no RssAnon")


def watch(highest):
    """Keeps the highest own_memory in highest[0], in a thread."""
    while True:
        highest[0] = max(highest[0], own_memory())
        time.sleep(0.05)


def train(way, path, n_rows, folder):
    """One run in this process; prints its results as JSON on the last line."""
    tables.LARGE_BYTES = WAYS[way]
    results = {"start": own_memory()}
    highest = [results["start"]]
    threading.Thread(target=watch, args=(highest,), daemon=True).start()
    whole_finish, began = gaussian_report.finish, time.monotonic()

    def finish(run, *args, **names):
        (epoch,) = run.position.history
        results["rows_per_second"] = (n_rows - HELD_OUT) / epoch["seconds"]
        results["loading"] = time.monotonic() - began - epoch["seconds"]
        if way == "memory":
            raise SystemExit
        return whole_finish(run, *args, **names)

    gaussian_report.finish = finish
    flags = f"--data_size {n_rows} --training_data_size {n_rows - HELD_OUT} --batch_size 1000"
    try:
        vae_main.main(
            [*flags.split(), "--n_epoch", "1", "--data_path", path, "--output_dir", folder]
        )
    except SystemExit:
        pass
    results["memory"] = highest[0] - results["start"]
    print(json.dumps(results))


def results_of(way, path, n_rows):
    """The results of `train` in a new process."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--way", way, "--folder", folder]
        command += ["--n_rows", str(n_rows), "--file", str(path)]
        shell = {k: v for k, v in os.environ.items() if not k.startswith("TF_CPP")}
        result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=shell)
    return json.loads(result.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", required=True, help="for the data file")
    parser.add_argument("--n_rows", type=int, default=50_000_000, help="of 10 numbers each")
    parser.add_argument("--rounds", type=int, default=1, help="of both ways, taking turns")
    parser.add_argument("--table", help="file for the table (Markdown)")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)  # of a process of its own
    parser.add_argument("--file", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.way:
        train(args.way, args.file, args.n_rows, str(Path(args.folder) / "run"))
        return
    path = Path(args.folder) / f"gaussian_{args.n_rows}.npy"
    if not path.exists():
        make_file(path, args.n_rows)
    lines = [
        "| rows in | rows per second | memory above start-up, MB | before the first step, s |",
        "|---|---|---|---|",
    ]
    speeds = {way: [] for way in WAYS}
    for _ in range(args.rounds):
        for way in WAYS:
            results = results_of(way, path, args.n_rows)
            speeds[way].append(results["rows_per_second"])
            lines.append(
                f"| {way} | {results['rows_per_second']:.0f} | {results['memory']:.0f} | "
                f"{results['loading']:.1f} |"
            )
            print(lines[-1], flush=True)
    ratio = np.median(speeds["file"]) / np.median(speeds["memory"])
    lines += ["", f"Rows per second from the file over those in memory (medians): {ratio:.3f}"]
    print(lines[-1])
    if args.table:
        machine = f"{os.cpu_count()} CPUs, {platform.machine()}, TensorFlow {tf.__version__}"
        title = (
            f"    python benchmarks/data_from_disk.py --folder FOLDER --n_rows {args.n_rows} "
            f"--rounds {args.rounds}\n\nOne epoch of `vae_main.py` at batch 1000, a file of "
            f"{path.stat().st_size / 1e9:.2f} GB; {machine}.\n\n"
        )
        text = Path(args.table).read_text(encoding="utf-8").partition(HEADING)[0]
        Path(args.table).write_text(
            text + HEADING + "\n\n" + title + "\n".join(lines) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
