"""All heartbeats of the MIT-BIH Arrhythmia Database in one call, from the cache once they have been cut.

The records are read by `records`, the beats cut by `beats`. Simulated hearts come only when asked for.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dae_utils.data import mitdb
from dae_utils.data.beats import Heartbeats, cut_records, heartbeats_from
from dae_utils.data.download import RouteFailure
from dae_utils.data.mitdb import FOLDER_SETTING, MITDB_URL, TITLE, record_folder
from dae_utils.data.records import own_records, read_files
from dae_utils.data.simulated import simulate_heartbeats
from dae_utils.data.storage import SourceError, atomic_write, data_dir, locked, one_line, show_path
from dae_utils.validation import check_choice

__all__ = ["CUT_VERSION", "load_heartbeats"]

# Raise this number whenever `cut_beats` or `beats_of` gives other beats than before, or other columns: the
# beats in the caches of all readers are then cut anew.
CUT_VERSION = 1

_OTHERWISE = (
    'or ask for simulated beats by load_heartbeats("simulated") or allow_simulated=True, '
    "which show the mechanics and no real hearts"
)

Columns = dict[str, NDArray[Any]]


def load_heartbeats(
    kind: Literal["records", "simulated"] = "records",
    *,
    leads: Literal["main", "both"] = "main",
    folder: str | os.PathLike[str] | None = None,
    verify: bool = True,
    allow_simulated: bool = False,
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
            named and PhysioNet can't be reached. They are marked by `simulated`, and no chapter's results are
            recorded from them in the full profile.
        base_url: the folder of the records on PhysioNet's server, with a slash at the end.
        seed: of the simulated beats.

    Raises:
        SourceError: no records can be had, or those in the named folder are not right.
        ValueError: an argument is not one of its choices.
    """
    check_choice(kind, "kind", ("records", "simulated"))
    check_choice(leads, "leads", ("main", "both"))
    if kind == "simulated":
        return simulate_heartbeats(seed, leads=leads)
    if not verify:
        return _load_own(folder, leads)
    try:
        return _load_verified(folder, leads, base_url)
    except SourceError as error:
        # Only a host that does not serve leads to simulated beats; a full disk is an error.
        if not allow_simulated or not isinstance(error.__cause__, RouteFailure):
            raise
        warnings.warn(
            f"SIMULATED heartbeats in place of MIT-BIH: nothing in the cache, {FOLDER_SETTING} is not "
            f"set, and {base_url} does not serve ({one_line(error.__cause__)}). "
            f"Set {FOLDER_SETTING} to a folder with the 48 records to use real ones.",
            stacklevel=2,
        )
    return simulate_heartbeats(seed, leads=leads)


def _load_own(folder: str | os.PathLike[str] | None, leads: str) -> Heartbeats:
    """Cut the beats of all records in a folder of the reader's own."""
    if folder is None:
        raise ValueError("verify=False is for records of your own: name their folder with folder=...")
    where = Path(folder).expanduser()
    origin = f"your own records in {show_path(where)}, not verified"
    return heartbeats_from(_cut(where, own_records(where), leads), origin)


def _load_verified(folder: str | os.PathLike[str] | None, leads: str, base_url: str) -> Heartbeats:
    """Return the beats of the database, from the cache or cut anew; print where they came from."""
    # A folder that the reader names is looked at each time; the beats in the cache must not hide its faults.
    named = folder or os.environ.get(FOLDER_SETTING)
    columns, origin = None if named else _read_cache(leads), "the cache"
    if columns is None:
        where, origin = record_folder(mitdb.MITDB_RECORDS, folder, base_url, otherwise=_OTHERWISE)
        columns = _read_cache(leads) or _cut_and_store(where, leads)
    beats = heartbeats_from(columns, f"MIT-BIH Arrhythmia Database 1.0.0, from {origin}")
    n_records = len(np.unique(beats.record))
    print(f"{TITLE}: {len(beats)} beats of {n_records} records, from {origin}, verified.", flush=True)
    return beats


def _cut(folder: Path, numbers: tuple[int, ...] | list[int], leads: str) -> Columns:
    """Cut the beats of these records."""
    records = (read_files(folder, str(number)) for number in numbers)
    return cut_records(records, len(numbers), leads == "both")


# The cut beats in the cache: an .npz file, and beside it a note how they were made, with its digest.


def _cache_path(leads: str) -> Path:
    return data_dir() / f"mitdb-beats-{leads}.npz"


def _recipe(leads: str) -> dict[str, str | int]:
    """Return all that decides the beats: when it differs from the note beside them, they are cut anew.

    SciPy resamples the signals and NumPy rounds, and a new minor version of either may give other last
    digits. So both are in the note: the beats depend on what is installed, not on when they were first cut.
    """
    digests = json.dumps(mitdb.file_digests(mitdb.MITDB_RECORDS), sort_keys=True)
    return {
        "cut_version": CUT_VERSION,
        "leads": leads,
        "records_sha256": hashlib.sha256(digests.encode()).hexdigest(),
        **{name: ".".join(version(name).split(".")[:2]) for name in ("numpy", "scipy")},
    }


def _read_cache(leads: str) -> Columns | None:
    """Return the columns from the cache; None if they are not there, of another recipe, or damaged."""
    path = _cache_path(leads)
    try:
        note = json.loads(path.with_suffix(".json").read_text())
        content = path.read_bytes()
    except (OSError, ValueError):
        return None
    if note != {**_recipe(leads), "sha256": hashlib.sha256(content).hexdigest()}:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _cut_and_store(folder: Path, leads: str) -> Columns:
    """Cut all beats and keep them. A cache that can't be written only costs time."""
    columns = _cut(folder, mitdb.MITDB_RECORDS, leads)
    path = _cache_path(leads)
    buffer = io.BytesIO()
    np.savez(buffer, **columns)  # type: ignore[arg-type]
    content = buffer.getvalue()
    note = {**_recipe(leads), "sha256": hashlib.sha256(content).hexdigest()}
    try:
        with locked(path, TITLE):
            with atomic_write(path) as handle:
                handle.write(content)
            with atomic_write(path.with_suffix(".json")) as handle:
                handle.write((json.dumps(note, indent=1) + "\n").encode())
    except (OSError, SourceError) as error:
        warnings.warn(
            f"The cut beats can't be kept in {show_path(path.parent)} ({one_line(error)}), so they are cut "
            "anew each time. Make it writable, or set DAE_DATA_DIR to another folder.",
            stacklevel=3,
        )
    return columns
