"""Pictures of a run on Gaussian data: numpy arrays in, one PNG out; knows no model."""

from itertools import pairwise

import numpy as np
from matplotlib.patches import Ellipse
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from scipy.ndimage import gaussian_filter
from scipy.stats import norm

from analysis.figure_style import (
    BLACK,
    BLUE,
    EXACT,
    GREEN,
    HALO,
    HELD_OUT,
    LINES,
    MAX_POINTS,
    SKY,
    TRAINING,
    VERMILLION,
    legend_above,
    panels,
    picture,
    plot_history,
    show_late_range,
)

MAX_PANELS = 25


def learning_curves(
    path, epochs, kl, log_px_z, elbo, elbo_held_out, optimum=None, optimum_label="exact optimum"
):
    """ELBO, its gap to the optimum when that is known, and its two terms, all in nats, over epochs.

    epochs, kl, log_px_z, elbo, elbo_held_out: (E,) each; values that are not finite are left out.
    optimum: the best possible ELBO in nats, a number.
    """
    top = ["elbo", "elbo" if optimum is None else "gap"]
    references = [] if optimum is None else [[optimum]]
    with picture(path, height=5.8) as figure:
        axes = figure.subplot_mosaic([top, ["kl", "log_px_z"]])
        plot_history(axes["elbo"], epochs, elbo, TRAINING, label="training")
        plot_history(axes["elbo"], epochs, elbo_held_out, HELD_OUT, label="held out")
        plot_history(axes["kl"], epochs, kl, TRAINING)
        plot_history(axes["log_px_z"], epochs, log_px_z, TRAINING)
        show_late_range(axes["elbo"], elbo, elbo_held_out, *references)
        show_late_range(axes["kl"], kl)
        show_late_range(axes["log_px_z"], log_px_z)
        axes["elbo"].set(title="ELBO", ylabel="nats per data point")
        axes["kl"].set(title="KL divergence, training", ylabel="nats per data point")
        axes["log_px_z"].set(title="log-likelihood log p(x|z), training")
        if optimum is not None:
            axes["elbo"].axhline(optimum, label=optimum_label, **EXACT)
            _plot_gap(axes["gap"], epochs, optimum - np.asarray(elbo_held_out))
        legend_above(figure, axes["elbo"])


def _plot_gap(axes, epochs, gap):
    """The gap of the held-out rows, on which the optimum is taken."""
    plot_history(axes, epochs, gap, HELD_OUT)
    axes.set(title="gap to the optimum, held out", ylabel="nats per data point")
    gaps = gap[np.isfinite(gap) & (gap != 0)]
    if not gaps.size:
        return
    if gaps.min() > 0:
        # At least a decade, or the ticks of a nearly constant gap have no round number to stand at.
        middle = np.sqrt(gaps.min() * gaps.max())
        low, high = min(gaps.min() / 1.5, middle / 4), max(gaps.max() * 1.5, middle * 4)
        axes.set(yscale="log", ylim=(low, high))
    else:
        # A noisy estimate can pass the optimum: show that, and keep decades for the approach.
        axes.set_yscale("symlog", linthresh=10 ** np.floor(np.log10(np.median(np.abs(gaps)))))
        axes.axhline(0, **EXACT)
    note = f"at the end: {gap[np.isfinite(gap)][-1]:.2g} nats"
    axes.text(0.97, 0.95, note, ha="right", va="top", transform=axes.transAxes, path_effects=HALO)


