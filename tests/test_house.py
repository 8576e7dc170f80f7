"""The house of the library: who may import whom, what needs Keras, and how long a file may be."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tools.notebook_code import PROJECT

LIBRARY = PROJECT / "dae_utils"

# A room may import from rooms of a lower number, and from itself. Rooms of one number know nothing of each
# other. The first three are what everybody stands on.
FLOORS = {
    "validation": 0,
    "profiles": 0,
    "neighbours": 0,
    "data": 1,
    "networks": 2,
    "training": 3,
    "trained": 4,
    "detection": 5,
    "evaluation": 5,
    "signals": 5,
    "results": 6,
    "show": 7,
    "serving": 8,
    "score_file": 8,
    "__main__": 9,
}
# Paths of the first edition, for notebooks that are not rewritten yet; nothing of the library uses them.
OLD_PATHS = {
    path.stem
    for path in LIBRARY.glob("*.py")
    if path.read_text(encoding="utf-8").startswith('"""The old path of')
}
MOST_LINES = 420


def files():
    return sorted(path for path in LIBRARY.rglob("*.py") if "__pycache__" not in path.parts)


def room_of(path):
    """The package, or the single module, that a file belongs to."""
    return path.relative_to(LIBRARY).parts[0].removesuffix(".py")


def module_of(path):
    parts = path.relative_to(PROJECT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path):
    """Every module that a file imports, wherever in it, except for types alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports in full"
            assert node.module
            yield node.module
            # `from dae_utils import data` imports a room as well.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_file_belongs_to_a_room_of_the_house():
    rooms = {room_of(path) for path in files()} - OLD_PATHS - {"__init__"}

    assert rooms == set(FLOORS)


def test_imports_run_to_the_left_only():
    wrong = []
    for path in files():
        room = room_of(path)
        if room in OLD_PATHS or room == "__init__":
            continue
        for name in imports_of(path):
            parts = name.split(".")
            if parts[0] != "dae_utils" or len(parts) < 2 or parts[1] == room:
                continue
            # A name that is no room is one of the front page's, which may come from anywhere.
            if FLOORS.get(parts[1], 99) >= FLOORS[room]:
                wrong.append(f"{path.relative_to(PROJECT)} imports {name}")
    assert wrong == []


def test_no_two_files_import_each_other_in_a_circle():
    modules = {module_of(path): path for path in files()}
    graph = {
        name: {target for target in imports_of(path) if target in modules and target != name}
        for name, path in modules.items()
        # The front pages hand on what their rooms hold.
        if path.name != "__init__.py"
    }
    done, on_the_way = set(), []

    def visit(name):
        assert name not in on_the_way, " -> ".join([*on_the_way, name])
        if name in done or name not in graph:
            return
        on_the_way.append(name)
        for target in sorted(graph[name]):
            visit(target)
        on_the_way.pop()
        done.add(name)

    for name in graph:
        visit(name)


def test_only_the_engine_imports_tensorflow():
    importing = {
        path.relative_to(LIBRARY).as_posix()
        for path in files()
        if any(name.split(".")[0] == "tensorflow" for name in imports_of(path))
    }

    assert importing
    assert all(name.startswith("training/engine/") for name in importing), importing


def test_only_fit_opens_the_door_of_the_engine():
    inside = {path for path in files() if "engine" in path.relative_to(LIBRARY).parts}
    knowing = {
        path.relative_to(LIBRARY).as_posix()
        for path in set(files()) - inside
        if any(name.startswith("dae_utils.training.engine") for name in imports_of(path))
    }

    assert len(knowing) == 1, knowing
    assert next(iter(knowing)).startswith("training/")


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("dae_utils", {"keras", "tensorflow"}),
        ("dae_utils.data", {"keras", "tensorflow", "wfdb", "neurokit2"}),
        ("dae_utils.detection.classical", {"keras", "tensorflow"}),
        ("dae_utils.evaluation", {"keras", "tensorflow", "matplotlib"}),
        ("dae_utils.signals", {"keras", "tensorflow"}),
    ],
)
def test_a_room_loads_only_what_it_needs(module, unwanted):
    script = f"import sys, {module}; print(sorted(set(sys.modules) & {unwanted!r}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", files(), ids=lambda path: Path(path).relative_to(LIBRARY).as_posix())
def test_no_file_is_longer_than_one_can_hold_in_mind(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES
