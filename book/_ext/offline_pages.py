"""Keep the built pages from asking any other host for anything.

Jupyter Book loads sphinx-thebe whether or not a book uses live code. Its script and the settings that it
writes into each page name a content network, so both are taken out here. (The other two sources of
requests, MathJax and require.js, are turned off in `_config.yml`.)
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx


def drop_thebe_scripts(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Remove the scripts of thebe, by file and in the page, from what a page loads."""
    context["script_files"] = [
        script
        for script in context.get("script_files", [])
        if "thebe" not in f"{getattr(script, 'filename', script)} {getattr(script, 'attributes', '')}".lower()
    ]


def drop_thebe_settings(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Remove the settings for thebe that were written into the text of a page."""
    for node in list(doctree.findall(nodes.raw)):
        text = node.astext()
        if "thebe" in text or text.strip().startswith("<script>kernelName"):
            node.parent.remove(node)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register both steps, each after the step of sphinx-thebe that it undoes."""
    app.connect("doctree-resolved", drop_thebe_settings, priority=900)
    app.connect("html-page-context", drop_thebe_scripts, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
