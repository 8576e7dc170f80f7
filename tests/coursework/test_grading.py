"""The whole way with nbgrader: release, submissions of every kind, grades, feedback, nothing else."""

import csv
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest
import submissions
import yaml
from running import run

from tools.coursework.places import PROJECT, assignments, source_of
from tools.coursework.sandbox import granted

pytestmark = [pytest.mark.grading, pytest.mark.timeout(3600)]

FOLDER = "deep-autoencoders-coursework"
WRONG = yaml.safe_load((PROJECT / "tests/coursework/wrong_answers.yml").read_text(encoding="utf-8"))
RUNS_OF_PERFECT = 3
# While one assignment is being written: DAE_ASSIGNMENTS="01_garments" grades the submissions to that one
# only.
TRIED = os.environ.get("DAE_ASSIGNMENTS", " ".join(assignments())).split()
# A cell needs seconds; on a busy machine the set-up alone, which imports Keras, may need half a minute.
LIMITS = ("--cell-seconds", "60", "--memory-mb", "3000")
# What a trick printed, at the start of a line. Other copies of the project are not ours to hide.
MARKERS = (rf"FOUND {re.escape(str(PROJECT))}/notebooks", "CONNECTED", "REMOUNTED", "WROTE /")


@pytest.fixture(scope="module")
def listener():
    """Something that listens on this machine: its port, and who came."""
    came = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.5)
        closing = threading.Event()

        def accept():
            while not closing.is_set():
                try:
                    came.append(server.accept()[1])
                except TimeoutError:
                    continue

        thread = threading.Thread(target=accept)
        thread.start()
        yield server.getsockname()[1], came
        closing.set()
        thread.join()


@pytest.fixture(scope="module")
def graded(release, listener, tmp_path_factory):
    """All submissions, graded together: results, rows, expected points, seconds, a folder outside."""
    folder, outside = tmp_path_factory.mktemp("submissions"), tmp_path_factory.mktemp("outside")
    expected = {}
    for name in TRIED:
        source = submissions.read(source_of(name))
        given_out = submissions.read(release / FOLDER / name / f"{name}.ipynb")
        kinds = submissions.seven_kinds(source, given_out)
        kinds |= {f"perfect {i}": kinds["perfect"] for i in range(2, RUNS_OF_PERFECT + 1)}
        kinds["perfect 2"] = (submissions.with_figures(kinds["perfect"][0]), kinds["perfect"][1])
        if name == assignments()[0]:
            tricks = submissions.cheats(given_out, outside, listener[0])
            kinds |= {f"cheat {trick}": (notebook, 0) for trick, notebook in tricks.items()}
        for kind, (notebook, points) in kinds.items():
            submissions.write(notebook, folder / kind / f"{name}.ipynb")
            expected[kind, name] = points
    (folder / "no notebook").mkdir()
    (folder / "no notebook" / f"{assignments()[0]}.ipynb").write_text("Dear teacher, my computer broke.")
    expected["no notebook", assignments()[0]] = 0

    results = tmp_path_factory.mktemp("results") / "grading"
    begin = time.monotonic()
    done = run("tools.coursework.grade", folder, "--to", results, *LIMITS)
    seconds = time.monotonic() - begin
    print(done.stdout[-6000:], done.stderr[-2000:])
    with open(results / "gradebook.csv", newline="", encoding="utf-8") as file:
        rows = {(row["student"], row["assignment"]): row for row in csv.DictReader(file)}
    return results, rows, expected, seconds, outside


def test_every_submission_gets_its_grade(graded):
    _, rows, expected, _, _ = graded

    assert set(rows) == set(expected)
    wrong = {
        key: (rows[key]["points"], points, rows[key]["checks"], rows[key]["remarks"])
        for key, points in expected.items()
        if float(rows[key]["points"]) != points
    }
    assert wrong == {}


def test_perfect_work_has_only_the_text_left_to_mark(graded):
    _, rows, _, _, _ = graded

    for name in TRIED:
        for kind in ("perfect", *(f"perfect {i}" for i in range(2, RUNS_OF_PERFECT + 1))):
            assert float(rows[kind, name]["points"]) == float(rows[kind, name]["of"]) == 17
    assert all(float(row["to_mark"] or 0) in (0, 3) for row in rows.values())


