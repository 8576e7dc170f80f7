"""Puts a submission's answers into a fresh copy of what was given out, whatever was done to the rest."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

LARGEST_MB = 20
# Not forbidden, since there may be a reason; a person should look at it.
_SUSPICIOUS = {
    r"\b_getframe\b|\bf_back\b|\bf_locals\b|\binspect\b": "looks at the caller's frames",
    r"\b_ih\b|\bIn\s*\[|%history\b|\bhistory_manager\b": "looks at earlier input",
    r"\bget_ipython\b|\bipykernel\b": "reaches into the kernel",
    r"\bos\._exit\b|\bsys\.exit\b|\bquit\(|\bexit\(|\bSystemExit\b": "ends the program",
    r"\bsubprocess\b|\bos\.system\b|\bPopen\b|^\s*!": "starts other programs",
    r"\bgradebook\b|[\"']hidden-|BEGIN HIDDEN": "looks for the checks",
    r"\bgc\.get_objects\b|\bsettrace\b|\bctypes\b": "reaches into Python",
    r"\bnp\.testing\s*=|\bassert_\w+\s*=|\bnumpy\.\w+\s*=[^=]": "replaces functions of a library",
}


class UnreadableError(ValueError):
    """What was handed in is not a notebook."""


def read_submission(path: Path) -> dict[str, Any]:
    """Return the content of a notebook that was handed in.

    Raises:
        UnreadableError: it is not a notebook, or it is too large.
    """
    if path.is_symlink() or path.stat().st_size > LARGEST_MB * 2**20:
        raise UnreadableError(f"{path.name} is larger than {LARGEST_MB} MiB, or only a link.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        cells = content["cells"]
        if not all(isinstance(cell, dict) and cell["cell_type"] for cell in cells):
            raise KeyError("cell_type")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UnreadableError(f"{path.name} is not a notebook that can be read.") from error
    return content


def _source(cell: dict[str, Any]) -> str:
    source = cell.get("source", "")
    return "".join(map(str, source)) if isinstance(source, list) else str(source)


def _mark(cell: dict[str, Any]) -> dict[str, Any]:
    metadata = cell.get("metadata")
    mark = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    return mark if isinstance(mark, dict) else {}


def restore(master: dict[str, Any], handed_in: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return a copy of `master`, the released notebook, with the answers handed in, and remarks for a person.

    An answer is found by the name of its cell; of two with one name the first counts. Code cells that the
    student added follow the answer that they followed; those before the first answer come after the set-up.
    Everything else (checks, set-up, prose, metadata, outputs) is that of the master.
    """
    names = {_mark(cell).get("grade_id") for cell in master["cells"]} - {None}
    answers: dict[str, dict[str, Any]] = {}
    own: dict[str, list[str]] = {}
    locked: dict[str, str] = {}
    last = ""
    remarks = []
    solution_names = {_mark(c)["grade_id"] for c in master["cells"] if _mark(c).get("solution")}
    for cell in handed_in["cells"]:
        name = _mark(cell).get("grade_id")
        if name in solution_names:
            if name in answers:
                remarks.append(f"{name} was there twice")
                continue
            answers[name] = cell
            last = name
        elif name in names:
            locked[name] = _source(cell)
        elif cell.get("cell_type") == "code" and _source(cell).strip():
            own.setdefault(last, []).append(_source(cell))

    restored = copy.deepcopy(master)
    restored["cells"] = []
    set_up_done = False
    for cell in copy.deepcopy(master["cells"]):
        name = _mark(cell).get("grade_id")
        if name in answers:
            given = _source(answers[name])
            cell["source"] = given
            remarks += [f"{name} {text}" for text in suspicious(given)]
        elif name in solution_names:
            remarks.append(f"{name} was missing")
        elif name and name not in locked:
            remarks.append(f"{name} was missing and has been restored")
        elif name and locked[name].strip() != _source(cell).strip():
            remarks.append(f"{name} was changed and has been restored")
        restored["cells"].append(cell)
        added = own.get(name, []) if name in solution_names else []
        if cell["cell_type"] == "code" and not set_up_done:
            set_up_done, added = True, own.get("", []) + added
        for number, source in enumerate(added):
            remarks += [f"an added cell {text}" for text in suspicious(source)]
            restored["cells"].append(
                {
                    "cell_type": "code",
                    "execution_count": None,
                    "id": f"added-{len(restored['cells'])}-{number}",
                    "metadata": {},
                    "outputs": [],
                    "source": source,
                }
            )
    return restored, list(dict.fromkeys(remarks))


def suspicious(source: str) -> list[str]:
    """Return what in an answer a person should look at, in words."""
    return [text for pattern, text in _SUSPICIOUS.items() if re.search(pattern, source, flags=re.MULTILINE)]
