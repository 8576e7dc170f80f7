"""Shapes and words of a diagram as elements of SVG.

Written with the standard library's ElementTree, which escapes every text: a layer may have any name. Colours
are attributes, so that a drawing can stand alone in print; in a page, its classes take the page's colours.
"""

from __future__ import annotations

import re
import unicodedata
from xml.etree.ElementTree import Element, SubElement

__all__ = [
    "PRINT_COLOURS",
    "add_arrow",
    "add_bar",
    "add_box",
    "add_fan",
    "add_slab",
    "add_text",
    "group",
    "text_width",
    "wrapped",
]

# On white paper; the style sheet in `diagrams` has the same for pages, light and dark.
PRINT_COLOURS = {"encoder": "#0072B2", "code": "#00795A", "decoder": "#B34700", "": "#5F6368"}
_INK = "#222832"
_QUIET = "#48566B"


def number(value: float) -> str:
    """Return a coordinate with one decimal at most."""
    return f"{value:.1f}".removesuffix(".0")


def group(parent: Element, part: str) -> Element:
    """Return a new group of shapes in the colour of one part."""
    return SubElement(parent, "g", {"class": f"net-{part or 'plain'}", "color": PRINT_COLOURS[part]})


def add_text(
    parent: Element,
    x: float,
    y: float,
    words: str,
    size: float = 12,
    anchor: str = "middle",
    look: str = "ink",
) -> None:
    """Add one line of words. `look` is "ink", "bold", "quiet" or "part" (the colour of its group, bold)."""
    fill = {"ink": _INK, "bold": _INK, "quiet": _QUIET, "part": "currentColor"}[look]
    attributes = {
        "x": number(x),
        "y": number(y),
        "font-size": number(size),
        "text-anchor": anchor,
        "class": f"net-{look}",
        "fill": fill,
    }
    if look in ("bold", "part"):
        attributes["font-weight"] = "600"
    SubElement(parent, "text", attributes).text = words


def text_width(words: str, size: float = 12) -> float:
    """Return about how wide a line of words is drawn; East Asian letters are as wide as high."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in words)
    return size * (wide + 0.6 * (len(words) - wide))


def wrapped(words: str, width: float, size: float = 12) -> list[str]:
    """Return the lines of words that fit a width, broken at spaces, not before "2" or "= 0.3"."""
    lines: list[str] = []
    for word in re.split(r"\s+(?!=|[\d.,]+(?:\s|$))(?<!=\s)", words.strip()):
        if not word:
            continue
        if lines and text_width(f"{lines[-1]} {word}", size) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _polygon(parent: Element, points: list[tuple[float, float]], **attributes: str) -> None:
    path = " ".join(f"{number(x)},{number(y)}" for x, y in points)
    SubElement(parent, "polygon", {"points": path, **attributes})


_FACE = {"fill": "currentColor", "stroke": "currentColor", "stroke-width": "1.2", "stroke-linejoin": "round"}


def add_bar(
    parent: Element, x: float, y: float, width: float, height: float, *, dashed: bool = False
) -> None:
    """Add a layer of values in a row: a bar whose length is their number."""
    attributes = {"x": number(x), "y": number(y), "width": number(width), "height": number(height), "rx": "2"}
    look = {**_FACE, "fill-opacity": "0.45"}
    if dashed:
        look |= {"stroke-dasharray": "4 3", "fill-opacity": "0.15"}
    SubElement(parent, "rect", attributes | look)


def add_slab(parent: Element, x: float, y: float, width: float, height: float, slant: float) -> None:
    """Add feature maps: a block whose front stands at (x, y + slant), seen from above and the right."""
    front, right = y + slant, x + width
    _polygon(
        parent,
        [(x, front), (x + slant, y), (right + slant, y), (right, front)],
        **{**_FACE, "fill-opacity": "0.2"},
    )
    side = [(right, front), (right + slant, y), (right + slant, y + height), (right, front + height)]
    _polygon(parent, side, **{**_FACE, "fill-opacity": "0.6"})
    rect = {"x": number(x), "y": number(front), "width": number(width), "height": number(height)}
    SubElement(parent, "rect", {**rect, **_FACE, "fill-opacity": "0.4"})


def add_box(parent: Element, x: float, y: float, width: float, height: float) -> None:
    """Add a block of many layers: two frames, one in the other."""
    for inset in (0.0, 3.0):
        rect = {
            "x": number(x + inset),
            "y": number(y + inset),
            "width": number(width - 2 * inset),
            "height": number(height - 2 * inset),
            "rx": "5",
        }
        SubElement(parent, "rect", {**rect, **_FACE, "fill-opacity": "0.12"})


def add_fan(parent: Element, corners: list[tuple[float, float]]) -> None:
    """Add the connections between two dense layers: a light area from one bar to the other."""
    _polygon(parent, corners, fill="currentColor", **{"fill-opacity": "0.14"})


def add_arrow(parent: Element, points: list[tuple[float, float]]) -> None:
    """Add a line through points with a head at its end; its last piece runs along an axis."""
    (x0, y0), (x1, y1) = points[-2:]
    along = (1 if x1 > x0 else -1, 0) if abs(x1 - x0) >= abs(y1 - y0) else (0, 1 if y1 > y0 else -1)
    end = (x1 - 4 * along[0], y1 - 4 * along[1])
    path = "M" + " L".join(f"{number(x)} {number(y)}" for x, y in [*points[:-1], end])
    line = {"d": path, "fill": "none", "stroke": _QUIET, "stroke-width": "1.2", "class": "net-line"}
    SubElement(parent, "path", line)
    back = (x1 - 6 * along[0], y1 - 6 * along[1])
    across = (3.2 * along[1], 3.2 * along[0])
    head = [(x1, y1), (back[0] + across[0], back[1] + across[1]), (back[0] - across[0], back[1] - across[1])]
    _polygon(parent, head, fill=_QUIET, **{"class": "net-head"})
