"""What readers look at: figures, and networks exported to the pages. Nothing here computes results."""

from dae_utils.show.diagrams import NetworkDiagram, network_diagram
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
