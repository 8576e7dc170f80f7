"""Checks of the committed notebooks that need no kernel.

``python -m tools.check_notebooks [NOTEBOOK ...]`` prints what is wrong and ends with 1 if anything is.
Each check takes a notebook's path and content and returns one line for every fault that it finds.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Callable, Iterator
from numbers import Real
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from packaging.version import Version

from tools.chapter_rules import NOT_YET_REWRITTEN, RULES, is_bookkeeping, is_rewritten
from tools.notebook_code import (
    PROJECT,
    PUBLISHED_PROFILE,
    STUDIES,
    code_cells,
    code_digest,
    find_notebooks,
    live_digest,
    other_results_files,
    read_notebook,
    results_digest,
    results_file,
    trained_digest,
)

LONGEST_CELL = 15
WAY_OUT = "run `make execute` and commit the notebook"

# Put together from parts, because no file of the project may hold these names.
_REGISTRIES = (
    ("registry", "npmjs", "org"),
    ("registry", "yarnpkg", "com"),
    ("pypi", "org"),
    ("pythonhosted", "org"),
    ("deb", "debian", "org"),
    ("snapshot", "debian", "org"),
)
REGISTRY_HOSTS = tuple(".".join(parts) for parts in _REGISTRIES)
MACHINE_PATH = re.compile(
    r"(?<![\w.~-])/(?:root|work|farm|home/[\w.-]+|Users/[\w.-]+|tmp/\w+|var/folders)/|\b[A-Z]:\\+Users\\"
)

# A result with one of these words in its key is a fraction.
_FRACTIONS = {"auroc", "auc", "ap", "rate", "rates", "accuracy", "precision", "recall", "f1"}

# Code, formulas, roles other than citations, and addresses.
_NOT_PROSE = re.compile(
    r"\$\$.*?\$\$|\$[^$\n]+\$|\{(?!cite)[\w:-]+\}`[^`]*`|(?<!\})`[^`]*`|https?://\S+", flags=re.DOTALL
)
_NUMBER_IN_PROSE = re.compile(r"(?<![\w.,/:-])(\d+\.\d+(?!\.?\d)|\d+(?= ?%))( ?%)?")
_NUMBER_IN_CODE = re.compile(r"(?<![\w.])(?:\d[\d_]*\.?\d*|\.\d+)(?:e[-+]?\d+)?", flags=re.IGNORECASE)


def foreign_names(text: str) -> list[str]:
    """Return the paths of one machine and the package registries' host names that a text holds."""
    return [match.group() for match in MACHINE_PATH.finditer(text)] + [
        host for host in REGISTRY_HOSTS if host in text
    ]


def is_current(path: Path, notebook: NotebookNode) -> bool:
    """Tell whether the stored outputs and results come from a full run of exactly this code, to its end."""
    return not any(check(path, notebook) for check in (_code, _order, _errors, _results, _live, _trained))


def _code(path: Path, notebook: NotebookNode) -> list[str]:
    record = notebook.metadata.get("dae", {})
    if not record:
        return [f"nothing tells which code the outputs come from: {WAY_OUT}"]
    if record.get("code_digest") != code_digest(notebook):
        return [f"the code was changed after its outputs were made: {WAY_OUT}"]
    if record.get("profile") != PUBLISHED_PROFILE:
        return [f"the outputs come from the profile {record.get('profile')!r}, not 'full': {WAY_OUT}"]
    return []


def _order(path: Path, notebook: NotebookNode) -> list[str]:
    counts = [cell.execution_count for cell in code_cells(notebook)]
    if not counts:
        return ["it has no code"]
    never = sum(count is None for count in counts)
    if never:
        return [f"{never} of {len(counts)} code cells were never run: {WAY_OUT}"]
    if counts != list(range(1, len(counts) + 1)):
        return [f"the cells were not run once each from top to bottom, but as {counts}: {WAY_OUT}"]
    return []


