"""The instructor's notebooks are in order: points, hints, marking guides, and no traces of a run."""

import ast
import json
import re

import pytest
import submissions
import yaml

from tools.coursework.places import ASSIGNMENTS, PROJECT, assignments, source_of
from tools.coursework.submissions import release_of

WRONG = yaml.safe_load((PROJECT / "tests/coursework/wrong_answers.yml").read_text(encoding="utf-8"))
each_assignment = pytest.mark.parametrize("name", assignments())


def source(cell):
    return "".join(cell["source"])


def test_there_is_an_assignment_for_each_chapter():
    assert [name[:2] for name in assignments()] == [f"{number:02d}" for number in range(8)]
    assert sorted(WRONG) == assignments()


def test_an_assignment_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="'08_none': there are 00_"):
        source_of("08_none")


@each_assignment
def test_points_add_up_to_twenty(name):
    cells = submissions.read(source_of(name))["cells"]
    graded = [cell["metadata"]["nbgrader"] for cell in cells if submissions.name_of(cell)]

    assert sum(mark.get("points", 0) for mark in graded) == 20
    assert "20 points" in source(cells[0])
    assert len({mark["grade_id"] for mark in graded}) == len(graded)


@each_assignment
def test_every_task_has_an_answer_and_two_kinds_of_checks(name):
    notebook = submissions.read(source_of(name))
    tasks = submissions.tasks_of(notebook)

    assert len(tasks) >= 5
    for task in tasks:
        answer, check, hidden = (
            submissions.cell_of(notebook, f"{kind}-{task}") for kind in ("answer", "check", "hidden")
        )
        assert source(answer).count("BEGIN SOLUTION") == source(answer).count("END SOLUTION") >= 1
        assert "HIDDEN" not in source(check)
        assert source(hidden).startswith("# Hidden check (")
        assert source(hidden).splitlines()[1] == "### BEGIN HIDDEN TESTS"
        assert source(hidden).splitlines()[-1] == "### END HIDDEN TESTS"
        for cell in (check, hidden):
            assert cell["metadata"]["nbgrader"]["locked"]


@each_assignment
@pytest.mark.parametrize("kind", ["check", "hidden"])
def test_checks_explain_themselves(name, kind):
    notebook = submissions.read(source_of(name))

    for task in submissions.tasks_of(notebook):
        tree = ast.parse(source(submissions.cell_of(notebook, f"{kind}-{task}")))
        asserts = [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]
        assert asserts
        assert all(node.msg is not None for node in asserts), f"{name}, {task}: a check without a message"


@each_assignment
def test_hidden_checks_say_nothing_but_fixed_sentences(name):
    notebook = submissions.read(source_of(name))

    for task in submissions.tasks_of(notebook):
        tree = ast.parse(source(submissions.cell_of(notebook, f"hidden-{task}")))
        said = [node.msg for node in ast.walk(tree) if isinstance(node, ast.Assert)]
        assert all(isinstance(message, ast.Constant) for message in said), task


@each_assignment
def test_answers_define_functions_and_nothing_else(name):
    answers = submissions.solutions_of(submissions.read(source_of(name)))

    for task, answer in answers.items():
        assert {type(node) for node in ast.parse(answer).body} == {ast.FunctionDef}, task


@each_assignment
def test_the_name_of_a_release_changes_with_what_students_see_of_checks(name):
    cells = submissions.read(source_of(name))["cells"]
    known = release_of(cells)
    for cell in cells:
        mark = cell["metadata"].get("nbgrader", {}).get("grade_id", "")
        before = cell["source"]
        cell["source"] = [*before, "\n# more"]
        assert (release_of(cells) != known) == mark.startswith(("check-", "set-up"))
        cell["source"] = before


@each_assignment
def test_every_task_has_three_hints(name):
    cells = submissions.read(source_of(name))["cells"]
    before = {
        submissions.name_of(cell): source(cells[number - 1]) for number, cell in enumerate(cells) if number
    }

    for task in submissions.tasks_of({"cells": cells}):
        hints = re.findall(r"<details><summary>Hint (\d)</summary>.+?</details>", before[f"answer-{task}"])
        assert hints == ["1", "2", "3"], task


@each_assignment
def test_the_free_text_has_a_marking_guide(name):
    (cell,) = [
        cell
        for cell in submissions.read(source_of(name))["cells"]
        if submissions.name_of(cell).startswith("text-")
    ]

    assert cell["cell_type"] == "markdown"
    assert cell["metadata"]["nbgrader"]["solution"]
    assert "Marking guide" in source(cell)
    assert "BEGIN SOLUTION" in source(cell)
    assert len(re.findall(r"^[123]\. ", source(cell), flags=re.MULTILINE)) == 3


@each_assignment
def test_no_output_is_stored(name):
    for cell in submissions.read(source_of(name))["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@each_assignment
def test_wrong_answers_fit_the_solutions(name):
    solutions = submissions.solutions_of(submissions.read(source_of(name)))

    assert len(WRONG[name]) >= 10
    for entry in WRONG[name]:
        assert entry["replace"] in solutions[entry["task"]]
        assert entry["by"] != entry["replace"]


def test_the_page_of_hidden_checks_names_each_of_them():
    page = (PROJECT / "book" / "hidden_checks.md").read_text(encoding="utf-8")

    for name in assignments():
        cells = submissions.read(source_of(name))["cells"]
        for cell in cells:
            if submissions.name_of(cell).startswith("hidden-"):
                about = re.match(r"# Hidden check \(\d points?\): (.+)\.", source(cell)).group(1)
                assert about in page, f"{name}: {about}"


@each_assignment
def test_a_variant_takes_one_seed_and_one_constant(name):
    set_up = source(submissions.cell_of(submissions.read(source_of(name)), "set-up"))

    block = re.search(r"# A variant of this assignment differs in these two lines\.\n(.+)\n(.+)\n\n", set_up)
    assert re.fullmatch(r"SEED = \d+", block.group(1))
    assert re.fullmatch(r"[A-Z_]+ = [\d.]+", block.group(2))


def test_the_notebooks_of_the_coursework_are_no_chapters():
    from tools.notebook_code import find_notebooks

    assert not [path for path in find_notebooks() if ASSIGNMENTS in path.parents]
    toc = (PROJECT / "_toc.yml").read_text(encoding="utf-8")
    assert "assignments" not in toc
    assert json.loads(source_of("01_garments").read_text(encoding="utf-8"))["nbformat"] == 4


def test_the_teachers_lock_is_exact_and_fits_the_list():
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    from tools.check_notebooks import locked_versions

    locked = locked_versions(PROJECT / "requirements-grading.lock")
    text = (PROJECT / "requirements-grading.lock").read_text(encoding="utf-8")
    assert "://" not in text
    for line in (PROJECT / "requirements-grading.txt").read_text(encoding="utf-8").splitlines():
        if line.partition("#")[0].strip():
            wanted = Requirement(line.partition("#")[0].strip())
            assert all(
                wanted.specifier.contains(version) for version in locked[canonicalize_name(wanted.name)]
            )
    for entry in re.split(r"\n(?=\S)", text.strip()):
        assert "--hash=sha256:" in entry, entry[:60]


def test_the_books_own_environment_has_nothing_of_the_graders():
    assert "nbgrader" not in (PROJECT / "requirements.lock").read_text(encoding="utf-8")
    assert "nbgrader" not in (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
