"""How far a beat's QRS complex is from the patient's own, which is learnt from their first minutes and later.

No label is used. Which of the first beats are the patient's usual ones is guessed: those that come in time
and look like most others. Later the measure follows the patient: posture, electrodes and the conduction
through the ventricles change, and a template of five minutes grows old.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dae_utils.signals.rhythm import rhythm_features

TEMPLATE_RATE = 180  # samples a second; the windows hold nothing above 40 Hz
_FROM, _TO = -28, 30  # samples around the R peak: 0.16 s before to 0.17 s after it, the whole QRS complex
_LARGEST_SHIFT = 6  # samples either way by which a beat may be moved to fit
_N_SHIFTS = 2 * _LARGEST_SHIFT + 1
# A lead times this matrix is the sum of the QRS complex at each shift.
_BOXES = np.array([np.arange(_TO - _FROM + 2 * _LARGEST_SHIFT) - shift for shift in range(_N_SHIFTS)]).T
_BOXES = ((_BOXES >= 0) & (_BOXES < _TO - _FROM)).astype(np.float64)
_UNIT = 0.1  # a tenth early, or a pause a tenth longer than usual, is one unit
_MOST_UNITS = 4.0
_LEAST_HEIGHT = 0.05  # millivolts, added to a template's height, so that a dead lead is not blown up
_LARGEST = 5.0  # template heights; what is beyond is cut off
_CALM_SHARE = 3  # one in so many of the first beats makes the first template
_LEAST_CALM = 20
_ROUNDS = 3


def timing_units(rhythm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how early each beat is and how long the pause after it: in tenths, from 0 to 4 each.

    Args:
        rhythm: shape (n, 3), seconds, as in `Beats.rhythm`.

    Returns:
        Shape (n, 2). Unknown intervals are 0.
    """
    features = rhythm_features(rhythm) * np.array([-1.0, 1.0])
    units: NDArray[np.float64] = np.clip(features / _UNIT, 0.0, _MOST_UNITS)
    return units


def _median(windows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the median window; `numpy.median` does the same at a fifth of the speed for so few."""
    ordered = np.sort(windows, axis=0)
    middle = len(ordered) // 2
    result: NDArray[np.float64] = (ordered[middle].astype(np.float64) + ordered[-middle - 1]) / 2
    return result


class OwnShape:
    """Templates of a patient's QRS complex: one from the first minutes, one from the last minute.

    Args:
        windows: shape (n, length, leads), millivolts, of the first minutes' beats in good signal.
        rhythm: shape (n, 3), seconds, of the same beats.
        samples_before: row of the R peak in the windows.
        sampling_rate: samples a second, a multiple of 180.
        adapts: whether `learn` makes a second template.

    Raises:
        ValueError: another rate, or windows too short for a QRS complex.
    """

    def __init__(
        self,
        windows: NDArray[np.float32],
        rhythm: NDArray[np.float64],
        samples_before: int,
        sampling_rate: int = 360,
        adapts: bool = True,
    ):
        if sampling_rate % TEMPLATE_RATE:
            raise ValueError(
                f"sampling_rate must be a multiple of {TEMPLATE_RATE}, not {sampling_rate}; resample first."
            )
        step = sampling_rate // TEMPLATE_RATE
        first = samples_before + (_FROM - _LARGEST_SHIFT) * step
        stop = samples_before + (_TO + _LARGEST_SHIFT) * step
        if first < 0 or stop - step >= windows.shape[1]:
            raise ValueError("the windows must hold 0.19 s before the R peak and 0.2 s after it.")
        self._rows = slice(first, stop, step)
        self._adapts = adapts
        cut = self._cut(windows)
        odd = timing_units(rhythm).sum(axis=1)
        n_calm = max(len(cut) // _CALM_SHARE, min(_LEAST_CALM, len(cut)))
        # At first the beats in time, then those that are both in time and near the median of the chosen ones.
        self.calm = np.argsort(odd, kind="stable")[: max(len(cut) // 2, n_calm)]
        for _ in range(_ROUNDS):
            template = np.median(cut[self.calm], axis=0)
            self._height = np.ptp(template, axis=0) + _LEAST_HEIGHT
            self._set_templates(template)
            size = np.sqrt(np.square(self._differences(cut)).mean(axis=1))
            self.calm = np.argsort(size / np.median(size) + odd / 2, kind="stable")[:n_calm]
        self._set_templates(np.median(cut[self.calm], axis=0))

    @property
    def template(self) -> NDArray[np.float64]:
        """The newest template, shape (samples at 180 a second, leads), millivolts."""
        return np.asarray(self._templates[-1])

    @property
    def templates(self) -> tuple[NDArray[np.float64], ...]:
        """The first template and, once `learn` has made it, the second; shapes as that of `template`."""
        return self._templates

    def _cut(self, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        return windows[:, self._rows].astype(np.float64)

    def differences(self, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return each beat minus the nearer template, in template heights, cut off at five; (n, 58 * leads).

        A beat may be moved by up to a thirtieth of a second to where it fits best, because its R peak is not
        found more exactly than that; means are taken away.
        """
        return self._differences(self._cut(windows))

    def _set_templates(self, *templates: NDArray[np.float64]) -> None:
        """Lay out what the comparison with the templates, shape (70, leads) each, needs."""
        self._templates = templates
        inside = np.stack([one[_LARGEST_SHIFT:-_LARGEST_SHIFT] for one in templates])
        self._models = inside - inside.mean(axis=1, keepdims=True)
        # A beat times this matrix is the product with each template at each shift, (70, leads, shifts, one).
        n_models, length, leads = self._models.shape
        products = np.zeros((length + 2 * _LARGEST_SHIFT, leads, _N_SHIFTS, n_models))
        for shift in range(_N_SHIFTS):
            products[shift : shift + length, :, shift] = self._models.transpose(1, 2, 0)
        self._products = products.reshape(-1, _N_SHIFTS * n_models)
        self._squares = np.square(self._models).sum(axis=(1, 2))

    def _differences(self, cut: NDArray[np.float64]) -> NDArray[np.float64]:
        """As `differences`, of windows cut to the QRS complex and what it may be moved by."""
        n = len(cut)
        length = _TO - _FROM
        sums = np.tensordot(cut, _BOXES, axes=(1, 0))  # (n, leads, shifts)
        energy = np.tensordot(np.square(cut), _BOXES, axes=(1, 0)).sum(axis=1)
        energy -= np.square(sums).sum(axis=1) / length
        product = (cut.reshape(n, -1) @ self._products).reshape(n, _N_SHIFTS, -1)
        distance = energy[..., np.newaxis] - 2 * product + self._squares
        shift, which = np.divmod(distance.reshape(n, -1).argmin(axis=1), len(self._models))
        each = np.arange(n)
        rest = cut[each[:, np.newaxis], shift[:, np.newaxis] + np.arange(length)]
        rest -= sums[each, :, shift][:, np.newaxis] / length + self._models[which]
        rows: NDArray[np.float64] = np.clip(rest / self._height, -_LARGEST, _LARGEST).reshape(n, -1)
        return rows

    def learn(self, windows: NDArray[Any]) -> None:
        """Make the median of these beats, shape (n, length, leads), the second template."""
        if self._adapts and len(windows):
            self._set_templates(self._templates[0], _median(windows[:, self._rows]))
