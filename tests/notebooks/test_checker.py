"""The checker itself: a good notebook passes, and each fault is found and named."""

import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import check_notebooks
from tools.chapter_rules import NOT_YET_REWRITTEN
from tools.check_notebooks import (
    CHECKS,
    REGISTRY_HOSTS,
    foreign_names,
    is_current,
    locked_versions,
    main,
    problems,
)
from tools.notebook_code import (
    PROJECT,
    code_digest,
    find_chapters,
    find_notebooks,
    live_digest,
    name_of,
    read_notebook,
    results_digest,
    results_file,
)

RESULTS = {
    "toy.auroc": {
        "value": 0.9,
        "low": 0.85,
        "high": 0.95,
        "seeds": 3,
        "protocol": "one digit normal",
        "profile": "full",
    },
    "toy.squared_error": {
        "value": 3.0,
        "low": None,
        "high": None,
        "seeds": 1,
        "protocol": "test set",
        "profile": "full",
    },
}


def a_good_notebook():
    notebook = new_notebook(
        cells=[
            new_markdown_cell("# A chapter" + 3 * "\n\n```{predict} Which?\n- A\n- B\n```\n\nIt is."),
            new_markdown_cell("First, a number."),
            new_code_cell("x = 1\nx", execution_count=1, outputs=[shown("1")]),
            new_markdown_cell("Then, another."),
            new_code_cell("print(x + 1)", execution_count=2, outputs=[printed("2\n")]),
        ]
    )
    locked = locked_versions(PROJECT / "requirements.lock")
    notebook.metadata["dae"] = {
        "code_digest": code_digest(notebook),
        "profile": "full",
        "seconds": 1.5,
        "peak_memory_mb": 80,
        "cells_seconds": [0.5, 0.5],
        "versions": {name: str(max(locked[name])) for name in ("tensorflow", "keras", "numpy")},
        "machine": "2 cores, x86_64",
        "executed": "2026-01-31",
    }
    return notebook


def shown(text, kind="text/plain"):
    return new_output("execute_result", data={kind: text}, execution_count=1)


def printed(text, stream="stdout"):
    return new_output("stream", name=stream, text=text)


def write(folder, notebook, results=RESULTS, *, digest=True, name="01_toy"):
    path = folder / f"{name}.ipynb"
    results_file(path).parent.mkdir(exist_ok=True)
    results_file(path).write_text(json.dumps(results))
    if digest:
        notebook.metadata["dae"]["results_digest"] = results_digest(results_file(path))
    nbformat.write(notebook, path)
    return path


def test_a_good_notebook_passes_every_check(tmp_path):
    path = write(tmp_path, a_good_notebook())

    assert problems(path) == []
    assert is_current(path, nbformat.read(path, as_version=4))
    assert main([str(path)]) == 0


def test_the_command_names_notebook_fault_and_way_out(tmp_path, capsys):
    notebook = a_good_notebook()
    notebook.cells[2].source = "x = 2\nx"
    path = write(tmp_path, notebook)

    assert main([str(path)]) == 1
    message = capsys.readouterr().err
    assert "01_toy" in message
    assert "code was changed" in message
    assert "make execute" in message
    assert not is_current(path, notebook)


def test_a_folder_without_notebooks_is_a_fault(monkeypatch, capsys):
    monkeypatch.setattr("tools.check_notebooks.find_notebooks", list)

    assert main([]) == 1
    assert "no notebook" in capsys.readouterr().err


def change_code(notebook):
    notebook.cells[4].source = "print(x + 2)"


def swap_cells(notebook):
    notebook.cells[2].source, notebook.cells[4].source = notebook.cells[4].source, notebook.cells[2].source


def join_cells(notebook):
    # The same characters in the same order, cut into cells differently.
    notebook.cells[2].source += "\n" + notebook.cells[4].source
    del notebook.cells[3:]


def add_cell(notebook):
    notebook.cells += [new_markdown_cell("And more."), new_code_cell("y = 3", execution_count=3)]


def use_quick_profile(notebook):
    notebook.metadata["dae"]["profile"] = "quick"


def forget_record(notebook):
    notebook.metadata["dae"] = {"versions": notebook.metadata["dae"]["versions"]}


def drop_record(notebook):
    del notebook.metadata["dae"]


def append_error(notebook):
    notebook.cells[4].outputs.append(new_output("error", ename="ZeroDivisionError", evalue="by zero"))


