"""Run what docs/results.md reports, and write it: python docs/make_results.py

Every figure of its tables comes from a run of this script; it takes about eight minutes. The
pictures and the tables (.csv) of the runs are copied beside it.
"""

import argparse
import csv
import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

from benchmarks import measuring

SWEEP = "--beta 0.25 0.5 1 2 4 8"
SWEEP_STD = "--decoder_std 0.5 --beta 0.25 0.5 1 2 4 8 20 32"


class Runs:
    """Runs scripts with their results in one folder, and keeps the table of what they gave."""

    def __init__(self, folder):
        self.folder, self.rows = Path(folder), []

    def run(self, script, flags, name, more=()):
        """Run `script flags` into the folder `name`, with `more` flags that no reader needs.

        Returns the folder and the minutes that it took.
        """
        where = "--model_dir" if "after" in script else "--output_dir"
        command = [script, *flags.split(), where, str(self.folder / name), *more]
        print("python", *command, flush=True)
        begin = time.monotonic()
        subprocess.run([sys.executable, *command], cwd=DOCS.parent, check=True)
        return self.folder / name, (time.monotonic() - begin) / 60.0

    def add(self, what, command, minutes, figure):
        shown = " ".join(command.split())
        self.rows.append(f"| {what} | `python {shown}` | {figure} | {minutes:.1f} |")


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def copy(folder, **pictures):
    """Copy pictures of a run into docs, as new_name=old_name."""
    for new, old in pictures.items():
        shutil.copyfile(folder / "figures" / f"{old}.png", DOCS / f"{new}.png")


def machine():
    names = ("tensorflow", "keras", "numpy")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in names)
    cores = f"{os.cpu_count()} cores of {measuring.processor()}"
    return f"{cores}; Python {platform.python_version()}, {versions}"


def gap(report):
    return f"gap {report['gap']:.4f} ± {report['gap_se']:.4f} nats"


def vae(runs):
    folder, minutes = runs.run("vae_main.py", "", "vae")
    report = read_json(folder / "report.json")
    figure = f"held-out ELBO {report['elbo_held_out']:.4f}, {gap(report)}"
    runs.add("the default run", "vae_main.py", minutes, figure)
    copy(folder, vae_learning_curves="learning_curves", vae_pairwise_marginals="pairwise_marginals")
    flags = "@presets/vae_guideline.args"
    folder, minutes = runs.run("vae_main.py", flags, "original")
    report = read_json(folder / "report.json")
    figure = f"{gap(report)}: 32 steps of SGD teach a network little"
    runs.add("the guideline's own settings", f"vae_main.py {flags}", minutes, figure)


def sweep(runs, what, flags, name):
    """Run one sweep; its table as lines."""
    folder, minutes = runs.run("beta_vae_main.py", flags, name)
    with open(folder / "sweep.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    known = [row for row in rows if row["cost_exact"] != "nan"]
    worst = max(abs(float(row["cost"]) - float(row["cost_exact"])) for row in known)
    agree = all(row["active_units"] == row["active_units_exact"] for row in known)
    figure = (
        f"cost at most {worst:.4f} nats from the best linear model's, where that exists; active "
        f"units {'as predicted' if agree else 'NOT as predicted'}"
    )
    runs.add(what, f"beta_vae_main.py {flags}", minutes, figure)
    copy(folder, **{name: "beta_sweep"})
    shutil.copyfile(folder / "sweep.csv", DOCS / f"{name}.csv")
    columns = ("cost", "rate", "distortion", "active_units")
    lines = [f"| beta | {' (exact) | '.join(columns)} (exact) | covariance error |"]
    lines += ["|---" * 6 + "|"]
    for row in rows:
        beside = ((rounded(row[c]), rounded(row[f"{c}_exact"])) for c in columns)
        cells = [f"{figure} ({exact})" for figure, exact in beside]
        cells = [f"{float(row['beta']):g}", *cells, rounded(row["covariance_error"])]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines).replace("active_units", "active units")


def rounded(text):
    """A figure of sweep.csv as a reader wants it; nan stands where there is no exact one."""
    if text == "nan":
        return "none"
    return text if text.isdigit() else f"{float(text):.4f}"


def mnist(runs, data_path):
    more = [] if data_path is None else ["--data_path", str(Path(data_path).resolve())]
    folder, minutes = runs.run("mnist_vae_main.py", "", "mnist", more)
    report = read_json(folder / "report.json")
    units = f"{report['active_units']} of {len(report['variance_of_mean'])} units active"
    figure = f"test ELBO {report['elbo_held_out']:.2f} ± {report['elbo_held_out_se']:.2f}, {units}"
    runs.add("MNIST, 60 epochs", "mnist_vae_main.py", minutes, figure)
    flags = "--n_importance 500"
    folder, minutes = runs.run("mnist_vae_after_training.py", flags, "mnist")
    scores = read_json(folder / "log_likelihood.json")
    figure = f"log p(x) of the test images {scores['log_px']:.2f} ± {scores['log_px_se']:.2f}"
    runs.add("the same, scored", f"mnist_vae_after_training.py {flags}", minutes, figure)
    copy(
        folder,
        mnist_elbo_per_epoch="elbo_per_epoch",
        mnist_generated_means="generated_means",
        mnist_reconstructions="reconstructions",
        mnist_interpolation="interpolation",
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mnist_path", help="mnist.npz; None: Keras's own, downloaded once")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(folder)
        vae(runs)
        learned = sweep(runs, "beta, learned decoder std", SWEEP, "beta_sweep")
        fixed = sweep(runs, "beta, fixed decoder std", SWEEP_STD, "beta_sweep_fixed_std")
        mnist(runs, args.mnist_path)
    text = (
        (DOCS / "results_template.md")
        .read_text(encoding="utf-8")
        .format(
            date=datetime.date.today().isoformat(),
            machine=machine(),
            table="\n".join(runs.rows),
            learned=learned,
            fixed=fixed,
        )
    )
    (DOCS / "results.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
