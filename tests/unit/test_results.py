"""Headline numbers: what is written where, what is refused, and what a failed write leaves."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dae_utils.evaluation import Interval, ProblemsInterval
from dae_utils.profiles import Profile
from dae_utils.results import Result, Results

FULL, QUICK = Profile("full"), Profile("quick")
GOOD = {"seeds": 3, "protocol": "trained on sevens, measured on all digits"}


@pytest.fixture(autouse=True)
def only_real_hearts(monkeypatch):
    """Other tests of the same process make simulated hearts; what these do to results is tested below."""
    monkeypatch.setattr("dae_utils.results.simulated_hearts_were_used", lambda: False)


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_file_holds_exactly_what_was_recorded(tmp_path):
    results = Results("chapter", FULL, tmp_path)
    first = results.record("mnist.auroc", Interval(0.9, 0.85, 0.95), seeds=3, protocol="  één line ")
    assert first == Result(0.9, 0.85, 0.95, 3, "één line", "full")
    results.record("beats.ap", Interval(1, 1, 1), seeds=1, protocol="p")
    path = results.save()
    assert path == tmp_path / "chapter.json"
    expected = """{
  "mnist.auroc": {
    "value": 0.9,
    "low": 0.85,
    "high": 0.95,
    "seeds": 3,
    "protocol": "één line",
    "profile": "full"
  },
  "beats.ap": {
    "value": 1.0,
    "low": 1.0,
    "high": 1.0,
    "seeds": 1,
    "protocol": "p",
    "profile": "full"
  }
}
"""
    assert path.read_bytes() == expected.encode("utf-8")
    assert files_below(tmp_path) == ["chapter.json"]


@given(st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 3).map(sorted), st.integers(1, 99))
def test_numbers_survive_the_file_digit_for_digit(tmp_path_factory, ordered, seeds):
    low, value, high = ordered
    results = Results("chapter", QUICK, tmp_path_factory.getbasetemp() / "digits")
    results.record("a.b", Interval(value, low, high), seeds=seeds, protocol="p")
    read = json.loads(results.save().read_text(encoding="utf-8"))
    assert {key: Result(**entry) for key, entry in read.items()} == results.entries


def test_numpy_numbers_and_richer_intervals_become_plain_numbers(tmp_path):
    results = Results("chapter", FULL, tmp_path)
    interval = ProblemsInterval(
        np.float32(0.5), np.float64(0.25), np.float32(0.75), np.ones((10, 3)), 0.01, np.ones(50)
    )
    recorded = results.record("mnist.auroc", interval, seeds=np.int64(3), protocol="p")
    assert [type(number) for number in (recorded.value, recorded.low, recorded.seeds)] == [float, float, int]
    assert json.loads(results.save().read_text()) == {
        "mnist.auroc": {
            "value": 0.5, "low": 0.25, "high": 0.75, "seeds": 3, "protocol": "p", "profile": "full"
        }
    }  # fmt: skip


# Where


def test_a_full_run_publishes_beside_the_notebook(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = Results("01_chapter", FULL)
    assert files_below(tmp_path) == []  # nothing before save
    assert not (tmp_path / "results").exists()
    results.record("a.b", Interval(0, 0, 0), **GOOD)
    results.save()
    assert files_below(tmp_path) == [os.path.join("results", "01_chapter.json")]


def test_a_quick_run_does_not_touch_what_is_published(tmp_path, monkeypatch):
    notebooks = tmp_path / "notebooks"
    (notebooks / "results").mkdir(parents=True)
    published = notebooks / "results" / "01_chapter.json"
    published.write_text("published")
    os.utime(published, (1, 1))
    monkeypatch.chdir(notebooks)
    results = Results("01_chapter", QUICK)
    results.record("a.b", Interval(0, 0, 0), **GOOD)
    path = results.save()
    assert path.resolve() == tmp_path / "_build" / "quick_results" / "01_chapter.json"
    assert json.loads(path.read_text())["a.b"]["profile"] == "quick"
    assert published.read_text() == "published"
    assert published.stat().st_mtime == 1
    assert len(files_below(tmp_path)) == 2


@pytest.mark.parametrize(
    ("profile", "place"),
    [(FULL, "notebooks/results/studies/01_s.json"), (QUICK, "_build/quick_results/studies/01_s.json")],
    ids=["full", "quick"],
)
def test_a_study_writes_beside_the_results_of_the_chapters(tmp_path, monkeypatch, profile, place):
    studies = tmp_path / "notebooks" / "studies"
    studies.mkdir(parents=True)
    monkeypatch.chdir(studies)
    results = Results("01_s", profile)
    results.record("a.b", Interval(0, 0, 0), **GOOD)
    results.save()
    assert files_below(tmp_path) == [place]


def test_folders_are_made(tmp_path):
    results = Results("chapter", FULL, str(tmp_path / "one" / "two"))
    results.record("a.b", Interval(0, 0, 0), **GOOD)
    assert results.save() == tmp_path / "one" / "two" / "chapter.json"


# All or nothing


def test_a_new_run_replaces_the_old_file(tmp_path):
    old = Results("chapter", FULL, tmp_path)
    old.record("old.key", Interval(0, 0, 0), **GOOD)
    old.save()
    new = Results("chapter", FULL, tmp_path)
    new.record("new.key", Interval(0, 0, 0), **GOOD)
    new.save()
    assert list(json.loads((tmp_path / "chapter.json").read_text())) == ["new.key"]


def test_saving_again_adds_what_came_since(tmp_path):
    results = Results("chapter", FULL, tmp_path)
    for count, key in enumerate(("first.key", "second.key"), 1):
        results.record(key, Interval(0, 0, 0), **GOOD)
        assert len(json.loads(results.save().read_text())) == count


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step):
    results = Results("chapter", FULL, tmp_path)
    results.record("a.b", Interval(0, 0, 0), **GOOD)
    results.save()
    before = results.path.read_bytes()
    results.record("a.c", Interval(0, 0, 0), **GOOD)

    def disk_full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, step, disk_full)
        with pytest.raises(OSError, match="No space left"):
            results.save()
    assert results.path.read_bytes() == before
    assert files_below(tmp_path) == ["chapter.json"]
    results.save()
    assert list(json.loads(results.path.read_text())) == ["a.b", "a.c"]


def test_the_old_file_can_be_read_until_the_new_one_is_complete(tmp_path, monkeypatch):
    results = Results("chapter", FULL, tmp_path)
    results.record("a.b", Interval(0, 0, 0), **GOOD)
    results.save()
    results.record("a.c", Interval(0, 0, 0), **GOOD)
    replace, seen = os.replace, []

    def look_and_replace(source, target):
        seen.append((list(json.loads(Path(source).read_text())), list(json.loads(Path(target).read_text()))))
        replace(source, target)

    monkeypatch.setattr(os, "replace", look_and_replace)
    results.save()
    assert seen == [(["a.b", "a.c"], ["a.b"])]


def test_nothing_is_saved_when_nothing_was_recorded(tmp_path):
    with pytest.raises(ValueError, match="nothing to save"):
        Results("chapter", FULL, tmp_path / "folder").save()
    assert not (tmp_path / "folder").exists()


# What is refused


@pytest.mark.parametrize("key", ["mnist.auroc", "mnist.one_class.auroc", "a.b", "beats_5.d4.x_1"])
def test_good_keys(tmp_path, key):
    results = Results("chapter", FULL, tmp_path)
    results.record(key, Interval(0, 0, 0), **GOOD)
    assert list(results.entries) == [key]


@pytest.mark.parametrize(
    "key", ["", "auroc", "Mnist.auroc", "mnist.", ".auroc", "mnist..auroc", "mnist auroc", "a-b.c", "a.b\n"]
)
def test_bad_keys(tmp_path, key):
    results = Results("chapter", FULL, tmp_path)
    with pytest.raises(ValueError, match="is not a key"):
        results.record(key, Interval(0, 0, 0), **GOOD)
    assert not results.entries


def test_no_key_is_used_twice(tmp_path):
    results = Results("chapter", FULL, tmp_path)
    results.record("a.b", Interval(0.1, 0, 1), **GOOD)
    with pytest.raises(ValueError, match="recorded already"):
        results.record("a.b", Interval(0.2, 0, 1), **GOOD)
    assert results.entries["a.b"].value == 0.1


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        (float("nan"), 0, 1),
        (0.5, float("nan"), 1),
        (0.5, 0, float("nan")),
        (float("inf"), 0, float("inf")),
        (0.5, -float("inf"), 1),
        (0.5, 0, float("inf")),
        (0.5, 0.6, 1),
        (0.5, 0, 0.4),
        (0.5, 1, 0),
    ],
)
def test_bad_intervals(tmp_path, value, low, high):
    results = Results("chapter", FULL, tmp_path)
    with pytest.raises(ValueError, match=r"a\.b: .* is not an interval"):
        results.record("a.b", Interval(value, low, high), **GOOD)
    assert not results.entries


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seeds": 0}, "seeds must be a whole number at least 1"),
        ({"seeds": 2.0}, "seeds"),
        ({"protocol": ""}, "in one line"),
        ({"protocol": " \n "}, "in one line"),
        ({"protocol": "one\ntwo"}, "in one line"),
        ({"protocol": "one\rtwo"}, "in one line"),
    ],
)
def test_bad_descriptions(tmp_path, changed, message):
    results = Results("chapter", FULL, tmp_path)
    with pytest.raises(ValueError, match=message):
        results.record("a.b", Interval(0, 0, 0), **{**GOOD, **changed})
    assert not results.entries


SIMULATED = """
import sys
import numpy as np
from dae_utils.data import Record
from dae_utils.evaluation import Interval
from dae_utils.profiles import Profile
from dae_utils.results import Results

