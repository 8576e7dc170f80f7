"""One electrocardiogram as a value: its signals, the beats that experts marked, and what else they marked.

Nothing here reads or makes one; see `records` and `simulated`. The codes are those of PhysioNet's WFDB format
(Moody, "WFDB Applications Guide", annotation codes).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "AAMI_CLASS",
    "CLASS_NAMES",
    "MILLIVOLTS",
    "Annotations",
    "Record",
    "RecordingError",
    "Span",
    "flutter_spans",
    "note_simulated",
    "plain_lead",
    "rhythm_spans",
    "simulated_hearts_were_used",
    "unit_named",
    "whole_rate",
]

CLASS_NAMES = ("N", "S", "V", "F", "Q")

# The AAMI's five classes (standard EC57): which of the database's beat symbols belongs to which.
# Symbols that are missing here mark rhythm, noise or waves that are not beats.
_AAMI_SYMBOLS = {"N": "NLRej", "S": "AaJS", "V": "VE", "F": "F", "Q": "/fQ"}
AAMI_CLASS: dict[str, int] = {
    symbol: CLASS_NAMES.index(name) for name, symbols in _AAMI_SYMBOLS.items() for symbol in symbols
}

# What one unit is in millivolts, and how files spell it; capital letters make no difference.
MILLIVOLTS = {"mV": 1.0, "uV": 1e-3, "V": 1e3}
_SPELLINGS = {
    "mV": ("mv", "millivolt", "millivolts"),
    # Both signs for micro: the one of Latin-1 and the Greek letter.
    "uV": ("uv", "\u00b5v", "\u03bcv", "microvolt", "microvolts"),
    "V": ("v", "volt", "volts"),
}

# Samples a second that a detector can use: below, the band from 0.5 to 40 Hz is not there.
USABLE_RATES = (100, 5000)
_MOST_ROUNDING = 1e-3  # how far a rate may be from a whole number, as a share, for a clock that is not exact

_simulated_hearts_were_used = False


class RecordingError(ValueError):
    """A recording that can't be used as it is; one line that says why and what to do."""


def note_simulated() -> None:
    """Note that simulated hearts are used in this process, for `simulated_hearts_were_used`."""
    global _simulated_hearts_were_used
    _simulated_hearts_were_used = True


def simulated_hearts_were_used() -> bool:
    """Return whether a simulated `Record` or simulated `Heartbeats` were made in this process.

    Once true it stays true: nobody can tell which of the numbers that are computed afterwards rest on them.
    """
    return _simulated_hearts_were_used


def unit_named(text: str) -> str | None:
    """Return "mV", "uV" or "V" for the unit that a file spells so, or None for one that is no voltage."""
    spelt = text.strip().casefold()
    return next((unit for unit, spellings in _SPELLINGS.items() if spelt in spellings), None)


def whole_rate(rate: float, whose: str) -> int:
    """Return a rate as a whole number of samples a second.

    Raises:
        RecordingError: it is further from one than the inaccuracy of a clock.
    """
    whole = round(rate)
    if whole < 1 or abs(rate - whole) > _MOST_ROUNDING * whole:
        raise RecordingError(
            f"{whose} has {rate:g} samples a second, which is no whole number; resample it to one first "
            "(scipy.signal.resample_poly)."
        )
    return whole


def plain_lead(name: str) -> str:
    """Return the name of a lead as it is compared: without "ECG", "EKG" or "lead", in small letters."""
    words = [word for word in name.casefold().replace("-", " ").split() if word not in ("ecg", "ekg", "lead")]
    return " ".join(words) or name.casefold()


class Span(NamedTuple):
    """A stretch of a recording: the samples from `start` up to but not including `stop`, and its name."""

    start: int
    stop: int
    name: str


class Annotations(NamedTuple):
    """All marks of a record as they stand in its file, beats and others, one entry a mark, in order."""

    sample: NDArray[np.int64]
    """(n,) sample numbers."""
    symbol: NDArray[np.str_]
    """(n,) codes of one letter: beats, `+` change of rhythm, `~` change of quality, `!` flutter wave, …"""
    subtype: NDArray[np.int64]
    """(n,) what the code leaves open; for `~` 0 is clean, and anything else is noise in one or both leads."""
    note: NDArray[np.str_]
    """(n,) text, for `+` the name of the rhythm behind a bracket, as in "(AFIB"; mostly empty."""

    @classmethod
    def none(cls) -> Annotations:
        """Return the annotations of a record without any."""
        whole, text = np.zeros(0, np.int64), np.zeros(0, "<U1")
        return cls(whole, text, whole, text)