def _errors(path: Path, notebook: NotebookNode) -> list[str]:
    return [
        f"code cell {number} ends with {output.ename}: {output.evalue}"
        for number, output in _outputs(notebook)
        if output.output_type == "error"
    ]


def _tidy_outputs(path: Path, notebook: NotebookNode) -> list[str]:
    faults = []
    for number, output in _outputs(notebook):
        if output.output_type == "stream" and output.name == "stderr":
            faults.append(f"code cell {number} keeps what was written to stderr: {WAY_OUT}")
        if any("widget" in kind for kind in output.get("data", {})):
            faults.append(f"code cell {number} keeps a widget, which shows nothing in the book: {WAY_OUT}")
        faults += [
            f"code cell {number} shows {name!r}: print nothing that belongs to one machine"
            for name in foreign_names(_shown_text(output))
        ]
    return faults


def _short_cells(path: Path, notebook: NotebookNode) -> list[str]:
    # This rule and the next are those of the first edition, for the notebooks that are not yet rewritten.
    if is_rewritten(path):
        return []
    faults = []
    for number, cell in enumerate(code_cells(notebook), 1):
        lines = sum(bool(line.strip()) for line in cell.source.splitlines())
        if lines > LONGEST_CELL:
            faults.append(f"code cell {number} has {lines} lines, the limit is {LONGEST_CELL}: split it")
    return faults


def _prose(path: Path, notebook: NotebookNode) -> list[str]:
    if is_rewritten(path):
        return []
    faults = []
    number = 0
    for before, cell in zip([None, *notebook.cells], notebook.cells, strict=False):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        number += 1
        if before is None or before.cell_type != "markdown" or not before.source.strip():
            faults.append(
                f"code cell {number} ({_first_line(cell)}) has no prose before it: say what it does"
            )
    return faults


def _record(path: Path, notebook: NotebookNode) -> list[str]:
    record = notebook.metadata.get("dae", {})
    faults = [
        f"its record of the run has no {key!r} above zero: {WAY_OUT}"
        for key in ("seconds", "peak_memory_mb")
        if not (_is_number(record.get(key)) and record[key] > 0)
    ]
    timed = len(record.get("cells_seconds", []))
    cells = len(code_cells(notebook))
    if timed != cells:
        faults.append(f"its record times {timed} of {cells} code cells: {WAY_OUT}")
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", str(record.get("executed"))):
        faults.append(f"its record has no date of the run: {WAY_OUT}")
    return faults


def _versions(path: Path, notebook: NotebookNode) -> list[str]:
    # The lock promises to be what the published outputs came from.
    locked = locked_versions(PROJECT / "requirements.lock")
    used = notebook.metadata.get("dae", {}).get("versions", {})
    return [
        f"it ran with {name} {used.get(name)}, which is not in requirements.lock: {WAY_OUT}"
        for name in ("tensorflow", "keras", "numpy")
        if used.get(name) is None or Version(used[name]) not in locked[name]
    ]


