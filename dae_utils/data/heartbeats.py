"""Heartbeats of the MIT-BIH Arrhythmia Database: from raw records to labelled beats, and their splits.

The beats follow the recipe of Kachuee, Fazeli and Sarrafzadeh, "ECG Heartbeat Classification: A Deep
Transferable Representation", 2018, arXiv 1805.00794, with the R peaks taken from the experts' annotations.
The records are those of Moody and Mark, "The impact of the MIT-BIH Arrhythmia Database", IEEE Engineering in
Medicine and Biology 20(3), 2001, published by PhysioNet under ODC-By 1.0. Nothing here is a medical device,
nor fit to be part of one.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from tqdm.auto import tqdm

from dae_utils.data._mitdb_digests import MITDB_SHA256
from dae_utils.data.sources import (
    RouteFailure,
    SourceError,
    atomic_write,
    check_files,
    data_dir,
    fetch_files,
    locked,
    show_path,
)
from dae_utils.profiles import show_progress

if TYPE_CHECKING:
    import wfdb

TITLE = "MIT-BIH"
FOLDER_SETTING = "DAE_MITDB_DIR"
MITDB_URL = "https://physionet.org/files/mitdb/1.0.0/"
_NEXT_STEP = (
    "check the connection and try again, or put the 48 records from there in a folder "
    f"and set {FOLDER_SETTING} to it."
)

BEAT_RATE = 125  # samples a second, after resampling
BEAT_LENGTH = 187  # samples in a beat, padding included: 1.496 s
WINDOW_SECONDS = 10.0
BEAT_PER_RR = 1.2  # a beat lasts 1.2 times the median RR interval of its window

CLASS_NAMES = ("N", "S", "V", "F", "Q")

# The AAMI's five classes (standard EC57): which of the database's beat symbols belongs to which.
# Symbols that are missing here mark rhythm, noise or waves that are not beats.
_AAMI_SYMBOLS = {"N": "NLRej", "S": "AaJS", "V": "VE", "F": "F", "Q": "/fQ"}
AAMI_CLASS: dict[str, int] = {
    symbol: CLASS_NAMES.index(name) for name, symbols in _AAMI_SYMBOLS.items() for symbol in symbols
}

MITDB_RECORDS = tuple(sorted({int(name.split(".")[0]) for name in MITDB_SHA256}))

# de Chazal, O'Dwyer and Reilly, "Automatic classification of heartbeats using ECG morphology and heartbeat
# interval features", IEEE Transactions on Biomedical Engineering 51(7), 2004, doi 10.1109/TBME.2004.827359.
DS1_RECORDS = (
    *(101, 106, 108, 109, 112, 114, 115, 116, 118, 119, 122, 124),
    *(201, 203, 205, 207, 208, 209, 215, 220, 223, 230),
)
DS2_RECORDS = (
    *(100, 103, 105, 111, 113, 117, 121, 123),
    *(200, 202, 210, 212, 213, 214, 219, 221, 222, 228, 231, 232, 233, 234),
)
PACED_RECORDS = (102, 104, 107, 217)

# A simulated record has the number of a real one plus this: 9208 plays the part of 208, and nobody mistakes
# one for the other.
SIMULATED_OFFSET = 9000
_SIMULATED_MINUTES = 10.0
_SIMULATED_RATE = 360

_FILE_ENDINGS = ("hea", "dat", "atr")


# ------------------------------------------------------------------------------------------------------------
# Containers


class Split(NamedTuple):
    """Row numbers of the beats for training and for testing, both sorted, int64."""

    train: np.ndarray
    test: np.ndarray


class BeatCuts(NamedTuple):
    """The beats of one signal, as `cut_beats` returns them; n is the number of R peaks less one."""

    beats: np.ndarray
    """(n, 187) float32 in [0, 1], zero after each beat's length."""
    length: np.ndarray
    """(n,) int64, 1 to 187: samples before the padding."""
    rr_before: np.ndarray
    """(n,) float64, seconds since the previous R peak; nan for the first."""
    rr_after: np.ndarray
    """(n,) float64, seconds to the next R peak."""


