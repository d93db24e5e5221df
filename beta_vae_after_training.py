"""Generate data with a trained beta-VAE and compare it: python beta_vae_after_training.py

Decoder data: z from the prior, x from p(x|z). Encoder-decoder data: the original samples in, z from
q(z|x), x from p(x|z). The 'beta-vae-after-training' of M. M. Hasan's guideline to the beta-VAE
(2022).
"""

import quiet_tensorflow  # noqa: F401 - before TensorFlow is imported

# isort: split
from pathlib import Path

import numpy as np
import tensorflow as tf
from scipy.stats import norm

import data_processing
import vae_models
from analysis import comparison, evaluation, figures, sampling
from training import command_line, saved_model

THRESHOLD = evaluation.ACTIVE_UNIT_VARIANCE
TRAVERSAL = norm.ppf(np.linspace(0.01, 0.99, 49)).astype(np.float32)  # of one unit, prior quantiles


def parse_arguments(argv=None):
    parser = command_line.Parser(__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--model_dir", default="results/beta_vae", help="folder of the trained model")
    add("--n_samples", type=command_line.whole_number(1), default=100_000, help="decoder data rows")
    add("--data_path", help="data to encode and compare with; None: those of the training")
    add("--output_dir", help="folder for the data; None: the model's")
    add("--format", choices=("dat", "npy"), default="dat", help="of the data files")
    add("--draw", choices=("sample", "mean"), default="sample", help="of p(x|z)")
    add("--seed", type=command_line.seed, default=0, help="of z and x")
    return parser.parse_args(argv)


def traverse(model):
    """E[x|z] while one unit runs over its prior and the others stand at 0: (n_dim, T, data_dim)."""
    z = TRAVERSAL[:, np.newaxis] * np.eye(model.n_dim, dtype=np.float32)[:, np.newaxis]
    return model.decoder_mean(tf.constant(z)).numpy()


def print_units(units, movement):
    """Which units are active, and how far each moves the mean of every data dimension."""
    n_active = int(units.active.sum())
    print(f"\nactive units: {n_active} of {len(units.kl)} (variance of E[z|x] above {THRESHOLD})")
    print("unit  variance of E[z|x]  KL (nats)  active")
    for k, (variance, kl) in enumerate(zip(units.variance_of_mean, units.kl, strict=True), 1):
        print(f"z{k:<4d}{variance:19.4f}{kl:11.4f}  {'yes' if units.active[k - 1] else 'no'}")
    print("\nhow far E[x|z] moves while one unit runs from its 1 % to its 99 % quantile")
    data_dim = movement.shape[1]
    print("unit" + "".join(f"{f'x{j}':>8}" for j in range(1, data_dim + 1)))
    for k, row in enumerate(movement, 1):
        print(f"z{k:<3d}" + "".join(f"{value:8.3f}" for value in row))


def main(argv=None):
    args = parse_arguments(argv)
    model, settings = saved_model.load_model(args.model_dir, vae_models.make_model)
    if args.data_path is None:
        x, mean, covariance = data_processing.get_rows_of_run(settings)
    else:
        x, mean, covariance = data_processing.get_rows(
            args.data_path, None, model.data_dim, args.seed
        )
    folder = Path(args.output_dir or args.model_dir)
    files = {name: folder / f"{name}.{args.format}" for name in ("deco_data", "en_deco_data")}
    for path in files.values():
        data_processing.check_output(path)

    seen = data_processing.some_rows(x)
    mean_only = args.draw == "mean"
    deco_data = sampling.generate(model, args.n_samples, args.seed, mean_only)
    data_processing.save_table(files["deco_data"], deco_data)
    print(f"{files['deco_data']}: {len(deco_data)} rows of decoder data, z from the prior")
    en_deco_data = sampling.reconstruct(model, seen, args.seed, mean_only)
    blocks = [en_deco_data]
    if seen is not x:
        blocks = sampling.reconstructed_blocks(model, x, args.seed, mean_only)
        print(
            f"{files['en_deco_data']}: {len(x)} rows are being written (npy is faster); "
            f"what follows is of {len(seen)} of them, drawn at random",
            flush=True,
        )
    data_processing.save_blocks(files["en_deco_data"], blocks, x.shape)
    print(f"{files['en_deco_data']}: {len(x)} rows, z from the encoder of each data row")

    units, means = evaluation.latent_units(model, seen), traverse(model)
    print_units(units, np.ptp(means, axis=1))
    samples = {"decoder": deco_data, "encoder-decoder": en_deco_data}
    compared = comparison.print_comparison(
        samples, seen, mean, covariance, paired=["encoder-decoder"]
    )
    pictures = folder / "figures"
    figures.latent_traversal(
        pictures / "latent_traversal.png", TRAVERSAL, means, np.arange(model.n_dim)
    )
    if compared:
        figures.marginals(pictures / "generated_data.png", {"data": seen, **samples})
    print(f"\npictures: {pictures}")


if __name__ == "__main__":
    command_line.run(main)
