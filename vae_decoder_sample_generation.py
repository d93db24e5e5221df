"""Generate data from the decoder of a trained VAE: python vae_decoder_sample_generation.py

z is drawn from the prior N(0, I), x from p(x|z); the 'vae-decoder-sample-generation' of
M. M. Hasan's guideline to the VAE (2021).
"""

import quiet_tensorflow

from pathlib import Path

import data_processing
import vae_models
from analysis import comparison, figures, sampling
from training import command_line, large_data, saved_model, tables
from training.command_line import integer, seed


def parse_arguments(argv=None):
    parser = command_line.Parser(__doc__)
    add = parser.group("settings")
    add("--model_dir", default="results/vae", help="folder of the trained model")
    add("--n_samples", type=integer(1), default=100_000, help="rows to generate")
    add("--output", help="file to write, .dat or .npy; default: decoder_data.dat in that folder")
    add("--draw", choices=("sample", "mean"), default="sample", help="draws of p(x|z) or its mean")
    add("--seed", type=seed, default=0, help="seed of the draws of z and x")
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_arguments(argv)
    folder = Path(args.model_dir)
    model, settings = saved_model.load_model(folder, vae_models.make_model)
    output = Path(args.output or folder / "decoder_data.dat")
    tables.check_output(output)
    x, known = data_processing.get_rows(settings)
    mean, covariance = (None, None) if known is None else (known.mean, known.covariance)

    samples = sampling.generate(model, args.n_samples, args.seed, args.draw == "mean")
    tables.save_table(output, samples)
    print(f"{output}: {len(samples)} rows of decoder data, z from the prior")
    x = large_data.some_rows(x)
    compared = comparison.print_comparison({"decoder": samples}, x, mean, covariance)
    if compared:
        picture = folder / "figures" / "decoder_data.png"
        figures.marginals(picture, {"data": x, "decoder": samples}, compared["decoder"].ks)
        print(f"open {picture} first: each marginal beside that of the data")


if __name__ == "__main__":
    command_line.run(main)