@dataclass(frozen=True, eq=False)
class Record:
    """One recording, usually of two leads, with its annotated beats.

    Args:
        number: the record's number.
        signals: (samples, leads) float64, millivolts.
        lead_names: the names of the columns.
        sampling_rate: samples a second.
        r_peaks: (n,) int64, the beats' sample numbers, rising.
        symbols: (n,) one-letter strings, the database's own beat codes.
        simulated: whether it comes from a simulator and not from a person.
    """

    number: int
    signals: np.ndarray
    lead_names: tuple[str, ...]
    sampling_rate: int
    r_peaks: np.ndarray
    symbols: np.ndarray
    simulated: bool = False

    @property
    def main_lead(self) -> int:
        """The column of lead MLII, by name; 0 where there is none (records 102 and 104, where that is V5)."""
        return self.lead_names.index("MLII") if "MLII" in self.lead_names else 0

    def title(self, text: str) -> str:
        """Return `text`, marked "(SIMULATED)" when this record is."""
        return f"{text} (SIMULATED)" if self.simulated else text


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

    beats: np.ndarray
    labels: np.ndarray
    record: np.ndarray
    length: np.ndarray
    rr_before: np.ndarray
    rr_after: np.ndarray
    simulated: bool
    source: str
    symbols: np.ndarray
    r_time: np.ndarray
    lead_names: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    second_lead: np.ndarray | None = None
    class_names: tuple[str, ...] = CLASS_NAMES

    def __post_init__(self) -> None:
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

    def take(self, rows: np.ndarray) -> Heartbeats:
        """Return the beats in `rows`: row numbers (such as a split's) or a boolean mask."""
        return replace(self, **{name: getattr(self, name)[rows] for name in self._row_fields()})

    def class_counts(self) -> dict[str, int]:
        """Return how many beats each class has, in the order of `class_names`."""
        counts = np.bincount(self.labels, minlength=len(self.class_names))
        return dict(zip(self.class_names, counts.tolist(), strict=True))

    def title(self, text: str) -> str:
        """Return `text` for a figure or table, marked "(SIMULATED)" when the beats are."""
        return f"{text} (SIMULATED)" if self.simulated else text


# ------------------------------------------------------------------------------------------------------------
# From a signal to beats


def cut_beats(signal: np.ndarray, r_peaks: np.ndarray, sampling_rate: int = 360) -> BeatCuts:
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


