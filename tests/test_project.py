"""Promises of the project as a whole: its commands, its requirements, and what its files may not hold."""

import os
import re
import stat
import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools import run_tests
from tools.check_notebooks import foreign_names, locked_versions
from tools.notebook_code import PROJECT

NAMED_IN_THE_TASK = {
    "jupyter-book",
    "jupyterlab",
    "matplotlib",
    "nbval",
    "numpy",
    "pandas",
    "pooch",
    "scikit-learn",
    "scipy",
    "tensorflow",
}


def read(name):
    return (PROJECT / name).read_text(encoding="utf-8")


def requirements():
    lines = [line.partition("#")[0].strip() for line in read("requirements.txt").splitlines()]
    return {canonicalize_name(r.name): r for r in (Requirement(line) for line in lines if line)}


def lock():
    return locked_versions(PROJECT / "requirements.lock")


def make_targets():
    return set(re.findall(r"^([a-z]+):", read("Makefile"), flags=re.MULTILINE))


def tracked_files():
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    if listing.returncode != 0:
        pytest.skip("this is not a git checkout: the list of the project's files is not known")
    return [name for name in listing.stdout.split("\0") if name and (PROJECT / name).is_file()]


def test_the_readme_opens_with_the_two_commands():
    first_block = re.search(r"```\w*\n(.*?)```", read("README.md"), flags=re.DOTALL)

    commands = [line.partition("#")[0].strip() for line in first_block.group(1).splitlines()]
    assert [command for command in commands if command.startswith("make")] == ["make book", "make test"]


def test_every_make_command_in_the_readme_exists():
    named = set(re.findall(r"\bmake ([a-z]+)\b", "\n".join(re.findall(r"`+[^`]+`+", read("README.md")))))

    assert {"book", "test", "lab", "execute", "serve", "clean"} <= named
    assert named <= make_targets()


def test_every_setting_in_the_readme_is_read_somewhere():
    named = set(re.findall(r"\bDAE_[A-Z_]+\b", read("README.md")))
    sources = [
        name for name in tracked_files() if name.startswith(("dae_utils/", "tests/", "tools/", "notebooks/"))
    ]
    code = "\n".join(
        read(name)
        for name in sources
        if name.endswith((".py", ".sh", ".ipynb")) and name != "tests/test_project.py"
    )

    wanted = (
        "DAE_PROFILE DAE_DATA_DIR DAE_DOWNLOADS DAE_MITDB_DIR DAE_PHYSIONET_DIR DAE_PROGRESS DAE_BOOK_PYTHON "
        "DAE_CHROMIUM DAE_TRAIN DAE_ENGINE DAE_LANGUAGE DAE_ASSIGNMENTS_DIR DAE_SERVING_TOKEN"
    )
    assert named == set(wanted.split())
    assert [name for name in sorted(named) if name not in code] == []


def test_the_set_up_page_has_the_same_settings_as_the_readme():
    readme, page = (settings_table(read(name)) for name in ("README.md", "book/setup.md"))

    assert len(readme) == 13
    assert page == readme


def settings_table(text):
    """The rows of the table of settings: name, and what happens when it is not set."""
    rows = re.findall(r"^\| `(DAE_[A-Z_]+)` \|.*\| (.*) \|$", text, flags=re.MULTILINE)
    return dict(rows)


@pytest.mark.parametrize("name", ["README.md", "book/setup.md"])
def test_the_plain_commands_are_those_of_make(name):
    typed = [line.partition(" #")[0].strip() for line in code_lines(read(name))]
    makes = re.sub(r" --quiet --disable-pip-version-check", "", read("tools/setup.sh") + read("Makefile"))
    run_by_make = [line.strip().lstrip("@").removeprefix(".venv/bin/") for line in makes.splitlines()]

    installing = [line for line in typed if "pip install" in line]
    assert installing == [line for line in run_by_make if "pip install" in line]
    assert "jupyter-book build . -W --keep-going" in typed
    assert "jupyter-book build . -W --keep-going" in run_by_make


def code_lines(text):
    """The lines of all blocks of shell commands."""
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    return [line.strip() for block in blocks for line in block.splitlines()]


