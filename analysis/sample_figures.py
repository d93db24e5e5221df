"""Pictures of samples beside the data: numpy arrays in, one PNG out; no model is needed."""

import functools
import itertools
import math

import numpy as np
from matplotlib.collections import PathCollection
from matplotlib.patches import Ellipse
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.transforms import IdentityTransform
from scipy.ndimage import gaussian_filter

from analysis import figure_style as style
from analysis.mixture import Mixture, normal_density

MAX_PANELS = 25
MAX_PAIRS = 5  # dimensions of which every pair is drawn
MAX_NUMBERS = 10  # dimensions of a covariance whose numbers are legible
FEW_POINTS = 300  # fewer have no contours of their own, and larger marks
MASSES = 1.0 - np.exp([-0.5, -2.0])  # inside 1 and 2 std of a two-dimensional Gaussian
GRID = 200  # points a side on which an exact density is drawn


def covariances(path, matrices, names):
    """The correlations of a covariance matrix, and how far others are from that matrix.

    matrices: dict title -> (D, D), at least two, the first one the reference. All are divided by
    its standard deviations, std(x_i) std(x_j); differences are in percent of that, with a colour
    scale of their own. The numbers, which carry the sign in a grey print, are written when D <= 10.
    names: of the columns.
    """
    (title, reference), *others = matrices.items()
    std = np.sqrt(np.diag(reference))
    std[std == 0] = 1.0
    scale = np.outer(std, std)
    shown = [reference / scale, *(100 * (matrix - reference) / scale for _, matrix in others)]
    titles = [f"{title}: correlations", *(f"{other} − {title}, in %" for other, _ in others)]
    largest = np.max(np.abs(shown[1:])) or 1.0
    ticks = np.arange(0, len(std), math.ceil(len(std) / MAX_NUMBERS))
    names = style.names_in_pictures(names)
    labels = [names[tick] for tick in ticks]
    with style.picture(path, height=4.6 * math.ceil(len(matrices) / 2)) as figure:
        axes = style.panels(figure, len(matrices), 2)
        for number, ax in enumerate(axes):
            limit = 1.0 if number == 0 else largest
            image = ax.imshow(shown[number], cmap="RdBu_r", vmin=-limit, vmax=limit)
            ax.set_title(titles[number])
            ax.set_xticks(ticks, labels, rotation=90)
            ax.set_yticks(ticks, labels)
            ax.grid(False)
            figure.colorbar(image, ax=ax, location="bottom", shrink=0.8, aspect=35)
            if len(std) <= MAX_NUMBERS:
                _write_numbers(ax, shown[number], 0.6 * limit, digits=2 if number == 0 else 1)


def _write_numbers(axes, matrix, strong, digits):
    """The number in each cell, white where it is above `strong`.

    One collection of outlines: as Text objects, 400 numbers would take 0.7 s.
    """
    values = np.ravel(matrix)
    texts = [f"{value:z.{digits}f}" for value in values]
    if digits == 2:
        texts = [text.replace("0.", ".") for text in texts]  # narrower
    rows, columns = np.indices(matrix.shape)
    numbers = PathCollection(
        [_outline(text) for text in texts],
        sizes=[1.0],  # the outlines are in points
        offsets=np.column_stack([columns.ravel(), rows.ravel()]),
        offset_transform=axes.transData,
        transform=IdentityTransform(),
        facecolor=np.where(np.abs(values) > strong, "white", "black"),
        linewidth=0,
    )
    numbers.set_in_layout(False)  # they lie inside the axes
    axes.add_artist(numbers)


@functools.cache
def _outline(number):
    """The outline of a number in letters of 8 points, its centre at 0."""
    path = TextPath((0, 0), number, size=8)
    center = (path.vertices.min(axis=0) + path.vertices.max(axis=0)) / 2
    return Path(path.vertices - center, path.codes)