def _windows(samples: int, peaks: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield start, stop and a mask of the beats of each window that holds an R peak."""
    size = int(WINDOW_SECONDS * BEAT_RATE)
    window = peaks // size
    for number in np.unique(window):
        stop = min((int(number) + 1) * size, samples)
        # Full windows keep their place; the remainder reaches back so that it is as long as the others.
        yield max(0, stop - size), stop, window == number


def _checked_signal(
    signal: np.ndarray, r_peaks: np.ndarray, sampling_rate: int
) -> tuple[np.ndarray, np.ndarray]:
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


def _beats_of(record: Record, both_leads: bool) -> dict[str, np.ndarray]:
    """Return the columns of `Heartbeats` for one record."""
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
            raise ValueError(f'Record {record.number} has one lead only: load it with leads="main".')
        other = next(column for column in range(len(record.lead_names)) if column != main)
        columns["second_lead"] = cut_beats(
            record.signals[:, other], record.r_peaks, record.sampling_rate
        ).beats
    return columns


def _lead_order(record: Record) -> tuple[str, ...]:
    main = record.lead_names[record.main_lead]
    return (main, *(name for column, name in enumerate(record.lead_names) if column != record.main_lead))


# ------------------------------------------------------------------------------------------------------------
# Records: where they are, whether they are right, and what is in them


def read_record(
    number: int, folder: str | Path | None = None, verify: bool = True, base_url: str = MITDB_URL
) -> Record:
    """Return one record: its signals in millivolts, the names of its leads, and its annotated beats.

    The three files come from `folder`, else from the folder that DAE_MITDB_DIR names, else from the cache,
    else from `base_url`. Each is verified by its SHA-256. With `verify=False` a `folder` of your own WFDB
    records is read: the signals are then checked only against length and checksum in the record's own header.
    A number from 9100 on is a record of `simulate_record`, so that `Heartbeats.record` can be followed back
    whatever the source.

    Raises ValueError for an unknown number and SourceError when the files can't be had or are not right.
    """
    if verify and number - SIMULATED_OFFSET in MITDB_RECORDS:
        return simulate_record(number)
    if verify and number not in MITDB_RECORDS:
        raise ValueError(f"MIT-BIH has no record {number}; it has {', '.join(map(str, MITDB_RECORDS))}.")
    where, _ = _record_folder([number], folder, verify, base_url)
    return _parse_record(where, number)


def _record_folder(
    numbers: Sequence[int], folder: str | Path | None, verify: bool, base_url: str
) -> tuple[Path, str]:
    """Return a folder that holds these records, verified unless told otherwise, and where they came from."""
    if not verify:
        if folder is None:
            raise ValueError("verify=False is for records of your own: name their folder with folder=...")
        where = Path(folder).expanduser()
        return where, f"your own records in {show_path(where)}, not verified"
    digests = _digests(numbers)
    if named := folder or os.environ.get(FOLDER_SETTING):
        # A folder that somebody named and that is not right is reported, never silently passed over.
        where = Path(named).expanduser()
        _check_folder(
            where, digests, "Next: correct `folder`" if folder else f"Next: correct {FOLDER_SETTING}"
        )
        return where, f"the records in {show_path(where)}"
    where = data_dir() / "mitdb"
    return where, fetch_files(TITLE, where, digests, base_url, next_step=_NEXT_STEP, most=10_000_000)


def _digests(numbers: Sequence[int]) -> dict[str, str]:
    names = [f"{number}.{ending}" for number in numbers for ending in _FILE_ENDINGS]
    return {name: MITDB_SHA256[name] for name in names}


def _check_folder(folder: Path, digests: Mapping[str, str], way_out: str) -> None:
    """Raise `SourceError` unless every file is there and is PhysioNet's."""
    if not folder.is_dir():
        raise SourceError(f"{TITLE}: there is no folder {show_path(folder)}.\n{way_out}.")
    problems = check_files(folder, digests)
    if not problems:
        return
    first = ", ".join(f"{name}: {problem}" for name, problem in list(problems.items())[:3])
    raise SourceError(
        f"{TITLE}: {len(problems)} of {len(digests)} files in {show_path(folder)} are not PhysioNet's "
        f"({first}{', …' if len(problems) > 3 else ''}).\n"
        "A file with a wrong digest was cut short or changed; beats are cut from verified records only.\n"
        f"{way_out}, or get those files from {MITDB_URL}"
    )


def fetch_mitdb(base_url: str = MITDB_URL) -> str:
    """Make sure that all 48 records are at hand and verified, and say in a few words where they are.

    With DAE_MITDB_DIR set the records in that folder are verified; otherwise those that the cache lacks are
    downloaded from `base_url`, 93 MB in all. Raises SourceError when that fails.
    """
    return _record_folder(MITDB_RECORDS, None, True, base_url)[1]


def check_mitdb() -> None:
    """Verify all 48 records in the folder that DAE_MITDB_DIR names, else in the cache, and change nothing.

    Raises SourceError that says which files are missing or not PhysioNet's.
    """
    named = os.environ.get(FOLDER_SETTING)
    where = Path(named).expanduser() if named else data_dir() / "mitdb"
    way_out = f"Next: correct {FOLDER_SETTING}" if named else "Next: run `python -m dae_utils fetch mitdb`"
    _check_folder(where, _digests(MITDB_RECORDS), way_out)


def _parse_record(folder: Path, number: int) -> Record:
    """Read one WFDB record with its annotations and check that they are whole."""
    import wfdb  # here, since it takes most of a second and beats from the cache do without it

    stem = folder / str(number)
    for ending in _FILE_ENDINGS:
        if not stem.with_suffix(f".{ending}").is_file():
            raise SourceError(
                f"Record {number}: {stem.name}.{ending} is missing from {show_path(folder)}.\n"
                "Next: get that file; a record is a header (.hea), signals (.dat) and annotations (.atr)."
            )
    try:
        record = wfdb.rdrecord(str(stem), physical=False)
        annotation = wfdb.rdann(str(stem), "atr")
    except Exception as error:  # wfdb raises whatever its parsing stumbles over
        raise SourceError(
            f"Record {number} in {show_path(folder)} can't be read: {_one_line(error)}.\n"
            "Next: its files are cut short or damaged; get the three of them again."
        ) from error
    beats = [index for index, symbol in enumerate(annotation.symbol) if symbol in AAMI_CLASS]
    r_peaks = np.asarray(annotation.sample, np.int64)[beats]
    fault = _signal_fault(record, stem.name) or _annotation_fault(r_peaks, record.sig_len, stem)
    if fault:
        raise SourceError(
            f"Record {number} in {show_path(folder)}: {fault}.\nNext: get its three files again."
        )
    return Record(
        number=number,
        signals=record.dac(),
        lead_names=tuple(record.sig_name),
        sampling_rate=int(record.fs),
        r_peaks=r_peaks,
        symbols=np.array(annotation.symbol, "<U1")[beats],
    )


def _signal_fault(record: wfdb.Record, name: str) -> str | None:
    """Say what is wrong with the signals that wfdb read, or None."""
    if record.fs != int(record.fs):
        return f"{name}.hea states {record.fs} samples a second, which is no whole number"
    # The header holds a checksum for each lead: the sum of its samples, of which the last 16 bits are kept.
    for lead, stated, found in zip(record.sig_name, record.checksum, record.calc_checksum(), strict=True):
        if stated is not None and (stated - found) % 65536:
            return f"lead {lead} in {name}.dat does not add up to the checksum in {name}.hea"
    if not np.isfinite(record.dac()).all():
        return f"{name}.dat has samples that are marked as missing (NaN)"
    return None


def _annotation_fault(r_peaks: np.ndarray, samples: int, stem: Path) -> str | None:
    """Say what is wrong with the annotated beats that wfdb read, or None."""
    # The file ends with a zero word. wfdb does not miss it, so that half a file would pass for a whole one.
    if not stem.with_suffix(".atr").read_bytes().endswith(b"\0\0"):
        return f"{stem.name}.atr is cut short (it lacks its end mark)"
    if len(r_peaks) < 2:
        return f"{stem.name}.atr marks fewer than two beats"
    if (np.diff(r_peaks) <= 0).any() or r_peaks[0] < 0 or r_peaks[-1] >= samples:
        return f"{stem.name}.atr marks beats out of order or beyond the end of the signal"
    return None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__


# ------------------------------------------------------------------------------------------------------------
# All beats


def load_heartbeats(
    kind: Literal["records", "simulated"] = "records",
    *,
    leads: Literal["main", "both"] = "main",
    folder: str | Path | None = None,
    verify: bool = True,
    allow_simulated: bool = True,
    base_url: str = MITDB_URL,
    seed: int = 0,
) -> Heartbeats:
    """Return the heartbeats of all 48 records: 109446 beats, cut as `cut_beats` describes.

    The records come from `folder`, else from the folder that DAE_MITDB_DIR names, else from the cache, else
    from PhysioNet. Every file is verified by its SHA-256; a named folder with a file missing or changed is an
    error. The beats themselves are kept in the cache, with their own digest, so that the next call takes
    about a second. One line says where they came from.

    The lead is MLII in all records but 102 and 104, which have none and give V5. Leads are chosen by name: in
    114 MLII is the second column. RR intervals run from one annotated beat to the next, so that in record 207
    some span stretches of ventricular flutter, in which the experts marked no beats; the longest is 100 s.

    Args:
        kind: "records", or "simulated" to ask for `simulate_heartbeats` outright.
        leads: "main", or "both" to have the other lead (V1, V2, V4 or V5) in `second_lead`.
        folder: a local folder of records, in place of the setting.
        verify: False reads all WFDB records in a `folder` of your own, whose digests nobody knows. Their
            files are named by plain numbers, and those of the annotations end in .atr.
        allow_simulated: whether to fall back, with a warning, on simulated beats when no local folder is
            named and PhysioNet can't be reached; otherwise that raises.
        base_url: the folder of the records on PhysioNet's server, with a slash at the end.
        seed: of the simulated beats.

    Raises:
        SourceError: no records can be had, or those in the named folder are not right.
        ValueError: an argument is not one of its choices.
    """
    if kind not in ("records", "simulated"):
        raise ValueError(f'kind must be "records" or "simulated", not {kind!r}.')
    both = _both(leads)
    if kind == "simulated":
        return simulate_heartbeats(seed, leads=leads)
    if not verify:
        where, origin = _record_folder([], folder, verify, base_url)
        return _heartbeats(_cut_records(where, _own_records(where), both), origin, simulated=False)

    named = folder or os.environ.get(FOLDER_SETTING)
    cached = None if named else _read_cache(leads)
    where, origin = None, "the cache"
    if cached is None:
        try:
            where, origin = _record_folder(MITDB_RECORDS, folder, verify, base_url)
        except SourceError as error:
            # Only a host that does not serve leads to simulated beats; a full disk is an error.
            if not allow_simulated or not isinstance(error.__cause__, RouteFailure):
                raise
            warnings.warn(
                f"SIMULATED heartbeats in place of MIT-BIH: nothing in the cache, {FOLDER_SETTING} is not "
                f"set, and {base_url} does not serve ({_one_line(error.__cause__)}). "
                f"Set {FOLDER_SETTING} to a folder with the 48 records to use real ones.",
                stacklevel=2,
            )
            return simulate_heartbeats(seed, leads=leads)
        cached = _read_cache(leads) or _cut_and_store(where, leads)
    beats = _heartbeats(cached, f"MIT-BIH Arrhythmia Database 1.0.0, from {origin}", simulated=False)
    print(
        f"{TITLE}: {len(beats)} beats of {len(np.unique(beats.record))} records, from {origin}, verified.",
        flush=True,
    )
    return beats


def _both(leads: str) -> bool:
    if leads not in ("main", "both"):
        raise ValueError(f'leads must be "main" or "both", not {leads!r}.')
    return leads == "both"


def _heartbeats(columns: Mapping[str, np.ndarray], origin: str, simulated: bool) -> Heartbeats:
    """Build `Heartbeats` from its columns and the two arrays that stand for `lead_names`."""
    columns = dict(columns)
    names = zip(columns.pop("lead_records"), columns.pop("lead_names"), strict=True)
    lead_names = {int(number): tuple(str(name) for name in row if name) for number, row in names}
    return Heartbeats(**columns, lead_names=lead_names, source=origin, simulated=simulated)


def _cut_records(folder: Path, numbers: Sequence[int], both: bool) -> dict[str, np.ndarray]:
    records = (_parse_record(folder, number) for number in numbers)
    return _cut_all(records, len(numbers), both)


def _cut_all(records: Iterable[Record], count: int, both: bool) -> dict[str, np.ndarray]:
    """Cut record after record, so that no two signals are in memory at once."""
    parts, leads = [], {}
    for record in tqdm(
        records, total=count, desc="Cutting beats", unit="record", leave=False, disable=not show_progress()
    ):
        parts.append(_beats_of(record, both))
        leads[record.number] = _lead_order(record)
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    widest = max(map(len, leads.values()))
    columns["lead_records"] = np.array(list(leads), np.int64)
    columns["lead_names"] = np.array([names + ("",) * (widest - len(names)) for names in leads.values()])
    return columns


def _own_records(folder: Path) -> list[int]:
    """Return the numbers of the WFDB records in a folder, counting those of which some file is missing."""
    stems = {path.stem for ending in _FILE_ENDINGS for path in folder.glob(f"*.{ending}")}
    if not stems:
        raise SourceError(
            f"There are no WFDB records in {show_path(folder)}.\n"
            "Next: name a folder with .hea, .dat and .atr files."
        )
    try:
        numbers = sorted(int(stem) for stem in stems)
    except ValueError:
        numbers = []
    if {str(number) for number in numbers} != stems:
        raise SourceError(
            f"Records are told apart by number; {show_path(folder)} holds {', '.join(sorted(stems)[:5])}.\n"
            "Next: name the files by plain numbers, such as 1.hea, 1.dat and 1.atr."
        )
    return numbers


# The cut beats in the cache: an .npz file, and beside it a note with its digest and version.


def _cache_path(leads: str) -> Path:
    return data_dir() / f"mitdb-beats-{leads}.npz"


def _cache_key(leads: str) -> str:
    """Return what changes when this module or the records' digests do: then beats are cut anew."""
    parts = [leads.encode(), json.dumps(MITDB_SHA256, sort_keys=True).encode(), Path(__file__).read_bytes()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _read_cache(leads: str) -> dict[str, np.ndarray] | None:
    """Return the columns from the cache; None if they are not there, of another version, or damaged."""
    path = _cache_path(leads)
    try:
        note = json.loads(path.with_suffix(".json").read_text())
        if note["key"] != _cache_key(leads):
            return None
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != note["sha256"]:
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _cut_and_store(folder: Path, leads: str) -> dict[str, np.ndarray]:
    """Cut all beats and keep them. A cache that can't be written only costs time."""
    columns = _cut_records(folder, MITDB_RECORDS, _both(leads))
    path = _cache_path(leads)
    buffer = io.BytesIO()
    np.savez(buffer, **columns)
    content = buffer.getvalue()
    note = {"key": _cache_key(leads), "sha256": hashlib.sha256(content).hexdigest()}
    try:
        with locked(path, TITLE):
            with atomic_write(path) as handle:
                handle.write(content)
            with atomic_write(path.with_suffix(".json")) as handle:
                handle.write(json.dumps(note).encode())
    except (OSError, SourceError) as error:
        warnings.warn(
            f"The cut beats can't be kept in {show_path(path.parent)} ({_one_line(error)}), so they are cut "
            "anew each time. Make it writable, or set DAE_DATA_DIR to another folder.",
            stacklevel=3,
        )
    return columns


# ------------------------------------------------------------------------------------------------------------
# The pair of CSV files from Kaggle


def load_kaggle_csv(train_csv: str | Path, test_csv: str | Path) -> tuple[Heartbeats, Heartbeats]:
    """Return the beats of Kaggle's "ECG Heartbeat Categorization" pair, mitbih_train.csv and mitbih_test.csv.

    Each file has no header and 188 columns: 187 samples in [0, 1] and the class, 0 to 4. The files name
    neither records nor RR intervals: `record` is -1, times are nan, and `length` ends with the last value
    above zero. Beats of one patient stand in both files, so figures from this pair say nothing about a
    patient whom the model has not seen.

    Args:
        train_csv: path of mitbih_train.csv.
        test_csv: path of mitbih_test.csv.

    Returns:
        The beats of the two files, training first.

    Raises:
        ValueError: a file holds anything else; names the row and the column, counted from 1.
        SourceError: a file can't be read.
    """
    return _read_kaggle(Path(train_csv).expanduser()), _read_kaggle(Path(test_csv).expanduser())


def _read_kaggle(path: Path) -> Heartbeats:
    import pandas as pd

    way_out = (
        "Next: download the file again; it has no header, 187 samples in [0, 1] and the class in each row."
    )
    try:
        table = pd.read_csv(path, header=None, skip_blank_lines=False, low_memory=False)
    except OSError as error:
        raise SourceError(
            f"{show_path(path)} can't be read ({error.strerror or error}).\n"
            "Next: download mitbih_train.csv and mitbih_test.csv from Kaggle and pass their paths."
        ) from error
    except pd.errors.EmptyDataError:
        raise ValueError(f"{path.name} is empty, or begins with an empty line.\n{way_out}") from None
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path.name} is no table of {BEAT_LENGTH + 1} columns: {_one_line(error)}.\n{way_out}"
        ) from None
    if table.shape[1] != BEAT_LENGTH + 1:
        raise ValueError(f"{path.name} has {table.shape[1]} columns instead of {BEAT_LENGTH + 1}.\n{way_out}")

    numbers = table.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    samples, classes = numbers[:, :-1], numbers[:, -1]
    for fault, bad in (
        ("is not a number", np.isnan(numbers)),
        ("is outside [0, 1]", (samples < 0) | (samples > 1)),
        ("is no class from 0 to 4", ~np.isin(classes, range(len(CLASS_NAMES)))[:, None]),
    ):
        if bad.any():
            row, column = (int(index) for index in np.argwhere(bad)[0])
            column = BEAT_LENGTH if bad.shape[1] == 1 else column
            cell = table.iloc[row, column]
            shown = "an empty or NaN cell" if pd.isna(cell) else repr(str(cell)[:20])
            raise ValueError(
                f"{path.name}, row {row + 1}, column {column + 1}: {shown} {fault} "
                f"({int(bad.sum())} such in the file).\n{way_out}"
            )

    count = len(samples)
    beats = samples.astype(np.float32)
    last = BEAT_LENGTH - np.argmax(beats[:, ::-1] > 0, axis=1)
    unknown = np.full(count, np.nan)
    return Heartbeats(
        beats=beats,
        labels=classes.astype(np.int64),
        record=np.full(count, -1, np.int64),
        length=np.where((beats > 0).any(axis=1), last, 1).astype(np.int64),
        rr_before=unknown,
        rr_after=unknown.copy(),
        simulated=False,
        source=f"Kaggle's {path.name}",
        symbols=np.full(count, "", "<U1"),
        r_time=unknown.copy(),
    )


