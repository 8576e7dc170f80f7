"""Makes what students are given: ``python -m tools.coursework.release [ASSIGNMENT ...]``.

nbgrader takes the solutions and the hidden checks out of the instructor's notebooks. Beside the notebooks
go the library of the book, a short list of what to install, and the program that runs a visible check on
its own; all of it as a folder and as a zip file in `_build/coursework`.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools.coursework.course import SECRET_WORDS, settings
from tools.coursework.places import (
    ASSIGNMENTS,
    PROJECT,
    RELEASE,
    ReleaseError,
    assignments,
    check_ours,
    source_of,
)
from tools.coursework.submissions import release_of

FOLDER = "deep-autoencoders-coursework"
_PROJECT_FOR_STUDENTS = ("brief.md", "rubric.md")


def generate(course: Path, names: list[str]) -> dict[str, Path]:
    """Let nbgrader make the release of assignments in the folder `course`, and return the notebooks' paths.

    Raises:
        ReleaseError: nbgrader refused a notebook.
    """
    # The rest of this module does without nbgrader.
    from nbgrader.apps import NbGraderAPI

    released = {}
    api = NbGraderAPI(config=settings(course))
    for name in names:
        folder = course / "source" / name
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(source_of(name), folder / f"{name}.ipynb")
        result = api.generate_assignment(name, force=True)
        if not result["success"]:
            raise ReleaseError(f"nbgrader could not make a release of {name}:\n{result.get('error')}")
        released[name] = course / "release" / name / f"{name}.ipynb"
        nbformat.write(_tidied(name, nbformat.read(released[name], as_version=4)), released[name])
    return released


def _tidied(name: str, notebook: NotebookNode) -> NotebookNode:
    """Drop outputs and all metadata that the grader does not need, and note which release this is."""
    release = release_of(notebook.cells)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": kernel, "coursework": {"assignment": name, "release": release}}
    )
    for cell in notebook.cells:
        # In the cells too, since some editors drop what is noted about the whole.
        kept = (
            {"nbgrader": {**cell.metadata["nbgrader"], "release": release}}
            if "nbgrader" in cell.metadata
            else {}
        )
        cell.metadata = nbformat.from_dict(kept)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def secret_lines(sources: list[Path]) -> set[str]:
    """Return the lines of instructor's notebooks that no student may see: solutions and hidden checks.

    What also stands in a question, a set-up or a visible check of any of them is no secret, and lines too
    short to tell anything are left out.
    """
    secret, public = set(), []
    for cell in (cell for source in sources for cell in nbformat.read(source, as_version=4).cells):
        inside = False
        for line in map(str.strip, cell.source.splitlines()):
            if any(word in line for word in SECRET_WORDS):
                inside = "BEGIN" in line
            elif inside:
                secret.add(line)
            else:
                public.append(line)
    known = "\n".join(public)
    return {
        line
        for line in secret
        if len(line) >= 12 and line not in known and not line.startswith(("import ", "from "))
    }


def leaks(folder: Path, names: list[str]) -> list[str]:
    """Return where a release holds a line that it must not: one text for each, empty when all is well.

    Every file is searched as text, whatever it is, so outputs and metadata of notebooks are included; text
    that JSON spells differently is compared as JSON spells it.
    """
    found = []
    secrets = secret_lines([source_of(name) for name in names])
    # As the line stands in a Python file, and as it stands in a notebook.
    spelt = {line: {line, re.sub(r'(["\\])', r"\\\1", line)} for line in secrets}
    for path in sorted(folder.rglob("*")):
        # The library is public, and a solution may well use a line that it has too.
        if path.is_dir() or "dae_utils" in path.relative_to(folder).parts:
            continue
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                text = "\n".join(
                    archive.read(member).decode("utf-8", "replace")
                    for member in archive.namelist()
                    if "/dae_utils/" not in member
                )
        else:
            text = path.read_bytes().decode("utf-8", "replace")
        for word in SECRET_WORDS:
            if word in text:
                found.append(f"{path.name}: {word}")
        for line, forms in spelt.items():
            if any(form in text for form in forms):
                found.append(f"{path.name}: {line}")
    return found


def _requirements() -> str:
    tensorflow = next(
        line.partition("#")[0].strip()
        for line in (PROJECT / "requirements.txt").read_text(encoding="utf-8").splitlines()
        if line.startswith("tensorflow")
    )
    how = "# In this folder: python -m pip install -r requirements.txt"
    return f"{how}\n{tensorflow}\njupyterlab\n--editable .\n"


def _readme(names: list[str]) -> str:
    listed = "\n".join(f"- `{name}/{name}.ipynb`" for name in names)
    return f"""# Coursework: deep autoencoders

