"""Makes slides of the chapters from their executed notebooks: ``python -m tools.slides [NOTEBOOK ...]``.

Each section becomes a column of slides: what it says first, then its figures with their captions. Numbers
that the text takes from the run are put in. nbconvert writes the slides; reveal.js and MathJax come from
installed packages and are copied beside them into `_build/slides`, so that nothing is loaded from another
host. Needs `.venv-grading`.
"""

from __future__ import annotations

import argparse
import base64
import importlib.util
import re
import shutil
import sys
from html import escape
from pathlib import Path

import nbformat
from nbconvert import SlidesExporter
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_notebook

from tools.notebook_code import NOTEBOOKS, PROJECT, find_chapters, find_notebooks

SLIDES = PROJECT / "_build" / "slides"
_SKIPPED = ("Exercises", "Further reading", "Quiz")
_RECORD = "application/papermill.record/"
_STYLE = """
.reveal { font-size: 26px; }
.reveal .slides h1 { font-size: 1.7em; text-transform: none; }
.reveal .slides h2 { font-size: 1.3em; text-transform: none; }
.reveal .slides section { text-align: left; }
.reveal section img { display: block; margin: 0 auto; max-height: 440px; max-width: 100%; background: #fff; }
.reveal figcaption { font-size: 0.75em; }
.reveal table { font-size: 0.65em; margin: 0 auto; }
.reveal .jp-Cell { padding: 0; }
.reveal .jp-InputPrompt { display: none; }
"""


class SlidesError(RuntimeError):
    """The slides cannot be made: something they are made of is missing."""


def recorded_values(notebook: NotebookNode) -> dict[str, str]:
    """Return what the notebook's cells handed to its text, by name, as text."""
    values = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            name = output.get("metadata", {}).get("scrapbook", {}).get("name")
            text = output.get("data", {}).get(f"{_RECORD}text/plain")
            if name and text is not None:
                values[name] = "".join(text)
    return values


def _value(reference: str, values: dict[str, str]) -> str:
    name, _, code = reference.partition(":")
    # Names may hold a colon; the last part is a format only if what stands before it is known.
    if reference in values:
        name, code = reference, ""
    text = values.get(name)
    if text is None:
        raise SlidesError(f"the text refers to {name!r}, which no cell has recorded")
    try:
        return format(float(text), code) if code else text.strip("'\"")
    except ValueError:
        return text.strip("'\"")


def plain(text: str, values: dict[str, str], titles: dict[str, str] | None = None) -> str:
    """Return Markdown without what only the book understands: roles are replaced by what they would show."""

    def role(match: re.Match[str]) -> str:
        kind, content = match.group(1), match.group(2)
        shown = re.match(r"(.+?)\s*<([^>]+)>$", content, flags=re.DOTALL)
        if kind == "glue:text":
            return _value(content, values)
        if kind == "cite:p":
            return ""
        if kind.startswith("cite"):
            return " and ".join(re.sub(r"^([a-z]+?)(\d{4}).*", _author, key) for key in content.split(","))
        if kind == "eq":
            return "of the book"
        if kind == "numref":
            return "the figure"
        if shown:
            return shown.group(1)
        if kind == "doc":
            name = content.rpartition("/")[2]
            return f"“{(titles or {}).get(name, name.replace('_', ' '))}”"
        return content

    text = re.sub(r"^(`{3,}|:{3,})\{.*?^\1\s*$", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^\([\w-]+\)=\s*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"\{([\w:-]+)\}`([^`]+)`", role, text)
    text = re.sub(r"\$\$\s*\([\w-]+\)", "$$", text)
    return re.sub(r" +([.,;:])", r"\1", text).strip()


def _author(match: re.Match[str]) -> str:
    return f"{match.group(1).title()} ({match.group(2)})"


def _figures(cell: NotebookNode, values: dict[str, str]) -> list[str]:
    about = cell.metadata.get("mystnb", {})
    caption = plain(about.get("figure", {}).get("caption", ""), values)
    words = plain(about.get("image", {}).get("alt", caption), values)
    found = []
    for output in cell.get("outputs", []):
        shown = output.get("data", {})
        kind = next((kind for kind in ("image/png", "image/svg+xml") if kind in shown), None)
        if kind and not output.get("metadata", {}).get("scrapbook"):
            data = "".join(shown[kind])
            if kind == "image/svg+xml":
                data = base64.b64encode(data.encode()).decode()
            data = data.replace("\n", "")
            base64.b64decode(data, validate=True)
            source = f"data:{kind};base64,{data}"
            found.append(
                f'<figure><img src="{source}" alt="{escape(words)}">'
                f"<figcaption>\n\n{caption}\n\n</figcaption></figure>"
            )
    return found