# ------------------------------------------------------------------------------------------------------------
# Splits


def random_split(heartbeats: Heartbeats, test_fraction: float = 0.2, seed: int = 0) -> Split:
    """Split the beats at random, class by class, as the Kaggle files are split.

    Beware: beats of one patient stand on both sides, next to each other in time. What a model scores on the
    test side tells how well it knows these patients, not how it does on a new one; for that use
    `inter_patient_split`.

    test_fraction: above 0 and below 1. Raises ValueError when a class has too few beats to stand on both
    sides.
    """
    from sklearn.model_selection import train_test_split

    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction must lie between 0 and 1, not {test_fraction}.")
    try:
        train, test = train_test_split(
            np.arange(len(heartbeats)),
            test_size=test_fraction,
            random_state=seed,
            stratify=heartbeats.labels,
        )
    except ValueError as error:
        raise ValueError(
            f"These {len(heartbeats)} beats can't be split ({_one_line(error)}).\n"
            "Each class needs beats on both sides: pass more beats, or leave that class out."
        ) from error
    return Split(np.sort(train), np.sort(test))


def inter_patient_split(heartbeats: Heartbeats, separate_201_202: bool = False) -> Split:
    """Split the beats by patient: train on the records of DS1, test on those of DS2 (de Chazal et al. 2004).

    The four paced records 102, 104, 107 and 217 are left out, and with them nearly all of class Q: 8 beats
    are left on one side and 7 on the other.

    One patient stands on both sides all the same: records 201 (DS1) and 202 (DS2) are of the same man. That
    is how the split is used everywhere, so it is the default, for comparison; `separate_201_202=True` leaves
    202 out of the test side.

    Raises ValueError for beats that don't name their record (Kaggle's) or whose records fill one side only.
    """
    number = heartbeats.record - (SIMULATED_OFFSET if heartbeats.simulated else 0)
    known = np.isin(number, MITDB_RECORDS)
    if not known.all():
        raise ValueError(
            f"{int((~known).sum())} beats belong to no MIT-BIH record (first: {number[~known][0]}), "
            "so the patients can't be kept apart.\nLoad the beats with load_heartbeats()."
        )
    test_records = [record for record in DS2_RECORDS if not (separate_201_202 and record == 202)]
    split = Split(np.flatnonzero(np.isin(number, DS1_RECORDS)), np.flatnonzero(np.isin(number, test_records)))
    if not (len(split.train) and len(split.test)):
        raise ValueError("These beats come from one side of the split only: load those of all records.")
    return split


