"""Published networks on a small notebook: stored by a run, and verified number by number."""

import json
import os
import re
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import verify
from tools.notebook_code import PROJECT, read_notebook, results_file, trained_files

IMPORTS = """\
import keras, numpy as np
from dae_utils.evaluation import Interval
from dae_utils.profiles import current_profile
from dae_utils.results import Results
from dae_utils.trained import use_published
use_published("01_toy", ["starter"], least_seconds=0)"""
DATA = """\
keras.utils.set_random_seed(0)
x = np.random.default_rng(0).random((64, 6)).astype("float32")"""
NETWORK = """\
model = keras.Sequential([
    keras.Input((6,)),
    keras.layers.Dense(3, activation="relu"),
    keras.layers.Dense(6, activation="sigmoid"),
], name="starter")
model.compile(optimizer="adam", loss="mse")"""
TRAINING = """\
history = model.fit(x, x, epochs=3, batch_size=16, verbose=0)"""
RESULTS = """\
error = float(np.mean((model.predict(x, verbose=0) - x) ** 2))
results = Results("01_toy", current_profile())
results.record("toy.error", Interval(error, error, error), seeds=1, protocol="a toy")
results.save()
len(history.history["loss"])"""
SOURCES = (IMPORTS, DATA, NETWORK, TRAINING, RESULTS)


def write(folder, sources=SOURCES):
    """Write the notebook into a folder as an author leaves it."""
    (folder / "results").mkdir(exist_ok=True)
    cells = []
    for source in sources:
        cells += [new_markdown_cell("A sentence."), new_code_cell(source)]
    path = folder / "01_toy.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    return path


def said(notebook):
    """What the cell that trains printed."""
    cell = next(cell for cell in notebook.cells if cell.source == TRAINING)
    return "".join(output.get("text", "") for output in cell.outputs)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A folder in which the notebook was executed as `make execute` does it."""
    folder = tmp_path_factory.mktemp("published")
    path = write(folder)
    process = subprocess.run(
        [sys.executable, "-m", "tools.execute", str(path)],
        cwd=PROJECT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return path


@pytest.fixture
def copy(published, tmp_path):
    """A copy of the published notebook and of its files, to change."""
    path = tmp_path / published.name
    path.write_bytes(published.read_bytes())
    for file in (results_file(published), *trained_files(published)):
        target = tmp_path / file.relative_to(published.parent)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(file.read_bytes())
    return path


def test_executing_stores_the_network_and_records_it(published):
    record = read_notebook(published).metadata["dae"]

    assert [file.name for file in trained_files(published)] == ["01_toy.starter.json", "01_toy.starter.npz"]
    assert record["trained_digest"].startswith("sha256:")
    assert said(read_notebook(published)).startswith("starter: trained in ")


def test_what_was_published_is_verified(copy, tmp_path):
    rows = verify.verify(copy, tmp_path / "scratch")

    assert [(row.key, row.holds, row.now == row.published) for row in rows] == [("toy.error", True, True)]


def test_a_published_number_that_does_not_hold_is_named(copy, capsys):
    assert verify.main([str(copy), "--force"]) == 0
    assert verify.main([str(copy)]) == 0
    assert "verified before" in capsys.readouterr().out
    file = results_file(copy)
    content = json.loads(file.read_text())
    for part in ("value", "low", "high"):
        content["toy.error"][part] *= 1.02
    file.write_text(json.dumps(content))

    assert verify.main([str(copy), "--force"]) == 1
    output = capsys.readouterr()
    assert "DOES NOT HOLD: 01_toy" in output.err
    assert re.search(r"toy.error +[\d.]+ +[\d.]+ +DOES NOT HOLD", output.out)


def test_a_number_may_differ_by_rounding_and_by_a_tenth_of_its_interval():
    entry = {"value": 0.80, "low": 0.70, "high": 0.90}
    near, far = {**entry, "value": 0.809}, {**entry, "value": 0.811}
    exact = {"value": 1000.0, "low": None, "high": None}

    def holds(published, now):
        return [row.holds for row in verify.compare({"a.b": published}, {"a.b": now})]

    assert holds(entry, near) == [True]
    assert holds(entry, far) == [False]
    assert holds(exact, {**exact, "value": 1004.9}) == [True]
    assert holds(exact, {**exact, "value": 1005.1}) == [False]
    missing = verify.compare({"a.b": entry}, {"a.c": entry})
    assert [(row.key, row.holds) for row in missing] == [("a.b", False), ("a.c", False)]


def test_a_chapter_without_networks_is_run_from_nothing(copy, capsys):
    for file in trained_files(copy):
        file.unlink()

    assert verify.main([str(copy), "--force"]) == 0
    output = capsys.readouterr().out
    assert "from nothing" in output
    assert re.search(r"toy.error .*holds", output)


def test_a_study_without_networks_is_passed_over(tmp_path, capsys):
    folder = tmp_path / "studies"
    folder.mkdir()
    path = write(folder)

    assert verify.main([str(path)]) == 0
    assert "publishes no network" in capsys.readouterr().out
