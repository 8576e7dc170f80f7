"""The old path of `dae_utils.show.figures`, for notebooks that are not rewritten yet."""

from dae_utils.show.figures import (
    COLOURS,
    draw_calibration,
    draw_comparison,
    draw_heat_map,
    draw_images,
    draw_losses,
    draw_scores,
    use_book_style,
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
