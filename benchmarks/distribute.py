"""What several machines cost and gain: on paper, or measured with processes of this machine.

python benchmarks/distribute.py paper prints the tables of docs/scaling.md; no machine is needed.
python benchmarks/distribute.py measure times a training step in one process and in several, each
on its share of the batch, and the drawing of the batch, which every process does whole.
"""

import argparse
import json
import math
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import quiet_tensorflow

# isort: split
import data_processing
import vae_main
from training import distribute, loop, random_streams
from vae_models import VAE

SIZES = {"data_dim": 10, "n_dim": 2, "hidden_widths": (128, 128)}  # of the default run
FIXED, PER_ROW = 137e-6, 1.78e-6  # seconds: of a step, and of a row (docs/training_speed.md)
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


def paper():
    """The steps a second, as a multiple of one machine's, of one batch and of a growing one."""
    n_bytes = 4 * VAE(**SIZES).count_params()
    print(f"{n_bytes} bytes of gradients\n")
    print("| machines | all-reduce, ms (10, 100 Gbit/s) | batch 1000 in all | 1000 rows each |")
    print("|---|---|---|---|")
    for n in MACHINES:
        message = [all_reduce(n, n_bytes, gigabits) for gigabits in (10, 100)]
        one = step_seconds(1000, 1000)
        strong = [one / (step_seconds(1000 / n, 1000) + m) for m in message]
        weak = [n * one / (step_seconds(1000, 1000 * n) + m) for m in message]
        cells = [f"{x * 1000:.2f}, {y * 1000:.2f}" for x, y in [message]]
        cells += [f"{x:.2f}, {y:.2f}" for x, y in (strong, weak)]
        print(f"| {n} | {' | '.join(cells)} |")


def measure_here(kind, batch_size, rounds):
    """Median seconds of a step and of its drawing, printed as JSON by the chief."""
    args = {"distribute": kind, "batch_size": batch_size, "output_dir": "", "resume": False}
    distribute.start(argparse.Namespace(**args))
    mean, covariance = data_processing.known_gaussian()
    rng = random_streams.stream(0, "draw")
    x = data_processing.draw_gaussian(mean, covariance, 20 * batch_size, rng)
    batches = data_processing.Batches(x, batch_size, SIZES["n_dim"], seed=0)
    model = VAE(**SIZES)
    optimizer = loop.make_optimizer("adam", 1e-4, "constant", 1, model)
    run_steps = loop.compile_steps(vae_main.training_step, model, optimizer)
    steps, draws = [], []
    for epoch in range(rounds + 1):
        begin = time.perf_counter()
        chunks = list(batches.chunks(epoch))
        drawn = time.perf_counter()
        for chunk in chunks:
            run_steps(*chunk)
        steps.append((time.perf_counter() - drawn) / batches.steps)
        draws.append((drawn - begin) / batches.steps)
    print(json.dumps([statistics.median(steps[1:]), statistics.median(draws[1:])]))


def start(n, kind, arguments):
    """The figures of measure_here in n processes on the loopback interface."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    cluster = {"worker": [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]}
    for s in sockets:
        s.close()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TF_CPP")}
    processes = []
    for i in range(n):
        config = {"cluster": cluster, "task": {"type": "worker", "index": i}}
        processes.append(
            subprocess.Popen(
                [sys.executable, __file__, "here", "--distribute", kind, *arguments],
                env={**environment, "TF_CONFIG": json.dumps(config)},
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    shown = [process.communicate()[0] for process in processes]
    return json.loads(shown[0].splitlines()[-1])


def measure(batch_sizes, rounds):
    print("| batch | processes | step, ms | of one process | drawing the batch, ms |")
    print("|---|---|---|---|---|")
    for batch_size in batch_sizes:
        arguments = ["--batch_size", str(batch_size), "--rounds", str(rounds)]
        one = None
        for n, kind in [(1, "none"), (1, "multi_worker"), (2, "multi_worker")]:
            step, draw = start(n, kind, arguments)
            one = one or step
            name = f"{n}, no flag" if kind == "none" else str(n)
            print(
                f"| {batch_size} | {name} | {step * 1000:.3f} | {step / one:.2f} | "
                f"{draw * 1000:.3f} |",
                flush=True,
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("paper", "measure", "here"))
    parser.add_argument("--distribute", default="none", help="for here, which measure starts")
    parser.add_argument("--batch_size", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    if args.what == "paper":
        paper()
    elif args.what == "measure":
        measure(args.batch_size, args.rounds)
    else:
        kind = None if args.distribute == "none" else args.distribute
        measure_here(kind, args.batch_size[0], args.rounds)


if __name__ == "__main__":
    main()
