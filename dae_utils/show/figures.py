"""Figures that several chapters draw.

Each function draws into the axes it is given, or makes a figure that is legible on a phone, and returns the
axes (or the figure where there are several axes). The colours are those of Okabe and Ito (2008), which people
with the common forms of colour blindness can tell apart; what matters is never shown by colour alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from dae_utils.evaluation.intervals import Interval
from dae_utils.validation import check_count, check_samples, check_scores

__all__ = [
    "COLOURS",
    "draw_calibration",
    "draw_comparison",
    "draw_heat_map",
    "draw_images",
    "draw_losses",
    "draw_scores",
    "use_book_style",
]

COLOURS = MappingProxyType(
    {
        "blue": "#0072B2",
        "orange": "#E69F00",
        "green": "#009E73",
        "red": "#D55E00",
        "purple": "#CC79A7",
        "sky": "#56B4E9",
        "grey": "#666666",
    }
)
_MARKERS = "osD^vP"

# A phone shows a figure about 350 pixels wide, whatever its width in inches; letters need 9 of those pixels.
_PHONE_WIDTH, _LEAST_LETTERS = 350, 9


def _font_size(width: float) -> float:
    """Return the size in points of letters that are legible on a phone in a figure `width` inches wide."""
    return max(10.0, _LEAST_LETTERS * 72 * width / _PHONE_WIDTH)


def use_book_style() -> None:
    """Set Matplotlib's defaults to the look of this book: large text, few lines, safe colours."""
    plt.rcParams.update(
        {
            "axes.prop_cycle": cycler(color=list(COLOURS.values())),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": 12,
            "axes.labelsize": 12,
            "figure.dpi": 110,
            "figure.figsize": (5.4, 3.6),
            "figure.constrained_layout.use": True,
            "font.size": 11,
            "image.cmap": "gray_r",
            "legend.frameon": False,
            "savefig.facecolor": "white",
        }
    )


def draw_images(
    images: ArrayLike,
    titles: Sequence[str] | None = None,
    row_labels: Sequence[str] | None = None,
    columns: int | None = None,
    size: float = 0.8,
) -> Figure:
    """Draw images in a grid and return the figure.

    Args:
        images: shape (n, height, width), or (rows, columns, height, width) for a grid with a meaning; in
            colour with one more axis of length 3. Values beyond [0, 1], as a linear decoder returns them, are
            cut off. In grey images 0 is drawn white and 1 black.
        titles: one for each image, or for a grid one for each column; shown as text.
        row_labels: what stands left of each row; only for a grid.
        columns: images in a row when `images` is a plain list; 10 unless given.
        size: width of one image in inches.

    Raises:
        ValueError: images of another number of dimensions, NaN, whole numbers up to 255, no column, or titles
            that do not match.
    """
    images = check_samples(images, "images")
    in_colour = images.ndim > 3 and images.shape[-1] == 3
    n_axes = images.ndim - in_colour
    is_grid = n_axes == 4
    if n_axes == 3:
        columns = min(check_count(10 if columns is None else columns, "columns"), len(images))
        rows = -(-len(images) // columns)
    elif is_grid:
        rows, columns = images.shape[:2]
        images = images.reshape(-1, *images.shape[2:])
    else:
        raise ValueError(
            f"images has shape {images.shape}; (n, height, width) is expected, "
            "or (rows, columns, height, width) for a grid; in colour with one more axis of length 3."
        )
    n_titles = columns if is_grid else len(images)
    if titles is not None and len(titles) != n_titles:
        raise ValueError(
            f"{len(titles)} titles were given for {n_titles} {'columns' if is_grid else 'images'}."
        )
    if row_labels is not None and (not is_grid or len(row_labels) != rows):
        raise ValueError(
            f"row_labels needs a grid and one label for each row ({rows if is_grid else 'no grid'})."
        )

    # A letter is about 0.62 of its size wide; titles must not run into each other.
    width = size * columns
    label_length = max(map(len, row_labels)) if row_labels is not None else 0
    letters = _font_size(width + 0.11 * label_length)
    margin = 0.62 * letters / 72 * label_length
    longest = max((len(str(title)) for title in titles or ()), default=0)
    title_letters = min(letters, max(8.0, size * 72 / (0.62 * max(longest, 1))))
    title_height = title_letters / 72 + 0.1 if longest else 0
    height = size * images.shape[1] / images.shape[2]
    total_height = height * rows + title_height * (1 if is_grid else rows) + 0.1
    figure, axes = plt.subplots(rows, columns, figsize=(width + margin, total_height), squeeze=False)
    for number, axis in enumerate(axes.flat):
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set_visible(False)
        if number >= len(images):
            continue
        shown = np.clip(images[number], 0, 1)
        axis.imshow(shown, vmin=0, vmax=1, cmap="gray_r", interpolation="nearest")
        if titles is not None and number < n_titles:
            axis.set_title(titles[number], fontsize=title_letters, pad=3)
    for label, axis in zip(row_labels or (), axes[:, 0], strict=False):
        axis.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=letters)
    return figure


