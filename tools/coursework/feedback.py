"""nbgrader's feedback page, without the text of the hidden checks: they can be used again next year."""

from __future__ import annotations

import re
from typing import Any

from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor
from nbformat import NotebookNode
from nbgrader.converters import GenerateFeedback
from nbgrader.preprocessors import GetGrades, NbGraderPreprocessor
from traitlets import List

_REGION = re.compile(r"^[^\n]*BEGIN HIDDEN TESTS.*?END HIDDEN TESTS[^\n]*$", flags=re.DOTALL | re.MULTILINE)


class KeepHidden(NbGraderPreprocessor):
    """Takes hidden checks out of cells, and out of the tracebacks below them, down to the message."""

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        """Change the notebook in place and return it."""
        for cell in nb.cells:
            for output in cell.get("outputs", []):
                if output.output_type == "error":
                    message = f"{output.ename}: {output.evalue}"
                    # The student's own lines help; the lines of a hidden check are not theirs.
                    if _REGION.search(cell.source) or output.ename in (
                        "AssertionError",
                        "NotImplementedError",
                    ):
                        output.traceback = [message]
            cell.source = _REGION.sub("# (the rest of this check is hidden)", cell.source)
        return nb, resources


class Feedback(GenerateFeedback):
    """Writes feedback pages with hidden checks kept hidden."""

    preprocessors = List([GetGrades, KeepHidden, CSSHTMLHeaderPreprocessor]).tag(config=True)