def never_run(notebook):
    notebook.cells[2].execution_count = None


def run_backwards(notebook):
    notebook.cells[2].execution_count, notebook.cells[4].execution_count = 2, 1


def run_twice(notebook):
    notebook.cells[4].execution_count = 7


def no_code(notebook):
    notebook.cells = notebook.cells[:2]


def warn(notebook):
    notebook.cells[4].outputs.append(printed("a warning", "stderr"))


def widget(notebook):
    notebook.cells[4].outputs.append(shown("{}", "application/vnd.jupyter.widget-view+json"))


def show_path_as_text(notebook):
    notebook.cells[4].outputs.append(printed("read " + "/" + "home/ada/deep/mnist.npz"))


def show_path_as_html(notebook):
    notebook.cells[4].outputs.append(shown("<b>" + "/" + "root/cache</b>", "text/html"))


def show_registry(notebook):
    notebook.cells[4].outputs.append(printed(f"fetched from https://{REGISTRY_HOSTS[0]}/mnist"))


def long_cell(notebook):
    notebook.cells[2].source = "\n\n".join(f"x{i} = {i}" for i in range(16))


def no_prose_between(notebook):
    del notebook.cells[3]


def blank_prose(notebook):
    notebook.cells[3].source = "  \n"


def no_seconds(notebook):
    notebook.metadata["dae"]["seconds"] = 0


def fewer_times(notebook):
    notebook.metadata["dae"]["cells_seconds"] = [0.5]


def no_date(notebook):
    notebook.metadata["dae"]["executed"] = "yesterday"


def other_keras(notebook):
    notebook.metadata["dae"]["versions"]["keras"] = "3.0.0"


def no_keras(notebook):
    del notebook.metadata["dae"]["versions"]["keras"]


def show_figure(notebook):
    notebook.cells[4].outputs.append(shown("iVBORw0KGgo=", "image/png"))


def figure_without_alt(notebook):
    show_figure(notebook)
    notebook.cells[4].metadata["mystnb"] = {"figure": {"caption": "A curve.", "name": "fig-curve"}}


def empty_alt(notebook):
    figure_without_alt(notebook)
    notebook.cells[4].metadata["mystnb"]["image"] = {"alt": " "}


def directive_without_alt(notebook):
    notebook.cells[3].source = "```{glue:figure} result\n:name: fig-result\n\nWhat it shows.\n```"


def typed_result(notebook):
    notebook.cells[3].source = "The network reaches 0.987 here."


def typed_share(notebook):
    notebook.cells[3].source = "Of the anomalies 87 % are found, `0.87` in all."


