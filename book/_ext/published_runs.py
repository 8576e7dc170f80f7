"""Tables about the published runs, made from what the runs themselves recorded.

The directive `execution-times` reads the entry `dae` in the metadata of every notebook in the book. The rest
of the module is what other generated pages write their tables and numbers with.

Nothing on those pages is typed by hand, so they cannot disagree with the notebooks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

# Kept on one line: these stand in narrow cells.
NOT_MEASURED = "not\N{NO-BREAK SPACE}measured"
NOT_RECORDED = "not\N{NO-BREAK SPACE}recorded"


def run_metadata(notebook: Path) -> dict[str, Any]:
    """Return what `notebook` recorded about its published run; empty when it recorded nothing."""
    return json.loads(notebook.read_text(encoding="utf-8"))["metadata"].get("dae", {})


def duration(seconds: float | None) -> str:
    """Write a time in the unit a person would choose: 41 s, 13 min 32 s, 1 h 5 min."""
    if seconds is None:
        return NOT_MEASURED
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def number(value: float | None) -> str:
    """Write a result with four decimals, or with three digits when that would lose it in zeros."""
    if value is None:
        return ""
    return f"{value:.4f}" if 0.01 <= abs(value) < 100 or value == 0 else f"{value:.3g}"


def together(text: str) -> str:
    """Keep `text` on one line where a table is narrow: a date or an amount in pieces is hard to read."""
    return text.replace(" ", "\N{NO-BREAK SPACE}").replace("-", "\N{NON-BREAKING HYPHEN}")


def markdown_table(head: list[str], rows: Iterable[list[str]]) -> str:
    """Write a Markdown table; a bar inside a cell is escaped, since it would start a new cell."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


def execution_times(notebooks: Mapping[str, dict[str, Any]]) -> str:
    """Write the page of execution times.

    `notebooks` maps the document name of each notebook to what its run recorded.
    """
    if not notebooks:
        return "This copy of the book was built without a chapter, so there is no time to show."
    times, versions = [], []
    for document, run in sorted(notebooks.items()):
        cells = run.get("cells_seconds") or []
        memory = run.get("peak_memory_mb")
        link = f"[](/{document}.ipynb)"
        times.append(
            [
                link,
                together(duration(run.get("seconds"))),
                together(duration(max(cells))) if cells else NOT_MEASURED,
                together(f"{memory:.0f} MB") if memory is not None else NOT_MEASURED,
                NOT_MEASURED,
                run.get("machine", NOT_MEASURED),
                run.get("profile", NOT_MEASURED),
                together(run["executed"]) if "executed" in run else NOT_RECORDED,
            ]
        )
        named = ", ".join(f"{name} {version}" for name, version in run.get("versions", {}).items())
        digest = run.get("code_digest", "")
        versions.append([link, named or NOT_RECORDED, f"`{digest[:19]}…`" if digest else NOT_RECORDED])
    return "\n\n".join(
        [
            markdown_table(
                [
                    "Chapter",
                    "Time",
                    "Longest cell",
                    "Peak memory",
                    "On a GPU",
                    "Machine",
                    "Profile",
                    "Run on",
                ],
                times,
            ),
            "The same runs used these versions. The digest is that of the code cells; a test recomputes it.",
            markdown_table(["Chapter", "Versions", "Digest of the code"], versions),
        ]
    )


class GeneratedTables(SphinxDirective):
    """A directive whose content is Markdown that `markdown` writes at build time."""

    has_content: ClassVar[bool] = False

    def markdown(self) -> str:
        """Return the Markdown to put in the place of the directive."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Parse the generated Markdown as if it stood in the page."""
        # The inputs are files that Sphinx does not watch, and a new one may have appeared.
        self.env.note_reread()
        container = nodes.container(classes=["generated-tables"])
        lines = self.markdown().splitlines()
        self.state.nested_parse(StringList(lines, source=self.env.docname), 0, container)
        return [container]

    def notebooks(self) -> dict[str, Path]:
        """Return the notebooks in the book, by document name."""
        paths = {document: Path(self.env.doc2path(document)) for document in self.env.found_docs}
        return {document: path for document, path in paths.items() if path.suffix == ".ipynb"}


class ExecutionTimes(GeneratedTables):
    """`execution-times`: how long each notebook took, on what, and with which versions."""

    def markdown(self) -> str:
        """Read the metadata of every notebook in the book."""
        return execution_times({name: run_metadata(path) for name, path in self.notebooks().items()})


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("execution-times", ExecutionTimes)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
