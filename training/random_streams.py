"""Every random number comes from a stream of its own.

A stream is made of the seed, a purpose and a position such as the epoch, so that any part of a run
can be drawn again without what came before it, and no two purposes share their numbers.
"""

import numpy as np

PURPOSES = (
    "draw", "split", "shuffle", "noise", "binarize", "epoch", "report",
    "generate", "reconstruct", "compare", "evaluate", "show",
)  # fmt: skip


def sequence(seed, purpose, *position):
    """The numpy.random.SeedSequence of one purpose at one position, whole numbers from 0."""
    return np.random.SeedSequence(seed, spawn_key=(PURPOSES.index(purpose), *position))


def stream(seed, purpose, *position):
    """The numpy.random.Generator of one purpose at one position, such as "noise" in epoch 3."""
    return np.random.default_rng(sequence(seed, purpose, *position))


def stateless_seed(seed, purpose, *position):
    """The two int32 that TensorFlow's stateless random functions take."""
    return sequence(seed, purpose, *position).generate_state(2).view(np.int32)
