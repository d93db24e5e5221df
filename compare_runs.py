"""Put several runs side by side: python compare_runs.py results/vae results/vae_seed_1

One table: the settings that differ, ELBO, gap, rate, active units and seconds of each run; and one
picture of their held-out ELBO, in which runs that differ in nothing but the seed are one group.
"""

from pathlib import Path

import numpy as np

from analysis import figures
from training import command_line, run_folder
from training.errors import InputError

RESULTS = ("elbo_held_out", "gap", "rate", "active_units", "seconds")
LONGEST_LABEL = 80  # letters, in the legend of the picture
NOT_COMPARED = ("versions", "standardization", "distribute", "tensorboard")


def parse_arguments(argv=None):
    parser = command_line.Parser(__doc__)
    add = parser.group("settings")
    parser.add_argument("folders", nargs="+", metavar="RUN_FOLDER", help="folder of a finished run")
    add("--output", default="results/compare_runs.png", help="picture to write")
    return parser.parse_args(argv)


def read_run(folder):
    """Settings, report, and held-out ELBO by epoch of a run. InputError: it is not finished."""
    folder = Path(folder)
    if not (folder / "report.json").exists():
        raise InputError(f"{folder}: not the folder of a finished run (it has no report.json)")
    settings, report = (run_folder.read_json(folder / f"{n}.json") for n in ("config", "report"))
    settings = {"beta": 1.0, **settings}  # a VAE is the beta-VAE at beta = 1
    try:
        history = np.genfromtxt(folder / "history.csv", delimiter=",", names=True, ndmin=1)
        return settings, report, history["elbo_held_out"]
    except (OSError, ValueError) as error:
        raise InputError(f"{folder / 'history.csv'}: missing or damaged ({error})") from None


def differing(settings):
    """The names of the settings that all runs have and that are not the same in all."""
    first, *others = settings
    names = [name for name in first if name not in NOT_COMPARED and all(name in s for s in others)]
    return [name for name in names if any(s[name] != first[name] for s in others)]


def shown(value):
    """A setting as text; - for none."""
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, str):
        return Path(value).name
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def result(name, report):
    """A number of report.json as text."""
    decimals = {"active_units": 0, "seconds": 1}.get(name, 4)
    return "-" if report.get(name) is None else f"{report[name]:.{decimals}f}"


def print_table(folders, settings, reports):
    names = differing(settings)
    rows = [["run", *names, *RESULTS]]
    for folder, run, report in zip(folders, settings, reports, strict=True):
        cells = [shown(run[name]) for name in names]
        rows.append([str(folder), *cells, *(result(name, report) for name in RESULTS)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        cells = (f"{cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True))
        print("  ".join([f"{first:<{widths[0]}}", *cells]))


def groups_by_settings(folders, settings, elbos):
    """Label -> (epochs (E,), ELBO (runs, E)) of the runs that differ in nothing but the seed.

    The label has the settings that differ or, where that is too long, the folder of the first run.
    """
    names = [name for name in differing(settings) if name != "seed"]
    groups = {}
    for folder, run, elbo in zip(folders, settings, elbos, strict=True):
        label = ", ".join(f"{name} {shown(run[name])}" for name in names) or "all runs"
        groups.setdefault(label, (folder, []))[1].append(elbo)
    curves = {}
    for label, (folder, group) in groups.items():
        epochs = np.arange(1, min(map(len, group)) + 1)
        label = label if len(label) <= LONGEST_LABEL else str(folder)
        curves[label] = epochs, np.array([elbo[: len(epochs)] for elbo in group])
    return curves


def main(argv=None):
    args = parse_arguments(argv)
    settings, reports, elbos = zip(*map(read_run, args.folders), strict=True)
    print_table(args.folders, settings, reports)
    output = Path(args.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    groups = groups_by_settings(args.folders, settings, elbos)
    figures.runs(output, groups, "held-out ELBO (nats)")
    several = len(groups) < len(elbos)
    remark = ", as median and range where only the seed differs" if several else ""
    print(f"open {output}: the held-out ELBO over the epochs{remark}")


if __name__ == "__main__":
    command_line.run(main)
