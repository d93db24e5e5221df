"""The pictures of a run on Gaussian data or on a known mixture: learning curves, latent space."""

import math

import numpy as np
from matplotlib.patches import Ellipse
from matplotlib.ticker import MaxNLocator
from scipy.optimize import linear_sum_assignment

from analysis import evaluation, sample_figures, sampling
from analysis import figure_style as style
from analysis.evaluation import REPORT_ROWS
from analysis.mixture import Mixture, normal_density
from analysis.sample_figures import FEW_POINTS, bins_of
from training.tables import names_of_columns

DARK_RED = "#A02800"  # dark enough for a grey print of points of all colours
LEAST_SPAN = 0.2  # nats: the least range of an axis of KL or log p(x|z)
N_EXAMPLES = 8  # rows whose q(z|x) is drawn
NATS = "nats per data point"
OPTIMUM_ROWS = 1_000_000  # the training rows' optimum is a mean over at most so many


def draw_run(folder, model, data, settings, history, report, best):
    """The pictures of a finished run, into its folder figures/.

    data: a data_processing.Data. settings: of the run. history: its list of dictionaries.
    report: its numbers. best: the linear_vae.Optimum, or None.
    """
    folder = folder / "figures"
    rows = data.x_held_out[:REPORT_ROWS]
    x, reference = data.in_data_units(rows), data.reference()
    names = names_of_columns(settings.data_path, settings.data_dim)
    optima = best_terms = linear = None
    if report["optimum"] is not None:
        seen = data.x_train[:OPTIMUM_ROWS], data.followed[:REPORT_ROWS]
        optima = [np.mean(reference.log_density(data.in_data_units(u))) for u in seen]
    if best is not None:
        best_terms = (best.kl, best.log_px_z) if best.has_rate else None
        posterior = best.posterior_covariance
        encoder = posterior @ best.weights.T / (settings.beta * best.noise_variances)
        linear = (x - reference.mean) @ encoder.T, np.sqrt(np.diag(posterior))
    learning_curves(
        folder / "learning_curves.png",
        history={name: np.array([row[name] for row in history]) for name in history[0]},
        optima=optima,
        gap=(report["gap"], report["gap_se"]),
        reference="exact log p(x)" if report["optimum_is"] == "exact" else "fitted Gaussian",
        best_terms=best_terms,
        best_name=name_of_best([report]),
    )
    z_mean, z_log_std = evaluation.encode(model, rows)
    color = color_of_rows(reference, x)
    latent_plane(folder / "latent_plane.png", z_mean, np.exp(z_log_std), color, linear)
    samples = {
        "data": x,
        "decoder": sampling.generate(model, REPORT_ROWS, settings.seed),
        "encoder-decoder": sampling.reconstruct(model, rows, settings.seed),
    }
    covariances = {} if data.known is None else {"true": data.known.covariance}
    for title, sample in samples.items():
        covariances[title] = np.atleast_2d(np.cov(sample, rowvar=False))
    sample_figures.covariances(folder / "covariances.png", covariances, names)
    sample_figures.pairwise_marginals(
        folder / "pairwise_marginals.png", samples, names, known=data.known
    )


def name_of_best(reports):
    """What the best linear VAE of runs is called: the best possible where no model beats it."""
    for report in reports:
        is_bound = report["optimum_is"] == "exact" and report["bound_holds_for"] == "all"
        if report["cost_exact"] is not None and not is_bound:
            return "best linear VAE"
    return "best possible VAE"