def draw_losses(
    losses: Mapping[str, Sequence[float]],
    ylabel: str,
    floor: float | None = None,
    floor_label: str = "a perfect copy",
    ax: Axes | None = None,
) -> Axes:
    """Draw losses by epoch, one line for each entry, and return the axes.

    Args:
        losses: name of the line to one value for each epoch, the first epoch first.
        ylabel: what the loss is and its unit.
        floor: the lowest value that can be reached, drawn as a dashed line.
        floor_label: what that line is.
        ax: where to draw; a new figure unless given.

    Raises:
        ValueError: no line.
    """
    if not losses:
        raise ValueError("losses has no line to draw.")
    ax = ax or plt.subplots()[1]
    for number, (name, values) in enumerate(losses.items()):
        epochs = np.arange(1, len(values) + 1)
        ax.plot(epochs, values, marker=_MARKERS[number % len(_MARKERS)], markersize=5, label=name)
    if floor is not None:
        ax.axhline(floor, color=COLOURS["grey"], linestyle="--", label=floor_label)
        ax.autoscale_view(scalex=False)  # keeps it clear of the axis
    ax.set_xlabel("epoch")
    ax.set_ylabel(ylabel)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend()
    return ax


def draw_scores(
    scores: Mapping[str, ArrayLike],
    threshold: float | None = None,
    xlabel: str = "anomaly score",
    log: bool = False,
    bins: int = 60,
    ax: Axes | None = None,
) -> Axes:
    """Draw how often each score occurs, one outline for each group, and return the axes.

    Args:
        scores: name of the group to its scores, shape (n,). Every outline encloses the same area.
        threshold: drawn as a vertical line.
        xlabel: what the score is and its unit.
        log: a logarithmic axis, for scores above 0.
        bins: number of bins, shared by the groups.
        ax: where to draw; a new figure unless given.

    Raises:
        ValueError: no group, NaN, empty, no bin, or a score or threshold of 0 or less on a logarithmic axis.
    """
    check_count(bins, "bins")
    groups = {name: check_scores(values, name) for name, values in scores.items()}
    if not groups:
        raise ValueError("scores has no group to draw.")
    low = min(values.min() for values in groups.values())
    high = max(values.max() for values in groups.values())
    if log and low <= 0:
        raise ValueError(f"a logarithmic axis needs scores above 0, the lowest is {low:g}.")
    if log and threshold is not None and threshold <= 0:
        raise ValueError(f"a logarithmic axis needs a threshold above 0, not {threshold:g}.")
    if low == high:
        low, high = (low / 2, high * 2) if log else (low - 0.5, high + 0.5)
    edges = np.geomspace(low, high, bins + 1) if log else np.linspace(low, high, bins + 1)
    ax = ax or plt.subplots()[1]
    for (name, values), colour, style in zip(
        groups.items(),
        list(COLOURS.values()) * len(groups),
        ["-", "--", ":", "-."] * len(groups),
        strict=False,
    ):
        shares = np.histogram(values, edges)[0] / len(values)
        ax.stairs(100 * shares, edges, color=colour, linestyle=style, linewidth=1.8, label=name)
        ax.stairs(100 * shares, edges, color=colour, fill=True, alpha=0.15)
    if threshold is not None:
        ax.axvline(threshold, color="black", linewidth=1.2, label="threshold")
    if log:
        ax.set_xscale("log")
    ax.set_xlabel(xlabel)
    ax.set_ylabel("share of samples in a bin (%)")
    ax.legend()
    return ax


