"""What tests read from the folders of runs, and the flags of a small run."""

import csv
import json
from pathlib import Path

import numpy as np
from scipy.stats import norm

ROOT = Path(__file__).resolve().parent.parent
SMALL = (
    "--data_dim 3 --n_dim 2 --n_width 5 --batch_size 4 --training_data_size 38 --n_epoch 3 "
    "--lr 0.02 --seed 7 --keep last"
).split()  # 38 rows: nine batches of 4 and one of 2
FEW_STEPS = "--training_data_size 14 --n_epoch 1".split()  # three batches of 4 and one of 2
PARAMETERS = [
    *(f"Encoder_{kind}{number}.dat" for number in "123" for kind in "Wb"),
    *(f"Decoder_{kind}{number}.dat" for number in "456" for kind in "Wb"),
]


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def rows_of(path):
    """The rows of a .csv file as dictionaries of text."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def contents(folder):
    """Every file under a folder with its bytes, every folder with None."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def weights(folder):
    """The bytes of the weight files of a run, by name."""
    paths = [*folder.glob("Encoder_*.dat"), *folder.glob("Decoder_*.dat")]
    return {path.name: path.read_bytes() for path in sorted(paths)}


def history(folder):
    """The rows of history.csv as text, without the times."""
    rows = rows_of(folder / "history.csv")
    return [{name: text for name, text in row.items() if name != "seconds"} for row in rows]


def change_config(folder, **changes):
    """Change the config.json of a run; ... takes a setting out."""
    settings = read_json(folder / "config.json") | changes
    kept = {name: value for name, value in settings.items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(kept), encoding="utf-8")


def numpy_network(folder, name, inputs):
    """Mean and log_std of Encoder or Decoder, computed from the text weights of a ReLU network."""
    paths = sorted(folder.glob(f"{name}_W*.dat"))
    for path in paths:
        bias = np.loadtxt(folder / path.name.replace("_W", "_b"), ndmin=1)
        outputs = inputs @ np.loadtxt(path, ndmin=2) + bias
        inputs = np.maximum(outputs, 0.0)
    return np.split(outputs, 2, axis=-1)


def numpy_log_px(folder, x, n_draws, seed):
    """log p(x) of rows x (N, D) by importance sampling from q(z|x), and its standard error."""
    mean, log_std = numpy_network(folder, "Encoder", x)
    z = np.random.default_rng(seed).normal(mean, np.exp(log_std), (n_draws, *mean.shape))
    x_mean, x_log_std = numpy_network(folder, "Decoder", z)
    log_w = np.sum(norm.logpdf(x, x_mean, np.exp(x_log_std)), axis=-1)
    log_w += np.sum(norm.logpdf(z) - norm.logpdf(z, mean, np.exp(log_std)), axis=-1)
    largest = log_w.max(axis=0)
    w = np.exp(log_w - largest)
    return largest + np.log(w.mean(axis=0)), w.std(axis=0) / w.mean(axis=0) / np.sqrt(n_draws)