@pytest.mark.parametrize(
    ("spoil", "check", "words"),
    [
        (change_code, "outputs come from this code", "code was changed"),
        (swap_cells, "outputs come from this code", "code was changed"),
        (join_cells, "outputs come from this code", "code was changed"),
        (add_cell, "outputs come from this code", "code was changed"),
        (use_quick_profile, "outputs come from this code", "'quick', not 'full'"),
        (forget_record, "outputs come from this code", "code was changed"),
        (drop_record, "outputs come from this code", "nothing tells which code"),
        (append_error, "no cell ends with an error", "code cell 2 ends with ZeroDivisionError: by zero"),
        (never_run, "every cell ran once, in order", "1 of 2 code cells were never run"),
        (run_backwards, "every cell ran once, in order", "[2, 1]"),
        (run_twice, "every cell ran once, in order", "[1, 7]"),
        (no_code, "every cell ran once, in order", "no code"),
        (warn, "outputs are tidy", "code cell 2 keeps what was written to stderr"),
        (widget, "outputs are tidy", "code cell 2 keeps a widget"),
        (show_path_as_text, "outputs are tidy", "code cell 2 shows"),
        (show_path_as_html, "outputs are tidy", "code cell 2 shows"),
        (show_registry, "outputs are tidy", REGISTRY_HOSTS[0]),
        (show_figure, "figures are described", "code cell 2 (print(x + 1)) has no alternative text"),
        (show_figure, "figures are described", "code cell 2 (print(x + 1)) has no caption"),
        (figure_without_alt, "figures are described", "has no alternative text"),
        (empty_alt, "figures are described", "has no alternative text"),
        (directive_without_alt, "figures are described", "{glue:figure} result has no :alt:"),
        (typed_result, "numbers in the text come from the run", "'0.987' is typed"),
        (typed_share, "numbers in the text come from the run", "'87 %' is typed"),
        (no_seconds, "the run is recorded", "'seconds'"),
        (fewer_times, "the run is recorded", "times 1 of 2"),
        (no_date, "the run is recorded", "no date"),
        (other_keras, "versions are those of the lock", "keras 3.0.0"),
        (no_keras, "versions are those of the lock", "keras None"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_each_fault_is_found(tmp_path, spoil, check, words):
    notebook = a_good_notebook()
    spoil(notebook)
    path = write(tmp_path, notebook, digest="dae" in notebook.metadata)

    faults = CHECKS[check](path, notebook)

    assert any(words in fault for fault in faults), faults
    assert all(f"01_toy: {fault}" in problems(path) for fault in faults)


@pytest.mark.parametrize(
    ("spoil", "check", "words"),
    [
        (long_cell, "cells are short", "code cell 1 has 16 lines, the limit is 15"),
        (no_prose_between, "prose before every cell", "code cell 2 (print(x + 1))"),
        (blank_prose, "prose before every cell", "code cell 2 (print(x + 1))"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_rules_of_the_first_edition_are_for_what_is_not_yet_rewritten(tmp_path, spoil, check, words):
    notebook = a_good_notebook()
    spoil(notebook)
    old = write(tmp_path, notebook, name=NOT_YET_REWRITTEN[0])
    new = write(tmp_path, notebook)

    assert any(words in fault for fault in CHECKS[check](old, notebook))
    assert CHECKS[check](new, notebook) == []


@pytest.mark.parametrize(
    "text",
    [
        "It reaches {glue:text}`area:.3f` with $\\alpha = 0.05$ and `rate=0.37`.",
        "The published area is 0.899 {cite:p}`kim2020rapp`.",
        "The bars are 95 % intervals of 3 seeds.",
        "Version 1.2.3, and 10 000 images.",
        "A setting of the code, 0.125, or 12.5 %.",
    ],
    ids=["glued", "cited", "level", "no results", "setting"],
)
def test_numbers_that_may_stand_in_the_text(tmp_path, text):
    notebook = a_good_notebook()
    notebook.cells[2].source = "x = 1\nrate = .125"
    notebook.cells[3].source = text

    path = write(tmp_path, notebook)

    assert CHECKS["numbers in the text come from the run"](path, notebook) == []


def test_described_figures_pass(tmp_path):
    notebook = a_good_notebook()
    show_figure(notebook)
    figure = {"caption": "A curve.", "name": "fig-curve"}
    notebook.cells[4].metadata["mystnb"] = {"figure": figure, "image": {"alt": "A rising curve."}}
    notebook.cells[3].source = "```{glue:figure} result\n:alt: Two bars.\n\nWhat it shows.\n```"
    path = write(tmp_path, notebook)

    assert CHECKS["figures are described"](path, notebook) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"value": 1.2, "high": 1.3}, "1.2 is not a fraction"),
        ({"value": 0.5}, "outside its interval"),
        ({"value": float("nan")}, "not a number"),
        ({"value": "0.9"}, "not a number"),
        ({"low": None}, "two numbers, or null twice"),
        ({"low": "0.8"}, "two numbers, or null twice"),
        ({"seeds": 0}, "number of runs"),
        ({"protocol": "two\nlines"}, "one line"),
        ({"protocol": ""}, "one line"),
        ({"profile": "quick"}, "'quick', not 'full'"),
        ({"surplus": 1}, "exactly the fields"),
    ],
)
def test_each_fault_of_a_result_is_found(tmp_path, change, words):
    path = write(tmp_path, a_good_notebook(), RESULTS | {"toy.auroc": RESULTS["toy.auroc"] | change})

    assert [fault for fault in problems(path) if words in fault and "toy.auroc" in fault]


def test_results_that_were_edited_by_hand_are_found(tmp_path):
    path = write(tmp_path, a_good_notebook())
    better = RESULTS | {"toy.auroc": RESULTS["toy.auroc"] | {"value": 0.94}}
    results_file(path).write_text(json.dumps(better))

    assert any("not what the notebook's run wrote" in fault for fault in problems(path))


@pytest.mark.parametrize("place", ["02_other.json", "studies/01_other.json"])
def test_a_key_that_stands_in_another_file_is_found(tmp_path, place):
    path = write(tmp_path, a_good_notebook())
    other = tmp_path / "results" / place
    other.parent.mkdir(exist_ok=True)
    other.write_text(json.dumps({"other.auroc": RESULTS["toy.auroc"]}))
    assert problems(path) == []

    other.write_text(json.dumps({"toy.auroc": RESULTS["toy.auroc"]}))

    (fault,) = problems(path)
    assert f"toy.auroc is the key of a result in {other.name} too" in fault


def test_a_study_may_take_over_a_key_of_a_chapter_that_waits_to_be_rewritten(tmp_path, monkeypatch):
    path = write(tmp_path, a_good_notebook())
    other = tmp_path / "results" / "studies" / "01_other.json"
    other.parent.mkdir()
    other.write_text(json.dumps({"toy.auroc": RESULTS["toy.auroc"]}))
    assert any("is the key of a result" in fault for fault in problems(path))

    monkeypatch.setattr(check_notebooks, "NOT_YET_REWRITTEN", (path.stem,))

    assert not any("is the key of a result" in fault for fault in problems(path))


def test_a_study_has_its_results_inside_those_of_the_chapters(tmp_path):
    (tmp_path / "results" / "studies").mkdir(parents=True)
    (tmp_path / "studies").mkdir()
    study = tmp_path / "studies" / "01_toy.ipynb"

    assert results_file(study) == tmp_path / "results" / "studies" / "01_toy.json"
    assert [fault for fault in CHECKS["results are written"](study, a_good_notebook()) if "missing" in fault]
    chapter = write(tmp_path, a_good_notebook())
    nbformat.write(a_good_notebook(), study)
    assert find_notebooks(tmp_path) == [chapter, study]
    assert find_chapters(tmp_path) == [chapter]
    assert [name_of(path) for path in (chapter, study)] == ["01_toy", "studies/01_toy"]


def test_live_files_that_no_run_wrote_are_found(tmp_path):
    path = write(tmp_path, a_good_notebook())
    live = tmp_path / "live" / "01_digit.js"
    live.parent.mkdir()
    live.write_text("daeLive.add();")

    assert any("live/01_*.js are not what" in fault for fault in problems(path))
    assert not is_current(path, read_notebook(path))
    notebook = read_notebook(path)
    notebook.metadata["dae"]["live_digest"] = live_digest(path)
    nbformat.write(notebook, path)
    assert problems(path) == []
    live.rename(live.with_name("02_digit.js"))
    assert any("live/01_*.js are not what" in fault for fault in problems(path))


def test_results_laid_out_differently_are_the_same(tmp_path):
    path = write(tmp_path, a_good_notebook())
    results_file(path).write_text(json.dumps(dict(reversed(RESULTS.items())), indent=8))

    assert problems(path) == []


@pytest.mark.parametrize(
    ("content", "words"), [(None, "missing"), ("{", "not JSON"), ("{}", "no results"), ("[1]", "no results")]
)
def test_a_results_file_that_holds_nothing_is_a_fault(tmp_path, content, words):
    path = write(tmp_path, a_good_notebook())
    if content is None:
        results_file(path).unlink()
    else:
        results_file(path).write_text(content)

    assert [fault for fault in problems(path) if words in fault]


def test_the_digest_is_about_code_alone():
    notebook = a_good_notebook()
    before = code_digest(notebook)
    notebook.cells[0].source = "# Another title"
    notebook.cells[2].source = "x = 1   \nx\n"
    notebook.cells[2].outputs = []
    notebook.cells.append(new_code_cell("  "))
    assert code_digest(notebook) == before

    notebook.cells[2].source = "  x = 1\nx"
    assert code_digest(notebook) != before


@pytest.mark.parametrize(
    "text",
    [
        "~/.cache/deep-autoencoders/mnist.npz",
        "/".join(("notebooks", "root", "work", "file.txt")),
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
        "accuracy 3/4, home/away",
    ],
)
def test_ordinary_text_names_no_machine(text):
    assert foreign_names(text) == []


@pytest.mark.parametrize("parts", [("root", "x"), ("work", "x"), ("home", "ada", "x"), ("Users", "ada", "x")])
def test_paths_of_a_machine_are_found(parts):
    assert foreign_names("in '" + "".join("/" + part for part in parts) + "'")


def test_a_windows_path_is_found():
    assert foreign_names(r"C:\Us" + r"ers\ada\mnist.npz")
