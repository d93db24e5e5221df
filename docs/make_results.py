"""Run what the documents report, and fill in tables and pictures: python -m docs.make_results

Parts: default, seeds, sweeps, common_information, nonlinear, mnist (about two hours on 2 cores).
A run that results/docs holds already is not repeated, an interrupted one goes on. Tables stand
between the marks <!-- NAME --> and <!-- end --> of the documents; pictures go to docs/results.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from training.run_folder import read_json

DOCS = Path(__file__).resolve().parent
RUNS = DOCS.parent / "results" / "docs"
PICTURES = "learning_curves latent_plane pairwise_marginals".split()
DIGITS = "elbo_per_epoch generated_means reconstructions interpolation".split()
DEFAULT = {
    "the default run": "vae_main.py",
    "the guideline's settings": "vae_main.py @presets/vae_guideline.args",
    "the beta-VAE code's settings": "beta_vae_main.py @presets/beta_vae_guideline.args",
}
SWEEPS = {
    "beta_sweep": "--beta 0.25 0.5 1 2 4 8",
    "beta_sweep_fixed_std": "--decoder_std 0.5 --beta 0.25 0.5 1 2 4 8 20 32",
    "beta_sweep_readme": "--beta 1 1.5 2 3 4 5 6",
}
STARS = {
    "pair": "a pair of correlation 0.8",
    "star_10": "star, no dominant edge",
    "star_10_dominant": "star, dominant edge",
    "covariance": "the default data",
}
SIZES = {  # the stars: nine units, more epochs
    "pair": "--n_dim 1 --n_epoch 20",
    "covariance": "--n_dim 2 --n_epoch 20",
}
MIXTURES = ("curve_10", "clusters_10")
CHANGES = {  # of the default settings, on known mixtures
    "": "vae_main.py",
    "--n_dim 1": "vae_main.py",
    "--n_dim 3": "vae_main.py",
    "--n_width 32": "vae_main.py",
    "--n_width 256": "vae_main.py",
    "--beta 0.5": "beta_vae_main.py",
    "--beta 2": "beta_vae_main.py",
    "--beta 4": "beta_vae_main.py",
}
MIXTURE_SEEDS = (0, 1)
BETAS, FEWER_BETAS = "1.003 1.02 1.1 1.25 1.5", "1.003 1.02 1.25"


def run(command, folder):
    """Run a script with flags into a folder of RUNS, or go on there, unless it is finished.

    Returns the command for a table.
    """
    where = RUNS / folder
    if not (where / "report.json").exists() and not (where / "sweep.csv").exists():
        print("python", command, flush=True)
        argv = [sys.executable, *command.split(), "--output_dir", str(where), "--resume"]
        subprocess.run(argv, cwd=DOCS.parent, check=True)
    return f"`python {command}`"


def reports_of_sweep(folder):
    """The reports of a sweep, by rising beta."""
    paths = (RUNS / folder).glob("beta_*/report.json")
    return sorted(map(read_json, paths), key=lambda report: report["beta"])


def copy(folder, picture, name):
    """Copy a picture of a run into docs/results, under a new name."""
    shutil.copyfile(RUNS / folder / "figures" / f"{picture}.png", DOCS / f"results/{name}.png")


def fill(document, mark, header, rows, note=""):
    """Put a note and a table below it in the place of those at a mark of a document."""
    lines = [header, ["---"] * len(header), *rows]
    table = "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)
    path = DOCS / document
    before, found, rest = path.read_text(encoding="utf-8").partition(f"<!-- {mark} -->\n")
    assert found, mark
    _, end, after = rest.partition("<!-- end -->")
    path.write_text(before + found + note + table + end + after, encoding="utf-8")


def plus_minus(report, name, digits=4):
    return f"{report[name]:.{digits}f} ± {report[name + '_se']:.{digits}f}"


def number(value):
    if isinstance(value, float):
        return f"{value:.4f}"
    return "none" if value is None else str(value)


def default():
    rows = []
    for index, (what, command) in enumerate(DEFAULT.items()):
        shown = run(command, f"default_{index}")
        report = read_json(RUNS / f"default_{index}" / "report.json")
        elbo, gap = plus_minus(report, "elbo_held_out"), plus_minus(report, "gap")
        rows.append([what, shown, elbo, gap])
    header = ["what", "command", "held-out ELBO", "gap to the optimum"]
    fill("results.md", "default", header, rows)
    for picture in PICTURES:
        copy("default_0", picture, f"vae_{picture}")


def seeds():
    reports = []
    for seed in range(10):
        run(f"vae_main.py --seed {seed}", f"vae_seed_{seed}")
        reports.append(read_json(RUNS / f"vae_seed_{seed}" / "report.json"))
    gaps = [report["gap"] for report in reports]
    units = sorted({report["active_units"] for report in reports})
    row = [len(gaps), *(number(f(gaps)) for f in (min, statistics.median, max)), *units]
    fill("results.md", "seeds", ["seeds", "least gap", "median", "largest", "active units"], [row])


def sweeps():
    keys = "cost rate distortion gap_model active_units covariance_error".split()
    for name, flags in SWEEPS.items():
        run(f"beta_sweep.py {flags}", name)
    for name in ("beta_sweep", "beta_sweep_fixed_std"):
        rows = []
        for report in reports_of_sweep(name):
            pairs = [f"{number(report[key])} ({number(report[f'{key}_exact'])})" for key in keys]
            rows.append([f"{report['beta']:g}", *pairs])
        header = "beta, cost, rate, distortion, gap of the model, active units, covariance error"
        fill("results.md", name, header.split(", "), rows)
        copy(name, "beta_sweep", name)
    copy("beta_sweep_readme", "common_information", "beta_sweep_information")


def common_information():
    """Trained networks over beta just above 1, three seeds, on the pair, the stars, the default."""
    rows = []
    for data, what in STARS.items():
        reports = defaultdict(list)
        for seed in range(3):
            betas = BETAS if seed == 0 or data == "pair" else FEWER_BETAS
            command = (
                f"beta_sweep.py --covariance_path data/{data}.dat --beta {betas} --seed {seed} "
            )
            command += SIZES.get(data, "--n_dim 9 --n_epoch 40")
            run(command, f"{data}_seed_{seed}")
            for report in reports_of_sweep(f"{data}_seed_{seed}"):
                reports[report["beta"]].append(report)
        for beta, group in sorted(reports.items()):
            cost = max(abs(report["cost"] - report["cost_exact"]) for report in group)
            row = [what, f"{beta:g}", f"{cost:.4f}"]
            for key in ("mutual_information", "conditional_total_correlation", "active_units"):
                exact = "rate_exact" if key == "mutual_information" else f"{key}_exact"
                values = " ".join(number(report[key]) for report in group)
                row.append(f"{values} ({number(group[0][exact])})")
            rows.append(row)
    header = ["data", "beta", "largest error of the cost", "I(x;z)", "TC(x\\|z)", "active units"]
    fill("common_information.md", "trained", header, rows)
    for data in ("pair", "star_10_dominant"):
        copy(f"{data}_seed_0", "common_information", f"common_information_{data}")


def nonlinear():
    """The gaps of networks on known mixtures, and what the best linear VAE leaves."""
    keys = "gap gap_model gap_family gap_amortization".split()
    for data in MIXTURES:
        rows = []
        for change, script in CHANGES.items():
            command = f"{script} --mixture_path data/{data}.dat {change}".strip()
            reports = []
            for seed in MIXTURE_SEEDS:
                folder = f"{data}{change.replace(' ', '_')}_seed_{seed}"
                run(f"{command} --seed {seed}", folder)
                reports.append(read_json(RUNS / folder / "report.json"))
            of_linear = [report["optimum"] - report["linear_log_px"] for report in reports]
            columns = [of_linear, *([report[key] for report in reports] for key in keys)]
            shown = [" ".join(f"{value:z.3f}" for value in column) for column in columns]
            rows.append([f"`python {command}`", *shown])
        names = "best linear VAE, gap, of the model, of the family, of amortization"
        fill("nonlinear.md", data, ["command", *names.split(", ")], rows)
        copy(f"{data}_seed_0", "latent_plane", f"{data}_latent_plane")
        copy(f"{data}_seed_0", "pairwise_marginals", f"{data}_pairwise_marginals")


def mnist():
    scoring = "mnist_vae_after_training.py"
    training = run("mnist_vae_main.py", "mnist")
    if not (RUNS / "mnist" / "log_likelihood.json").exists():
        argv = [sys.executable, scoring, "--model_dir", str(RUNS / "mnist")]
        subprocess.run(argv, cwd=DOCS.parent, check=True)
    report = read_json(RUNS / "mnist" / "report.json")
    scores = read_json(RUNS / "mnist" / "log_likelihood.json")
    elbo = "ELBO " + plus_minus(report, "elbo_held_out", 2)
    log_px = "log p(x) " + plus_minus(scores, "log_px", 2)
    units = f"{report['active_units']} of {len(report['variance_of_mean'])}"
    header = ["what", "command", "test images, nats", "active units"]
    first = ["60 epochs", training, elbo, units]
    second = ["the same, scored", f"`python {scoring}`", log_px, units]
    fill("results.md", "mnist", header, [first, second])
    for picture in DIGITS:
        copy("mnist", picture, f"mnist_{picture}")


PARTS = {f.__name__: f for f in (default, seeds, sweeps, common_information, nonlinear, mnist)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", help="of " + ", ".join(PARTS))
    args = parser.parse_args()
    RUNS.mkdir(parents=True, exist_ok=True)
    for name in args.parts or PARTS:
        PARTS[name]()


if __name__ == "__main__":
    main()
