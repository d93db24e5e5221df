"""Training from a file too large for memory against training in memory: rows a second, memory.

    python benchmarks/data_from_disk.py --folder FOLDER --table docs/large_data.md

Makes a .npy file of known Gaussian rows in FOLDER (kept, and used again if it is there) and trains
vae_main.py for one epoch at batch 1000, once with the rows left in the file and once with all of
them in memory, each in a process of its own. 20 000 rows are held out. Memory is resident memory
at its highest, above that after the imports. The figures of the file are those of a whole run with
its report; in memory the run ends after the epoch, because its report would take several times the
memory of the data.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import quiet_tensorflow  # noqa: F401 - before TensorFlow is imported

# isort: split
import numpy as np
import tensorflow as tf

import data_processing
import vae_main
from analysis import gaussian_report
from training import large_data

HELD_OUT = 20_000
ROWS_AT_ONCE = 10**6
HEADING = "## What it costs"  # in the file of the table; what stands above it stays
WAYS = {"file": 0, "memory": sys.maxsize}  # the rows' bytes from which on they stay in the file


def make_file(path, n_rows):
    """n_rows rows of the known Gaussian as float32, written by blocks."""
    mean, covariance = data_processing.known_gaussian()
    blocks = (
        data_processing.draw_gaussian(
            mean, covariance, min(ROWS_AT_ONCE, n_rows - first), np.random.default_rng(first)
        )
        for first in range(0, n_rows, ROWS_AT_ONCE)
    )
    data_processing.save_blocks(path, blocks, (n_rows, len(mean)))


def resident(kind):
    """VmRSS (now) or VmHWM (the highest so far) of this process in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(kind):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"/proc/self/status has no {kind}")


def train(way, path, n_rows, folder):
    """One run in this process; prints its figures as JSON on the last line."""
    large_data.LARGE_BYTES = WAYS[way]
    figures = {"start": resident("VmRSS")}
    whole_finish, began = gaussian_report.finish, time.monotonic()

    def finish(run, *args, **names):
        (epoch,) = run.position.history
        figures["rows_per_second"] = (n_rows - HELD_OUT) / epoch["seconds"]
        figures["loading"] = time.monotonic() - began - epoch["seconds"]
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
    figures["memory"] = resident("VmHWM") - figures["start"]
    print(json.dumps(figures))


def figures_of(way, path, n_rows):
    """The figures of `train` in a new process."""
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
        "| rows in | rows a second | memory above start-up, MB | before the first step, s |",
        "|---|---|---|---|",
    ]
    speeds = {way: [] for way in WAYS}
    for _ in range(args.rounds):
        for way in WAYS:
            figures = figures_of(way, path, args.n_rows)
            speeds[way].append(figures["rows_per_second"])
            lines.append(
                f"| {way} | {figures['rows_per_second']:.0f} | {figures['memory']:.0f} | "
                f"{figures['loading']:.1f} |"
            )
            print(lines[-1], flush=True)
    ratio = np.median(speeds["file"]) / np.median(speeds["memory"])
    lines += ["", f"Rows a second from the file over those in memory (medians): {ratio:.3f}"]
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
