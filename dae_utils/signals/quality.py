"""Verdicts on the quality of a signal, made without labels. It finds no beats and changes no sample.

Signal quality is judged in blocks of a tenth of a second, noise in ticks of five blocks.
"""

from __future__ import annotations

import math
from collections import deque
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dae_utils.signals.filters import (
    MILLIVOLTS_PER_COUNT,
    FilterLengths,
    SampleBuffer,
    moving_maximum,
    moving_range,
)

# The verdicts on the signal, from the mildest to the gravest.
QUALITIES = ("good", "noise", "incomplete", "saturated", "lead drop-out", "flat line")
GOOD, NOISE, INCOMPLETE, SATURATED, DROP_OUT, FLAT_LINE = (np.uint8(code) for code in range(len(QUALITIES)))

TICK_BLOCKS = 5

# The thresholds for noise were settled on the records of DS1: they flag a fortieth of what the experts there
# call clean.
_STUCK_SECONDS = 0.045  # at one and the same value; 0.03 is the longest in clean MIT-BIH signals
_STILL_RANGE = 0.01  # millivolts
_STILL_BLOCKS = 5
_RECENT_BLOCKS = 20
_CLIPPED_RANGE = 0.5  # millivolts: what moves less is still, not clipped
_RAIL_MARGIN = 0.02  # millivolts
_NOISE_TICKS = 4
_NOISE_RATIO = 1.8
_LEAST_NOISE = 0.006  # millivolts, mean absolute value; the converter's step is 0.005
_WANDER_RATIO = 0.35
_LEAST_WANDER = 0.3  # millivolts


class QualitySpan(NamedTuple):
    """A stretch of signal of one quality."""

    start: float
    """Seconds from the first sample."""
    stop: float
    quality: str
    """One of `QUALITIES`, but "incomplete"."""


class _UsualLevel:
    """How loud one lead is in its quiet moments, and how high its beats are: two running quantiles."""

    def __init__(self) -> None:
        self._quiet = 0.0
        self._height = 0.0
        self._n_ticks = 0

    def compare(
        self,
        high_frequency: NDArray[np.float64],
        height: NDArray[np.float64],
        wander: NDArray[np.float64],
        is_sound: NDArray[np.bool_],
    ) -> list[bool]:
        """Return, for each tick, whether the lead is much louder or wanders much more than usual.

        Args:
            high_frequency, height, wander: (ticks,), millivolts.
            is_sound: (ticks,), whether there is no other fault; only from such ticks is the usual learnt.
        """
        quiet, usual_height = self._quiet, self._height
        result = []
        columns = (high_frequency.tolist(), height.tolist(), wander.tolist(), is_sound.tolist())
        for number, (loud, high, wide, sound) in enumerate(zip(*columns, strict=True), self._n_ticks):
            if quiet == 0.0:
                quiet, usual_height = loud, high
            is_loud = loud > max(_NOISE_RATIO * quiet, _LEAST_NOISE)
            is_wandering = wide > max(_WANDER_RATIO * usual_height, _LEAST_WANDER)
            result.append(sound and (is_loud or is_wandering))
            if sound:
                # Steps up and down in the ratio 7 to 3 end at the value that 3 of 10 ticks stay below, equal
                # steps at the median. At the start they are long, to get there soon.
                step = max(0.01, 0.1 / (number + 1))
                quiet *= 1 + 0.6 * step if loud > quiet else 1 - 1.4 * step
                usual_height *= 1 + step if high > usual_height else 1 - step
        self._quiet, self._height = quiet, usual_height
        self._n_ticks += len(result)
        return result


