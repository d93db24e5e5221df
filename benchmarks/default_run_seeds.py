"""Does the default run reach the optimum from every seed? A table of the held-out gap.

    python benchmarks/default_run_seeds.py --seeds 20 --table docs/default_run_seeds.md -- FLAGS

FLAGS are flags of vae_main.py that stand in for its defaults.
"""

import argparse
import contextlib
import io
import json
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import vae_main


def report_of(seed, flags):
    """The report of one whole run with this seed, a dictionary."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        vae_main.main(["--seed", str(seed), "--output_dir", folder, *flags])
        return json.loads((Path(folder) / "report.json").read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=20, help="seeds 0 to SEEDS - 1")
    parser.add_argument("--table", help="file for the table (Markdown)")
    parser.add_argument("flags", nargs="*", help="flags of vae_main.py, after --")
    args = parser.parse_args()
    lines = ["| seed | held-out ELBO | gap to the optimum | active units |", "|---|---|---|---|"]
    gaps = []
    for seed in range(args.seeds):
        report = report_of(seed, args.flags)
        gaps.append(report["gap"])
        lines.append(
            f"| {seed} | {report['elbo_held_out']:.4f} | {report['gap']:.4f} "
            f"± {report['gap_se']:.4f} | {report['active_units']} |"
        )
        print(lines[-1], flush=True)
    summary = f"largest gap {max(gaps):.4f}, median {statistics.median(gaps):.4f} nats"
    print(summary)
    if args.table:
        command = " ".join(["python vae_main.py --seed N", *args.flags])
        text = f"`{command}`, nats per data point: {summary}\n\n" + "\n".join(lines) + "\n"
        Path(args.table).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
