"""Figures that several chapters draw.

Each function draws into the axes it is given, or makes a figure that is legible on a phone, and returns the
axes (or the figure where there are several axes). They are gathered here from the modules beside this one.
"""

from dae_utils.show.comparison_figures import draw_comparison, draw_heat_map
from dae_utils.show.image_figures import draw_error_maps, draw_images
from dae_utils.show.score_figures import draw_calibration, draw_losses, draw_roc, draw_scores
from dae_utils.show.style import COLOURS, label_lines, use_book_style

__all__ = [
    "COLOURS",
    "draw_calibration",
    "draw_comparison",
    "draw_error_maps",
    "draw_heat_map",
    "draw_images",
    "draw_losses",
    "draw_roc",
    "draw_scores",
    "label_lines",
    "use_book_style",
]
