"""Look at a VAE trained on MNIST and score it: python mnist_vae_after_training.py

Digits from the prior, reconstructions, interpolation, the latent space, single units, and the
log-likelihood of the test images. Pictures go to figures/ in the model's folder, the arrays they
show to images.npz there, and the numbers to .csv and .json files beside it.
"""

import quiet_tensorflow

from pathlib import Path

import numpy as np
import tensorflow as tf
from scipy.special import ndtri

from analysis import evaluation, latent, sampling
from images import data as image_data
from images import figures as image_figures
from images import models as image_models
from training import command_line, run_folder, saved_model
from training.command_line import integer, seed
from training.errors import InputError
from training.random_streams import stateless_seed, stream

GENERATED = 25
UNIFORM_RANGE = 3.0  # z of the comparison is uniform in -3..3, where 99.7 % of each unit's prior is
RECONSTRUCTED = 30
PAIRS, STEPS = 6, 11  # of the interpolation
QUANTILES = ndtri(np.linspace(0.02, 0.98, 20)).astype(np.float32)  # of the manifold's axes
UNITS, UNIT_VALUES = 10, np.linspace(-3, 3, 11)  # traversed: the units of largest KL
SCATTER_ROWS = 3000
FEW_IMAGES = 500  # of training, whose active units the code of Burda et al. (2015) counts
SCORE_BATCH = 500  # test images scored between two lines on the screen


def parse_arguments(argv=None):
    parser = command_line.Parser(__doc__)
    add = parser.group("settings")
    add("--model_dir", default="results/mnist_vae", help="folder of the trained model")
    add("--data_path", help="images to look at and score; default: those of the run")
    add("--n_images", type=integer(2), help="test images to score; default: all")
    add("--n_importance", type=integer(2), default=5000, help="draws of z per image for log p(x)")
    add("--seed", type=seed, default=0, help="seed of z, x, and of which images are shown")
    return parser.parse_args(argv)


def generate(model, seed):
    """Images from the prior as means and as samples of p(x|z), and means for a uniform z."""
    shape = (GENERATED, model.n_dim)
    uniform = tf.random.stateless_uniform(
        shape, stateless_seed(seed, "show"), -UNIFORM_RANGE, UNIFORM_RANGE
    )
    return {
        "generated_means": sampling.generate(model, GENERATED, seed, mean_only=True),
        "generated_samples": sampling.generate(model, GENERATED, seed),
        "generated_uniform_z": model.decoder_mean(uniform).numpy(),
    }


def interpolate(model, x_from, x_to):
    """E[x|z] on the lines from E[z|x_from] to E[z|x_to], (N, STEPS, data_dim).

    The first and the last of each line are the reconstructions of its two images.
    """
    z_from, z_to = (evaluation.encode(model, x)[0][:, np.newaxis] for x in (x_from, x_to))
    weight = np.linspace(0, 1, STEPS, dtype=np.float32)[:, np.newaxis]
    return model.decoder_mean(tf.constant((1 - weight) * z_from + weight * z_to)).numpy()


def pairs_of_images(labels, rng):
    """Numbers of the first and the second images of PAIRS pairs, two different labels in each."""
    first = rng.permutation(len(labels))[:PAIRS]
    others = (np.flatnonzero(labels != labels[i]) for i in first)
    return first, [rng.choice(other if len(other) else len(labels)) for other in others]


def traverse(model, z, units):
    """E[x|z] while one unit of z (n_dim,) takes UNIT_VALUES: (units, values, data_dim)."""
    points = np.tile(z, (len(units), len(UNIT_VALUES), 1))
    for row, unit in enumerate(units):
        points[row, :, unit] = UNIT_VALUES
    return model.decoder_mean(tf.constant(points)).numpy()


def decode_plane(model):
    """E[x|z] on a grid of normal quantiles, z2 falling by row, z1 rising by column."""
    z = np.stack(np.meshgrid(QUANTILES, QUANTILES[::-1]), axis=-1)
    return model.decoder_mean(tf.constant(z)).numpy()


