"""Notebooks that leave the book: to the reader's disk, to Colab, to Binder.

All of it follows from one setting, `repository.url` in `_config.yml`, the address at which the sources of the
book can be had:

- while it is empty, a chapter can be downloaded as it stands, and there is no button for Colab or Binder;
- once it is set, every chapter has both buttons. Colab knows the book's library no more than a reader's own
  computer
  does, so the notebooks for it get a first cell that installs what is missing. They lie in the folder
  `colab`, are
  written there when the pages are built, and have to be committed with the rest, since Colab fetches them
  from
  the repository. The notebooks to download get the same cell.

Binder installs the book from the folder `.binder`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

COLAB_FOLDER = "colab"
_FIRST_CELL = """\
# Outside the book's own environment, as in Colab, its library is missing: this fetches it.
# Elsewhere nothing is done.
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("dae_utils") is None:
    wanted = ["myst-nb", "dae-utils @ git+{url}@{branch}"]
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *wanted], check=True)
"""


def repository(url: str | None, branch: str | None) -> tuple[str, str] | None:
    """Return the address of the repository without a slash or ``.git`` at its end, and the branch.

    None when `url` is empty.

    Raises:
        ValueError: the address is not one of a repository that is reached by http or https.
    """
    url = (url or "").strip()
    if not url:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not re.fullmatch(r"/[^/]+(/[^/]+)+/?", parts.path):
        raise ValueError(
            f"repository.url in _config.yml is {url!r}: write an address such as https://github.com/someone/book."
        )
    return url.rstrip("/").removesuffix(".git"), (branch or "main").strip()


def colab_address(url: str, branch: str, name: str) -> str | None:
    """Return where Colab opens the notebook `name`, or None: it reads from GitHub only.

    A name is ``01_topic``, or ``studies/01_topic`` for a study.
    """
    if urlsplit(url).hostname not in ("github.com", "www.github.com"):
        return None
    place = urlsplit(url).path.strip("/")
    return f"https://colab.research.google.com/github/{place}/blob/{branch}/{COLAB_FOLDER}/{name}.ipynb"


def binder_address(url: str, branch: str, name: str) -> str:
    """Return where Binder opens the notebook `name` in JupyterLab."""
    parts = urlsplit(url)
    place = parts.path.strip("/")
    provider = {"github.com": f"gh/{place}", "gitlab.com": f"gl/{quote(place, safe='')}"}.get(
        (parts.hostname or "").removeprefix("www."), f"git/{quote(url + '.git', safe='')}"
    )
    return (
        f"https://mybinder.org/v2/{provider}/{quote(branch, safe='')}?urlpath=lab/tree/notebooks/{name}.ipynb"
    )


def with_first_cell(notebook: dict[str, Any], url: str, branch: str, *, outputs: bool) -> dict[str, Any]:
    """Return a copy of a notebook that begins with the cell that installs what is missing.

    Without `outputs` it is a notebook that was never run, as one wants it who is about to run it.
    """
    cell = {
        "cell_type": "code",
        "execution_count": None,
        "id": "install-what-is-missing",
        "metadata": {},
        "outputs": [],
        "source": _FIRST_CELL.format(url=url, branch=branch).splitlines(keepends=True),
    }
    cells = [cell]
    for old in notebook["cells"]:
        if old["cell_type"] == "code" and not outputs:
            old = old | {"outputs": [], "execution_count": None}
        cells.append(old)
    return notebook | {"cells": cells}


def chapters_and_studies(folder: Path) -> list[Path]:
    """Return the notebooks in a folder of chapters and in that of their studies inside it."""
    return sorted(folder.glob("*.ipynb")) + sorted((folder / "studies").glob("*.ipynb"))


def write_for_colab(project: Path, url: str, branch: str) -> list[str]:
    """Write the notebooks for Colab, and return the names of those that were missing or out of date."""
    folder = project / COLAB_FOLDER
    folder.mkdir(exist_ok=True)
    changed = []
    for path in chapters_and_studies(project / "notebooks"):
        notebook = with_first_cell(json.loads(path.read_text(encoding="utf-8")), url, branch, outputs=False)
        # What the run recorded belongs to the outputs, which are left out.
        notebook["metadata"] = {k: v for k, v in notebook["metadata"].items() if k != "dae"}
        text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
        target = folder / path.relative_to(project / "notebooks")
        target.parent.mkdir(exist_ok=True)
        if not target.is_file() or target.read_text(encoding="utf-8") != text:
            target.write_text(text, encoding="utf-8")
            changed.append(target.relative_to(folder).as_posix())
    return changed


def _repository(app: Sphinx) -> tuple[str, str] | None:
    options = app.config.html_theme_options
    return repository(options.get("repository_url"), options.get("repository_branch"))


def prepare(app: Sphinx) -> None:
    """Write the notebooks for Colab when there is a place that Colab could fetch them from."""
    where = _repository(app)
    if where and app.builder.name == "html" and colab_address(*where, "x"):
        changed = write_for_colab(Path(app.srcdir), *where)
        if changed:
            logger.info("written to the folder %s, please commit: %s", COLAB_FOLDER, ", ".join(changed))


def add_buttons(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Add the buttons for Colab and Binder to a chapter, and say what the others do."""
    name = pagename.removeprefix("notebooks/")
    for group in context.get("header_buttons", []):
        for button in group.get("buttons", []):
            if button.get("label") == "download-pdf-button":
                button |= {"text": "Print this page", "tooltip": "Print this page, or save it as PDF"}
            elif button.get("label") == "download-source-button":
                kind = "notebook" if button["text"] == ".ipynb" else "text"
                button["text"] = f"This page as {kind} ({button['text']})"
    where = _repository(app)
    if not where or context.get("page_source_suffix") != ".ipynb":
        return
    buttons = [
        {
            "type": "link",
            "text": words,
            "tooltip": f"Run this chapter on {words}",
            "icon": f"_static/images/{icon}",
            "url": address,
        }
        for words, icon, address in (
            ("Colab", "logo_colab.png", colab_address(*where, name)),
            ("Binder", "logo_binder.svg", binder_address(*where, name)),
        )
        if address
    ]
    context["header_buttons"].insert(
        0,
        {
            "type": "group",
            "tooltip": "Run this chapter elsewhere",
            "icon": "fas fa-rocket",
            "buttons": buttons,
            "label": "launch-buttons",
        },
    )


def add_first_cells(app: Sphinx, failure: Exception | None) -> None:
    """Put the first cell into the notebooks that the pages offer for download."""
    where = None if failure or app.builder.name != "html" else _repository(app)
    if not where:
        return
    for path in chapters_and_studies(Path(app.outdir) / "_sources" / "notebooks"):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        if notebook["cells"][0].get("id") != "install-what-is-missing":
            notebook = with_first_cell(notebook, *where, outputs=True)
            path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the steps; the buttons come after those of the theme."""
    app.connect("builder-inited", prepare)
    app.connect("html-page-context", add_buttons, priority=900)
    app.connect("build-finished", add_first_cells)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
