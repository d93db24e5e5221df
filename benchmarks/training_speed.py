"""Microseconds a training step, this project beside its peers, the same network and step for all.

    python benchmarks/training_speed.py

Each peer (benchmarks/peers) has a process of its own; they take turns for several rounds, and a
figure is the median. A step includes what an epoch of a run includes: shuffling, batching, and
drawing the noise. Before they are timed, all must give the costs of three steps on the same
weights, batch and noise to 1e-5, and the weights after three steps of SGD. The floor is the matrix
products alone. A peer that is not installed is left out.
"""

import argparse
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from matplotlib.ticker import NullFormatter

from analysis import figure_style
from benchmarks import measuring
from benchmarks.peers import numpy_by_hand
from benchmarks.peers.problems import GAUSSIAN, MNIST

OURS, FLOOR = "this project", "floor: matrix products"
COMPILED = "this project, compiled calls alone"
SLOW = {"one tf.function call a batch", "Keras fit", "PyTorch", "PyTorch, torch.compile"}
CASES = [  # name of the data, problem, batch size, steps of a turn, of a slow peer's turn
    ("10-D", GAUSSIAN, 5, 4000, 800),
    ("10-D", GAUSSIAN, 100, 1600, 400),
    ("10-D", GAUSSIAN, 1000, 240, 80),
    ("MNIST", MNIST, 100, 60, 30),
    ("MNIST", MNIST, 200, 40, 20),
]
COST_TOLERANCE = 1e-5  # relative
UPDATE_TOLERANCE = 1e-3  # relative norm; rounding of float32 weights alone is 1e-4


def start_peers():
    """The peers that are installed, this project first and the floor last."""
    peers = [
        (OURS, "this_project", "Trainer"),
        (COMPILED, "this_project", "CompiledTrainer"),
        ("one tf.function call a batch", "guideline", "Trainer"),
        ("Keras fit", "keras_fit", "Trainer"),
    ]
    if measuring.is_there("JAX", "jax", "optax"):
        peers.append(("JAX lax.scan", "jax_scan", "Trainer"))
    if measuring.is_there("PyTorch", "torch"):
        peers.append(("PyTorch", "pytorch", "Trainer"))
        if shutil.which("c++") or shutil.which("g++"):
            peers.append(("PyTorch, torch.compile", "pytorch", "CompiledTrainer"))
        else:
            print("torch.compile is left out: no C++ compiler", file=sys.stderr)
    peers += [("numpy by hand", "numpy_by_hand", "Trainer"), (FLOOR, "floor", "Trainer")]
    return [measuring.Peer(*peer) for peer in peers]


def three_steps(make_step, problem, batch_size):
    """The costs of three steps on one batch, in which the later ones depend on the updates."""
    x, epsilon = problem.batch(batch_size)
    return [make_step(x, epsilon) for _ in range(3)]


def change(weights, problem):
    """How far the weights have moved, as one vector."""
    pairs = zip(weights, problem.first_weights(), strict=True)
    return np.concatenate([(w - first).ravel() for w, first in pairs])


def reference(problem, batch_size, optimizer):
    """Costs and change of the weights in three steps, in float64 by numpy."""
    x = problem.rows(batch_size)
    trainer = numpy_by_hand.Trainer(problem, x, batch_size, optimizer, np.float64)
    costs = three_steps(trainer.step, problem, batch_size)
    return costs, change(trainer.weights(), problem)


def check(label, costs, moved, expected_costs, expected_moved, optimizer):
    """Stop the benchmark where a peer does not compute what the others do."""
    if not np.allclose(costs, expected_costs, rtol=COST_TOLERANCE, atol=0.0):
        sys.exit(f"{label}: the costs of three steps are {costs}, not {expected_costs}")
    error = np.linalg.norm(moved - expected_moved) / np.linalg.norm(expected_moved)
    # Adam's epsilon stands elsewhere in Optax and PyTorch: weights of tiny gradient move otherwise.
    if optimizer == "sgd" and not error < UPDATE_TOLERANCE:
        sys.exit(f"{label}: the weights after three steps differ by {error:.1e} of their change")


def measure(peers, problem, batch_size, optimizer, steps, rounds):
    """Check all peers, then time them: {label: microseconds a step in each round}."""
    expected = reference(problem, batch_size, optimizer)
    for peer in peers:
        x = problem.rows(steps[peer.label] * batch_size)
        peer.make(problem, x, batch_size, optimizer)
        if peer.label != FLOOR:
            costs = three_steps(lambda *b, p=peer: p.call("step", *b), problem, batch_size)
            check(peer.label, costs, change(peer.call("weights"), problem), *expected, optimizer)
    times = measuring.take_turns(peers, "train", rounds)
    return {k: [1e6 * seconds / steps[k] for seconds in v] for k, v in times.items()}


