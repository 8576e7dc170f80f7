"""Mend what sphinx-exercise writes.

It gives the content of every exercise and of every solution the same id, so that a page with two of them has
an id twice, which is not allowed. Nothing refers to these ids.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

REPEATED = ("exercise-content", "solution-content")


def drop_repeated_ids(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Take the ids that are not unique from exercises and solutions."""
    for node in doctree.findall(nodes.Element):
        if any(name in REPEATED for name in node.get("ids", ())):
            node["ids"] = [name for name in node["ids"] if name not in REPEATED]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the step; it comes after those of sphinx-exercise, which look for these ids."""
    app.connect("doctree-resolved", drop_repeated_ids, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
