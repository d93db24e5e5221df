"""Generate data from the decoder of a trained VAE: python vae_decoder_sample_generation.py

z is drawn from the prior N(0, I), x from p(x|z); the 'vae-decoder-sample-generation' of
M. M. Hasan's guideline to the VAE (2021).
"""

import quiet_tensorflow

from pathlib import Path

import data_processing
from analysis import comparison, sample_figures, sampling
from training import command_line, large_data, saved_model, tables
from training.command_line import integer, seed
from vae_models import make_model


def parse_arguments(argv=None):
    parser = command_line.Parser(__doc__)
    add = parser.group("settings")
    add("--model_dir", default="results/vae", help="folder of the trained model")
    add("--checkpoint", action="store_true", help="take an interrupted run as it stands")
    add("--n_samples", type=integer(1), default=100_000, help="rows to generate")
    add("--output", help="file to write, .dat or .npy; default: decoder_data.dat in that folder")
    add("--draw", choices=("sample", "mean"), default="sample", help="draws of p(x|z) or its mean")
    add("--seed", type=seed, default=0, help="seed of the draws of z and x")
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_arguments(argv)
    model, settings = saved_model.load_model(args.model_dir, make_model, checkpoint=args.checkpoint)
    output = Path(args.output or Path(args.model_dir) / "decoder_data.dat")
    tables.check_output(output)
    x, known = data_processing.get_rows(settings)
    mean_only = args.draw == "mean"

    blocks = sampling.generated_blocks(model, args.n_samples, args.seed, mean_only)
    tables.save_blocks(output, blocks, (args.n_samples, model.data_dim))
    print(f"{output}: {args.n_samples} rows of decoder data, z from the prior")

    most = comparison.compared_rows(model.data_dim)
    samples = sampling.generate(model, min(args.n_samples, most), args.seed, mean_only)
    some = large_data.some_rows(x, most)
    if len(some) < len(x) or len(samples) < args.n_samples:
        print(f"compared: {len(samples)} of them with {len(some)} rows of data, chosen at random")
    result = comparison.compare(samples, some, known)
    names = tables.names_of_columns(settings.data_path, model.data_dim)
    comparison.print_comparison({"decoder": result}, names)
    if result is not None:
        picture = output.parent / "figures" / f"{output.stem}.png"
        sample_figures.marginals(picture, {"data": some, "decoder": samples}, names, result.ks)
        print(f"open {picture} first: each marginal beside that of the data")


if __name__ == "__main__":
    command_line.run(main)
