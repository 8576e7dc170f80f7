"""The old path of `dae_utils.show.figures`, for notebooks that are not rewritten yet, with their legends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from dae_utils.show import figures, style
from dae_utils.show.figures import (
    COLOURS,
    draw_calibration,
    draw_comparison,
    draw_heat_map,
    draw_images,
)

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


def use_book_style() -> None:
    """Set Matplotlib's defaults, without the newer formats and languages."""
    style.set_defaults()


def draw_losses(
    losses: Mapping[str, Sequence[float]],
    ylabel: str,
    floor: float | None = None,
    floor_label: str = "a perfect copy",
    ax: Axes | None = None,
) -> Axes:
    """Draw losses with a legend, see `dae_utils.show.figures.draw_losses`."""
    return figures.draw_losses(losses, ylabel, floor, floor_label, ax, direct_labels=False)


def draw_scores(
    scores: Mapping[str, ArrayLike],
    threshold: float | None = None,
    xlabel: str = "anomaly score",
    log: bool = False,
    bins: int = 60,
    ax: Axes | None = None,
) -> Axes:
    """Draw scores with a legend, see `dae_utils.show.figures.draw_scores`."""
    return figures.draw_scores(scores, threshold, xlabel, log, bins, ax, direct_labels=False)
