"""The look of the book's figures: colours, letters, and how a notebook shows them.

The colours are those of Okabe and Ito (2008), which people with the common forms of colour blindness can tell
apart; what matters is never shown by colour alone. Nothing here draws data.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from IPython import get_ipython
from IPython.core.pylabtools import print_figure, retina_figure
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.typing import ColorType

from dae_utils.show.phrases import current_table, installed_fonts, translate_figure

__all__ = ["COLOURS", "MARKERS", "font_size", "label_lines", "set_defaults", "text_colour", "use_book_style"]

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
MARKERS = "osD^vP"

# A phone shows a figure about 350 pixels wide, whatever its width in inches; letters need 9 of those pixels.
_PHONE_WIDTH, _LEAST_LETTERS = 350, 9


def font_size(width: float) -> float:
    """Return the size in points of letters that are legible on a phone in a figure `width` inches wide."""
    return max(10.0, _LEAST_LETTERS * 72 * width / _PHONE_WIDTH)


def set_defaults() -> None:
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


def use_book_style() -> None:
    """Give figures the look of this book, sharp on every screen, with their words in the reader's language.

    In a notebook, plots are shown as SVG and figures with images as PNG at twice the resolution: inside an
    SVG, images would be blurred by some programs, and thousands of dots would make it slow. Words are
    translated by the table of the language that ``DAE_LANGUAGE`` names, see `dae_utils.show.phrases`.

    Raises:
        ValueError: there is no table of that language, or none of its fonts is installed.
    """
    set_defaults()
    plt.rcParams["svg.hashsalt"] = "deep autoencoders"  # a second run gives the same names inside a file
    table = current_table()
    if table is not None and table.fonts:
        plt.rcParams["font.family"] = ["DejaVu Sans", *installed_fonts(table)]
    shell: Any = get_ipython()
    if shell is None:
        return
    # It sets its own formats when it is loaded first, which would replace these.
    import matplotlib_inline.backend_inline  # noqa: F401

    formatters = shell.display_formatter.formatters
    formatters["image/svg+xml"].for_type(Figure, _as_svg)
    formatters["image/png"].for_type(Figure, _as_png)


def _has_images(figure: Figure) -> bool:
    """Say whether a figure shows images, or so many dots that a drawing of them would be slow."""
    for axes in figure.axes:
        dots = sum(np.shape(c.get_offsets())[0] for c in axes.collections if isinstance(c, PathCollection))
        if axes.images or dots > 2000 or any(isinstance(c, QuadMesh) for c in axes.collections):
            return True
    return False


def _as_svg(figure: Figure) -> str | None:
    if _has_images(figure):
        return None
    translate_figure(figure)
    # Without the date, a second run gives the same file.
    drawing: str | None = print_figure(figure, "svg", metadata={"Date": None})  # type: ignore[no-untyped-call]
    return drawing


def _as_png(figure: Figure) -> Any:
    if not _has_images(figure):
        return None
    translate_figure(figure)
    return retina_figure(figure, base64=True)  # type: ignore[no-untyped-call]


def text_colour(colour: ColorType) -> ColorType:
    """Return a colour dark enough for letters on white: a contrast of 4.5, as WCAG defines it, at least."""
    red, green, blue = to_rgb(colour)
    for _ in range(40):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
        if 1.05 / (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05) >= 4.5:
            break
        red, green, blue = 0.95 * red, 0.95 * green, 0.95 * blue
    return red, green, blue


def label_lines(ax: Axes, room: float = 0.3) -> None:
    """Write the label of each line at its right end, in its colour, instead of a legend.

    Args:
        ax: axes with at most four lines that have labels; lines without one are left alone.
        room: how much of the width of the axes is added on the right, as a fraction, for the labels.

    Raises:
        ValueError: more than four lines, which nobody can follow.
    """
    lines = [line for line in ax.get_lines() if not str(line.get_label()).startswith("_")]
    if len(lines) > 4:
        raise ValueError(
            f"{len(lines)} lines are too many for one panel: draw at most four, or use a legend."
        )
    low, high = ax.get_xlim()
    ax.set_xlim(low, high + room * (high - low))
    # From the lowest end to the highest, each at least a line of letters above the one below.
    ends = []
    for line in lines:
        x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
        across = line.get_transform() == ax.get_yaxis_transform(which="grid")  # drawn by axhline
        if across:
            line.set_xdata([0, 1 / (1 + room)])
        ends.append((high if across else float(x[-1]), float(y[-1]), line))
    figure = ax.get_figure(root=True)
    assert figure is not None  # these are axes of a figure
    width, height = figure.get_size_inches()
    least, place = 1.25 * font_size(width) / 72 / (0.75 * height), -np.inf
    for end, value, line in sorted(ends, key=lambda end: end[1]):
        wanted = float(ax.transAxes.inverted().transform(ax.transData.transform((end, value)))[1])
        place = max(wanted, float(place) + least)
        ax.annotate(
            str(line.get_label()),
            xy=(end, place),
            xycoords=("data", "axes fraction"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=text_colour(line.get_color()),
            annotation_clip=False,
        )
