"""Generate data with a trained beta-VAE and look at its units: python beta_vae_after_training.py

Decoder data: z from the prior, x from p(x|z). Encoder-decoder data: the original samples in, z from
q(z|x), x from p(x|z). The 'beta-vae-after-training' of M. M. Hasan's guideline to the beta-VAE
(2022).
"""

import quiet_tensorflow

from pathlib import Path

import numpy as np

import data_processing
from analysis import comparison, gaps, latent_tables, run_figures, sample_figures, sampling
from analysis.evaluation import encode
from analysis.latent import latent_units
from training import command_line, large_data, run_folder, saved_model, tables
from training.command_line import integer, seed
from vae_models import make_model

TRAVERSAL = np.linspace(-2.5, 2.5, 51)  # of each unit in its picture: 99 % of its prior


def parse_arguments(argv=None):
    parser = command_line.Parser(__doc__)
    add = parser.group("settings")
    add("--model_dir", default="results/beta_vae", help="folder of the trained model")
    add("--checkpoint", action="store_true", help="take an interrupted run as it stands")
    add("--n_samples", type=integer(1), default=100_000, help="rows of decoder data")
    add("--data_path", help="table to encode, score and compare with; default: that of the run")
    add("--output_dir", help="folder for the results; default: the model's")
    add("--format", choices=("dat", "npy"), default="dat", help="file format of the data")
    add("--draw", choices=("sample", "mean"), default="sample", help="draws of p(x|z) or its mean")
    add("--gaps", action="store_true", help="split the encoder's gap too, on up to 500 rows")
    add("--seed", type=seed, default=0, help="seed of the draws of z and x")
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_arguments(argv)
    model, settings = saved_model.load_model(args.model_dir, make_model, checkpoint=args.checkpoint)
    if args.data_path is not None:
        tables.check_order_of_columns(args.data_path, settings.data_path)
        settings.data_path = args.data_path
        settings.data_size = None
    folder = Path(args.output_dir or args.model_dir)
    deco_path = folder / f"deco_data.{args.format}"
    en_deco_path = folder / f"en_deco_data.{args.format}"
    x, known = data_processing.get_rows(settings)
    names = tables.names_of_columns(settings.data_path, model.data_dim)
    mean_only = args.draw == "mean"

    most = comparison.compared_rows(model.data_dim)
    some = large_data.some_rows(x, most)
    if len(some) < len(x):
        print(
            f"all {len(x)} rows of the data go to the files (npy is faster); {len(some)} of them, "
            "chosen at random, are compared and drawn",
            flush=True,
        )
    u = large_data.as_seen(x, model.standardization)  # all rows, as the networks see them
    some_u = large_data.as_seen(some, model.standardization)
    run_folder.make_folder(folder)  # after all that may be wrong with the data

    blocks = sampling.generated_blocks(model, args.n_samples, args.seed, mean_only)
    tables.save_blocks(deco_path, blocks, (args.n_samples, model.data_dim))
    print(f"{deco_path}: {args.n_samples} rows of decoder data, z from the prior")
    blocks = sampling.reconstructed_blocks(model, u, args.seed, mean_only)
    tables.save_blocks(en_deco_path, blocks, x.shape)
    print(f"{en_deco_path}: {len(x)} rows, z from the encoder of each data row")
    latent_tables.write_latent(folder / "latent.csv", model, u)
    n_draws = latent_tables.draws_for(len(u))
    log_px, n_few = latent_tables.score_rows(
        folder / "log_px.csv", model, u, n_draws, args.seed, settings.beta
    )
    latent_tables.print_scores(log_px, n_few, n_draws)
    if args.gaps:
        found = gaps.metrics(model, some_u[: gaps.GAP_ROWS], args.seed)
        run_folder.write_json(folder / "gaps.json", found)
        gaps.print_metrics(found)

    units = latent_units(*encode(model, some_u))
    variance_of_x = latent_tables.variances_over_prior(model)
    latent_tables.write_units(folder, units)
    latent_tables.write_dimensions(folder, variance_of_x, names)
    latent_tables.print_units(units, variance_of_x, names)

    samples = {
        "decoder": sampling.generate(model, min(args.n_samples, most), args.seed, mean_only),
        "encoder-decoder": sampling.reconstruct(model, some_u, args.seed, mean_only),
    }
    compared = {
        "decoder": comparison.compare(samples["decoder"], some, known),
        "encoder-decoder": comparison.compare(samples["encoder-decoder"], some, known, paired=True),
    }
    comparison.print_comparison(compared, names)

    middle = np.zeros(model.n_dim)  # of the prior
    moved = [sampling.traverse(model, middle, [k], TRAVERSAL) for k in units.shown]
    pictures = folder / "figures"
    run_figures.latent_traversal(
        pictures / "latent_traversal.png",
        values=TRAVERSAL,
        means=np.concatenate(moved),
        mean=some.mean(axis=0),
        std=some.std(axis=0),
        names=names,
        units=units.shown,
    )
    sample_figures.marginals(pictures / "generated_data.png", {"data": some, **samples}, names)
    print(f"\nopen {pictures / 'latent_traversal.png'} first: what each unit does to the data")


if __name__ == "__main__":
    command_line.run(main)
