"""Put the exact numbers into theory.md and common_information.md: python -m docs.make_theory

No network is trained: everything comes from analysis/ in some seconds. Tables stand between the
marks <!-- NAME --> and <!-- end -->.
"""

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from scipy.optimize import brentq

from analysis import information, known, linear_vae
from docs.make_results import STARS, fill

DATA = {name: np.loadtxt(known.DATA_FOLDER / f"{name}.dat") for name in (*STARS, "star_3_dominant")}
SLACK = 0.001  # nats


def listed(values, digits):
    return ", ".join(f"{value:.{digits}f}" for value in values)


def default_data():
    """What is known of the default data."""
    covariance = DATA["covariance"]
    common = information.common_information(covariance)
    row = [
        f"{information.entropy(covariance):.6f}",
        f"{information.total_correlation(covariance):.6f}",
        listed(np.linalg.eigvalsh(covariance)[:-4:-1], 4),
        f"{common.nats:.4f} in {common.units} units",
        listed(linear_vae.beta_thresholds(covariance, 2, "learned"), 4),
    ]
    header = "entropy $H$;total correlation;largest $l_i$;common information;units go at $\\beta$"
    return header.split(";"), [row]


def best_linear_vae():
    """The best linear VAE of the default data with two units and learned variances."""
    rows = []
    for beta in [1, 1.02, 2, 4, 5.6]:
        best = linear_vae.optimum(DATA["covariance"], 2, beta, "learned")
        rate = information.rate_distortion(DATA["covariance"], best.distortion)
        numbers = [
            best.cost,
            best.kl,
            best.conditional_total_correlation,
            best.gap_model,
            best.gap_encoder,
            best.distortion,
            rate,
            best.covariance_error,
        ]
        rows.append([f"{beta:g}", *(f"{value:.4f}" for value in numbers)])
    header = "$\\beta$;cost;rate $= I$;$TC$;model gap;encoder gap;$D$;$R(D)$;covariance error"
    return header.split(";"), rows


def folding_cost(shift, slope, std, decoder_slope, decoder_shift, step):
    """The cost of an encoder that folds the plane into one unit: section 8 of theory.md.

    x is N(0, I) in two dimensions, q(z|x) = N(sign(x2) (shift + slope x1), std^2), the decoder's
    mean (decoder_slope |z| - decoder_shift, step sign(z)) and its std 0.1; beta is 1. By
    Gauss-Hermite quadrature over x1 and the noise of z; both signs of x2 cost the same.
    """
    nodes, weights = hermegauss(80)
    weights = np.outer(weights, weights) / np.sum(weights) ** 2
    z = shift + slope * nodes[:, None] + std * nodes
    first = np.sum(weights * (nodes[:, None] - decoder_slope * np.abs(z) + decoder_shift) ** 2)
    second = 1.0 - 2.0 * step * np.sqrt(2.0 / np.pi) * np.sum(weights * np.sign(z)) + step**2
    kl = 0.5 * (shift**2 + slope**2 + std**2 - 1.0) - np.log(std)
    return kl + np.log(2.0 * np.pi * 0.1**2) + (first + second) / (2.0 * 0.1**2)


def fewer_units():
    """One unit for two independent coordinates, std 0.1: a nonlinear encoder wins."""
    best = linear_vae.optimum(np.eye(2), 1, 1.0, 0.1)
    rows = [
        ["the best linear VAE with one unit", f"{best.cost:.4f}"],
        [
            "the folding encoder with one unit",
            f"{folding_cost(0.95, 0.3, 0.03, 3.33, 3.16, 0.8):.4f}",
        ],
        [
            "the best linear VAE with two: the bound",
            f"{linear_vae.cost_bound(np.eye(2), 1.0, 0.1):.4f}",
        ],
    ]
    return ["model", "cost"], rows


def stars_near_one():
    """What the second unit of two stars does as beta comes near to 1."""
    betas = [1.0005, 1.001, 1.002, 1.004, 1.005]
    rows = []
    for t in [(1.44, 1.0, 0.2, 0.2, 0.2), (2.0, 1.3, 0.5, 0.1)]:
        edges = t / np.sqrt(1.0 + np.square(t))
        covariance = np.outer(edges, edges) + np.diag(1.0 - edges**2)
        common = information.common_information(covariance)
        row = [listed(t, 2), f"{common.nats:.4f}", common.units]
        for beta in betas:
            best = linear_vae.optimum(covariance, len(t), beta, "learned")
            row.append(f"{1.0 / best.posterior_covariance[1, 1] - 1.0:.5f}")
        rows.append(row)
    header = ["$t$", "$C_W$", "its units", *(f"$\\lambda_2 - 1$ at {beta}" for beta in betas)]
    return header, rows


def covariances():
    """The common information of the shipped covariances."""
    rows = []
    for name in ["covariance", "star_10", "star_10_dominant", "star_3_dominant"]:
        covariance = DATA[name]
        common = information.common_information(covariance)
        thresholds = linear_vae.beta_thresholds(covariance, len(covariance), "learned")
        going = listed(thresholds, 3)
        if len(thresholds) > 3:
            small = f"{thresholds[0]:.4f} to {thresholds[-2]:.4f}"
            going = f"{len(thresholds) - 1} from {small}, {thresholds[-1]:.3f}"
        rows.append([f"`data/{name}.dat`", f"{common.nats:.4f}", common.units, going])
    return ["covariance file", "common information", "units", "units go at beta"], rows


def flatness():
    """How far I may be from the optimum's at SLACK nats more than its cost."""
    betas = [1.003, 1.02]
    rows = []
    for name, what in STARS.items():
        row = [what]
        for beta in betas:
            best = linear_vae.optimum(DATA[name], len(DATA[name]), beta, "learned")
            least, most = nearly_as_good(DATA[name], beta, best.cost)
            row += [f"{best.kl:.4f}", f"{least:.4f} to {most:.4f}"]
        rows.append(row)
    header = ["data"]
    for beta in betas:
        header += [f"$I$ at beta {beta}", f"costs at most {SLACK} more"]
    return header, rows


def nearly_as_good(covariance, beta, lowest):
    """The interval of I whose models on the curve cost at most SLACK more at this beta."""
    entropy = information.entropy(covariance)

    def point(other):
        return linear_vae.optimum(covariance, len(covariance), other, "learned")

    def excess(other):
        best = point(other)
        left = best.conditional_total_correlation
        return entropy + (beta - 1.0) * best.kl + left - lowest - SLACK

    least = point(brentq(excess, beta, 2.0, xtol=1e-9)).kl
    common = information.common_information(covariance).nats
    most = (lowest + SLACK - entropy) / (beta - 1.0)  # beyond the common information TC is 0
    if most < common:
        most = point(brentq(excess, 1.0 + 1e-6, beta, xtol=1e-9)).kl
    return least, most


TABLES = {
    "default_data": ("theory.md", default_data),
    "best_linear_vae": ("theory.md", best_linear_vae),
    "fewer_units": ("theory.md", fewer_units),
    "stars_near_one": ("common_information.md", stars_near_one),
    "covariances": ("common_information.md", covariances),
    "flatness": ("common_information.md", flatness),
}

if __name__ == "__main__":
    for table, (document, make) in TABLES.items():
        header, rows = make()
        fill(document, table, header, rows)