# ------------------------------------------------------------------------------------------------------------
# Simulated beats

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
_TEMPLATE_BEFORE = int(0.35 * _SIMULATED_RATE)
_TEMPLATE_LENGTH = _SIMULATED_RATE  # one cycle at 60 beats a minute
# How often each class comes in a record without and with a pacemaker, roughly as in the database.
_SHARES = {False: (0.885, 0.03, 0.075, 0.008, 0.002), True: (0.08, 0.005, 0.015, 0.0, 0.90)}


def simulate_heartbeats(
    seed: int = 0, *, minutes: float = _SIMULATED_MINUTES, leads: Literal["main", "both"] = "main"
) -> Heartbeats:
    """Return simulated beats in the form of the real ones: 48 records, five classes, all columns.

    They are cut by `cut_beats` from the records of `simulate_record`, numbered 9100 to 9234, so that both
    splits work as they do on the real ones. They teach the mechanics, not cardiology: classes differ in
    rhythm and shape as a textbook draws them, so a figure obtained on them says nothing about real hearts,
    and `simulated` is True.

    minutes: length of each record, 1 to 30. The same seed gives the same beats. Raises ValueError otherwise.
    """
    both = _both(leads)
    numbers = [SIMULATED_OFFSET + number for number in MITDB_RECORDS]
    records = (simulate_record(number, seed, minutes=minutes) for number in numbers)
    columns = _cut_all(records, len(numbers), both)
    return _heartbeats(columns, "SIMULATED (NeuroKit2)", simulated=True)


