"""What was handed in is read whatever it is, the answers are taken out, tables and pages stay harmless."""

import copy
import csv
import json
import os

import pytest
import tiny

from tools.coursework import feedback
from tools.coursework.grade import page_of
from tools.coursework.gradebook import Gradebook, harmless
from tools.coursework.submissions import (
    Submission,
    UnreadableError,
    answers_of,
    find_submissions,
    left_out,
    read_bytes,
    release_of,
)


def taken(notebook, **options):
    content = notebook if isinstance(notebook, bytes) else json.dumps(notebook).encode()
    return answers_of(content, tiny.master(), **options)


def test_answers_are_taken_and_nothing_else():
    handed_in = tiny.notebook(tiny.RIGHT, own=["last"], first=["first"], text="my words")
    handed_in["cells"][2]["source"] = ["a = ", "1"]
    handed_in["cells"].insert(4, tiny.cell(None, "between"))
    handed_in["cells"].insert(5, tiny.cell(None, "prose", "markdown"))

    found = taken(handed_in)

    assert found.answers == {**tiny.RIGHT, "answer-double": "a = 1", "text-words": "my words"}
    assert found.own == {"set-up": ["first"], "check-double": ["between"], "check-total": ["last"]}
    assert found.remarks == []


def test_missing_and_doubled_answers_are_told():
    handed_in = tiny.notebook({"answer-double": "one"})
    handed_in["cells"].append(tiny.cell("answer-double", "two", solution=True))

    found = taken(handed_in)

    assert found.answers["answer-double"] == "one"
    assert found.remarks == ["answer-double was there twice", "answer-total was missing"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"cells": 3}',
        '{"cells": [{}]}',
        '{"cells": ["x"]}',
        "[" * 5000,
        "9" * 5000,
        "null",
        "\x00",
    ],
)
def test_what_is_no_notebook_is_refused(text):
    with pytest.raises(UnreadableError, match="not a notebook"):
        taken(text.encode())


def test_broken_metadata_and_sources_do_no_harm():
    handed_in = tiny.notebook(tiny.RIGHT)
    marks = ({"nbgrader": mark} for mark in (3, {"grade_id": [1]}, {"grade_id": "x"}))
    for metadata in (None, 3, [], *marks):
        handed_in["cells"].insert(1, {"cell_type": "code", "metadata": metadata, "source": None})
    handed_in["cells"].append({"cell_type": "code", "source": [1, None, "\ud800"]})

    found = taken(b"\xef\xbb\xbf" + json.dumps(handed_in).encode())

    assert {name: found.answers[name] for name in tiny.RIGHT} == tiny.RIGHT
    found.own["text-words"][0].encode("utf-8")


def test_another_release_is_refused():
    handed_in = tiny.notebook(tiny.RIGHT)
    del handed_in["metadata"]["coursework"]

    with pytest.raises(UnreadableError, match="does not come from the release"):
        taken(handed_in)
    assert "does not come from the release" in taken(handed_in, any_release=True).remarks[0]

    # Some editors keep what is noted in cells only.
    handed_in["cells"][0]["metadata"]["nbgrader"]["release"] = release_of(tiny.master())
    assert taken(handed_in).remarks == []


def test_a_release_is_named_by_what_students_see_of_checks():
    names = []
    for name in ("check-total", "set-up", "hidden-total", "answer-total", "text-words"):
        cells = copy.deepcopy(tiny.master())
        next(c for c in cells if c["metadata"].get("nbgrader", {}).get("grade_id") == name)["source"] += (
            "\n# more"
        )
        names.append(release_of(cells) == release_of(tiny.master()))

    assert names == [False, False, True, True, True]


def test_submissions_are_found_in_both_layouts(tmp_path):
    for path in ("ann/01_a.ipynb", "bob/01_a/01_a.ipynb", "bob/notes.txt", ".git/01_a.ipynb", "01_a.ipynb"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("{}")

    found = find_submissions(tmp_path, ["01_a", "02_b"])

    assert [(one.student, one.assignment) for one in found] == [("ann", "01_a"), ("bob", "01_a")]
    assert left_out(tmp_path, found) == [tmp_path / "01_a.ipynb"]


def test_links_pipes_folders_and_large_files_are_not_read(tmp_path):
    (tmp_path / "ann").mkdir()
    (tmp_path / "ann" / "x").write_text("hers")
    (tmp_path / "link").symlink_to("ann")
    (tmp_path / "file").symlink_to("ann/x")
    os.mkfifo(tmp_path / "pipe")
    with open(tmp_path / "large", "wb") as file:
        file.truncate(2**30)

    assert read_bytes(tmp_path, ("ann", "x")) == (b"hers", False)
    for parts in (("link", "x"), ("file",), ("pipe",), ("ann",), ("large",), ("none",), ("ann", "x", "y")):
        with pytest.raises(UnreadableError):
            read_bytes(tmp_path, parts)
    os.link(tmp_path / "ann" / "x", tmp_path / "second")
    assert read_bytes(tmp_path, ("second",)) == (b"hers", True)


NAMES = ["Ann", "ann", "a\u2215b", "..", "x\ny", "=1+1", "\udcff", "\u202eevil", "a" * 200, "CON", "<b>"]


def test_pages_of_all_names_lie_in_folders_of_their_own():
    pages = [page_of(Submission(name, "01_a", ())) for name in NAMES]

    assert len({str(page) for page in pages}) == len(NAMES)
    for page in pages:
        assert len(page.parts) == 2
        assert page.parts[0] not in ("", ".", "..")
        assert page.parts[0].isascii()


@pytest.mark.parametrize(
    ("value", "written"),
    [("=1+1", "'=1+1"), ("  +x", "'  +x"), ("|x", "'|x"), ("a\nb\t", "a b "), ("Ann", "Ann"), (-1.0, -1.0)],
)
def test_the_table_holds_no_formulas(value, written):
    assert harmless(value) == written


def test_rows_are_found_again_in_the_same_state_only(tmp_path):
    book = Gradebook(tmp_path / "new" / "book")
    row = {"student": "ann", "assignment": "01_a", "points": 3.0, "remarks": 'a "b", c'}
    book.keep("key", "state", row)
    (book.rows / "broken.json").write_text("{")

    assert Gradebook(book.folder).find("key", "state")["points"] == 3
    assert book.find("key")["points"] == 3
    for key, state in (("key", "other"), ("other", "state"), ("broken", "state")):
        assert book.find(key, state) is None
    for _ in range(2):
        book.write_table([row])
        assert next(csv.DictReader(open(book.folder / "gradebook.csv")))["remarks"] == 'a "b", c'  # noqa: SIM115
    assert not list(book.folder.glob("*yours*"))


def test_a_page_shows_everything_as_text():
    row = {"assignment": "01_a", "points": 1.0, "of": 2.0, "to_mark": 3.0, "confined": "yes"}
    bad = "</pre><script>alert(1)</script>\x1b[0m\u202e"
    checks = [{"check": bad, "points": 1.0, "of": 2.0, "why": bad}]
    outputs = [("text", bad), ("png", bad), ("html", bad), ("png", "aGVsbG8=")]
    cells = [{"name": bad, "source": bad, "outputs": outputs, "error": bad}]

    page = feedback.page(bad, row, {"checks": checks, "cells": cells, "texts": {bad: bad}, "refused": bad})

    assert "<script" not in page
    assert "<img" not in page
    large = [{"name": "", "source": "x" * 10**6, "outputs": [("text", "y" * 10**6)] * 9, "error": ""}] * 300
    assert len(feedback.page("ann", row, {"cells": large})) < 9 * 2**20
