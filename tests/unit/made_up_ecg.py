"""Made-up electrocardiograms for the tests of `dae_utils.signals`, and faults to put into them."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from dae_utils import data as hb
from dae_utils.signals import BeatFinder, Beats

RATE = 360


def beat_train(
    peaks: list[float],
    seconds: float,
    heights: float | list[float] = 1.0,
    *,
    rate: int = RATE,
    t_wave: float = 0.0,
    t_wave_after: float = 0.29,
    noise: float = 0.01,
) -> np.ndarray:
    """Return two leads with a narrow wave at each of `peaks` (seconds), and a wider one 0.29 s later."""
    t = np.arange(round(seconds * rate)) / rate
    heights = np.broadcast_to(heights, len(peaks))
    lead = np.zeros(len(t))
    for peak, height in zip(peaks, heights, strict=True):
        lead += height * np.exp(-0.5 * ((t - peak) / 0.012) ** 2)
        lead += height * t_wave * np.exp(-0.5 * ((t - peak - t_wave_after) / 0.025) ** 2)
    return np.stack([lead, -0.6 * lead], axis=1) + np.random.default_rng(0).normal(0, noise, (len(t), 2))


def patient(seconds=120, wide_at=(), turned_from=math.inf, intervals=None):
    """Return a signal with a beat every 0.8 s, some of them wide, and from some time on all turned over."""
    peaks = 0.5 + np.cumsum([0.8] * int(seconds / 0.8 - 2)) if intervals is None else np.cumsum(intervals)
    heights = np.where(peaks < turned_from, 1.0, -0.8)
    x = beat_train(peaks.tolist(), seconds, heights.tolist())
    t = np.arange(len(x)) / RATE
    for number in wide_at:
        x[:, 0] += 1.5 * np.exp(-0.5 * ((t - peaks[number] - 0.03) / 0.04) ** 2)
        x[:, 1] += 1.2 * np.exp(-0.5 * ((t - peaks[number] - 0.05) / 0.04) ** 2)
    return x, peaks


def with_tachycardia(seconds=120.0):
    """Return a signal that turns, at 60 s, to wide beats twice as fast, and the time at which they end."""
    intervals = [0.8] * 75 + [0.4] * int(seconds / 0.4) + [0.8] * 60
    first, stop = 75, 75 + int(seconds / 0.4)
    total = sum(intervals) + 1
    x, peaks = patient(seconds=total, wide_at=range(first, stop), intervals=intervals)
    return x, peaks[first], peaks[stop - 1]


@cache
def steady() -> np.ndarray:
    """Return forty seconds at 75 beats a minute; read only."""
    signals = beat_train(list(np.arange(0.5, 40, 0.8)), 40)
    signals.setflags(write=False)
    return signals


@cache
def simulated(number: int) -> hb.Record:
    """Return three minutes of a simulated record: 9100 is regular, 9102 paced, 9208 has many V beats."""
    return hb.simulate_record(number, minutes=3)


def loudness(windows: np.ndarray) -> np.ndarray:
    """Return a score that can be reckoned by hand."""
    return np.abs(windows).mean(axis=(1, 2), dtype=np.float64)


def in_chunks(signals: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    """Cut the signals into pieces of these lengths, over and over."""
    pieces, start, number = [], 0, 0
    while start < len(signals):
        pieces.append(signals[start : start + sizes[number % len(sizes)]])
        start += len(pieces[-1])
        number += 1
    return pieces


def streamed(signals: np.ndarray, sizes: list[int], **arguments) -> Beats:
    """Return the beats of signals that come in pieces."""
    finder = BeatFinder(leads=signals.shape[1], **arguments)
    return Beats.joined([*(finder.push(piece) for piece in in_chunks(signals, sizes)), finder.finish()])


def assert_same(one: Beats, other: Beats) -> None:
    """Fail unless the two hold exactly the same beats, at least one."""
    assert len(one) > 0
    for name in ("sample", "windows", "rhythm", "quality_code", "reported"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def with_faults(signals: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the signals with missing, flat, saturated and noisy stretches, and a single wild sample."""
    x = signals.copy()
    starts = rng.integers(0, len(x) - 1500, 5)
    x[starts[0] : starts[0] + rng.integers(1, 900), rng.integers(2)] = np.nan
    x[starts[1] : starts[1] + rng.integers(100, 900)] = 0.3
    x[starts[2] : starts[2] + rng.integers(5, 300), rng.integers(2)] = 5.115
    x[starts[3] : starts[3] + 700] += rng.normal(0, 0.2, (700, 2))
    x[starts[4], 0] = -np.inf
    return x


FAULTS = {
    "missing": "lead drop-out",
    "all missing": "lead drop-out",
    "absurd": "lead drop-out",
    "one flat": "lead drop-out",
    "all flat": "flat line",
    "at the rail": "saturated",
    "clipped": "saturated",
    "muscle noise": "noise",
    "movement": "noise",
}


def damaged(signals: np.ndarray, kind: str, start: int = 20 * RATE, stop: int = 24 * RATE) -> np.ndarray:
    """Return the signals with a fault of one of the kinds in `FAULTS`; times in samples."""
    x = signals.copy()
    part = slice(start, stop)
    rng = np.random.default_rng(1)
    if kind == "missing":
        x[part, 1] = np.nan
    elif kind == "all missing":
        x[part] = np.inf
    elif kind == "absurd":
        x[part, 0] = 1e9
    elif kind == "one flat":
        x[part, 1] = x[start, 1] + rng.choice([0, 0.005], stop - start)
    elif kind == "all flat":
        x[part] = x[start]
    elif kind == "at the rail":
        x[part, 0] = -5.12
    elif kind == "clipped":
        x[part, 0] = np.clip(3 * np.sin(2 * np.pi * np.arange(stop - start) / RATE), -1.5, 1.5)
    elif kind == "muscle noise":
        x[part] += rng.normal(0, 0.04, x[part].shape)
    elif kind == "movement":
        x[part, 0] += 1.5 * np.sin(2 * np.pi * 0.4 * np.arange(stop - start) / RATE)
    return x
