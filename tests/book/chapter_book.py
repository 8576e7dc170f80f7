"""A small book of one chapter, with questions before its results, hidden bookkeeping, and code to hide."""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from page_checks import PROJECT
from PIL import Image

# There is no `python -m jupyter_book`, and the script of that name need not be on the path.
JUPYTER_BOOK = "from jupyter_book.cli.main import main; main()"
# Other extensions expect the pages of the whole book; these change how a chapter looks or loads.
EXTENSIONS = ("bookkeeping", "exercises", "finished_pages", "offline_pages", "predict")

FIRST = """\
Before the question.

```{predict} Which gets the larger error, a *1* or an $8$?
- The 1
- The $8$
- About the same
```

After the question, {glue:text}`score:.2f`. See {ref}`the second place <place-two>`.
"""
SECOND = """\
### A subsection

The word needle stands here alone.

(place-two)=
### A second subsection

Text of the second subsection.
"""
THIRD = """\
## Without a figure

:::{predict}
Does it print one or two?

- One
- Two
:::

A sentence.
"""
SOLUTION = """\
## Exercises

```{exercise}
:label: ex-a
Why?
```

```{solution-start} ex-a
:class: dropdown
```
"""


def picture(width: int = 300, height: int = 200) -> str:
    """Return a picture of one colour, as it stands in a notebook."""
    made = io.BytesIO()
    Image.new("RGB", (width, height), "steelblue").save(made, "PNG")
    return base64.b64encode(made.getvalue()).decode()


def text(source: str) -> dict[str, Any]:
    """Return a cell of prose."""
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def code(source: str, *outputs: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    """Return a cell of code that was run."""
    return {
        "cell_type": "code",
        "execution_count": 1,
        "metadata": metadata,
        "source": source,
        "outputs": list(outputs),
    }


def printed(words: str) -> dict[str, Any]:
    """Return an output that was printed."""
    return {"output_type": "stream", "name": "stdout", "text": words}


def figure(name: str) -> dict[str, Any]:
    """Return a cell with a figure under that name."""
    settings = {"image": {"alt": "A blue field"}, "figure": {"caption": "A field.", "name": name}}
    shown = {"output_type": "display_data", "data": {"image/png": picture()}, "metadata": {}}
    return code("plot()", shown, mystnb=settings)


def glued(name: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return an output that `glue` left."""
    prefix = "application/papermill.record/"
    return {
        "output_type": "display_data",
        "data": {prefix + kind: value for kind, value in data.items()},
        "metadata": {"scrapbook": {"mime_prefix": prefix, "name": name}},
    }


def chapter() -> dict[str, Any]:
    """Return the notebook."""
    hidden = {"tags": ["bookkeeping"], "jupyter": {"source_hidden": True}}
    drawn = "```{glue:figure} drawn\n:name: fig-drawn\n:alt: A field that was glued.\n\nGlued.\n```"
    question = (
        "```{predict} Is the next figure blue?\n- Yes, it is\n- No\n```\n\nThe second result.\n\n" + drawn
    )
    cells = [
        text("# A chapter\n\nWhat it is about."),
        code("import numpy as np"),
        text("## The result"),
        text(FIRST),
        code("print('first')", printed("first\n")),
        figure("fig-one"),
        code(
            "glue('score', 0.98361)\nprint('not for readers')",
            glued("score", {"text/plain": "0.98361"}),
            glued("drawn", {"image/png": picture(), "text/plain": "<Figure>"}),
            printed("not for readers\n"),
            **hidden,
        ),
        text(SECOND),
        figure("fig-two"),
        text("## The next result\n\n" + question),
        figure("fig-three"),
        text(THIRD),
        code("print('two')", printed("two\n")),
        text(SOLUTION),
        code("print('because')", printed("because\n"), jupyter={"source_hidden": True}),
        text("```{solution-end}\n```"),
    ]
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}


def build(folder: Path) -> Path:
    """Build the book in an empty folder, with warnings as errors, and return the folder of its pages."""
    (folder / "book").mkdir()
    (folder / "notebooks").mkdir()
    settings = yaml.safe_load((PROJECT / "_config.yml").read_text(encoding="utf-8"))
    ours = settings["sphinx"]["local_extensions"]
    settings["sphinx"]["local_extensions"] = {name: ours[name] for name in EXTENSIONS}
    (folder / "_config.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    for name in ("_ext", "_static"):
        shutil.copytree(PROJECT / "book" / name, folder / "book" / name)
    shutil.copy(PROJECT / "book" / "references.bib", folder / "book")
    (folder / "book" / "index.md").write_text("# Start\n\nNo code here.\n", encoding="utf-8")
    (folder / "notebooks" / "01_x.ipynb").write_text(json.dumps(chapter()), encoding="utf-8")
    toc = "format: jb-book\nroot: book/index\nchapters:\n- file: notebooks/01_x\n"
    (folder / "_toc.yml").write_text(toc, encoding="utf-8")
    return build_book(folder)


def build_book(folder: Path) -> Path:
    """Build the book in a folder, which must give no warning, and return the folder of its pages."""
    run = subprocess.run(
        [sys.executable, "-c", JUPYTER_BOOK, "build", str(folder), "-W", "--keep-going"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-4000:]
    return folder / "_build" / "html"
