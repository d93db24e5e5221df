"""What a trained model says of each row and each unit: .csv files, and tables on the screen."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from analysis import evaluation
from training import tables

BLOCK_ROWS = 2**14  # of the table, at once
SCORE_Z = 2**21  # about so many draws of z score all rows of a table
LEAST_DRAWS, MOST_DRAWS = 16, 1024  # of z for one row
FEW_EFFECTIVE = 5  # effective draws: with fewer, log p(x) of a row is hardly known
SHOWN_UNITS, SHOWN_COLUMNS = 10, 20  # on the screen
# The normal distribution as points and weights, whose moments are exact to 1e-8.
PRIOR_Z = np.linspace(-6.0, 6.0, 241)
PRIOR_WEIGHTS = np.exp(-0.5 * PRIOR_Z**2) / np.sum(np.exp(-0.5 * PRIOR_Z**2))


class Scores(NamedTuple):
    """What log_px.csv comes to: the mean of log p(x) over the rows and its standard error in nats,
    the draws of z for each row, and in how many rows fewer than FEW_EFFECTIVE of them count.
    """

    mean: float
    se: float
    n_draws: int
    n_doubtful: int


def write_latent(path, model, u):
    """Write latent.csv: mean and std of q(z|x) of each row, in order.

    u: (N, data_dim) as the networks see them, an array or a table that gives its rows by u[a:b].
    """

    def blocks():
        for start in range(0, len(u), BLOCK_ROWS):
            mean, log_std = evaluation.encode(model, u[start : start + BLOCK_ROWS])
            yield np.float32(np.concatenate([mean, np.exp(log_std)], axis=1))

    names = [f"z{k + 1}" for k in range(model.n_dim)] + [f"std{k + 1}" for k in range(model.n_dim)]
    tables.save_blocks(path, blocks(), (len(u), len(names)), names)


def write_log_px(path, model, u, seed, beta):
    """Write log_px.csv: ELBO, log p(x) and its standard error of each row, in order, in nats.

    u: see write_latent. The standard error is that over the draws of z. Returns the Scores.
    """
    n_draws = int(np.clip(SCORE_Z // len(u), LEAST_DRAWS, MOST_DRAWS))
    sums = []  # over each block: log p(x), its square, and rows of few effective draws

    def blocks():
        for start in range(0, len(u), BLOCK_ROWS):
            rows = u[start : start + BLOCK_ROWS]
            found = evaluation.evaluate(model, rows, n_draws, (seed, "evaluate", start), beta)
            log_px = found.log_px_corrected
            few = np.sum(found.effective_samples < FEW_EFFECTIVE)
            sums.append([np.sum(log_px), np.sum(log_px**2), few])
            yield np.float32(np.stack([found.elbo, log_px, found.log_px_se], axis=1))

    tables.save_blocks(path, blocks(), (len(u), 3), ["elbo", "log_px", "log_px_se"])
    total, squares, n_doubtful = np.sum(sums, axis=0)
    mean = total / len(u)
    variance = max(squares - len(u) * mean**2, 0.0) / max(1, len(u) - 1)
    return Scores(mean, np.sqrt(variance / len(u)), n_draws, int(n_doubtful))


def write_units(path, units, variance_of_std):
    """Write active_units.csv: of each unit the variances of mean and std of q(z|x), and its KL.

    units: latent.LatentUnits; variance_of_std: (n_dim,).
    """
    columns = {
        "unit": np.arange(1, len(units.kl) + 1),
        "variance_of_mean": units.variance_of_mean,
        "variance_of_std": variance_of_std,
        "kl": units.kl,
        "active": units.active,
    }
    tables.save_table(path, np.float32(np.column_stack(list(columns.values()))), list(columns))


def write_dimensions(path, variances, names):
    """Write active_dimensions.csv: variances_over_prior, a row per unit; names: of the columns."""
    numbers = np.arange(1, len(variances) + 1)
    tables.save_table(path, np.column_stack([numbers, variances]), ["unit", *names])


def units_to_show(units):
    """The numbers, from 0, of at most SHOWN_UNITS units: those of largest KL."""
    return np.sort(np.argsort(-units.kl, kind="stable")[:SHOWN_UNITS])


def print_scores(scores):
    """Print the Scores of the rows."""
    print(f"log p(x): {scores.mean:.4f} ± {scores.se:.4f} nats, mean over the rows", end="")
    print(f" ({scores.n_draws} draws of z for each)")
    if scores.n_doubtful > 0:
        print(f"  in {scores.n_doubtful} rows few of the draws count: it may be too low there")


def print_units(units, variance_of_std):
    """Print what write_units writes, of units_to_show."""
    shown = units_to_show(units)
    print(f"\nactive units: {units.active.sum()} of {len(units.kl)}, variance of E[z|x] above 0.01")
    if len(shown) < len(units.kl):
        print(f"the {len(shown)} of largest KL (all are in active_units.csv):")
    print("unit  variance of E[z|x]  variance of std  KL (nats)  active")
    for k in shown:
        numbers = f"{units.variance_of_mean[k]:18.4f}{variance_of_std[k]:17.4f}{units.kl[k]:11.4f}"
        print(f"z{k + 1:<4d}{numbers}  {'yes' if units.active[k] else 'no'}")


def print_dimensions(variances, shown, names):
    """Print what write_dimensions writes, of the units `shown`."""
    print("\nvariance of E[x|z] while one unit runs over its prior and the others stand at 0")
    columns = range(len(names))[:SHOWN_COLUMNS]
    if len(columns) < len(names):
        print(f"the first {len(columns)} of {len(names)} columns (all in active_dimensions.csv):")
    print(" " * 16 + "".join(f"{f'z{k + 1}':>11}" for k in shown))
    for j in columns:
        print(f"{names[j]:<16.15}" + "".join(f"{variances[k, j]:11.4g}" for k in shown))


def decode_unit(model, unit, values):
    """E[x|z] in data units while one unit takes the values (T,), the others 0: (T, data_dim)."""
    z = np.zeros((len(values), model.n_dim), np.float32)
    z[:, unit] = values
    return model.in_data_units(model.decoder_mean(tf.constant(z)).numpy())


def variances_over_prior(model):
    """The variance of E[x|z], data units, while one unit runs over its prior and the others stand
    at 0: (n_dim, data_dim). Exact to 1e-8 for a linear decoder.
    """
    variances = np.empty((model.n_dim, model.data_dim))
    for unit in range(model.n_dim):
        means = np.float64(decode_unit(model, unit, PRIOR_Z))
        variances[unit] = PRIOR_WEIGHTS @ (means - PRIOR_WEIGHTS @ means) ** 2
    return variances
