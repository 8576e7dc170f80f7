"""The times of the quick runs: how the file is kept, and what is said about a notebook that fails."""

from __future__ import annotations

import json

import nbformat
import pytest

from tools import quick_times
from tools.notebook_code import find_notebooks


def test_new_times_replace_old_ones_and_gone_notebooks_are_dropped():
    stored = {
        "machine": "1 core",
        "measured": "2026-01-01",
        "seconds": {"01_a": 50.0, "02_b": 60.0, "09_gone": 1.0},
    }

    content = quick_times.with_times(stored, {"01_a": 41.26}, ["01_a", "02_b"], "2026-11-24")

    assert content["seconds"] == {"01_a": 41.3, "02_b": 60.0}
    assert content["measured"] == "2026-11-24"
    assert "cores" in content["machine"]


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Two notebooks: one that runs in the quick profile only, and one that fails."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for name, source in (
        ("01_works", "import os\nassert os.environ['DAE_PROFILE'] == 'quick'"),
        ("02_fails", "raise ValueError('on purpose')"),
    ):
        nbformat.write(
            nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)]), folder / f"{name}.ipynb"
        )
    monkeypatch.setattr(quick_times, "find_notebooks", lambda: find_notebooks(folder))
    monkeypatch.setattr(quick_times, "TIMES", tmp_path / "times.json")
    return folder


def test_a_notebook_is_run_in_a_copy_and_its_time_stored(small):
    before = (small / "01_works.ipynb").read_bytes()

    assert quick_times.main(["01_works"]) == 0

    stored = json.loads(quick_times.TIMES.read_text(encoding="utf-8"))
    assert 0 < stored["seconds"]["01_works"] < 120
    assert (small / "01_works.ipynb").read_bytes() == before


def test_a_study_is_run_in_a_folder_of_its_kind(small):
    (small / "studies").mkdir()
    source = "from pathlib import Path\nassert Path.cwd().name == 'studies'"
    cells = [nbformat.v4.new_code_cell(source)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), small / "studies" / "01_measures.ipynb")

    assert quick_times.main(["01_measures"]) == 0


def test_a_notebook_that_fails_or_is_not_there_stores_nothing(small, capfd):
    assert quick_times.main(["02_fails"]) == 1
    assert "02_fails" in capfd.readouterr().err
    assert quick_times.main(["03_nowhere"]) == 2
    assert "01_works, 02_fails" in capfd.readouterr().err
    assert not quick_times.TIMES.exists()
