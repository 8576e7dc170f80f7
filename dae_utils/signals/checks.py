"""Refuses signals that cannot be leads in millivolts: a time column, microvolts, leads in rows.

These are the mistakes that would otherwise pass in silence, with no beats or senseless ones. A noisy, flat or
missing lead is no mistake: the verdicts on that are made in `quality`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dae_utils.data.recordings import LARGEST_RANGE, only_rises, range_a_second

_LOOKED_AT_SECONDS = 10
_MOST_LEADS = 32  # more columns than this, and fewer rows than columns: leads are in rows


def as_leads(signals: ArrayLike, n_leads: int | None = None) -> NDArray[np.number]:
    """Return the signals as an array of numbers, shape (samples, leads).

    Args:
        signals: shape (samples, leads), millivolts.
        n_leads: how many leads there must be; None for any number, at least one.

    Raises:
        ValueError: another shape, no numbers, or leads in rows.
    """
    array = np.asarray(signals)
    columns = "leads" if n_leads is None else n_leads
    wrong_shape = array.ndim != 2 or array.shape[1] == 0 or n_leads not in (None, array.shape[1])
    if wrong_shape or array.dtype.kind not in "iuf":
        raise ValueError(
            f"signals must be numbers of shape (samples, {columns}), got {array.dtype} {array.shape}; pass "
            "the columns of the leads alone, one row a sample."
        )
    if n_leads is None and array.shape[1] > max(array.shape[0], _MOST_LEADS):
        raise ValueError(f"signals of shape {array.shape} hold more leads than samples; pass signals.T.")
    return array


class PlausibilityCheck:
    """Looks at the first ten seconds of the leads in use, and refuses what cannot be an electrocardiogram.

    Args:
        sampling_rate: samples a second.
        columns: the numbers of the leads in use, for the message.
        main: which of them is the main lead, a position in `columns`.
    """

    def __init__(self, sampling_rate: int, columns: list[int], main: int):
        self._rate = sampling_rate
        self._columns = columns
        self._main = main
        self._pieces: list[NDArray[np.float64]] | None = []
        self._n_missing = _LOOKED_AT_SECONDS * sampling_rate

    def add(self, samples: NDArray[np.float64]) -> None:
        """Take the next samples, shape (leads in use, n); check once there are enough.

        Raises:
            ValueError: a time column, or values too large for millivolts.
        """
        if self._pieces is None:
            return
        self._pieces.append(samples[:, : self._n_missing].copy())
        self._n_missing -= self._pieces[-1].shape[1]
        if self._n_missing == 0:
            self.finish()

    def finish(self) -> None:
        """Check what has come, if that is more than a second; nothing is looked at any more.

        Raises:
            ValueError: as `add`.
        """
        if self._pieces:
            samples = np.concatenate(self._pieces, axis=1)
            self._refuse_time(samples)
            self._refuse_large(samples[self._main])
        self._pieces = None

    def _refuse_time(self, samples: NDArray[np.float64]) -> None:
        """Refuse a lead that never falls and is higher after every second, as seconds or numbers are."""
        for column, lead in zip(self._columns, samples, strict=True):
            if only_rises(lead, self._rate):
                raise ValueError(
                    f"column {column} of the signals only ever rises, as a time or a sample number does; "
                    "pass the columns of the leads alone."
                )

    def _refuse_large(self, lead: NDArray[np.float64]) -> None:
        """Refuse a lead that moves too far in the median second."""
        middle = range_a_second(lead, self._rate)
        if middle > LARGEST_RANGE:
            raise ValueError(
                f"column {self._columns[self._main]} of the signals moves by {middle:.4g} within a second, "
                "too far for millivolts; divide microvolts by 1000, converter values by their gain."
            )
