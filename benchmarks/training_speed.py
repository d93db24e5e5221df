"""Microseconds a training step, this project beside the guideline's way, measured in one process.

    python benchmarks/training_speed.py --table docs/training_speed.md

Both train the same network (10-D data, width 128, n_dim 2) with the same training step. The
guideline's way is one tf.function call per batch over a tf.data pipeline, with its noise drawn in
the step. The two take turns for several rounds; a figure is the median over the rounds. First
both must give the same terms for the same batch and noise.
"""

import argparse
import os
import platform
import statistics
import sys
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import quiet_tensorflow  # noqa: F401 - before TensorFlow is imported

# isort: split
import numpy as np
import tensorflow as tf

import data_processing
import training
from vae_main import training_step
from vae_models import VAE

STEPS = {5: 4000, 100: 1600, 1000: 240}  # of one timed stretch, by batch size
GUIDELINE_STEPS = {5: 800, 100: 500, 1000: 120}


def model_and_optimizer(optimizer):
    model = VAE(10, 2, (128, 128))
    return model, training.make_optimizer(optimizer, 0.001, "constant", 1, model)


def this_project(x, batch_size, optimizer, steps):
    """A function that trains for `steps` steps as vae_main.py does."""
    model, optimizer = model_and_optimizer(optimizer)
    batches = data_processing.Batches(x[: steps * batch_size], batch_size, 2, seed=0)
    run_steps = training.compile_steps(training_step, model, optimizer)

    def train(epoch):
        for chunk in batches.chunks(epoch):
            run_steps(*chunk)

    return train


def guidelines_way(x, batch_size, optimizer, steps):
    """A function that trains for `steps` steps with one call per batch."""
    model, optimizer = model_and_optimizer(optimizer)
    dataset = tf.data.Dataset.from_tensor_slices(x[: steps * batch_size])
    dataset = dataset.shuffle(len(x)).batch(batch_size)

    @tf.function
    def one_step(x):
        epsilon = tf.random.normal((tf.shape(x)[0], 2))
        return training_step(model, optimizer, x, epsilon)

    def train(epoch):
        for batch in dataset:
            one_step(batch)

    return train


def check_same_step(x):
    """Both ways must compute the same terms before they are timed."""
    model, optimizer = model_and_optimizer("sgd")
    epsilon = np.random.default_rng(0).standard_normal((1, 100, 2), np.float32)
    eager = np.stack(training_step(model, optimizer, tf.constant(x[:100]), tf.constant(epsilon[0])))
    run_steps = training.compile_steps(training_step, *model_and_optimizer("sgd"))
    np.testing.assert_allclose(run_steps(x[None, :100], epsilon, 1)[0], eager, rtol=1e-5, atol=1e-5)


def seconds(train, epoch):
    start = time.perf_counter()
    train(epoch)
    return time.perf_counter() - start


def measure(x, batch_size, optimizer, rounds):
    """Median microseconds a step of both ways, taking turns."""
    steps = {this_project: STEPS[batch_size], guidelines_way: GUIDELINE_STEPS[batch_size]}
    ways = {way: way(x, batch_size, optimizer, n) for way, n in steps.items()}
    for train in ways.values():
        train(0)  # tracing and compiling are not timed
    times = {way: [] for way in ways}
    for epoch in range(1, rounds + 1):
        for way, train in ways.items():
            times[way].append(1e6 * seconds(train, epoch) / steps[way])
    return [statistics.median(values) for values in times.values()]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="of both ways, taking turns")
    parser.add_argument("--table", help="file for the table (Markdown)")
    args = parser.parse_args()
    mean, covariance = data_processing.known_gaussian()
    draw = partial(data_processing.draw_gaussian, mean, covariance)
    x = draw(max(n * b for b, n in STEPS.items()), np.random.default_rng(0))
    check_same_step(x)
    lines = [
        "| batch | optimizer | this project | one call per batch | ratio |",
        "|---|---|---|---|---|",
    ]
    for batch_size in STEPS:
        for optimizer in ("sgd", "adam"):
            ours, theirs = measure(x, batch_size, optimizer, args.rounds)
            lines.append(
                f"| {batch_size} | {optimizer} | {ours:.0f} | {theirs:.0f} | {theirs / ours:.1f} |"
            )
            print(lines[-1], flush=True)
    if args.table:
        machine = f"{os.cpu_count()} CPUs, {platform.machine()}, TensorFlow {tf.__version__}"
        title = (
            f"`python benchmarks/training_speed.py`: microseconds a step, median of {args.rounds} "
            f"rounds in turn; {machine}\n\n"
        )
        Path(args.table).write_text(title + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
