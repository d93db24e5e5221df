"""Pictures of the VAE of images: numpy arrays in, one PNG out; independent of the model.

Images are (H, W) in [0, 1], 0 drawn black. The look is that of figure_style.py.
"""

import numpy as np

from analysis import figure_style as style


def image_grid(path, images, title=None):
    """Images (N, H, W) row by row, five in a row."""
    _tiles(path, _in_rows(images, 5), title=title)


def image_pairs(path, originals, reconstructions):
    """Originals (N, H, W), each with its reconstruction (N, H, W) below it, ten in a row."""
    pairs = np.stack([_in_rows(originals, 10), _in_rows(reconstructions, 10)], axis=1)
    tiles = pairs.reshape(-1, *pairs.shape[2:])
    _tiles(path, tiles, rows=["data", "reconstruction"] * len(pairs))


def interpolation(path, images, ends):
    """Decoded images (pairs, steps, H, W) between the latent points of two images, a pair per row.

    ends: (pairs, 2, H, W), the two original images, drawn at the ends of each row.
    """
    steps = [f"{step:.2g}" for step in np.linspace(0, 1, images.shape[1])]
    rows = np.concatenate([ends[:, :1], images, ends[:, 1:]], axis=1)
    _tiles(
        path,
        rows,
        columns=["data", *steps, "data"],
        x_label="E[x|z], interpolation weight between the two E[z|x]",
    )


def manifold(path, images, z_rows, z_columns):
    """Decoded images (rows, columns, H, W) over a grid in a latent plane.

    z_rows (rows,), z_columns (columns,): z2 from the top and z1 from the left at the grid's points,
    normal quantiles of equal steps in probability (Kingma & Welling 2013, Appendix A).
    """
    rows, columns = ([f"{z:.1f}" for z in values] for values in (z_rows, z_columns))
    _tiles(path, images, rows, columns, "z1 (normal quantiles)", "z2 (normal quantiles)")


def image_traversal(path, images, values, units):
    """Decoded images (units, steps, H, W): one latent unit runs in each row, the others rest.

    values: (steps,) of the running unit; units: (units,) their indices from 0.
    """
    rows = [f"z{unit + 1}" for unit in units]
    columns = [f"{value:.1f}" for value in values]
    _tiles(path, images, rows, columns, x_label="value of the unit named on the left (prior std)")


def _in_rows(images, columns):
    """(N, H, W) -> (rows, columns, H, W), the places after the last image white."""
    columns = min(columns, len(images))
    padded = np.pad(images, [(0, -len(images) % columns), (0, 0), (0, 0)], constant_values=1.0)
    return padded.reshape(-1, columns, *padded.shape[1:])


def _tiles(path, images, rows=(), columns=(), x_label=None, y_label=None, title=None):
    """Images (rows, columns, H, W) with white lines between, rows and columns named."""
    n_rows, n_columns, height, width = images.shape
    line = max(1, height // 14)
    framed = np.pad(images, [(0, 0), (0, 0), (0, line), (0, line)], constant_values=1.0)
    step_y, step_x = height + line, width + line
    sheet = framed.transpose(0, 2, 1, 3).reshape(n_rows * step_y, n_columns * step_x)
    tile = min(1.2, (style.WIDTH - 1) / n_columns)
    beside = 1.0 if len(rows) > 0 else 0.1  # inches for labels
    below = 0.8 if len(columns) > 0 else 0.3
    sheet_height = n_rows * tile * step_y / step_x
    with style.picture(path, sheet_height + below, n_columns * tile + beside) as figure:
        axes = figure.subplots()
        axes.imshow(sheet[:-line, :-line], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_yticks(np.arange(len(rows)) * step_y + (height - 1) / 2, rows)
        axes.set_xticks(np.arange(len(columns)) * step_x + (width - 1) / 2, columns)
        axes.set(xlabel=x_label, ylabel=y_label, title=title)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        axes.grid(False)


def latent_scatter(path, z, labels, axis_labels):
    """The plane of two latent units, each point drawn as the name of its class.

    z: (N, 2); labels: (N,) class of each point, or None: all are dots; axis_labels: two strings.
    """
    with style.picture(path, height=6.6, width=7.4) as figure:
        axes = figure.subplots()
        axes.set(xlabel=axis_labels[0], ylabel=axis_labels[1], aspect="equal")
        if labels is None:
            axes.scatter(z[:, 0], z[:, 1], s=6)
            return
        for name in np.unique(labels):
            x, y = z[labels == name].T
            axes.scatter(x, y, s=32, marker=f"${name}$", linewidth=0.4, label=f"class {name}")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), markerscale=1.5)


def elbo_per_epoch(path, epochs, elbo_train, elbo_followed, image, followed):
    """ELBO of the training and of the `followed` images, (E,) each, in nats per `image`.

    nan: not evaluated.
    """
    with style.picture(path, height=3.8) as figure:
        axes = figure.subplots()
        name = "training: mean over the epoch, while the weights improve"
        style.plot_history(axes, epochs, elbo_train, style.TRAINING, label=name)
        name = f"{followed}: after the epoch, hence ahead at first"
        style.plot_history(axes, epochs, elbo_followed, style.HELD_OUT, label=name)
        style.show_late_range(axes, elbo_train, elbo_followed)
        axes.set(ylabel=f"ELBO (nats per {image})")
        style.legend_above(figure, axes)
