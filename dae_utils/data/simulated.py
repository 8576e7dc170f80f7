"""Simulated hearts in the form of the real ones, for readers without records and for tests of the mechanics.

They teach no cardiology, so they come only when they are asked for, carry `simulated`, and leave a note that
`simulated_hearts_were_used` reads.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dae_utils.data import mitdb
from dae_utils.data.beats import Heartbeats, cut_records, heartbeats_from
from dae_utils.data.ecg import CLASS_NAMES, Record, Span, simulated_hearts_were_used
from dae_utils.data.mitdb import PACED_RECORDS, SIMULATED_OFFSET
from dae_utils.validation import check_choice

__all__ = ["simulate_heartbeats", "simulate_record", "simulated_hearts_were_used"]

_MINUTES = 10.0
_RATE = 360

# Waves P, Q, R, S and T in ECGSYN (McSharry et al., "A dynamical model for generating synthetic
# electrocardiogram signals", IEEE Transactions on Biomedical Engineering 50(3), 2003): angle on the cycle in
# degrees, height, width. Lead MLII first, then V1, in which a normal beat points down.
_WAVES = {
    "normal": {
        "ti": ((-70, -15, 0, 15, 100), (-70, -20, -8, 8, 100)),
        "ai": ((1.2, -5, 30, -7.5, 0.75), (0.6, 0, 8, -30, 0.3)),
        "bi": ((0.25, 0.1, 0.1, 0.1, 0.4), (0.25, 0.1, 0.08, 0.12, 0.4)),
    },
    # No P wave, a wide QRS complex, and a T wave of the opposite sign.
    "ventricular": {
        "ti": ((-70, -35, 0, 35, 110), (-70, -35, 0, 35, 110)),
        "ai": ((0, -2, 14, -6, -1.5), (0, 2, -12, 5, 1.2)),
        "bi": ((0.25, 0.25, 0.3, 0.3, 0.5), (0.25, 0.25, 0.3, 0.3, 0.5)),
    },
    "paced": {
        "ti": ((-70, -30, 0, 30, 110), (-70, -30, 0, 30, 110)),
        "ai": ((0, 3, -12, 2, 1.5), (0, -3, 12, -3, -1.2)),
        "bi": ((0.25, 0.2, 0.35, 0.25, 0.5), (0.25, 0.2, 0.35, 0.25, 0.5)),
    },
}
_TEMPLATE_BEFORE = int(0.35 * _RATE)
_TEMPLATE_LENGTH = _RATE  # one cycle at 60 beats a minute
# How often each class comes in a record without and with a pacemaker, roughly as in the database.
_SHARES = {False: (0.885, 0.03, 0.075, 0.008, 0.002), True: (0.08, 0.005, 0.015, 0.0, 0.90)}


def simulate_heartbeats(
    seed: int = 0, *, minutes: float = _MINUTES, leads: Literal["main", "both"] = "main"
) -> Heartbeats:
    """Return simulated beats in the form of the real ones: 48 records, five classes, all columns.

    They are cut by `cut_beats` from the records of `simulate_record`, numbered 9100 to 9234, so that both
    splits work as they do on the real ones. They teach the mechanics, not cardiology: classes differ in
    rhythm and shape as a textbook draws them, so a figure obtained on them says nothing about real hearts,
    and `simulated` is True.

    Args:
        seed: the same seed gives the same beats.
        minutes: length of each record, 1 to 30.
        leads: "main" (MLII), or "both" to have V1 in `second_lead`.

    Raises:
        ValueError: another length or choice of leads.
    """
    check_choice(leads, "leads", ("main", "both"))
    numbers = [SIMULATED_OFFSET + number for number in mitdb.MITDB_RECORDS]
    records = (simulate_record(number, seed, minutes=minutes) for number in numbers)
    columns = cut_records(records, len(numbers), leads == "both")
    return heartbeats_from(columns, "SIMULATED (NeuroKit2)", simulated=True)


def simulate_record(number: int, seed: int = 0, *, minutes: float = _MINUTES) -> Record:
    """Return one simulated record: MLII and V1 in millivolts at 360 Hz, with its beats annotated.

    NeuroKit2's ECGSYN draws the shapes, each record having its own; rhythm and noise are added here. A normal
    beat (N) follows the breathing rhythm. A supraventricular one (A) is early, with the normal shape. A
    ventricular one (V) is early, wide, without P wave, and followed by a pause. A fusion (F) is the mean of
    both shapes. Records 9102, 9104, 9107 and 9217 are paced (/): a spike before a wide beat, at a fixed rate.
    An unclassifiable beat (Q) is buried in noise.

    Args:
        number: 9000 plus the number of an MIT-BIH record.
        seed: the same seed and number give the same record.
        minutes: its length, 1 to 30.

    Raises:
        ValueError: another number or length.
    """
    if number - SIMULATED_OFFSET not in mitdb.MITDB_RECORDS:
        raise ValueError(
            f"A simulated record's number is {SIMULATED_OFFSET} plus an MIT-BIH record's, not {number}."
        )
    if not 1 <= minutes <= 30:
        raise ValueError(f"A simulated record lasts 1 to 30 minutes, not {minutes}.")
    rng = np.random.default_rng([seed, number])
    paced = number - SIMULATED_OFFSET in PACED_RECORDS
    samples = int(minutes * 60 * _RATE)
    mean_rr = rng.uniform(0.65, 1.0)

    labels, rr = _rhythm(rng, paced, mean_rr, int(minutes * 60 / mean_rr) + 200)
    r_peaks = np.rint(np.cumsum(rr) * _RATE).astype(np.int64)
    r_peaks = r_peaks[r_peaks < samples - _TEMPLATE_LENGTH]
    labels = labels[: len(r_peaks)]
    symbols = np.array(["N", "A", "V", "F", "/" if paced else "Q"])[labels]

    shapes = _shapes(rng, seed, number, paced)
    signals = np.zeros((samples, 2))
    heights = rng.normal(1, 0.05, len(r_peaks))
    for peak, label, height in zip(r_peaks, labels, heights, strict=True):
        first = peak - _TEMPLATE_BEFORE
        start = max(first, 0)
        signals[start : first + _TEMPLATE_LENGTH] += height * shapes[label][start - first :]
        if label == 4 and not paced:
            signals[start : first + _TEMPLATE_LENGTH] += rng.normal(
                0, 0.4, (first + _TEMPLATE_LENGTH - start, 2)
            )
    time = np.arange(samples)[:, None] / _RATE
    breathing = 0.08 * np.sin(2 * np.pi * (0.25 * time + rng.uniform(0, 1, 2)))
    signals += breathing + rng.normal(0, 0.015, signals.shape)
    rhythm = Span(0, samples, "P" if paced else "N")
    return Record(number, signals, ("MLII", "V1"), _RATE, r_peaks, symbols, simulated=True, rhythms=(rhythm,))


def _rhythm(
    rng: np.random.Generator, paced: bool, mean_rr: float, count: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the class of each beat and the RR interval before it, in seconds."""
    labels = rng.choice(len(CLASS_NAMES), count, p=_SHARES[paced])
    labels[:2] = 4 if paced else 0  # a record begins in its own rhythm
    if paced:
        variation = 1 + rng.normal(0, 0.004, count)
    else:
        # Breathing in quickens the heart; a breath takes four seconds.
        variation = (
            1 + 0.03 * np.sin(2 * np.pi * 0.25 * mean_rr * np.arange(count)) + rng.normal(0, 0.02, count)
        )
    earliest = np.array([1.0, 0.60, 0.55, 0.85, 1.0])[labels]
    latest = np.array([1.0, 0.80, 0.75, 0.95, 1.0])[labels]
    early = rng.uniform(earliest, latest)
    # After a ventricular beat the next one comes when it would have come anyway: the pause makes up for the
    # lead. A supraventricular beat resets the sinus node, so the pause after it is short.
    pause = np.where(np.isin(labels, [2, 3]), 2 - early, 1 + 0.1 * (labels == 1))
    factor = early.copy()
    on_time = np.flatnonzero(early[1:] == 1.0) + 1
    factor[on_time] = pause[on_time - 1]
    return labels, mean_rr * variation * factor


