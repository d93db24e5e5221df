"""Every random number of the data comes from a stream of its own.

A stream is made of the seed, a purpose and a position such as the epoch, so that any part of a run
can be drawn again without what came before it.
"""

import numpy as np

PURPOSES = ("draw", "split", "shuffle", "noise", "held_out")


def stream(seed, purpose, *position):
    """The random generator of one purpose at one position of a run, e.g. "noise" in epoch 3.

    Zeros at the end of a position change nothing: (3, 0) is (3,).
    """
    return np.random.default_rng([seed, PURPOSES.index(purpose), *position])