def learning_curves(
    path,
    history,
    optima=None,
    gap=None,
    reference="exact log p(x)",
    best_terms=None,
    best_name="best linear VAE",
):
    """ELBO, its gap to the optimum when that is known, and its two terms, all in nats, over epochs.

    history: the columns epoch, kl, log_px_z, elbo and elbo_validation or elbo_held_out, (E,) each;
    values that are not finite are left out. Where there are validation rows, the epoch of their
    highest ELBO is marked: its weights are kept.
    optima: the mean log p(x) of the training rows and of the validation or held-out rows under the
    distribution of the data, its exact one or an estimate of it; only a model that overfits has a
    higher ELBO. gap: with them, the gap of the finished model's report, on held-out rows, and its
    standard error. reference: what the optima are called.
    best_terms: KL and log p(x|z) of the best linear VAE. best_name: what it is called.
    """
    epochs, elbo = history["epoch"], history["elbo"]
    rows = "validation" if "elbo_validation" in history else "held-out"
    followed = np.asarray(history["elbo_" + rows.replace("-", "_")], dtype=float)
    kept = epochs[np.nanargmax(followed)] if rows == "validation" else None
    top = ["elbo", "elbo" if optima is None else "gap"]
    with style.picture(path, height=6.0) as figure:
        axes = figure.subplot_mosaic([top, ["kl", "log_px_z"]])
        style.plot_history(axes["elbo"], epochs, elbo, style.TRAINING, label="training")
        style.plot_history(
            axes["elbo"], epochs, followed, style.HELD_OUT, label=rows.replace("-", " ")
        )
        style.show_late_range(axes["elbo"], elbo, followed, optima or [])
        axes["elbo"].set(title="ELBO", ylabel=NATS)
        if kept is not None:
            axes["elbo"].axvline(kept, color="#777777", linewidth=1, label=f"kept: epoch {kept:g}")
        if optima is not None:
            dotted = style.EXACT | {"linestyle": ":"}
            axes["elbo"].axhline(optima[0], label=f"{reference}, training rows", **dotted)
            axes["elbo"].axhline(optima[1], label=f"{reference}, {rows} rows", **style.EXACT)
            at = epochs[-1] if kept is None else kept
            words = "after training, " + ("held-out rows" if kept else "more draws of z")
            _plot_gap(axes["gap"], epochs, optima[1] - followed, gap, at, words)
            axes["gap"].set_title(f"gap to the {reference}, {rows} rows")
        style.legend_above(figure, axes["elbo"], columns=2)
        best_kl, best_log_px_z = best_terms or (np.nan, np.nan)
        _plot_term(axes["kl"], epochs, history["kl"], best_kl, best_name)
        _plot_term(axes["log_px_z"], epochs, history["log_px_z"], best_log_px_z, best_name)
        axes["kl"].set(title="KL divergence, training", ylabel=NATS)
        axes["kl"].set_ylim(bottom=max(axes["kl"].get_ylim()[0], -0.01))
        axes["log_px_z"].set_title("log-likelihood log p(x|z), training")


def _plot_term(axes, epochs, values, best, best_name):
    """One of the two terms of the ELBO, and that of the best linear VAE."""
    style.plot_history(axes, epochs, values, style.TRAINING)
    style.show_late_range(axes, values, [best], span=LEAST_SPAN)
    if np.isfinite(best):
        axes.axhline(best, label=best_name, **style.EXACT)
        axes.legend()


def _plot_gap(axes, epochs, gaps, final, at, words):
    """The gap over epochs; on a log scale where no noisy estimate passes the optimum.

    final: the gap of the report and its standard error, drawn at the epoch `at`; words: what it is.
    """
    style.plot_history(axes, epochs, gaps, style.HELD_OUT)
    axes.set_ylabel(NATS)
    gap, se = final
    axes.errorbar(at, gap, se, fmt="X", color=style.BLACK, markersize=7, zorder=3)
    note = f"× {words}:\n{gap:.4f} ± {se:.4f} nats"
    where = {"ha": "right", "va": "top", "transform": axes.transAxes}
    axes.text(0.97, 0.95, note, path_effects=style.HALO, **where)
    shown = np.append(gaps[np.isfinite(gaps)], gap)
    if shown.min() > 0:
        axes.set(yscale="log", ylim=(shown.min() / 2, shown.max() * 4))  # room for the note
        style.label_decades(axes.yaxis)
    else:
        axes.axhline(0, **style.EXACT)
        style.show_late_range(axes, gaps, [0.0])


def color_of_rows(reference, x):
    """A number for the colour of each of the first rows of x (N, data_dim), and what it is called.

    The first principal component in a Gaussian, the most probable component in a Mixture.
    """
    x = x[: style.MAX_POINTS]
    if isinstance(reference, Mixture):
        component = 1 + np.argmax(reference.log_joint(x), axis=1)
        return component, "number of the most probable component of x"
    variances, axes = np.linalg.eigh(reference.covariance)
    first = (x - reference.mean) @ axes[:, -1] / (np.sqrt(variances[-1]) or 1.0)
    return first, "first principal component of x (in its std)"


def latent_plane(path, z_mean, z_std, color, linear=None):
    """The encoded data beside the prior N(0, I), for the two most active units.

    z_mean, z_std: (N, n_dim) mean and standard deviation of q(z|x). color: from color_of_rows.
    linear: z_mean (N, n_dim), z_std (n_dim,) of the same data in the best linear VAE, drawn beside.
    With n_dim 1 the histogram of the means beside the prior's density.
    """
    units = np.sort(np.argsort(-np.var(z_mean, axis=0), kind="stable")[:2])
    planes = {"trained": (z_mean[:, units], z_std[:, units])}
    if linear is not None:
        planes["best linear VAE, exact posterior"] = matched(planes["trained"][0], *linear)
    far = [np.percentile(np.abs(mean), 99.9) for mean, _ in planes.values()]
    reach = max(3.3, 1.05 * max(far))  # of all panels, which share their axes
    numbers, name = color
    width, height = (5.5, 6.6) if linear is None else (8.0, 5.6)
    with style.picture(path, height if len(units) == 2 else 3.6, width) as figure:
        axes = figure.subplots(1, len(planes), squeeze=False, sharex=True, sharey=True)[0]
        for ax, (title, (mean, std)) in zip(axes, planes.items(), strict=True):
            points = latent_points(ax, mean, std, numbers, reach)
            ax.set(title=title, xlabel=f"z{units[0] + 1}")
        axes[0].set_ylabel(f"z{units[1] + 1}" if len(units) == 2 else "density")
        style.legend_above(figure, axes[0])
        if points is not None:
            whole = MaxNLocator(5, integer=True)
            look = {"location": "bottom", "shrink": 0.6, "aspect": 40, "ticks": whole}
            figure.colorbar(points, ax=axes, **look).set_label(name)


