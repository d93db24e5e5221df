"""Seconds to generate a million samples, this project beside its peers, the same decoder for all.

    python benchmarks/generation_speed.py

Each peer (benchmarks/peers) has a process of its own; they take turns for several rounds, and a
figure is the median. One sample at a time is measured on fewer samples and scaled to a million.
Before they are timed, all must give the same x for the same z and noise to 1e-5, and samples of
the same covariance. The floor is the decoder's matrix products and as many normal numbers.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from analysis import comparison, figure_style
from benchmarks import measuring
from benchmarks.peers import numpy_by_hand
from benchmarks.peers.problems import GAUSSIAN

SAMPLES, FEW = 1_000_000, 1000
OURS, FLOOR = "this project", "floor: products and normal numbers"
TOLERANCE = 1e-5  # of x, relative to its largest value


def start_peers():
    """{peer: samples of a turn} of the peers that are installed."""
    peers = [
        (OURS, "this_project", "Generator"),
        ("one at a time, eager", "guideline", "Generator"),
        ("one at a time, tf.function", "guideline", "CompiledGenerator"),
    ]
    if measuring.is_there("JAX", "jax"):
        peers.append(("JAX", "jax_scan", "Generator"))
    if measuring.is_there("PyTorch", "torch"):
        peers.append(("PyTorch", "pytorch", "Generator"))
    peers += [("numpy", "numpy_by_hand", "Generator"), (FLOOR, "floor", "Generator")]
    peers = [measuring.Peer(*peer) for peer in peers]
    return {peer: FEW if peer.module == "guideline" else SAMPLES for peer in peers}


def check(label, problem, decode, generate, n_samples):
    """Stop the benchmark where a peer does not compute what the others do."""
    rng = np.random.default_rng(3)
    z = rng.standard_normal((50, problem.n_dim), np.float32)
    epsilon = rng.standard_normal((50, problem.data_dim), np.float32)
    by_hand = numpy_by_hand.Generator(problem)
    expected = by_hand.decode(z, epsilon)
    error = np.abs(decode(z, epsilon) - expected).max() / np.abs(expected).max()
    if not error < TOLERANCE:
        sys.exit(f"{label}: x differs by {error:.1e} for the same z and noise")
    samples = generate(n_samples, 1)
    if samples.shape != (n_samples, problem.data_dim):
        sys.exit(f"{label}: the samples have the shape {samples.shape}")
    covariance = np.cov(by_hand.generate(SAMPLES, 0), rowvar=False)
    error = comparison.relative_error(np.cov(samples, rowvar=False), covariance)
    if not error < 10.0 / np.sqrt(n_samples):  # twice what chance makes of ten dimensions
        sys.exit(f"{label}: the covariance of the samples differs by {error:.1%}")


def measure(peers, rounds):
    """{label: seconds a million samples in each round}, after a check of all."""
    times = {peer.label: [] for peer in peers}
    for peer, n_samples in peers.items():
        peer.make(GAUSSIAN)
        if peer.label != FLOOR:
            decode, generate = (
                lambda *a, p=peer, m=method: p.call(m, *a) for method in ("decode", "generate")
            )
            check(peer.label, GAUSSIAN, decode, generate, n_samples)
    for number in range(rounds):
        for peer, n_samples in peers.items():
            seconds = peer.seconds("generate", n_samples, number)
            times[peer.label].append(seconds * SAMPLES / n_samples)
    return times


def write_page(path, rows, rounds):
    ours = next(row["median"] for row in rows if row["peer"] == OURS)
    lines = [
        [r["peer"], measuring.short(r["median"]), measuring.short(r["median"] / ours)] for r in rows
    ]
    text = (
        "# Generation speed\n\n"
        f"{measuring.circumstances()} A million samples of 10 numbers, width 128, n_dim 2; a "
        f"process for each peer, taking turns; medians of {rounds} rounds, lowest and highest in "
        f"the `.csv`. One at a time: {FEW} samples, scaled to a million. All peers gave the same x "
        "for the same noise to 1e-5 before.\n\n"
        "![seconds a million samples of each peer](generation_speed.png)\n\n"
    )
    header = ["", "seconds a million samples", "times as long as this project"]
    path.write_text(text + measuring.markdown(header, lines), encoding="utf-8")


def draw(path, rows):
    medians = [row["median"] for row in rows]
    with figure_style.picture(path, height=3.0) as figure:
        axes = figure.subplots()
        axes.plot(medians, range(len(rows)), **{**figure_style.LINES[0], "linestyle": ""})
        for place, value in enumerate(medians):
            axes.annotate(
                measuring.short(value),
                (value, place),
                (7, 0),
                textcoords="offset points",
                va="center",
            )
        axes.axvline(medians[-1], **figure_style.EXACT)
        axes.set(xscale="log", xlabel="seconds a million samples")
        axes.margins(x=0.1)
        axes.set_yticks(range(len(rows)), [row["peer"] for row in rows])
        axes.invert_yaxis()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="turns of each peer")
    parser.add_argument("--output", type=Path, default=Path("docs"), help="folder of the results")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    times = measure(start_peers(), args.rounds)
    rows = [{"peer": label, **measuring.middle(values)} for label, values in times.items()]
    for row in rows:
        print(f"{row['peer']}: {measuring.short(row['median'])} s a million samples")
    measuring.write_csv(args.output / "generation_speed.csv", rows)
    write_page(args.output / "generation_speed.md", rows, args.rounds)
    draw(args.output / "generation_speed.png", rows)


if __name__ == "__main__":
    main()
