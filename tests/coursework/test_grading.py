"""The whole way: release, submissions of every kind to the real assignments, grades, feedback."""

import json
import os
import re
import subprocess
import sys
import time
import zipfile

import other_answers
import pytest
import submissions
import tiny
import yaml

from tools.coursework.places import PROJECT, assignments, source_of
from tools.coursework.release import leaks, secret_lines

pytestmark = [pytest.mark.grading, pytest.mark.timeout(3600)]

FOLDER = "deep-autoencoders-coursework"
WRONG = yaml.safe_load((PROJECT / "tests/coursework/wrong_answers.yml").read_text(encoding="utf-8"))
# While one assignment is being written: DAE_ASSIGNMENTS="01_garments" grades the submissions to that one
# only.
TRIED = os.environ.get("DAE_ASSIGNMENTS", " ".join(assignments())).split()


@pytest.fixture(scope="module")
def graded(release, tmp_path_factory):
    """Submissions of every kind, graded together: results, rows, expected points."""
    folder, expected = tmp_path_factory.mktemp("submissions"), {}
    for name in TRIED:
        source = submissions.read(source_of(name))
        given_out = submissions.read(release / FOLDER / name / f"{name}.ipynb")
        kinds = submissions.seven_kinds(source, given_out)
        solutions = submissions.solutions_of(source)
        for number, answers in enumerate(other_answers.OTHER.get(name, [])):
            other = submissions.answered(given_out, {**solutions, **answers})
            kinds[f"style {number}"] = (other, kinds["perfect"][1])
        kinds["drawing"] = (submissions.with_figures(kinds["perfect"][0]), kinds["perfect"][1])
        for kind, (notebook, points) in kinds.items():
            submissions.write(notebook, folder / f"{kind} {name}" / f"{name}.ipynb")
            expected[f"{kind} {name}"] = points
    results = tmp_path_factory.mktemp("results") / "grading"
    begin = time.monotonic()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tools.coursework.grade",
            str(folder),
            "--to",
            str(results),
            "--cell-seconds",
            "40",
        ],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout[-6000:], done.stderr[-2000:])
    print(f"{len(expected)} submissions in {time.monotonic() - begin:.0f} s")
    return results, tiny.rows_of(results), expected


def test_every_submission_gets_its_grade(graded):
    _, rows, expected = graded

    wrong = {
        key: (rows[key]["points"], points, rows[key]["checks"], rows[key]["remarks"])
        for key, points in expected.items()
        if float(rows[key]["points"]) != points
    }
    assert wrong == {}


def test_perfect_work_has_only_the_text_left_to_mark(graded):
    _, rows, _ = graded

    for name in TRIED:
        for kind in ("perfect", "drawing"):
            row = rows[f"{kind} {name}"]
            assert (float(row["points"]), float(row["of"]), float(row["to_mark"])) == (17, 17, 3)


def test_every_submission_has_a_page_of_feedback_without_hidden_checks(graded):
    results, rows, _ = graded

    for student, row in rows.items():
        page = (results / "feedback" / student / f"{row['assignment']}.html").read_text(encoding="utf-8")
        assert "HIDDEN TESTS" not in page
        assert "END SOLUTION" not in page
    page = (results / "feedback" / f"untouched {TRIED[0]}" / f"{TRIED[0]}.html").read_text(encoding="utf-8")
    assert "still to be answered" in page


def test_nothing_can_be_recovered_from_the_release(release):
    assert len(secret_lines([source_of(name) for name in assignments()])) > 300
    assert leaks(release, assignments()) == []
    with zipfile.ZipFile(release / f"{FOLDER}.zip") as archive:
        names = archive.namelist()
    assert f"{FOLDER}/requirements.txt" in names
    assert not [name for name in names if "tests" in name or "tools" in name or name.endswith(".db")]
    for name in assignments():
        notebook = submissions.read(release / FOLDER / name / f"{name}.ipynb")
        assert set(notebook["metadata"]) == {"kernelspec", "coursework"}
        for cell in notebook["cells"]:
            assert set(cell["metadata"]) <= {"nbgrader"}
            assert not cell.get("outputs")


