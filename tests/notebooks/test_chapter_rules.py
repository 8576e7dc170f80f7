"""The rules for rewritten notebooks: each fault is found, and the list of exempt ones only shrinks."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools.chapter_rules import (
    NOT_YET_REWRITTEN,
    RULES,
    bookkeeping_calls,
    broken_rules,
    is_rewritten,
    visible_cells,
    words,
)
from tools.check_notebooks import CHECKS, problems
from tools.notebook_code import NOTEBOOKS, find_notebooks, read_notebook

BOX = "```{predict} Which gets the larger error?\n- The 1\n- The 8\n```\n\nIt is the 8."
# No such file is there. Of chapter 1 as it is now, no link to a study is expected.
CHAPTER, STUDY = NOTEBOOKS / "01_toy.ipynb", NOTEBOOKS / "studies" / "01_toy.ipynb"


def bookkeeping(source, **metadata):
    metadata = {"tags": ["bookkeeping"], "jupyter": {"source_hidden": True}} | metadata
    return new_code_cell(source, metadata=metadata)


def notebook(*cells, boxes=3):
    """Return a notebook with that many boxes and with the given cells."""
    return new_notebook(cells=[*(new_markdown_cell(BOX) for _ in range(boxes)), *cells])


# ---- The list of exempt notebooks ----


def apart_from_its_link(faults):
    """What is wrong with a toy study, but for its chapter, which does not name it."""
    return [fault for fault in faults if "has no {doc} link to it" not in fault]


@pytest.mark.parametrize("name", NOT_YET_REWRITTEN)
def test_an_exempt_notebook_exists_and_breaks_a_rule(name):
    paths = {path.stem: path for path in find_notebooks()}

    assert name in paths, f"{name} is not there: take it off NOT_YET_REWRITTEN in tools/chapter_rules.py"
    broken = broken_rules(paths[name], read_notebook(paths[name]))
    assert broken, f"{name} keeps all rules: take it off NOT_YET_REWRITTEN in tools/chapter_rules.py"


def test_the_list_has_no_name_twice():
    assert len(set(NOT_YET_REWRITTEN)) == len(NOT_YET_REWRITTEN)


def test_the_rules_are_asked_of_what_is_not_on_the_list():
    wide = notebook(new_code_cell("x = " + "1 + " * 30 + "1"))
    exempt = NOTEBOOKS / f"{NOT_YET_REWRITTEN[0]}.ipynb"

    assert is_rewritten(CHAPTER)
    assert not is_rewritten(exempt)
    assert set(RULES) <= set(CHECKS)
    assert CHECKS["lines are short"](CHAPTER, wide)
    assert CHECKS["lines are short"](exempt, wide) == []


# ---- The rules ----


def test_a_good_chapter_breaks_none():
    cells = [
        new_code_cell("y = 2"),
        new_code_cell("x" * 79),
        bookkeeping("glue('y', y)\nresults.record('a.b', y, seeds=1, protocol='p')\nresults.save()"),
        bookkeeping("# Nothing to call, and hidden all the same."),
    ]

    assert broken_rules(CHAPTER, notebook(*cells)) == []


def test_a_line_of_eighty_columns_is_found():
    (fault,) = broken_rules(CHAPTER, notebook(new_code_cell("y = 2"), new_code_cell("z = 1\n" + "x" * 80)))

    assert "code cell 2 has a line of 80 columns" in fault


@pytest.mark.parametrize(
    ("source", "call"),
    [
        ("glue('a', 1)", "glue"),
        ("for x in a:\n    results.record(x, y)", "results.record"),
        ("claims.check('it wins', True)", "claims.check"),
        ("evaluation.claims.check('it wins', True)", "evaluation.claims.check"),
        ("results.save()", "results.save"),
        ("started = time.perf_counter()", "time.perf_counter"),
        ("started = perf_counter()", "perf_counter"),
        ("started = time.time()", "time.time"),
        ("%%time\nfit()", "%time"),
        ("x = 1\n%timeit fit(x)", "%timeit"),
    ],
)
def test_a_call_that_tells_a_reader_nothing_is_found(source, call):
    assert bookkeeping_calls(source) == [call]
    (fault,) = broken_rules(CHAPTER, notebook(new_code_cell(source)))
    assert fault.startswith(f"code cell 1 calls {call}")
    assert broken_rules(CHAPTER, notebook(bookkeeping(source))) == []


@pytest.mark.parametrize(
    "source",
    [
        "from myst_nb import glue",
        "read_record('100')",
        "model.save('x.keras')",
        "check(x)\nrecord = 1",
        "text = 'glue(x)'  # glue(x)",
        "!ls\nx = 1",
        "this is (not Python",
    ],
)
def test_what_looks_like_such_a_call_is_let_through(source):
    assert bookkeeping_calls(source) == []


@pytest.mark.parametrize("jupyter", [{}, {"source_hidden": False}, {"outputs_hidden": True}])
def test_bookkeeping_that_jupyterlab_shows_is_found(jupyter):
    (fault,) = broken_rules(CHAPTER, notebook(bookkeeping("glue('a', 1)", jupyter=jupyter)))

    assert "source_hidden" in fault


def test_a_lesson_that_is_too_long_is_found():
    cells = [new_code_cell("\n\n".join(["x = 1"] * 7)) for _ in range(46)]
    prose = new_markdown_cell("word " * 3500)

    found = broken_rules(CHAPTER, notebook(*cells, prose))

    assert [fault.partition(",")[0] for fault in found[1:]] == [
        "it has 46 visible code cells",
        "it has 322 visible lines of code",
    ]
    assert found[0].endswith("words, the limit is 3500")
    # A study may run many cells, and says less.
    assert len(apart_from_its_link(broken_rules(STUDY, notebook(*cells, prose)))) == 1
    enough = broken_rules(STUDY, notebook(*cells, new_markdown_cell("word " * 2400)))
    assert apart_from_its_link(enough) == []
    assert "limit is 2500" in broken_rules(STUDY, notebook(new_markdown_cell("word " * 2500)))[0]


def test_bookkeeping_and_solutions_are_not_counted_as_visible():
    cells = [
        new_code_cell("x = 1"),
        bookkeeping("glue('x', x)"),
        new_markdown_cell("```{solution-start} ex-a\n:class: dropdown\n```"),
        new_code_cell("y = 2"),
        new_code_cell("y = 3"),
        new_markdown_cell("```{solution-end}\n```"),
        # Folded up in JupyterLab only: the page shows it.
        new_code_cell("z = 4", metadata={"jupyter": {"source_hidden": True}}),
    ]

    assert [cell.source for cell in visible_cells(notebook(*cells))] == ["x = 1", "z = 4"]


def test_words_are_those_that_are_read():
    text = "Two words, `code`, $x + y$ and {glue:text}`n`.\n\n```python\nx = 1\n```\n\n- a list"

    assert words(new_notebook(cells=[new_markdown_cell(text)])) == 5


def test_words_of_a_solution_and_of_an_alternative_text_do_not_count():
    start = "```{solution-start} ex-one\n:class: dropdown\n```\n\nIt is folded away.\n"
    end = "And so is this.\n\n```{solution-end}\n```\n\nAfter it."
    figure = "```{glue:figure} map\n:name: fig-map\n:alt: A map of many colours.\n\nA caption.\n```"
    folded = notebook(new_markdown_cell(start), new_code_cell("x = 1"), new_markdown_cell(end), boxes=0)

    assert words(folded) == 2
    assert words(notebook(new_markdown_cell(figure), boxes=0)) == 2


def test_code_that_only_draws_is_folded_in_both_places_or_counts():
    tag, fold = {"tags": ["hide-input"]}, {"jupyter": {"source_hidden": True}}
    drawing = [new_code_cell("plt.plot(x)", metadata=metadata) for metadata in (tag, fold, tag | fold)]

    assert list(visible_cells(notebook(*drawing))) == drawing[:2]


@pytest.mark.parametrize(("boxes", "fits"), [(0, False), (2, False), (3, True), (5, True), (6, False)])
def test_a_chapter_asks_for_three_to_five_predictions(boxes, fits):
    assert (broken_rules(CHAPTER, notebook(boxes=boxes)) == []) == fits


def test_chapter_0_asks_for_one_and_a_study_need_not():
    assert broken_rules(NOTEBOOKS / "00_toy.ipynb", notebook(boxes=1)) == []
    assert broken_rules(NOTEBOOKS / "00_toy.ipynb", notebook(boxes=0))
    assert apart_from_its_link(broken_rules(STUDY, notebook(boxes=0))) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("See {doc}`studies/01_toy`.", ""),
        ("See {doc}`the study </notebooks/studies/01_toy>`.", ""),
        ("See {doc}`studies/01_toy_two` and `studies/01_toy`.", "01_chapter has no {doc} link to it"),
    ],
)
def test_a_study_that_its_chapter_does_not_name_is_found(tmp_path, text, fault):
    (tmp_path / "studies").mkdir()
    study = tmp_path / "studies" / "01_toy.ipynb"

    assert broken_rules(study, notebook()) == ["there is no chapter 01 that it could be a study of"]

    nbformat.write(new_notebook(cells=[new_markdown_cell(text)]), tmp_path / "01_chapter.ipynb")
    assert broken_rules(study, notebook()) == ([fault] if fault else [])


def test_a_glued_figure_of_bookkeeping_needs_no_caption_of_its_own(tmp_path):
    image = new_output("display_data", data={"image/png": "iVBORw0KGgo="})
    cell = bookkeeping("glue('figure', figure)")
    cell.outputs = [image]

    assert CHECKS["figures are described"](CHAPTER, notebook(cell)) == []


def test_every_fault_is_said_with_the_name_of_the_notebook(tmp_path):
    path = tmp_path / "01_toy.ipynb"
    nbformat.write(notebook(new_code_cell("glue('a', 1)")), path)

    assert any(fault.startswith("01_toy: code cell 1 calls glue") for fault in problems(path))