def plane_of_means(mean, log_std):
    """The latent means (N, n_dim) in a plane, (N, 2), and the names of its axes.

    Of one unit the mean beside its log_std, two units as they are, the first two principal
    components of more.
    """
    if mean.shape[1] == 1:
        return np.concatenate([mean, log_std], axis=1), ("E[z1|x]", "log std of q(z1|x)")
    if mean.shape[1] == 2:
        return mean, ("E[z1|x]", "E[z2|x]")
    centred = np.float64(mean) - mean.mean(axis=0, dtype=np.float64)
    squares, axes = np.linalg.eigh(centred.T @ centred)  # the largest come last
    shares = 100 * squares[:-3:-1] / max(np.sum(squares), 1e-30)
    names = (f"component {k + 1} of E[z|x], {shares[k]:.0f} % of its variance" for k in (0, 1))
    return centred @ axes[:, :-3:-1], tuple(names)


def log_likelihood(model, x, n_importance, seed, beta):
    """The evaluation.Evaluation of the images x (N, data_dim); shows its progress on the screen."""
    print(f"\nlog p(x) from {n_importance} draws of z for each image, nats")
    parts = []
    for start in range(0, len(x), SCORE_BATCH):
        block = x[start : start + SCORE_BATCH]
        parts.append(
            evaluation.evaluate(model, block, n_importance, (seed, "evaluate", start), beta)
        )
        log_px = np.concatenate([part.log_px for part in parts])
        se = evaluation.standard_error(log_px)
        print(f"{len(log_px):6d} of {len(x)} images {log_px.mean():10.3f} ± {se:.3f}", flush=True)
    return evaluation.concatenate(parts)


def write_table(path, columns):
    """Write a dictionary of columns of equal length as .csv."""
    with run_folder.atomic_write(path) as temporary:
        table = np.column_stack(list(columns.values()))
        np.savetxt(temporary, table, "%.9g", delimiter=",", header=",".join(columns), comments="")


def images_to_show(model, x, labels, z_mean, units, seed):
    """The arrays of images.npz but for their last axis, data_dim instead of (H, W)."""
    rng = stream(seed, "show")
    shown = rng.permutation(len(x))[:RECONSTRUCTED]
    first, second = pairs_of_images(labels, rng)
    arrays = generate(model, seed) | {
        "originals": np.float32(x[shown]),
        "reconstructions": sampling.reconstruct(model, x[shown], seed, mean_only=True),
        "interpolation": interpolate(model, x[first], x[second]),
        "interpolation_ends": np.float32(np.stack([x[first], x[second]], axis=1)),
        "traversal": traverse(model, z_mean[shown[0]], units),
    }
    if model.n_dim == 2:
        arrays["manifold"] = decode_plane(model)
    return arrays


def draw_images(pictures, arrays, units):
    """A picture of each of the arrays (..., H, W), into the folder `pictures`."""
    arrays = {name: np.clip(a, 0, 1) for name, a in arrays.items()}  # a Gaussian may leave 0..1
    for name, title in [
        ("generated_means", "E[x|z], z from the prior"),
        ("generated_samples", "samples of p(x|z), the same z"),
        ("generated_uniform_z", f"E[x|z], z uniform in ±{UNIFORM_RANGE:g}"),
    ]:
        image_figures.image_grid(pictures / f"{name}.png", arrays[name], title)
    image_figures.image_pairs(
        pictures / "reconstructions.png", arrays["originals"], arrays["reconstructions"]
    )
    image_figures.interpolation(
        pictures / "interpolation.png", arrays["interpolation"], arrays["interpolation_ends"]
    )
    image_figures.image_traversal(
        pictures / "traversal.png", arrays["traversal"], UNIT_VALUES, units
    )
    if "manifold" in arrays:
        image_figures.manifold(
            pictures / "manifold.png", arrays["manifold"], QUANTILES[::-1], QUANTILES
        )


