"""How this project's cost grows with the rows and the sizes of the network, and how it starts.

    python benchmarks/scaling.py

Rows: seconds an epoch of batches of 250, which should grow as the rows do. Width, n_dim and
data_dim: microseconds a step of such a batch, beside the multiply-adds of the step, scaled to the
largest size. Start-up: seconds from the command `python vae_main.py` with its defaults to the end
of its first call of compiled steps; cold is the first start after the operating system was asked
to forget the files of the installed packages, warm a start after that.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import quiet_tensorflow

# isort: split
import keras
import numpy as np

import data_processing
import vae_main
from analysis import figure_style
from benchmarks import measuring
from benchmarks.peers.problems import Problem
from training import loop
from vae_models import VAE

BATCH = 250  # vae_main.py's default
DEFAULT = {"data_dim": 10, "n_width": 128, "n_dim": 2}
SIZES = {
    "n_width": (32, 64, 128, 256, 512, 1024),
    "n_dim": (2, 4, 8, 16, 32, 64),
    "data_dim": (2, 5, 10, 30, 100, 300, 1000),
}
ROWS = (1000, 10_000, 100_000, 1_000_000, 10_000_000)
SHORTEST = 0.3  # seconds of a timed stretch, at least
UNITS = {"rows": "seconds an epoch"}  # of the others: microseconds a step
FIRST_STEPS = """
import os, sys
sys.path.insert(0, sys.argv[1])
import vae_main
from training import loop
loop.Run.add = lambda *_, **__: os._exit(0)
vae_main.main(["--output_dir", sys.argv[2]])
"""


def random_rows(n_rows, data_dim):
    return np.random.default_rng(0).standard_normal((n_rows, data_dim), np.float32)


def trainer(x, n_dim, n_width):
    """A function that trains for an epoch of the rows of x as vae_main.py does."""
    model = VAE(x.shape[1], n_dim, (n_width, n_width))
    optimizer = loop.make_optimizer("adam", 1e-5, "constant", 1, model)
    run_steps = loop.compile_steps(vae_main.training_step, model, optimizer)
    batches = data_processing.Batches(x, BATCH, n_dim, seed=0)

    def train(epoch):
        for chunk in batches.chunks(epoch):
            run_steps(*chunk)

    return train


def seconds_an_epoch(train, rounds):
    """Median seconds, of stretches of as many epochs as take SHORTEST seconds."""
    train(0)  # tracing and compiling are not timed
    start = time.perf_counter()
    train(1)
    epochs = max(1, round(SHORTEST / (time.perf_counter() - start)))
    times = []
    for k in range(rounds):
        start = time.perf_counter()
        for epoch in range(epochs):
            train(2 + k * epochs + epoch)
        times.append((time.perf_counter() - start) / epochs)
    keras.backend.clear_session()
    return statistics.median(times)


def multiply_adds(sizes):
    """Of the matrix products of a step's forward and backward passes, for one row."""
    problem = Problem(likelihood="gaussian", **sizes)
    first, *others = (n_in * n_out for n_in, n_out in problem.shapes)
    return 2 * first + 3 * sum(others)


def measure_rows(rounds):
    x = random_rows(max(ROWS), DEFAULT["data_dim"])
    rows = []
    for n in ROWS:
        few = 1 if n == max(ROWS) else rounds  # the longest lasts half a minute
        train = trainer(x[:n], DEFAULT["n_dim"], DEFAULT["n_width"])
        rows.append(
            {"what": "rows", "size": n, "cost": seconds_an_epoch(train, few), "expected": n}
        )
        print(rows[-1], flush=True)
    return rows


def measure_size(name, rounds):
    rows, n_steps = [], 40
    for size in SIZES[name]:
        sizes = {**DEFAULT, name: size}
        x = random_rows(n_steps * BATCH, sizes["data_dim"])
        train = trainer(x, sizes["n_dim"], sizes["n_width"])
        cost = 1e6 * seconds_an_epoch(train, rounds) / n_steps
        rows.append({"what": name, "size": size, "cost": cost, "expected": multiply_adds(sizes)})
        print(rows[-1], flush=True)
    return rows


def scale_expected(rows):
    """Make `expected` a cost: equal to the one measured at the largest size."""
    factor = rows[-1]["cost"] / rows[-1]["expected"]
    for row in rows:
        row["expected"] *= factor


