"""What the other tools agree on about a notebook: where it and its results are, and the digests of both."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import nbformat
from nbformat import NotebookNode

PROJECT = Path(__file__).resolve().parent.parent
NOTEBOOKS = PROJECT / "notebooks"
# The folder of the studies, inside that of the notebooks and inside that of their results.
STUDIES = "studies"
PUBLISHED_PROFILE = "full"


def find_chapters(folder: Path = NOTEBOOKS) -> list[Path]:
    """Return the chapters' notebooks in the order of their numbers."""
    return sorted(folder.glob("*.ipynb"))


def find_studies(folder: Path = NOTEBOOKS) -> list[Path]:
    """Return the studies' notebooks in the order of their numbers, which are those of their chapters."""
    return sorted((folder / STUDIES).glob("*.ipynb"))


def find_notebooks(folder: Path = NOTEBOOKS) -> list[Path]:
    """Return the chapters' notebooks, then the studies'."""
    return find_chapters(folder) + find_studies(folder)


def name_of(path: Path) -> str:
    """Return what commands and pages call a notebook: ``01_topic``, or ``studies/01_topic`` for a study."""
    return f"{STUDIES}/{path.stem}" if is_study(path) else path.stem


def is_study(path: Path) -> bool:
    """Tell whether the notebook at a path is a study and not a chapter."""
    return path.parent.name == STUDIES


def read_notebook(path: Path) -> NotebookNode:
    """Read a notebook of any version as format 4.

    Raises:
        ValueError: the file is not a notebook.
    """
    try:
        return nbformat.read(path, as_version=4)
    except nbformat.reader.NotJSONError as error:
        raise ValueError(f"{path} is not a notebook: restore it from git.") from error


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Return the code cells that hold any code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def code_digest(notebook: NotebookNode) -> str:
    """Return ``"sha256:…"`` over the code cells' sources in order.

    Blanks at the ends of lines and of cells do not count: editors change them without changing the program.
    Prose, outputs and metadata do not count either.
    """
    sources = [
        "\n".join(line.rstrip() for line in cell.source.splitlines()).strip("\n")
        for cell in code_cells(notebook)
    ]
    return "sha256:" + hashlib.sha256(json.dumps(sources).encode()).hexdigest()


def results_file(path: Path) -> Path:
    """Return where the notebook at a path writes its headline numbers."""
    if is_study(path):
        return path.parent.parent / "results" / STUDIES / f"{path.stem}.json"
    return path.parent / "results" / f"{path.stem}.json"


def other_results_files(file: Path) -> list[Path]:
    """Return the files of results beside one, of chapters and of studies."""
    top = file.parent.parent if file.parent.name == STUDIES else file.parent
    return sorted(other for other in top.rglob("*.json") if other != file)


def results_digest(file: Path) -> str | None:
    """Return ``"sha256:…"`` over what a results file says, however it is laid out, or None without one."""
    if not file.is_file():
        return None
    content = json.dumps(json.loads(file.read_text(encoding="utf-8")), sort_keys=True)
    return "sha256:" + hashlib.sha256(content.encode()).hexdigest()


def live_files(path: Path) -> list[Path]:
    """Return the files of networks for the pages that the notebook at a path has written, by name."""
    return sorted((path.parent / "live").glob(f"{path.stem[:2]}_*.js"))


def live_digest(path: Path) -> str | None:
    """Return ``"sha256:…"`` over those files and their names, or None when there are none."""
    return _files_digest(live_files(path))


def trained_files(path: Path) -> list[Path]:
    """Return the files of the networks that the notebook at a path has published, by name."""
    folder = (path.parent.parent if is_study(path) else path.parent) / "trained"
    return sorted(file for ending in ("npz", "json") for file in folder.glob(f"{path.stem}.*.{ending}"))


def trained_digest(path: Path) -> str | None:
    """Return ``"sha256:…"`` over those files and their names, or None when there are none."""
    return _files_digest(trained_files(path))


def _files_digest(files: list[Path]) -> str | None:
    if not files:
        return None
    content = [(file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]
    return "sha256:" + hashlib.sha256(json.dumps(content).encode()).hexdigest()
