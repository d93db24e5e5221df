"""Look at a VAE trained on MNIST and score it: python mnist_vae_after_training.py

Digits from the prior, reconstructions, interpolation, the latent space, single units, and the
log-likelihood of the test images. Pictures go to figures/ in the model's folder, or in another one,
the arrays they show to images.npz there, and the numbers to .csv and .json files beside it.
"""

import quiet_tensorflow

from pathlib import Path

import numpy as np

from analysis import evaluation, gaps, latent, latent_tables
from images import data as image_data
from images import look
from images import models as image_models
from images import report as image_report
from training import command_line, run_folder, saved_model, tables
from training.command_line import integer, seed
from training.errors import InputError


def parse_arguments(argv=None):
    parser = command_line.Parser(__doc__)
    add = parser.group("settings")
    add("--model_dir", default="results/mnist_vae", help="folder of the trained model")
    add("--checkpoint", action="store_true", help="take an interrupted run as it stands")
    add("--data_path", help="images to look at and score; default: those of the run")
    add("--output_dir", help="folder for the results; default: the model's")
    add("--n_images", type=integer(2), help="images to score; default: all")
    add("--n_importance", type=integer(2), default=5000, help="draws of z per image for log p(x)")
    add("--gaps", action="store_true", help="split the encoder's gap too, on up to 500 images")
    add("--seed", type=seed, default=0, help="seed of z, x, and of which images are shown")
    return parser.parse_args(argv)


def load_images(data_path, settings):
    """The Images in data_path, or of the run where that is None; InputError: of another size."""
    path = data_path or settings.data_path
    images = image_data.get_images(path, settings.binarization, settings.seed, settings.keep)
    if list(images.image_shape) != settings.image_shape:
        raise InputError(
            f"{path}: images of shape {images.image_shape}; the model was trained on "
            f"{tuple(settings.image_shape)}"
        )
    return images


def main(argv=None):
    args = parse_arguments(argv)
    model, settings = saved_model.load_model(
        args.model_dir, image_models.make_model, ("mnist_vae",), args.checkpoint
    )
    images = load_images(args.data_path, settings)
    x, labels = images.x_test, images.y_test
    folder = Path(args.output_dir or args.model_dir)
    run_folder.make_folder(folder)

    mean, log_std = evaluation.encode(model, x)
    units = latent.latent_units(mean, log_std)
    traversed = np.argsort(-units.kl)[: look.UNITS]
    rows = look.arrays_to_show(model, x, mean, traversed, args.seed)
    arrays = {
        name: array.reshape(*array.shape[:-1], *images.image_shape) for name, array in rows.items()
    }
    with run_folder.atomic_write(folder / "images.npz") as temporary:
        np.savez_compressed(temporary, **arrays)
    look.write_means(folder, labels, mean)
    latent_tables.write_units(folder, units)
    look.draw_arrays(folder / "figures", arrays, traversed)
    look.draw_latent_space(folder / "figures", mean, log_std, labels)
    print(f"active units, variance of E[z|x] above 0.01: {units.active.sum()} of {model.n_dim}")
    print(f"pictures: {folder / 'figures'}; the arrays they show: {folder / 'images.npz'}")

    x = x[: args.n_images]
    scores = image_report.log_likelihood(model, x, args.n_importance, args.seed, settings.beta)
    columns = np.float32(np.column_stack(scores))
    tables.save_table(folder / "log_likelihood.csv", columns, scores._fields)
    score = image_report.make_score(scores, args.n_importance, settings)
    image_report.print_score(score)
    if args.gaps:
        found = gaps.metrics(model, x[: gaps.GAP_ROWS], args.seed, args.n_importance)
        gaps.print_metrics(found)
        score |= found
    run_folder.write_json(folder / "log_likelihood.json", score | units.metrics())
    print(f"open {folder / 'figures' / 'generated_means.png'} first")


if __name__ == "__main__":
    command_line.run(main)
