"""Other databases of PhysioNet in the format of MIT-BIH, read from a folder of your own; none is fetched.

The environment variable DAE_PHYSIONET_DIR names a folder in which each database has one of its own, with
PhysioNet's name for it: `incartdb`, `svdb`, `afdb`, `nsrdb`. Their files are not verified by digests. The
reader was tested on small made-up records in their formats, and not on the databases themselves, which nobody
had at hand when it was written.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dae_utils.data.ecg import Record
from dae_utils.data.records import read_files
from dae_utils.data.storage import SourceError, show_path

__all__ = ["DATABASES", "FOLDERS_SETTING", "Database", "external_folder", "external_records"]

FOLDERS_SETTING = "DAE_PHYSIONET_DIR"


@dataclass(frozen=True)
class Database:
    """What has to be known of a database to read it.

    Args:
        title: what it is.
        url: its page.
        sampling_rate: samples a second.
        marks: the endings of its files of annotations, those with all beats first; the rhythms are read from
            `atr` in any case.
    """

    title: str
    url: str
    sampling_rate: int
    marks: tuple[str, ...] = ("atr",)


DATABASES = {
    "incartdb": Database(
        "St Petersburg INCART 12-lead Arrhythmia Database",
        "https://physionet.org/content/incartdb/1.0.0/",
        257,
    ),
    "svdb": Database(
        "MIT-BIH Supraventricular Arrhythmia Database",
        "https://physionet.org/content/svdb/1.0.0/",
        128,
    ),
    "afdb": Database(
        "MIT-BIH Atrial Fibrillation Database",
        "https://physionet.org/content/afdb/1.0.0/",
        250,
        # Beats found by a program, corrected by hand where that was done.
        ("qrsc", "qrs"),
    ),
    "nsrdb": Database(
        "MIT-BIH Normal Sinus Rhythm Database",
        "https://physionet.org/content/nsrdb/1.0.0/",
        128,
    ),
}


def external_folder(name: str) -> Path | None:
    """Return the folder of a database, or None where there is none or DAE_PHYSIONET_DIR is not set.

    Raises:
        ValueError: an unknown database.
        SourceError: the setting names no folder.
    """
    if name not in DATABASES:
        raise ValueError(f"there is no external database {name!r}; choose from {', '.join(DATABASES)}.")
    named = os.environ.get(FOLDERS_SETTING)
    if not named:
        return None
    above = Path(named).expanduser()
    if not above.is_dir():
        raise SourceError(
            f"{FOLDERS_SETTING} names {show_path(above)}, which is no folder.\nNext: correct it."
        )
    return above / name if (above / name).is_dir() else None


def external_records(name: str) -> Iterator[Record]:
    """Yield the records of a database one at a time, in order of their names; nothing where it has no folder.

    A record without signals is passed over, as there are two in AFDB. Where the annotations of the rhythm and
    those of the beats are in two files, the record has both.

    Raises:
        ValueError, SourceError: see `external_folder`.
        SourceError: there are no records, one is damaged, or one has another rate than the database.
    """
    folder = external_folder(name)
    if folder is None:
        return
    database = DATABASES[name]
    stems = sorted(path.stem for path in folder.glob("*.hea") if path.with_suffix(".dat").is_file())
    if not stems:
        raise SourceError(
            f"{database.title}: there are no records in {show_path(folder)}.\n"
            f"Next: put its .hea, .dat and annotation files there, or take the folder away."
        )
    for stem in stems:
        record = _read(folder, stem, database)
        if record.sampling_rate != database.sampling_rate:
            raise SourceError(
                f"{database.title}: record {stem} has {record.sampling_rate} samples a second, the database "
                f"{database.sampling_rate}.\nNext: look whether the folder holds another database."
            )
        yield record


def _read(folder: Path, stem: str, database: Database) -> Record:
    """Read one record with its beats, and with its rhythms from `atr` where those are in another file."""
    marks = next((ending for ending in database.marks if (folder / f"{stem}.{ending}").is_file()), None)
    if marks is None:
        raise SourceError(
            f"{database.title}: record {stem} has no annotations ({' or '.join(database.marks)}).\n"
            "Next: get that file, too."
        )
    record = read_files(folder, stem, ending_of_marks=marks, of_ones_own=True)
    if marks == "atr" or not (folder / f"{stem}.atr").is_file():
        return record
    return record.with_rhythms_of(read_files(folder, stem, of_ones_own=True))
