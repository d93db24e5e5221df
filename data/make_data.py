"""Make the small data sets and known distributions of this folder: python data/make_data.py

The default Gaussian: two shared factors plus independent noise in ten dimensions,
x = mean + W z + noise with z ~ N(0, I_2) and noise ~ N(0, diag(psi)), so that a two-dimensional z
can be exactly right: mean.dat, covariance.dat (W W' + diag(psi)), input_data.dat (100 points).

Stars, of mean zero: one shared factor, coordinate j tied to it by an edge a_j,
C = a a' + diag(1 - a^2). With t_j = |a_j| / sqrt(1 - a_j^2), one latent unit is the common
information of x if and only if no t_j exceeds the sum of the others; an edge that does is dominant
(docs/common_information.md). pair.dat: two coordinates of correlation 0.8.

Mixtures of Gaussians with independent coordinates, a row (weight, 10 means, 10 standard deviations)
per component. curve_10.dat: 400 components so close to each other along the curve

    m_j(t) = cos(t - j pi/6), j = 0..5,    m_j(t) = cos(2 t - j pi/4), j = 6..9,    0 <= t < 2 pi,

that x is a point of the curve at uniform t plus noise of std 0.2. clusters_10.dat: five clusters at
random places, of different sizes and shapes.
"""

from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parent
MEAN = np.array([0.5, -0.3, 0.0, 0.8, -0.6, 0.2, 0.4, -0.1, 0.0, -0.5])
W = np.array(
    [
        [0.9, 0.7, 0.8, 0.9, -0.7, 0.8, -0.6, 1.0, 0.8, -0.8],
        [0.6, -0.7, 0.6, -0.5, 0.8, 0.6, 0.7, -0.6, 0.6, 0.7],
    ]
).T
PSI = np.array([0.15, 0.2, 0.25, 0.12, 0.2, 0.28, 0.15, 0.25, 0.3, 0.2])
EDGES = {
    "star_10": [0.82, 0.75, 0.7, 0.66, 0.62, 0.58, 0.55, 0.5, 0.45, 0.4],
    "star_10_dominant": [0.98, 0.5, 0.48, 0.45, 0.42, 0.4, 0.38, 0.35, 0.32, 0.3],
    "star_3_dominant": [0.95, 0.6, 0.5],
}
COMPONENTS, CURVE_STD = 400, 0.2
CLUSTER_WEIGHTS = [0.3, 0.25, 0.2, 0.15, 0.1]


def make_default():
    covariance = np.round(W @ W.T + np.diag(PSI), 6) + 0.0  # no -0
    rng = np.random.default_rng(0)
    z = rng.standard_normal((100, 2))
    x = MEAN + z @ W.T + np.sqrt(PSI) * rng.standard_normal((100, 10))
    np.savetxt(FOLDER / "mean.dat", MEAN, fmt="%g")
    np.savetxt(FOLDER / "covariance.dat", covariance, fmt="%g")
    np.savetxt(FOLDER / "input_data.dat", x.astype(np.float32), fmt="%.9g")


def make_stars():
    np.savetxt(FOLDER / "pair.dat", [[1.0, 0.8], [0.8, 1.0]], fmt="%.4g")
    for name, edges in EDGES.items():
        covariance = np.outer(edges, edges)
        np.fill_diagonal(covariance, 1.0)
        np.savetxt(FOLDER / f"{name}.dat", covariance, fmt="%.4g")


def make_mixtures():
    t = 2.0 * np.pi * np.arange(COMPONENTS) / COMPONENTS
    j = np.arange(10)
    turns = np.where(j < 6, 1, 2)
    phases = np.where(j < 6, j * np.pi / 6, j * np.pi / 4)
    means = np.cos(turns * t[:, np.newaxis] - phases)
    stds = np.full_like(means, CURVE_STD)
    table = np.column_stack([np.ones(COMPONENTS), means, stds])
    np.savetxt(FOLDER / "curve_10.dat", table.round(5) + 0.0, fmt="%.5g")  # no -0

    rng = np.random.default_rng(0)
    means = 1.5 * rng.standard_normal((len(CLUSTER_WEIGHTS), 10))
    stds = rng.uniform(0.3, 0.6, means.shape)
    table = np.column_stack([CLUSTER_WEIGHTS, means, stds])
    np.savetxt(FOLDER / "clusters_10.dat", table, fmt="%.3g")


if __name__ == "__main__":
    make_default()
    make_stars()
    make_mixtures()
