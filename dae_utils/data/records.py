"""How one record is read: from which folder, whether its files are whole, and what its marks say.

A record is three files in PhysioNet's WFDB format: a header (.hea), signals (.dat) and annotations (.atr).
wfdb decodes them; this module adds the checks that wfdb does not make.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dae_utils.data import mitdb
from dae_utils.data.ecg import (
    AAMI_CLASS,
    MILLIVOLTS,
    Annotations,
    Record,
    flutter_spans,
    rhythm_spans,
    unit_named,
)
from dae_utils.data.mitdb import FILE_ENDINGS, MITDB_URL, SIMULATED_OFFSET, record_folder
from dae_utils.data.simulated import simulate_record
from dae_utils.data.storage import SourceError, one_line, show_path

if TYPE_CHECKING:
    import wfdb

__all__ = ["own_records", "read_files", "read_record"]


def read_record(
    number: int | str,
    folder: str | os.PathLike[str] | None = None,
    verify: bool = True,
    base_url: str = MITDB_URL,
    annotated: bool = True,
) -> Record:
    """Return one record: its signals in millivolts, the names of its leads, its beats and its rhythms.

    The three files come from `folder`, else from the folder that DAE_MITDB_DIR names, else from the cache,
    else from `base_url`. Each is verified by its SHA-256. With `verify=False` a `folder` of your own WFDB
    records is read: the signals are then checked only against length and checksum in the record's own header.
    A number from 9100 on is a record of `simulate_record`, so that `Heartbeats.record` can be followed back
    whatever the source.

    Args:
        number: of a record of the database or of `simulate_record`; with `verify=False` the name of its
            files without the ending, a number or text such as "my_holter".
        folder: where the files are.
        verify: whether they must be PhysioNet's, byte for byte.
        base_url: the folder of the records on PhysioNet's server, with a slash at the end.
        annotated: whether there is a file of annotations. Without one there are no beats and no rhythms.

    Raises:
        ValueError: an unknown number.
        SourceError: the files can't be had or are not right.
    """
    if not verify:
        if folder is None:
            raise ValueError("verify=False is for records of your own: name their folder with folder=...")
        return read_files(Path(folder).expanduser(), str(number), annotated)
    if isinstance(number, str):
        raise ValueError(
            f"MIT-BIH's records have numbers, not names such as {number!r}: pass verify=False and folder=... "
            "for a record of your own."
        )
    if number - SIMULATED_OFFSET in mitdb.MITDB_RECORDS:
        return simulate_record(number)
    if number not in mitdb.MITDB_RECORDS:
        known = ", ".join(map(str, mitdb.MITDB_RECORDS))
        raise ValueError(f"MIT-BIH has no record {number}; it has {known}.")
    where, _ = record_folder([number], folder, base_url)
    return read_files(where, str(number), annotated)


def own_records(folder: Path) -> list[int]:
    """Return the numbers of the WFDB records in a folder, counting those of which some file is missing.

    Raises:
        SourceError: there are none, or their names are no plain numbers.
    """
    stems = {path.stem for ending in FILE_ENDINGS for path in folder.glob(f"*.{ending}")}
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


def read_files(
    folder: Path,
    name: str,
    annotated: bool = True,
    *,
    ending_of_marks: str = "atr",
    of_ones_own: bool = False,
) -> Record:
    """Read the files of one WFDB record and check that they are whole.

    Leads that are no voltages, such as the breath, are left out.

    Args:
        folder: where they are.
        name: their name without the ending.
        annotated: whether annotations are read too.
        ending_of_marks: the ending of the file of annotations.
        of_ones_own: whether it may lack what a record of a database has: samples that are marked as missing
            are NaN, and annotations need not mark beats.

    Raises:
        SourceError: a file is missing, damaged, or does not fit the others, or no lead is a voltage.
    """
    import wfdb  # here, since it takes most of a second and beats from the cache do without it

    for ending in ("hea", "dat", ending_of_marks) if annotated else ("hea", "dat"):
        if not (folder / f"{name}.{ending}").is_file():
            raise SourceError(
                f"Record {name}: {name}.{ending} is missing from {show_path(folder)}.\n"
                "Next: get that file; a record is a header (.hea), signals (.dat) and annotations (.atr)."
            )
    stem = str(folder / name)
    try:
        header = wfdb.rdrecord(stem, physical=False)
        marks = _annotations(wfdb.rdann(stem, ending_of_marks)) if annotated else Annotations.none()
    except Exception as error:  # wfdb raises whatever its parsing stumbles over
        raise SourceError(
            f"Record {name} in {show_path(folder)} can't be read: {one_line(error)}.\n"
            "Next: its files are cut short or damaged; get the three of them again."
        ) from error
    is_beat = np.isin(marks.symbol, list(AAMI_CLASS))
    if header.fs != int(header.fs) or header.fs < 1:
        raise SourceError(
            f"Record {name}: {name}.hea states {header.fs} samples a second, no whole number above 0.\n"
            "Next: correct it, or resample to a whole number, for example with wfdb.processing.resample_sig."
        )
    scales = [MILLIVOLTS.get(unit_named(unit or "mV") or "", 0.0) for unit in header.units]
    used = [column for column, scale in enumerate(scales) if scale]
    if not used:
        raise SourceError(
            f"Record {name}: no lead is a voltage; the units in {name}.hea are {', '.join(header.units)}.\n"
            "Next: correct the units in the header to mV, uV or V."
        )
    signals = header.dac()[:, used] * np.array([scales[column] for column in used])
    fault = _signal_fault(header, name)
    if not fault and not of_ones_own and not np.isfinite(signals).all():
        fault = f"{name}.dat has samples that are marked as missing (NaN)"
    if annotated and not fault:
        marks_file = f"{name}.{ending_of_marks}"
        whole = _ends_with_its_mark(folder / marks_file)
        least = 0 if of_ones_own else 2
        fault = _annotation_fault(marks, is_beat, header.sig_len, whole, marks_file, least)
    if fault:
        raise SourceError(f"Record {name} in {show_path(folder)}: {fault}.\nNext: get its files again.")
    return Record(
        number=int(name) if name.isdecimal() else -1,
        signals=signals,
        lead_names=tuple(header.sig_name[column] for column in used),
        sampling_rate=int(header.fs),
        r_peaks=marks.sample[is_beat],
        symbols=marks.symbol[is_beat],
        rhythms=rhythm_spans(marks, header.sig_len),
        flutter=flutter_spans(marks, header.sig_len),
        annotations=marks,
        name=name,
    )


def _annotations(found: wfdb.Annotation) -> Annotations:
    """Return what wfdb read as arrays; it leaves the zero bytes at the end of some notes."""
    return Annotations(
        np.asarray(found.sample, np.int64),
        np.array(found.symbol, "<U1"),
        np.asarray(found.subtype, np.int64),
        np.array([note.rstrip("\0") for note in found.aux_note], np.str_),
    )


def _signal_fault(record: wfdb.Record, name: str) -> str | None:
    """Say what is wrong with the signals that wfdb read, or None."""
    # The header holds a checksum for each lead: the sum of its samples, of which the last 16 bits are kept.
    for lead, stated, found in zip(record.sig_name, record.checksum, record.calc_checksum(), strict=True):
        if stated is not None and (stated - found) % 65536:
            return f"lead {lead} in {name}.dat does not add up to the checksum in {name}.hea"
    return None


def _ends_with_its_mark(path: Path) -> bool:
    """Return whether a file of annotations ends with its zero word.

    wfdb does not miss it, so that half a file would pass for a whole one.
    """
    return path.read_bytes().endswith(b"\0\0")


def _annotation_fault(
    marks: Annotations, is_beat: np.ndarray, samples: int, whole: bool, file: str, least: int
) -> str | None:
    """Say what is wrong with the annotations that wfdb read, or None; `least` beats must be marked."""
    r_peaks = marks.sample[is_beat]
    if not whole:
        return f"{file} is cut short (it lacks its end mark)"
    if len(r_peaks) < least:
        return f"{file} marks fewer than two beats"
    if len(r_peaks) and ((np.diff(r_peaks) <= 0).any() or r_peaks[0] < 0 or r_peaks[-1] >= samples):
        return f"{file} marks beats out of order or beyond the end of the signal"
    return None
