"""Train a beta-VAE for each of several beta: python beta_sweep.py --beta 1 2 4 8

It runs beta_vae_main.py once for each beta, with all other flags passed on, and puts the results
beside the theory: the table sweep.csv and the picture figures/beta_sweep.png.
"""

import quiet_tensorflow

from pathlib import Path

import numpy as np

import beta_vae_main
import data_processing
import vae_models
from analysis import evaluation, figures, gaussian_report, information, linear_vae, sampling
from training import command_line, run_folder, saved_model
from training.command_line import non_negative

SHOWN_ROWS = 3000  # in the picture of the latent planes, and samples below them
COLUMNS = (
    "beta cost cost_se cost_exact rate rate_exact distortion distortion_exact elbo active_units "
    "active_units_exact covariance_error"
).split()


def parse_arguments(argv=None):
    """The flags of the sweep, those of beta_vae_main.py as they stand, and the same parsed."""
    parser = command_line.Parser(__doc__)
    parser.epilog = "All other flags are those of beta_vae_main.py: see its --help."
    add = parser.group("sweep")
    add("--beta", type=non_negative, nargs="+", default=[1, 2, 4, 8], help="weights of the KL term")
    add("--output_dir", default="results/beta_sweep", help="new or empty folder for the results")
    add("--resume", action="store_true", default=False, help="continue an interrupted sweep")
    sweep, rest = parser.parse_known_args(argv)
    if len({f"{beta:g}" for beta in sweep.beta}) < len(sweep.beta):  # the names of the folders
        parser.error("argument --beta: duplicate value")
    args = beta_vae_main.parse_arguments(rest)
    if args.distribute == "multi_worker":
        parser.error(
            "argument --distribute: multi_worker trains one beta; give each its own machines"
        )
    return sweep, rest, args


def train(beta, sweep, rest):
    """Train one beta-VAE, or continue its training; return its report."""
    folder = Path(sweep.output_dir) / f"beta_{beta:g}"
    argv = [*rest, "--beta", repr(beta), "--output_dir", str(folder)]
    if not (sweep.resume and (folder / "report.json").exists()):
        beta_vae_main.main([*argv, "--resume"] if sweep.resume else argv)
    return run_folder.read_json(folder / "report.json")


def print_table(reports, folder):
    """The sweep on the screen: each result beside that of the best linear VAE."""
    print("\nnats per data point, held-out rows; in brackets: the best linear VAE")
    print("  beta            cost               rate           distortion      active units")
    for report in reports:
        row = f"{report['beta']:6g}"
        for name in ("cost", "rate", "distortion"):
            row += f"{shown(report[name]):>9}{'(' + shown(report[f'{name}_exact']) + ')':>11}"
        exact = report["active_units_exact"]
        row += f"{report['active_units']:5d}{f'({exact})' if exact is not None else '(none)':>7}"
        print(row)
    print(f"written to {folder}; open {folder / 'figures' / 'beta_sweep.png'} first")


def shown(value):
    return "none" if value is None else f"{value:.4f}"


def draw(folder, reports, data, args):
    """Rate and distortion, information and dependence, and the latent planes, over beta.

    folder: of the sweep. data: a data_processing.Data. args: the flags of its runs.
    """
    reference = data.reference()
    mean, covariance = reference.mean, reference.covariance
    names = (
        "beta rate rate_se distortion distortion_se active_units cost_gap cost_gap_se "
        "mutual_information mutual_information_se conditional_total_correlation "
        "conditional_total_correlation_se"
    ).split()
    trained = {name: np.array([report[name] for report in reports], float) for name in names}
    known = [report["cost_exact"] is not None for report in reports]  # not so: no minimum
    thresholds = linear_vae.beta_thresholds(covariance, args.n_dim, args.decoder_std)
    betas = trained["beta"][trained["beta"] > 0]
    lowest = max(1.0, betas.min()) if args.decoder_std == "learned" else betas.min() / 1.2
    last = max(betas.max() * 1.2, *thresholds[-1:])
    optima = [
        linear_vae.optimum(covariance, args.n_dim, beta, args.decoder_std, args.min_log_std)
        for beta in lowest * (last / lowest) ** (np.linspace(0, 1, 60) ** 2)
    ]
    # Near a copy of a coordinate KL and log p(x|z) have no bound; there is nothing to draw.
    optima = [o for o in optima if gaussian_report.has_rate(o, args)] or optima[-1:]
    least = min(trained["distortion"].min(), min(o.distortion for o in optima))
    distortion = np.geomspace(0.1 * least, np.trace(covariance), 300)
    figures.beta_sweep(
        folder / "figures" / "beta_sweep.png",
        bound=(distortion, information.rate_distortion(covariance, distortion)),
        linear=([o.distortion for o in optima], [o.kl for o in optima]),
        trained=trained,
        thresholds=thresholds,
        exact=data.known is not None,
    )
    total_correlation, closed_form = information.total_correlation(covariance), None
    if len(covariance) == 2:
        left = np.linspace(0.0, total_correlation, 300)
        rho = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
        closed_form = information.pair_relaxed_common_information(rho, left), left
    figures.common_information(
        folder / "figures" / "common_information.png",
        curve=([o.kl for o in optima], [o.conditional_total_correlation for o in optima]),
        trained={name: column[known] for name, column in trained.items()},
        common_information=information.common_information(covariance).nats,
        total_correlation=total_correlation,
        closed_form=closed_form,
    )
    x = data.x_held_out[:SHOWN_ROWS]
    raw = data.in_data_units(x)
    folders = [folder / f"beta_{report['beta']:g}" for report in reports]
    models = [saved_model.load_model(path, vae_models.make_model)[0] for path in folders]
    figures.latent_planes_over_beta(
        folder / "figures" / "latent_planes.png",
        trained["beta"],
        [(m, np.exp(s)) for m, s in (evaluation.encode(model, x) for model in models)],
        [sampling.generate(model, SHOWN_ROWS, args.seed) for model in models],
        mean,
        covariance,
        color=(raw - mean) @ np.linalg.eigh(covariance)[1][:, -1],
    )


def main(argv=None):
    sweep, rest, args = parse_arguments(argv)
    folder = Path(sweep.output_dir)
    if not sweep.resume:
        run_folder.check_unused(folder)
    reports = []
    for beta in sorted(sweep.beta):
        print(f"\nbeta {beta:g}: {len(reports) + 1} of {len(sweep.beta)}", flush=True)
        reports.append(train(beta, sweep, rest))
    rows = [{name: report.get(name) for name in COLUMNS} for report in reports]
    run_folder.remove_temporaries(folder)  # of a sweep that was killed in writing
    run_folder.write_table(folder / "sweep.csv", rows)
    if any(report["cost_exact"] is not None for report in reports):
        draw(folder, reports, data_processing.get_data(args), args)
    print_table(reports, folder)


if __name__ == "__main__":
    command_line.run(main)