def test_every_submission_has_a_page_of_feedback_without_hidden_checks(graded):
    results, rows, _, _, _ = graded

    for student, name in rows:
        page = (results / "feedback" / student / f"{name}.html").read_text(encoding="utf-8")
        # As it stands in a check; a submission may well say the words itself.
        assert "### BEGIN HIDDEN TESTS" not in page
        assert "END SOLUTION" not in page
    page = (results / "feedback" / "untouched" / "01_garments.html").read_text(encoding="utf-8")
    assert "still to be answered" in page


def test_no_grader_failed(graded):
    results, rows, _, _, _ = graded

    assert not (results / "logs").exists()
    assert not [row for row in rows.values() if "grading failed" in row["remarks"]]


def test_nothing_happened_outside(graded, listener):
    results, rows, _, _, outside = graded
    rights = granted()
    pages = {path: path.read_text(encoding="utf-8") for path in (results / "feedback").rglob("*.html")}

    said = [
        (path, word)
        for path, text in pages.items()
        for word in MARKERS
        if re.search(rf"^(<pre>)?{word}", text, flags=re.MULTILINE)
    ]
    if rights["network"]:
        assert listener[1] == []
    if rights["files"]:
        assert list(outside.iterdir()) == []
        assert not Path("/tmp/written-by-a-submission").exists()
        assert not [path for path, word in said if word != "CONNECTED"]
        assert not [row for row in rows.values() if "files outside were changed" in row["remarks"]]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("cheat edits", "was changed and has been restored"),
        ("cheat frames", "looks at the caller's frames"),
        ("cheat exits", "ends the program"),
        ("cheat patches", "replaced: numpy."),
        ("cheat no asserts", "hooks of the kernel"),
        ("cheat memory", "MiB of memory"),
        ("cheat stubborn", "the time was up"),
        ("cheat reads", "looks for the checks"),
        ("no notebook", "is not a notebook"),
    ],
)
def test_a_person_is_told_what_to_look_at(graded, kind, words):
    _, rows, _, _, _ = graded

    assert words in rows[kind, "01_garments"]["remarks"]


def test_thirty_submissions_take_a_quarter_of_an_hour_at_most(graded):
    _, rows, _, seconds, _ = graded

    # More than a third of these crash, hang or hoard on purpose, which takes longer than honest work.
    print(f"{len(rows)} submissions in {seconds:.0f} s")
    assert 30 * seconds / len(rows) < 15 * 60


def test_nothing_can_be_recovered_from_the_release(release):
    from_sources = json.loads(run("tools.coursework.leaks", release, *assignments()).stdout)
    assert from_sources["secrets"] > 300
    assert from_sources["leaks"] == []
    with zipfile.ZipFile(release / f"{FOLDER}.zip") as archive:
        names = archive.namelist()
    assert f"{FOLDER}/requirements.txt" in names
    assert not [name for name in names if "tests" in name or "tools" in name or name.endswith(".db")]
    for name in assignments():
        notebook = submissions.read(release / FOLDER / name / f"{name}.ipynb")
        assert set(notebook["metadata"]) == {"kernelspec"}
        for cell in notebook["cells"]:
            assert set(cell["metadata"]) <= {"nbgrader"}
            assert not cell.get("outputs")


def test_a_leak_would_be_found(release, tmp_path):
    name = assignments()[0]
    solution = submissions.solutions_of(submissions.read(source_of(name)))["threshold"].splitlines()[-1]
    (tmp_path / "notes.md").write_text(f"psst: {solution}")
    notebook = submissions.read(release / FOLDER / name / f"{name}.ipynb")
    notebook["metadata"]["answer"] = solution
    submissions.write(notebook, tmp_path / "x.ipynb")

    found = json.loads(run("tools.coursework.leaks", tmp_path, *assignments()).stdout)["leaks"]

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
    name = assignments()[0]
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
    missed = [entry for entry in result["wrong"] if not entry["caught"]]
    assert len(missed) <= len(result["wrong"]) // 10, missed


VARIANTS = {
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
