"""The two sizes a chapter can run at, and whether anybody is watching it run."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TypeVar

__all__ = ["Profile", "current_profile", "show_progress"]

T = TypeVar("T")
NAMES = ("quick", "full")


@dataclass(frozen=True)
class Profile:
    """A name, ``"quick"`` or ``"full"``, that picks between two sizes of the same computation.

    ``full`` is what the book publishes: all the data and all the epochs. ``quick`` runs the same cells on a
    slice of the same data, so that every cell can be tested in about a minute.
    """

    name: str

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise ValueError(
                f"DAE_PROFILE is {self.name!r}: set it to 'quick' or 'full', or unset it for 'full'."
            )

    def pick(self, *, quick: T, full: T) -> T:
        """Return the argument that belongs to this profile."""
        return quick if self.name == "quick" else full


def current_profile() -> Profile:
    """Return the profile that the environment variable ``DAE_PROFILE`` names, or ``full``.

    Raises:
        ValueError: the variable holds another name.
    """
    return Profile(os.environ.get("DAE_PROFILE", "full").strip().lower() or "full")


def show_progress() -> bool:
    """Return whether progress bars should be drawn: in a terminal or a live notebook, not in stored output.

    ``DAE_PROGRESS=0`` turns them off, ``DAE_PROGRESS=1`` on; the commands that execute and test the notebooks
    turn them off, so that no half-drawn bar is stored in a page.
    """
    setting = os.environ.get("DAE_PROGRESS")
    if setting is not None:
        return setting.strip() not in ("", "0")
    return sys.stderr.isatty() or "ipykernel" in sys.modules
