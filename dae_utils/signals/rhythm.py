"""RR intervals: from beat to beat, and what is usual. R peaks are found elsewhere."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import ArrayLike, NDArray

_N_REMEMBERED = 10  # intervals of which the usual one is the median


class RhythmTracker:
    """Follows the intervals between the R peaks of one lead.

    Args:
        sampling_rate: samples a second.
    """

    def __init__(self, sampling_rate: int):
        self._rate = sampling_rate
        self._previous: tuple[int, int] | None = None
        self._intervals: deque[float] = deque(maxlen=_N_REMEMBERED)

    def add(self, sample: int, rr_after: float, n_lost_blocks: int) -> tuple[float, float, float]:
        """Return the RR interval before the next beat, that after it and the usual one, in seconds.

        Args:
            sample: sample number of its R peak, larger than that of the beat before.
            rr_after: seconds to the following R peak; nan if unknown.
            n_lost_blocks: in how many blocks of the record so far the lead showed nothing. An interval in
                which that number rises is unknown.
        """
        rr_before = math.nan
        if self._previous is not None and self._previous[1] == n_lost_blocks:
            rr_before = (sample - self._previous[0]) / self._rate
            self._intervals.append(rr_before)
        self._previous = (sample, n_lost_blocks)
        known = sorted(self._intervals)
        middle = len(known) // 2
        rr_usual = (known[middle] + known[-middle - 1]) / 2 if known else math.nan
        return rr_before, rr_after, rr_usual


def rhythm_features(rhythm: ArrayLike) -> NDArray[np.float32]:
    """Return how far the RR intervals before and after each beat are from the usual one.

    Args:
        rhythm: shape (n, 3), seconds, as in `Beats.rhythm`.

    Returns:
        Shape (n, 2), logarithms of the ratios to the usual interval: 0 for a regular beat and where an
        interval is unknown, -0.69 for half of the usual one.
    """
    rhythm = np.asarray(rhythm, np.float64)
    ratios: NDArray[np.float64] = np.nan_to_num(np.log(rhythm[:, :2] / rhythm[:, 2:]))
    return ratios.astype(np.float32)
