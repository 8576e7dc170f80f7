"""What readers look at: figures, and networks exported to the pages. Nothing here computes results.

Diagrams of networks are loaded when they are asked for: nothing else that is drawn needs Keras.
"""

from typing import TYPE_CHECKING, Any

from dae_utils.show.figures import (
    COLOURS,
    draw_calibration,
    draw_comparison,
    draw_error_maps,
    draw_heat_map,
    draw_images,
    draw_losses,
    draw_roc,
    draw_scores,
    label_lines,
    use_book_style,
)

if TYPE_CHECKING:
    from dae_utils.show.diagrams import NetworkDiagram, network_diagram

__all__ = [
    "COLOURS",
    "NetworkDiagram",
    "draw_calibration",
    "draw_comparison",
    "draw_error_maps",
    "draw_heat_map",
    "draw_images",
    "draw_losses",
    "draw_roc",
    "draw_scores",
    "label_lines",
    "network_diagram",
    "use_book_style",
]


def __getattr__(name: str) -> Any:
    if name not in ("NetworkDiagram", "network_diagram"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from dae_utils.show import diagrams

    return getattr(diagrams, name)