def pairwise_marginals(path, samples, names, known=None):
    """Corner plot of the first five dimensions: histograms, and beside them every pair.

    samples: dict title -> (N, D), at most three; the first is drawn as points, the second as
    contours below the diagonal, the third as contours above it, that hold 39 % and 86 % of the
    sample (1 and 2 std of a Gaussian); a sample of few rows as points.
    names: of the columns. known: the distribution of the data, a Gaussian or a Mixture, drawn in
    black.
    """
    data, *others = samples.values()
    size = min(MAX_PAIRS, data.shape[1])
    labels = style.names_in_pictures(names)
    color, marker_size = ("#A6CBE3", 2.5) if len(data) >= FEW_POINTS else ("#7FB4D6", 5)
    dots = {"color": color, "markersize": marker_size, "markeredgewidth": 0}
    with style.picture(path, height=min(8.0, 1.5 * size + 2.0)) as figure:
        grid = figure.subplots(size, size, squeeze=False, sharex="col")
        for i in range(size):
            axes = grid[i, i]
            _histograms(axes, {title: sample[:, i] for title, sample in samples.items()})
            axes.set_yticks([])
            if known is not None:
                x = np.linspace(*axes.get_xlim(), 300)
                axes.plot(x, marginal_density(known, i, x), label="exact", **style.EXACT)
            grid[-1, i].set_xlabel(labels[i])
            grid[i, 0].set_ylabel(labels[i] if i > 0 else "density")
        for row, column in itertools.permutations(range(size), 2):
            axes = grid[row, column]
            axes.plot(*data[: style.MAX_POINTS, [column, row]].T, ".", **dots)
            number = 1 if row > column else 2
            if number < len(samples):
                _cloud(axes, others[number - 1][:, [column, row]], style.LINES[number])
            if known is not None:
                _exact_contours(axes, known, column, row)
            axes.set_ylim(grid[row, row].get_xlim())
        style.legend_above(figure, grid[0, 0])
        note = f"{size} of {data.shape[1]} dimensions, in units of the data"
        if size > 1:
            sides = zip(list(samples)[1:], ("below", "above"), strict=False)
            split = "; ".join(f"{title} {side} the diagonal" for title, side in sides)
            note += f"\n{split}; contours hold 39 % and 86 %"
        figure.supxlabel(note, fontsize=10)
        for axes in grid.flat:
            axes.grid(False)
        for axes in grid[:-1].flat:
            axes.xaxis.set_visible(False)
        for axes in grid[:, 1:].flat:
            axes.yaxis.set_visible(False)


def _histograms(axes, samples):
    """Densities of several samples of one number: the first filled, the others as steps."""
    bins = bins_of(*samples.values())
    for index, (title, sample) in enumerate(samples.items()):
        look = {"histtype": "stepfilled", "color": "#A6CBE3"}
        if index > 0:
            line = style.LINES[index]
            look = {"histtype": "step", "linewidth": 1.5}
            look |= {"color": line["color"], "linestyle": line["linestyle"]}
        axes.hist(sample, bins, density=True, label=title, **look)
    axes.set_xlim(bins[0], bins[-1])


