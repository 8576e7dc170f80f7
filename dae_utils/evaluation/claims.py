"""Sentences that depend on a run, guarded: a full execution fails where a claim no longer holds.

Use it as `claims.check("the network beats PCA", network_error < pca_error)` beside the sentence. Nothing is
measured here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dae_utils.evaluation.intervals import Interval
from dae_utils.profiles import current_profile

__all__ = ["Claim", "ClaimError", "check", "checked", "forget"]


class ClaimError(AssertionError):
    """A sentence of the book that this run does not support."""


@dataclass(frozen=True)
class Claim:
    """A sentence, whether this run supports it, the values it rests on, and the profile of the run."""

    sentence: str
    holds: bool
    values: tuple[tuple[str, str], ...]
    profile: str

    def __str__(self) -> str:
        values = ", ".join(f"{name} = {value}" for name, value in self.values)
        return f"“{self.sentence}” {'holds' if self.holds else 'does not hold'}" + (
            f": {values}" if values else ""
        )


_checked: dict[str, Claim] = {}


def check(sentence: str, condition: bool | np.bool_ | Interval, /, **values: object) -> bool:
    """Return whether a claim of the text holds; in the full profile, fail where it does not.

    Args:
        sentence: what the text says, in one line. Checked again, it replaces what was noted before.
        condition: the claim as one truth value, such as `network < pca`. An `Interval`, of a difference,
            holds where it lies above zero as a whole.
        **values: what to show where the claim fails, such as `network=.981, pca=.983`.

    Raises:
        ClaimError: in the full profile, the claim does not hold. The quick profile, which computes on a
            slice of the data, prints a note instead.
        TypeError: the condition is neither one truth value nor an interval, or the sentence is no text, as
            when the two are exchanged.
        ValueError: no sentence, or one of several lines.
    """
    if not isinstance(sentence, str):
        raise TypeError(
            f"the sentence is of type {type(sentence).__name__}: give the text first, then its condition."
        )
    if len(sentence.strip().splitlines()) != 1:
        raise ValueError("sentence must be the claim in one line.")
    if isinstance(condition, Interval):
        values = {"interval": condition, **values}
        holds = condition.low > 0
    elif isinstance(condition, (bool, np.bool_)):
        holds = bool(condition)
    else:
        raise TypeError(
            f"the condition of “{sentence}” is of type {type(condition).__name__}; give one truth value "
            "(of an array, say `.all()` or `.any()`) or an Interval."
        )
    shown = tuple((name, _text(value)) for name, value in values.items())
    profile = current_profile().name
    claim = Claim(sentence.strip(), bool(holds), shown, profile)
    _checked[claim.sentence] = claim
    if not claim.holds:
        if profile == "full":
            raise ClaimError(f"{claim}. Correct the sentence, or find out what changed.")
        print(f"quick profile: {claim}")
    return claim.holds


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, (float, np.floating)) else str(value)


def checked() -> tuple[Claim, ...]:
    """Return all claims checked in this process so far, in the order in which they were first checked."""
    return tuple(_checked.values())


def forget() -> None:
    """Forget all claims checked so far."""
    _checked.clear()
