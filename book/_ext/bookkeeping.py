"""Leave cells with the tag `bookkeeping` out of the pages: what they record or glue is used, and not shown.

A cell of a chapter that measures the time, records a result, hands a number to the text or checks a sentence
says nothing to a reader. Its author marks it with this one tag, and JupyterLab folds it up; here it gets the
tag that myst-nb knows. Glued values are read from the outputs of all cells, also of those left out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

TAG, LEFT_OUT = "bookkeeping", "remove-cell"


def without_bookkeeping(notebook: str) -> str:
    """Return the source of a notebook in which cells of bookkeeping are marked to be left out."""
    if f'"{TAG}"' not in notebook:
        return notebook
    content = json.loads(notebook)
    for cell in content["cells"]:
        tags = cell["metadata"].get("tags", [])
        if TAG in tags and LEFT_OUT not in tags:
            cell["metadata"]["tags"] = [*tags, LEFT_OUT]
    return json.dumps(content)


def leave_out(app: Sphinx, docname: str, source: list[str]) -> None:
    """Mark the cells of a notebook as it is read."""
    if Path(app.env.doc2path(docname)).suffix == ".ipynb":
        source[0] = without_bookkeeping(source[0])


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the step."""
    app.connect("source-read", leave_out)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
