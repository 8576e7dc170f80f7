"""`Beats`: a table of heartbeats found in a signal. It only holds them; `finder` makes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dae_utils.signals.quality import GOOD, QUALITIES


@dataclass(frozen=True, eq=False, repr=False)
class Beats:
    """Beats as `BeatFinder` finds them; every array has one row a beat.

    Args:
        sample: (n,) int64, sample number of the R peak, rising.
        windows: (n, length, leads) float32, millivolts, band-passed; the R peak is in row
            `BeatFinder.samples_before`. What lies before the first sample or beyond the last is filled with
            the first or last value.
        rhythm: (n, 3) float64, seconds: the RR interval before the beat, that after it, and the usual one,
            which is the median of the last ten, the one before this beat among them. nan where unknown: at
            the first beat, across a stretch in which the main lead was dead, and where the next beat was not
            found in time.
        quality_code: (n,) uint8, index into `QUALITIES`: the gravest verdict on the signal from which the
            window was made.
        reported: (n,) float64, seconds from the first sample to the one with which all this was known.
        sampling_rate: samples a second.
    """

    sample: NDArray[np.int64]
    windows: NDArray[np.float32]
    rhythm: NDArray[np.float64]
    quality_code: NDArray[np.uint8]
    reported: NDArray[np.float64]
    sampling_rate: int

    def __len__(self) -> int:
        return len(self.sample)

    def __repr__(self) -> str:
        return f"Beats({len(self)} beats, {int(self.is_good.sum())} of them of good signal quality)"

    @property
    def time(self) -> NDArray[np.float64]:
        """Seconds from the first sample to the R peak, shape (n,)."""
        return self.sample / self.sampling_rate

    @property
    def quality(self) -> NDArray[np.str_]:
        """The verdicts in words, shape (n,)."""
        return np.array(QUALITIES)[self.quality_code]

    @property
    def is_good(self) -> NDArray[np.bool_]:
        """Whether the verdict is "good", shape (n,)."""
        is_good: NDArray[np.bool_] = self.quality_code == GOOD
        return is_good

    def take(self, rows: NDArray[Any] | slice) -> Beats:
        """Return the beats in `rows`: row numbers, a slice or a boolean mask."""
        return Beats(
            sample=self.sample[rows],
            windows=self.windows[rows],
            rhythm=self.rhythm[rows],
            quality_code=self.quality_code[rows],
            reported=self.reported[rows],
            sampling_rate=self.sampling_rate,
        )

    @classmethod
    def joined(cls, pieces: Sequence[Beats]) -> Beats:
        """Return the beats of several pieces, at least one, in their order."""
        return cls(
            sample=np.concatenate([piece.sample for piece in pieces]),
            windows=np.concatenate([piece.windows for piece in pieces]),
            rhythm=np.concatenate([piece.rhythm for piece in pieces]),
            quality_code=np.concatenate([piece.quality_code for piece in pieces]),
            reported=np.concatenate([piece.reported for piece in pieces]),
            sampling_rate=pieces[0].sampling_rate,
        )
