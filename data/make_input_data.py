"""Make the small data set: two shared factors plus independent noise in ten dimensions.

    python data/make_input_data.py

x = mean + W z + noise with z ~ N(0, I_2) and noise ~ N(0, diag(psi)), so that a two-dimensional z
can be exactly right. Writes mean.dat, covariance.dat (W W' + diag(psi)) and input_data.dat
(100 points, seed 0) beside this file.
"""

from pathlib import Path

import numpy as np

MEAN = np.array([0.5, -0.3, 0.0, 0.8, -0.6, 0.2, 0.4, -0.1, 0.0, -0.5])
W = np.array(
    [
        [0.9, 0.7, 0.8, 0.9, -0.7, 0.8, -0.6, 1.0, 0.8, -0.8],
        [0.6, -0.7, 0.6, -0.5, 0.8, 0.6, 0.7, -0.6, 0.6, 0.7],
    ]
).T
PSI = np.array([0.15, 0.2, 0.25, 0.12, 0.2, 0.28, 0.15, 0.25, 0.3, 0.2])


def main():
    folder = Path(__file__).resolve().parent
    covariance = np.round(W @ W.T + np.diag(PSI), 6) + 0.0  # no -0
    rng = np.random.default_rng(0)
    z = rng.standard_normal((100, 2))
    x = MEAN + z @ W.T + np.sqrt(PSI) * rng.standard_normal((100, 10))
    np.savetxt(folder / "mean.dat", MEAN, fmt="%g")
    np.savetxt(folder / "covariance.dat", covariance, fmt="%g")
    np.savetxt(folder / "input_data.dat", x.astype(np.float32), fmt="%.9g")


if __name__ == "__main__":
    main()
