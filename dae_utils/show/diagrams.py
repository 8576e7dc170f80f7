"""Diagrams of networks, drawn from the Keras model itself: layers to scale, shapes written on.

In a page the drawing is inline SVG that takes the page's colours, light or dark. It has two forms, of which a
narrow screen shows the one that runs down. Print gets one form in colours of its own, and a terminal words.
Nothing here computes with a model.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element, tostring

import keras

from dae_utils.networks.inner import check_model
from dae_utils.show.architecture import Block, read_architecture
from dae_utils.show.layout import PHONE_WIDTH, caption_lines, draw_across, draw_down, shape_words
from dae_utils.show.phrases import translate

__all__ = ["NetworkDiagram", "network_diagram"]

# The variables are those of the book's theme, then of JupyterLab. In the dark, the theme puts a light plate
# below outputs in HTML; the diagram needs none.
_STYLE = """
.network-diagram{container-type:inline-size;max-width:100%;
color:var(--pst-color-text-base,var(--jp-content-font-color1,inherit));
--net-encoder:#0072B2;--net-code:#00795A;--net-decoder:#B34700;--net-plain:#5F6368}
html[data-theme=dark] .network-diagram,body[data-jp-theme-light=false] .network-diagram{
--net-encoder:#56B4E9;--net-code:#3FCF9F;--net-decoder:#F2A154;--net-plain:#AEB6C2}
.network-diagram svg{display:block;height:auto;margin:0 auto;max-width:100%}
.network-diagram .net-encoder{color:var(--net-encoder)}
.network-diagram .net-code{color:var(--net-code)}
.network-diagram .net-decoder{color:var(--net-decoder)}
.network-diagram .net-plain{color:var(--net-plain)}
.network-diagram .net-ink,.network-diagram .net-bold{
fill:var(--pst-color-text-base,var(--jp-content-font-color1,currentColor))}
.network-diagram .net-quiet{fill:var(--pst-color-text-muted,var(--jp-content-font-color2,currentColor))}
.network-diagram .net-line{stroke:var(--pst-color-text-muted,var(--jp-content-font-color2,currentColor))}
.network-diagram .net-head{fill:var(--pst-color-text-muted,var(--jp-content-font-color2,currentColor))}
.bd-content div.cell_output .text_html:has(.network-diagram){background:none!important;padding:0!important}
@media print{html .network-diagram,html[data-theme=dark] .network-diagram{
--net-encoder:#0072B2;--net-code:#00795A;--net-decoder:#B34700;--net-plain:#5F6368}}
"""

# Letters of 12 units must not become smaller than 9 pixels; widths in steps, so that few rules are needed.
_LEAST_SCALE, _STEP = 0.75, 20


class NetworkDiagram:
    """A diagram that notebooks show; made by `network_diagram`.

    Attributes:
        blocks: what is drawn, see `dae_utils.show.architecture`.
        description: the alternative text, one sentence a part.
    """

    def __init__(self, blocks: list[Block], title: str | None, name: str) -> None:
        self.blocks = blocks
        self.title = title
        self.description = _describe(blocks, title or name)

    def _repr_html_(self) -> str:
        """Return the drawing for a page: inline, in both forms, of which a style rule shows one."""
        across, down = (draw(self.blocks, self.title) for draw in (draw_across, draw_down))
        width = float(across.attrib["width"])
        for drawing in (across, down):
            drawing.set("aria-label", self.description)
        drawings = [across]
        style = _STYLE
        if width * _LEAST_SCALE > PHONE_WIDTH - 20:
            least = -(-int(width * _LEAST_SCALE) // _STEP) * _STEP
            # Where a program knows no style rules, the one that is legible everywhere is shown.
            across.set("display", "none")
            across.set("class", f"net-across net-from-{least}")
            down.set("class", f"net-down net-below-{least}")
            drawings = [down, across]
            style += (
                f".network-diagram .net-from-{least}{{display:none}}"
                f"@container (min-width:{least}px){{.network-diagram .net-from-{least}{{display:block}}"
                f".network-diagram .net-below-{least}{{display:none}}}}\n"
            )
        sheet = Element("style")
        sheet.text = style
        drawings[0].insert(0, sheet)
        return f'<div class="network-diagram">{"".join(_markup(drawing) for drawing in drawings)}</div>'

    def _repr_svg_(self) -> str:
        """Return the drawing on its own, for print: across where paper is wide enough, else down."""
        drawing = draw_across(self.blocks, self.title)
        if float(drawing.attrib["width"]) * _LEAST_SCALE > 640:
            drawing = draw_down(self.blocks, self.title)
        drawing.set("aria-label", self.description)
        return _markup(drawing)

    def __repr__(self) -> str:
        """Return the network as lines of text, one for each layer."""
        lines = [self.title] if self.title else []
        part = None
        for block in self.blocks:
            if block.part != part and block.part:
                lines.append(translate(block.part))
            part = block.part
            indent = "  " if block.part else ""
            lines.append(f"{indent}{shape_words(block):>14}  {', '.join(caption_lines(block))}")
        return "\n".join(lines)


def network_diagram(model: keras.Model, title: str | None = None) -> NetworkDiagram:
    """Return a diagram of a Keras model, which a notebook draws when it is the last line of a cell.

    The length of a bar is the number of values in a layer; feature maps are blocks as high as the maps and as
    deep as they are many. Encoder, code and decoder are told apart by frames, words and colours. Layers that
    keep the shape (activations, normalisation, dropout) are written at the layer that they follow, and three
    or more equal layers in a row are drawn once. With a pointer on a layer, its name and weights appear.

    Args:
        model: a Sequential or functional model, nested ones included, or a subclassed one that has an
            ``encoder`` and a ``decoder``; its shapes must be known.
        title: stands above the drawing.

    Raises:
        ValueError: a model whose layers do not know their shapes or their order.
        TypeError: no Keras model, such as a detector, whose network is its ``network_``.
    """
    check_model(model)
    return NetworkDiagram(read_architecture(model), None if title is None else translate(title), model.name)


def _markup(drawing: Element) -> str:
    return tostring(drawing, encoding="unicode")


def _describe(blocks: list[Block], name: str) -> str:
    """Return the alternative text: every layer in order with its shape, by parts."""
    sentences = [translate("Diagram of the network") + f" {name}."]
    for part, members in (
        ("input", None),
        ("", ""),
        ("encoder", "encoder"),
        ("code", "code"),
        ("decoder", "decoder"),
    ):
        found = [
            b for b in blocks if (b.is_input if members is None else b.part == members and not b.is_input)
        ]
        if not found:
            continue
        layers = "; ".join(_layer_words(block) for block in found)
        sentences.append(f"{translate(part or 'layers')}: {layers}.")
    weights = sum(block.n_weights for block in blocks)
    return " ".join([*sentences, translate(f"{weights:,} weights") + "."])


def _layer_words(block: Block) -> str:
    shape = shape_words(block)
    return shape if block.is_input else f"{' '.join(caption_lines(block))}, {shape}"
