"""Train for minutes on end and watch the memory and the time of a step.

    python benchmarks/soak.py --minutes 10

One run of vae_main.py with many short epochs, ended by SIGTERM. After every epoch it notes the
resident memory and the time of a training step. Memory counts from epoch 20 on, when everything
has been compiled; the time of a step is compared between the first and the last tenth of the run.
"""

import argparse
import os
import platform
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import quiet_tensorflow

# isort: split
import vae_main
from training import errors, loop

FLAGS = (
    "--data_size 2000 --batch_size 20 --n_width 32 --lr_schedule constant --n_epoch 1000000"
).split()
STEPS = 80  # of an epoch, by FLAGS
WARM = 20  # epochs before memory counts
PAGE = os.sysconf("SC_PAGE_SIZE")


def resident_mib():
    """Resident memory of this process in MiB (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 2**20


def watched_run(minutes):
    """Train for so many minutes; an array (n_epoch, 3): MiB, wall and CPU seconds at each end."""
    end_epoch, notes = loop.Run.end_epoch, []
    deadline = time.monotonic() + 60.0 * minutes

    def watched_end_epoch(run, elbo_held_out):
        notes.append((resident_mib(), time.perf_counter(), time.process_time()))
        if time.monotonic() > deadline:
            os.kill(os.getpid(), signal.SIGTERM)
        end_epoch(run, elbo_held_out)

    loop.Run.end_epoch = watched_end_epoch
    with tempfile.TemporaryDirectory() as folder:
        try:
            vae_main.main(["--output_dir", f"{folder}/soak", *FLAGS])
        except errors.Stopped as stopped:
            print(stopped)
    return np.array(notes)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    args = parser.parse_args()
    notes = watched_run(args.minutes)
    memory, wall, cpu = notes[WARM:].T
    tenth = len(wall) // 10
    print(f"\n{platform.machine()}, {os.cpu_count()} cores; {len(notes)} epochs of {STEPS} steps")
    for epoch in (WARM, 200, 2000, 20_000, len(notes) - 1):
        if WARM <= epoch < len(notes):
            mib = notes[epoch, 0]
            print(f"resident after epoch {epoch:6d}  {mib:8.1f} MiB  {mib / memory[0] - 1:+.2%}")
    for name, clock in (("wall", wall), ("CPU", cpu)):
        first, last = (
            1e6 / STEPS * np.median(np.diff(part)) for part in (clock[:tenth], clock[-tenth:])
        )
        print(
            f"{name:>4} time a step, with its share of the epoch's end: first tenth {first:.1f} us,"
            f" last tenth {last:.1f} us, ratio {last / first:.3f}"
        )


if __name__ == "__main__":
    main()