def test_the_example_in_the_readme_runs():
    (example,) = re.findall(r"```python\n(.*?)```", read("README.md"), flags=re.DOTALL)

    run = subprocess.run(
        [sys.executable, "-c", example],
        cwd=PROJECT,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2", "DAE_PROGRESS": "0"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stderr[-2000:]
    normal, anomalous = (line.strip("[]").split() for line in run.stdout.splitlines())
    # The weights differ from run to run, and one alarm in twenty is what the example asks for.
    assert normal.count("1") >= 6
    assert anomalous == ["-1"] * 10


def test_the_automatic_check_runs_make_targets_and_nothing_hidden():
    script = PROJECT / ".ci" / "run"
    commands = [line.strip() for line in read(".ci/run").splitlines() if not line.strip().startswith("#")]

    assert script.stat().st_mode & stat.S_IXUSR or os.name == "nt"
    assert commands[0] == "set -euo pipefail"
    assert commands[-2:] == ["make test", "make test-release"]
    assert not [line for line in commands if re.search(r"pytest|ruff|\bpip\b|STEPS|\|\|", line)]


def test_requirements_name_what_a_reader_needs():
    names = requirements()

    assert set(names) >= NAMED_IN_THE_TASK
    assert not names["jupyter-book"].specifier.contains("2.0.0", prereleases=True)
    assert names["jupyter-book"].specifier.contains("1.0.4.post1")


def test_requirements_name_everything_that_the_package_needs():
    package = tomllib.loads(read("pyproject.toml"))["project"]["dependencies"]

    assert {canonicalize_name(Requirement(line).name) for line in package} <= set(requirements())


def test_the_lock_satisfies_the_requirements():
    locked = lock()
    project = tomllib.loads(read("pyproject.toml"))
    wanted = [
        *requirements().values(),
        *map(Requirement, project["project"]["dependencies"]),
        *map(Requirement, project["project"]["optional-dependencies"]["test"]),
        # The package is built by what the lock brings, so that set-up downloads nothing that is not pinned.
        *map(Requirement, project["build-system"]["requires"]),
    ]

    for requirement in wanted:
        versions = locked.get(canonicalize_name(requirement.name))
        assert versions, f"requirements.lock has no {requirement.name}: run `make lock`"
        outside = [version for version in versions if not requirement.specifier.contains(version)]
        assert not outside, f"requirements.lock has {requirement.name} {outside[0]}, wanted is {requirement}"


def test_the_lock_is_exact_and_hashed_and_names_no_address():
    text = read("requirements.lock")
    entries = re.split(r"\n(?=\S)", text.strip())

    assert len(entries) > 100
    for entry in entries:
        assert re.match(r"[a-z0-9-]+==\S+( ;[^\\]*)? \\\n    --hash=sha256:[0-9a-f]{64}\b", entry), entry[:80]
    assert "://" not in text


def test_no_file_names_a_machine_or_a_package_registry():
    found = {}
    for name in tracked_files():
        try:
            names = foreign_names(read(name))
        except UnicodeDecodeError:
            continue
        if names:
            found[name] = names

    assert found == {}


def test_no_data_is_committed():
    kinds = re.compile(r"\.(npz|npy|gz|csv|dat|hea|atr|h5|keras|tar|zip|pkl|whl)$")
    found = [name for name in tracked_files() if kinds.search(name)]

    # Weights of published networks and of shipped detectors are no data, and the pages need them.
    weights = ("notebooks/trained/", "dae_utils/signals/trained_detectors/")
    assert [name for name in found if not name.startswith(weights)] == []


def test_published_networks_are_few_and_small():
    names = [name for name in tracked_files() if name.startswith("notebooks/trained/")]

    assert {name.rpartition(".")[2] for name in names} <= {"npz", "json"}
    assert sum((PROJECT / name).stat().st_size for name in names) <= 40 * 2**20


def test_a_python_that_does_not_fit_is_refused_in_one_line(tmp_path):
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)

    for settings, words in (
        ({"PYTHON": str(old)}, "is not Python 3.11, 3.12 or 3.13"),
        ({"PATH": f"{tmp_path}:{no_python(tmp_path)}"}, "No Python 3.11, 3.12 or 3.13 found"),
    ):
        environment = {key: value for key, value in os.environ.items() if key != "PYTHON"}
        setup = subprocess.run(
            ["/bin/sh", str(PROJECT / "tools" / "setup.sh")],
            cwd=tmp_path,
            env=environment | settings,
            capture_output=True,
            text=True,
            check=False,
        )
        assert setup.returncode == 1
        assert words in setup.stderr
        assert setup.stderr.count("\n") == 1
        assert not (tmp_path / ".venv").exists()


def no_python(tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir(exist_ok=True)
    return folder


def test_a_browser_that_is_none_is_refused_in_one_line(tmp_path):
    browser = subprocess.run(
        ["/bin/sh", str(PROJECT / "tools" / "browser.sh")],
        env=os.environ | {"DAE_CHROMIUM": str(tmp_path / "none")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert browser.returncode == 1
    assert "DAE_CHROMIUM" in browser.stderr
    assert browser.stderr.count("\n") == 1


def test_a_failed_test_is_named_again_at_the_end_with_its_message(tmp_path):
    (tmp_path / "test_toy.py").write_text(
        "def test_right(): pass\n\ndef test_wrong():\n    assert not ['the page is too wide']\n"
    )
    report = tmp_path / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junit-xml={report}"]
    subprocess.run([*command, str(tmp_path)], check=False, capture_output=True)

    (said,) = run_tests.failures(report)

    assert "test_wrong" in said
    assert "the page is too wide" in said
    assert run_tests.failures(tmp_path / "none.xml") == []