{listed}
- `project/brief.md`, with the rubric that the project is marked by

The book's own environment has all that you need. Without it, in this folder and with Python 3.11, 3.12 or
3.13:

    python -m venv .venv
    . .venv/bin/activate        # on Windows: .venv\\Scripts\\activate
    python -m pip install -r requirements.txt
    jupyter lab

Answer in the cells that say YOUR CODE HERE. After each there is a visible check: run it as often as you
like. From anywhere in the notebook, `from selfcheck import check; check("NAME")` runs the check called NAME
on what you have defined (save first). On a command line, `python selfcheck.py {names[0]}` runs a whole
notebook and says which visible checks hold. Hidden checks run when your work is graded; the book's page
"What the hidden checks are about" says what each looks at. Hand in the notebook, and nothing else.
"""


def build(target: Path = RELEASE, names: list[str] | None = None) -> Path:
    """Make the release of assignments (default: all) in the folder `target`, and return the path of its zip
    file.

    Raises:
        ReleaseError: nbgrader refused a notebook, or something would have been given away.
        ValueError: there is no such assignment, or `target` holds something else.
    """
    names = names or assignments()
    check_ours(target, FOLDER)
    shutil.rmtree(target, ignore_errors=True)
    folder = target / FOLDER
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as course:
        for name, path in generate(Path(course).resolve(), names).items():
            (folder / name).mkdir()
            shutil.copy(path, folder / name)
            # Beside the notebook too, since a kernel starts in the notebook's folder.
            shutil.copy(Path(__file__).with_name("selfcheck.py"), folder / name)
    shutil.copy(Path(__file__).with_name("selfcheck.py"), folder)
    shutil.copytree(PROJECT / "dae_utils", folder / "dae_utils", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "pyproject.toml", folder)
    for name in _PROJECT_FOR_STUDENTS:
        if (ASSIGNMENTS / "project" / name).is_file():
            (folder / "project").mkdir(exist_ok=True)
            shutil.copy(ASSIGNMENTS / "project" / name, folder / "project")
    (folder / "requirements.txt").write_text(_requirements(), encoding="utf-8")
    (folder / "README.md").write_text(_readme(names), encoding="utf-8")
    archive = target / f"{FOLDER}.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                # A fixed date: the same sources give the same file.
                entry = zipfile.ZipInfo(str(path.relative_to(target)), (2020, 1, 1, 0, 0, 0))
                entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                zipped.writestr(entry, path.read_bytes())
    given_away = leaks(target, names)
    if given_away:
        shutil.rmtree(target)
        raise ReleaseError("The release would give away:\n" + "\n".join(given_away))
    return archive


def main(arguments: list[str] | None = None) -> int:
    """Make the release; 0 when that worked."""
    parser = argparse.ArgumentParser(prog="python -m tools.coursework.release", description=__doc__)
    parser.add_argument("assignment", nargs="*", help="default: all")
    parser.add_argument("--to", type=Path, default=RELEASE, help="folder to make anew (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        archive = build(options.to, options.assignment)
    except (ReleaseError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"For students: {archive.with_suffix('')}\nThe same as one file: {archive}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
