"""Microseconds of a training step and seconds of a million samples, this project beside its peers.

All train the same network from the same weights with the same step, and decode with the same
weights. Before they are timed, the peers must reproduce this project's costs of ten steps on one
batch, and the mean and covariance of its samples. A step includes what an epoch of a run includes:
shuffling, batching, and drawing the noise. The floor is the matrix products alone.
"""

import sys

import numpy as np

from benchmarks import measuring
from benchmarks.measuring import OURS, short
from benchmarks.peers.problems import GAUSSIAN, MNIST

FLOOR = "floor"
TRAINERS = {
    OURS: "this_project",
    "Keras fit": "keras_fit",
    "JAX lax.scan": "jax_scan",
    "PyTorch compiled": "pytorch",
    FLOOR: "floor",
}
GENERATORS = {OURS: "this_project", "PyTorch compiled": "pytorch", FLOOR: "floor"}
CASES = {  # problem, batch size, optimizer, steps of a turn
    "10-D batch 5 sgd": (GAUSSIAN, 5, "sgd", 4000),
    "10-D batch 5 adam": (GAUSSIAN, 5, "adam", 4000),
    "10-D batch 100 sgd": (GAUSSIAN, 100, "sgd", 1600),
    "10-D batch 100 adam": (GAUSSIAN, 100, "adam", 1600),
    "10-D batch 1000 sgd": (GAUSSIAN, 1000, "sgd", 240),
    "10-D batch 1000 adam": (GAUSSIAN, 1000, "adam", 240),
    "MNIST batch 20 adam": (MNIST, 20, "adam", 200),
    "MNIST batch 100 adam": (MNIST, 100, "adam", 60),
}
N_SAMPLES = 1_000_000
# Keras adds Adam's epsilon before the correction of the bias, optax and PyTorch after it: with an
# epsilon of 1e-12 the costs agree to 3e-7.
TOLERANCE = {"sgd": 1e-5, "adam": 1e-4}


def check(label, found, expected, tolerance):
    """Stop the benchmark where a peer does not compute what this project does."""
    error = np.abs(found - expected).max() / np.abs(expected).max()
    if not error < tolerance:
        sys.exit(f"{label} computes something else: {found}, not {expected}")


def time_steps(problem, batch_size, optimizer, n_steps, rounds):
    """Check the peers on one of CASES, then time them: {label: [microseconds of each round]}."""
    x = problem.rows(n_steps * batch_size)
    epsilon = np.random.default_rng(2).standard_normal((batch_size, problem.n_dim), np.float32)
    with measuring.peers(TRAINERS, "Trainer") as peers:
        costs, turns = {}, {}
        for peer in peers:
            peer.make(problem, x, batch_size, optimizer)
            turns[peer.label] = lambda k, p=peer: p.seconds("train", k) * 1e6 / n_steps
            if peer.label != FLOOR:
                steps = [peer.call("step", x[:batch_size], epsilon) for _ in range(10)]
                costs[peer.label] = np.array(steps)
                check(peer.label, costs[peer.label], costs[OURS], TOLERANCE[optimizer])
        return measuring.take_turns(turns, rounds)


def time_samples(rounds):
    """Check the samples, then time a million of each peer: {label: [seconds]}."""
    with measuring.peers(GENERATORS, "Generator") as peers:
        moments, turns = {}, {}
        for peer in peers:
            peer.make(GAUSSIAN)
            turns[peer.label] = lambda k, p=peer: p.seconds("generate", N_SAMPLES, k)
            if peer.label != FLOOR:
                x = peer.call("generate", 200_000, 1)
                moments[peer.label] = np.vstack([x.mean(axis=0), np.cov(x, rowvar=False)])
                check(peer.label, moments[peer.label], moments[OURS], tolerance=0.02)
        return measuring.take_turns(turns, rounds)


def table(unit, times):
    """Header and rows: medians, in brackets their ratio to ours.

    times: {case: {label: [that of each round]}}.
    """
    rows = []
    for label in next(iter(times.values())):
        row = [label]
        for of_case in times.values():
            median = np.median(of_case[label])
            row.append(f"{short(median)} ({median / np.median(of_case[OURS]):.2f})")
        rows.append(row)
    return [unit, *times], rows


def training(args):
    times = {case: time_steps(*details, args.rounds) for case, details in CASES.items()}
    measuring.write_table("training", args.rounds, *table("microseconds a step", times))


def generation(args):
    times = {"a million samples": time_samples(args.rounds)}
    measuring.write_table("generation", args.rounds, *table("seconds", times))