def _results(path: Path, notebook: NotebookNode) -> list[str]:
    file = results_file(path)
    if not file.is_file():
        return [f"results/{file.name} is missing: the notebook has to write its headline numbers there"]
    try:
        results = json.loads(file.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        return [f"results/{file.name} is not JSON ({error}): {WAY_OUT}"]
    if not isinstance(results, dict) or not results:
        return [f"results/{file.name} holds no results: {WAY_OUT}"]
    if notebook.metadata.get("dae", {}).get("results_digest") != results_digest(file):
        return [f"results/{file.name} is not what the notebook's run wrote: {WAY_OUT}"]
    return [
        f"results/{file.name}, {key}: {fault}"
        for key, entry in results.items()
        for fault in _result_faults(key, entry)
    ]


def _unique_results(path: Path, notebook: NotebookNode) -> list[str]:
    # A number is asked for by its key alone, so two of one name would be a number that depends on the order.
    file = results_file(path)
    keys = set(json.loads(file.read_text(encoding="utf-8"))) if not _results(path, notebook) else set()
    return [
        f"results/{file.name}: {key} is the key of a result in {other.name} too"
        for other in other_results_files(file)
        if not _taken_over(file, other)
        for key in sorted(keys & set(json.loads(other.read_text(encoding="utf-8"))))
    ]


def _taken_over(*files: Path) -> bool:
    """Tell whether one file is a study's and the other that of a chapter which waits to be rewritten.

    Such a chapter may still record what a study has measured anew; the pages show the study's number.
    """
    studies = [file for file in files if file.parent.name == STUDIES]
    chapters = [file for file in files if file.parent.name != STUDIES]
    return bool(studies) and any(file.stem in NOT_YET_REWRITTEN for file in chapters)


def _live(path: Path, notebook: NotebookNode) -> list[str]:
    if notebook.metadata.get("dae", {}).get("live_digest") == live_digest(path):
        return []
    return [f"live/{path.stem[:2]}_*.js are not what the notebook's run wrote: {WAY_OUT}"]


def _trained(path: Path, notebook: NotebookNode) -> list[str]:
    if notebook.metadata.get("dae", {}).get("trained_digest") == trained_digest(path):
        return []
    return [f"trained/{path.stem}.* are not what the notebook's run stored: {WAY_OUT}"]


def _figures(path: Path, notebook: NotebookNode) -> list[str]:
    faults = []
    for number, cell in enumerate(code_cells(notebook), 1):
        left_out = is_bookkeeping(cell) or "remove-output" in cell.metadata.get("tags", [])
        shows_image = not left_out and any(
            kind.startswith("image/") for output in cell.outputs for kind in output.get("data", {})
        )
        if not shows_image:
            continue
        settings = cell.metadata.get("mystnb", {})
        wanted = {
            "alternative text": settings.get("image", {}).get("alt"),
            "caption": settings.get("figure", {}).get("caption"),
            "name": settings.get("figure", {}).get("name"),
        }
        # A folded solution's figure is described by the solution.
        if cell.metadata.get("jupyter", {}).get("source_hidden"):
            wanted = {"alternative text": wanted["alternative text"]}
        faults += [
            f"the figure of code cell {number} ({_first_line(cell)}) has no {what}: add it to the metadata"
            for what, text in wanted.items()
            if not (isinstance(text, str) and text.strip())
        ]
    for text in _texts(notebook):
        directives = re.findall(r"```+\{(?:glue:)?(?:figure|image)\}.*?```", text, flags=re.DOTALL)
        faults += [
            f"{directive.splitlines()[0]} has no :alt:: say what there is to see"
            for directive in directives
            if not re.search(r"^:alt: *\S", directive, flags=re.MULTILINE)
        ]
    return faults


def _prose_numbers(path: Path, notebook: NotebookNode) -> list[str]:
    """Find results typed into the text: they would stay when a new run gives others.

    A number with a decimal point or a per cent sign has to be glued, or to be a setting, which stands in the
    code too, or to be cited, with its source in the same sentence. The level of the intervals, 95 %, is a
    convention of the book.
    """
    settings = {0.95}
    for cell in code_cells(notebook):
        settings |= {float(number.replace("_", "")) for number in _NUMBER_IN_CODE.findall(cell.source)}
    faults = []
    for prose in _texts(notebook):
        for sentence in re.split(r"(?<=[.;:!?])\s+|\n{2,}", _NOT_PROSE.sub(" ", prose)):
            if "{cite" in sentence:
                continue
            for text, per_cent in _NUMBER_IN_PROSE.findall(sentence):
                value = float(text) / 100 if per_cent else float(text)
                if not any(math.isclose(value, setting) for setting in settings):
                    shown = f"{text} %" if per_cent else text
                    faults.append(f"{shown!r} is typed into the text ({sentence.strip()[:50]!r}): glue it")
    return faults


Check = Callable[[Path, NotebookNode], list[str]]


def _of_rewritten(rule: Check) -> Check:
    """Return a rule that the notebooks of the first edition need not keep."""
    return lambda path, notebook: rule(path, notebook) if is_rewritten(path) else []


CHECKS: dict[str, Check] = {
    "outputs come from this code": _code,
    "every cell ran once, in order": _order,
    "no cell ends with an error": _errors,
    "outputs are tidy": _tidy_outputs,
    "cells are short": _short_cells,
    "prose before every cell": _prose,
    "figures are described": _figures,
    "numbers in the text come from the run": _prose_numbers,
    "the run is recorded": _record,
    "versions are those of the lock": _versions,
    "results are written": _results,
    "keys of results are unique": _of_rewritten(_unique_results),
    "networks for the pages are those of the run": _live,
    "published networks are those of the run": _trained,
    **{name: _of_rewritten(rule) for name, rule in RULES.items()},
}


def problems(path: Path) -> list[str]:
    """Return everything that is wrong with one notebook, each line with the notebook's name in front."""
    notebook = read_notebook(path)
    return [f"{path.stem}: {fault}" for check in CHECKS.values() for fault in check(path, notebook)]


def locked_versions(lock: Path) -> dict[str, set[Version]]:
    """Return the versions of every package in a lock file: more than one where they differ by system."""
    versions: dict[str, set[Version]] = {}
    pins = re.findall(r"^([a-z0-9-]+)==([^\s;\\]+)", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for name, version in pins:
        versions.setdefault(name, set()).add(Version(version))
    return versions


def _result_faults(key: str, entry: Any) -> list[str]:
    fields = {"value", "low", "high", "seeds", "protocol", "profile"}
    if not isinstance(entry, dict) or set(entry) != fields:
        return [f"it needs exactly the fields {', '.join(sorted(fields))}"]
    faults = []
    value, low, high = entry["value"], entry["low"], entry["high"]
    if not _is_number(value):
        return [f"its value is {value!r}, not a number"]
    if (low is None) != (high is None) or not all(x is None or _is_number(x) for x in (low, high)):
        faults.append(f"its interval is [{low!r}, {high!r}]: two numbers, or null twice")
    elif low is not None and not low <= value <= high:
        faults.append(f"its value {value} is outside its interval [{low}, {high}]")
    if _FRACTIONS & set(re.split(r"[._]", key)):
        outside = [x for x in (value, low, high) if _is_number(x) and not 0 <= x <= 1]
        faults += [f"{x} is not a fraction between 0 and 1" for x in outside]
    if not isinstance(entry["seeds"], int) or entry["seeds"] < 1:
        faults.append(f"its seeds are {entry['seeds']!r}: the number of runs behind the value")
    protocol = entry["protocol"]
    if not isinstance(protocol, str) or not protocol.strip() or "\n" in protocol:
        faults.append("its protocol is not one line of text")
    if entry["profile"] != PUBLISHED_PROFILE:
        faults.append(f"it comes from the profile {entry['profile']!r}, not 'full'")
    return faults


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _texts(notebook: NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]


def _outputs(notebook: NotebookNode) -> Iterator[tuple[int, NotebookNode]]:
    for number, cell in enumerate(code_cells(notebook), 1):
        for output in cell.outputs:
            yield number, output


def _shown_text(output: NotebookNode) -> str:
    """Return an output's text in all its forms, images left out."""
    data = output.get("data", {})
    shown = [str(value) for kind, value in data.items() if kind == "image/svg+xml" or "image/" not in kind]
    return "\n".join([str(output.get("text", "")), *shown, *output.get("traceback", [])])


def _first_line(cell: NotebookNode) -> str:
    return cell.source.strip().splitlines()[0][:60]


def main(arguments: list[str] | None = None) -> int:
    """Check the named notebooks, or all, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.check_notebooks", description=__doc__)
    parser.add_argument("notebook", nargs="*", type=Path, help="a notebook's path (default: all chapters)")
    paths = parser.parse_args(arguments).notebook or find_notebooks()
    if not paths:
        print("There is no notebook to check in notebooks/.", file=sys.stderr)
        return 1
    faults = [fault for path in paths for fault in problems(path)]
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(paths)} notebook(s), {len(faults)} fault(s)")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
