"""Finds what was handed in, reads it whatever it is, and takes the answers out of it.

A submission is a file that a stranger wrote: it may be a link, a pipe, huge, broken, or made for another
release. It is read through the folder that it lies in, without following a link anywhere, and nothing of it
is run here.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LARGEST_MB = 20
_MOST_CELLS, _LONGEST_CELL = 1000, 2**19


class UnreadableError(ValueError):
    """What was handed in cannot be graded; the text says why, as a sentence."""


@dataclass(frozen=True)
class Submission:
    """Where one student's notebook of one assignment lies.

    Attributes:
        student: the name of the folder, as the system spells it.
        assignment: for example ``"01_garments"``.
        parts: folders and file below the folder of all submissions.
    """

    student: str
    assignment: str
    parts: tuple[str, ...]

    @property
    def key(self) -> str:
        """Return a short name that is safe anywhere, and its own for each student and assignment."""
        return hashlib.sha256(os.fsencode(self.student) + b"/" + self.assignment.encode()).hexdigest()[:16]

    @property
    def shown(self) -> str:
        """Return the student's name in letters that any table can hold."""
        text = os.fsencode(self.student).decode("utf-8", "backslashreplace")
        return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)[:120]


@dataclass
class Answers:
    """What a student wrote.

    Attributes:
        answers: source of each answer, by the name of its cell; texts included.
        own: cells that the student added, by the name of the given cell before them ("" before the first).
        remarks: what a person should know.
    """

    answers: dict[str, str] = field(default_factory=dict)
    own: dict[str, list[str]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def find_submissions(folder: Path, names: list[str]) -> list[Submission]:
    """Return all submissions to some assignments in a folder, in the order of students.

    One folder a student: ``STUDENT/01_garments.ipynb`` or ``STUDENT/01_garments/01_garments.ipynb``.
    """
    found = []
    for student in sorted(entry.name for entry in os.scandir(folder) if not entry.name.startswith(".")):
        if not (folder / student).is_dir():
            continue
        for name in names:
            for parts in ((student, f"{name}.ipynb"), (student, name, f"{name}.ipynb")):
                if os.path.lexists(folder.joinpath(*parts)):
                    found.append(Submission(student, name, parts))
                    break
    return found


def left_out(folder: Path, submissions: list[Submission]) -> list[Path]:
    """Return the notebooks that are none of the submissions, such as ``01_garments (1).ipynb``."""
    taken = {folder.joinpath(*submission.parts) for submission in submissions}
    found = [
        Path(where) / name for where, _, names in os.walk(folder) for name in names if name.endswith(".ipynb")
    ]
    return sorted(
        path
        for path in found
        if path not in taken and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def read_bytes(folder: Path, parts: tuple[str, ...]) -> tuple[bytes, bool]:
    """Return the content of a file below a folder, and whether the file has another name somewhere.

    Raises:
        UnreadableError: it, or a folder on the way, is a link or something else than it should be; or it is
            too large.
    """
    inside = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for number, part in enumerate(parts, 1):
            kind = os.O_DIRECTORY if number < len(parts) else os.O_NONBLOCK
            deeper = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | kind, dir_fd=inside)
            os.close(inside)
            inside = deeper
        state = os.fstat(inside)
        if not stat.S_ISREG(state.st_mode):
            raise UnreadableError("What was handed in is not a file, so it was not read.")
        if state.st_size > LARGEST_MB * 2**20:
            raise UnreadableError(f"The notebook is larger than {LARGEST_MB} MiB.")
        with os.fdopen(os.dup(inside), "rb") as file:
            return file.read(LARGEST_MB * 2**20 + 1), state.st_nlink > 1
    except OSError as error:
        raise UnreadableError(
            "What was handed in is a link, or cannot be opened, so it was not read."
        ) from error
    finally:
        os.close(inside)


def cells_of(content: bytes) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the cells and the metadata of a notebook.

    Raises:
        UnreadableError: it is not a notebook.
    """
    try:
        notebook = json.loads(content.decode("utf-8-sig", "replace"))
        cells, metadata = notebook["cells"], notebook.get("metadata")
        if not isinstance(cells, list) or not all(isinstance(c, dict) and c["cell_type"] for c in cells):
            raise KeyError("cells")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UnreadableError("What was handed in is not a notebook that can be read.") from error
    if len(cells) > _MOST_CELLS:
        raise UnreadableError(f"The notebook has more than {_MOST_CELLS} cells.")
    return cells, metadata if isinstance(metadata, dict) else {}


def source_of_cell(cell: dict[str, Any]) -> str:
    """Return what stands in a cell, as text that Python can read."""
    source = cell.get("source", "")
    text = "".join(map(str, source)) if isinstance(source, list) else str(source)
    # Half of a pair of surrogates is no letter, and would keep the whole cell from running.
    return text[:_LONGEST_CELL].encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def mark_of(cell: dict[str, Any]) -> dict[str, Any]:
    """Return what nbgrader notes about a cell, empty when there is nothing."""
    metadata = cell.get("metadata")
    mark = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    return mark if isinstance(mark, dict) else {}


def release_of(cells: list[dict[str, Any]]) -> str:
    """Return the name of a release: a digest of its set-up and its visible checks, and of what it asks for.

    It is the same for an instructor's notebook and for what was made of it, and tells nothing that is hidden.
    """
    known = []
    for cell in cells:
        name = str(mark_of(cell).get("grade_id", ""))
        if name.startswith(("check-", "set-up")):
            known.append([name, source_of_cell(cell).strip()])
        elif name:
            known.append([name])
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()[:12]


def answers_of(content: bytes, master: list[dict[str, Any]], any_release: bool = False) -> Answers:
    """Return the answers in a notebook that was handed in.

    An answer is found by the name of its cell; of two with one name the first counts. Everything else
    (checks, set-up, prose, outputs) is left where it is: the grader has its own.

    Args:
        content: of the file.
        master: the cells of the instructor's notebook.
        any_release: also take answers to another release.

    Raises:
        UnreadableError: it is no notebook, or was made of another release.
    """
    cells, metadata = cells_of(content)
    marks = [mark_of(cell) for cell in cells]
    carried = {m.get("release") for m in marks if isinstance(m.get("release"), str)}
    if isinstance(metadata.get("coursework"), dict):
        carried.add(str(metadata["coursework"].get("release")))
    wanted = release_of(master)
    taken = Answers()
    if wanted not in carried:
        text = "The notebook does not come from the release of this course that is being graded"
        if not any_release:
            raise UnreadableError(
                f"{text}: put the answers into the notebook that was given out, and hand that in."
            )
        taken.remarks.append(text)
    solutions = {mark_of(cell)["grade_id"] for cell in master if mark_of(cell).get("solution")}
    names = {mark_of(cell).get("grade_id") for cell in master}
    last = ""
    for cell, mark in zip(cells, marks, strict=True):
        name, source = mark.get("grade_id"), source_of_cell(cell)
        if isinstance(name, str) and name in solutions:
            if name in taken.answers:
                taken.remarks.append(f"{name} was there twice")
                continue
            taken.answers[name], last = source, name
        elif isinstance(name, str) and name in names:
            last = name
        elif cell["cell_type"] == "code" and source.strip():
            taken.own.setdefault(last, []).append(source)
    taken.remarks += [f"{name} was missing" for name in sorted(solutions - set(taken.answers))]
    return taken
