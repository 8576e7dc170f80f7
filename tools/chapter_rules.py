"""Rules for the notebooks as they are now written; `tools.check_notebooks` asks them with its other checks.

CONTRIBUTING.md says what they are for. Notebooks of the first edition are on a list of exempt ones, which
only shrinks: a test fails when one of them has been rewritten and is still on it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from nbformat import NotebookNode

from tools.check_prose import without_code
from tools.notebook_code import STUDIES, code_cells, find_chapters, is_study, read_notebook

# Take a notebook off this list when it is rewritten.
NOT_YET_REWRITTEN = (
    "04_advantages",
    "05_cifar10_pixel_features",
    "07_encoder_search",
)

LONGEST_LINE = 79
MOST_CELLS, MOST_LINES, MOST_WORDS, MOST_WORDS_OF_A_STUDY = 45, 300, 3500, 2500
FEWEST_QUESTIONS, MOST_QUESTIONS = 3, 5

BOOKKEEPING = "bookkeeping"
FOLDED = "hide-input"  # myst-nb's own tag
_RECORDING = {"glue", "record"}
_ON_AN_OBJECT = ("claims.check", "results.save", "time.time")
_CLOCKS = {"perf_counter", "perf_counter_ns", "process_time", "monotonic"}
# A solution, from the fence that begins it to the one that ends it, and what stands for a picture.
_NOT_SHOWN = re.compile(
    r"^(`{3,})\{solution-start\}.*?\{solution-end\}\s*^\1`*$|^:alt:[^\n]*$", flags=re.DOTALL | re.MULTILINE
)
_QUESTION = re.compile(r"^ *(?:`{3,}|:{3,})\{predict\}", flags=re.MULTILINE)


def is_rewritten(path: Path) -> bool:
    """Tell whether the notebook at a path has to keep these rules."""
    return path.stem not in NOT_YET_REWRITTEN


def is_bookkeeping(cell: NotebookNode) -> bool:
    """Tell whether a cell is marked to be left out of the page."""
    return BOOKKEEPING in cell.metadata.get("tags", [])


def is_folded(cell: NotebookNode) -> bool:
    """Tell whether the code of a cell is folded up in the page and in JupyterLab, as that of a drawing is."""
    folded_in_lab = cell.metadata.get("jupyter", {}).get("source_hidden") is True
    return folded_in_lab and FOLDED in cell.metadata.get("tags", [])


def visible_cells(notebook: NotebookNode) -> Iterator[NotebookNode]:
    """Yield the code cells that a reader sees without unfolding anything."""
    in_solution = False
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            # The directives that enclose the cells of a solution stand in cells of prose around them.
            for mark in re.findall(r"\{solution-(start|end)\}", cell.source):
                in_solution = mark == "start"
            continue
        is_hidden = in_solution or is_bookkeeping(cell) or is_folded(cell)
        if cell.cell_type == "code" and cell.source.strip() and not is_hidden:
            yield cell


def bookkeeping_calls(source: str) -> list[str]:
    """Return what a cell calls that means nothing to a reader, such as ``glue`` or ``time.perf_counter``."""
    magics = re.findall(r"^%{1,2}(time|timeit)\b", source, flags=re.MULTILINE)
    try:
        tree = ast.parse(re.sub(r"^[ \t]*[%!].*", "pass", source, flags=re.MULTILINE))
    except SyntaxError:
        return [f"%{name}" for name in magics]
    called = (ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call))
    named = [
        name
        for name in called
        if name.rpartition(".")[2] in _RECORDING | _CLOCKS
        or any(f".{name}".endswith(f".{end}") for end in _ON_AN_OBJECT)
    ]
    return [f"%{name}" for name in magics] + named


def words(notebook: NotebookNode) -> int:
    """Return how many words of prose a notebook has on the page.

    Code, formulas, names, alternative texts and what is folded away in solutions do not count.
    """
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    shown = _NOT_SHOWN.sub("", text)
    return sum(any(letter.isalnum() for letter in word) for word in without_code(shown).split())


def _short_lines(path: Path, notebook: NotebookNode) -> list[str]:
    return [
        f"code cell {number} has a line of {len(line)} columns, the limit is {LONGEST_LINE}: {line[:40]}"
        for number, cell in enumerate(code_cells(notebook), 1)
        for line in cell.source.splitlines()
        if len(line) > LONGEST_LINE
    ]


def _hidden_bookkeeping(path: Path, notebook: NotebookNode) -> list[str]:
    faults = []
    for number, cell in enumerate(code_cells(notebook), 1):
        calls = bookkeeping_calls(cell.source)
        folded = cell.metadata.get("jupyter", {}).get("source_hidden") is True
        if calls and not is_bookkeeping(cell):
            faults.append(f"code cell {number} calls {calls[0]}: put that into a cell tagged {BOOKKEEPING!r}")
        if is_bookkeeping(cell) and not folded:
            faults.append(
                f"code cell {number} is tagged {BOOKKEEPING!r} and not folded up in JupyterLab: "
                'give it the metadata "jupyter": {"source_hidden": true}'
            )
    return faults


def _size(path: Path, notebook: NotebookNode) -> list[str]:
    cells = list(visible_cells(notebook))
    lines = sum(bool(line.strip()) for cell in cells for line in cell.source.splitlines())
    counted = [("words", words(notebook), MOST_WORDS_OF_A_STUDY if is_study(path) else MOST_WORDS)]
    if not is_study(path):
        counted += [
            ("visible code cells", len(cells), MOST_CELLS),
            ("visible lines of code", lines, MOST_LINES),
        ]
    return [f"it has {count} {what}, the limit is {limit}" for what, count, limit in counted if count > limit]


def _questions(path: Path, notebook: NotebookNode) -> list[str]:
    texts = (cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    count = sum(len(_QUESTION.findall(text)) for text in texts)
    # A study opens with its answer, and the short chapter before the first has few results.
    fewest = 0 if is_study(path) else 1 if path.stem.startswith("00_") else FEWEST_QUESTIONS
    if fewest <= count <= MOST_QUESTIONS:
        return []
    return [f"it asks for {count} predictions, wanted are {fewest} to {MOST_QUESTIONS} `predict` boxes"]


def _named_by_its_chapter(path: Path, notebook: NotebookNode) -> list[str]:
    """Find studies that no reader of their chapter would hear of; chapters not yet rewritten know of none."""
    if not is_study(path):
        return []
    chapters = [other for other in find_chapters(path.parent.parent) if other.stem[:3] == path.stem[:3]]
    if not chapters:
        return [f"there is no chapter {path.stem[:2]} that it could be a study of"]
    texts = (cell.source for cell in read_notebook(chapters[0]).cells if cell.cell_type == "markdown")
    named = any(re.search(rf"{{doc}}`[^`]*{STUDIES}/{path.stem}[>`]", text) for text in texts)
    return [] if named or not is_rewritten(chapters[0]) else [f"{chapters[0].stem} has no {{doc}} link to it"]


RULES: dict[str, Callable[[Path, NotebookNode], list[str]]] = {
    "lines are short": _short_lines,
    "bookkeeping is hidden": _hidden_bookkeeping,
    "it has the size of a lesson": _size,
    "the reader predicts first": _questions,
    "a study is named by its chapter": _named_by_its_chapter,
}


def broken_rules(path: Path, notebook: NotebookNode) -> list[str]:
    """Return what a notebook does against these rules, exempt or not."""
    return [fault for rule in RULES.values() for fault in rule(path, notebook)]
