"""The MIT-BIH Arrhythmia Database: which records it has, where their files are, and whether they are right.

Moody and Mark, "The impact of the MIT-BIH Arrhythmia Database", IEEE Engineering in Medicine and Biology
20(3), 2001; published by PhysioNet under ODC-By 1.0. What is in a file is the business of `records`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from dae_utils.data.mitdb_digests import MITDB_SHA256
from dae_utils.data.sources import check_files, fetch_files
from dae_utils.data.storage import SourceError, data_dir, show_path

__all__ = [
    "DS1_RECORDS",
    "DS2_RECORDS",
    "FILE_ENDINGS",
    "FOLDER_SETTING",
    "MITDB_RECORDS",
    "MITDB_URL",
    "PACED_RECORDS",
    "SIMULATED_OFFSET",
    "TITLE",
    "check_mitdb",
    "fetch_mitdb",
    "file_digests",
    "record_folder",
]

TITLE = "MIT-BIH"
FOLDER_SETTING = "DAE_MITDB_DIR"
MITDB_URL = "https://physionet.org/files/mitdb/1.0.0/"
FILE_ENDINGS = ("hea", "dat", "atr")

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

_NEXT_STEP = (
    f"check the connection and try again, or put the 48 records from {MITDB_URL} in a folder "
    f"and set {FOLDER_SETTING} to it"
)


def file_digests(numbers: Sequence[int]) -> dict[str, str]:
    """Return the SHA-256 of the three files of each record, by file name."""
    names = [f"{number}.{ending}" for number in numbers for ending in FILE_ENDINGS]
    return {name: MITDB_SHA256[name] for name in names}


def record_folder(
    numbers: Sequence[int],
    folder: str | os.PathLike[str] | None = None,
    base_url: str = MITDB_URL,
    otherwise: str = "",
) -> tuple[Path, str]:
    """Return a folder that holds these records, verified, and in words where they came from.

    It is `folder`, else the folder that DAE_MITDB_DIR names, else one in the cache, into which the files that
    it lacks are fetched. A folder that somebody named and that is not right is an error, never passed over.

    Args:
        numbers: of records of the database.
        folder: where the reader keeps them.
        base_url: the folder of the records on PhysioNet's server, with a slash at the end.
        otherwise: a last way out, for the error when the server does not serve.

    Raises:
        SourceError: the files can't be had, or those in the named folder are not PhysioNet's.
    """
    digests = file_digests(numbers)
    if named := folder or os.environ.get(FOLDER_SETTING):
        where = Path(named).expanduser()
        _check_folder(
            where, digests, "Next: correct `folder`" if folder else f"Next: correct {FOLDER_SETTING}"
        )
        return where, f"the records in {show_path(where)}"
    where = data_dir() / "mitdb"
    next_step = f"{_NEXT_STEP}{'; ' + otherwise if otherwise else ''}."
    return where, fetch_files(TITLE, where, digests, base_url, next_step=next_step, most=10_000_000)


def fetch_mitdb(base_url: str = MITDB_URL) -> str:
    """Make sure that all 48 records are at hand and verified, and say in a few words where they are.

    With DAE_MITDB_DIR set the records in that folder are verified; otherwise those that the cache lacks are
    downloaded from `base_url`, 93 MB in all.

    Raises:
        SourceError: that fails.
    """
    return record_folder(MITDB_RECORDS, base_url=base_url)[1]


def check_mitdb() -> None:
    """Verify all 48 records in the folder that DAE_MITDB_DIR names, else in the cache, and change nothing.

    Raises:
        SourceError: says which files are missing or not PhysioNet's.
    """
    named = os.environ.get(FOLDER_SETTING)
    where = Path(named).expanduser() if named else data_dir() / "mitdb"
    way_out = f"Next: correct {FOLDER_SETTING}" if named else "Next: run `python -m dae_utils fetch mitdb`"
    _check_folder(where, file_digests(MITDB_RECORDS), way_out)


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
