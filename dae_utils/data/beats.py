"""Heartbeats: how a signal is cut into them, and a table of them with all that is known about each.

The beats follow the recipe of Kachuee, Fazeli and Sarrafzadeh, "ECG Heartbeat Classification: A Deep
Transferable Representation", 2018, arXiv 1805.00794, with the R peaks taken from the experts' annotations.
Where records come from is not known here. Nothing here is a medical device, nor fit to be part of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm.auto import tqdm

from dae_utils.data.ecg import AAMI_CLASS, CLASS_NAMES, Record, note_simulated
from dae_utils.profiles import show_progress

__all__ = [
    "BEAT_LENGTH",
    "BEAT_PER_RR",
    "BEAT_RATE",
    "WINDOW_SECONDS",
    "BeatCuts",
    "Heartbeats",
    "beats_of",
    "cut_beats",
    "cut_records",
    "heartbeats_from",
]

BEAT_RATE = 125  # samples a second, after resampling
BEAT_LENGTH = 187  # samples in a beat, padding included: 1.496 s
WINDOW_SECONDS = 10.0
BEAT_PER_RR = 1.2  # a beat lasts 1.2 times the median RR interval of its window

Columns = dict[str, NDArray[Any]]


class BeatCuts(NamedTuple):
    """The beats of one signal, as `cut_beats` returns them; n is the number of R peaks less one."""

    beats: NDArray[np.float32]
    """(n, 187) float32 in [0, 1], zero after each beat's length."""
    length: NDArray[np.int64]
    """(n,) int64, 1 to 187: samples before the padding."""
    rr_before: NDArray[np.float64]
    """(n,) float64, seconds since the previous R peak; nan for the first."""
    rr_after: NDArray[np.float64]
    """(n,) float64, seconds to the next R peak."""


@dataclass(frozen=True, eq=False, repr=False)
class Heartbeats:
    """Heartbeats with their labels and what is known about each; every array has one row a beat.

    Args:
        beats: (n, 187) float32 in [0, 1], 125 samples a second, from the R peak on, zero after `length`.
        labels: (n,) int64, index into `class_names`.
        record: (n,) int64, the record's number; -1 where the source does not tell (the Kaggle files).
        length: (n,) int64, 1 to 187, samples before the padding.
        rr_before: (n,) float64, seconds since the previous R peak; nan where there is none.
        rr_after: (n,) float64, seconds to the next R peak; nan where unknown.
        simulated: whether the beats come from a simulator and not from people.
        source: one line for the reader, where the beats come from.
        symbols: (n,) the database's own one-letter beat codes, "" where unknown.
        r_time: (n,) float64, seconds from the start of the record to the R peak; nan where unknown.
        lead_names: record number to the names of its leads, that of `beats` first.
        second_lead: (n, 187) float32 in [0, 1], the same stretch of the other lead; None if not asked for.
        class_names: the five classes of the AAMI: normal, supraventricular, ventricular, fusion, and unknown
            (nearly all of it paced).
    """

    beats: NDArray[np.float32]
    labels: NDArray[np.int64]
    record: NDArray[np.int64]
    length: NDArray[np.int64]
    rr_before: NDArray[np.float64]
    rr_after: NDArray[np.float64]
    simulated: bool
    source: str
    symbols: NDArray[np.str_]
    r_time: NDArray[np.float64]
    lead_names: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    second_lead: NDArray[np.float32] | None = None
    class_names: tuple[str, ...] = CLASS_NAMES

    def __post_init__(self) -> None:
        if self.simulated:
            note_simulated()
        for name in self._row_fields():
            if len(getattr(self, name)) != len(self.beats):
                raise ValueError(
                    f"`{name}` has {len(getattr(self, name))} rows, but there are {len(self.beats)} beats."
                )

    def _row_fields(self) -> list[str]:
        return [item.name for item in fields(self) if isinstance(getattr(self, item.name), np.ndarray)]

    def __len__(self) -> int:
        return len(self.beats)

    def __repr__(self) -> str:
        return f"Heartbeats({len(self)} beats, {self.class_counts()}, {self.source})"

    def take(self, rows: ArrayLike) -> Heartbeats:
        """Return the beats in `rows`: row numbers (such as a split's) or a boolean mask."""
        chosen = np.asarray(rows)
        return replace(self, **{name: getattr(self, name)[chosen] for name in self._row_fields()})

    def class_counts(self) -> dict[str, int]:
        """Return how many beats each class has, in the order of `class_names`."""
        counts = np.bincount(self.labels, minlength=len(self.class_names))
        return dict(zip(self.class_names, counts.tolist(), strict=True))

    def title(self, text: str) -> str:
        """Return `text` for a figure or table, marked "(SIMULATED)" when the beats are."""
        return f"{text} (SIMULATED)" if self.simulated else text


