"""The pictures of a sweep over beta: the numbers of its runs beside theory."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from analysis import figure_style as style
from analysis import information, linear_vae
from analysis.run_figures import NATS, name_of_best

N_OPTIMA = 60  # of the best linear VAE over beta
NO_DEPENDENCE = 1e-9  # nats of total correlation
NEAR_ONE = 1.6  # the betas below are drawn again beside the common information
# A theoretical limit below what a model reaches: the first stays visible where both coincide.
LIMIT = {"color": "#A8A8A8", "linewidth": 5, "solid_capstyle": "butt"}
LINEAR = {"color": style.BLACK, "linestyle": (0, (4, 2)), "linewidth": 1.4}
WITH_ERROR = (  # keys of report.json beside a standard error
    "rate distortion cost cost_gap mutual_information conditional_total_correlation".split()
)


def draw_sweep(folder, data, settings, reports):
    """Rate and distortion, and information and dependence, over beta.

    folder: of the sweep, the pictures go to figures/ in it. data: a data_processing.Data.
    settings: of one of the runs. reports: one for each beta, by rising beta.
    """
    folder = folder / "figures"
    names = ["beta", "active_units", *WITH_ERROR, *(f"{name}_se" for name in WITH_ERROR)]
    trained = {name: np.array([report[name] for report in reports], float) for name in names}
    reference = data.reference()
    has_minimum = np.array([report["cost_exact"] is not None for report in reports])
    optima = linear = bound = thresholds = None
    if np.any(has_minimum):
        thresholds = reports[0]["beta_thresholds"]
        optima = optima_over_beta(reference.covariance, settings, trained["beta"], thresholds)
        distortions = [optimum.distortion for optimum in optima]
        linear = distortions, [optimum.kl for optimum in optima]
        # The rate-distortion function, from below all that is drawn.
        lowest = min(*distortions, *trained["distortion"])
        distortion = np.geomspace(0.1 * lowest, np.trace(reference.covariance), 300)
        bound = distortion, information.rate_distortion(reference.covariance, distortion)
    beta_sweep(
        folder / "beta_sweep.png",
        trained,
        linear=linear,
        bound=bound,
        thresholds=thresholds,
        exact=data.known is not None,
        best_name=name_of_best(reports),
    )
    nats, dependence = reports[0]["common_information"], reports[0]["total_correlation"]
    if optima and nats is not None and dependence > NO_DEPENDENCE:
        common_information(
            folder / "common_information.png",
            curve=([o.kl for o in optima], [o.conditional_total_correlation for o in optima]),
            trained={name: column[has_minimum] for name, column in trained.items()},
            common_information=nats,
            total_correlation=dependence,
            closed_form=closed_form(reference.covariance, dependence),
        )


def optima_over_beta(covariance, settings, betas, thresholds):
    """The best linear VAEs for betas that reach as far as those of the sweep and the thresholds."""
    positive = betas[betas > 0]
    lowest = positive.min() / 1.2
    if settings.decoder_std == "learned" and settings.min_log_std is None:
        lowest = max(1.0, positive.min())  # below 1 the cost has no minimum
    highest = max([1.2 * positive.max(), *(thresholds or [])])  # None: too wide
    spread = np.linspace(0.0, 1.0, N_OPTIMA) ** 2
    optima = [
        linear_vae.optimum(
            covariance, settings.n_dim, beta, settings.decoder_std, settings.min_log_std
        )
        for beta in lowest * (highest / lowest) ** spread
    ]
    # Near a copy of a coordinate KL and log p(x|z) have no bound; there is nothing to draw.
    return [best for best in optima if best is not None and best.has_rate] or optima[-1:]


def closed_form(covariance, total_correlation):
    """(I (P,), TC (P,)) of the best models of a pair of coordinates; None of more of them."""
    if len(covariance) > 2:
        return None
    left = np.linspace(0.0, total_correlation, 300)
    rho = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
    return information.pair_relaxed_common_information(rho, left), left


def beta_sweep(
    path,
    trained,
    linear=None,
    bound=None,
    thresholds=None,
    exact=True,
    best_name="best linear VAE",
):
    """The rate-distortion plane, and below it active units and cost over beta.

    trained: dict of arrays (K,) named as in report.json: beta, rate, distortion, active_units,
    cost, cost_gap (nats above the best linear VAE's cost, nan where that has no minimum), and
    standard errors rate_se, distortion_se, cost_se, cost_gap_se.
    linear: (distortion (L,), rate (L,)) of the best linear VAE over beta. best_name: what it is
    called. bound: (distortion (P,) rising, rate (P,)) of the Gaussian rate-distortion function.
    thresholds: the betas, rising, at each of which the best linear VAE gives up a unit. All these
    are None of data without a Gaussian reference, the thresholds also of very wide data.
    exact: whether the data have that Gaussian's distribution, so that the bound holds for them.
    Distortion: squared error per data point, units of the data squared; rate: the KL term in nats.
    """
    trained = {name: np.asarray(column, dtype=float) for name, column in trained.items()}
    has_none = (trained["beta"] < 1) & np.isnan(trained["cost_gap"])
    no_minimum = linear is not None and has_none.any()
    with style.picture(path, height=7.6) as figure:
        axes = figure.subplot_mosaic([["plane"] * 2, ["units", "cost"]], height_ratios=[5, 3])
        axes["cost"].sharex(axes["units"])
        _plot_betas(axes["plane"], trained, "distortion", "rate")
        axes["plane"].set_xlabel("distortion: squared error per data point (units of the data)²")
        axes["plane"].set_ylabel("rate: KL (nats per data point)")
        _plot_betas(axes["units"], trained, "beta", "active_units")
        _plot_betas(axes["cost"], trained, "beta", "cost" if linear is None else "cost_gap")
        for name in ("units", "cost"):
            _scale_of_beta(axes[name], trained["beta"], no_minimum)
        axes["units"].set(title="active units", ylim=(-0.3, trained["active_units"].max() + 0.3))
        axes["units"].yaxis.set_major_locator(MaxNLocator(integer=True))
        axes["cost"].set(title="cost", ylabel=NATS)
        if linear is not None:
            below = "impossible for any model" if exact else "impossible if the data were Gaussian"
            axes["plane"].plot(*linear, label=f"{best_name} over β", **LINEAR)
            _shade_the_impossible(axes["plane"], *bound, below)
            if thresholds is not None:
                _staircase(axes["units"], thresholds, 1.0 if no_minimum else 0.0)
            axes["cost"].axhline(0, **LINEAR)
            axes["cost"].set_title(f"cost above the {best_name}'s")
        columns = 2 if len(trained["beta"]) > 10 else 1
        axes["plane"].legend(loc="upper right", ncols=columns, title="bars: ± 1 standard error")


def _shade_the_impossible(axes, distortion, rate, label):
    """The rate-distortion bound and what lies below it, within the range of what is drawn."""
    left, right = axes.get_xlim()
    axes.set_xlim(max(0.0, left - 0.2 * (right - left)), right)
    axes.set_ylim(axes.get_ylim())  # the bound goes on beyond
    axes.plot(distortion, rate, label="rate-distortion bound", zorder=1, **LIMIT)
    # The bound falls: left of its first point no rate below that point's is possible either.
    edge = [0.0, *distortion], [rate[0], *rate]
    axes.fill_between(*edge, color="#EEEEEE", linewidth=0, zorder=0.5, label=label)


def _plot_betas(axes, columns, x, y):
    """Points with error bars of 1 standard error, a marker for each beta, the same everywhere."""
    for index, beta in enumerate(np.unique(columns["beta"])):
        line = style.LINES[index % len(style.LINES)]
        shown = columns["beta"] == beta
        axes.errorbar(
            columns[x][shown],
            columns[y][shown],
            xerr=columns[f"{x}_se"][shown] if f"{x}_se" in columns else None,
            yerr=columns[f"{y}_se"][shown] if f"{y}_se" in columns else None,
            fmt=line["marker"],
            color=line["color"],
            markerfacecolor=line["color"] if index < len(style.LINES) else "none",
            markersize=6.5,
            capsize=2.5,
            label=f"trained, β = {beta:g}",
        )


def _scale_of_beta(axes, betas, no_minimum):
    """Logarithmic where beta spans enough; what has no minimum is marked."""
    axes.set_xlabel("β")
    axes.margins(x=0.1)
    if betas.max() > 4 * betas.min():
        axes.set_xscale("log")
        style.label_decades(axes.xaxis)
    left = axes.set_xlim(axes.get_xlim())[0]
    if no_minimum:
        axes.axvspan(left, 1, facecolor="white", edgecolor="#BBBBBB", hatch="///", zorder=0)
        look = {"rotation": 90, "ha": "center", "va": "center", "path_effects": style.HALO}
        where = np.sqrt(left), 0.5
        axes.text(*where, "β < 1: no minimum", transform=axes.get_xaxis_transform(), **look)


def _staircase(axes, thresholds, lowest):
    """The active units of the best linear VAE, from beta `lowest` on: one fewer per threshold."""
    left, right = axes.get_xlim()
    left = max(lowest, left)
    inside = [threshold for threshold in thresholds if left < threshold < right]
    most = sum(threshold > left for threshold in thresholds)
    units = np.arange(most, most - len(inside) - 1, -1)
    axes.stairs(units, [left, *inside, right], baseline=None, **LINEAR)
    for threshold, count in zip(inside, units, strict=False):
        axes.text(threshold, count - 0.5, f" {threshold:.4g}", va="center", fontsize=9)
    axes.set_ylim(-0.3, max(axes.get_ylim()[1], len(thresholds) + 0.3))


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
    close = {name: column[trained["beta"] < NEAR_ONE] for name, column in trained.items()}
    star = {"marker": "*", "color": style.BLACK, "markersize": 15, "linestyle": "", "zorder": 1}
    with style.picture(path, height=4.6) as figure:
        whole, near = figure.subplots(1, 2)
        for ax, shown in ((whole, trained), (near, close)):
            name = f"Wyner's common information, {common_information:.4g} nats"
            ax.plot(common_information, 0, label=name, **star)
            _plot_betas(ax, shown, "mutual_information", "conditional_total_correlation")
            ax.margins(0.1)
            if ax is near:  # fits the networks; at least 0.01 high, so that noise is not magnified
                (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
                left, top = min(left, 0.95 * common_information), max(top, 0.01)
                ax.set(xlim=(left, right), ylim=(min(bottom, -0.05 * top), top))
            if closed_form is not None:
                ax.plot(*closed_form, label="closed form", zorder=1, **LIMIT)
            ax.plot(*curve, label="best linear VAE over β", zorder=1, **LINEAR)
            ax.xaxis.set_major_locator(MaxNLocator(5))
            ax.set_xlabel("I(x;z): what z tells about x (nats)")
        name = f"total correlation, {total_correlation:.4g} nats"
        whole.plot(0, total_correlation, label=name, markerfacecolor="white", **star)
        whole.set_ylabel("TC(x|z): dependence that z leaves (nats)")
        near.set_title(f"the same, β < {NEAR_ONE}")
        style.legend_above(figure, whole, columns=2)
