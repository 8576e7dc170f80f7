"""Recomputes the headline numbers of the chapters from their published networks, and compares.

``python -m tools.verify [--force] [NOTEBOOK ...]``: each notebook that has published networks is run in the
``full`` profile, in a folder of its own, with its networks loaded instead of trained; what it then writes to
its file of results is compared with the committed file, number by number. Nothing that is committed changes.
A chapter that publishes no network trains in minutes, so it is run from nothing. A notebook that was verified
before, in this very state, is not run again.

A number holds when it differs from the published one by at most 0.5 % of it, or by a tenth of the half-width
of its interval, whichever is more: another machine or release rounds otherwise, and moves no verdict.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from tools.chapter_rules import is_rewritten
from tools.execute import RunFailedError, chosen_notebooks, installed_versions, run_notebook
from tools.notebook_code import (
    PROJECT,
    STUDIES,
    code_digest,
    find_notebooks,
    is_study,
    read_notebook,
    results_digest,
    results_file,
    trained_digest,
    trained_files,
)

RELATIVE_TOLERANCE = 0.005
SHARE_OF_INTERVAL = 0.1
# Load, and refuse to train a stored network anew.
SETTINGS = {"DAE_TRAIN": "never"}


@dataclass(frozen=True)
class Comparison:
    """One number as published and as recomputed; None where one of the two files lacks it."""

    key: str
    published: float | None
    now: float | None
    holds: bool


def compare(published: dict[str, dict], now: dict[str, dict]) -> list[Comparison]:
    """Return every key of two results files with its verdict, in the order of the published one."""
    rows = []
    for key in dict.fromkeys((*published, *now)):
        if key not in published or key not in now:
            values = [file[key]["value"] if key in file else None for file in (published, now)]
            rows.append(Comparison(key, *values, holds=False))
            continue
        before, after = published[key], now[key]
        width = 0.0 if before["low"] is None else (before["high"] - before["low"]) / 2
        allowed = max(RELATIVE_TOLERANCE * abs(before["value"]), SHARE_OF_INTERVAL * width)
        holds = abs(before["value"] - after["value"]) <= allowed
        rows.append(Comparison(key, before["value"], after["value"], holds))
    return rows


def verify(path: Path, scratch: Path) -> list[Comparison]:
    """Run one notebook with its published networks in the folder `scratch`, and compare its numbers.

    Raises:
        RunFailedError: a cell failed; a network that does not fit its code is such a failure.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    # A study looks for networks beside its folder, so its folder keeps its name.
    folder = scratch / STUDIES if is_study(path) else scratch
    folder.mkdir(parents=True)
    trained = scratch / "trained"
    trained.mkdir()
    for file in trained_files(path):
        shutil.copy2(file, trained)
    copy = folder / path.name
    shutil.copy2(path, copy)
    run_notebook(copy, settings=SETTINGS)
    published, now = (json.loads(results_file(place).read_text(encoding="utf-8")) for place in (path, copy))
    return compare(published, now)


def trains_in_minutes(path: Path) -> bool:
    """Tell whether a notebook is a chapter as they are now written, which has the size of a lesson."""
    return is_rewritten(path) and not is_study(path)


def _state(path: Path) -> str:
    """Return a digest of all that a verdict depends on."""
    notebook = read_notebook(path)
    parts = [
        code_digest(notebook),
        trained_digest(path),
        results_digest(results_file(path)),
        installed_versions(),
    ]
    library = hashlib.sha256()
    for file in sorted((PROJECT / "dae_utils").rglob("*.py")):
        library.update(file.read_bytes())
    return hashlib.sha256(
        json.dumps([*parts, installed_versions(), library.hexdigest()]).encode()
    ).hexdigest()


def _show(rows: list[Comparison]) -> None:
    width = max(len(row.key) for row in rows)
    print(f"  {'key':{width}}  {'published':>11}  {'now':>11}  verdict")
    for row in rows:
        published, now = (
            "missing" if value is None else f"{value:.6g}" for value in (row.published, row.now)
        )
        print(f"  {row.key:{width}}  {published:>11}  {now:>11}  {'holds' if row.holds else 'DOES NOT HOLD'}")


def main(arguments: list[str] | None = None) -> int:
    """Verify what the command line names, or all; return 0, or 1 when a number does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tools.verify", description=__doc__)
    parser.add_argument("--force", action="store_true", help="run even what was verified in this state")
    parser.add_argument("notebook", nargs="*", help="a notebook's name or path")
    options = parser.parse_args(arguments)
    try:
        paths = chosen_notebooks(options.notebook) if options.notebook else find_notebooks()
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 1
    chosen = [path for path in paths if trained_files(path) or trains_in_minutes(path)]
    for path in paths:
        if path not in chosen:
            print(f"{path.stem}: publishes no network, so there is nothing to verify from one")
    failed = []
    for path in chosen:
        scratch = PROJECT / "_build" / "verify" / path.stem
        note = scratch.with_suffix(".json")
        state = _state(path)
        if not options.force and note.is_file() and note.read_text(encoding="utf-8") == state:
            print(f"{path.stem}: verified before, and nothing has changed since")
            continue
        networks = "with its published networks" if trained_files(path) else "from nothing"
        print(f"{path.stem}: running {networks}", flush=True)
        try:
            rows = verify(path, scratch)
        except RunFailedError as error:
            print(f"{path.stem}: {error}", file=sys.stderr)
            failed.append(path.stem)
            continue
        _show(rows)
        if all(row.holds for row in rows):
            note.write_text(state, encoding="utf-8")
        else:
            failed.append(path.stem)
    if failed:
        print(f"DOES NOT HOLD: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
