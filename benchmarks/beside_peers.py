"""Microseconds of a training step and seconds of a million samples, this project beside its peers.

All train the same network from the same weights with the same step, and decode with the same
weights. Before they are timed, all must give the costs of three steps to 1e-5, the weights after
three steps of SGD, and the same x for the same z and noise. A step includes what an epoch of a run
includes: shuffling, batching, and drawing the noise. The floor is the matrix products alone.
"""

import sys

import numpy as np

from analysis import comparison, figure_style
from benchmarks import measuring
from benchmarks.measuring import OURS, PAGE, short
from benchmarks.peers import numpy_by_hand
from benchmarks.peers.problems import GAUSSIAN, MNIST

FLOOR = "floor"
TRAINERS = [
    (OURS, "this_project", "Trainer"),
    ("one tf.function call a batch", "guideline", "Trainer"),
    ("Keras fit", "keras_fit", "Trainer"),
    ("JAX lax.scan", "jax_scan", "Trainer"),
    ("PyTorch, model compiled", "pytorch", "Trainer"),
    ("PyTorch, five steps compiled", "pytorch", "StepsTrainer"),
    ("numpy by hand", "numpy_by_hand", "Trainer"),
    (FLOOR, "floor", "Trainer"),
]
GENERATORS = [
    (OURS, "this_project", "Generator"),
    ("one at a time, eager", "guideline", "Generator"),
    ("one at a time, tf.function", "guideline", "CompiledGenerator"),
    ("JAX lax.scan", "jax_scan", "Generator"),
    ("PyTorch, model compiled", "pytorch", "Generator"),
    ("numpy by hand", "numpy_by_hand", "Generator"),
    (FLOOR, "floor", "Generator"),
]
SLOW = {"guideline", "keras_fit", "pytorch"}  # a fifth of the steps is enough
CASES = [  # name of the data, problem, batch size, steps of a turn, optimizers
    ("10-D", GAUSSIAN, 5, 4000, ("sgd", "adam")),
    ("10-D", GAUSSIAN, 100, 1600, ("sgd", "adam")),
    ("10-D", GAUSSIAN, 1000, 240, ("sgd", "adam")),
    ("MNIST", MNIST, 20, 200, ("adam",)),
    ("MNIST", MNIST, 100, 60, ("adam",)),
    ("MNIST", MNIST, 200, 40, ("adam",)),
]
SAMPLES, FEW = 1_000_000, 200
COST_TOLERANCE = 1e-5  # relative
UPDATE_TOLERANCE = 1e-3  # relative norm; rounding of float32 weights alone is 1e-4


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
    # Adam's epsilon stands elsewhere in PyTorch: weights of tiny gradient move otherwise.
    if optimizer == "sgd" and not error < UPDATE_TOLERANCE:
        sys.exit(f"{label}: the weights after three steps differ by {error:.1e} of their change")


def check_samples(label, problem, decode, generate, n_samples):
    """Stop the benchmark where a peer's decoder or samples are not those of the others."""
    rng = np.random.default_rng(3)
    z = rng.standard_normal((50, problem.n_dim), np.float32)
    epsilon = rng.standard_normal((50, problem.data_dim), np.float32)
    by_hand = numpy_by_hand.Generator(problem)
    expected = by_hand.decode(z, epsilon)
    error = np.abs(decode(z, epsilon) - expected).max() / np.abs(expected).max()
    if not error < 1e-5:
        sys.exit(f"{label}: x differs by {error:.1e} for the same z and noise")
    samples = generate(n_samples, 1)
    covariance = np.cov(by_hand.generate(200_000, 0), rowvar=False)
    error = comparison.relative_error(np.cov(samples, rowvar=False), covariance)
    if samples.shape != (n_samples, problem.data_dim) or not error < 10.0 / np.sqrt(n_samples):
        sys.exit(f"{label}: samples of shape {samples.shape}, their covariance {error:.1%} off")