class SignalQuality:
    """Gives a verdict on every block of a tenth of a second, and remembers those of the last seconds.

    Args:
        lengths: the filters' lengths.
        n_leads: how many leads are judged.
        main: the row of the main lead.
        memory: how many samples back verdicts will be asked for.
        converter_range: lowest and highest value of the converter, millivolts; None if unknown.
    """

    def __init__(
        self,
        lengths: FilterLengths,
        n_leads: int,
        main: int,
        memory: int,
        converter_range: tuple[float, float] | None,
    ):
        self._lengths = lengths
        self._main = main
        self._converter_range = converter_range
        self._n_kept = memory // lengths.block + _RECENT_BLOCKS
        self._stuck = math.ceil(_STUCK_SECONDS * lengths.sampling_rate)
        self._high_frequency = SampleBuffer(np.zeros((n_leads, self._n_kept)), self._first_filtered)
        self._fault = SampleBuffer(np.zeros(self._n_kept, np.uint8), 0)
        self._n_lost = SampleBuffer(np.zeros(self._n_kept, np.int64), 0)
        self._noise = SampleBuffer(np.zeros(self._n_kept, np.bool_), 0)
        self._usual = [_UsualLevel() for _ in range(n_leads)]
        self._spans: deque[tuple[int, int, int]] = deque(maxlen=1000)
        self.begin(np.zeros(n_leads, np.int64))

    @property
    def _first_filtered(self) -> int:
        """The block to which the first filtered values belong, before the record begins."""
        return -(self._lengths.baseline // self._lengths.block)

    @property
    def spans(self) -> list[QualitySpan]:
        """The last verdicts, at most 1000."""
        seconds = self._lengths.block / self._lengths.sampling_rate
        return [
            QualitySpan(start * seconds, stop * seconds, QUALITIES[code]) for start, stop, code in self._spans
        ]

    def begin(self, first: NDArray[np.int64]) -> None:
        """Lay out what looks back, as if the first counts, shape (leads,), had always been there."""
        # Highest values and lowest ones, the latter with the other sign, so that one maximum serves both.
        constant = np.repeat(np.stack([first, -first])[..., np.newaxis], self._n_kept, axis=-1)
        self._extremes = SampleBuffer(constant, 0)
        self._baseline = SampleBuffer(constant * MILLIVOLTS_PER_COUNT, self._first_filtered)

    def assess_faults(
        self, counts: NDArray[np.int64], missing: NDArray[np.bool_] | None, n_new: int, end: int | None
    ) -> None:
        """Find flat lines, drop-outs and saturation in new blocks.

        Args:
            counts: (leads, samples), the last `n_new` of them new.
            missing: (leads, n_new), which samples are missing; None for none.
            n_new: a multiple of the block.
            end: samples of the record, if that is known; what comes after it is not judged.
        """
        size, begin = self._lengths.block, self._fault.stop
        keep_from = begin - self._n_kept
        shape = (len(counts), n_new // size, size)
        blocks = counts[:, -n_new:].reshape(shape)
        self._extremes.append(np.stack([blocks.max(axis=2), -blocks.min(axis=2)]), keep_from)
        recent = self._extremes.between(begin + 1 - _RECENT_BLOCKS, begin + shape[1])
        saturated = self._saturated(counts, n_new, end, recent)
        largest_still = round(_STILL_RANGE / MILLIVOLTS_PER_COUNT)
        still = moving_range(recent, _STILL_BLOCKS)[:, -shape[1] :] <= largest_still
        dead = still & ~saturated
        fault = np.zeros(shape[1], np.uint8)
        fault[saturated.any(axis=0)] = SATURATED
        fault[dead.any(axis=0)] = DROP_OUT
        fault[dead.all(axis=0)] = FLAT_LINE
        if missing is not None:
            is_missing = missing.reshape(shape).any(axis=2)
            fault[is_missing.any(axis=0)] = DROP_OUT
            dead |= is_missing
        lost = (dead | saturated)[self._main]
        if end is not None:
            fault[max(math.ceil(end / size) - begin, 0) :] = GOOD
        self._fault.append(fault, keep_from)
        self._n_lost.append(self._n_lost.values[-1] + np.cumsum(lost), keep_from)

    def _saturated(
        self, counts: NDArray[np.int64], n_new: int, end: int | None, recent: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Return which blocks hold a run at the converter's end or at the lead's own, (leads, blocks)."""
        size, begin = self._lengths.block, self._fault.stop
        counts = counts[:, -(n_new + self._stuck - 1) :]
        is_run = ~moving_maximum(counts[:, 1:] != counts[:, :-1], self._stuck - 1)
        # Neither what was put before the first sample nor what was put after the last is the signal's doing.
        is_run[:, : max(self._stuck - 1 - begin * size, 0)] = False
        if end is not None:
            is_run[:, max(end - begin * size, 0) :] = False
        is_run = is_run.reshape(len(counts), -1, size)
        result: NDArray[np.bool_] = np.any(is_run, axis=2)
        if result.any():
            values = counts[:, -n_new:].reshape(is_run.shape)
            lead, block = np.nonzero(result)
            value = values[lead, block, is_run[lead, block].argmax(axis=1)]
            highest, lowest = moving_maximum(recent, _RECENT_BLOCKS)[:, lead, block]
            clipped = (highest + lowest) * MILLIVOLTS_PER_COUNT >= _CLIPPED_RANGE
            clipped &= (value >= highest) | (-value >= lowest)
            if self._converter_range is not None:
                bottom, top = self._converter_range
                clipped |= value * MILLIVOLTS_PER_COUNT <= bottom + _RAIL_MARGIN
                clipped |= value * MILLIVOLTS_PER_COUNT >= top - _RAIL_MARGIN
            result[lead, block] = clipped
        return result

    def assess_noise(
        self, high_frequency: NDArray[np.float64], baseline: NDArray[np.float64], end: int | None
    ) -> None:
        """Find noise in what the windows' filter takes away, tick by tick.

        Args:
            high_frequency: (leads, blocks), mean absolute value above the band, millivolts.
            baseline: (leads, blocks), millivolts.
            end: see `assess_faults`.
        """
        keep_from = self._high_frequency.stop - self._n_kept
        self._high_frequency.append(high_frequency, keep_from)
        self._baseline.append(np.stack([baseline, -baseline]), keep_from)
        begin, back = self._noise.stop, _NOISE_TICKS * TICK_BLOCKS
        n_ticks = (self._high_frequency.stop - begin) // TICK_BLOCKS
        if n_ticks <= 0:
            return
        stop = begin + n_ticks * TICK_BLOCKS
        fault = self._fault.between(begin, stop)
        # Of the five blocks of a tick the second quietest: heartbeats are loud, too, but seldom fill four.
        loud = self._high_frequency.between(begin, stop).reshape(-1, n_ticks, TICK_BLOCKS)
        loud = np.sort(loud)[..., 1]
        start = begin + TICK_BLOCKS - back
        height, wander = (
            moving_range(buffer.between(start, stop), back)[:, ::TICK_BLOCKS]
            for buffer in (self._extremes, self._baseline)
        )
        height = height * MILLIVOLTS_PER_COUNT
        is_sound = np.all(fault.reshape(n_ticks, TICK_BLOCKS) == GOOD, axis=1)
        is_noise = np.zeros(n_ticks, np.bool_)
        for lead, usual in enumerate(self._usual):
            is_noise |= usual.compare(loud[lead], height[lead], wander[lead], is_sound)
        is_noise = is_noise.repeat(TICK_BLOCKS)
        self._noise.append(is_noise, keep_from)
        self._add_spans(np.where(fault, fault, is_noise * NOISE), begin, end)

    def _add_spans(self, codes: NDArray[np.uint8], begin: int, end: int | None) -> None:
        """Add the verdicts of the blocks from number `begin` on to the spans."""
        if end is not None:
            codes = codes[: max(math.ceil(end / self._lengths.block) - begin, 0)]
        changes = (np.flatnonzero(np.diff(codes)) + 1).tolist()
        for start, stop in pairwise([0, *changes, len(codes)] if len(codes) else []):
            code = int(codes[start])
            first = begin + start
            if self._spans and self._spans[-1][2] == code:
                first = self._spans.pop()[0]
            self._spans.append((first, begin + stop, code))

    def verdicts(self, start: NDArray[np.int64], stop: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the gravest verdict on each window, from sample `start` to before `stop`."""
        size, reach = self._lengths.block, self._lengths.baseline
        fault = self._fault.maxima((start - reach) // size, (stop - 1 + reach) // size + 1)
        is_noise = self._noise.maxima(start // size, (stop - 1) // size + 1)
        return np.where((fault != GOOD) | ~is_noise, fault, NOISE)

    def n_lost_blocks(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return in how many blocks up to each of these samples the main lead showed nothing."""
        counts: NDArray[np.int64] = self._n_lost.values[samples // self._lengths.block - self._n_lost.start]
        return counts