results = Results("chapter", Profile(sys.argv[1]), sys.argv[2])
results.record("before.simulation", Interval(0, 0, 0), seeds=1, protocol="p")
Record(9100, np.zeros((9, 1)), ("II",), 360, np.array([1, 5]), np.array(["N", "N"]), simulated=True)
try:
    results.record("after.simulation", Interval(0, 0, 0), seeds=1, protocol="p")
except RuntimeError as error:
    print(error)
results.save()
"""


@pytest.mark.parametrize("profile", ["full", "quick"])
def test_no_result_of_a_full_run_is_recorded_once_hearts_were_simulated(tmp_path, profile):
    command = [sys.executable, "-c", SIMULATED, profile, str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    kept = list(json.loads((tmp_path / "chapter.json").read_text()))
    if profile == "full":
        assert len(run.stdout.splitlines()) == 1
        assert "after.simulation" in run.stdout
        assert "DAE_MITDB_DIR" in run.stdout
        assert kept == ["before.simulation"]
    else:
        assert run.stdout == ""
        assert kept == ["before.simulation", "after.simulation"]


def test_a_result_cannot_be_changed_after_recording(tmp_path):
    result = Results("chapter", FULL, tmp_path).record("a.b", Interval(0, 0, 0), **GOOD)
    with pytest.raises(AttributeError):
        result.value = 1.0


# In a process of its own: a shell of IPython, which both ask for, would stay for the tests that come after.
GLUED = """
from unittest.mock import patch

from myst_nb import glue as glue_of_myst_nb

from dae_utils.results import glue

calls = []
for display in (True, False):
    for value in (0.1 + 0.2, "some words"):
        for one, shows in (
            (glue, "dae_utils.results.show_in_notebook"),
            (glue_of_myst_nb, "myst_nb.ext.glue.ipy_display"),
        ):
            with patch(shows) as shown:
                one("name", value, display=display)
            calls.append(shown.call_args)
assert calls[0::2] == calls[1::2]
assert calls[0] != calls[2] != calls[4]
"""


def test_a_glued_value_is_stored_as_myst_nb_looks_for_it():
    subprocess.run([sys.executable, "-c", GLUED], check=True)