def latent_plane(path, z_mean, z_std, active=None):
    """The encoded data beside the prior N(0, I), for the two most active units.

    z_mean, z_std: (N, n_dim) mean and standard deviation of q(z|x).
    active: (n_dim,) activity of each unit; None: the variance of its mean over the data (Burda et
    al., 2015).
    With n_dim 1 the histogram of the means beside the prior's density.
    """
    activity = np.var(z_mean, axis=0) if active is None else np.asarray(active, dtype=float)
    units = np.sort(np.argsort(-activity, kind="stable")[:2])
    mean, std = z_mean[:, units], np.median(z_std[:, units], axis=0)
    labels = [
        f"z{unit + 1}  (std of the means {spread:.2f}, of q(z|x) {s:.2f})"
        for unit, spread, s in zip(units, mean.std(axis=0), std, strict=True)
    ]
    reach = max(3.3, 1.05 * np.percentile(np.abs(mean), 99.9))
    draw = _latent_line if len(units) == 1 else _latent_points
    with picture(path, height=3.6 if len(units) == 1 else 6.0, width=6.4) as figure:
        axes = figure.subplots()
        draw(axes, mean, std, reach)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[-1] if len(units) == 2 else "density")
        legend_above(figure, axes)


def _latent_line(axes, mean, std, reach):
    z = np.linspace(-reach, reach, 400)
    bins = bins_of(mean[:, 0])
    axes.hist(mean[:, 0], bins, density=True, color=SKY, label="means of q(z|x)")
    axes.plot(z, norm.pdf(z, np.median(mean), std), color=VERMILLION, label="a typical q(z|x)")
    axes.plot(z, norm.pdf(z), label="prior", **EXACT)


def _latent_points(axes, mean, std, reach):
    axes.plot(*mean[:MAX_POINTS].T, ".", color=BLUE, alpha=0.45, markersize=5, mew=0)
    for radius in (1, 2, 3):
        axes.add_patch(Ellipse((0, 0), 2 * radius, 2 * radius, fill=False, **EXACT))
        axes.text(0, radius, radius, ha="center", va="center", fontsize=9, path_effects=HALO)
    centre = mean[np.argmin(np.sum(mean**2, axis=1))]
    ellipse = {"fill": False, "linewidth": 2.2, "edgecolor": VERMILLION, "zorder": 3}
    axes.add_patch(Ellipse(centre, *(2 * std), path_effects=HALO, **ellipse))
    axes.plot([], [], "o", color=BLUE, label="means of q(z|x)")
    axes.plot([], [], color=VERMILLION, linewidth=2.2, label="a typical q(z|x), 1 std")
    axes.plot([], [], label="prior, 1, 2, 3 std", **EXACT)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")


def bins_of(*samples):
    """Common bin edges over the central 99.8 % of the samples; more bins for more points."""
    low, high = np.percentile(np.concatenate(samples), [0.1, 99.9])
    count = int(np.clip(np.sqrt(min(map(len, samples))), 8, 60))
    return np.histogram_bin_edges([low, high], bins=count)


