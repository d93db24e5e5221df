"""Make the covariances of three stars: one shared factor, coordinate j tied to it by an edge a_j.

    python data/make_star_data.py

C = a a' + diag(1 - a^2), of unit variances: x_j = a_j z + sqrt(1 - a_j^2) noise. With
t_j = |a_j| / sqrt(1 - a_j^2), one latent unit is the common information of x if and only if no t_j
exceeds the sum of the others; an edge that does is dominant (docs/common_information.md).
Writes star_10.dat (no dominant edge), star_10_dominant.dat and star_3_dominant.dat beside this
file, and pair.dat, two coordinates of correlation 0.8; their mean is zero.
"""

from pathlib import Path

import numpy as np

EDGES = {
    "star_10": [0.82, 0.75, 0.7, 0.66, 0.62, 0.58, 0.55, 0.5, 0.45, 0.4],
    "star_10_dominant": [0.98, 0.5, 0.48, 0.45, 0.42, 0.4, 0.38, 0.35, 0.32, 0.3],
    "star_3_dominant": [0.95, 0.6, 0.5],
}


def star_covariance(edges):
    """a a' + diag(1 - a^2) for edge weights a (data_dim,), each below 1 in size."""
    covariance = np.outer(edges, edges)
    np.fill_diagonal(covariance, 1.0)
    return covariance


def main():
    folder = Path(__file__).resolve().parent
    np.savetxt(folder / "pair.dat", [[1.0, 0.8], [0.8, 1.0]], fmt="%.4g")
    for name, edges in EDGES.items():
        np.savetxt(folder / f"{name}.dat", star_covariance(edges), fmt="%.4g")


if __name__ == "__main__":
    main()
