"""Figures of losses by epoch, and of scores: histograms, ROC curves, and the promises of thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullFormatter
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_auc_score, roc_curve

from dae_utils.show.style import COLOURS, MARKERS, label_lines, text_colour
from dae_utils.validation import check_count, check_flags, check_scores

__all__ = ["draw_calibration", "draw_losses", "draw_roc", "draw_scores"]


def draw_losses(
    losses: Mapping[str, Sequence[float]],
    ylabel: str,
    floor: float | None = None,
    floor_label: str = "a perfect copy",
    ax: Axes | None = None,
    direct_labels: bool = True,
) -> Axes:
    """Draw losses by epoch, one line for each entry, such as training and held-out, and return the axes.

    Args:
        losses: name of the line to one value for each epoch, the first epoch first.
        ylabel: what the loss is and its unit.
        floor: the lowest value that can be reached, drawn as a dashed line.
        floor_label: what that line is.
        ax: where to draw; a new figure unless given.
        direct_labels: up to four lines have their names at their ends; more, or without it, a legend.

    Raises:
        ValueError: no line.
    """
    if not losses:
        raise ValueError("losses has no line to draw.")
    ax = ax or plt.subplots()[1]
    for number, (name, values) in enumerate(losses.items()):
        epochs = np.arange(1, len(values) + 1)
        ax.plot(epochs, values, marker=MARKERS[number % len(MARKERS)], markersize=5, label=name)
    if floor is not None:
        ax.axhline(floor, color=COLOURS["grey"], linestyle="--", label=floor_label)
        ax.autoscale_view(scalex=False)  # keeps it clear of the axis
    ax.set_xlabel("epoch")
    ax.set_ylabel(ylabel)
    ax.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 2.5, 5, 10], integer=True))
    if direct_labels and len(losses) + (floor is not None) <= 4:
        label_lines(ax)
        most = max(map(len, losses.values()))
        ax.set_xticks([tick for tick in ax.get_xticks() if 1 <= tick <= most] if most > 1 else [1])
    else:
        ax.legend()
    return ax


def draw_scores(
    scores: Mapping[str, ArrayLike],
    threshold: float | None = None,
    xlabel: str = "anomaly score",
    log: bool = False,
    bins: int = 60,
    ax: Axes | None = None,
    direct_labels: bool = True,
) -> Axes:
    """Draw how often each score occurs, one outline for each group, and return the axes.

    Args:
        scores: name of the group to its scores, shape (n,). Every outline encloses the same area.
        threshold: drawn as a vertical line.
        xlabel: what the score is and its unit.
        log: a logarithmic axis, for scores above 0.
        bins: number of bins, shared by the groups.
        ax: where to draw; a new figure unless given.
        direct_labels: up to four outlines have their names at their peaks, with the share of their scores
            above the threshold; more, or without it, a legend.

    Raises:
        ValueError: no group, NaN, empty, no bin, or a score or threshold of 0 or less on a logarithmic axis.
    """
    check_count(bins, "bins")
    groups = {name: check_scores(values, name) for name, values in scores.items()}
    edges = _shared_edges(groups, threshold, log, bins)
    ax = ax or plt.subplots()[1]
    colours, styles = list(COLOURS.values()), ["-", "--", ":", "-."]
    for number, (name, values) in enumerate(groups.items()):
        colour = colours[number % len(colours)]
        shares = 100 * np.histogram(values, edges)[0] / len(values)
        style = styles[number % len(styles)]
        ax.stairs(shares, edges, linestyle=style, linewidth=1.8, label=name, color=colour)
        ax.stairs(shares, edges, fill=True, alpha=0.15, color=colour)
    if threshold is not None:
        ax.axvline(threshold, color="black", linewidth=1.2, label="threshold")
    if log:
        ax.set_xscale("log")
        _plain_ticks(ax, edges[0], edges[-1])
    ax.set_xlabel(xlabel)
    ax.set_ylabel("share of samples in a bin (%)")
    if direct_labels and len(groups) <= 4:
        _label_peaks(ax, groups, edges, threshold)
    else:
        ax.legend()
    return ax


def _plain_ticks(ax: Axes, low: float, high: float) -> None:
    """Write plain numbers along a logarithmic axis, few enough not to run into each other."""
    steps = (1.0, 2.0, 5.0) if high < 100 * low else (1.0,)
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    shown = [tick for tick in ticks if low <= tick <= high]
    ax.set_xticks(shown, [f"{tick:g}" for tick in shown])
    ax.xaxis.set_minor_formatter(NullFormatter())


def _shared_edges(
    groups: Mapping[str, NDArray[np.float64]], threshold: float | None, log: bool, bins: int
) -> NDArray[np.float64]:
    """Return the edges of the bins from the lowest to the highest score of all groups."""
    if not groups:
        raise ValueError("scores has no group to draw.")
    low = float(min(values.min() for values in groups.values()))
    high = float(max(values.max() for values in groups.values()))
    if log and low <= 0:
        raise ValueError(f"a logarithmic axis needs scores above 0, the lowest is {low:g}.")
    if log and threshold is not None and threshold <= 0:
        raise ValueError(f"a logarithmic axis needs a threshold above 0, not {threshold:g}.")
    if low == high:
        low, high = (low / 2, high * 2) if log else (low - 0.5, high + 0.5)
    return np.geomspace(low, high, bins + 1) if log else np.linspace(low, high, bins + 1)


# A line of letters, and the gap beside a threshold, as fractions of the axes of an ordinary figure.
_LINE_HEIGHT, _LETTER_WIDTH, _GAP = 0.075, 0.022, 0.03


def _label_peaks(
    ax: Axes, groups: Mapping[str, NDArray[np.float64]], edges: NDArray[np.float64], threshold: float | None
) -> None:
    """Write the name of each group above its peak, in its colour, clear of the others and the threshold."""
    outlines = [patch for patch in ax.patches if not patch.get_fill()][-len(groups) :]
    places = np.log(edges) if ax.get_xscale() == "log" else edges
    line = None
    if threshold is not None:
        line = (np.log(threshold) if ax.get_xscale() == "log" else threshold) - places[0]
        line = float(line / (places[-1] - places[0]))
    peaks = []
    for (name, values), outline in zip(groups.items(), outlines, strict=True):
        shares = np.histogram(values, edges)[0] / len(values)
        label = name if threshold is None else f"{name}\n{100 * np.mean(values > threshold):.3g} % above"
        peaks.append((100 * float(shares.max()), int(shares.argmax()), label, outline.get_edgecolor()))
    highest = max(height for height, *_ in peaks)
    placed: list[tuple[float, float, float, float]] = []
    for height, peak, label, _ in sorted(peaks, key=lambda peak: peak[0]):
        box = _label_box(label, (peak + 0.5) / (len(edges) - 1), 0.7 * height / highest + 0.02, line, placed)
        placed.append(box)
    # The highest peak reaches 0.7 of the axes, or less where the names need more.
    scale = 1 / max(1.0, max(over for *_, over in placed) + 0.01)
    ax.set_ylim(0, highest / (0.7 * scale))
    for (_, _, label, colour), (left, right, low, _) in zip(
        sorted(peaks, key=lambda p: p[0]), placed, strict=True
    ):
        centre, ink = (left + right) / 2, text_colour(colour)
        ax.text(centre, low * scale, label, transform=ax.transAxes, color=ink, ha="center", va="bottom")
    if threshold is not None:
        ax.annotate(
            "threshold",
            xy=(threshold, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            va="bottom",
        )


def _label_box(
    label: str, peak: float, low: float, line: float | None, placed: list[tuple[float, float, float, float]]
) -> tuple[float, float, float, float]:
    """Return where a label fits above a peak: left, right, low and high as fractions of the axes."""
    lines = label.split("\n")
    width, depth = _LETTER_WIDTH * max(map(len, lines)), _LINE_HEIGHT * len(lines)
    centre = min(max(peak, width / 2), 1 - width / 2)
    if line is not None and abs(centre - line) < width / 2 + _GAP:
        # Beside the threshold, on the side where its peak is if there is room.
        on_left = line >= peak and line > 0.8 * width
        centre = line + (-1 if on_left else 1) * (width / 2 + _GAP)
    left, right = centre - width / 2, centre + width / 2
    for other_left, other_right, other_low, other_high in sorted(placed, key=lambda box: box[2]):
        if other_left < right and left < other_right and low < other_high and low + depth > other_low:
            low = other_high + 0.01
    return left, right, low, low + depth


def draw_roc(
    is_anomaly: ArrayLike,
    scores: Mapping[str, ArrayLike],
    thresholds: Mapping[str, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the ROC curve of each method with its area, and where its threshold stands, and return the axes.

    The curve is that of `sklearn.metrics.roc_curve`: for every threshold, the share of anomalies found
    against the share of normal samples that are false alarms.

    Args:
        is_anomaly: shape (n,), True or 1 for an anomaly.
        scores: name of the method to its scores, shape (n,), higher for what is more anomalous; at most four.
        thresholds: name of the method to the threshold above which it gives an alarm, drawn as a dot.
        ax: where to draw; a new figure unless given.

    Raises:
        ValueError: no method or more than four, one kind of sample only, other lengths, NaN, or a threshold
            of a method that is not drawn.
    """
    if not 1 <= len(scores) <= 4:
        raise ValueError(f"scores has {len(scores)} methods: a panel shows one to four curves.")
    unknown = set(thresholds or ()) - set(scores)
    if unknown:
        raise ValueError(f"thresholds names {', '.join(sorted(unknown))}, which is not in scores.")
    values = {name: check_scores(given, name) for name, given in scores.items()}
    truth = check_flags(is_anomaly, "is_anomaly", len(next(iter(values.values()))), both=True)
    for name, given in values.items():
        if len(given) != len(truth):
            raise ValueError(f"{name} has {len(given)} scores for {len(truth)} samples.")
    ax = ax or plt.subplots(figsize=(4.6, 4.4))[1]
    ax.plot([0, 100], [0, 100], color=COLOURS["grey"], linewidth=1, linestyle=":", label="_chance")
    for number, (name, given) in enumerate(values.items()):
        false_alarms, found, _ = roc_curve(truth, given)
        label = f"{name}: AUROC {roc_auc_score(truth, given):.3f}"
        style = ["-", "--", "-.", ":"][number]
        (line,) = ax.plot(100 * false_alarms, 100 * found, linestyle=style, linewidth=1.8, label=label)
        if thresholds is not None and name in thresholds:
            alarm = given > thresholds[name]
            point = 100 * np.mean(alarm[~truth]), 100 * np.mean(alarm[truth])
            ax.plot(*point, MARKERS[number], color=line.get_color(), markersize=8, label="_operating point")
            right = point[0] < 60
            ax.annotate(
                f"{point[0]:.1f} % false alarms,\n{point[1]:.0f} % found",
                xy=point,
                # Away from the curves, which run close together here, with a line that leads to the point.
                xytext=(28 if right else -28, -26),
                arrowprops={"arrowstyle": "-", "color": line.get_color(), "linewidth": 0.8},
                textcoords="offset points",
                ha="left" if right else "right",
                va="top",
                color=text_colour(line.get_color()),
                fontsize="small",
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0},
            )
    ax.set(xlim=(-1, 101), ylim=(-1, 101), aspect="equal")
    ax.set_xlabel("false alarms among normal samples (%)")
    ax.set_ylabel("anomalies found (%)")
    # The lower right corner is empty: a curve there would be worse than chance.
    ax.legend(loc="lower right", handlelength=1.6, borderaxespad=0.2)
    return ax


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
        marker = MARKERS[number % len(MARKERS)]
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
    ax.legend(
        title="promised",
        handletextpad=0.1,
        columnspacing=1,
        loc="lower center",
        bbox_to_anchor=(0.5, 1),
        ncol=4,
    )
    return ax