def measure_all(peers, rounds):
    """A row for each data set, batch size, optimizer and peer."""
    rows = []
    for data, problem, batch_size, n_steps, slow_steps in CASES:
        steps = {p.label: slow_steps if p.label in SLOW else n_steps for p in peers}
        for optimizer in ("adam",) if problem is MNIST else ("sgd", "adam"):
            times = measure(peers, problem, batch_size, optimizer, steps, rounds)
            case = {"data": data, "batch": batch_size, "optimizer": optimizer}
            rows += [{**case, "peer": k, **measuring.middle(v)} for k, v in times.items()]
            figures = ", ".join(f"{r['peer']} {r['median']:.0f}" for r in rows[-len(peers) :])
            print(f"{' '.join(map(str, case.values()))}: {figures}", flush=True)
    return rows


def table(rows, peers, value):
    """The peers down, the cases across; value(row, row of this project) -> a number."""
    cases = list(dict.fromkeys((r["data"], r["batch"], r["optimizer"]) for r in rows))
    by_key = {(r["data"], r["batch"], r["optimizer"], r["peer"]): r for r in rows}
    lines = [
        [label, *(measuring.short(value(by_key[*c, label], by_key[*c, OURS])) for c in cases)]
        for label in peers
    ]
    return measuring.markdown(["", *(f"{d} batch {b} {o}" for d, b, o in cases)], lines)


def write_page(path, rows, peers, rounds):
    text = (
        "# Training speed\n\n"
        f"{measuring.circumstances()} A process for each peer, taking turns; medians of {rounds} "
        "rounds, lowest and highest in the `.csv`. 10-D: width 128, n_dim 2, Gaussian p(x|z); "
        "MNIST: 784-500-500-40 and back, Bernoulli. Shuffling, noise and binarisation "
        "included; starting and compiling not. All peers gave the same costs to 1e-5 before.\n\n"
        "![microseconds a step of each peer](training_speed.png)\n\n"
        "Microseconds a step:\n\n"
        f"{table(rows, peers, lambda row, ours: row['median'])}\n"
        "Times as long as this project:\n\n"
        f"{table(rows, peers, lambda row, ours: row['median'] / ours['median'])}"
    )
    path.write_text(text, encoding="utf-8")


def draw(path, rows, peers):
    """A panel for each data set and batch size; a peer a line, a mark for each optimizer."""
    panels = list(dict.fromkeys((r["data"], r["batch"]) for r in rows))
    with figure_style.picture(path, height=6.5) as figure:
        all_axes = figure_style.panels(figure, len(panels), 3, sharey=True)
        for axes, (data, batch) in zip(all_axes, panels, strict=True):
            here = [r for r in rows if (r["data"], r["batch"]) == (data, batch)]
            for line, optimizer, size in zip(
                figure_style.LINES, ("adam", "sgd"), (5.5, 4.0), strict=False
            ):
                points = [
                    (r["median"], peers.index(r["peer"]))
                    for r in here
                    if r["optimizer"] == optimizer
                ]
                if points:
                    axes.plot(
                        *zip(*points, strict=True),
                        **{**line, "linestyle": ""},
                        markersize=size,
                        label=optimizer,
                    )
            floor = min(r["median"] for r in here if r["peer"] == FLOOR)
            axes.axvline(floor, **figure_style.EXACT)
            axes.set(xscale="log", title=f"{data}, batch {batch}", xlabel="microseconds a step")
            medians = [r["median"] for r in here]
            axes.set_xlim(10 ** np.floor(np.log10(min(medians))), 2 * max(medians))
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.set_yticks(range(len(peers)), peers)
        all_axes[0].invert_yaxis()
        figure_style.legend_above(figure, all_axes[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="turns of each peer")
    parser.add_argument("--output", type=Path, default=Path("docs"), help="folder of the results")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    peers = start_peers()
    labels = [peer.label for peer in peers]
    rows = measure_all(peers, args.rounds)
    measuring.write_csv(args.output / "training_speed.csv", rows)
    write_page(args.output / "training_speed.md", rows, labels, args.rounds)
    draw(args.output / "training_speed.png", rows, labels)


if __name__ == "__main__":
    main()
