"""Figures that compare methods: results with their intervals, and tables as coloured cells."""

from __future__ import annotations

import re
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dae_utils.evaluation import Interval
from dae_utils.show.style import COLOURS, MARKERS

__all__ = ["draw_comparison", "draw_heat_map"]


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
        marker = MARKERS[number % len(MARKERS)]
        ax.errorbar(values, heights, xerr=errors, fmt=marker, capsize=3, markersize=6, label=group)
    for number, (name, value) in enumerate(levels):
        _draw_reference(ax, number, name, value)
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


def _draw_reference(ax: Axes, number: int, name: str, value: float) -> None:
    """Draw a published value as a line up to its name, `number` lines of letters above the axes."""
    colour, style, width = COLOURS["grey"], ["--", ":", "-."][number % 3], 1.2
    ax.axvline(value, color=colour, linestyle=style, linewidth=width)
    top = 3 + 13 * number
    for text, offset in (("", (0, top + 10)), (name, (-4, top))):
        line = {"arrowstyle": "-", "shrinkA": 0, "shrinkB": 0, "linestyle": style, "linewidth": width}
        ax.annotate(
            text,
            xy=(value, 1),
            xycoords=("data", "axes fraction"),
            xytext=offset,
            textcoords="offset points",
            ha="right" if text else "center",
            fontsize=10,
            color=colour,
            arrowprops=None if text else {**line, "color": colour},
        )


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