def matched(reference, z_mean, z_std):
    """The units of z_mean (N, n_dim) that go with those of reference (N, U), with equal signs.

    Order and sign of latent units are arbitrary; each unit of the reference gets another one, so
    that their covariances are largest in sum. z_std: (n_dim,). Returns two arrays (N, U).
    """
    covariance = (reference - reference.mean(axis=0)).T @ z_mean
    rows, units = linear_sum_assignment(-np.abs(covariance))
    sign = np.where(covariance[rows, units] < 0, -1.0, 1.0)
    mean = z_mean[:, units] * sign
    return mean, np.broadcast_to(z_std[units], mean.shape)


def latent_points(axes, mean, std, color, reach):
    """Points, example ellipses and the prior's circles; a histogram where there is one unit.

    mean, std: (N, 2) or (N, 1) of q(z|x). color: a number for each of the first rows. Returns the
    points, None of one unit.
    """
    if mean.shape[1] == 1:
        return _latent_line(axes, mean[:, 0], std[:, 0], reach)
    shown = mean[: style.MAX_POINTS]
    size = 7 if len(mean) >= FEW_POINTS else 20
    look = {"cmap": "viridis", "linewidth": 0, "alpha": 0.7}
    points = axes.scatter(shown[:, 0], shown[:, 1], size, color, **look)
    for radius in (1, 2, 3):
        axes.add_patch(Ellipse((0, 0), 2 * radius, 2 * radius, fill=False, **style.EXACT))
    for centre, sides in zip(mean[:N_EXAMPLES], 2 * std[:N_EXAMPLES], strict=True):
        look = {"fill": False, "linewidth": 1.6, "edgecolor": DARK_RED, "zorder": 3}
        look["joinstyle"] = "round"  # or the halo of a narrow one would have long spikes
        axes.add_patch(Ellipse(centre, *sides, path_effects=style.HALO, **look))
    axes.plot([], [], "o", color=points.cmap(0.5), label="means of q(z|x)")
    axes.plot([], [], color=DARK_RED, label="a few q(z|x), 1 std")
    axes.plot([], [], label="prior: 1, 2, 3 std", **style.EXACT)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    return points


def _latent_line(axes, mean, std, reach):
    z = np.linspace(-reach, reach, 400)
    axes.hist(mean, bins_of(mean), density=True, color=style.SKY, label="means of q(z|x)")
    typical = normal_density(z, np.median(mean), np.median(std))
    axes.plot(z, typical, color=style.VERMILLION, label="a typical q(z|x)")
    axes.plot(z, normal_density(z), label="prior", **style.EXACT)


def latent_traversal(path, values, means, mean, std, names, units):
    """How the decoder's mean of each data dimension moves while one latent unit runs.

    values: (T,) of the moving unit; means: (K, T, D), of each of K units.
    mean, std: (D,) of the data: x is shown as its distance from the mean in std.
    names: of the columns. units: the numbers of the K units, from 0.
    The dimensions that move most, at most seven, have a colour and a marker; the others are grey.
    """
    means = (means - mean) / np.where(std > 0, std, 1.0)
    move = np.ptp(means, axis=1).max(axis=0)
    leaders = np.sort(np.argsort(-move, kind="stable")[: len(style.LINES)])
    labels = style.names_in_pictures(names)
    with style.picture(path, height=1.0 + 3.0 * math.ceil(len(means) / 2)) as figure:
        axes = style.panels(figure, len(means), 2, sharey=True)
        for ax, moved, unit in zip(axes, means, units, strict=True):
            for dim, line in zip(leaders, style.LINES, strict=False):
                every = (dim % 3, max(1, len(values) // 6))  # not all markers above each other
                ax.plot(values, moved[:, dim], label=labels[dim], markevery=every, **line)
            rest = np.delete(moved, leaders, axis=1)
            ax.plot(values, rest, color="#BDBDBD", linewidth=0.9, zorder=1)
            ax.set(title=f"only z{unit + 1} moves", xlabel=f"z{unit + 1} (prior std)")
            ax.set_xlim(values[0], values[-1])
        for ax in axes[::2]:
            ax.set_ylabel("mean of p(x|z) (standardized)")
        if len(leaders) < means.shape[2]:
            axes[0].plot([], [], color="#BDBDBD", label="others")
        style.legend_above(figure, axes[0])
