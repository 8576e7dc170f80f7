"""Figures that several chapters draw.

Each function draws into the axes it is given, or makes a figure that is legible on a phone, and returns the
axes (or the figure where there are several axes). The colours are those of Okabe and Ito (2008), which people
with the common forms of colour blindness can tell apart; what matters is never shown by colour alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from dae_utils.evaluation import Interval
from dae_utils.validation import check_numbers, check_scores

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
            "figure.figsize": (6.4, 3.8),
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
        images: shape (n, height, width), or (rows, columns, height, width) for a grid with a meaning; values
            in [0, 1], with 0 drawn white and 1 black.
        titles: one for each image, or for a grid one for each column.
        row_labels: what stands left of each row; only for a grid.
        columns: images in a row when `images` is a plain list; 10 unless given.
        size: width of one image in inches.

    Raises:
        ValueError: images of another number of dimensions, or titles that do not match.
    """
    images = check_numbers(images, "images")
    is_grid = images.ndim == 4
    if images.ndim == 3:
        columns = min(columns or 10, len(images))
        rows = -(-len(images) // columns)
    elif is_grid:
        rows, columns = images.shape[:2]
        images = images.reshape(-1, *images.shape[2:])
    else:
        raise ValueError(
            f"images has shape {images.shape}; (n, height, width) is expected, "
            "or (rows, columns, height, width) for a grid."
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

    height = size * images.shape[1] / images.shape[2] + (0.28 if titles is not None and not is_grid else 0)
    margin = 0.09 * max(map(len, row_labels)) if row_labels is not None else 0
    figure, axes = plt.subplots(
        rows, columns, figsize=(size * columns + margin, height * rows + 0.3), squeeze=False
    )
    for number, axis in enumerate(axes.flat):
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set_visible(False)
        if number >= len(images):
            continue
        axis.imshow(images[number], vmin=0, vmax=1, cmap="gray_r", interpolation="nearest")
        if titles is not None and number < n_titles:
            axis.set_title(titles[number], fontsize=10, pad=3)
    for label, axis in zip(row_labels or (), axes[:, 0], strict=False):
        axis.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=10)
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
    """
    ax = ax or plt.subplots()[1]
    for number, (name, values) in enumerate(losses.items()):
        epochs = np.arange(1, len(values) + 1)
        ax.plot(epochs, values, marker=_MARKERS[number % len(_MARKERS)], markersize=5, label=name)
    if floor is not None:
        ax.axhline(floor, color=COLOURS["grey"], linestyle="--", label=floor_label)
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
        ValueError: no group, NaN, empty, or scores of 0 or less on a logarithmic axis.
    """
    groups = {name: check_scores(values, name) for name, values in scores.items()}
    if not groups:
        raise ValueError("scores has no group to draw.")
    low = min(values.min() for values in groups.values())
    high = max(values.max() for values in groups.values())
    if log and low <= 0:
        raise ValueError(f"a logarithmic axis needs scores above 0, the lowest is {low:g}.")
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
        references: name to published value, drawn as labelled vertical lines.
        xlabel: what is compared.
        ax: where to draw; a new figure unless given.
    """
    rows = list(dict.fromkeys(method for group in results.values() for method in group))
    ax = ax or plt.subplots(figsize=(6.4, 1.2 + 0.36 * len(rows)))[1]
    for number, (group, methods) in enumerate(results.items()):
        intervals = list(methods.values())
        values = np.array([interval.value for interval in intervals])
        errors = np.array([[i.value - i.low, i.high - i.value] for i in intervals]).T
        heights = np.array([rows.index(method) for method in methods])
        marker = _MARKERS[number % len(_MARKERS)]
        ax.errorbar(values, heights, xerr=errors, fmt=marker, capsize=3, markersize=7, label=group)
    for number, (name, value) in enumerate((references or {}).items()):
        ax.axvline(value, color=COLOURS["grey"], linestyle=["--", ":", "-."][number % 3], linewidth=1.2)
        ax.annotate(
            name,
            (value, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3 + 12 * (number % 2)),
            textcoords="offset points",
            ha="center",
            fontsize=9,
            color=COLOURS["grey"],
        )
    ax.set_yticks(range(len(rows)), rows)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlabel(xlabel)
    ax.grid(axis="x", alpha=0.3)
    if len(results) > 1:
        ax.legend(loc="best")
    return ax


def draw_heat_map(table: pd.DataFrame, low: float, high: float, label: str, decimals: int = 3) -> Axes:
    """Draw a table of numbers as coloured, labelled cells and return the axes.

    Args:
        table: rows and columns with names that can be shown.
        low, high: the values drawn with the lightest and the darkest colour.
        label: what the numbers are, beside the scale of colours.
        decimals: digits shown behind the point.
    """
    values = table.to_numpy(float)
    figure, ax = plt.subplots(figsize=(2.2 + 0.62 * table.shape[1], 1.2 + 0.42 * table.shape[0]))
    image = ax.imshow(values, vmin=low, vmax=high, cmap="cividis", aspect="auto")
    for row, column in np.ndindex(values.shape):
        dark = values[row, column] < (low + high) / 2
        text = f"{values[row, column]:.{decimals}f}".replace("0.", ".", 1)
        ax.text(column, row, text, ha="center", va="center", fontsize=9, color="white" if dark else "black")
    ax.set_xticks(range(table.shape[1]), table.columns)
    ax.set_yticks(range(table.shape[0]), table.index)
    ax.set_xlabel(table.columns.name or "")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    figure.colorbar(image, label=label, pad=0.02)
    return ax


def draw_calibration(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw promised and achieved false-alarm rates, and return the axes.

    Args:
        table: one row for each threshold, with the columns "case" (text below the points), "promised",
            "achieved", "low" and "high" (the band in which the achieved rate should lie), all as fractions.
        ax: where to draw; a new figure unless given.
    """
    ax = ax or plt.subplots(figsize=(6.4, 4))[1]
    cases = list(dict.fromkeys(table["case"]))
    for (promised, rows), colour, marker in zip(
        table.groupby("promised"), list(COLOURS.values()) * len(table), _MARKERS * len(table), strict=False
    ):
        places = np.array([cases.index(case) for case in rows["case"]])
        ax.vlines(places, 100 * rows["low"], 100 * rows["high"], color=colour, alpha=0.3, linewidth=9)
        ax.plot(places, 100 * rows["achieved"], marker, color=colour, label=f"promised {promised:.0%}")
        ax.axhline(100 * promised, color=colour, linestyle=":", linewidth=1)
    ax.set_xticks(range(len(cases)), cases)
    ax.set_ylabel("false alarms on test normals (%)")
    ax.set_ylim(bottom=0)
    ax.legend(loc="upper center", ncol=3, bbox_to_anchor=(0.5, 1.14))
    return ax
