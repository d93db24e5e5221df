"""Run what the documents report, and put tables and pictures into them: python docs/make_results.py

Parts: default, seeds, sweeps, mnist, common_information (all of them: about an hour on 2 cores).
A run that results/docs holds already is not repeated. Tables stand between the marks
<!-- NAME --> and <!-- end --> of results.md and common_information.md; pictures go to results/.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

DOCS = Path(__file__).resolve().parent
RUNS = DOCS.parent / "results" / "docs"
STARS = {
    "pair": "a pair of correlation 0.8",
    "star_10": "star, no dominant edge",
    "star_10_dominant": "star, dominant edge",
    "covariance": "the default data",
}
SIZES = {"pair": " --n_dim 1", "covariance": " --n_dim 2"}
BETAS, FEWER_BETAS = "1.003 1.02 1.1 1.25 1.5", "1.003 1.02 1.25"


def run(script, flags, name, more=()):
    """Run `script flags` into the folder `name`, unless it is there; `more`: flags of no interest.

    Returns the folder, the command as a reader types it, and its minutes.
    """
    folder = RUNS / name
    after = "after_training" in script
    log = RUNS / f"{name}{'_after' if after else ''}.json"
    command = [script, *flags.split()]
    if not log.exists():
        where = ["--model_dir" if after else "--output_dir", str(folder)]
        print("python", *command, flush=True)
        begin = time.monotonic()
        subprocess.run([sys.executable, *command, *where, *more], cwd=DOCS.parent, check=True)
        log.write_text(json.dumps({"minutes": (time.monotonic() - begin) / 60}))
    return folder, f"`python {' '.join(command)}`", f"{read_json(log)['minutes']:.1f}"


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def copy(folder, **pictures):
    """Copy pictures of a run into docs/results, as new_name=old_name."""
    (DOCS / "results").mkdir(exist_ok=True)
    for new, old in pictures.items():
        shutil.copyfile(folder / "figures" / f"{old}.png", DOCS / "results" / f"{new}.png")


def fill(document, name, header, rows):
    """Put a table in the place of the one at the mark `name` of a document."""
    lines = [header, ["---"] * len(header), *rows]
    table = "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
    path = DOCS / document
    before, mark, rest = path.read_text(encoding="utf-8").partition(f"<!-- {name} -->\n")
    assert mark, name
    end = "<!-- end -->" + rest.partition("<!-- end -->")[2]
    path.write_text(f"{before}{mark}{table}\n{end}", encoding="utf-8")


def plus_minus(report, name, digits=4):
    return f"{report[name]:.{digits}f} ± {report[name + '_se']:.{digits}f}"


def number(value):
    return "none" if value is None else value if isinstance(value, int) else f"{value:.4f}"


def default():
    header = ["what", "command", "held-out ELBO", "gap to the optimum", "minutes"]
    rows = []
    for what, flags, name in [
        ("the default run", "", "vae"),
        ("the guideline's settings", "@presets/vae_guideline.args", "guideline"),
        ("the beta-VAE code's settings", "@presets/beta_vae_guideline.args", "beta_guideline"),
    ]:
        script = "beta_vae_main.py" if name == "beta_guideline" else "vae_main.py"
        folder, command, minutes = run(script, flags, name)
        report = read_json(folder / "report.json")
        results = (plus_minus(report, key) for key in ("elbo_held_out", "gap"))
        rows.append([what, command, *results, minutes])
    fill("results.md", "default", header, rows)
    pictures = "learning_curves latent_plane covariances pairwise_marginals".split()
    copy(RUNS / "vae", **{f"vae_{name}": name for name in pictures})


def seeds():
    """The default run from 20 seeds."""
    folders = [run("vae_main.py", f"--seed {seed}", f"vae_seed_{seed}")[0] for seed in range(20)]
    reports = [read_json(folder / "report.json") for folder in folders]
    gaps = [report["gap"] for report in reports]
    units = sorted({report["active_units"] for report in reports})
    row = [len(gaps), *(f"{f(gaps):.4f}" for f in (min, statistics.median, max)), *units]
    fill("results.md", "seeds", ["seeds", "least gap", "median", "largest", "active units"], [row])


def beta_of(path):
    """The beta of a run of a sweep, from the name of its folder."""
    return float(path.parent.name.removeprefix("beta_"))


def sweeps():
    for name, flags in [
        ("beta_sweep", "--beta 0.25 0.5 1 2 4 8"),
        ("beta_sweep_fixed_std", "--decoder_std 0.5 --beta 0.25 0.5 1 2 4 8 20 32"),
    ]:
        folder, _, _ = run("beta_sweep.py", flags, name)
        rows = []
        for path in sorted(folder.glob("beta_*/report.json"), key=beta_of):
            report = read_json(path)
            keys = ("cost", "rate", "distortion", "gap_model", "active_units", "covariance_error")
            pairs = (f"{number(report[k])} ({number(report[k + '_exact'])})" for k in keys)
            rows.append([f"{report['beta']:g}", *pairs])
        columns = "cost, rate, distortion, gap of the model, active units, covariance error"
        fill("results.md", name, ["beta", *columns.split(", ")], rows)
        copy(folder, **{name: "beta_sweep"})
    copy(RUNS / "beta_sweep", beta_sweep_planes="latent_planes")
    folder, _, _ = run("beta_sweep.py", "--beta 1 1.5 2 3 4 5 6", "beta_sweep_readme")
    copy(folder, beta_sweep_information="common_information")


def mnist(data_path):
    more = [] if data_path is None else ["--data_path", str(Path(data_path).resolve())]
    folder, command, minutes = run("mnist_vae_main.py", "", "mnist", more)
    report = read_json(folder / "report.json")
    units = f"{report['active_units']} of {len(report['variance_of_mean'])}"
    rows = [
        ["60 epochs", command, "ELBO " + plus_minus(report, "elbo_held_out", 2), units, minutes]
    ]
    flags = "--n_importance 500"
    folder, command, minutes = run("mnist_vae_after_training.py", flags, "mnist")
    scores = read_json(folder / "log_likelihood.json")
    rows.append(
        ["the same, scored", command, "log p(x) " + plus_minus(scores, "log_px", 2), units, minutes]
    )
    header = ["what", "command", "test images, nats", "active units", "minutes"]
    fill("results.md", "mnist", header, rows)
    pictures = "elbo_per_epoch generated_means reconstructions interpolation latent_space".split()
    copy(folder, **{f"mnist_{name}": name for name in pictures})


def common_information():
    """Trained networks over beta just above 1, three seeds, on the pair, the stars, the default."""
    rows = []
    for data, what in STARS.items():
        reports = {}
        for seed in range(3):
            betas = BETAS if seed == 0 or data == "pair" else FEWER_BETAS
            flags = f"--covariance_path data/{data}.dat --beta {betas} --seed {seed}"
            flags += SIZES.get(data, " --n_dim 9 --n_epoch 60")
            folder, _, _ = run("beta_sweep.py", flags, f"{data}_seed_{seed}")
            for path in folder.glob("beta_*/report.json"):
                report = read_json(path)
                reports.setdefault(report["beta"], []).append(report)
        copy(RUNS / f"{data}_seed_0", **{f"common_information_{data}": "common_information"})
        for beta, group in sorted(reports.items()):
            cost = max(abs(r["cost"] - r["cost_exact"]) for r in group)
            information = " ".join(f"{r['mutual_information']:.4f}" for r in group)
            left = " ".join(f"{r['conditional_total_correlation']:.4f}" for r in group)
            units = " ".join(str(r["active_units"]) for r in group)
            best, left_exact = group[0], group[0]["conditional_total_correlation_exact"]
            row = [what, f"{beta:g}", f"{cost:.4f}", f"{information} ({best['rate_exact']:.4f})"]
            row += [f"{left} ({left_exact:.4f})", f"{units} ({best['active_units_exact']})"]
            rows.append(row)
    header = ["data", "beta", "largest error of the cost", "I(x;z)", "TC(x\\|z)", "active units"]
    fill("common_information.md", "trained", header, rows)


def main():
    parts = {f.__name__: f for f in (default, seeds, sweeps, common_information)}
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", help="of " + ", ".join([*parts, "mnist"]))
    parser.add_argument("--mnist_path", help="mnist.npz; default: Keras's own, downloaded once")
    args = parser.parse_args()
    RUNS.mkdir(parents=True, exist_ok=True)
    parts["mnist"] = lambda: mnist(args.mnist_path)
    for name in args.parts or parts:
        parts[name]()


if __name__ == "__main__":
    main()
