"""What was handed in is put into a fresh copy of what was given out, whatever was done to it."""

import copy
import json

import pytest

from tools.coursework.grade import GRADEBOOK, _harmless, find_submissions, left_out, make_room, tree_state
from tools.coursework.places import check_ours
from tools.coursework.restoring import UnreadableError, read_submission, restore, suspicious


def cell(name, source, **mark):
    metadata = {"nbgrader": {"grade_id": name, "solution": False, "grade": False, **mark}} if name else {}
    return {"cell_type": "code", "metadata": metadata, "source": source, "outputs": []}


@pytest.fixture
def master():
    return {
        "cells": [
            {"cell_type": "markdown", "metadata": {}, "source": "A question"},
            cell("set-up", "import numpy"),
            cell("answer-a", "stub a", solution=True),
            cell("check-a", "assert a() == 1", grade=True, points=2),
            cell("answer-b", "stub b", solution=True),
            cell("check-b", "assert b() == 1", grade=True, points=3),
        ]
    }


def sources(notebook):
    return [c["source"] for c in notebook["cells"]]


def test_answers_are_taken_over_and_nothing_else(master):
    handed_in = copy.deepcopy(master)
    handed_in["cells"][2]["source"] = ["a = ", "lambda: 1"]
    handed_in["cells"][2]["metadata"]["nbgrader"]["points"] = 99
    handed_in["cells"][3]["source"] = "pass"
    handed_in["cells"][0]["source"] = "No question"

    restored, remarks = restore(master, handed_in)

    assert sources(restored) == ["A question", "import numpy", "a = lambda: 1", *sources(master)[3:]]
    assert restored["cells"][2]["metadata"] == master["cells"][2]["metadata"]
    assert remarks == ["check-a was changed and has been restored"]


def test_missing_doubled_and_added_cells(master):
    first, second = cell("answer-b", "first", solution=True), cell("answer-b", "second", solution=True)
    handed_in = {
        "cells": [cell(None, "early"), cell("set-up", "import numpy"), first, cell(None, "after b"), second]
    }

    restored, remarks = restore(master, handed_in)

    code = [c["source"] for c in restored["cells"] if c["cell_type"] == "code"]
    assert code == [
        "import numpy",
        "early",
        "stub a",
        "assert a() == 1",
        "first",
        "after b",
        "assert b() == 1",
    ]
    assert "answer-a was missing" in remarks
    assert "answer-b was there twice" in remarks
    assert "check-b was missing and has been restored" in remarks
    assert len({c.get("id") for c in restored["cells"] if c.get("id")}) == 2


def test_broken_metadata_does_no_harm(master):
    handed_in = {
        "cells": [
            {"cell_type": "code", "metadata": None, "source": None},
            {"cell_type": "code", "metadata": {"nbgrader": 3}},
        ]
    }

    restored, _ = restore(master, handed_in)

    assert [c["source"] for c in restored["cells"]][:2] == ["A question", "import numpy"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"cells": 3}', '{"cells": [{}]}', '{"cells": ["x"]}', "[" * 5000]
)
def test_what_is_no_notebook_is_refused(tmp_path, text):
    path = tmp_path / "x.ipynb"
    path.write_text(text)

    with pytest.raises(UnreadableError, match=r"x\.ipynb is not a notebook"):
        read_submission(path)


def test_a_link_is_refused(tmp_path):
    (tmp_path / "real.ipynb").write_text(json.dumps({"cells": []}))
    (tmp_path / "x.ipynb").symlink_to(tmp_path / "real.ipynb")

    with pytest.raises(UnreadableError, match="only a link"):
        read_submission(tmp_path / "x.ipynb")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("sys._getframe(1).f_locals", "frames"),
        ("In[-1]", "earlier input"),
        ("get_ipython().ast_transformers", "kernel"),
        ("os._exit(0)", "ends"),
        ("!cat /etc/passwd", "starts other programs"),
    ],
)
def test_odd_answers_are_noticed(source, words):
    assert any(words in remark for remark in suspicious(source))


def test_ordinary_answers_are_not_noticed():
    assert (
        suspicious("model = keras.Sequential(layers)\nreturn np.sort(x)[-1]  # inspect by eye: 0 < x") != []
    )
    ordinary = "hidden = layers.Dense(8)(x)\nhistory = model.fit(x, x)\nreturn np.sort(x)[-1]"
    assert suspicious(ordinary) == []


def test_submissions_are_found_in_both_layouts(tmp_path):
    for path in ("ann/01_a.ipynb", "bob/01_a/01_a.ipynb", "bob/notes.txt", ".git/01_a.ipynb", "01_a.ipynb"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("{}")

    found = find_submissions(tmp_path, ["01_a", "02_b"])

    assert [(student, name) for student, name, _ in found] == [("ann", "01_a"), ("bob", "01_a")]
    assert left_out(tmp_path, found) == [tmp_path / "01_a.ipynb"]


def test_changes_of_files_are_seen(tmp_path):
    (tmp_path / "a").write_text("one")
    before = tree_state([tmp_path])
    assert tree_state([tmp_path]) == before

    (tmp_path / "a").write_text("three")
    assert tree_state([tmp_path]) != before


def test_the_gradebook_holds_no_formulas():
    assert _harmless("=1+1") == "'=1+1"
    assert _harmless("Ann") == "Ann"
    assert _harmless(-1.0) == -1.0


def test_only_a_folder_of_ours_is_replaced(tmp_path):
    check_ours(tmp_path / "new", "gradebook.csv")
    check_ours(tmp_path, "gradebook.csv")
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="holds something else"):
        check_ours(tmp_path, "gradebook.csv")
    with pytest.raises(ValueError, match="holds something else"):
        check_ours(tmp_path / "thesis.tex", "gradebook.csv")

    (tmp_path / "gradebook.csv").write_text("")
    check_ours(tmp_path, "gradebook.csv")


def test_earlier_grades_are_kept(tmp_path):
    results, earlier = tmp_path / "grading", tmp_path / "grading-before"

    assert make_room(results) == earlier
    assert not earlier.exists()
    (results / GRADEBOOK).write_text("student,points\nann,17\n")
    (results / "feedback").mkdir()
    for _ in range(2):  # the second run was stopped, and has no rows that could replace the first one's
        make_room(results)
        assert [path.name for path in results.iterdir()] == [GRADEBOOK]
        assert (earlier / GRADEBOOK).read_text() == "student,points\nann,17\n"

    (earlier / GRADEBOOK).unlink()
    (results / GRADEBOOK).write_text("student,points\nann,18\n")
    with pytest.raises(ValueError, match="grading-before holds something else"):
        make_room(results)
    assert (results / GRADEBOOK).read_text().endswith("ann,18\n")
