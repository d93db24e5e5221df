"""What a sweep over beta leaves: the table sweep.csv and the picture, theory beside training."""

import csv

import numpy as np

from analysis import figures, information, linear_vae
from analysis.gaussian_report import best_linear
from training import run_folder

COLUMNS = (
    "beta cost cost_exact rate rate_exact distortion distortion_exact elbo active_units "
    "active_units_exact covariance_error"
).split()


def write(folder, reports):
    """Write sweep.csv into the folder, a row for each report, in the order of beta."""
    with (
        run_folder.written_whole(folder / "sweep.csv") as path,
        open(path, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        for report in sorted(reports, key=lambda report: report["beta"]):
            writer.writerow({name: "nan" if v is None else v for name, v in report.items()})


def print_table(reports, folder):
    """The sweep on the screen: each figure beside that of the best linear model."""
    print("\nheld-out nats per data point; (..) of the best linear model")
    print("  beta            cost               rate           distortion      active units")
    for report in sorted(reports, key=lambda report: report["beta"]):
        row = f"{report['beta']:6g}"
        for name in ("cost", "rate", "distortion"):
            row += f"{shown(report[name]):>9}{'(' + shown(report[f'{name}_exact']) + ')':>11}"
        exact = report["active_units_exact"]
        row += f"{report['active_units']:5d}{f'({exact})' if exact is not None else '(none)':>7}"
        print(row)
    print(f"written to {folder}")


def shown(figure):
    return "none" if figure is None else f"{figure:.4f}"


def draw(path, reports, data, n_dim, decoder_std):
    """The rate-distortion plane and the staircase of active units, theory and trained models.

    data: a data_processing.Data; its covariance, or that of its training rows, is the theory's.
    """
    covariance = data.reference()[1]
    names = "beta rate rate_se distortion distortion_se active_units cost_gap cost_gap_se".split()
    trained = {name: np.array([report[name] for report in reports], float) for name in names}
    betas = trained["beta"]
    lowest = betas.min() if decoder_std is not None else max(1.0, betas.min())
    grid = np.geomspace(max(lowest, 1e-3) / 1.2 ** (decoder_std is not None), betas.max() * 1.2, 60)
    optima = [best_linear(covariance, n_dim, beta, decoder_std) for beta in grid]
    least = min(trained["distortion"].min(), min(o.distortion for o in optima))
    distortion = np.geomspace(0.1 * least, np.trace(covariance), 300)
    figures.beta_sweep(
        path,
        bound=(distortion, information.rate_distortion(covariance, distortion)),
        linear=([o.distortion for o in optima], [o.kl for o in optima]),
        trained=trained,
        thresholds=linear_vae.beta_thresholds(covariance, n_dim, decoder_std or "learned"),
    )
