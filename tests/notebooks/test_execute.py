"""Running notebooks: what is stored, what is left alone when a run fails, and what is skipped."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import execute
from tools.chapter_rules import RULES
from tools.check_notebooks import CHECKS, is_current
from tools.notebook_code import PROJECT, code_digest, read_notebook, results_file

WRITE_RESULTS = """\
import json, os
entry = {"value": 0.5, "low": None, "high": None, "seeds": 1, "protocol": "a toy"}
entry["profile"] = os.environ["DAE_PROFILE"]
with open("results/01_toy.json", "w") as file:
    json.dump({"toy.rate": entry}, file)"""


def write(folder, *sources):
    """Write a notebook as an author leaves it: prose, code, no outputs."""
    (folder / "results").mkdir(exist_ok=True)
    cells = []
    for source in sources:
        cells += [new_markdown_cell("A sentence."), new_code_cell(source)]
    path = folder / "01_toy.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    return path


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """A notebook run once for all the tests that only look at it, with what the run said."""
    path = write(
        tmp_path_factory.mktemp("notebooks"),
        WRITE_RESULTS,
        "import sys\nprint('one', flush=True)\nprint('noise', file=sys.stderr, flush=True)\nprint('two')",
        "block = bytearray(300_000_000)\nimport time\ntime.sleep(1.5)\ndel block",
        "from tqdm.auto import tqdm\nfor _ in tqdm(range(3)): pass\n[os.environ['DAE_PROFILE'], os.getcwd()]",
    )
    before = read_notebook(path)
    process = run_command(str(path))
    return path, before, process


def run_command(*arguments, **settings):
    return subprocess.run(
        [sys.executable, "-m", "tools.execute", *arguments],
        cwd=PROJECT,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_stores_the_outputs_of_a_full_run(executed):
    path, before, process = executed
    notebook = read_notebook(path)

    assert process.returncode == 0, process.stderr
    assert notebook.cells[7].outputs[0].data["text/plain"] == repr(["full", str(path.parent)])
    assert [cell.id for cell in notebook.cells] == [cell.id for cell in before.cells]
    assert [cell.source for cell in notebook.cells] == [cell.source for cell in before.cells]
    assert json.loads(results_file(path).read_text())["toy.rate"]["profile"] == "full"


def test_what_it_stores_passes_the_checks(executed):
    path, _, _ = executed
    notebook = read_notebook(path)
    # The last cell shows its folder on purpose.
    del notebook.cells[7].outputs[0]

    # All but the rules for what a chapter teaches, since this one is a toy.
    checks = {name: check for name, check in CHECKS.items() if name not in RULES}
    assert {name: check(path, notebook) for name, check in checks.items()} == {name: [] for name in checks}


def test_it_stores_neither_noise_nor_time_stamps(executed):
    path, _, process = executed
    notebook = read_notebook(path)

    assert [dict(output) for output in notebook.cells[3].outputs] == [
        {"output_type": "stream", "name": "stdout", "text": "one\ntwo\n"}
    ]
    assert "noise" in process.stderr
    assert [output.output_type for output in notebook.cells[7].outputs] == ["execute_result"]
    assert all("execution" not in cell.metadata for cell in notebook.cells)
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata) == {"dae", "kernelspec", "language_info"}


def test_it_records_time_memory_and_versions(executed):
    path, _, process = executed
    record = read_notebook(path).metadata["dae"]

    assert record["code_digest"] == code_digest(read_notebook(path))
    assert record["profile"] == "full"
    assert len(record["cells_seconds"]) == 4
    assert 1.5 <= record["cells_seconds"][2] <= record["seconds"] < 60
    # The array alone is 300 MB; an idle kernel takes less than 200.
    assert 300 < record["peak_memory_mb"] < 600
    assert set(record["versions"]) == {"python", "tensorflow", "keras", "numpy", "dae_utils"}
    assert f"peak memory {record['peak_memory_mb']} MB" in process.stdout
    assert "cell   4 of 4" in process.stdout


def test_what_is_up_to_date_is_skipped_unless_asked_for(executed, monkeypatch, capsys):
    path, _, _ = executed
    ran = []
    monkeypatch.setattr(execute, "find_notebooks", lambda: [path])
    monkeypatch.setattr(execute, "execute", lambda path, *options: ran.append(path))

    assert execute.main([]) == 0
    assert "up to date" in capsys.readouterr().out
    assert ran == []

    assert execute.main(["--force"]) == 0
    assert execute.main([str(path)]) == 0
    assert ran == [path, path]


def test_changed_code_is_run_again(executed):
    path, _, _ = executed
    notebook = read_notebook(path)
    assert is_current(path, notebook)

    notebook.cells[1].source += "\n1 + 1"
    assert not is_current(path, notebook)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def halve(x):\n    return x / 0\nhalve(1)", "ZeroDivisionError: division by zero"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "the kernel died"),
    ],
    ids=["error", "killed kernel"],
)
def test_a_failed_run_leaves_everything_as_it_was(tmp_path, capfd, source, words):
    path = write(tmp_path, WRITE_RESULTS, source, "print('never')")
    results_file(path).write_text('{"earlier": 1}')
    before = path.read_bytes()

    assert execute.main([str(path)]) == 1

    said = capfd.readouterr()
    assert words in said.err
    assert "cell   2 of 3" in said.out
    assert "FAILED: 01_toy" in said.err
    assert path.read_bytes() == before
    assert results_file(path).read_text() == '{"earlier": 1}'
    assert sorted(file.name for file in tmp_path.iterdir()) == ["01_toy.ipynb", "results"]


def test_a_run_replaces_all_live_files_or_none(tmp_path):
    write_live = "import pathlib\npathlib.Path('live').mkdir(exist_ok=True)\n"
    write_live += "pathlib.Path('live/01_new.js').write_text('new')"
    (tmp_path / "live").mkdir()
    for name in ("01_old.js", "02_other.js"):
        (tmp_path / "live" / name).write_text("old")
    path = write(tmp_path, WRITE_RESULTS, write_live, "1 / 0")

    with pytest.raises(execute.RunFailedError):
        execute.execute(path)
    assert sorted(file.name for file in (tmp_path / "live").iterdir()) == ["01_old.js", "02_other.js"]

    path = write(tmp_path, WRITE_RESULTS, write_live)
    execute.execute(path)
    assert sorted(file.name for file in (tmp_path / "live").iterdir()) == ["01_new.js", "02_other.js"]
    assert is_current(path, read_notebook(path))


def test_reused_networks_stay_and_their_training_counts(tmp_path):
    note = {"01_toy.kept": 500, "01_toy.renewed": 3000, "02_other.kept": 8000}
    (tmp_path / "trained").mkdir()
    for name, seconds in note.items():
        (tmp_path / "trained" / f"{name}.json").write_text(json.dumps({"seconds": seconds}))
    renew = "import pathlib\npathlib.Path('trained/01_toy.renewed.json').write_text('{\"seconds\": 1}')"
    path = write(tmp_path, WRITE_RESULTS, renew, "assert os.environ['DAE_TRAIN'] == 'reuse'")

    execute.execute(path, reuse=True)

    assert 500 < read_notebook(path).metadata["dae"]["seconds"] < 1000
    assert is_current(path, read_notebook(path))

    path = write(tmp_path, WRITE_RESULTS, renew)
    execute.execute(path)

    assert read_notebook(path).metadata["dae"]["seconds"] < 500
    assert sorted(file.name for file in (tmp_path / "trained").iterdir()) == [
        "01_toy.renewed.json",
        "02_other.kept.json",
    ]


def saved_in_the_middle(path, sources):
    """Save other code cells as soon as the run has left a file that says it is at the second of them."""
    wait_for((path.parent / "failed").exists)
    time.sleep(0.5)
    notebook = read_notebook(path)
    notebook.cells.insert(0, new_markdown_cell("A new sentence."))
    codes = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell, source in zip(codes, sources, strict=True):
        cell.source = source
    nbformat.write(notebook, path)


@pytest.mark.parametrize("changes_what_ran", [False, True])
def test_a_mended_cell_goes_on_in_the_same_kernel(tmp_path, capfd, changes_what_ran):
    first = f"{WRITE_RESULTS}\nmark = object()\nprint(id(mark))"
    bad = "open('failed', 'w').close()\n1 / 0"
    path = write(tmp_path, first, bad, "print('end')")
    before = "pass" if changes_what_ran else first
    arguments = (path, (before, "print(id(mark))", "print('end')"))
    author = threading.Thread(target=saved_in_the_middle, args=arguments)
    author.start()

    code = execute.main(["--mend", str(path)])

    author.join()
    said = capfd.readouterr().err
    assert "cell 2 of 3 failed" in said
    assert "mend that cell" in said
    notebook = read_notebook(path)
    outputs = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    if changes_what_ran:
        assert code == 1
        assert "code before the failed cell was changed" in said
        assert outputs == [[], [], []]
        assert not results_file(path).exists()
    else:
        assert code == 0
        assert outputs[0][0].text == outputs[1][0].text
        assert outputs[2][0].text == "end\n"
        assert notebook.cells[0].source == "A new sentence."
        counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
        assert counts == [1, 2, 3]
        assert len(notebook.metadata["dae"]["cells_seconds"]) == 3
        assert is_current(path, notebook)


def test_a_failed_first_run_leaves_no_results(tmp_path):
    path = write(tmp_path, WRITE_RESULTS, "1 / 0")

    with pytest.raises(execute.RunFailedError, match="cell 2 of 2 failed"):
        execute.execute(path)
    assert not results_file(path).exists()


def test_a_notebook_edited_meanwhile_is_not_overwritten(tmp_path):
    path = write(tmp_path, "with open('01_toy.ipynb', 'a') as file:\n    file.write(' ')")

    with pytest.raises(execute.RunFailedError, match="edited during the run"):
        execute.execute(path)
    assert path.read_text().endswith(" ")
    assert read_notebook(path).cells[1].execution_count is None


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_leaves_everything_as_it_was_and_no_kernel(tmp_path, stop):
    path = write(
        tmp_path, WRITE_RESULTS, "open('pid', 'w').write(str(os.getpid()))", "import time\ntime.sleep(300)"
    )
    before = path.read_bytes()
    process = subprocess.Popen(
        [sys.executable, "-m", "tools.execute", str(path)],
        cwd=PROJECT,
        stderr=subprocess.PIPE,
        text=True,
        # Tests that run in the background of a shell would hand down that interrupts are ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_for((tmp_path / "pid").exists)
    time.sleep(1)

    process.send_signal(stop)
    _, said = process.communicate(timeout=30)

    assert process.returncode == 130
    assert "01_toy: stopped" in said
    assert path.read_bytes() == before
    assert not results_file(path).exists()
    kernel = int((tmp_path / "pid").read_text())
    wait_for(lambda: not alive(kernel))


def test_an_unknown_name_is_refused_with_the_known_ones(monkeypatch, capsys):
    monkeypatch.setattr(execute, "find_notebooks", lambda: [PROJECT / "notebooks" / "01_toy.ipynb"])

    assert execute.main(["02_toy"]) == 1
    assert "no notebook '02_toy'. There are: 01_toy" in capsys.readouterr().err


def test_a_study_is_found_by_its_name_alone_and_with_its_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "NOTEBOOKS", tmp_path)
    (tmp_path / "studies").mkdir()
    study = tmp_path / "studies" / "01_toy.ipynb"
    study.write_text("{}")

    for name in ("01_toy", "01_toy.ipynb", "studies/01_toy", str(study)):
        assert execute.chosen_notebooks([name]) == [study]


def test_no_notebook_at_all_is_a_failure(monkeypatch, capsys):
    monkeypatch.setattr(execute, "find_notebooks", list)

    assert execute.main([]) == 1
    assert "no notebook" in capsys.readouterr().err


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def alive(process_id):
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True