def _shapes(rng: np.random.Generator, seed: int, number: int, paced: bool) -> dict[int, NDArray[np.float64]]:
    """Return the shape of each class in one record: (360, 2) millivolts, the R peak at row 126."""
    # Each record has a normal shape of its own and one of eight ventricular and paced shapes: solving
    # ECGSYN's equations is what takes the time.
    variant = int(rng.integers(8))
    normal = _template("normal", seed, number)
    ventricular = 1.2 * _template("ventricular", seed, variant)
    shapes = {0: normal, 1: normal, 2: ventricular, 3: (normal + ventricular) / 2, 4: normal}
    if paced:
        shapes[4] = _template("paced", seed, variant).copy()
        spike = _TEMPLATE_BEFORE - int(0.04 * _RATE)
        shapes[4][spike : spike + 2] += 0.8
    return shapes


@lru_cache(maxsize=256)
def _template(kind: str, seed: int, variant: int) -> NDArray[np.float64]:
    """Return one cycle of a simulated beat, (360, 2) millivolts, zero at both ends; not to be written to."""
    # NeuroKit2 takes seconds to import, and only readers without the real records need it.
    import neurokit2

    rng = np.random.default_rng([seed, list(_WAVES).index(kind), variant])
    height, width = rng.lognormal(0, 0.15, 5), rng.lognormal(0, 0.08, 5)
    cycle = np.empty((_TEMPLATE_LENGTH, 2))
    for lead in range(2):
        waves = {name: np.array(leads[lead], float) for name, leads in _WAVES[kind].items()}
        signal = neurokit2.ecg_simulate(
            duration=3,
            sampling_rate=_RATE,
            heart_rate=60,
            heart_rate_std=0,
            noise=0,
            method="ecgsyn",
            random_state=0,
            ti=waves["ti"],
            ai=waves["ai"] * height,
            bi=waves["bi"] * width,
        )
        start = 2 * _RATE - _TEMPLATE_BEFORE  # the third R peak; the first cycles still settle
        piece = signal[start : start + _TEMPLATE_LENGTH]
        cycle[:, lead] = piece - np.linspace(piece[0], piece[-1], _TEMPLATE_LENGTH)
    cycle.flags.writeable = False
    return cycle