def cut_beats(signal: ArrayLike, r_peaks: ArrayLike, sampling_rate: int = 360) -> BeatCuts:
    """Cut one lead into beats by the recipe of Kachuee, Fazeli and Sarrafzadeh (2018).

    The signal is resampled to 125 Hz (polyphase filter, no shift in time) and seen through windows of 10 s
    that lie end to end; what remains at the end of the record is seen through the record's last 10 s. A beat
    belongs to the window that holds its R peak. It starts at the R peak, lasts 1.2 times the median of the RR
    intervals that begin in that window, at most 187 samples, and is padded with zeros to 187. The scale that
    takes the window's minimum to 0 and its maximum to 1 is applied to the whole beat.

    What the paper leaves open is settled so. A beat that runs past its window goes on in the signal, on its
    own window's scale, clipped to [0, 1]. A window with a single R peak uses that beat's own RR interval.
    In a flat window, one that moves less than a thousandth of the signal's range, beats are all zeros. A
    length is rounded to the nearest sample, and ends with the record. The last R peak makes no beat, since
    it has no next one.

    Args:
        signal: (samples,) finite values of one lead, any unit.
        r_peaks: (n + 1,) rising sample numbers, at least two.
        sampling_rate: samples a second, a whole number.

    Returns:
        The n beats, their lengths and RR intervals.

    Raises:
        ValueError: the signal has missing values or is not one lead, or the R peaks are not as above.
    """
    from scipy.signal import resample_poly  # here, since beats from the cache do without it

    signal, r_peaks = _checked_signal(signal, r_peaks, sampling_rate)
    ratio = Fraction(BEAT_RATE, int(sampling_rate))
    # The filter's gain for a constant differs a little from phase to phase, and would draw ripples on an
    # offset; the scale to [0, 1] takes the offset away in any case. Beyond its ends the signal goes on with
    # the end values, for zeros would draw a step there.
    resampled = resample_poly(signal - np.median(signal), ratio.numerator, ratio.denominator, padtype="edge")
    rr = np.diff(r_peaks) / sampling_rate
    peaks = np.minimum(np.rint(r_peaks[:-1] * float(ratio)).astype(np.int64), len(resampled) - 1)

    length = np.empty(len(peaks), np.int64)
    low = np.empty(len(peaks))
    high = np.empty(len(peaks))
    for start, stop, mine in _windows(len(resampled), peaks):
        inside = (peaks >= start) & (peaks < stop)
        length[mine] = np.rint(BEAT_PER_RR * np.median(rr[inside]) * BEAT_RATE)
        low[mine] = resampled[start:stop].min()
        high[mine] = resampled[start:stop].max()
    length = np.minimum(np.clip(length, 1, BEAT_LENGTH), len(resampled) - peaks)

    steps = np.arange(BEAT_LENGTH)
    beats = resampled[np.minimum(peaks[:, None] + steps, len(resampled) - 1)]
    # A line that moves less than a thousandth of the record's range (a loose electrode) is no heartbeat, and
    # nobody wants to see its rounding errors blown up to [0, 1].
    flat = high - low <= 1e-3 * np.ptp(resampled)
    beats = np.clip((beats - low[:, None]) / np.where(flat, 1.0, high - low)[:, None], 0.0, 1.0)
    beats[flat[:, None] | (steps >= length[:, None])] = 0.0
    return BeatCuts(beats.astype(np.float32), length, np.concatenate([[np.nan], rr[:-1]]), rr)


