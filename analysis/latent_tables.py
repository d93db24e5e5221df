"""What a trained model says of each row and each unit: .csv files, and tables on the screen."""

import numpy as np
from scipy.special import softmax

from analysis import evaluation, sampling
from training import tables

BLOCK_ROWS = 2**14  # of the table, at once
SCORE_Z = 2**21  # about so many draws of z score all rows of a table
LEAST_DRAWS, MOST_DRAWS = 16, 1024  # of z for one row
SHOWN_COLUMNS = 20  # on the screen
# The normal distribution as points and weights, whose variance is 1 to 1e-9.
PRIOR_Z = np.linspace(-7.0, 7.0, 281)
PRIOR_WEIGHTS = softmax(-0.5 * PRIOR_Z**2)


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


def score_rows(path, model, u, n_draws, seed, beta):
    """Write log_px.csv: ELBO, log p(x) and its standard error of each row, in order, in nats.

    u: see write_latent. n_draws: of z for each row; the standard error is that over these. Returns
    log p(x), (N,), and in how many rows few of the draws count.
    """
    log_px, few = [], []  # of each block

    def blocks():
        for start in range(0, len(u), BLOCK_ROWS):
            rows = u[start : start + BLOCK_ROWS]
            found = evaluation.evaluate(model, rows, n_draws, (seed, "evaluate", start), beta)
            log_px.append(found.log_px_corrected)
            few.append(np.sum(found.effective_samples < evaluation.FEW_EFFECTIVE))
            yield np.float32(np.stack([found.elbo, log_px[-1], found.log_px_se], axis=1))

    tables.save_blocks(path, blocks(), (len(u), 3), ["elbo", "log_px", "log_px_se"])
    return np.concatenate(log_px), sum(few)


def draws_for(n_rows):
    """How many draws of z score each of so many rows."""
    return int(np.clip(SCORE_Z // n_rows, LEAST_DRAWS, MOST_DRAWS))


def print_scores(log_px, n_few, n_draws):
    """Print the mean of log p(x) with its standard error over the rows; see score_rows."""
    print(
        f"log p(x): {log_px.mean():.4f} ± {evaluation.standard_error(log_px):.4f} nats, mean over "
        f"the rows ({n_draws} draws of z for each)"
    )
    if n_few > 0:
        print(f"  in {n_few} rows few of the draws count: log p(x) may be too low there")


def write_units(folder, units):
    """Write active_units.csv, a row per unit; units: latent.LatentUnits."""
    numbers = np.arange(1, len(units.kl) + 1)
    columns = {"unit": numbers, **vars(units), "active": units.active}
    table = np.float32(np.column_stack(list(columns.values())))
    tables.save_table(folder / "active_units.csv", table, list(columns))


def write_dimensions(folder, variance_of_x, names):
    """Write active_dimensions.csv, a row per unit.

    variance_of_x: of variances_over_prior. names: of the data's columns.
    """
    table = np.column_stack([np.arange(1, len(variance_of_x) + 1), variance_of_x])
    tables.save_table(folder / "active_dimensions.csv", table, ["unit", *names])


def print_units(units, variance_of_x, names):
    """Print what write_units and write_dimensions write, in part where there is much of it."""
    n_dim, data_dim = variance_of_x.shape
    print(f"\nactive units: {units.active.sum()} of {n_dim}, variance of E[z|x] above 0.01")
    if len(units.shown) < n_dim:
        print(f"the {len(units.shown)} of largest KL (all are in active_units.csv):")
    print("unit  variance of E[z|x]  variance of std  KL (nats)  active")
    for k in units.shown:
        of_q = f"{units.variance_of_mean[k]:18.4f}{units.variance_of_std[k]:17.4f}"
        print(f"z{k + 1:<4d}{of_q}{units.kl[k]:11.4f}  {'yes' if units.active[k] else 'no'}")

    print("\nvariance of E[x|z] while one unit runs over its prior and the others stand at 0")
    columns = range(data_dim)[:SHOWN_COLUMNS]
    if len(columns) < data_dim:
        print(f"the first {len(columns)} of {data_dim} columns (all in active_dimensions.csv):")
    print(" " * 16 + "".join(f"{f'z{k + 1}':>11}" for k in units.shown))
    for j in columns:
        values = "".join(f"{variance_of_x[k, j]:11.4g}" for k in units.shown)
        print(f"{names[j]:<16.15}{values}")


def variances_over_prior(model):
    """The variance of E[x|z], data units, while one unit runs over its prior and the others stand
    at 0: (n_dim, data_dim). Exact for a linear decoder.
    """
    variances = np.empty((model.n_dim, model.data_dim))
    for unit in range(model.n_dim):
        means = np.float64(sampling.traverse(model, np.zeros(model.n_dim), [unit], PRIOR_Z)[0])
        variances[unit] = PRIOR_WEIGHTS @ (means - PRIOR_WEIGHTS @ means) ** 2
    return variances
