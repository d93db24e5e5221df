"""Train a beta-VAE for each of several beta: python beta_sweep.py --beta 1 2 4 8

It runs beta_vae_main.py once for each beta, with all other flags passed on, and puts the results
beside the theory: the table sweep.csv and the picture figures/beta_sweep.png.
"""

import quiet_tensorflow

from pathlib import Path

import beta_vae_main
import data_processing
from analysis import run_figures, sweep_figures
from training import command_line, run_folder
from training.command_line import non_negative
from training.errors import Stopped
from training.settings import read_config

COLUMNS = (
    "beta cost cost_se cost_exact cost_bound rate rate_exact distortion distortion_exact elbo "
    "active_units active_units_exact covariance_error"
).split()


def parse_arguments(argv=None):
    """The flags of the sweep, parsed, and those for beta_vae_main.py, checked: a list of texts."""
    parser = command_line.Parser(__doc__)
    parser.epilog = "All other flags are those of beta_vae_main.py: see its --help."
    add = parser.group("sweep")
    add("--beta", type=non_negative, nargs="+", default=[1, 2, 4, 8], help="weights of the KL term")
    add("--output_dir", default="results/beta_sweep", help="new or empty folder for the results")
    add("--resume", action="store_true", default=False, help="continue an interrupted sweep")
    args, flags = parser.parse_known_args(argv)
    if len({f"{beta:g}" for beta in args.beta}) < len(args.beta):  # the names of the folders
        parser.error("argument --beta: duplicate value")
    if beta_vae_main.parse_arguments(flags).distribute == "multi_worker":
        parser.error(
            "argument --distribute: multi_worker trains one beta; give each its own machines"
        )
    return args, flags


def train(beta, folder, flags, resume):
    """Train one beta-VAE into its folder, unless a resumed sweep finds it finished there."""
    argv = [*flags, "--beta", repr(beta), "--output_dir", str(folder)]
    if resume:
        argv.append("--resume")
    try:
        beta_vae_main.main(argv)
    except Stopped as stopped:
        if stopped.status != 0:  # 0: it is finished
            raise


def print_table(reports, folder):
    """The sweep on the screen: each result beside that of the best linear VAE."""
    print("\nnats per data point, held-out rows", end="")
    if any(report["cost_exact"] is not None for report in reports):
        print(f"; in brackets: the {run_figures.name_of_best(reports)}", end="")
    print()
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


def main(argv=None):
    args, flags = parse_arguments(argv)
    folder = Path(args.output_dir)
    if not args.resume:
        run_folder.check_unused(folder)
    betas = sorted(args.beta)
    folders = [folder / f"beta_{beta:g}" for beta in betas]
    for number, beta in enumerate(betas):
        print(f"\nbeta {beta:g}: {number + 1} of {len(betas)}", flush=True)
        train(beta, folders[number], flags, args.resume)

    reports = [run_folder.read_json(path / "report.json") for path in folders]
    run_folder.remove_temporaries(folder)  # of a sweep that was killed in writing
    rows = [{name: report.get(name) for name in COLUMNS} for report in reports]
    run_folder.write_table(folder / "sweep.csv", rows)
    settings = read_config(folders[0], kinds=["beta_vae"])
    data = data_processing.get_data(settings)
    sweep_figures.draw_sweep(folder, data, settings, reports)
    print_table(reports, folder)


if __name__ == "__main__":
    command_line.run(main)