def _windows(samples: int, peaks: NDArray[np.int64]) -> Iterator[tuple[int, int, NDArray[np.bool_]]]:
    """Yield start, stop and a mask of the beats of each window that holds an R peak."""
    size = int(WINDOW_SECONDS * BEAT_RATE)
    window = peaks // size
    for number in np.unique(window):
        stop = min((int(number) + 1) * size, samples)
        # Full windows keep their place; the remainder reaches back so that it is as long as the others.
        yield max(0, stop - size), stop, window == number


def _checked_signal(
    signal: ArrayLike, r_peaks: ArrayLike, sampling_rate: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    signal = np.asarray(signal, np.float64)
    r_peaks = np.asarray(r_peaks)
    if signal.ndim != 1 or signal.size == 0:
        raise ValueError(f"Pass one lead as a one-dimensional signal with samples; got shape {signal.shape}.")
    if not np.isfinite(signal).all():
        bad = int(np.flatnonzero(~np.isfinite(signal))[0])
        raise ValueError(
            f"The signal has a missing or infinite value at sample {bad}: fill or cut it out first."
        )
    if sampling_rate != int(sampling_rate) or sampling_rate <= 0:
        raise ValueError(f"The sampling rate must be a whole number above zero, not {sampling_rate}.")
    if r_peaks.ndim != 1 or len(r_peaks) < 2 or not np.issubdtype(r_peaks.dtype, np.integer):
        raise ValueError("Pass at least two R peaks as whole sample numbers: the last one makes no beat.")
    r_peaks = r_peaks.astype(np.int64)
    if (np.diff(r_peaks) <= 0).any() or r_peaks[0] < 0 or r_peaks[-1] >= len(signal):
        raise ValueError(f"R peaks must rise and lie between 0 and {len(signal) - 1}, within the signal.")
    return signal, r_peaks


def beats_of(record: Record, both_leads: bool = False) -> Columns:
    """Return the columns of `Heartbeats` for one record, by name.

    Args:
        record: with at least two annotated beats.
        both_leads: whether to cut the other lead too, into `second_lead`.

    Raises:
        ValueError: a single lead where both are asked for, or a signal that `cut_beats` refuses.
    """
    main = record.main_lead
    cuts = cut_beats(record.signals[:, main], record.r_peaks, record.sampling_rate)
    count = len(cuts.beats)
    columns = {
        **cuts._asdict(),
        "labels": np.array([AAMI_CLASS[symbol] for symbol in record.symbols[:count]], np.int64),
        "record": np.full(count, record.number, np.int64),
        "symbols": record.symbols[:count],
        "r_time": record.r_peaks[:count] / record.sampling_rate,
    }
    if both_leads:
        if len(record.lead_names) < 2:
            raise ValueError(f'Record {record.name} has one lead only: load it with leads="main".')
        other = record.signals[:, 1 if main == 0 else 0]
        columns["second_lead"] = cut_beats(other, record.r_peaks, record.sampling_rate).beats
    return columns


def cut_records(records: Iterable[Record], count: int, both_leads: bool = False) -> Columns:
    """Cut record after record, so that no two signals are in memory at once, with a progress bar.

    Args:
        records: what to cut, read one at a time.
        count: how many they are.
        both_leads: see `beats_of`.

    Returns:
        Columns that `heartbeats_from` takes: those of `Heartbeats`, and two that stand for `lead_names`.
    """
    parts, leads = [], {}
    for record in tqdm(
        records, total=count, desc="Cutting beats", unit="record", leave=False, disable=not show_progress()
    ):
        parts.append(beats_of(record, both_leads))
        leads[record.number] = record.lead_order
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    widest = max(map(len, leads.values()))
    columns["lead_records"] = np.array(list(leads), np.int64)
    columns["lead_names"] = np.array([names + ("",) * (widest - len(names)) for names in leads.values()])
    return columns


def heartbeats_from(columns: Mapping[str, NDArray[Any]], source: str, simulated: bool = False) -> Heartbeats:
    """Return the beats of `cut_records` as `Heartbeats`; `source` says in one line where they come from."""
    rows: dict[str, Any] = dict(columns)
    names = zip(rows.pop("lead_records"), rows.pop("lead_names"), strict=True)
    lead_names = {int(number): tuple(str(name) for name in row if name) for number, row in names}
    return Heartbeats(**rows, lead_names=lead_names, source=source, simulated=simulated)
