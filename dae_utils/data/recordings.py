"""A recording of one's own as a `Record`: from arrays, or from a CSV, EDF or WFDB file.

Every `Record` made here has a rate and named leads and is in millivolts. What could pass for a lead and is
none (a time), and what could pass for millivolts and is none (microvolts, a converter's numbers), is refused.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dae_utils.data.ecg import (
    MILLIVOLTS,
    Annotations,
    Record,
    RecordingError,
    plain_lead,
    unit_named,
    whole_rate,
)
from dae_utils.data.edf import read_edf
from dae_utils.data.records import read_files
from dae_utils.data.storage import SourceError, one_line

__all__ = [
    "LARGEST_RANGE",
    "RecordingError",
    "only_rises",
    "range_a_second",
    "read_recording",
    "recording",
    "refuse_implausible",
]

# Millivolts within the median second. The converter of MIT-BIH spans 10.24; its smallest lead moves by 0.185
# in the first ten seconds, which is 185 microvolts, or 37 steps of that converter.
LARGEST_RANGE = 20.0
_SMALLEST_RANGE = 0.02
_LEAST_SECONDS = 1
_TEXT_ENDINGS = (".csv", ".txt", ".tsv")
_WFDB_ENDINGS = (".hea", ".dat", ".atr")
_HEART = ("ECG", "EKG")


def recording(
    signals: ArrayLike,
    *,
    sampling_rate: float,
    lead_names: Sequence[str] | None = None,
    units: str = "mV",
    name: str = "recording",
) -> Record:
    """Return signals of your own as a `Record` in millivolts, without annotations.

    Args:
        signals: (samples, leads), or (samples,) for one lead; missing samples are NaN.
        sampling_rate: samples a second, a whole number.
        lead_names: the names of the columns; by default those of a DataFrame, else 1, 2, 3 and so on.
        units: of all columns: mV, uV or V, as `dae_utils.data.ecg.unit_named` knows them.
        name: what the recording is called.

    Raises:
        RecordingError: another shape or unit, no whole rate, less than a second, a column that only rises as
            a time does, one without any value, or values that no lead has in these units.
    """
    if lead_names is None and hasattr(signals, "columns"):
        lead_names = [str(column) for column in signals.columns]
    values = np.asarray(signals)
    if values.dtype.kind not in "iuf" or values.ndim not in (1, 2) or values.size == 0:
        raise RecordingError(
            f"{name}: signals must be numbers of shape (samples, leads), not {values.dtype} {values.shape}."
        )
    values = values.reshape(len(values), -1)
    names = [str(n + 1) for n in range(values.shape[1])] if lead_names is None else _distinct(lead_names)
    if len(names) != values.shape[1]:
        turned = "; pass signals.T" if len(names) == len(values) else ""
        raise RecordingError(f"{name}: {values.shape[1]} columns and {len(names)} names of leads{turned}.")
    if isinstance(sampling_rate, bool) or not np.isreal(sampling_rate) or not sampling_rate > 0:
        raise RecordingError(f"{name}: the sampling rate must be samples a second, not {sampling_rate!r}.")
    return _checked(values, names, whole_rate(float(sampling_rate), name), [units] * len(names), name)


def read_recording(
    path: str | os.PathLike[str],
    *,
    sampling_rate: float | None = None,
    units: str | None = None,
    leads: Sequence[str] | None = None,
) -> Record:
    """Read an electrocardiogram from a file.

    * `.csv`, `.txt`, `.tsv`: see `dae_utils.data.csv_recordings.read_columns`.
    * `.edf`: EDF or EDF+. Where some labels name an electrocardiogram ("ECG II"), only those are leads.
    * WFDB: the name of the header, with or without `.hea`. Annotations (`.atr`) are read where they are.

    Args:
        path: of the file.
        sampling_rate: samples a second, for a text file that has no column of times; with any other file it
            must agree with what the file says.
        units: mV, uV or V, where a table or an EDF file does not say; without, it is taken to be in
            millivolts.
        leads: the names of the leads to read, in this order; without, all.

    Raises:
        RecordingError: one line that says what is wrong and what to do.
    """
    path = Path(path).expanduser()
    ending = path.suffix.casefold()
    if units is not None and unit_named(units) is None:
        raise RecordingError(f"units must be one of {', '.join(MILLIVOLTS)}, not {units!r}.")
    if sampling_rate is not None and not sampling_rate > 0:
        raise RecordingError(f"the rate must be samples a second, above 0, not {sampling_rate}.")
    if path.is_dir():
        raise RecordingError(f"{path.name} is a folder; name one recording in it.")
    if ending in _TEXT_ENDINGS:
        found = _from_text(path, sampling_rate, units, leads)
    elif ending == ".edf":
        found = _from_edf(path, units, leads)
    elif ending in _WFDB_ENDINGS or path.with_name(f"{path.name}.hea").is_file():
        if units is not None:
            raise RecordingError(
                f"{path.name}: a WFDB header states the units; leave yours out, or correct it."
            )
        found = _from_wfdb(path, leads)
    elif not path.exists():
        raise RecordingError(
            f"there is no file {path.name}, nor a WFDB header {path.name}.hea, in its folder."
        )
    else:
        raise RecordingError(
            f"{path.name} can't be read: export it as CSV ({', '.join(_TEXT_ENDINGS)}), EDF (.edf) or WFDB "
            "(.hea, .dat)."
        )
    if sampling_rate is not None and abs(found.sampling_rate - sampling_rate) > 0.01 * found.sampling_rate:
        raise RecordingError(
            f"{path.name} says that it has {found.sampling_rate} samples a second, and you say "
            f"{sampling_rate:g}; leave your rate out, or correct the file."
        )
    return found


def _from_text(
    path: Path, sampling_rate: float | None, units: str | None, leads: Sequence[str] | None
) -> Record:
    from dae_utils.data.csv_recordings import read_columns  # here, since pandas takes its time

    columns, rate = read_columns(path)
    if rate is None and sampling_rate is None:
        raise RecordingError(f"{path.name} does not say how many samples a second it has; give the rate.")
    # A column with a unit that is no voltage is no lead: a pulse in beats a minute, a movement in g.
    names = [column.name for column in columns if not column.unit or unit_named(column.unit)]
    chosen = _chosen(names, leads, path.name)
    by_name = {column.name: column for column in columns}
    if not chosen:
        raise RecordingError(f"{path.name} has no column that could be a lead, only times or other units.")
    return _checked(
        np.column_stack([by_name[name].values for name in chosen]),
        chosen,
        whole_rate(float(rate or sampling_rate or 0), path.name),
        [_unit_of(by_name[name].unit, units, path.name) for name in chosen],
        path.stem,
    )


def _from_edf(path: Path, units: str | None, leads: Sequence[str] | None) -> Record:
    try:
        signals = [signal for signal in read_edf(path) if not signal.unit or unit_named(signal.unit)]
    except SourceError as error:
        raise RecordingError(one_line(error, 300) + ".") from error
    by_name = dict(zip(_distinct([signal.label for signal in signals]), signals, strict=True))
    hearts = [name for name in by_name if name.upper().startswith(_HEART)]
    chosen = _chosen(hearts if hearts and not leads else list(by_name), leads, path.name)
    if not chosen:
        raise RecordingError(f"{path.name} holds no signal in mV, uV or V.")
    rates = {by_name[name].sampling_rate for name in chosen}
    if len(rates) > 1:
        raise RecordingError(
            f"{path.name}: its signals {', '.join(chosen)} have different rates; name the leads to take."
        )
    return _checked(
        np.column_stack([by_name[name].values for name in chosen]),
        chosen,
        whole_rate(float(rates.pop()), path.name),
        [_unit_of(by_name[name].unit, units, path.name) for name in chosen],
        path.stem,
    )


def _from_wfdb(path: Path, leads: Sequence[str] | None) -> Record:
    stem = path.with_suffix("") if path.suffix.casefold() in _WFDB_ENDINGS else path
    try:
        found = read_files(
            stem.parent, stem.name, stem.with_name(f"{stem.name}.atr").is_file(), of_ones_own=True
        )
    except SourceError as error:
        raise RecordingError(one_line(error, 300) + ".") from error
    names = _distinct(found.lead_names)
    chosen = _chosen(names, leads, stem.name)
    columns = [names.index(name) for name in chosen]
    return _checked(
        found.signals[:, columns], chosen, found.sampling_rate, ["mV"] * len(columns), stem.name, found
    )


def _chosen(names: list[str], leads: Sequence[str] | None, file: str) -> list[str]:
    """Return the leads to read, all by default, by their names as `plain_lead` compares them."""
    if leads is None:
        return names
    known = {plain_lead(name): name for name in reversed(names)}
    unknown = [lead for lead in leads if plain_lead(lead) not in known]
    if unknown:
        raise RecordingError(f"there is no lead {', '.join(unknown)}; {file} has {', '.join(names)}.")
    if len({plain_lead(lead) for lead in leads}) != len(leads):
        raise RecordingError(f"the leads {', '.join(leads)} name one of {file} twice.")
    return [known[plain_lead(lead)] for lead in leads]


def _distinct(names: Sequence[str]) -> list[str]:
    """Return names of which no two are alike: the second "ECG" becomes "ECG 2"."""
    result: list[str] = []
    for name in names:
        number = 2
        tried = name
        while tried in result:
            tried, number = f"{name} {number}", number + 1
        result.append(tried)
    return result


def _unit_of(stated: str, given: str | None, file: str) -> str:
    """Return the unit of a lead, from what the file states and what the caller says."""
    if stated and given and unit_named(stated) != unit_named(given):
        raise RecordingError(
            f"{file} states the unit {stated}, and you say {given}; correct the one that is wrong."
        )
    return stated or given or "mV"


def _checked(
    values: NDArray[Any],
    names: list[str],
    rate: int,
    units: list[str],
    name: str,
    read: Record | None = None,
) -> Record:
    """Return a `Record` in millivolts with the annotations of `read`, or raise `RecordingError`."""
    scales = [MILLIVOLTS.get(unit_named(unit) or "") for unit in units]
    if None in scales:
        raise RecordingError(
            f"{name}: units must be {', '.join(MILLIVOLTS)}, not {units[scales.index(None)]!r}."
        )
    if len(values) < _LEAST_SECONDS * rate:
        turned = "; leads are columns: pass signals.T" if values.shape[1] > len(values) else ""
        raise RecordingError(
            f"{name} is shorter than a second ({len(values)} samples at {rate} a second{turned})."
        )
    signals: NDArray[np.float64] = values * np.array(scales, np.float64)
    for lead, unit, column in zip(names, units, signals.T, strict=True):
        refuse_implausible(column, rate, lead, unit, name)
    return Record(
        number=read.number if read else -1,
        signals=signals,
        lead_names=tuple(names),
        sampling_rate=rate,
        r_peaks=read.r_peaks if read else np.zeros(0, np.int64),
        symbols=read.symbols if read else np.zeros(0, "<U1"),
        rhythms=read.rhythms if read else (),
        flutter=read.flutter if read else (),
        annotations=read.annotations if read else Annotations.none(),
        name=name,
    )


def refuse_implausible(lead: NDArray[np.float64], rate: int, name: str, unit: str, file: str) -> None:
    """Raise `RecordingError` for a lead, in millivolts, that is a time, is empty, or is in another unit."""
    if not np.isfinite(lead).any():
        raise RecordingError(f"{file}: lead {name} has no value at all; leave it out.")
    if only_rises(lead, rate):
        raise RecordingError(
            f"{file}: column {name} only ever rises, as a time or a sample number does; call it 'time (s)' "
            "or leave it out."
        )
    usual = range_a_second(lead, rate)
    if usual > LARGEST_RANGE:
        raise RecordingError(
            f"{file}: lead {name} moves by {usual:.3g} mV within a second if its unit is {unit}, too far for "
            "a heart; if these are microvolts say units uV, if a converter's numbers divide by its gain."
        )
    if 0 < usual < _SMALLEST_RANGE:
        raise RecordingError(
            f"{file}: lead {name} moves by {usual:.3g} mV within a second if its unit is {unit}, too little "
            "for a heart; if these are volts say units V, if millivolts say units mV."
        )


def only_rises(lead: NDArray[np.float64], rate: int) -> bool:
    """Return whether values never fall and are higher after every second, as times and numbers are."""
    each_second = lead[::rate]
    is_higher = bool((each_second[1:] > each_second[:-1]).all())
    return len(each_second) > 1 and is_higher and bool((lead[1:] >= lead[:-1]).all())


def range_a_second(lead: NDArray[np.float64], rate: int) -> float:
    """Return how far a lead moves in the median second; 0 where there is no whole second of it."""
    n_seconds = len(lead) // rate
    seconds = lead[: n_seconds * rate].reshape(n_seconds, rate)
    known = np.isfinite(seconds)
    some = known.any(axis=1)
    if not some.any():
        return 0.0
    highest = seconds.max(axis=1, initial=-np.inf, where=known)[some]
    lowest = seconds.min(axis=1, initial=np.inf, where=known)[some]
    return float(np.median(highest - lowest))
