"""Where the layers of a network stand in a diagram, and the drawing: across a page, or down a phone.

Sizes are to scale: the length of a bar is the number of values, the sides of a block of feature maps are
their height and width, its depth the number of channels. Nothing here reads a model.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from xml.etree.ElementTree import Element, SubElement

from dae_utils.show import svg
from dae_utils.show.architecture import Block
from dae_utils.show.layer_words import TIMES
from dae_utils.show.phrases import translate

__all__ = ["caption_lines", "draw_across", "draw_down", "shape_words"]

PHONE_WIDTH = 350.0
_LETTERS, _SHAPE_LETTERS, _LINE = 12.0, 13.0, 15.0
_BAR = 14.0


@dataclass
class _Cell:
    """A block, the size of its shape on the page, and its place; a slab has its front `slant` below."""

    block: Block
    along: float
    across: float
    slant: float
    lines: list[str] = field(default_factory=list)
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    height: float = 0.0
    first_line: float = 0.0


def shape_words(block: Block) -> str:
    """Return the shape of one sample, such as 28 by 28 by 32; of every output of a layer that has several."""
    shapes = dict.fromkeys(
        TIMES.join("?" if n is None else str(n) for n in shape) or "1" for shape in block.shapes
    )
    return ", ".join(shapes)


def caption_lines(block: Block) -> list[str]:
    """Return what a layer does, and its activation, in the reader's language."""
    operation = translate(block.operation) + (f" ({block.repeats}{TIMES})" if block.repeats > 1 else "")
    return [operation, *map(translate, block.details)]


def _ranks(blocks: list[Block]) -> list[list[Block]]:
    """Return the blocks by their distance from the input; an input stands right before the layer it feeds.

    An input that feeds layers at several distances, such as the class of a conditional network, is drawn
    before each of them.
    """
    inputs = {block.key for block in blocks if block.is_input}
    rank: dict[str, int] = {}
    for block in blocks:
        inner = {key for key in block.inputs if key not in inputs}
        # An input that joins inside the network gets a place of its own, behind what it joins.
        joined = bool(inner) and len(inputs) > 1 and len(inner) < len(block.inputs)
        rank[block.key] = 1 + joined + max((rank[key] for key in inner or block.inputs), default=-1)
    columns: list[list[Block]] = [[] for _ in range(1 + max(rank.values()))]
    for block in blocks:
        takers = sorted({rank[other.key] for other in blocks if block.key in other.inputs})
        again = block.is_input and takers and len(inputs) > 1
        for place in [taker - 1 for taker in takers] if again else [rank[block.key]]:
            columns[place].append(block)
    return columns


def _is_side(cells: list[_Cell], number: int) -> bool:
    """Say whether a place holds only inputs that join inside the network: they stand beside the way."""
    return number > 0 and all(cell.block.is_input for cell in cells)


def _cells(columns: list[list[Block]], longest_bar: float, longest_side: float) -> list[list[_Cell]]:
    blocks = [block for column in columns for block in column]
    most_values = max((b.size for b in blocks if len(b.shape) < 2), default=1)
    maps = [b.shape for b in blocks if len(b.shape) >= 2]
    most_side = max((max(n or 1 for n in shape[:-1]) for shape in maps), default=1)
    most_channels = max((shape[-1] or 1 for shape in maps), default=1)

    def cell(block: Block) -> _Cell:
        if block.is_box:
            return _Cell(block, 34.0, 52.0, 0.0)
        if len(block.shape) < 2:
            return _Cell(block, _BAR, max(4.0, longest_bar * block.size / most_values), 0.0)
        side = max(5.0, longest_side * (block.shape[0] or 1) / most_side)
        depth = max(3.0, min(34.0 / most_channels, 1.5) * (block.shape[-1] or 1))
        slant = 0.32 * longest_side * (block.shape[1] or 1) / most_side if len(block.shape) == 3 else 0.0
        return _Cell(block, depth, side, slant)

    return [[cell(block) for block in column] for column in columns]


def _words(cell: _Cell, column: list[Block], several_inputs: bool, width: float) -> list[str]:
    """Return the lines below or beside a shape; the first is the shape's own."""
    block = cell.block
    named = len(column) > 1 or (block.is_input and several_inputs)
    lines = [translate(block.name.replace("_", " "))] if named and not block.is_box else []
    words = [] if block.is_input and named else caption_lines(block)
    return [
        shape_words(block),
        *lines,
        *(line for text in words for line in svg.wrapped(text, width, _LETTERS)),
    ]