def rhythm_spans(annotations: Annotations, samples: int) -> tuple[Span, ...]:
    """Return the stretches of one rhythm each that the marks `+` tell, in order.

    A rhythm lasts from its mark to the next such mark, the last one to the end of the record. What comes
    before the first mark belongs to no span.

    Args:
        annotations: all marks of a record.
        samples: length of the record.

    Returns:
        Spans with the database's names: N (normal sinus rhythm), AFIB and AFL (atrial fibrillation and
        flutter), B and T (ventricular bigeminy and trigeminy), VT (ventricular tachycardia), VFL (ventricular
        flutter), P (paced), and rarer ones.
    """
    marks = [
        (int(sample), str(note)[1:])
        for sample, symbol, note in zip(annotations.sample, annotations.symbol, annotations.note, strict=True)
        if symbol == "+" and str(note).startswith("(")
    ]
    bounds = [*(start for start, _ in marks), samples]
    return tuple(Span(start, stop, name) for (start, name), stop in zip(marks, bounds[1:], strict=True))


def flutter_spans(annotations: Annotations, samples: int) -> tuple[Span, ...]:
    """Return the stretches of ventricular flutter or fibrillation, from `[` to `]`, with the name "flutter".

    In them the waves are marked `!`, which are no beats. A stretch without an end lasts as long as the record
    of `samples`, and one without a beginning starts with it.
    """
    brackets = [
        (int(sample), symbol)
        for sample, symbol in zip(annotations.sample, annotations.symbol, strict=True)
        if symbol in ("[", "]")
    ]
    spans = []
    start = 0 if brackets and brackets[0][1] == "]" else None
    for sample, symbol in brackets:
        if symbol == "[" and start is None:
            start = sample
        elif symbol == "]" and start is not None:
            spans.append(Span(start, sample, "flutter"))
            start = None
    if start is not None:
        spans.append(Span(start, samples, "flutter"))
    return tuple(spans)


@dataclass(frozen=True, eq=False)
class Record:
    """One recording, usually of two leads, with its annotated beats.

    Args:
        number: the record's number; -1 for a recording of your own whose name is no number.
        signals: (samples, leads) float64, in `units`; what this library reads is in millivolts.
        lead_names: the names of the columns.
        sampling_rate: samples a second, a whole number.
        r_peaks: (n,) int64, the beats' sample numbers, rising.
        symbols: (n,) one-letter strings, the database's own beat codes.
        simulated: whether it comes from a simulator and not from a person.
        rhythms: the stretches of one rhythm each, such as AFIB; see `rhythm_spans`.
        flutter: the stretches of ventricular flutter, in which no beats are marked; see `flutter_spans`.
        annotations: all marks of the file, beats and others.
        name: the name of its files; the number as text if none is given.
        units: of the signals, one of "mV", "uV" (microvolts) and "V"; see `in_millivolts`.

    Raises:
        ValueError: units that are none of these.
    """

    number: int
    signals: NDArray[np.float64]
    lead_names: tuple[str, ...]
    sampling_rate: int
    r_peaks: NDArray[np.int64]
    symbols: NDArray[np.str_]
    simulated: bool = False
    rhythms: tuple[Span, ...] = ()
    flutter: tuple[Span, ...] = ()
    annotations: Annotations = field(default_factory=Annotations.none)
    name: str = ""
    units: str = "mV"

    def __post_init__(self) -> None:
        if self.units not in MILLIVOLTS:
            raise ValueError(f"units must be one of {', '.join(MILLIVOLTS)}, not {self.units!r}.")
        if self.simulated:
            note_simulated()
        if not self.name:
            object.__setattr__(self, "name", str(self.number))

    @property
    def main_lead(self) -> int:
        """The column of lead MLII, by name; 0 where there is none (records 102 and 104, where that is V5)."""
        return self.lead_names.index("MLII") if "MLII" in self.lead_names else 0

    @property
    def lead_order(self) -> tuple[str, ...]:
        """The names of the leads, that of `main_lead` first."""
        main = self.main_lead
        return (self.lead_names[main], *self.lead_names[:main], *self.lead_names[main + 1 :])

    @property
    def seconds(self) -> float:
        """How long the recording is."""
        return len(self.signals) / self.sampling_rate

    def in_millivolts(self) -> Record:
        """Return the same recording with its signals in millivolts."""
        if self.units == "mV":
            return self
        return replace(self, signals=self.signals * MILLIVOLTS[self.units], units="mV")

    def with_rhythms_of(self, other: Record) -> Record:
        """Return this recording with the rhythms and the flutter that another reading of it has."""
        return replace(self, rhythms=other.rhythms, flutter=other.flutter)

    def rhythm_at(self, samples: ArrayLike) -> NDArray[np.str_]:
        """Return the name of the rhythm at each sample number, "" before the first mark.

        Args:
            samples: (n,) sample numbers, in any order.
        """
        starts = np.array([span.start for span in self.rhythms], np.int64)
        names = np.array(["", *(span.name for span in self.rhythms)])
        return names[np.searchsorted(starts, np.asarray(samples), side="right")]

    def title(self, text: str) -> str:
        """Return `text`, marked "(SIMULATED)" when this record is."""
        return f"{text} (SIMULATED)" if self.simulated else text