def test_a_leak_would_be_found(release, tmp_path):
    name = "01_garments"
    solution = submissions.solutions_of(submissions.read(source_of(name)))["threshold"].splitlines()[-1]
    (tmp_path / "notes.md").write_text(f"psst: {solution}")
    notebook = submissions.read(release / FOLDER / name / f"{name}.ipynb")
    notebook["metadata"]["answer"] = solution
    submissions.write(notebook, tmp_path / "x.ipynb")

    found = leaks(tmp_path, assignments())

    assert {entry.partition(":")[0] for entry in found} == {"notes.md", "x.ipynb"}


@pytest.mark.parametrize("name", assignments())
def test_an_untouched_release_stops_with_a_helpful_message(release, name):
    given_out = submissions.read(release / FOLDER / name / f"{name}.ipynb")
    checks = [check for check in submissions.points_of(given_out) if check.startswith("check-")]
    done = subprocess.run(
        [sys.executable, "selfcheck.py", f"{name}.ipynb"],
        cwd=release / FOLDER / name,
        env=os.environ | {"PYTHONPATH": str(release / FOLDER)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    first = submissions.tasks_of(given_out)[0]
    assert f"{first}: not yet. NotImplementedError: This one is still to be answered" in done.stdout
    assert f"0 of {len(checks)} visible checks hold" in done.stdout
    assert "Traceback" not in done.stderr


def test_one_visible_check_can_be_run_alone(release, tmp_path):
    name = "01_garments"
    source = submissions.read(source_of(name))
    given_out = submissions.read(release / FOLDER / name / f"{name}.ipynb")
    one = {"threshold": submissions.solutions_of(source)["threshold"]}
    submissions.write(submissions.answered(given_out, one), tmp_path / f"{name}.ipynb")

    done = subprocess.run(
        [sys.executable, release / FOLDER / "selfcheck.py", f"{name}.ipynb", "threshold"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(release / FOLDER)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-2000:]
    assert "1 of 1 visible checks hold" in done.stdout


def try_answers(notebook, answers):
    done = subprocess.run(
        [sys.executable, PROJECT / "tests/coursework/check_wrong_answers.py", notebook, json.dumps(answers)],
        cwd=PROJECT,
        env=os.environ | {"PYTHONPATH": str(PROJECT), "DAE_PROFILE": "full"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.parametrize("name", assignments())
def test_the_checks_catch_nine_of_ten_wrong_answers(name):
    result = try_answers(source_of(name), WRONG[name])

    assert not {task: how for task, how in result["right"].items() if how}
    assert result["worthless"] == []
    missed = [entry for entry in result["wrong"] if not entry["caught"]]
    assert len(missed) <= len(result["wrong"]) // 10, missed


VARIANTS = {
    "00_river": (10, "BENDS = 1.6"),
    "01_garments": (12, "NORMAL = 1"),
    "02_patches": (13, "PHOTO = 1"),
    "03_damaged_digits": (14, "SIDE = 12"),
    "04_few_labels": (15, "PER_CLASS = 3"),
    "05_scenes": (16, "WAVE = 5.0"),
    "06_beats": (17, "RECORD = 9203"),
    "07_search": (18, "CODE_SIZE = 24"),
}


@pytest.mark.parametrize("name", assignments())
def test_a_variant_can_be_solved_too(name, tmp_path):
    seed, constant = VARIANTS[name]
    notebook = submissions.read(source_of(name))
    cell = submissions.cell_of(notebook, "set-up")
    text = re.sub(r"^SEED = \d+$", f"SEED = {seed}", "".join(cell["source"]), flags=re.MULTILINE)
    cell["source"] = re.sub(rf"^{constant.partition(' ')[0]} = [\d.]+$", constant, text, flags=re.MULTILINE)
    assert constant in cell["source"]
    submissions.write(notebook, tmp_path / f"{name}.ipynb")

    assert not {
        task: how for task, how in try_answers(tmp_path / f"{name}.ipynb", [])["right"].items() if how
    }
