"""Pictures of a run on Gaussian data: numpy arrays in, one PNG out; independent of the model."""

from itertools import permutations

import numpy as np
from matplotlib.patches import Ellipse
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from scipy.ndimage import gaussian_filter
from scipy.optimize import linear_sum_assignment

from analysis.figure_style import (
    BLACK,
    EXACT,
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
FEW_POINTS = 300  # fewer have no contours of their own, and larger marks
DARK_RED = "#A02800"  # dark enough for a grey print of points of all colours
LEAST_SPAN = 0.2  # nats: the least range of an axis of KL or log p(x|z)
N_EXAMPLES = 8  # rows whose q(z|x) is drawn
NATS = "nats per data point"
# A theoretical limit below what a model reaches: the first stays visible where both coincide.
LIMIT = {"color": "#A8A8A8", "linewidth": 5, "solid_capstyle": "butt"}
LINEAR = {"color": BLACK, "linestyle": (0, (4, 2)), "linewidth": 1.4}


def learning_curves(
    path, history, optima=None, reference="exact log p(x)", best_linear=None, gap=None
):
    """ELBO, its gap to the optimum when that is known, and its two terms, all in nats, over epochs.

    history: the columns epoch, kl, log_px_z, elbo and elbo_held_out, (E,) each; values that are not
    finite are left out.
    optima: the mean log p(x) of the training rows and of the held-out rows under the distribution
    of the data, its exact one or an estimate of it; only a model that overfits has a higher ELBO.
    reference: what they are called.
    best_linear: KL and log p(x|z) of the best linear VAE.
    gap: the gap of the finished model's report and its standard error.
    """
    epochs, elbo, elbo_held_out = (history[key] for key in ("epoch", "elbo", "elbo_held_out"))
    top = ["elbo", "elbo" if optima is None else "gap"]
    with picture(path, height=6.0) as figure:
        axes = figure.subplot_mosaic([top, ["kl", "log_px_z"]])
        plot_history(axes["elbo"], epochs, elbo, TRAINING, label="training")
        plot_history(axes["elbo"], epochs, elbo_held_out, HELD_OUT, label="held out")
        show_late_range(axes["elbo"], elbo, elbo_held_out, *np.reshape(optima or [], (-1, 1)))
        axes["elbo"].set(title="ELBO", ylabel=NATS)
        axes["kl"].set(title="KL divergence, training", ylabel=NATS)
        axes["log_px_z"].set(title="log-likelihood log p(x|z), training")
        for name, best in zip(("kl", "log_px_z"), best_linear or (np.nan, np.nan), strict=True):
            plot_history(axes[name], epochs, history[name], TRAINING)
            show_late_range(axes[name], history[name], [best], span=LEAST_SPAN)
            if np.isfinite(best):
                axes[name].axhline(best, label="best linear VAE", **EXACT)
                axes[name].legend()
        axes["kl"].set_ylim(bottom=max(axes["kl"].get_ylim()[0], -0.01))
        if optima is not None:
            names, looks = ("training", "held-out"), (EXACT | {"linestyle": ":"}, EXACT)
            for name, best, look in zip(names, optima, looks, strict=True):
                axes["elbo"].axhline(best, label=f"{reference}, {name} rows", **look)
            _plot_gap(axes["gap"], epochs, optima[1] - np.asarray(elbo_held_out), gap)
            axes["gap"].set_title(f"gap to the {reference}, held-out rows")
        legend_above(figure, axes["elbo"], columns=2)


def _plot_gap(axes, epochs, gaps, final):
    """The gap of the held-out rows; on a log scale where no noisy estimate passes the optimum."""
    plot_history(axes, epochs, gaps, HELD_OUT)
    axes.set_ylabel(NATS)
    shown = gaps[np.isfinite(gaps)]
    if final is not None:
        gap, se = final
        axes.errorbar(epochs[-1], gap, se, fmt="X", color=BLACK, markersize=7, zorder=3)
        note = f"× after training, more draws of z:\n{gap:.4f} ± {se:.4f} nats"
        where = {"ha": "right", "va": "top", "transform": axes.transAxes, "path_effects": HALO}
        axes.text(0.97, 0.95, note, **where)
        shown = np.append(shown, gap)
    if shown.size and shown.min() > 0:
        axes.set(yscale="log", ylim=(shown.min() / 2, shown.max() * 2))
        _label_decades(axes.yaxis)
    else:
        axes.axhline(0, **EXACT)
        show_late_range(axes, gaps, [0.0])


def _label_decades(axis):
    """Ticks at 1, 2 and 5 times the powers of ten, as plain numbers."""
    axis.set_major_locator(LogLocator(subs=[1, 2, 5]))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def latent_plane(path, z_mean, z_std, color=None, linear=None):
    """The encoded data beside the prior N(0, I), for the two most active units.

    z_mean, z_std: (N, n_dim) mean and standard deviation of q(z|x).
    color: (N,) a number of each data point that its colour shows: the first principal component.
    linear: z_mean (N, n_dim), z_std (n_dim,) of the same data in the best linear VAE, drawn beside.
    With n_dim 1 the histogram of the means beside the prior's density.
    """
    units = most_active(z_mean)
    planes = {"trained": (z_mean[:, units], z_std[:, units])}
    if linear is not None:
        planes["best linear VAE, exact posterior"] = matched(planes["trained"][0], *linear)
    width, height = (6.4, 6.6) if linear is None else (8.0, 5.6)
    with picture(path, height if len(units) == 2 else 3.6, width) as figure:
        axes = figure.subplots(1, len(planes), squeeze=False, sharex=True, sharey=True)[0]
        for ax, (name, (mean, std)) in zip(axes, planes.items(), strict=True):
            points = _latent_points(ax, mean, std, color)
            ax.set(title=name, xlabel=f"z{units[0] + 1}")
        axes[0].set_ylabel(f"z{units[1] + 1}" if len(units) == 2 else "density")
        legend_above(figure, axes[0])
        if color is not None and points is not None:
            bar = figure.colorbar(points, ax=axes, location="bottom", shrink=0.6, aspect=40)
            bar.set_label("first principal component of x (in its std)")


def most_active(z_mean):
    """The numbers, rising, of the two units (one where n_dim is 1) whose means vary most."""
    return np.sort(np.argsort(-np.var(z_mean, axis=0), kind="stable")[:2])


def matched(reference, z_mean, z_std):
    """The units of z_mean (N, n_dim) that go with those of reference (N, U), with equal signs.

    Order and sign of latent units are arbitrary; each unit of the reference gets another one, so
    that their covariances are largest in sum. z_std: (n_dim,). Returns two arrays (N, U).
    """
    covariance = (reference - reference.mean(axis=0)).T @ z_mean
    rows, units = linear_sum_assignment(-np.abs(covariance))
    sign = np.where(covariance[rows, units] < 0, -1.0, 1.0)
    mean = z_mean[:, units] * sign
    return mean, np.broadcast_to(z_std[..., units], mean.shape)


def _latent_points(axes, mean, std, color=None):
    """Points, example ellipses and the prior's circles; a histogram where there is one unit."""
    reach = max(3.3, 1.05 * np.percentile(np.abs(mean), 99.9))
    if mean.shape[1] == 1:
        return _latent_line(axes, mean[:, 0], std[:, 0], reach)
    shown = np.full(len(mean), 0.0) if color is None else color / np.std(color)
    size = 7 if len(mean) >= FEW_POINTS else 20
    look = {"cmap": "viridis", "s": size, "linewidth": 0, "alpha": 0.7}
    points = axes.scatter(*mean[:MAX_POINTS].T, c=shown[:MAX_POINTS], vmin=-2.5, vmax=2.5, **look)
    for radius in (1, 2, 3):
        axes.add_patch(Ellipse((0, 0), 2 * radius, 2 * radius, fill=False, **EXACT))
    for centre, sides in zip(mean[:N_EXAMPLES], 2 * std[:N_EXAMPLES], strict=True):
        look = {"fill": False, "linewidth": 1.6, "edgecolor": DARK_RED, "zorder": 3}
        look["joinstyle"] = "round"  # or the halo of a narrow one would have long spikes
        axes.add_patch(Ellipse(centre, *sides, path_effects=HALO, **look))
    axes.plot([], [], "o", color=points.cmap(0.5), label="means of q(z|x)")
    axes.plot([], [], color=DARK_RED, label="a few q(z|x), 1 std")
    axes.plot([], [], label="prior: 1, 2, 3 std", **EXACT)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    return points


def _latent_line(axes, mean, std, reach):
    z = np.linspace(-reach, reach, 400)
    axes.hist(mean, bins_of(mean), density=True, color=SKY, label="means of q(z|x)")
    typical = normal_density(z, np.median(mean), np.median(std))
    axes.plot(z, typical, color=VERMILLION, label="a typical q(z|x)")
    axes.plot(z, normal_density(z), label="prior", **EXACT)


def latent_planes_over_beta(path, betas, planes, samples, mean, covariance, color=None):
    """The latent planes of the models of a sweep, at most five, above samples of their decoders.

    betas: (K,). planes: K pairs z_mean, z_std (N, n_dim) of q(z|x). samples: K arrays (M, D), of
    which the two dimensions are drawn that correlate most in the data. mean (D,), covariance
    (D, D): of the data, drawn as ellipses. color: as for latent_plane.
    """
    shown = np.unique(np.linspace(0, len(betas) - 1, 5).round().astype(int))
    units = planes[0][0][:, most_active(planes[0][0])]
    std = np.sqrt(np.diag(covariance))
    correlations = np.abs(np.tril(covariance / np.outer(std, std), -1))
    pair = np.sort(np.unravel_index(np.argmax(correlations), correlations.shape))
    side = min(3.0, 7.2 / len(shown))
    with picture(path, height=1.6 + 2.0 * side) as figure:
        axes = figure.subplots(2, len(shown), squeeze=False, sharex="row", sharey="row")
        for (above, below), index in zip(axes.T, shown, strict=True):
            units, std_of_units = matched(units, *planes[index])
            _latent_points(above, units, std_of_units, color)
            above.set_title(f"β = {betas[index]:g}")
            points = samples[index][:MAX_POINTS, pair].T
            below.plot(*points, ".", color="#7FB4D6", markersize=2.5, mew=0)
            gaussian_ellipses(below, mean[pair], covariance[np.ix_(pair, pair)])
            below.set_xlabel(f"x{pair[0] + 1}")
        axes[0, 0].set_ylabel("two units of z")
        axes[1, 0].set_ylabel(f"decoder samples, x{pair[1] + 1}\nellipses: data, 1 and 2 std")
        legend_above(figure, axes[0, 0])


def bins_of(*samples):
    """Common bin edges over the central 99.8 % of each sample; more bins for more points."""
    lows, highs = np.transpose([np.percentile(sample, [0.1, 99.9]) for sample in samples])
    low, high = lows.min(), highs.max()
    count = int(np.clip(2 * np.cbrt(min(map(len, samples))), 8, 60))
    return np.histogram_bin_edges([low, high], bins=count)


def covariances(path, matrices):
    """The correlations of a covariance matrix, and how far others are from that matrix.

    matrices: dict name -> (D, D), at least two, the first one the reference. All are divided by its
    standard deviations, std(x_i) std(x_j); differences are in percent of that, with a colour scale
    of their own. The numbers, which carry the sign in a grey print, are written when D <= 10.
    """
    (name, reference), *others = matrices.items()
    std = np.sqrt(np.diag(reference))
    std[std == 0] = 1.0
    scale = np.outer(std, std)
    differences = [100 * (matrix - reference) / scale for _, matrix in others]
    limits = [1.0] + [np.max(np.abs(differences)) or 1.0] * len(others)
    titles = [f"{name}: correlations", *(f"{other} − {name}, in %" for other, _ in others)]
    ticks = np.arange(0, len(std), -(-len(std) // 10))
    with picture(path, 4.6 * -(-len(matrices) // 2)) as figure:
        axes = panels(figure, len(matrices), 2)
        shown = [reference / scale, *differences]
        for ax, matrix, limit, title in zip(axes, shown, limits, titles, strict=True):
            image = ax.imshow(matrix, cmap="RdBu_r", vmin=-limit, vmax=limit)
            ax.set(title=title, xlabel="data dimension")
            ax.set_xticks(ticks, ticks + 1)
            ax.set_yticks(ticks, ticks + 1)
            ax.grid(False)
            figure.colorbar(image, ax=ax, location="bottom", shrink=0.8, aspect=35)
            if len(std) <= 10:
                _write_cells(ax, matrix, 0.6 * limit, digits=2 if limit == 1 else 1)


def _write_cells(axes, matrix, strong, digits):
    for (row, column), value in np.ndenumerate(matrix):
        text = f"{value:z.{digits}f}"
        if digits == 2:
            text = text.replace("0.", ".")  # narrower
        look = {"color": "white" if abs(value) > strong else "black", "fontsize": 8}
        cell = axes.text(column, row, text, ha="center", va="center", **look)
        cell.set_in_layout(False)  # it lies inside the axes; the layout need not measure it


def pairwise_marginals(path, samples, mean=None, covariance=None):
    """Corner plot of the first five dimensions: histograms, and beside them every pair.

    samples: dict name -> (N, D), at most three; the first is drawn as points, the second as
    contours below the diagonal, the third as contours above it, that hold 39 % and 86 % of the
    sample (1 and 2 std of a Gaussian); a sample of few rows as points.
    mean (D,), covariance (D, D): the exact Gaussian, drawn in black when both are given.
    """
    names, (data, *others) = list(samples), samples.values()
    many, size = len(data) >= FEW_POINTS, min(5, data.shape[1])
    look = {"color": "#A6CBE3" if many else "#7FB4D6", "markersize": 2.5 if many else 5}
    exact = mean is not None and covariance is not None
    with picture(path, height=min(8.0, 1.5 * size + 2.0)) as figure:
        grid = figure.subplots(size, size, squeeze=False, sharex="col")
        for i in range(size):
            _histograms(grid[i, i], {name: sample[:, i] for name, sample in samples.items()})
            grid[i, i].set_yticks([])
            if exact:
                x = np.linspace(*grid[i, i].get_xlim(), 300)
                density = normal_density(x, mean[i], np.sqrt(covariance[i, i]))
                grid[i, i].plot(x, density, label="exact", **EXACT)
            grid[-1, i].set_xlabel(f"x{i + 1}")
            grid[i, 0].set_ylabel(f"x{i + 1}" if i else "density")
        for row, column in permutations(range(size), 2):
            axes, pair, upper = grid[row, column], [column, row], row < column
            axes.plot(*data[:MAX_POINTS, pair].T, ".", mew=0, **look)
            if len(others) > upper:
                _cloud(axes, others[upper][:, pair], LINES[1 + upper])
            if exact:
                gaussian_ellipses(axes, mean[pair], covariance[np.ix_(pair, pair)])
            axes.set_ylim(grid[row, row].get_xlim())
            axes.tick_params(labelleft=column == 0)
        legend_above(figure, grid[0, 0])
        sides = zip(names[1:], ("below", "above"), strict=False)
        split = "; ".join(f"{name} {side} the diagonal" for name, side in sides)
        contours = f"\n{split}; contours hold 39 % and 86 %" if size > 1 else ""
        title = f"{size} of {data.shape[1]} dimensions, in units of the data"
        figure.supxlabel(title + contours, fontsize=10)


def _histograms(axes, samples):
    """Densities of several samples of one number: the first filled, the others as steps."""
    bins = bins_of(*samples.values())
    for index, (name, sample) in enumerate(samples.items()):
        look = {"histtype": "stepfilled", "color": "#A6CBE3"}
        if index > 0:
            color, style = LINES[index]["color"], LINES[index]["linestyle"]
            look = {"histtype": "step", "linewidth": 1.5, "color": color, "linestyle": style}
        axes.hist(sample, bins, density=True, label=name, **look)
    axes.set_xlim(bins[0], bins[-1])


def normal_density(x, mean=0.0, std=1.0):
    """N(x; mean, std^2); scipy.stats would take a third of a second to import."""
    return np.exp(-0.5 * ((x - mean) / std) ** 2) / (std * np.sqrt(2.0 * np.pi))


def _cloud(axes, pair, line):
    """A sample (N, 2) as contours, or as points where it has few rows."""
    if len(pair) >= FEW_POINTS:
        return mass_contours(axes, pair, line["color"])
    axes.plot(*pair.T, line["marker"], color=line["color"], markersize=3.5, fillstyle="none")


def mass_contours(axes, pair, color):
    """Contours that hold 39 % and 86 % of a sample (N, 2), after a little smoothing."""
    counts, *edges = np.histogram2d(*pair.T, bins=60)
    steps = np.array([np.diff(edge)[0] for edge in edges])
    density = gaussian_filter(counts, 0.7 * len(pair) ** (-1 / 6) * pair.std(axis=0) / steps)
    descending = np.sort(density, axis=None)[::-1]
    mass = np.cumsum(descending) / descending.sum()
    levels = descending[np.searchsorted(mass, [1 - np.exp(-2), 1 - np.exp(-0.5)])]
    if levels[0] < levels[1]:
        centres = [edge[:-1] + step / 2 for edge, step in zip(edges, steps, strict=True)]
        axes.contour(*centres, density.T, levels=levels, colors=color, linewidths=2.6)


def gaussian_ellipses(axes, mean, covariance):
    """The exact contours of N(mean (2,), covariance (2, 2)) at 1 and 2 standard deviations."""
    (minor, major), directions = np.linalg.eigh(covariance)
    angle = np.degrees(np.arctan2(directions[1, 1], directions[0, 1]))
    for radius in (1, 2):
        width, height = 2 * radius * np.sqrt([major, max(minor, 0.0)])
        ellipse = Ellipse(mean, width, height, angle=angle, fill=False, zorder=3, **EXACT)
        axes.add_patch(ellipse)


def marginals(path, samples, statistics=None):
    """The density of each data dimension (at most the first 25) of samples, name -> (N, D).

    statistics: (D,) Kolmogorov-Smirnov distance of each dimension.
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


def latent_traversal(path, values, means, mean, std):
    """How the decoder's mean of each data dimension moves while one latent unit runs.

    values: (T,) of the moving unit; means: (n_dim, T, D), of each unit.
    mean, std: (D,) of the data: x is shown as its distance from the mean in std.
    The dimensions that move most, at most seven, have a colour and a marker; the others are grey.
    """
    means = (means - mean) / np.where(std > 0, std, 1.0)
    move = np.ptp(means, axis=1).max(axis=0)
    leaders = np.sort(np.argsort(-move, kind="stable")[: len(LINES)])
    with picture(path, height=1.0 + 3.0 * -(-len(means) // 2)) as figure:
        axes = panels(figure, len(means), 2, sharey=True)
        for unit, (ax, moved) in enumerate(zip(axes, means, strict=True), 1):
            for dim, line in zip(leaders, LINES, strict=False):
                every = (dim % 3, max(1, len(values) // 6))  # not all markers above each other
                ax.plot(values, moved[:, dim], label=f"x{dim + 1}", markevery=every, **line)
            rest = np.delete(moved, leaders, axis=1)
            ax.plot(values, rest, color="#BDBDBD", linewidth=0.9, zorder=1)
            ax.set(title=f"only z{unit} moves", xlabel=f"z{unit} (prior std)")
            ax.set_xlim(values[0], values[-1])
        for ax in axes[::2]:
            ax.set_ylabel("mean of p(x|z) (standardized)")
        if len(leaders) < means.shape[2]:
            axes[0].plot([], [], color="#BDBDBD", label="others")
        legend_above(figure, axes[0])


def beta_sweep(path, bound, linear, trained, thresholds, exact=True):
    """The rate-distortion plane, and below it active units and cost over beta.

    bound: (distortion (P,) rising, rate (P,)) of the Gaussian rate-distortion function.
    linear: (distortion (L,), rate (L,)) of the best linear VAE over beta.
    trained: dict of arrays (K,) named as in report.json: beta, rate, distortion, active_units,
    cost_gap (nats above the best linear VAE's cost, nan where that has no minimum), and standard
    errors rate_se, distortion_se, cost_gap_se.
    thresholds: the betas, rising, at each of which the best linear VAE gives up a unit.
    exact: whether the data have that Gaussian's distribution, so that the bound holds for them.
    Distortion: squared error per data point, units of the data squared; rate: the KL term in nats.
    """
    trained = {name: np.asarray(column, dtype=float) for name, column in trained.items()}
    with picture(path, height=7.6) as figure:
        axes = figure.subplot_mosaic([["plane"] * 2, ["units", "cost"]], height_ratios=[5, 3])
        axes["cost"].sharex(axes["units"])
        below = "impossible for any model" if exact else "impossible if the data were Gaussian"
        _rate_distortion(axes["plane"], bound, linear, trained, below)
        _plot_betas(axes["units"], trained, "beta", "active_units")
        _plot_betas(axes["cost"], trained, "beta", "cost_gap")
        no_minimum = np.any((trained["beta"] < 1) & np.isnan(trained["cost_gap"]))
        for name in ("units", "cost"):
            _scale_of_beta(axes[name], trained["beta"], no_minimum)
        _staircase(axes["units"], thresholds, 1.0 if no_minimum else 0.0)
        axes["cost"].axhline(0, **LINEAR)
        axes["cost"].set(title="cost above the best linear VAE's", ylabel=NATS)
        columns = 1 + (len(trained["beta"]) > 10)
        axes["plane"].legend(loc="upper right", ncols=columns, title="bars: ± 1 standard error")


def _rate_distortion(axes, bound, linear, trained, below):
    _plot_betas(axes, trained, "distortion", "rate")
    axes.plot(*linear, label="best linear VAE over β", **LINEAR)
    left, right = axes.get_xlim()
    left = max(0.0, left - 0.2 * (right - left))
    axes.set(xlim=(left, right), ylim=axes.get_ylim())  # the bound goes on beyond
    distortion, rate = bound
    axes.plot(distortion, rate, label="rate-distortion bound", zorder=1, **LIMIT)
    # The bound falls: left of its first point no rate below that point's is possible either.
    edge = [0.0, *distortion], [rate[0], *rate]
    axes.fill_between(*edge, color="#EEEEEE", linewidth=0, zorder=0.5, label=below)
    axes.set_xlabel("distortion: squared error per data point (units of the data)²")
    axes.set_ylabel("rate: KL (nats per data point)")


def _plot_betas(axes, columns, x, y):
    """Points with error bars of 1 standard error, a marker for each beta, the same everywhere."""
    betas = np.unique(columns["beta"])
    for index, beta in enumerate(betas):
        line = LINES[index % len(LINES)]
        shown = columns["beta"] == beta
        bars = [
            columns[f"{name}_se"][shown] if f"{name}_se" in columns else None for name in (x, y)
        ]
        look = {"fmt": line["marker"], "color": line["color"], "markersize": 6.5, "capsize": 2.5}
        if index >= len(LINES):
            look["markerfacecolor"] = "none"
        label = f"trained, β = {beta:g}"
        axes.errorbar(columns[x][shown], columns[y][shown], *bars[::-1], label=label, **look)


def _scale_of_beta(axes, betas, no_minimum):
    """Logarithmic where beta spans enough; what has no minimum is marked."""
    axes.set_xlabel("β")
    axes.margins(x=0.1)
    if betas.max() > 4 * betas.min():
        axes.set_xscale("log")
        _label_decades(axes.xaxis)
    left = axes.set_xlim(axes.get_xlim())[0]
    if no_minimum:
        axes.axvspan(left, 1, facecolor="white", edgecolor="#BBBBBB", hatch="///", zorder=0)
        look = {"rotation": 90, "ha": "center", "va": "center", "path_effects": HALO}
        where = np.sqrt(left), 0.5
        axes.text(*where, "β < 1: no minimum", transform=axes.get_xaxis_transform(), **look)


def _staircase(axes, thresholds, lowest):
    """The active units of the best linear VAE, from beta `lowest` on: one fewer per threshold."""
    left, right = axes.get_xlim()
    left = max(lowest, left)
    units = np.arange(len(thresholds), -1, -1)
    edges = np.clip([left, *thresholds, right], left, right)
    axes.stairs(units, edges, baseline=None, **LINEAR)
    for threshold, count in zip(thresholds, units, strict=False):
        if left < threshold < right:
            axes.text(threshold, count - 0.5, f" {threshold:.4g}", va="center", fontsize=9)
    axes.set(title="active units", ylim=(-0.3, max(axes.get_ylim()[1], len(thresholds) + 0.3)))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))


def common_information(
    path, curve, trained, common_information, total_correlation, closed_form=None
):
    """What z leaves of the dependence, TC(x|z), against what it tells of x, I(x;z), in nats.

    curve: (I (P,), TC (P,)) of the best linear VAE over beta; closed_form: the same where it is
    known exactly. trained: dict of arrays (K,) named as in report.json: beta, mutual_information
    and conditional_total_correlation, with their standard errors.
    common_information: Wyner's, the least I with TC 0. total_correlation: TC where I is 0.
    The right panel shows the networks of beta below 1.6, bars of 1 standard error.
    """
    close = {name: column[trained["beta"] < 1.6] for name, column in trained.items()}
    lines = [(curve, "best linear VAE over β", LINEAR)]
    if closed_form is not None:
        lines.insert(0, (closed_form, "closed form", LIMIT))
    star = {"marker": "*", "color": BLACK, "markersize": 15, "linestyle": "", "zorder": 1}
    with picture(path, height=4.6) as figure:
        whole, near = figure.subplots(1, 2)
        for ax, shown in ((whole, trained), (near, close)):
            name = f"Wyner's common information, {common_information:.4g} nats"
            ax.plot(common_information, 0, label=name, **star)
            _plot_betas(ax, shown, "mutual_information", "conditional_total_correlation")
            ax.margins(0.1)
            if ax is near:  # it holds the networks, magnifies no noise, and the lines go on beyond
                (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
                left, top = min(left, 0.95 * common_information), max(top, 0.01)
                ax.set(xlim=(left, right), ylim=(min(bottom, -0.05 * top), top))
            for line, label, look in lines:
                ax.plot(*line, label=label, zorder=1, **look)
            ax.xaxis.set_major_locator(MaxNLocator(5))
            ax.set_xlabel("I(x;z): what z tells about x (nats)")
        name = f"total correlation, {total_correlation:.4g} nats"
        whole.plot(0, total_correlation, label=name, markerfacecolor="white", **star)
        whole.set_ylabel("TC(x|z): dependence that z leaves (nats)")
        near.set_title("the same, β < 1.6")
        legend_above(figure, whole, columns=2)


def runs(path, groups, ylabel):
    """Learning curves of several runs; runs that differ in the seed alone are one group.

    groups: dict label -> (epochs (E,), values (n_runs, E)), drawn as median and range.
    """
    with picture(path, height=4.2) as figure:
        axes = figure.subplots()
        for index, (label, (epochs, values)) in enumerate(groups.items()):
            line, count = LINES[index % len(LINES)], len(values)
            label = f"{label} ({count} seeds: median, range)" if count > 1 else label
            plot_history(axes, epochs, np.median(values, axis=0), line, label=label)
            low, high = np.min(values, axis=0), np.max(values, axis=0)
            axes.fill_between(epochs, low, high, color=line["color"], alpha=0.2, linewidth=0)
        show_late_range(axes, *(np.ravel(v) for _, values in groups.values() for v in values))
        axes.set_ylabel(ylabel)
        legend_above(figure, axes, columns=1)
