"""What several machines cost and gain, on paper: steps of the default run and their messages."""

import math

from benchmarks import measuring
from vae_models import VAE

PAGE = measuring.DOCS / "scaling.md"
FIXED, PER_ROW = 137e-6, 1.78e-6  # seconds: of a step, and of a row (docs/developers/speed.md)
DRAWING = 0.17e-6  # of which to draw the row and its noise: not divided among machines
LATENCY = 50e-6  # seconds of one message between two machines: an assumption
MACHINES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)


def all_reduce(n, n_bytes, gigabits):
    """Seconds in which n machines add up n_bytes each: by a ring or a tree, whichever is faster.

    Ring: 2 (n - 1) messages of n_bytes / n. Tree: 2 log2(n) messages of n_bytes.
    """
    if n == 1:
        return 0.0
    transfer = n_bytes / (gigabits * 1e9 / 8)
    ring = 2 * (n - 1) * (LATENCY + transfer / n)
    tree = 2 * math.ceil(math.log2(n)) * (LATENCY + transfer)
    return min(ring, tree)


def step_seconds(rows, batch_size):
    """A step of a machine that takes `rows` of the batch, without its messages."""
    return FIXED + (PER_ROW - DRAWING) * rows + DRAWING * batch_size


def on_paper():
    """The rows a second, as a multiple of one machine's, of one batch and of a growing one."""
    n_bytes = 4 * VAE(data_dim=10, n_dim=2, n_width=[128]).count_params()
    lines, one = [], step_seconds(1000, 1000)
    for n in MACHINES:
        messages = [all_reduce(n, n_bytes, gigabits) for gigabits in (10, 100)]
        strong = [one / (step_seconds(1000 / n, 1000) + m) for m in messages]
        weak = [n * one / (step_seconds(1000, 1000 * n) + m) for m in messages]
        pairs = [1000 * m for m in messages], strong, weak
        lines.append([n, *(f"{x:.2f}, {y:.2f}" for x, y in pairs)])
    header = ["machines", "all-reduce, ms (10, 100 Gbit/s)", "batch 1000 in all", "1000 rows each"]
    measuring.write_table("scaling", measuring.markdown(header, lines), PAGE)
