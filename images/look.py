"""What is shown of a trained model of images: arrays, pictures of them, and tables.

Digits from the prior, reconstructions, interpolation, single units, and the latent space.
"""

import numpy as np
import tensorflow as tf
from scipy.special import ndtri

from analysis import evaluation, sampling
from images import figures
from training import tables
from training.random_streams import stateless_seed, stream

GENERATED = 25
UNIFORM_RANGE = 3.0  # the comparison: z uniform in -3..3, which holds 99.7 % of each unit's prior
RECONSTRUCTED = 30
PAIRS, STEPS = 6, 11  # of the interpolation
QUANTILES = ndtri(np.linspace(0.02, 0.98, 20)).astype(np.float32)  # of the manifold's axes
UNITS, UNIT_VALUES = 10, np.linspace(-3, 3, 11)  # traversed: the units of largest KL
SCATTER_ROWS = 3000


def arrays_to_show(model, x, z_mean, traversed, seed):
    """The arrays of images.npz by name, (..., data_dim) each.

    x: (N, data_dim) images. z_mean: (N, n_dim) of q(z|x). traversed: which units run, one after the
    other.
    """
    order = stream(seed, "show").permutation(len(x))
    shown = order[:RECONSTRUCTED]
    first, second = order[:PAIRS], order[::-1][:PAIRS]
    uniform_z = tf.random.stateless_uniform(
        (GENERATED, model.n_dim), stateless_seed(seed, "show"), -UNIFORM_RANGE, UNIFORM_RANGE
    )
    arrays = {
        "generated_means": sampling.generate(model, GENERATED, seed, mean_only=True),
        "generated_samples": sampling.generate(model, GENERATED, seed),
        "generated_uniform_z": model.decoder_mean(uniform_z).numpy(),
        "originals": np.float32(x[shown]),
        "reconstructions": sampling.reconstruct(model, x[shown], seed, mean_only=True),
        "interpolation": interpolate(model, x[first], x[second]),
        "interpolation_ends": np.float32(np.stack([x[first], x[second]], axis=1)),
        "traversal": sampling.traverse(model, z_mean[shown[0]], traversed, UNIT_VALUES),
    }
    if model.n_dim == 2:  # z2 falls by row, z1 rises by column
        z = np.stack(np.meshgrid(QUANTILES, QUANTILES[::-1]), axis=-1)
        arrays["manifold"] = model.decoder_mean(tf.constant(z)).numpy()
    return arrays


def interpolate(model, x_from, x_to):
    """E[x|z] on the lines from E[z|x_from] to E[z|x_to], (N, STEPS, data_dim).

    The first and the last of each line are the reconstructions of its two images.
    """
    z_from, _ = evaluation.encode(model, x_from)
    z_to, _ = evaluation.encode(model, x_to)
    weight = np.linspace(0, 1, STEPS, dtype=np.float32)[:, np.newaxis]
    z = (1 - weight) * z_from[:, np.newaxis] + weight * z_to[:, np.newaxis]
    return model.decoder_mean(tf.constant(z)).numpy()


def plane_of_means(mean, log_std):
    """The latent means (N, n_dim) in a plane, (N, 2), and the names of its axes.

    Of one unit the mean beside its log_std, two units as they are, the first two principal
    components of more.
    """
    if mean.shape[1] == 1:
        return np.concatenate([mean, log_std], axis=1), ["E[z1|x]", "log std of q(z1|x)"]
    if mean.shape[1] == 2:
        return mean, ["E[z1|x]", "E[z2|x]"]
    centred = mean - mean.mean(axis=0, dtype=np.float64)
    _, axes = np.linalg.eigh(centred.T @ centred)  # rising
    return centred @ axes[:, [-1, -2]], ["component 1 of E[z|x]", "component 2 of E[z|x]"]


def write_means(folder, labels, mean):
    """Write latent_means.csv, a row for each image; labels: (N,) or None; mean: (N, n_dim)."""
    names = [f"z{k + 1}" for k in range(mean.shape[1])]
    if labels is not None:
        mean, names = np.column_stack([labels, mean]), ["label", *names]
    tables.save_table(folder / "latent_means.csv", np.float32(mean), names)


def draw_arrays(pictures, arrays, traversed):
    """A picture of each of the arrays (..., H, W), into the folder `pictures`."""
    shown = {name: np.clip(array, 0, 1) for name, array in arrays.items()}  # a Gaussian may leave
    for name, title in [
        ("generated_means", "E[x|z], z from the prior"),
        ("generated_samples", "samples of p(x|z), the same z"),
        ("generated_uniform_z", f"E[x|z], z uniform in ±{UNIFORM_RANGE:g}"),
    ]:
        figures.image_grid(pictures / f"{name}.png", shown[name], title)
    figures.image_pairs(
        pictures / "reconstructions.png", shown["originals"], shown["reconstructions"]
    )
    figures.interpolation(
        pictures / "interpolation.png", shown["interpolation"], shown["interpolation_ends"]
    )
    figures.image_traversal(pictures / "traversal.png", shown["traversal"], UNIT_VALUES, traversed)
    if "manifold" in shown:
        figures.manifold(
            pictures / "manifold.png",
            shown["manifold"],
            z_rows=QUANTILES[::-1],
            z_columns=QUANTILES,
        )


def draw_latent_space(pictures, mean, log_std, labels):
    """A picture of the first SCATTER_ROWS latent means, by label where there are labels."""
    plane, names = plane_of_means(mean, log_std)
    if labels is not None:
        labels = labels[:SCATTER_ROWS]
    figures.latent_scatter(pictures / "latent_space.png", plane[:SCATTER_ROWS], labels, names)
