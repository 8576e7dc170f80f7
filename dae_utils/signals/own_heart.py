"""How strange a beat is for the heart that it comes from, learnt from that heart's first minutes.

Three things make the score of a beat. What is left of its shape after the heart's own template is taken away,
as a dense autoencoder copies it that was trained on what is left of other people's normal beats. How much
worse that copy is than those of the heart's own regular beats. And whether the beat comes early, or is
followed by a pause, measured against the heart's pace of late. No label is used, and nothing here trains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["DenseNetwork", "OwnHeart", "OwnHeartSettings", "Pace", "difference_rows", "learn_template"]

# Chosen on the patients of DS1, half of whom trained for the other half, here or in the first edition of
# chapter 6.
_STEP = 2  # every second sample of a window is used
_MOST_SHIFT = 6  # of those samples, 33 ms at 360 Hz: how far a window may move to meet the template
_LEAST_HEIGHT = 0.05  # millivolts, added to every height: a lead that hardly moves is not blown up
_LARGEST_REST = 5.0  # in heights of the template
_REGULAR = 1.0  # units of the spread among normal beats, early and pause together
_LEAST_REGULAR = 20
_PACE_BEATS = 20
_PACE_QUANTILE = 0.75  # the median would be early, too, where every other beat is
_LARGEST_TIMING = 4.0  # in units of the spread among normal beats: fibrillation is all early
_TIMING_WEIGHT = 0.25


@dataclass(frozen=True, eq=False)
class DenseNetwork:
    """A dense network as plain arrays; it needs no Keras.

    Args:
        kernels: (inputs, outputs) of each layer, float32.
        biases: (outputs,) of each layer, float32.
        activations: of each layer, "elu" or "linear".
    """

    kernels: Sequence[NDArray[np.float32]]
    biases: Sequence[NDArray[np.float32]]
    activations: Sequence[str]

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the output for `x`, shape (n, inputs), as shape (n, outputs)."""
        for kernel, bias, activation in zip(self.kernels, self.biases, self.activations, strict=True):
            x = x @ kernel + bias
            if activation == "elu":
                x = np.where(x > 0, x, np.expm1(np.minimum(x, 0)))
        return x


@dataclass(frozen=True, eq=False)
class OwnHeartSettings:
    """What is the same for all hearts, learnt from those of other people.

    Args:
        network: copies what is left of a beat, in units of `unit`.
        unit: the standard deviation of what was left of the beats that trained it.
        timing_units: the spread among normal beats of how early they come, and of the pause after them, both
            as logarithms of ratios to the pace.
    """

    network: DenseNetwork
    unit: float
    timing_units: tuple[float, float]


