"""Generate data from the decoder of a trained VAE: python vae_decoder_sample_generation.py

z is drawn from the prior N(0, I), x from p(x|z); the 'vae-decoder-sample-generation' of
M. M. Hasan's guideline to the VAE (2021).
"""

import quiet_tensorflow  # noqa: F401 - before TensorFlow is imported

# isort: split
from pathlib import Path

import data_processing
import vae_models
from analysis import comparison, figures, sampling
from training import command_line, saved_model


def parse_arguments(argv=None):
    parser = command_line.Parser(__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--model_dir", default="results/vae", help="folder of the trained VAE")
    add("--n_samples", type=command_line.whole_number(1), default=100_000, help="rows to generate")
    add("--output", default="decoder_data.dat", help="file to write, .dat or .npy")
    add("--draw", choices=("sample", "mean"), default="sample", help="of p(x|z)")
    add("--seed", type=command_line.seed, default=0, help="of z and x")
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_arguments(argv)
    data_processing.check_output(args.output)
    model, settings = saved_model.load_model(args.model_dir, vae_models.make_model)
    x, mean, covariance = data_processing.get_rows_of_run(settings)
    x = data_processing.some_rows(x)
    samples = sampling.generate(model, args.n_samples, args.seed, args.draw == "mean")
    data_processing.save_table(args.output, samples)
    print(f"{args.output}: {len(samples)} rows of decoder data, z from the prior")

    comparisons = comparison.print_comparison({"decoder": samples}, x, mean, covariance)
    if comparisons:
        picture = Path(args.model_dir) / "figures" / "decoder_data.png"
        figures.marginals(picture, {"data": x, "decoder": samples}, comparisons["decoder"].ks)
        print(f"{picture}: the marginals beside the data's")


if __name__ == "__main__":
    command_line.run(main)