def _lines_width(lines: list[str]) -> float:
    return max(
        svg.text_width(line, _LETTERS if number else 1.16 * _SHAPE_LETTERS)
        for number, line in enumerate(lines)
    )


def _draw_shape(parent: Element, cell: _Cell) -> None:
    shapes = svg.group(parent, cell.block.part)
    tip = [cell.block.name, shape_words(cell.block), *caption_lines(cell.block)]
    if cell.block.n_weights:
        tip.append(translate(f"{cell.block.n_weights:,} weights"))
    SubElement(shapes, "title").text = ", ".join(tip)
    place = (cell.x, cell.y, cell.width - cell.slant, cell.height - cell.slant)
    if cell.block.is_box:
        svg.add_box(shapes, *place)
    elif len(cell.block.shape) < 2 or not cell.slant:
        noisy = cell.block.operation.startswith(("noise", "dropout"))
        svg.add_bar(shapes, *place, dashed=noisy)
    else:
        svg.add_slab(shapes, *place, cell.slant)


def _canvas(width: float, height: float, kind: str) -> Element:
    return Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {svg.number(width)} {svg.number(height)}",
            "width": svg.number(width),
            "height": svg.number(height),
            "class": f"net-{kind}",
            "role": "img",
            "font-family": "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif",
        },
    )


def _add_title(canvas: Element, title: str | None, width: float) -> float:
    """Add the lines of a title and return where they end."""
    lines = svg.wrapped(title or "", width - 12, 15)
    for number, line in enumerate(lines):
        svg.add_text(canvas, 6, 17 + 19 * number, line, 14, "start", "bold")
    return 19.0 * len(lines) + (6 if lines else 0)


def _regions(rows: list[list[_Cell]]) -> list[tuple[str, int, int]]:
    """Return (part, first, last) for encoder and decoder: the code belongs to the encoder, which makes it."""
    found = []
    for part, members in (("encoder", ("encoder", "code")), ("decoder", ("decoder",))):
        places = [n for n, row in enumerate(rows) if any(cell.block.part in members for cell in row)]
        if places:
            first = places[0] - _is_side(rows[places[0] - 1], places[0] - 1)
            found.append((part, first, places[-1]))
    return found


def _add_region(canvas: Element, part: str, x: float, y: float, width: float, height: float) -> None:
    area = svg.group(canvas, part)
    rect = {"x": svg.number(x), "y": svg.number(y), "width": svg.number(width), "height": svg.number(height)}
    look = {"rx": "8", "fill": "currentColor", "fill-opacity": "0.06", "stroke": "currentColor"}
    dash = {"stroke-opacity": "0.45", **({"stroke-dasharray": "5 4"} if part == "decoder" else {})}
    SubElement(area, "rect", rect | look | dash)
    svg.add_text(area, x + 8, y + 16, translate(part), 13, "start", "part")


def _skips(rows: list[list[_Cell]]) -> list[tuple[int, _Cell, int, _Cell]]:
    """Return the connections that pass by one layer or more: (row, cell, row, cell)."""
    found = []
    for last, row in enumerate(rows):
        for cell in row:
            for first, earlier in enumerate(rows[: max(last - 1, 0)]):
                for source in earlier:
                    beside = last - first == 2 and _is_side(rows[first + 1], first + 1)
                    again = any(source.block.key == other.block.key for other in rows[last - 1])
                    if source.block.key in cell.block.inputs and not beside and not again:
                        found.append((first, source, last, cell))
    return found