def forget_packages():
    """Ask the operating system to drop the installed packages' files from its memory."""
    for path in Path(np.__file__).parents[1].rglob("*"):
        if path.is_file():
            file = os.open(path, os.O_RDONLY)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)


def start_up():
    """Seconds to the end of the first compiled steps of vae_main.py, in a process of its own."""
    # Without the variables that importing TensorFlow here has set.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TF_CPP")}
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        command = [sys.executable, "-c", FIRST_STEPS, str(ROOT), folder + "/run"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        return time.perf_counter() - start


def measure_start(rounds):
    """Cold once, since the first asking may be all that works; warm the median of the rounds."""
    forget_packages()
    cold = start_up()
    return {"cold": cold, "warm": statistics.median(start_up() for _ in range(rounds))}


def slope(rows, key):
    """d log(cost) / d log(size) between the two largest sizes."""
    a, b = rows[-2:]
    return np.log(b[key] / a[key]) / np.log(b["size"] / a["size"])


def write_page(path, groups, starts, rounds):
    lines = [
        [name, f"{rows[0]['size']} to {rows[-1]['size']}", UNITS.get(name, "microseconds a step"),
         measuring.short(rows[0]["cost"]), measuring.short(rows[-1]["cost"]),
         f"{slope(rows, 'cost'):.2f}", f"{slope(rows, 'expected'):.2f}"]
        for name, rows in groups.items()
    ]  # fmt: skip
    header = ["", "sizes", "unit", "smallest", "largest", "slope", "expected"]
    text = (
        "# How the cost grows\n\n"
        f"{measuring.circumstances()} Adam, batches of {BATCH}, otherwise data_dim 10, width 128, "
        f"n_dim 2; medians of {rounds} rounds (the most rows: one). Slopes are those of the "
        "log-log picture between the two largest sizes; expected: of the rows, or of the "
        "multiply-adds of a step (the dashed lines, through the largest size).\n\n"
        "![cost against rows and sizes](scaling_cost.png)\n\n"
        f"{measuring.markdown(header, lines)}\n"
        "Start-up, from `python vae_main.py` to the end of its first call of compiled steps: "
        f"{starts['cold']:.1f} s with the packages' files dropped from memory, "
        f"{starts['warm']:.1f} s after that (median of {rounds}).\n"
    )
    path.write_text(text, encoding="utf-8")


def draw(path, groups):
    with figure_style.picture(path, height=5.5) as figure:
        all_axes = figure_style.panels(figure, len(groups), 2)
        for axes, (name, rows) in zip(all_axes, groups.items(), strict=True):
            sizes = [row["size"] for row in rows]
            expected = f"expected, slope {slope(rows, 'expected'):.1f} at the end"
            axes.plot(sizes, [r["cost"] for r in rows], **figure_style.LINES[0], label="measured")
            axes.plot(sizes, [r["expected"] for r in rows], **figure_style.EXACT, label=expected)
            unit = UNITS.get(name, "microseconds a step")
            axes.set(xscale="log", yscale="log", xlabel=name, ylabel=unit)
            costs = [row[key] for row in rows for key in ("cost", "expected")]
            axes.set_ylim(min(costs) / 2.5, max(costs) * 6)  # a flat line looks flat
            axes.set_xticks(
                sizes, [f"{n:,}" if n < 1e4 else f"$10^{len(str(n)) - 1}$" for n in sizes]
            )
            axes.minorticks_off()
            axes.legend(loc="upper left")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="timed stretches of each size")
    parser.add_argument("--output", type=Path, default=Path("docs"), help="folder of the results")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    starts = measure_start(args.rounds)
    print(f"start-up: {starts}", flush=True)
    groups = {name: measure_size(name, args.rounds) for name in SIZES}
    groups = {"rows": measure_rows(args.rounds), **groups}
    for rows in groups.values():
        scale_expected(rows)
    table = [row for rows in groups.values() for row in rows]
    table += [
        {"what": f"start-up, {name}", "size": "", "cost": cost, "expected": ""}
        for name, cost in starts.items()
    ]
    measuring.write_csv(args.output / "scaling_cost.csv", table)
    write_page(args.output / "scaling_cost.md", groups, starts, args.rounds)
    draw(args.output / "scaling_cost.png", groups)


if __name__ == "__main__":
    main()