def simulate_record(number: int, seed: int = 0, *, minutes: float = _SIMULATED_MINUTES) -> Record:
    """Return one simulated record: MLII and V1 in millivolts at 360 Hz, with its beats annotated.

    NeuroKit2's ECGSYN draws the shapes, each record having its own; rhythm and noise are added here. A normal
    beat (N) follows the breathing rhythm. A supraventricular one (A) is early, with the normal shape. A
    ventricular one (V) is early, wide, without P wave, and followed by a pause. A fusion (F) is the mean of
    both shapes. Records 9102, 9104, 9107 and 9217 are paced (/): a spike before a wide beat, at a fixed rate.
    An unclassifiable beat (Q) is buried in noise.

    number: 9000 plus the number of an MIT-BIH record. minutes: 1 to 30. Raises ValueError otherwise.
    """
    if number - SIMULATED_OFFSET not in MITDB_RECORDS:
        raise ValueError(
            f"A simulated record's number is {SIMULATED_OFFSET} plus an MIT-BIH record's, not {number}."
        )
    if not 1 <= minutes <= 30:
        raise ValueError(f"A simulated record lasts 1 to 30 minutes, not {minutes}.")
    rng = np.random.default_rng([seed, number])
    paced = number - SIMULATED_OFFSET in PACED_RECORDS
    samples = int(minutes * 60 * _SIMULATED_RATE)
    mean_rr = rng.uniform(0.65, 1.0)

    labels, rr = _simulated_rhythm(rng, paced, mean_rr, int(minutes * 60 / mean_rr) + 200)
    r_peaks = np.rint(np.cumsum(rr) * _SIMULATED_RATE).astype(np.int64)
    r_peaks = r_peaks[r_peaks < samples - _TEMPLATE_LENGTH]
    labels = labels[: len(r_peaks)]
    symbols = np.array(["N", "A", "V", "F", "/" if paced else "Q"])[labels]

    shapes = _simulated_shapes(rng, seed, number, paced)
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
    time = np.arange(samples)[:, None] / _SIMULATED_RATE
    breathing = 0.08 * np.sin(2 * np.pi * (0.25 * time + rng.uniform(0, 1, 2)))
    signals += breathing + rng.normal(0, 0.015, signals.shape)
    return Record(number, signals, ("MLII", "V1"), _SIMULATED_RATE, r_peaks, symbols, simulated=True)


