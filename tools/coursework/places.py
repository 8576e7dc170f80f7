"""Where the coursework lies, and the limits that a submission is held to."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
# Another folder may be named: for next year, or for trying the grader.
ASSIGNMENTS = Path(os.environ.get("DAE_ASSIGNMENTS_DIR", PROJECT / "notebooks" / "assignments"))
BUILD = PROJECT / "_build"
RELEASE = BUILD / "coursework"
GRADING = BUILD / "grading"
BOOK_PYTHON = Path(os.environ.get("DAE_BOOK_PYTHON", PROJECT / ".venv" / "bin" / "python"))


def _limit(default: float, meaning: str) -> Any:
    return field(default=default, metadata={"help": f"{meaning} (default: %(default)s)"})


@dataclass(frozen=True)
class Limits:
    """What one submission may use.

    Attributes:
        cell_seconds: computing of one cell or one call; it is then stopped, and the next ones still run. By
            the clock it may take three times as long, since other programs may compute as well.
        total_seconds: of the whole submission by the clock, twice (once for the outputs, once for the
            points); what has not run by then counts as not answered.
        memory_mb: memory of all its processes together, in MiB.
        processes: how many processes it may have at once.
        output_kb: how much one cell may print, in KiB; the rest is dropped.
        disk_mb: size of each of its folders, which lie in memory, in MiB.
        files: how many files it may keep.
    """

    cell_seconds: float = _limit(60, "seconds of computing of one cell or call")
    total_seconds: float = _limit(600, "seconds of the whole submission, twice")
    memory_mb: int = _limit(4096, "memory of all its processes, in MiB")
    processes: int = _limit(64, "processes at once")
    output_kb: int = _limit(64, "what one cell may print, in KiB")
    disk_mb: int = _limit(256, "size of each of its folders, in MiB")
    files: int = _limit(20000, "files that it may keep")


class ReleaseError(RuntimeError):
    """nbgrader could not make a release, or it would have given something away."""


def check_ours(folder: Path, mark: str) -> None:
    """Make sure that a folder which is about to be replaced is empty, or was made by the same command before.

    Args:
        folder: it need not exist.
        mark: the file or folder by which the command knows what it made.

    Raises:
        ValueError: something else lies in the folder.
    """
    empty = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    if not empty and not (folder / mark).exists():
        raise ValueError(
            f"{folder} holds something else, and would be replaced: name a new folder with --to."
        )


def assignments() -> list[str]:
    """Return the names of the assignments in order, for example ``"01_garments"``."""
    return sorted(
        path.parent.name for path in ASSIGNMENTS.glob("[0-9]*/*.ipynb") if path.stem == path.parent.name
    )


def source_of(assignment: str) -> Path:
    """Return the instructor's notebook of an assignment.

    Raises:
        ValueError: there is no assignment of that name.
    """
    path = ASSIGNMENTS / assignment / f"{assignment}.ipynb"
    if not path.is_file():
        raise ValueError(f"There is no assignment {assignment!r}: there are {', '.join(assignments())}.")
    return path
