"""Sweeps: every combination once, each in a process of its own, and nothing done twice."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cloudpickle
import pytest

from dae_utils.training import trial
from dae_utils.training.sweeps import sweep

FACTOR = 10.0


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    """Sweeps are kept in the current folder."""
    monkeypatch.chdir(tmp_path)


def product(settings, seed):
    """A trial that is fast, notes that it ran, and fails for a width of 0."""
    import os
    import pathlib

    with pathlib.Path("ran").open("a") as file:
        file.write("x")
    if settings["width"] == 0:
        raise ZeroDivisionError("no width")
    threads = float(os.environ["OMP_NUM_THREADS"])
    return {"product": FACTOR * settings["width"] + seed, "threads": threads, "process": os.getpid()}


# As if it were defined in a notebook, whose constants a reader changes.
product.__module__ = "__main__"


def n_runs():
    return len(Path("ran").read_text())


def test_every_combination_and_seed_is_a_row():
    table = sweep(product, {"width": [1, 2], "kind": ["a"]}, seeds=(0, 5), name="toy")

    assert table[["kind", "width", "seed"]].to_numpy().tolist() == [
        ["a", 1, 0],
        ["a", 1, 5],
        ["a", 2, 0],
        ["a", 2, 5],
    ]
    assert table["product"].tolist() == [10, 15, 20, 25]
    assert set(table["threads"]) == {1.0}
    assert table["process"].nunique() == 4
    assert table["error"].isna().all()
    assert (table["seconds"] > 0).all()


def test_what_is_done_is_not_done_again_until_something_changes(monkeypatch):
    first = sweep(product, [{"width": 1}], name="toy")
    again = sweep(product, [{"width": 1}], name="toy")
    assert n_runs() == 1
    assert again.equals(first)

    sweep(product, [{"width": 1}, {"width": 2}], name="toy")
    assert n_runs() == 2
    monkeypatch.setattr(sys.modules[__name__], "FACTOR", 11.0)
    assert sweep(product, [{"width": 1}], name="toy")["product"].tolist() == [11]


def test_a_trial_that_fails_is_named_and_tried_again():
    table = sweep(product, {"width": [0, 1]}, name="toy")

    assert table["error"][0].endswith("ZeroDivisionError: no width")
    assert table["product"].isna().tolist() == [True, False]
    sweep(product, {"width": [0, 1]}, name="toy")
    assert n_runs() == 3


def test_a_damaged_result_is_run_again():
    sweep(product, [{"width": 1}], name="toy")
    (file,) = Path("sweeps/toy").glob("*.json")
    file.write_text(file.read_text()[:20])

    assert sweep(product, [{"width": 1}], name="toy")["product"].tolist() == [10]
    assert n_runs() == 2


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("5.0", "must return numbers by name"),
        ("{'loss': float('nan')}", "not finite"),
        ("{'a': 5.0}", "returns a, which is a setting or a column"),
        ("{'seconds': 5.0}", "returns seconds"),
    ],
)
def test_an_answer_that_is_no_numbers_is_an_error(answer, message):
    namespace: dict = {}
    Path("answer.py").write_text(f"def answer(settings, seed):\n    return {answer}\n")
    exec(compile(Path("answer.py").read_text(), "answer.py", "exec"), namespace)

    assert message in sweep(namespace["answer"], [{"a": 1}], name="toy")["error"][0]


@pytest.mark.parametrize(
    ("grid", "seeds", "message"),
    [
        ([], (0,), "at least one combination"),
        ({"a": [1]}, (), "one seed"),
        ({"seed": [1]}, (0,), "seed can't name a setting"),
    ],
)
def test_wrong_arguments_are_refused(grid, seeds, message):
    with pytest.raises(ValueError, match=message):
        sweep(product, grid, seeds, name="toy")


@pytest.mark.parametrize("name", ["../esc", "a/b", "/tmp", "..", ""])
def test_a_name_is_no_path(name, tmp_path):
    with pytest.raises(ValueError, match="name must be a plain name"):
        sweep(product, [{"width": 1}], name=name)
    assert list(tmp_path.iterdir()) == []


def test_a_number_of_seeds_is_refused_with_the_way_to_say_it():
    with pytest.raises(TypeError, match=r"seeds .* range\(3\)"):
        sweep(product, [{"width": 1}], seeds=3, name="toy")


SLOW = """
import os, pathlib, sys, time
from dae_utils.training.sweeps import sweep

def trial(settings, seed):
    pathlib.Path(f"began{settings['number']}").write_text(str(os.getpid()))
    time.sleep(settings["pause"])
    return {"result": settings["number"]}

grid = [{"number": 0, "pause": 0}, {"number": 1, "pause": float(sys.argv[1])}]
print(sweep(trial, grid[: int(sys.argv[2])], name="slow")["result"].tolist())
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")
def test_a_sweep_that_was_killed_goes_on_where_it_was():
    Path("slow.py").write_text(SLOW)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "slow.py", "300", "2"], env=environment)
    deadline = time.monotonic() + 120
    while not Path("began1").exists() or not Path("began1").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.wait()
    orphan = int(Path("began1").read_text())

    began = Path("began0").stat().st_mtime_ns
    done = subprocess.run(
        [sys.executable, "slow.py", "300", "1"], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[0.0]"
    assert Path("began0").stat().st_mtime_ns == began
    while Path(f"/proc/{orphan}").exists():  # the trial ends with the sweep that started it
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_trial_runs_on_one_core_and_answers_in_a_file(monkeypatch):
    pinned = []
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cores: pinned.append(cores), raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    monkeypatch.setattr(sys, "path", ["a folder", *sys.path])
    Path("job").write_bytes(
        cloudpickle.dumps((lambda settings, seed: {"sum": settings["a"] + seed}, {"a": 2}, 3))
    )

    trial.main(["job", "answer", str(os.getppid())])

    assert json.loads(Path("answer").read_text()) == {"sum": 5.0}
    assert pinned == [{3}]
    assert sys.path[0] != "a folder"
