"""Generate data with a trained beta-VAE and look at its units: python beta_vae_after_training.py

Decoder data: z from the prior, x from p(x|z). Encoder-decoder data: the original samples in, z from
q(z|x), x from p(x|z). The 'beta-vae-after-training' of M. M. Hasan's guideline to the beta-VAE
(2022).
"""

import quiet_tensorflow

from pathlib import Path

import numpy as np
import tensorflow as tf
from scipy.special import ndtri

import data_processing
import vae_models
from analysis import comparison, evaluation, figures, latent, sampling
from training import command_line, large_data, run_folder, saved_model, tables
from training.command_line import integer, seed

TRAVERSAL = ndtri((np.arange(49) + 0.5) / 49).astype(np.float32)  # one unit over its prior


def parse_arguments(argv=None):
    parser = command_line.Parser(__doc__)
    add = parser.group("settings")
    add("--model_dir", default="results/beta_vae", help="folder of the trained model")
    add("--n_samples", type=integer(1), default=100_000, help="rows of decoder data")
    add("--data_path", help="table to encode and compare with; default: the data of the run")
    add("--output_dir", help="folder for the results; default: the model's")
    add("--format", choices=("dat", "npy"), default="dat", help="file format of the data")
    add("--draw", choices=("sample", "mean"), default="sample", help="draws of p(x|z) or its mean")
    add("--seed", type=seed, default=0, help="seed of the draws of z and x")
    return parser.parse_args(argv)


def traverse(model):
    """E[x|z] while one unit runs over its prior and the others stand at 0: (n_dim, T, data_dim)."""
    z = TRAVERSAL[:, np.newaxis] * np.eye(model.n_dim, dtype=np.float32)[:, np.newaxis]
    return model.decoder_mean(tf.constant(z)).numpy()


def write_units(folder, mean, std, units, movement):
    """Write latent.csv, active_units.csv and active_dimensions.csv, a row for each row or unit.

    mean, std: (N, n_dim) of q(z|x). movement: (n_dim, data_dim), the variance of E[x|z] while one
    unit runs over its prior.
    """
    n_dim = len(movement)
    names = [f"{name}{k + 1}" for name in ("z", "std") for k in range(n_dim)]
    with run_folder.atomic_write(folder / "latent.csv") as path:
        table = np.concatenate([mean, std], axis=1)
        np.savetxt(path, table, "%.9g", delimiter=",", header=",".join(names), comments="")
    columns = zip(
        units.variance_of_mean, std.var(axis=0, dtype=float), units.kl, units.active, strict=True
    )
    rows = [
        {"unit": k, "variance_of_mean": m, "variance_of_std": s, "kl": kl, "active": int(active)}
        for k, (m, s, kl, active) in enumerate(columns, 1)
    ]
    run_folder.write_table(folder / "active_units.csv", rows)
    print(f"\nactive units: {units.active.sum()} of {n_dim}, variance of E[z|x] above 0.01")
    print("unit  variance of E[z|x]  variance of std  KL (nats)  active")
    for row in rows:
        numbers = f"{row['variance_of_mean']:18.4f}{row['variance_of_std']:17.4f}{row['kl']:11.4f}"
        print(f"z{row['unit']:<4d}{numbers}  {'yes' if row['active'] else 'no'}")
    rows = [
        {"unit": k} | {f"x{j}": value for j, value in enumerate(values, 1)}
        for k, values in enumerate(movement.tolist(), 1)
    ]
    run_folder.write_table(folder / "active_dimensions.csv", rows)
    print("\nvariance of E[x|z] while one unit runs over its prior and the others stand at 0")
    print(" " * 5 + "".join(f"{f'z{k + 1}':>11}" for k in range(n_dim)))
    for j, values in enumerate(movement.T, 1):
        print(f"{f'x{j}':<5}" + "".join(f"{value:11.4g}" for value in values))


def main(argv=None):
    args = parse_arguments(argv)
    model, settings = saved_model.load_model(args.model_dir, vae_models.make_model)
    if args.data_path is not None:
        settings.data_path, settings.data_size = args.data_path, None
    x, known = data_processing.get_rows(settings)
    mean, covariance = (None, None) if known is None else (known.mean, known.covariance)
    folder = Path(args.output_dir or args.model_dir)
    files = {name: folder / f"{name}.{args.format}" for name in ("deco_data", "en_deco_data")}
    for path in files.values():
        tables.check_output(path)

    seen = large_data.some_rows(x)
    rows = data_processing.as_seen(seen, model.standardization)
    mean_only = args.draw == "mean"
    deco_data = sampling.generate(model, args.n_samples, args.seed, mean_only)
    tables.save_table(files["deco_data"], deco_data)
    print(f"{files['deco_data']}: {len(deco_data)} rows of decoder data, z from the prior")
    en_deco_data = sampling.reconstruct(model, rows, args.seed, mean_only)
    blocks = [en_deco_data]
    if seen is not x:
        blocks = sampling.reconstructed_blocks(model, x, args.seed, mean_only)
        print(
            f"{files['en_deco_data']}: {len(x)} rows are being written (npy is faster); "
            f"what follows is about {len(seen)} of them, drawn at random",
            flush=True,
        )
    tables.save_blocks(files["en_deco_data"], blocks, x.shape)
    print(f"{files['en_deco_data']}: {len(x)} rows, z from the encoder of each data row")

    z_mean, z_log_std = evaluation.encode(model, rows)
    units = latent.latent_units(z_mean, z_log_std)
    means = traverse(model)
    movement = model.in_data_units(means).var(axis=1, dtype=float)
    write_units(folder, z_mean, np.exp(z_log_std), units, movement)
    samples = {"decoder": deco_data, "encoder-decoder": en_deco_data}
    compared = comparison.print_comparison(
        samples, seen, mean, covariance, paired=["encoder-decoder"]
    )
    pictures = folder / "figures"
    moments = seen.mean(axis=0), seen.std(axis=0)
    moved = model.in_data_units(means)
    figures.latent_traversal(pictures / "latent_traversal.png", TRAVERSAL, moved, *moments)
    if compared:
        figures.marginals(pictures / "generated_data.png", {"data": seen, **samples})
    print(f"\nopen {pictures / 'latent_traversal.png'} first: what each unit does to the data")


if __name__ == "__main__":
    command_line.run(main)