def training_rows(peers, case, optimizer, rounds):
    """Check the peers on one case, then time them: a row for each."""
    name, problem, batch_size, n_steps, _ = case
    expected, turns, steps = reference(problem, batch_size, optimizer), {}, {}
    for peer in peers:
        steps[peer.label] = n_steps // 5 if peer.module in SLOW else n_steps
        x = problem.rows(steps[peer.label] * batch_size)
        peer.make(problem, x, batch_size, optimizer)
        if peer.label != FLOOR:
            costs = three_steps(lambda *b, p=peer: p.call("step", *b), problem, batch_size)
            check(peer.label, costs, change(peer.call("weights"), problem), *expected, optimizer)
        turns[peer.label] = lambda number, p=peer: p.seconds("train", number)
    times = measuring.take_turns(turns, rounds)
    head = {"case": f"{name} batch {batch_size} {optimizer}"}
    return [
        {**head, "peer": k, **measuring.middle([1e6 * s / steps[k] for s in v])}
        for k, v in times.items()
    ]


def generation_rows(peers, rounds):
    """Check the decoders, then time a million samples of each: a row for each peer."""
    counts = {p.label: FEW if p.module == "guideline" else SAMPLES for p in peers}
    turns = {}
    for peer in peers:
        peer.make(GAUSSIAN)
        if peer.label != FLOOR:
            methods = (lambda *a, p=peer, m=m: p.call(m, *a) for m in ("decode", "generate"))
            check_samples(peer.label, GAUSSIAN, *methods, counts[peer.label])
        turns[peer.label] = lambda k, p=peer: p.seconds("generate", counts[p.label], k)
    times = measuring.take_turns(turns, rounds)
    return [
        {"case": "a million samples", "peer": k}
        | measuring.middle([s * SAMPLES / counts[k] for s in v])
        for k, v in times.items()
    ]


def table(rows, unit):
    """The peers down, the cases across: the median, and in brackets the ratio to this project."""
    cases, peers = (list(dict.fromkeys(r[key] for r in rows)) for key in ("case", "peer"))
    medians = {(r["peer"], r["case"]): r["median"] for r in rows}
    lines = [
        [p, *(f"{short(medians[p, c])} ({medians[p, c] / medians[OURS, c]:.2f})" for c in cases)]
        for p in peers
    ]
    return measuring.markdown([unit, *cases], lines)


def measure_training(rounds, chosen):
    """The training steps whose case has all the words of `chosen` in its name."""
    peers, rows = measuring.start(TRAINERS), []
    for case in CASES:
        for optimizer in case[4]:
            words = f"{case[0]} {case[2]} {optimizer}".split()
            if set(chosen) <= set(words):
                rows += training_rows(peers, case, optimizer, rounds)
                print(", ".join(f"{r['peer']} {short(r['median'])}" for r in rows[-len(peers) :]))
    return rows


def draw(path, rows):
    """How many times as long as this project each peer takes: a panel for each case."""
    rows = [{**r, "median": float(r["median"])} for r in rows if r["peer"]]
    cases = list(dict.fromkeys(r["case"] for r in rows))
    peers = [label for label, _, _ in TRAINERS if label not in (OURS, FLOOR)]
    with figure_style.picture(path, height=2.1 * -(-len(cases) // 3) + 0.6) as figure:
        panels = figure_style.panels(figure, len(cases), 3, sharex=True, sharey=True)
        for axes, case in zip(panels, cases, strict=True):
            here = {r["peer"]: r["median"] for r in rows if r["case"] == case}
            shown = [p for p in peers if p in here]
            ratios, places = [here[p] / here[OURS] for p in shown], [peers.index(p) for p in shown]
            axes.axvline(1.0, color=figure_style.BLACK, linewidth=1.0)
            axes.plot(ratios, places, **{**figure_style.LINES[0], "linestyle": ""})
            floor = here[FLOOR] / here[OURS]
            axes.axvline(floor, **figure_style.EXACT)
            axes.set(xscale="log", xlim=(0.3, 40), title=case)
            axes.set_xticks([0.5, 1, 2, 5, 10, 20], ["0.5", "1", "2", "5", "10", "20"])
            axes.minorticks_off()
            axes.set_yticks(range(len(peers)), peers)
        panels[0].invert_yaxis()
        figure.supxlabel("times as long as this project (dashed: the floor)", fontsize=10)


def main(question, rounds, chosen):
    if question == "training":
        rows, unit = measure_training(rounds, chosen), "microseconds a step"
    else:
        rows, unit = generation_rows(measuring.start(GENERATORS), rounds), "seconds"
    if chosen:
        print(table(rows, unit))
        return
    all_rows = measuring.write_csv(question, rows)
    note = f"{measuring.circumstances(f'{question} --rounds {rounds}')}\n\n"
    measuring.write_table(question, note + table(rows, unit))
    draw(PAGE.with_suffix(".png"), all_rows)
