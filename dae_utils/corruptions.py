"""The old path of `dae_utils.data.corruptions`, for notebooks that are not rewritten yet."""

from dae_utils.data.corruptions import (
    add_noise,
    blur,
    cover,
    deform,
    erase_pixels,
    move,
    turn,
)

__all__ = [
    "add_noise",
    "blur",
    "cover",
    "deform",
    "erase_pixels",
    "move",
    "turn",
]