def draw_across(blocks: list[Block], title: str | None = None) -> Element:
    """Draw a network from left to right and return the SVG."""
    columns = _ranks(blocks)
    rows = _cells(columns, 150.0, 88.0)
    several = sum(block.is_input for block in blocks) > 1
    widths = []
    for column, cells in zip(columns, rows, strict=True):
        for cell in cells:
            cell.width, cell.height = cell.along + cell.slant, cell.across + cell.slant
            cell.lines = _words(cell, column, several, 76.0)
        widths.append(max(max(cell.width + 24, _lines_width(cell.lines) + 10, 50) for cell in cells))
    regions = _regions(rows)
    for part, first_column, last_column in regions:
        share = (svg.text_width(translate(part), 15) + 16) / (last_column + 1 - first_column)
        for number in range(first_column, last_column + 1):
            widths[number] = max(widths[number], share)
    total = sum(widths) + 8
    canvas = _canvas(total, 0, "across")
    skips = _skips(rows)
    top = _add_title(canvas, title, total)
    inside = top + (24 if regions else 4)
    tallest = max(
        sum(cell.height + _LINE * len(cell.lines) + 20 for cell in cells) - 20
        if len(cells) > 1
        else cells[0].height
        for cells in rows
    )
    has_code = any(block.part == "code" for block in blocks)
    middle = inside + 10 * len(skips) + (18 if has_code else 4) + tallest / 2
    single = max((cells[0].height for cells in rows if len(cells) == 1), default=0.0)
    under, bottom, left = middle + single / 2 + 16, 0.0, 4.0
    for number, (cells, width) in enumerate(zip(rows, widths, strict=True)):
        apart = len(cells) > 1 or _is_side(cells, number)
        y = middle - (sum(c.height + _LINE * len(c.lines) + 20 for c in cells) - 20) / 2
        y = max(y, middle + 24) if _is_side(cells, number) else y
        for cell in cells:
            cell.x = left + (width - cell.width) / 2
            cell.y = y if apart else middle - cell.height / 2
            y += cell.height + _LINE * len(cell.lines) + 20
            first = cell.first_line = cell.y + cell.height + 16 if apart else under
            bottom = max(bottom, first + _LINE * (len(cell.lines) - 1) + 8)
        left += width
    starts = [4 + sum(widths[:n]) for n in range(len(widths) + 1)]
    for part, first_column, last_column in regions:
        x = starts[first_column] + 1
        _add_region(canvas, part, x, top + 2, starts[last_column + 1] - x - 1, bottom - top - 2)
    _add_links_across(canvas, rows)
    for lane, (_, source, _, target) in enumerate(skips):
        height = inside + 6 + 10 * lane
        begin, end = source.x + source.width / 2, target.x + target.width / 2
        svg.add_arrow(canvas, [(begin, source.y - 2), (begin, height), (end, height), (end, target.y - 1)])
    for cells in rows:
        for cell in cells:
            _draw_shape(canvas, cell)
            centre = cell.x + cell.width / 2
            if cell.block.part == "code":
                tag = svg.group(canvas, "code")
                svg.add_text(tag, centre, cell.y - 6, translate("code"), 12, "middle", "part")
            for number, line in enumerate(cell.lines):
                look, size = ("quiet", _LETTERS) if number else ("bold", _SHAPE_LETTERS)
                svg.add_text(canvas, centre, cell.first_line + _LINE * number, line, size, "middle", look)
    return _sized(canvas, total, bottom + 4)


def _links(rows: list[list[_Cell]]) -> list[tuple[list[_Cell], _Cell, _Cell]]:
    """Return the connections from one place to the next, past a side input: (its place, from, to)."""
    found = []
    for number, row in enumerate(rows):
        for back in (1, 2):
            if number < back or (back == 2 and not _is_side(rows[number - 1], number - 1)):
                continue
            earlier = rows[number - back]
            found += [(earlier, s, t) for t in row for s in earlier if s.block.key in t.block.inputs]
    return found


def _fan_colour(target: _Cell) -> str:
    return "encoder" if target.block.part == "code" else target.block.part


def _add_links_across(canvas: Element, rows: list[list[_Cell]]) -> None:
    for _, source, target in _links(rows):
        ends = (source.x + source.width, target.x)
        if _fans(source, target):
            corners = [
                (ends[0], source.y),
                (ends[1], target.y),
                (ends[1], target.y + target.height),
                (ends[0], source.y + source.height),
            ]
            svg.add_fan(svg.group(canvas, _fan_colour(target)), corners)
        else:
            heights = [cell.y + cell.height / 2 for cell in (source, target)]
            _add_step(canvas, (ends[0] + 3, heights[0]), (ends[1] - 2, heights[1]), across=True)


def _add_step(canvas: Element, start: tuple[float, float], end: tuple[float, float], *, across: bool) -> None:
    """Add an arrow that leaves and arrives along the flow."""
    if across:
        start = (start[0], end[1]) if abs(start[1] - end[1]) < 8 else start
        bend = (start[0] + end[0]) / 2
        corners = [(bend, start[1]), (bend, end[1])] if start[1] != end[1] else []
    else:
        start = (end[0], start[1]) if abs(start[0] - end[0]) < 8 else start
        bend = (start[1] + end[1]) / 2
        corners = [(start[0], bend), (end[0], bend)] if start[0] != end[0] else []
    svg.add_arrow(canvas, [start, *corners, end])


def _fans(source: _Cell, target: _Cell) -> bool:
    """Say whether two neighbours are dense layers, each of which takes all the values before it."""
    bars = all(len(cell.block.shape) < 2 and not cell.block.is_box for cell in (source, target))
    return bars and target.block.operation == "dense"