def draw_comparison(
    results: Mapping[str, Mapping[str, Interval]],
    references: Mapping[str, float] | None = None,
    xlabel: str = "AUROC",
    ax: Axes | None = None,
) -> Axes:
    """Draw results with their intervals, one row for each method, and return the axes.

    Args:
        results: name of the group (a colour and a marker) to: name of the method (a row, the first on top) to
            its result.
        references: name to published value, drawn as vertical lines; the names stand above the axes, each
            on a line of its own and left of its value.
        xlabel: what is compared.
        ax: where to draw; a new figure unless given.

    Raises:
        ValueError: nothing to compare, or a value that is not finite or not inside its interval.
    """
    rows = list(dict.fromkeys(method for group in results.values() for method in group))
    if not rows:
        raise ValueError("results has no method to draw.")
    for group, methods in results.items():
        for method, interval in methods.items():
            if not -np.inf < interval.low <= interval.value <= interval.high < np.inf:
                raise ValueError(f"{group}, {method}: {interval} is not an interval around a finite value.")
    # The smallest value lowest: so the lines up to the names cross no other name.
    levels = sorted((references or {}).items(), key=lambda item: item[1])
    if ax is None:
        height = 0.8 + 0.34 * len(rows) + 0.18 * len(levels) + 0.3 * (len(results) > 1)
        ax = plt.subplots(figsize=(5.4, height))[1]
    # Groups that share a row are drawn a little above and below each other.
    shift = 0.22 if sum(map(len, results.values())) > len(rows) else 0
    for number, (group, methods) in enumerate(results.items()):
        intervals = list(methods.values())
        values = np.array([interval.value for interval in intervals])
        errors = np.array([[i.value - i.low, i.high - i.value] for i in intervals]).T
        heights = np.array([rows.index(method) for method in methods], float)
        heights += shift * (number - (len(results) - 1) / 2)
        marker = _MARKERS[number % len(_MARKERS)]
        ax.errorbar(values, heights, xerr=errors, fmt=marker, capsize=3, markersize=6, label=group)
    for number, (name, value) in enumerate(levels):
        look = {"color": COLOURS["grey"], "linestyle": ["--", ":", "-."][number % 3], "linewidth": 1.2}
        ax.axvline(value, **look)
        top = 3 + 13 * number
        place = {"xy": (value, 1), "xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
        ax.annotate(
            "",
            xytext=(0, top + 10),
            arrowprops={"arrowstyle": "-", "shrinkA": 0, "shrinkB": 0, **look},
            **place,
        )
        ax.annotate(name, xytext=(-4, top), ha="right", fontsize=10, color=COLOURS["grey"], **place)
    ax.set_yticks(range(len(rows)), rows)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlabel(xlabel)
    ax.grid(axis="x", alpha=0.3)
    if len(results) > 1:
        # Below the name of the axis, where there are no results to cover.
        ax.legend(
            loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=4, ncol=len(results), columnspacing=1
        )
    return ax


def draw_heat_map(table: pd.DataFrame, low: float, high: float, label: str, decimals: int = 3) -> Axes:
    """Draw a table of numbers as coloured, labelled cells and return the axes.

    Args:
        table: rows and columns with names that can be shown.
        low, high: the values drawn with the darkest and the lightest colour.
        label: what the numbers are, below the scale of colours.
        decimals: digits shown behind the point; a 0 in front of it is left out. NaN leaves its cell empty.

    Raises:
        ValueError: an empty table, or `low` not below `high`.
    """
    values = table.to_numpy(float)
    if values.size == 0:
        raise ValueError("table has no cell to draw.")
    if not low < high:
        raise ValueError(f"low must be below high, not {low:g} and {high:g}.")
    texts = [[_cell_text(value, decimals) for value in row] for row in values]
    longest = max(len(text) for row in texts for text in row)
    names = max(len(str(name)) for name in table.index)
    # Room for names of 11 points and, with a little air, numbers of 10 points.
    width = 0.3 + 0.085 * names + (0.06 + 0.08 * longest) * table.shape[1]
    figure, ax = plt.subplots(figsize=(max(width, 3.4), 1.3 + 0.34 * table.shape[0]))
    image = ax.imshow(values, vmin=low, vmax=high, cmap="cividis", aspect="auto")
    for row, column in np.ndindex(values.shape):
        dark = values[row, column] < (low + high) / 2
        colour = "white" if dark else "black"
        ax.text(column, row, texts[row][column], ha="center", va="center", fontsize=10, color=colour)
    ax.set_xticks(range(table.shape[1]), table.columns)
    ax.set_yticks(range(table.shape[0]), table.index)
    ax.set_xlabel(table.columns.name or "")
    ax.set_ylabel(table.index.name or "")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    # Beside the table the scale would take the width that a phone needs for the numbers.
    figure.colorbar(image, label=label, location="bottom", aspect=40, fraction=0.06)
    return ax


def _cell_text(value: float, decimals: int) -> str:
    """Return a number without the 0 before its point, and nothing for NaN."""
    return "" if np.isnan(value) else re.sub(r"^(-?)0\.", r"\1.", f"{value:.{decimals}f}")


def draw_calibration(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw promised and achieved false-alarm rates, and return the axes.

    Args:
        table: one row for each threshold, with the columns "case" (text below the points), "promised",
            "achieved", "low" and "high" (the band in which the achieved rate should lie), all as fractions.
            The bands of one case stand side by side, the lowest promise on the left.
        ax: where to draw; a new figure unless given.

    Raises:
        ValueError: a column is missing, or there is no row.
    """
    missing = {"case", "promised", "achieved", "low", "high"} - set(table.columns)
    if missing or table.empty:
        raise ValueError(
            f"table has no column {', '.join(sorted(missing))}." if missing else "table has no row."
        )
    ax = ax or plt.subplots(figsize=(5.4, 3.8))[1]
    cases = list(dict.fromkeys(table["case"]))
    promises = table.groupby("promised")
    # Each case has a width of 1, of which the bands take four fifths.
    step = 0.8 / len(promises)
    for number, (promised, rows) in enumerate(promises):
        colour = list(COLOURS.values())[number % len(COLOURS)]
        marker = _MARKERS[number % len(_MARKERS)]
        shift = step * (number - (len(promises) - 1) / 2)
        places = np.array([cases.index(case) + shift for case in rows["case"]])
        low, high = 100 * rows["low"], 100 * rows["high"]
        ax.bar(places, high - low, 0.85 * step, bottom=low, color=colour, alpha=0.3)
        ax.plot(places, 100 * rows["achieved"], marker, color=colour, label=f"{100 * promised:g} %")
        ax.axhline(100 * promised, color=colour, linestyle=":", linewidth=1)
    ax.set_xticks(range(len(cases)), cases)
    ax.set_ylabel("false alarms on test normals (%)")
    ax.set_ylim(bottom=0)
    # Above the axes, where it covers no band.
    place = {"loc": "lower center", "bbox_to_anchor": (0.5, 1), "ncol": 4}
    ax.legend(title="promised", handletextpad=0.1, columnspacing=1, **place)
    return ax
