"""The look that all pictures share, and the way to write one.

A picture is written whole and leaves matplotlib's global settings as they were. Colours: Okabe and
Ito (2008), told apart by colour-blind readers; line styles and markers differ too, for grey print.
"""

import math
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from training.run_folder import atomic_write

BLUE, VERMILLION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
SKY, PURPLE, BLACK = "#56B4E9", "#CC79A7", "#000000"
LINES = [
    {"color": color, "linestyle": style, "marker": marker}
    for color, style, marker in zip(
        [BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK],
        ["-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 1))],
        ["o", "s", "^", "D", "v", "P", "X"],
        strict=True,
    )
]
TRAINING = LINES[0]
HELD_OUT = {**LINES[1], "markerfacecolor": "none", "markersize": 6.5}
EXACT = {"color": BLACK, "linestyle": (0, (4, 3)), "linewidth": 1.2}
HALO = [withStroke(linewidth=3, foreground="white")]
STYLE = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "axes.titley": 1.0,  # the place that matplotlib would find by measuring all ticks twice more
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": "#E3E3E3",
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "figure.dpi": 150,
}
WIDTH = 8.0  # inches: ten-point letters stay readable when a page shows the picture 800 pixels wide
MAX_POINTS = 3000  # a scatter of more is a blot
LONGEST_NAME = 14  # letters


@contextmanager
def picture(path, height, width=WIDTH):
    """A matplotlib Figure in the common look, size in inches; a PNG at `path` when the block ends.

    After an error nothing is written, and an older picture is still whole.
    """
    path = Path(path)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="compressed")
        yield figure
        for axes in figure.axes:  # to measure a spine is to measure all its ticks again
            axes.spines[:].set_in_layout(False)
        path.parent.mkdir(exist_ok=True)
        with atomic_write(path) as temporary:
            quickly = {"compress_level": 3}  # half the time for 3 % more bytes
            FigureCanvasAgg(figure).print_png(temporary, pil_kwargs=quickly)


def panels(figure, count, columns, **options):
    """`count` axes filled row by row, at most `columns` in a row; the unused places stay empty."""
    columns = min(count, columns)
    axes = figure.subplots(math.ceil(count / columns), columns, squeeze=False, **options).ravel()
    for unused in axes[count:]:
        unused.remove()
    return axes[:count]


def legend_above(figure, axes, columns=None):
    """The legend of one panel, above all panels; in one row, or in so many columns."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=columns or len(handles))


def label_decades(axis):
    """Ticks at 1, 2 and 5 times the powers of ten, as plain numbers."""
    axis.set_major_locator(LogLocator(subs=[1, 2, 5]))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def names_in_pictures(names):
    """The names of the columns, long ones shortened; x1, x2, ... of letters that the font lacks."""
    font = get_font(findfont("DejaVu Sans"))  # comes with matplotlib
    shown = []
    for j, name in enumerate(names, 1):
        if not all(font.get_char_index(ord(letter)) for letter in name):
            name = f"x{j}"
        shown.append(name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…")
    return shown


def plot_history(axes, epochs, values, line, **options):
    """A line over epochs through the values that are finite."""
    epochs, values = np.asarray(epochs), np.asarray(values, dtype=float)
    shown = np.isfinite(values)
    count = np.count_nonzero(shown)
    every, width = max(1, count // 8), 1.6 if count <= 200 else 0.9
    axes.plot(epochs[shown], values[shown], markevery=every, linewidth=width, **line, **options)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    if len(epochs) == 1:
        axes.set_xlim(epochs[0] - 1, epochs[0] + 1)


def show_late_range(axes, *histories, span=0.0):
    """Set the y-range by all epochs but the first tenth, which may lie far outside.

    span: the least range, in the units of y, so that noise is not magnified to fill the panel.
    """
    late = np.concatenate([np.asarray(h, dtype=float)[len(h) // 10 :] for h in histories])
    late = late[np.isfinite(late)]
    if late.size:
        margin = max(0.08 * np.ptp(late), 0.5 * (span - np.ptp(late)))
        margin = margin or 0.05 * abs(late[0]) or 1.0
        axes.set_ylim(late.min() - margin, late.max() + margin)