def draw_down(blocks: list[Block], title: str | None = None) -> Element:
    """Draw a network from top to bottom, as wide as a phone, and return the SVG."""
    columns = _ranks(blocks)
    rows = _cells(columns, 132.0, 84.0)
    several = sum(block.is_input for block in blocks) > 1
    canvas = _canvas(PHONE_WIDTH, 0, "down")
    skips = _skips(rows)
    centre, beside = 84.0 + 5 * bool(skips), 180.0
    regions = _regions(rows)
    y = _add_title(canvas, title, PHONE_WIDTH) + 4
    tops: list[float] = []
    bottoms: list[float] = []
    for number, (column, cells) in enumerate(zip(columns, rows, strict=True)):
        starts_region = any(first == number for _, first, _ in regions)
        if number:
            y += 12 if not starts_region else 10
        tops.append(y)
        y += 24 if starts_region else 4
        bottom = y
        for place, cell in enumerate(cells):
            cell.width, cell.height = cell.across + cell.slant, cell.along + cell.slant
            alone = len(cells) == 1
            share = PHONE_WIDTH / len(cells)
            width = PHONE_WIDTH - beside - 6 if alone else share - 10
            texts = _words(cell, column, several, width)
            cell.lines = [
                texts[0],
                *svg.wrapped(", ".join(_sentence(cell.block, column, several)), width, _LETTERS),
            ]
            text_height = _LINE * len(cell.lines) + 2
            height = max(cell.height, text_height) if alone else cell.height + text_height
            middle = centre + 56 * _is_side(cells, number) if alone else share * (place + 0.5)
            cell.x = middle - cell.width / 2
            cell.y = y + (height - cell.height) / 2 if alone else y
            bottom = max(bottom, y + height)
        y = bottom
        bottoms.append(y)
    for part, first, last in regions:
        _add_region(canvas, part, 2, tops[first], PHONE_WIDTH - 4, bottoms[last] + 5 - tops[first])
    _add_links_down(canvas, rows)
    for lane, (_, source, _, target) in enumerate(skips):
        x = 10 + 6 * (lane % 3)
        heights = [c.y + c.height / 2 for c in (source, target)]
        svg.add_arrow(
            canvas, [(source.x - 2, heights[0]), (x, heights[0]), (x, heights[1]), (target.x - 1, heights[1])]
        )
    for cells in rows:
        for cell in cells:
            _draw_shape(canvas, cell)
            _add_words_down(canvas, cell, beside if len(cells) == 1 else None)
    return _sized(canvas, PHONE_WIDTH, y + 8)


def _sentence(block: Block, column: list[Block], several_inputs: bool) -> list[str]:
    cell = _Cell(replace(block, shapes=((1,),)), 0, 0, 0)
    named = _words(cell, column, several_inputs, 1000.0)
    return named[1:]


def _add_words_down(canvas: Element, cell: _Cell, beside: float | None) -> None:
    """Add the words of a layer: right of its shape, or below it where several stand in a row."""
    if beside is None:
        x, y, anchor = cell.x + cell.width / 2, cell.y + cell.height + 14, "middle"
    else:
        x, anchor = beside, "start"
        y = cell.y + cell.height / 2 - _LINE * (len(cell.lines) - 1) / 2 + 4.5
    for number, line in enumerate(cell.lines):
        look, size = ("quiet", _LETTERS) if number else ("bold", _SHAPE_LETTERS)
        svg.add_text(canvas, x, y + _LINE * number, line, size, anchor, look)
    if cell.block.part == "code":
        shift = svg.text_width(cell.lines[0], 1.16 * _SHAPE_LETTERS) * (1 if beside is not None else 0.5) + 8
        tag = svg.group(canvas, "code")
        svg.add_text(tag, x + shift, y, translate("code"), 12, "start", "part")


def _add_links_down(canvas: Element, rows: list[list[_Cell]]) -> None:
    for earlier, source, target in _links(rows):
        words = 0.0 if len(earlier) == 1 else _LINE * len(source.lines) + 4
        ends = (source.y + source.height + words, target.y)
        if _fans(source, target) and not words:
            corners = [
                (source.x, ends[0]),
                (target.x, ends[1]),
                (target.x + target.width, ends[1]),
                (source.x + source.width, ends[0]),
            ]
            svg.add_fan(svg.group(canvas, _fan_colour(target)), corners)
        else:
            places = [cell.x + cell.width / 2 for cell in (source, target)]
            _add_step(canvas, (places[0], ends[0] + 2), (places[1], ends[1] - 1), across=False)


def _sized(canvas: Element, width: float, height: float) -> Element:
    canvas.set("viewBox", f"0 0 {svg.number(width)} {svg.number(height)}")
    canvas.set("height", svg.number(height))
    return canvas
