"""Keep the built pages from asking any other host for anything.

Jupyter Book loads sphinx-thebe whether or not a book uses live code. Its script and the settings that it
writes into each page name a content network, so both are taken out here. (The other two sources of
requests, MathJax and require.js, are turned off in `_config.yml`.)

The search page fetches the pages that it found, to show a few lines of each. A browser does not allow that
when the book is opened as a folder, so there the results are shown without those lines.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

SEARCH_WITHOUT_FETCHING = (
    'if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;'
)


def drop_thebe_files(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Remove the scripts and the style sheet of thebe from what a page loads."""
    for kind in ("script_files", "css_files"):
        context[kind] = [
            file
            for file in context.get(kind, [])
            if "thebe" not in f"{file.filename} {file.attributes}".lower()
        ]


def drop_thebe_settings(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Remove the settings for thebe that were written into the text of a page."""
    for node in list(doctree.findall(nodes.raw)):
        text = node.astext()
        if "thebe" in text or text.strip().startswith("<script>kernelName"):
            node.parent.remove(node)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the steps; those about thebe come after the steps of sphinx-thebe that they undo."""
    # Sphinx loads the options at 200 and the search at 500: this has to run in between.
    app.add_js_file(None, body=SEARCH_WITHOUT_FETCHING, priority=300)
    app.connect("doctree-resolved", drop_thebe_settings, priority=900)
    app.connect("html-page-context", drop_thebe_files, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
