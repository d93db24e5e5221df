"""Pictures of a run on Gaussian data: numpy arrays in, one PNG out; independent of the model."""

from itertools import permutations

import numpy as np
from matplotlib.patches import Ellipse
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from scipy.ndimage import gaussian_filter
from scipy.optimize import linear_sum_assignment

from analysis.figure_style import (
    BLACK,
    BLUE,
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
    ends = gaps[np.isfinite(gaps)]
    if final is not None:
        gap, se = final
        axes.errorbar(epochs[-1], gap, se, fmt="X", color=BLACK, markersize=7, zorder=3)
        note = f"× after training, more draws of z:\n{gap:.4f} ± {se:.4f} nats"
        where = {"ha": "right", "va": "top", "transform": axes.transAxes, "path_effects": HALO}
        axes.text(0.97, 0.95, note, **where)
        ends = np.append(ends, gap)
    if ends.size and ends.min() > 0:
        # At least a decade, or the ticks of a nearly constant gap have no round number to stand at.
        middle = np.sqrt(ends.min() * ends.max())
        low, high = min(ends.min() / 1.5, middle / 4), max(ends.max() * 1.5, middle * 4)
        axes.set(yscale="log", ylim=(low, high))
        _label_decades(axes.yaxis)
    else:
        axes.axhline(0, **EXACT)
        show_late_range(axes, gaps, [0.0])


def _label_decades(axis):
    axis.set_major_locator(LogLocator(subs=[1, 2, 5]))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def latent_plane(path, z_mean, z_std, active=None, color=None, linear=None):
    """The encoded data beside the prior N(0, I), for the two most active units.

    z_mean, z_std: (N, n_dim) mean and standard deviation of q(z|x).
    active: (n_dim,) activity of each unit; None: the variance of its mean over the data (Burda et
    al., 2015).
    color: (N,) a number of each data point that its colour shows: the first principal component.
    linear: z_mean (N, n_dim), z_std (n_dim,) of the same data in the best linear VAE, drawn beside.
    With n_dim 1 the histogram of the means beside the prior's density.
    """
    units = most_active(z_mean, active)
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


def most_active(z_mean, active=None):
    """The numbers of the two units (one where n_dim is 1) of largest activity, rising."""
    activity = np.var(z_mean, axis=0) if active is None else np.asarray(active, dtype=float)
    return np.sort(np.argsort(-activity, kind="stable")[:2])


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


def latent_planes_over_beta(path, betas, planes, color=None, samples=None, exact=None):
    """The latent plane of each model of a sweep, and below it samples of its decoder.

    betas: (K,), at most five of them drawn. planes: K pairs z_mean, z_std (N, n_dim) of q(z|x).
    color: (N,) as for latent_plane. samples: K arrays (M, D), drawn in their first two dimensions
    with the ellipses of the data's Gaussian, exact: mean (D,) and covariance (D, D).
    """
    shown = np.unique(np.linspace(0, len(betas) - 1, 5).round().astype(int))
    rows, size = 1 if samples is None else 2, 7.2 / len(shown)
    units = planes[shown[0]][0][:, most_active(planes[shown[0]][0])]
    with picture(path, height=1.0 + rows * (0.5 + size)) as figure:
        axes = figure.subplots(rows, len(shown), squeeze=False, sharex="row", sharey="row")
        for column, index in zip(axes.T, shown, strict=True):
            units, std = matched(units, *planes[index])
            _latent_points(column[0], units, std, color)
            column[0].set_title(f"β = {betas[index]:g}")
            if samples is not None:
                points = samples[index][:MAX_POINTS, :2]
                column[1].plot(*points.T, ".", color="#7FB4D6", markersize=2.5, mew=0)
                gaussian_ellipses(column[1], exact[0][:2], exact[1][:2, :2])
                column[1].set_xlabel("x1")
        axes[0, 0].set_ylabel("two units of z")
        if samples is not None:
            axes[1, 0].set_ylabel("samples, x2")
            axes[0, 0].plot([], [], ".", color="#7FB4D6", label="samples; exact 1, 2 std")
        legend_above(figure, axes[0, 0])


def bins_of(*samples):
    """Common bin edges over the central 99.8 % of each sample; more bins for more points."""
    lows, highs = np.transpose([np.percentile(sample, [0.1, 99.9]) for sample in samples])
    low, high = lows.min(), highs.max()
    count = int(np.clip(2 * np.cbrt(min(map(len, samples))), 8, 60))
    return np.histogram_bin_edges([low, high], bins=count)


def differ_much(std):
    """Whether standard deviations (D,) differ by more than a factor of 5; not where one is 0."""
    return np.min(std) > 0 and np.max(std) > 5 * np.min(std)


def covariances(path, matrices):
    """A covariance matrix, and how others differ from it, in units of the data squared.

    matrices: dict name -> (D, D), the first one the reference; where its standard deviations differ
    by more than a factor of 5, all are divided by them. The differences have a colour scale of
    their own. The numbers, which carry the sign in a grey print, are written when D <= 10.
    """
    (name, reference), *others = matrices.items()
    std = np.sqrt(np.diag(reference))
    divide = differ_much(std)
    scale = np.outer(std, std) if divide else 1.0
    units = f"std(x_i) std(x_j) of {name}" if divide else "(units of the data)²"
    differences = {f"{other} − {name}": (matrix - reference) / scale for other, matrix in others}
    limits = [np.abs(reference / scale).max()]
    limits += [max((np.abs(m).max() for m in differences.values()), default=0.0)] * len(others)
    columns = min(2, len(matrices))
    ticks = np.arange(0, len(std), -(-len(std) // 10))
    with picture(path, 4.6 * -(-len(matrices) // 2), 4.0 * columns) as figure:
        axes = panels(figure, len(matrices), columns)
        shown = {name: reference / scale} | differences
        for ax, limit, (title, matrix) in zip(axes, limits, shown.items(), strict=True):
            power = int(np.floor(np.log10(limit or 1.0)))
            unit = 10.0 ** (power - 1) if power else 1.0  # short numbers, however far from 1
            limit = limit / unit or 1.0
            image = ax.imshow(matrix / unit, cmap="RdBu_r", vmin=-limit, vmax=limit)
            ax.set(title=title, xlabel="data dimension")
            ax.set_xticks(ticks, ticks + 1)
            ax.set_yticks(ticks, ticks + 1)
            ax.grid(False)
            bar = figure.colorbar(image, ax=ax, location="bottom", shrink=0.8, aspect=35)
            bar.set_label(units if unit == 1 else f"times {unit:g} {units}", fontsize=9)
            if len(std) <= 10:
                _write_cells(ax, matrix / unit, 0 if power else 2, 0.6 * limit)


def _write_cells(axes, matrix, digits, strong):
    for (row, column), value in np.ndenumerate(matrix):
        text = f"{round(value, digits) + 0.0:.{digits}f}".replace("0.", ".", 1)  # no minus zero
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


def latent_traversal(path, values, means, units, mean=None, std=None):
    """How the decoder's mean of each data dimension moves while one latent unit runs.

    values: (T,) of the moving unit; means: (n_units, T, D); units: (n_units,) their indices from 0.
    mean, std: (D,) of the data. Where the std differ by more than a factor of 5, x is shown as its
    distance from the mean in std, or the largest would hide the others.
    The dimensions that move most, at most seven, have a colour and a marker; the others are grey.
    """
    means, label = np.asarray(means), "mean of p(x|z) (units of the data)"
    if std is not None and differ_much(std):
        means, label = (means - mean) / std, "mean of p(x|z) (standardized)"
    move = np.ptp(means, axis=1).max(axis=0)
    leaders = np.sort(np.argsort(-move, kind="stable")[: len(LINES)])
    with picture(path, height=1.0 + 3.0 * -(-len(units) // 2)) as figure:
        axes = panels(figure, len(units), 2, sharey=True)
        for ax, moved, unit in zip(axes, means, units, strict=True):
            for dim, line in zip(leaders, LINES, strict=False):
                every = (dim % 3, max(1, len(values) // 6))  # not all markers above each other
                ax.plot(values, moved[:, dim], label=f"x{dim + 1}", markevery=every, **line)
            rest = np.delete(moved, leaders, axis=1)
            ax.plot(values, rest, color="#BDBDBD", linewidth=0.9, zorder=1)
            ax.set(title=f"only z{unit + 1} moves", xlabel=f"z{unit + 1} (prior std)")
            ax.set_xlim(values[0], values[-1])
        for ax in axes[::2]:
            ax.set_ylabel(label)
        if len(leaders) < means.shape[2]:
            axes[0].plot([], [], color="#BDBDBD", label="others")
        legend_above(figure, axes[0])


def beta_sweep(path, bound, linear, trained, thresholds, exact=True):
    """The rate-distortion plane, and below it active units and cost over beta.

    bound: (distortion (P,), rate (P,)) of the Gaussian rate-distortion function.
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
        below = "impossible for any model" if exact else "impossible if the data were Gaussian"
        _rate_distortion(axes["plane"], *np.asarray(bound), *np.asarray(linear), trained, below)
        _plot_betas(axes["units"], trained, "beta", "active_units")
        _plot_betas(axes["cost"], trained, "beta", "cost_gap")
        _beta_axis(axes["units"], trained)
        _beta_axis(axes["cost"], trained)
        _staircase(axes["units"], thresholds, 1.0 if np.any(_without_minimum(trained)) else 0.0)
        axes["cost"].axhline(0, **LINEAR)
        axes["cost"].set(title="cost above the best linear VAE's", ylabel=NATS)
        columns = 1 + (len(trained["beta"]) > 10)
        axes["plane"].legend(loc="upper right", ncols=columns, title="bars: ± 1 standard error")


def _rate_distortion(axes, bound_distortion, bound_rate, distortion, rate, trained, below):
    order = np.argsort(bound_distortion)
    bound_distortion, bound_rate = bound_distortion[order], bound_rate[order]
    distortions = np.concatenate([trained["distortion"], distortion, bound_distortion[-1:]])
    right = 1.05 * np.nanmax(distortions)
    left = max(0.0, 1.2 * np.nanmin(distortions) - 0.2 * right)
    top = 1.15 * np.nanmax(np.concatenate([trained["rate"], rate])) or 1.0
    # The bound falls: left of its first point no rate below that point's is possible either.
    edge = np.concatenate([[0.0], bound_distortion]), np.concatenate([bound_rate[:1], bound_rate])
    axes.fill_between(*edge, color="#EEEEEE", linewidth=0, label=below)
    axes.plot(bound_distortion, bound_rate, label="rate-distortion bound", **LIMIT)
    axes.plot(distortion, rate, label="best linear VAE over β", **LINEAR)
    _plot_betas(axes, trained, "distortion", "rate")
    axes.set(xlim=(left, right), ylim=(-0.02 * top, top))
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


def _beta_axis(axes, trained):
    """A scale of beta, logarithmic where it spans enough; what has no minimum is marked."""
    low, high = trained["beta"].min(), trained["beta"].max()
    wide = high > 4 * low
    margin = 1.25 if wide else 1 + 0.1 * max(high / low - 1, 0.1)
    axes.set(xlabel="β", xlim=(low / margin, high * margin))
    if wide:
        axes.set_xscale("log")
        _label_decades(axes.xaxis)
    if np.any(_without_minimum(trained)):
        axes.axvspan(low / margin, 1, facecolor="white", edgecolor="#BBBBBB", hatch="///", zorder=0)
        look = {"rotation": 90, "ha": "center", "va": "center", "path_effects": HALO}
        x = np.sqrt(low / margin)
        axes.text(x, 0.5, "β < 1: no minimum", transform=axes.get_xaxis_transform(), **look)


def _without_minimum(trained):
    return (trained["beta"] < 1) & np.isnan(trained["cost_gap"])


def _staircase(axes, thresholds, lowest):
    """The active units of the best linear VAE, from beta `lowest` on: one fewer per threshold."""
    limits = axes.get_xlim()
    left, right = max(lowest, limits[0]), limits[1]
    edges = np.array([left, *thresholds, right])
    units = np.arange(len(thresholds), -1, -1)
    axes.stairs(units, np.maximum.accumulate(edges), baseline=None, **LINEAR)
    for threshold, count in zip(thresholds, units, strict=False):
        if left < threshold < right:
            axes.text(threshold, count - 0.5, f" {threshold:.4g}", va="center", fontsize=9)
    axes.set(title="active units", xlim=limits)
    axes.set_ylim(-0.3, max(axes.get_ylim()[1], len(thresholds) + 0.3))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))


def common_information(
    path, curve, points, common_information, total_correlation, closed_form=None
):
    """What z leaves of the dependence, TC(x|z), against what it tells of x, I(x;z), in nats.

    curve: (I (P,), TC (P,)) of the best linear VAE over beta; closed_form: the same where it is
    known exactly. points: (beta, I, I_se, TC, TC_se) of each trained network.
    common_information: Wyner's, the least I with TC 0. total_correlation: TC where I is 0.
    The right panel shows the networks of beta below 1.6, bars of 1 standard error.
    """
    names = ("beta", "information", "information_se", "dependence", "dependence_se")
    trained = dict(zip(names, np.reshape(points, (-1, 5)).T, strict=True))
    lines = [(*curve, "best linear VAE over β", LINEAR)]
    if closed_form is not None:
        lines.insert(0, (*closed_form, "closed form", LIMIT))
    whole = 0.0, common_information, total_correlation
    limits = whole, _near_common_information(trained, common_information)
    with picture(path, height=4.6) as figure:
        axes = figure.subplots(1, 2)
        for ax, (left, right, top) in zip(axes, limits, strict=True):
            for *line, label, look in lines:
                ax.plot(*line, label=label, **look)
            look = {"color": BLACK, "markersize": 15, "linestyle": "", "zorder": 1}
            name = f"Wyner's common information, {common_information:.4g} nats"
            ax.plot(common_information, 0, "*", label=name, **look)
            name = f"total correlation, {total_correlation:.4g} nats"
            ax.plot(0, total_correlation, "*", markerfacecolor="white", label=name, **look)
            _plot_betas(ax, trained, "information", "dependence")
            margin = 0.1 * (right - left)
            ax.set(xlim=(left - margin, right + margin), ylim=(-0.05 * top, 1.15 * top))
            ax.xaxis.set_major_locator(MaxNLocator(5))
            ax.set_xlabel("I(x;z): what z tells about x (nats)")
        axes[0].set_ylabel("TC(x|z): dependence that z leaves (nats)")
        axes[1].set_title("the same, β < 1.6")
        legend_above(figure, axes[0], columns=2)


def _near_common_information(trained, common_information):
    """Left, right and top of a panel that holds the networks of beta below 1.6 and their errors."""
    near = {name: column[trained["beta"] < 1.6] for name, column in trained.items()}
    low = near["information"] - near["information_se"]
    high = near["information"] + near["information_se"]
    top = near["dependence"] + near["dependence_se"]
    wyner = common_information
    return min([*low, 0.95 * wyner]), max([*high, wyner]), max([*top, 0.01])


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


def model_diagram(path):
    """The model from the data to its cost: networks, distributions, and the terms of the ELBO."""
    nodes = {  # column, row from below, text; the networks stand in grey
        "x": (0.0, 1, "data x"),
        "encoder": (1.4, 1, "encoder\nnetwork"),
        "q": (3.1, 1, "q(z|x)\nmean, log std"),
        "z": (4.9, 1, "z = mean\n+ std · ε"),
        "decoder": (6.4, 1, "decoder\nnetwork"),
        "p": (8.0, 1, "p(x|z)\nmean, log std"),
        "epsilon": (4.9, 2, "ε ~ N(0, I)"),
        "prior": (0.7, 0, "prior p(z)\nN(0, I)"),
        "kl": (3.1, 0, "KL divergence\nKL[q(z|x) || p(z)]"),
        "cost": (5.6, 0, "cost = β KL − log p(x|z)\nVAE: β = 1"),
        "log_px_z": (8.0, 0, "log p(x|z)\nof the data x"),
    }
    arrows = (
        "x encoder, encoder q, q z, epsilon z, z decoder, decoder p, q kl, prior kl, p log_px_z, "
        "kl cost, log_px_z cost"
    )
    with picture(path, height=2.6) as figure:
        axes = figure.subplots()
        boxes = {}
        for name, (x, y, text) in nodes.items():
            fill = "#DDDDDD" if "network" in text else "white"
            box = {"boxstyle": "round,pad=0.5", "facecolor": fill, "edgecolor": BLUE}
            boxes[name] = axes.text(x, y, text, ha="center", va="center", fontsize=9, bbox=box)
        for arrow in arrows.split(", "):
            start, end = (boxes[name] for name in arrow.split())
            look = {"arrowstyle": "-|>", "color": BLACK, "shrinkA": 0, "shrinkB": 1}
            look |= {"patchA": start.get_bbox_patch(), "patchB": end.get_bbox_patch()}
            axes.annotate("", end.get_position(), start.get_position(), arrowprops=look)
        axes.set(xlim=(-0.6, 8.8), ylim=(-0.4, 2.4))
        axes.axis("off")
