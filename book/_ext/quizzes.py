"""Put a quiz at the end of each chapter, from `book/quizzes.yml`.

A quiz is a form of plain radio buttons, so that keyboards and screen readers can use it. What was chosen is
judged by `quiz.js` in the page: nothing is sent or stored. Without scripts the answers are in a fold.
In the PDF and the ePub, which run no scripts, the questions stand as text, with the right answers after them.
"""

from __future__ import annotations

from functools import lru_cache
from html import escape
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import yaml
from docutils import nodes
from finished_pages import SITE_BUILDERS
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)


def read_quizzes(file: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the questions by document, read once as long as the file stays as it is.

    Raises:
        ValueError: a question is not complete, or names a right answer that it does not have.
    """
    return _read(file, file.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _read(file: Path, _changed: int) -> dict[str, list[dict[str, Any]]]:
    quizzes = yaml.safe_load(file.read_text(encoding="utf-8"))
    for document, questions in quizzes.items():
        for question in questions:
            if set(question) != {"ask", "answers", "right", "because"}:
                raise ValueError(f"{file.name}, {document}: a question has the keys {sorted(question)}")
            if len(question["answers"]) != len(question["because"]) or question["right"] not in range(
                len(question["answers"])
            ):
                raise ValueError(
                    f"{file.name}, {document}: the answers to {question['ask']!r} do not fit together"
                )
            if not question["because"][question["right"]].startswith("Yes."):
                raise ValueError(f"{file.name}, {document}: the reason of a right answer begins with 'Yes.'")
    return quizzes


def quiz_html(questions: list[dict[str, Any]]) -> str:
    """Return a quiz as HTML."""
    parts = ['<section class="quiz" id="quiz">', "<h2>Quiz</h2>"]
    parts.append(
        "<p>Three questions. Nothing is recorded: answers are judged in this page and forgotten with it.</p>"
    )
    for number, question in enumerate(questions, 1):
        parts.append(
            f'<form class="quiz-question"><fieldset><legend>{number}. {escape(question["ask"])}</legend>'
        )
        for index, (answer, why) in enumerate(zip(question["answers"], question["because"], strict=True)):
            verdict = "right" if index == question["right"] else "wrong"
            parts.append(
                f'<label><input type="radio" name="quiz-{number}" value="{index}" data-verdict="{verdict}" '
                f'data-because="{escape(why)}"> <span>{escape(answer)}</span></label>'
            )
        parts.append('</fieldset><button type="submit" hidden>Check</button>')
        parts.append('<p class="quiz-verdict" role="status"></p>')
        answer, why = (question[key][question["right"]] for key in ("answers", "because"))
        solution = f"{escape(answer)}. {escape(why)}"
        parts.append(
            f"<noscript><details><summary>Answer</summary><p>{solution}</p></details></noscript></form>"
        )
    return "\n".join([*parts, "</section>"])


def printed_quiz(questions: list[dict[str, Any]]) -> list[nodes.Node]:
    """Return a quiz as text: the questions with their answers, and after them which one is right and why."""
    asked, right = (nodes.enumerated_list(enumtype="arabic", prefix="", suffix=".") for _ in range(2))
    for question in questions:
        answers = nodes.enumerated_list(enumtype="loweralpha", prefix="", suffix=".")
        answers += [nodes.list_item("", nodes.paragraph("", answer)) for answer in question["answers"]]
        asked += nodes.list_item("", nodes.paragraph("", question["ask"]), answers)
        place = question["right"]
        solution = f"{ascii_lowercase[place]}. {question['because'][place]}"
        right += nodes.list_item("", nodes.paragraph("", solution))
    return [asked, nodes.paragraph("", "", nodes.strong("", "Right answers")), right]


def add_quiz(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Append the quiz of a chapter to its page; LaTeX has all pages in one tree."""
    quizzes = read_quizzes(Path(app.srcdir) / "book" / "quizzes.yml")
    parts = {docname: doctree} | {part["docname"]: part for part in doctree.findall(addnodes.start_of_file)}
    for name, part in parts.items():
        if name not in quizzes:
            continue
        questions = quizzes[name]
        if app.builder.name in SITE_BUILDERS:
            quiz = [nodes.raw("", quiz_html(questions), format="html")]
        elif app.builder.format == "html":
            # To the ePub a section that comes as late as this would have the number of its chapter.
            quiz = [nodes.raw("", "<h2>Quiz</h2>", format="html"), *printed_quiz(questions)]
        else:
            quiz = [nodes.section("", nodes.title("", "Quiz"), *printed_quiz(questions), ids=["quiz"])]
        (part.next_node(nodes.section) or part).extend(quiz)


def check_documents(app: Sphinx, env: Any) -> None:
    """Warn of a quiz whose chapter does not exist."""
    for document in read_quizzes(Path(app.srcdir) / "book" / "quizzes.yml"):
        if document not in env.found_docs:
            logger.warning("quizzes.yml has a quiz for %s, which is no page", document)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the steps, the script and the style sheet."""
    app.add_js_file("quiz.js", loading_method="defer")
    app.add_css_file("quiz.css")
    app.connect("env-updated", check_documents)
    app.connect("doctree-resolved", add_quiz, priority=950)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
