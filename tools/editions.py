"""Makes the editions for reading elsewhere: ``python -m tools.editions pdf epub zip``, any or all of them.

They come to lie in ``_build/editions``, and a built book that is up to date gets links to them on every page.
The PDF needs TeX (``tools/latex.sh`` says which packages); the zip holds the built book as it is, to be read
offline.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

from tools.notebook_code import PROJECT

sys.path.insert(0, str(PROJECT / "book" / "_ext"))

import finished_pages

NAME = "deep-autoencoders"
HTML = PROJECT / "_build" / "html"
EDITIONS = PROJECT / "_build" / "editions"
# A build of its own, since Sphinx repeats the warnings of a page only when it reads it again.
PRINT = PROJECT / "_build" / "print"
# There is no `python -m jupyter_book`.
_JUPYTER_BOOK = "from jupyter_book.cli.main import main; main()"


class EditionError(RuntimeError):
    """An edition could not be made; the message says what to do."""


def _run(command: list[str], folder: Path, why: str) -> None:
    if subprocess.run(command, cwd=folder, check=False).returncode != 0:
        raise EditionError(why)


def _build(builder: list[str]) -> Path:
    shutil.rmtree(PRINT, ignore_errors=True)
    command = [sys.executable, "-c", _JUPYTER_BOOK, "build", ".", *builder, "--path-output", str(PRINT)]
    why = "The book could not be built: the messages above say why."
    _run([*command, "-W", "--keep-going"], PROJECT, why)
    return PRINT / "_build"


def has_tex() -> bool:
    """Tell whether the programs that print the book are there."""
    return all(map(shutil.which, ("latexmk", "xelatex")))


def make_pdf() -> Path:
    """Print the whole book and return the PDF file."""
    if not has_tex():
        raise EditionError("There is no TeX here: `sh tools/latex.sh` installs it, or says what to type.")
    folder = _build(["--builder", "latex"]) / "latex"
    # -halt-on-error: a page with a mistake would otherwise be printed with a hole in it.
    command = ["latexmk", "-xelatex", "-silent", "-interaction=nonstopmode", "-halt-on-error"]
    _run([*command, f"{NAME}.tex"], folder, f"LaTeX stopped: {folder / f'{NAME}.log'} says why.")
    return folder / f"{NAME}.pdf"


def make_epub() -> Path:
    """Write the whole book for an e-book reader and return the ePub file."""
    made = _build(["--builder", "custom", "--custom-builder", "epub"]) / "epub" / f"{NAME}.epub"
    faults = epub_faults(made)
    if faults:
        raise EditionError("\n".join(["Readers would refuse these pages:", *faults]))
    return made


def epub_faults(path: Path) -> list[str]:
    """Return the pages of an ePub that are not well-formed XML, with the reason."""
    faults = []
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith((".xhtml", ".opf", ".ncx")):
                # Names of characters are declared in the document type, which is not fetched.
                text = re.sub(r"&(?!amp;|lt;|gt;|quot;|apos;|#)\w+;", "?", archive.read(name).decode("utf-8"))
                try:
                    ElementTree.fromstring(text)
                except ElementTree.ParseError as error:
                    faults.append(f"{name}: {error}")
    return faults


def make_zip() -> Path:
    """Pack the built book and return the zip file; links to the zip itself are left out of its pages."""
    if not is_current(HTML):
        raise EditionError("There is no built book that is newer than its sources: `make book` comes first.")
    target = PRINT / f"{NAME}.zip"
    target.parent.mkdir(parents=True, exist_ok=True)
    pack(HTML, target)
    return target


def pack(site: Path, target: Path) -> None:
    """Write the built book in `site` into the zip file `target`."""
    pages = set(finished_pages.pages(site))
    inside = finished_pages.available_editions(site / finished_pages.EDITIONS_FOLDER)
    inside.pop(target.name, None)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(site.rglob("*")):
            name = path.relative_to(site)
            if not path.is_file() or name.parts[0].startswith(".") or path.name == target.name:
                continue
            if path in pages:
                root = "../" * (len(name.parts) - 1)
                page = finished_pages.link_editions(path.read_text(encoding="utf-8"), root, inside)
                archive.writestr(f"{NAME}/{name.as_posix()}", page)
            else:
                archive.write(path, f"{NAME}/{name.as_posix()}")


def is_current(site: Path) -> bool:
    """Tell whether there is a built book in `site` that is newer than every source."""
    start = site / "index.html"
    return start.is_file() and start.stat().st_mtime >= finished_pages.newest_source(PROJECT)


def offer(made: Path, site: Path) -> bool:
    """Put the editions in the folder `made` into the built book at `site` and link them from its pages.

    Returns whether there was a book, up to date, to put them into.
    """
    if not is_current(site):
        return False
    editions = finished_pages.available_editions(made, finished_pages.newest_source(PROJECT))
    for name in editions:
        (site / finished_pages.EDITIONS_FOLDER).mkdir(exist_ok=True)
        shutil.copyfile(made / name, site / finished_pages.EDITIONS_FOLDER / name)
    finished_pages.write_editions(site, editions)
    return True


MAKERS: dict[str, Callable[[], Path]] = {"pdf": make_pdf, "epub": make_epub, "zip": make_zip}


def main(arguments: list[str] | None = None) -> int:
    """Make the named editions and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.editions", description=__doc__)
    parser.add_argument("edition", nargs="+", choices=list(MAKERS))
    for kind in parser.parse_args(arguments).edition:
        try:
            made = MAKERS[kind]()
        except EditionError as error:
            print(error, file=sys.stderr)
            return 1
        EDITIONS.mkdir(parents=True, exist_ok=True)
        kept = EDITIONS / f"{NAME}.{kind}"
        shutil.move(made, kept)
        linked = "and the pages link to it" if offer(EDITIONS, HTML) else "`make book` will link to it"
        print(f"{kept} ({kept.stat().st_size / 2**20:.1f} MB), {linked}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
