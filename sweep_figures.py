"""The picture of a sweep over beta: trained models beside what theory predicts."""

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from figure_style import BLACK, GREEN, HALO, VERMILLION, picture


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