def bins_of(*samples):
    """Common bin edges over the central 99.8 % of each sample; more bins for more points."""
    low = min(np.percentile(sample, 0.1, method="lower") for sample in samples)
    high = max(np.percentile(sample, 99.9, method="higher") for sample in samples)
    fewest = min(len(sample) for sample in samples)
    count = int(np.clip(2 * np.cbrt(fewest), 8, 60))
    told_apart = int((high - low) / np.spacing(max(abs(low), abs(high))))  # numbers between them
    return np.histogram_bin_edges([low, high], bins=max(1, min(count, told_apart // 2)))


def marginal_density(known, i, x):
    """The density of dimension i of a Gaussian or a Mixture at x, (P,) -> (P,)."""
    if isinstance(known, Mixture):
        return normal_density(x[:, np.newaxis], known.means[:, i], known.stds[:, i]) @ known.weights
    return normal_density(x, known.mean[i], np.sqrt(known.covariance[i, i]))


def _cloud(axes, pair, line):
    """A sample (N, 2) as contours, or as points where it has few rows."""
    if len(pair) >= FEW_POINTS:
        sample_contours(axes, pair, line["color"])
    else:
        axes.plot(*pair.T, line["marker"], color=line["color"], markersize=3.5, fillstyle="none")


def sample_contours(axes, pair, color):
    """Contours that hold 39 % and 86 % of a sample (N, 2), after a little smoothing."""
    center = pair.mean(axis=0, dtype=np.float64)
    pair = pair - center  # numbers far from zero are hardly told apart
    counts, x_edges, y_edges = np.histogram2d(pair[:, 0], pair[:, 1], bins=60)
    steps = np.array([x_edges[1] - x_edges[0], y_edges[1] - y_edges[0]])
    smoothing = 0.7 * len(pair) ** (-1 / 6) * pair.std(axis=0)
    density = gaussian_filter(counts, smoothing / steps)
    x = center[0] + x_edges[:-1] + steps[0] / 2
    y = center[1] + y_edges[:-1] + steps[1] / 2
    _mass_contours(axes, x, y, density, colors=color, linewidths=2.6)


def _mass_contours(axes, x, y, density, **look):
    """Contours of density (X, Y) at x (X,) and y (Y,) that hold the MASSES."""
    descending = np.sort(density, axis=None)[::-1]
    mass = np.cumsum(descending) / np.sum(descending)
    inner, outer = descending[np.searchsorted(mass, MASSES)]
    if outer < inner:
        axes.contour(x, y, density.T, levels=[outer, inner], **look)


def _exact_contours(axes, known, i, j):
    """Contours of the known density of the dimensions i (to the right) and j (upwards)."""
    pair = [i, j]
    mean, covariance = known.mean[pair], known.covariance[np.ix_(pair, pair)]
    if not isinstance(known, Mixture):
        gaussian_ellipses(axes, mean, covariance)
        return
    x, y = (mean + np.linspace(-4, 4, GRID)[:, np.newaxis] * np.sqrt(np.diag(covariance))).T
    of_x = normal_density(x[:, np.newaxis], known.means[:, i], known.stds[:, i])
    of_y = normal_density(y[:, np.newaxis], known.means[:, j], known.stds[:, j])
    density = (of_x * known.weights) @ of_y.T
    look = {"colors": style.EXACT["color"], "linewidths": style.EXACT["linewidth"]}
    _mass_contours(axes, x, y, density, linestyles=[style.EXACT["linestyle"]], **look)


def gaussian_ellipses(axes, mean, covariance):
    """The exact contours of N(mean (2,), covariance (2, 2)) at 1 and 2 standard deviations."""
    variances, directions = np.linalg.eigh(covariance)
    minor, major = np.sqrt(np.maximum(variances, 0.0))
    angle = np.degrees(np.arctan2(directions[1, 1], directions[0, 1]))
    for radius in (1, 2):
        size = 2 * radius * major, 2 * radius * minor
        axes.add_artist(Ellipse(mean, *size, angle=angle, fill=False, zorder=3, **style.EXACT))


def marginals(path, samples, names, statistics=None):
    """The density of each data dimension (at most the first 25) of samples, title -> (N, D).

    names: of the columns. statistics: (D,) Kolmogorov-Smirnov distance of each dimension.
    """
    size = next(iter(samples.values())).shape[1]
    shown = min(size, MAX_PANELS)
    labels = style.names_in_pictures(names)
    with style.picture(path, height=1.0 + 1.6 * math.ceil(shown / 5)) as figure:
        axes = style.panels(figure, shown, 5)
        for column, ax in enumerate(axes):
            _histograms(ax, {title: sample[:, column] for title, sample in samples.items()})
            ax.set_yticks([])
            note = "" if statistics is None else f"   KS {statistics[column]:.3f}"
            ax.set_title(labels[column] + note)
        style.legend_above(figure, axes[0])
        left_out = "" if shown == size else f", the first {shown} of {size} dimensions"
        figure.supxlabel(f"x (units of the data){left_out}", fontsize=10)
        figure.supylabel("density", fontsize=10)