def to_slides(notebook: NotebookNode, titles: dict[str, str] | None = None) -> NotebookNode:
    """Return a notebook of prose and figures with the marks that nbconvert makes slides of."""
    values = recorded_values(notebook)
    cells: list[NotebookNode] = []

    def add(text: str, kind: str) -> None:
        cells.append(new_markdown_cell(text, metadata={"slideshow": {"slide_type": kind}}))

    skipping, heading, waiting = False, "", False
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for block in re.split(r"^(?=#{1,2} )", cell.source, flags=re.MULTILINE):
                title = re.match(r"#{1,2} (.+)", block)
                if title:
                    heading = title.group(1)
                    skipping = heading in _SKIPPED
                    rest = plain(block.partition("\n")[2], values, titles)
                    whole = heading in ("Summary", "Common mistakes")
                    first = (
                        rest
                        if whole
                        else "\n\n".join(rest.split("\n\n")[: 2 if block.startswith("# ") else 1])
                    )
                    waiting = not first and not skipping
                    if not skipping:
                        _add_parts(add, block.partition("\n")[0], first)
                elif waiting and block.strip():
                    cells[-1].source += "\n\n" + plain(block, values, titles).split("\n\n")[0]
                    waiting = False
        elif not skipping:
            for figure in _figures(cell, values):
                add(figure, "subslide" if cells else "slide")
    made = new_notebook(cells=cells)
    made.metadata = nbformat.from_dict(
        {"title": cells[0].source.splitlines()[0].lstrip("# "), "language_info": {"name": "python"}}
    )
    return made


def _add_parts(add, head: str, text: str) -> None:
    """Add a slide, and further ones where there is more than a slide holds."""
    # Definition lists are the book's own; here each term is a paragraph.
    text = re.sub(r"^(.+)\n: ", r"**\1** \n", text, flags=re.MULTILINE)
    parts: list[str] = [""]
    pieces = re.split(r"\n\n|\n(?=- )", text)
    for piece in pieces:
        if parts[-1] and len(parts[-1]) + len(piece) > 900:
            parts.append("")
        parts[-1] += ("\n\n" if parts[-1] else "") + piece
    for number, part in enumerate(parts):
        add(f"{head}\n\n{part}", "slide" if number == 0 else "subslide")


def _copy_scripts(target: Path) -> None:
    reveal = importlib.util.find_spec("sphinx_revealjs")
    if reveal is None or reveal.origin is None:
        raise SlidesError("sphinx-revealjs is not installed: run `make slides`")
    packages = Path(reveal.origin).parents[1]
    for source, name in (
        (packages / "sphinx_revealjs" / "_static" / "revealjs", "reveal"),
        (packages / "sphinx-mathjax-offline" / "static" / "mathjax", "mathjax"),
    ):
        if not source.is_dir():
            raise SlidesError(f"{source} is not there")
        shutil.copytree(source, target / name, dirs_exist_ok=True)
    (target / "slides.css").write_text(_STYLE, encoding="utf-8")


def build(paths: list[Path], target: Path = SLIDES) -> list[Path]:
    """Write the slides of notebooks and return the paths of their pages.

    Raises:
        SlidesError: a script is missing, the text refers to a value that was not recorded, or a page would
        load
            something from another host.
    """
    target.mkdir(parents=True, exist_ok=True)
    _copy_scripts(target)
    titles = {}
    for path in find_notebooks():
        first = nbformat.read(path, as_version=4).cells[0].source
        titles[path.stem] = first.splitlines()[0].lstrip("# ")
    exporter = SlidesExporter(
        template_name="slides_template",
        extra_template_basedirs=[str(Path(__file__).parent)],
        reveal_url_prefix="reveal",
        reveal_theme="white",
    )
    written = []
    for path in paths:
        try:
            html, _ = exporter.from_notebook_node(to_slides(nbformat.read(path, as_version=4), titles))
        except SlidesError as error:
            raise SlidesError(f"{path.name}: {error}") from error
        elsewhere = re.findall(r"(?:src|href)=[\"'](?:https?:)?//[^\"']+", re.sub(r"<a [^>]*>", "", html))
        if elsewhere or "unpkg.com" in html or "cdnjs" in html:
            raise SlidesError(f"{path.name}: the slides would load {elsewhere or 'a content network'}")
        page = target / f"{path.stem}.html"
        page.write_text(html, encoding="utf-8")
        written.append(page)
    return written


def main(arguments: list[str] | None = None) -> int:
    """Make slides; 0 when that worked."""
    parser = argparse.ArgumentParser(prog="python -m tools.slides", description=__doc__)
    parser.add_argument("notebook", nargs="*", help="default: all chapters")
    parser.add_argument("--to", type=Path, default=SLIDES)
    options = parser.parse_args(arguments)
    paths = [NOTEBOOKS / f"{Path(name).stem}.ipynb" for name in options.notebook] or find_chapters()
    try:
        for page in build(paths, options.to):
            print(page)
    except (SlidesError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
