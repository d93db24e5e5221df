"""Put several runs side by side: python compare_runs.py results/vae results/vae_seed_1

One table: the settings that differ, ELBO, gap, rate, active units and seconds of each run; and one
picture of their ELBO over the epochs, in which runs that differ in nothing but the seed are one
group.
"""

import itertools
import warnings
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from analysis import figure_style as style
from training import command_line, run_folder
from training.errors import InputError

RESULTS = {"elbo_held_out": 4, "gap": 4, "rate": 4, "active_units": 0, "seconds": 1}  # decimals
FOLLOWED = {"elbo_validation": "validation ELBO", "elbo_held_out": "held-out ELBO"}
LONGEST_LABEL = 80  # letters, in the legend of the picture
NOT_COMPARED = {"versions", "standardization"} | run_folder.CHANGE_NO_RESULT


class FinishedRun(NamedTuple):
    """What is compared of a run; elbo: (E,) of the rows that it followed, which `rows` names."""

    folder: Path
    settings: dict
    report: dict
    elbo: np.ndarray
    rows: str


def parse_arguments(argv=None):
    parser = command_line.Parser(__doc__)
    parser.add_argument("folders", nargs="+", metavar="RUN_FOLDER", help="folder of a finished run")
    add = parser.group("results")
    add("--output", default="results/compare_runs.png", help="picture to write, a .png file")
    args = parser.parse_args(argv)
    if Path(args.output).suffix.lower() != ".png":
        parser.error(f"argument --output: {args.output} must end in .png")
    return args


def read_run(folder):
    """The FinishedRun in a folder. InputError: there is none, or a file of it is damaged."""
    folder = Path(folder)
    if not (folder / "report.json").exists():
        raise InputError(f"{folder}: not the folder of a finished run (it has no report.json)")
    settings = run_folder.read_json(folder / "config.json")
    report = run_folder.read_json(folder / "report.json")
    path = folder / "history.csv"
    try:
        with warnings.catch_warnings(action="ignore"):  # an empty file warns, then fails
            history = np.genfromtxt(path, delimiter=",", names=True, ndmin=1)
    except (OSError, ValueError, IndexError) as error:
        raise InputError(f"{path}: missing or damaged ({error})") from None
    for name, rows in FOLLOWED.items():
        if name in history.dtype.names:
            return FinishedRun(folder, settings, report, history[name], rows)
    raise InputError(f"{path}: damaged (it has no column {' or '.join(FOLLOWED)})")


def check_comparable(runs):
    """InputError: some runs are on images and some are not."""
    of_images = {run.settings.get("model") == "mnist_vae": run.folder for run in runs}
    if len(of_images) == 2:
        raise InputError(
            f"{of_images[True]} is a run on images and {of_images[False]} is not: their numbers "
            "can't be compared"
        )


def differing(runs):
    """The names of the settings that all runs have and that are not the same in all."""
    first, *others = (run.settings for run in runs)
    common = [name for name in first if all(name in other for other in others)]
    return [
        name
        for name in common
        if name not in NOT_COMPARED and any(other[name] != first[name] for other in others)
    ]


def shown(value):
    """A setting as text; - for none."""
    if value is None:
        return "-"
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, str):
        return Path(value).name
    return f"{value:g}" if isinstance(value, float) else str(value)


def print_table(runs):
    names = differing(runs)
    rows = [["run", *names, *RESULTS]]
    for run in runs:
        row = [str(run.folder), *(shown(run.settings[name]) for name in names)]
        for name, decimals in RESULTS.items():
            value = run.report.get(name)
            row.append("-" if value is None else f"{value:z.{decimals}f}")
        rows.append(row)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        cells = (f"{cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True))
        print("  ".join([f"{first:<{widths[0]}}", *cells]))


def groups_by_settings(runs):
    """Label -> ELBO (n_runs, E) of the runs that differ in nothing but the seed.

    The label has the settings that differ or, where that is too long or taken, the folder of the
    first run.
    """
    names = [name for name in differing(runs) if name != "seed"]
    groups = defaultdict(list)
    for run in runs:
        groups[str([run.settings[name] for name in names])].append(run)
    curves = {}
    for group in groups.values():
        first = group[0]
        label = ", ".join(f"{name} {shown(first.settings[name])}" for name in names)
        if len(label) > LONGEST_LABEL or label in curves:
            label = str(first.folder)
        n_epoch = min(len(run.elbo) for run in group)
        curves[label or "all runs"] = np.array([run.elbo[:n_epoch] for run in group])
    return curves


def draw(path, groups, ylabel):
    """Median and range of each of the groups, label -> values (n_runs, E)."""
    with style.picture(path, height=4.2) as figure:
        axes = figure.subplots()
        for (label, values), line in zip(groups.items(), itertools.cycle(style.LINES)):
            epochs = np.arange(1, values.shape[1] + 1)
            if len(values) > 1:
                label += f" ({len(values)} seeds: median, range)"
            style.plot_history(axes, epochs, np.median(values, axis=0), line, label=label)
            low, high = np.min(values, axis=0), np.max(values, axis=0)
            axes.fill_between(epochs, low, high, color=line["color"], alpha=0.2, linewidth=0)
        style.show_late_range(axes, *itertools.chain(*groups.values()))
        axes.set_ylabel(ylabel)
        style.legend_above(figure, axes, columns=1)


def main(argv=None):
    args = parse_arguments(argv)
    runs = [read_run(folder) for folder in args.folders]
    check_comparable(runs)
    print_table(runs)
    output = Path(args.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    groups = groups_by_settings(runs)
    rows = " or ".join(sorted({run.rows for run in runs}))
    draw(output, groups, f"{rows} (nats per data point)")
    remark = ", as median and range where only the seed differs" if len(groups) < len(runs) else ""
    print(f"open {output}: the {rows} over the epochs{remark}")


if __name__ == "__main__":
    command_line.run(main)