class OwnHeart:
    """The score of one heart's beats; call it with their windows and rhythm, in the order in which they come.

    0 is an ordinary beat of this heart. Each further unit is a copy that is e times as bad; for an early
    beat, and for a pause after it, up to one unit each is added.

    Args:
        windows: (n, length, leads) float32, millivolts, the good beats of the first minutes.
        rhythm: (n, 3) of the same, seconds, as in `Beats.rhythm`.
        settings: what other people's hearts have taught.

    Attributes:
        usual_error: the median error of the network's copies of the regular beats.
    """

    def __init__(self, windows: NDArray[np.float32], rhythm: NDArray[np.float64], settings: OwnHeartSettings):
        self._settings = settings
        self._pace = Pace()
        self._template, regular = learn_template(windows, self._timing(rhythm))
        self.usual_error = float(np.median(self._errors(windows[regular])))

    def __call__(self, windows: NDArray[np.float32], rhythm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the scores of the next beats, shape (n,); higher is stranger."""
        scores: NDArray[np.float64] = np.log(self._errors(windows) / self.usual_error)
        scores += _TIMING_WEIGHT * self._timing(rhythm)
        return scores

    def _errors(self, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the mean squared error of the network's copies, shape (n,), above 0."""
        rows = difference_rows(windows, self._template) / np.float32(self._settings.unit)
        rest = rows - self._settings.network(rows)
        errors: NDArray[np.float64] = np.square(rest).mean(axis=1, dtype=np.float64)
        return errors + 1e-9

    def _timing(self, rhythm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how early the next beats come plus how long the pause after them is, in units, (n,)."""
        parts = self._pace.timing(rhythm) / self._settings.timing_units
        summed: NDArray[np.float64] = parts.clip(0, _LARGEST_TIMING).sum(axis=1)
        return summed


class Pace:
    """Follows the pace of a heart: the upper quartile of its last twenty known RR intervals."""

    def __init__(self) -> None:
        self._intervals = np.zeros(0)

    def timing(self, rhythm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how early the next beats come and how long the pause after each is.

        Args:
            rhythm: (n, 3), seconds, as in `Beats.rhythm`, in the order in which the beats come.

        Returns:
            (n, 2), logarithms of ratios to the pace, at least 0; 0 where an interval is unknown.
        """
        pace = self._follow(rhythm[:, 0])
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.log(rhythm[:, :2] / pace[:, None]) * (-1, 1)
        return np.maximum(np.nan_to_num(ratios, posinf=0, neginf=0), 0)

    def _follow(self, before: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the pace at each beat, its own interval among those that make it, (n,), seconds."""
        is_known = np.isfinite(before)
        intervals = np.concatenate([self._intervals, before[is_known]])
        if not len(intervals):
            return np.full(len(before), np.nan)
        # As if the first interval had always been there.
        missing = np.full(_PACE_BEATS - len(self._intervals), intervals[0])
        self._intervals = intervals[-_PACE_BEATS:]
        windows = np.lib.stride_tricks.sliding_window_view(np.concatenate([missing, intervals]), _PACE_BEATS)
        # The first window is what was known before these beats.
        return np.asarray(np.quantile(windows, _PACE_QUANTILE, axis=1)[np.cumsum(is_known)])


def learn_template(
    windows: NDArray[np.float32], timing: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the template of a heart, the median of its regular beats, and the rows of those.

    A beat is regular when it neither comes early nor is followed by a pause, each within the usual spread; of
    a heart with fewer than twenty such beats it is the twenty most regular ones. A heart in which every other
    beat comes from a ventricle is so learnt from the beats between them.

    Args:
        windows: (n, length, leads), millivolts; n at least 1.
        timing: (n,), how irregular each beat is, in units of the spread among normal beats.
    """
    regular = np.flatnonzero(timing < _REGULAR)
    if len(regular) < _LEAST_REGULAR:
        regular = np.sort(np.argsort(timing, kind="stable")[:_LEAST_REGULAR])
    return np.median(windows[regular], axis=0).astype(np.float32), regular


def difference_rows(windows: NDArray[np.float32], template: NDArray[Any]) -> NDArray[np.float32]:
    """Return what is left of beats when a template is taken away, where it fits them best, one row a beat.

    A peak found a little late would leave a large difference where nothing is wrong, so a window may shift by
    up to 33 ms. Means are taken away.

    Args:
        windows: (n, length, leads), millivolts.
        template: (length, leads), millivolts.

    Returns:
        (n, values), in heights of the template, at most five.
    """
    windows, template = windows[:, ::_STEP], template[::_STEP].astype(np.float32)
    length = windows.shape[1] - 2 * _MOST_SHIFT
    middle = template[_MOST_SHIFT:-_MOST_SHIFT]
    middle = middle - middle.mean(axis=0)
    least = np.full(len(windows), np.inf, np.float32)
    best = np.empty((len(windows), length, windows.shape[2]), np.float32)
    for shift in range(2 * _MOST_SHIFT + 1):
        cut = windows[:, shift : shift + length]
        rest = cut - cut.mean(axis=1, keepdims=True) - middle
        size = np.square(rest).sum(axis=(1, 2))
        is_better = size < least
        best[is_better], least[is_better] = rest[is_better], size[is_better]
    heights = np.ptp(template, axis=0) + np.float32(_LEAST_HEIGHT)
    rows: NDArray[np.float32] = np.clip(best / heights, -_LARGEST_REST, _LARGEST_REST)
    return rows.reshape(len(rows), -1)