def _simulated_rhythm(
    rng: np.random.Generator, paced: bool, mean_rr: float, count: int
) -> tuple[np.ndarray, np.ndarray]:
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


def _simulated_shapes(rng: np.random.Generator, seed: int, number: int, paced: bool) -> dict[int, np.ndarray]:
    """Return the shape of each class in one record: (360, 2) millivolts, the R peak at row 126."""
    # Each record has a normal shape of its own and one of eight ventricular and paced shapes: solving
    # ECGSYN's equations is what takes the time.
    variant = int(rng.integers(8))
    normal = _template("normal", seed, number)
    ventricular = 1.2 * _template("ventricular", seed, variant)
    shapes = {0: normal, 1: normal, 2: ventricular, 3: (normal + ventricular) / 2, 4: normal}
    if paced:
        shapes[4] = _template("paced", seed, variant).copy()
        spike = _TEMPLATE_BEFORE - int(0.04 * _SIMULATED_RATE)
        shapes[4][spike : spike + 2] += 0.8
    return shapes


@lru_cache(maxsize=256)
def _template(kind: str, seed: int, variant: int) -> np.ndarray:
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
            sampling_rate=_SIMULATED_RATE,
            heart_rate=60,
            heart_rate_std=0,
            noise=0,
            method="ecgsyn",
            random_state=0,
            ti=waves["ti"],
            ai=waves["ai"] * height,
            bi=waves["bi"] * width,
        )
        start = 2 * _SIMULATED_RATE - _TEMPLATE_BEFORE  # the third R peak; the first cycles still settle
        piece = signal[start : start + _TEMPLATE_LENGTH]
        cycle[:, lead] = piece - np.linspace(piece[0], piece[-1], _TEMPLATE_LENGTH)
    cycle.flags.writeable = False
    return cycle
