"""Ask the reader for a guess before a result: the directive `predict`.

    ```{predict} Which gets the larger error, a 1 or an 8, from a network that never saw a 1?
    - The 1
    - The 8
    - About the same
    ```

The question may as well stand inside, before the answers, where JupyterLab shows it too. In a page of the
web `predict.js` makes a form of it and folds away what follows in the same section, up to the next box,
until an answer is chosen. In the introduction of a page that is the text up to its first section. Nothing is
judged, sent or stored. Without scripts, and in the ePub and the PDF, question and answers are a list, and
the result stands after it.
"""

from __future__ import annotations

from typing import Any, ClassVar

from docutils import nodes
from finished_pages import SITE_BUILDERS
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)

FEWEST, MOST = 2, 5


class predict_box(nodes.General, nodes.Element):
    """A question with its answers: a title, what is asked, and a list."""


class predict_result(nodes.General, nodes.Element):
    """What follows a question and may be folded away; only pages of the web have it."""


class Predict(SphinxDirective):
    """`predict`: a question, as argument or as text, and a list of two to five answers."""

    optional_arguments: ClassVar[int] = 1
    final_argument_whitespace: ClassVar[bool] = True
    has_content: ClassVar[bool] = True

    def run(self) -> list[nodes.Node]:
        """Return the box, and warn of one that nobody could answer."""
        asked = []
        if self.arguments:
            asked = [nodes.paragraph("", "", *self.state.inline_text(self.arguments[0], self.lineno)[0])]
        content = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, content)
        asked += content.children[:-1]
        answers = content.children[-1] if content.children else None
        place = self.get_location()
        if not isinstance(answers, nodes.bullet_list) or not all(
            isinstance(part, nodes.paragraph) for part in asked
        ):
            logger.warning("predict: write a question and, after it, a list of answers", location=place)
            return content.children
        if not asked:
            logger.warning("predict: there are answers and no question", location=place)
        if not FEWEST <= len(answers) <= MOST:
            count = f"{len(answers)} answer" + ("s" if len(answers) != 1 else "")
            logger.warning("predict: %s, wanted are %d to %d", count, FEWEST, MOST, location=place)
        for question in asked:
            question["classes"].append("predict-question")
        answers["classes"].append("predict-answers")
        title = nodes.paragraph("", "", nodes.strong("", "Predict first"), classes=["predict-title"])
        box = predict_box("", title, *asked, answers)
        self.set_source_info(box)
        return [box]


def wrap_results(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put what follows each box, up to the next one or the end of its section, into an element of its own.

    This comes last: what looks for sections, such as the table of contents, has seen them where they were.
    """
    for box in list(doctree.findall(predict_box)):
        around = box.parent
        start = end = around.index(box) + 1
        # The section of the page's title holds the whole page.
        introduction = isinstance(around, nodes.document) or isinstance(around.parent, nodes.document)
        while end < len(around) and not isinstance(around[end], predict_box):
            if introduction and isinstance(around[end], nodes.section):
                break
            end += 1
        if start == end:
            logger.warning("predict: nothing follows the question in its section", location=box)
        elif app.builder.name in SITE_BUILDERS:
            around[start:end] = [predict_result("", *around[start:end])]


def _open(name: str) -> Any:
    def visit(writer: HTML5Translator, node: nodes.Element) -> None:
        writer.body.append(writer.starttag(node, "div", CLASS=name))

    return visit


def _close(writer: HTML5Translator, node: nodes.Element) -> None:
    writer.body.append("</div>\n")


def _nothing(writer: Any, node: nodes.Element) -> None:
    """Write nothing around the box."""


def setup(app: Sphinx) -> dict[str, Any]:
    """Register directive, nodes and step, and give the script and its style to every page: both are small."""
    writers = dict.fromkeys(("latex", "text", "man", "texinfo"), (_nothing, _nothing))
    app.add_node(predict_box, html=(_open("predict"), _close), **writers)
    app.add_node(predict_result, html=(_open("predict-result"), _close))
    app.add_directive("predict", Predict)
    app.add_js_file("predict.js", loading_method="defer")
    app.add_css_file("predict.css")
    app.connect("doctree-resolved", wrap_results, priority=990)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