def covariances(path, matrices):
    """Covariance matrices side by side with one colour scale, in units of the data squared.

    matrices: dict name -> (D, D), the first one the reference: the titles of the others name their
    largest difference from it. The numbers, which carry the sign in a grey print, are written when
    D <= 10.
    """
    reference = next(iter(matrices.values()))
    limit = max(np.abs(matrix).max() for matrix in matrices.values()) or 1.0
    size, columns = len(reference), min(len(matrices), 3)
    rows, panel = -(-len(matrices) // columns), min(3.0, 7.2 / columns)
    ticks = np.arange(0, size, -(-size // 10))
    with picture(path, 1.1 + rows * (panel + 0.8), max(4.5, columns * (panel + 0.26))) as figure:
        axes = panels(figure, len(matrices), columns)
        for ax, (name, matrix) in zip(axes, matrices.items(), strict=True):
            image = ax.imshow(matrix, cmap="RdBu_r", vmin=-limit, vmax=limit)
            difference = f"{np.abs(matrix - reference).max():.2g}"
            ax.set_title(name if matrix is reference else f"{name}\n(max difference {difference})")
            ax.set_xticks(ticks, ticks + 1)
            ax.set_yticks(ticks, ticks + 1)
            ax.set_xlabel("data dimension")
            ax.grid(False)
            if size <= 10:
                _write_cells(ax, matrix, 0.6 * limit, fontsize=min(12, 200 / size / columns))
        bar = figure.colorbar(image, ax=list(axes), location="bottom", shrink=0.6, aspect=35)
        bar.set_label("covariance (units of the data²)")


def _write_cells(axes, matrix, strong, fontsize):
    for (row, column), value in np.ndenumerate(matrix):
        text = f"{value:.2f}".replace("0.", ".", 1) if abs(value) < 0.995 else f"{value:.1f}"
        look = {"color": "white" if abs(value) > strong else "black", "fontsize": fontsize}
        cell = axes.text(column, row, text, ha="center", va="center", **look)
        cell.set_in_layout(False)  # it lies inside the axes; the layout need not measure it


def pairwise_marginals(path, samples, mean=None, covariance=None):
    """Corner plot of the first five dimensions: histograms, and below them every pair.

    samples: dict name -> (N, D); the first is drawn as points, the others as contours that hold
    39 % and 86 % of the sample (1 and 2 std of a Gaussian).
    mean (D,), covariance (D, D): the exact Gaussian, drawn in black when both are given.
    """
    size = min(5, next(iter(samples.values())).shape[1])
    exact = mean is not None and covariance is not None
    with picture(path, height=min(8.0, 1.5 * size + 2.0)) as figure:
        grid = figure.subplots(size, size, squeeze=False, sharex="col")
        for i in range(size):
            _histograms(grid[i, i], {name: sample[:, i] for name, sample in samples.items()})
            grid[i, i].set_yticks([])
            if exact:
                x = np.linspace(*grid[i, i].get_xlim(), 300)
                density = norm.pdf(x, mean[i], np.sqrt(covariance[i, i]))
                grid[i, i].plot(x, density, label="exact", **EXACT)
            grid[-1, i].set_xlabel(f"x{i + 1}")
            grid[i, 0].set_ylabel(f"x{i + 1}" if i else "density")
        for row, column in zip(*np.tril_indices(size, -1), strict=True):
            axes, pair = grid[row, column], [column, row]
            _pair(axes, [sample[:, pair] for sample in samples.values()])
            if exact:
                gaussian_ellipses(axes, mean[pair], covariance[np.ix_(pair, pair)])
            axes.set_ylim(grid[row, row].get_xlim())
            grid[column, row].remove()
            if column:
                axes.tick_params(labelleft=False)
        legend_above(figure, grid[0, 0])
        contours = "; contours hold 39 % and 86 %" if size > 1 else ""
        figure.supxlabel(f"units of the data{contours}", fontsize=10)


def _histograms(axes, samples):
    """Densities of several samples of one number: the first filled, the others as steps."""
    bins = bins_of(*samples.values())
    for index, (name, sample) in enumerate(samples.items()):
        look = {"histtype": "stepfilled", "color": "#A6CBE3"}
        if index > 0:
            color, style = LINES[index]["color"], LINES[index - 1]["linestyle"]
            look = {"histtype": "step", "linewidth": 1.5, "color": color, "linestyle": style}
        axes.hist(sample, bins, density=True, label=name, **look)
    axes.set_xlim(bins[0], bins[-1])


def _pair(axes, pairs):
    axes.plot(*pairs[0][:MAX_POINTS].T, ".", color="#7FB4D6", markersize=2.5, mew=0)
    for index, pair in enumerate(pairs[1:], start=1):
        mass_contours(axes, pair, LINES[index]["color"], LINES[index - 1]["linestyle"])


def mass_contours(axes, pair, color, linestyle):
    """Contours that hold 39 % and 86 % of a sample (N, 2), after a little smoothing."""
    counts, *edges = np.histogram2d(*pair.T, bins=60)
    steps = np.array([np.diff(edge)[0] for edge in edges])
    density = gaussian_filter(counts, 0.7 * len(pair) ** (-1 / 6) * pair.std(axis=0) / steps)
    descending = np.sort(density, axis=None)[::-1]
    mass = np.cumsum(descending) / descending.sum()
    levels = descending[np.searchsorted(mass, [1 - np.exp(-2), 1 - np.exp(-0.5)])]
    if levels[0] < levels[1]:
        centres = [edge[:-1] + step / 2 for edge, step in zip(edges, steps, strict=True)]
        look = {"colors": color, "linestyles": [linestyle], "linewidths": 1.7}
        axes.contour(*centres, density.T, levels=levels, **look)


def gaussian_ellipses(axes, mean, covariance):
    """The exact contours of N(mean (2,), covariance (2, 2)) at 1 and 2 standard deviations."""
    (minor, major), directions = np.linalg.eigh(covariance)
    angle = np.degrees(np.arctan2(directions[1, 1], directions[0, 1]))
    for radius in (1, 2):
        width, height = 2 * radius * np.sqrt([major, max(minor, 0.0)])
        ellipse = Ellipse(mean, width, height, angle=angle, fill=False, zorder=3, **EXACT)
        axes.add_patch(ellipse)


def marginals(path, samples, statistics=None):
    """The density of each data dimension (at most the first 25), data against generated.

    samples: dict name -> (N, D). statistics: (D,) Kolmogorov-Smirnov distance of each dimension.
    """
    size = next(iter(samples.values())).shape[1]
    shown = min(size, MAX_PANELS)
    with picture(path, height=1.0 + 1.6 * -(-shown // 5)) as figure:
        axes = panels(figure, shown, 5)
        for column, ax in enumerate(axes):
            _histograms(ax, {name: sample[:, column] for name, sample in samples.items()})
            ax.set_yticks([])
            note = "" if statistics is None else f"   KS {statistics[column]:.3f}"
            ax.set_title(f"x{column + 1}{note}")
        legend_above(figure, axes[0])
        left_out = "" if shown == size else f", the first {shown} of {size} dimensions"
        figure.supxlabel(f"x (units of the data){left_out}", fontsize=10)
        figure.supylabel("density", fontsize=10)


def latent_traversal(path, values, means, units):
    """How the decoder's mean of each data dimension moves while one latent unit runs.

    values: (T,) of the moving unit; means: (n_units, T, D); units: (n_units,) their indices from 0.
    The dimensions that move most, at most seven, have a colour; panels name those that move there.
    """
    means = np.asarray(means)
    move = np.ptp(means, axis=1)
    leaders = np.argsort(-move.max(axis=0), kind="stable")[: len(LINES)]
    low, high = means.min(), means.max()
    margin = 0.06 * (high - low) or 1.0
    with picture(path, height=0.6 + 3.0 * -(-len(units) // 2)) as figure:
        axes = panels(figure, len(units), 2, sharey=True)
        for ax, mean, moved, unit in zip(axes, means, move, units, strict=True):
            ax.plot(values, mean, color="#BDBDBD", linewidth=0.9)
            for dim, line in zip(leaders, LINES, strict=False):
                ax.plot(values, mean[:, dim], color=line["color"], linestyle=line["linestyle"])
            named = leaders[moved[leaders] > 0.05 * move.max()]
            for dim, y in zip(named, spread_apart(mean[-1, named], margin), strict=True):
                look = {"va": "center", "fontsize": 9, "transform": ax.get_yaxis_transform()}
                ax.text(1.01, y, f"x{dim + 1}", **look)
            ax.set(title=f"only z{unit + 1} moves", xlabel=f"z{unit + 1} (prior std)")
            ax.set(xlim=(values[0], values[-1]), ylim=(low - margin, high + margin))
        for ax in axes[::2]:
            ax.set_ylabel("mean of p(x|z) (data units)")


def spread_apart(positions, gap):
    """The positions moved as little as needed to stand at least `gap` apart, in the same order."""
    order = np.argsort(positions, kind="stable")
    spread = np.array(positions, dtype=float)
    for below, above in pairwise(order):
        spread[above] = max(spread[above], spread[below] + gap)
    return spread - np.sum(spread - positions) / max(1, len(spread))


def beta_sweep(path, bound, linear, trained, staircase):
    """The rate-distortion plane, and below it the number of active units over beta.

    bound: (distortion (P,), rate (P,)) of the Gaussian rate-distortion function.
    linear: (distortion (L,), rate (L,)) of the best linear model over beta.
    trained: (beta (K,), distortion (K,), rate (K,)) of the trained models.
    staircase: (beta (B,), units (B,), beta (K,), units (K,)): predicted, then trained; beta > 0.
    Distortion: squared error per data point, units of the data squared; rate: the KL term in nats.
    """
    bound, linear, trained, staircase = (
        [np.asarray(column, dtype=float) for column in columns]
        for columns in (bound, linear, trained, staircase)
    )
    with picture(path, height=7.0) as figure:
        plane, stairs = figure.subplots(2, height_ratios=[3, 2])
        _rate_distortion(plane, bound, linear, *trained)
        _staircase(stairs, *staircase)


def _rate_distortion(axes, bound, linear, betas, distortion, rate):
    bound_distortion, bound_rate = (values[np.argsort(bound[0])] for values in bound)
    distortions = np.concatenate([distortion, linear[0], bound_distortion[-1:]])
    right = 1.12 * np.nanmax(distortions)
    left = max(0.0, 1.2 * np.nanmin(distortions) - 0.2 * right)
    top = 1.15 * np.nanmax(np.concatenate([rate, linear[1]])) or 1.0
    # The bound falls: left of its first point no rate below that point's is possible either.
    edge = np.concatenate([[0.0], bound_distortion]), np.concatenate([bound_rate[:1], bound_rate])
    axes.fill_between(*edge, color="#E4E4E4", linewidth=0, label="impossible for any model")
    axes.plot(bound_distortion, bound_rate, color=BLACK, label="rate-distortion bound")
    axes.plot(*linear, color=GREEN, linestyle="--", label="best linear model over β")
    axes.plot(distortion, rate, "o", color=VERMILLION, label="trained")
    shown = np.isfinite(distortion) & np.isfinite(rate)
    scaled = (distortion[shown] - left) / (right - left), rate[shown] / top
    for names, x, y in merged_labels(betas[shown], *scaled):
        text = "β = " + ", ".join(f"{beta:g}" for beta in names)
        look = {"fontsize": 9, "path_effects": HALO, "textcoords": "offset points"}
        axes.annotate(text, (left + x * (right - left), y * top), (7, 5), **look)
    axes.set(xlim=(left, right), ylim=(-0.02 * top, top))
    axes.set_xlabel("distortion: squared error per data point (units of the data²)")
    axes.set_ylabel("rate: KL (nats per data point)")
    axes.legend(loc="upper right")


def _staircase(axes, betas, units, trained_betas, trained_units):
    order = np.argsort(betas)
    line = {"color": GREEN, "linestyle": "--", "drawstyle": "steps-mid"}
    axes.plot(betas[order], units[order], label="best linear model", **line)
    axes.plot(trained_betas, trained_units, "o", color=VERMILLION, label="trained")
    axes.set(xscale="log", xlabel="β", ylabel="active units")
    axes.set_ylim(-0.3, np.nanmax(np.concatenate([units, trained_units])) + 0.5)
    axes.xaxis.set_major_locator(LogLocator(subs=[1, 2, 5]))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="upper right")


def merged_labels(names, x, y, reach=0.03):
    """One (names, x, y) for each group of points closer than `reach` to its first point."""
    groups = []
    for name, *point in zip(names, x, y, strict=True):
        near = (g for g in groups if np.hypot(g[1] - point[0], g[2] - point[1]) < reach)
        group = next(near, None)
        if group is None:
            groups.append(([name], *point))
        else:
            group[0].append(name)
    return groups