def write_pictures(folder, model, images, seed):
    """Write the pictures, images.npz, latent_means.csv and active_units.csv; return the units."""
    x, labels = images.x_test, images.y_test
    mean, log_std = evaluation.encode(model, x)
    units = latent.latent_units(mean, log_std)
    most_used = np.argsort(-units.kl)[:UNITS]
    arrays = {
        name: rows.reshape(*rows.shape[:-1], *images.image_shape)
        for name, rows in images_to_show(model, x, labels, mean, most_used, seed).items()
    }
    with run_folder.atomic_write(folder / "images.npz") as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)
    z_columns = {f"z{k + 1}": column for k, column in enumerate(mean.T)}
    write_table(folder / "latent_means.csv", {"label": labels, **z_columns})
    numbers = np.arange(1, model.n_dim + 1)
    unit_columns = {"unit": numbers, **vars(units), "active": units.active}
    write_table(folder / "active_units.csv", unit_columns)

    draw_images(folder / "figures", arrays, most_used)
    plane, names = plane_of_means(mean, log_std)
    image_figures.latent_scatter(
        folder / "figures" / "latent_space.png",
        plane[:SCATTER_ROWS],
        labels[:SCATTER_ROWS],
        names,
    )
    return units


def units_in_training(model, images, settings):
    """How many units are active on the first training images, as the published code counts."""
    kind, seed = settings.binarization, settings.seed
    x = image_data.training_sample(images, FEW_IMAGES, kind, seed)
    mean, log_std = evaluation.encode(model, x)
    return int(latent.latent_units(mean, log_std).active.sum())


def main(argv=None):
    args = parse_arguments(argv)
    folder = Path(args.model_dir)
    model, settings = saved_model.load_model(folder, image_models.make_model, ("mnist_vae",))
    data_path = args.data_path or settings.data_path
    images = image_data.get_images(data_path, settings.binarization, settings.seed)
    image_shape, beta = tuple(settings.image_shape), settings.beta
    if images.image_shape != image_shape:
        raise InputError(
            f"{data_path}: images of shape {images.image_shape}; the model in {folder} was "
            f"trained on {image_shape}"
        )
    units = write_pictures(folder, model, images, args.seed)
    n_active, in_training = units.active.sum(), units_in_training(model, images, settings)
    print(f"active units, variance of E[z|x] above 0.01: {n_active} of {model.n_dim}")
    print(f"  on the first {FEW_IMAGES} training images: {in_training}")
    print(f"pictures: {folder / 'figures'}; the arrays they show: {folder / 'images.npz'}")

    x = images.x_test[: args.n_images]
    rows = log_likelihood(model, x, args.n_importance, args.seed, beta)
    write_table(folder / "log_likelihood.csv", vars(rows))
    report = {"n_importance": args.n_importance, "images": len(x)}
    report |= evaluation.means({"log_px": rows.log_px, "elbo": rows.elbo, "kl": rows.kl})
    for name in ("log_px", "elbo", "kl"):
        print(f"{name:<8}{report[name]:10.3f} ± {report[f'{name}_se']:.3f}")
    # What a repetition with other draws of z would change, beside the choice of images above.
    report["log_px_se_of_draws"] = float(np.sqrt(np.sum(rows.log_px_se**2)) / len(rows.log_px))
    effective = report["effective_samples_median"] = float(np.median(rows.effective_samples))
    print(f"{effective:.1f} of {args.n_importance} draws of z are effective (median)", end="")
    few = effective < evaluation.ENOUGH_EFFECTIVE * args.n_importance
    print(": few, so log p(x) is a lower bound that more draws would raise" if few else "")
    report["elbo_is"] = image_models.describe_bound(settings)
    print(f"the ELBO is {report['elbo_is']}")
    report["active_units_in_training"] = in_training
    run_folder.write_json(folder / "log_likelihood.json", report | units.metrics())
    print(f"open {folder / 'figures' / 'generated_means.png'} first")


if __name__ == "__main__":
    command_line.run(main)
