"""Make two known distributions that are not Gaussian: a closed curve and five clusters.

    python data/make_mixtures.py

Each is a mixture of Gaussians with independent coordinates, a row (weight, 10 means, 10 standard
deviations) per component. curve_10.dat: 400 components so close to each other along the curve

    m_j(t) = cos(t - j pi/6), j = 0..5,    m_j(t) = cos(2 t - j pi/4), j = 6..9,    0 <= t < 2 pi,

that x is a point of the curve at uniform t plus noise of std 0.2. clusters_10.dat: five clusters at
random places, of different sizes and shapes. Writes both beside this file.
"""

from pathlib import Path

import numpy as np

COMPONENTS, CURVE_STD = 400, 0.2
CLUSTER_WEIGHTS = [0.3, 0.25, 0.2, 0.15, 0.1]


def curve(t):
    """The points of the curve at t (K,): (K, 10)."""
    j = np.arange(10)
    turns = np.where(j < 6, 1, 2)
    phases = np.where(j < 6, j * np.pi / 6, j * np.pi / 4)
    return np.cos(turns * t[:, np.newaxis] - phases)


def main():
    folder = Path(__file__).resolve().parent
    means = curve(2.0 * np.pi * np.arange(COMPONENTS) / COMPONENTS)
    stds = np.full_like(means, CURVE_STD)
    table = np.column_stack([np.ones(COMPONENTS), means, stds])
    np.savetxt(folder / "curve_10.dat", table.round(5) + 0.0, fmt="%.5g")  # no -0

    rng = np.random.default_rng(0)
    means = 1.5 * rng.standard_normal((len(CLUSTER_WEIGHTS), 10))
    stds = rng.uniform(0.3, 0.6, means.shape)
    table = np.column_stack([CLUSTER_WEIGHTS, means, stds])
    np.savetxt(folder / "clusters_10.dat", table, fmt="%.3g")


if __name__ == "__main__":
    main()
