"""The grader, attacked by those who know all of it: no points, nothing read, nobody harmed, nothing left."""

import os
import re
import signal
import socket
import subprocess
import time
from html.parser import HTMLParser
from pathlib import Path

import attacks
import psutil
import pytest
import tiny

from tools.coursework.confinement import why_not
from tools.coursework.places import PROJECT

pytestmark = [pytest.mark.grading, pytest.mark.timeout(1800)]
WITHOUT = "the attacks need bubblewrap: apt-get install bubblewrap"


def filled(source, places):
    for name, value in places.items():
        source = source.replace("{" + name + "}", str(value))
    return source


@pytest.fixture(scope="module")
def assignments(tmp_path_factory):
    return tiny.write_master(tmp_path_factory.mktemp("assignments"))


@pytest.fixture(scope="module")
def graded(assignments, tmp_path_factory):
    """All attacks and two honest students, graded together: rows, pages, who came, what was left."""
    if why_not():
        pytest.fail(WITHOUT)
    folder, outside = tmp_path_factory.mktemp("submissions"), tmp_path_factory.mktemp("outside")
    outside.chmod(0o777)
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as by_path,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        by_path.bind(str(outside / "agent"))
        os.chmod(outside / "agent", 0o777)
        abstract.bind("\0dae-attack")
        listeners = [tcp, by_path, abstract]
        for listener in listeners:
            listener.listen()
            listener.settimeout(0)
        places = {
            "port": tcp.getsockname()[1],
            "unix": outside / "agent",
            "outside": outside,
            "project": PROJECT,
        }
        places |= {"home": Path.home(), "submissions": folder}
        for name, attack in attacks.ALL.items():
            answers = {k: filled(v, places) for k, v in attack.get("answers", attacks.NOTHING).items()}
            first, own = ([filled(s, places) for s in attack.get(k, [])] for k in ("first", "own"))
            tiny.hand_in(folder, name, tiny.notebook(answers, own, first, attack.get("text", "")))
        for honest in ("aaa first", "zzz last"):
            tiny.hand_in(folder, honest, tiny.notebook(tiny.RIGHT))
        results = tmp_path_factory.mktemp("results") / "grading"
        before = {path: path.stat().st_mtime_ns for path in PROJECT.glob("*") if path.is_file()}
        temporary = set(os.listdir("/tmp"))
        done = tiny.grade(assignments, folder, results)
        came = []
        for listener in listeners:
            try:
                came.append(listener.accept())
            except BlockingIOError:
                continue
    pages = {path.parent.name: path.read_text(encoding="utf-8") for path in results.rglob("*.html")}
    left = {
        "changed": [p for p, t in before.items() if p.stat().st_mtime_ns != t],
        "written": [path for path in outside.iterdir() if path.name != "agent"],
        "temporary": [
            name for name in set(os.listdir("/tmp")) - temporary if name.startswith(("dae-", "fill"))
        ],
        "running": of_workers(),
    }
    print(done.stdout[-3000:], done.stderr[-3000:])
    return tiny.rows_of(results), pages, came, left


@pytest.mark.parametrize("name", attacks.ALL)
def test_no_points_and_nothing_reached(graded, name):
    rows, pages, _, _ = graded

    assert float(rows[name]["points"]) == 0, rows[name]
    assert "grading failed" not in rows[name]["remarks"]
    assert not re.search(r"^(<pre>)?REACHED.*", pages[name], flags=re.MULTILINE)


def test_honest_students_have_all_points(graded):
    rows, _, _, _ = graded

    assert [float(rows[name]["points"]) for name in ("aaa first", "zzz last")] == [tiny.POINTS] * 2
    assert [rows[name]["remarks"] for name in ("aaa first", "zzz last")] == ["", ""]


def test_nothing_was_reached_or_left(graded):
    _, _, came, left = graded

    assert came == []
    assert {what: found for what, found in left.items() if found} == {}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("memory", "MiB of memory"),
        ("memory of children", "MiB of memory"),
        ("processes", "were in use"),
        ("files", "files were in use"),
        ("stubborn", "could not be stopped"),
    ],
)
def test_a_person_is_told(graded, name, words):
    assert words in graded[0][name]["remarks"]


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.attributes = set(), []

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes += attributes


def test_pages_hold_no_markup_of_students_and_nothing_hidden(graded):
    known = {"html", "meta", "title", "style", "h1", "h2", "h3", "p", "pre", "table", "tr", "th", "td", "img"}
    for name, page in graded[1].items():
        parser = _Tags()
        parser.feed(page)
        assert parser.tags <= known, name
        assert not [key for key, _ in parser.attributes if key.startswith("on")], name
        assert all(
            value.startswith("data:image/png;base64,") for key, value in parser.attributes if key == "src"
        )
        assert "default-src 'none'" in page
        assert tiny.SECRET not in page, name
        assert "98765" not in page, name
        assert "0.0858" not in page, name
        assert len(page) < 9 * 2**20, name


@pytest.fixture
def class_of(tmp_path):
    """Return a function that hands in the work of some students."""

    def hand_in(**students):
        for student, content in students.items():
            tiny.hand_in(tmp_path / "in", student, content)
        return tmp_path / "in"

    return hand_in


def test_names_links_and_pipes_harm_nobody(assignments, tmp_path, class_of):
    folder = class_of(ann=tiny.notebook(tiny.RIGHT), zoe=tiny.notebook(tiny.RIGHT))
    good = folder / "ann" / f"{tiny.NAME}.ipynb"
    for name in (
        b"not \xff utf-8",
        b"=1+1",
        b"a\nb",
        "\u202eevil".encode(),
        b"<b>",
        b"x" * 200,
        b"a,b",
        b"ann ",
    ):
        student = os.path.join(os.fsencode(folder), name)
        os.mkdir(student)
        with open(os.path.join(student, f"{tiny.NAME}.ipynb".encode()), "wb") as file:
            file.write(good.read_bytes())
    (folder / "linked folder").symlink_to(folder / "ann")
    for name in ("linked file", "pipe", "hard link", "inner", "a folder"):
        (folder / name).mkdir()
    (folder / "linked file" / good.name).symlink_to(good)
    os.mkfifo(folder / "pipe" / good.name)
    os.link(good, folder / "hard link" / good.name)
    (folder / "inner" / tiny.NAME).symlink_to(folder / "ann")
    (folder / "a folder" / good.name).mkdir()

    done = tiny.grade(assignments, folder, tmp_path / "out")

    rows = tiny.rows_of(tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert len(rows) == 16
    none = {name for name, row in rows.items() if float(row["points"]) == 0}
    assert none == {"linked folder", "linked file", "pipe", "inner", "a folder"}
    # A file with a second name cannot be told from the one that was there first, so a person decides.
    assert [name for name, row in rows.items() if "another name" in row["remarks"]] == ["ann", "hard link"]
    assert all(name[:1] != "=" for name in rows)
    assert len(list((tmp_path / "out" / "feedback").rglob("*.html"))) == 16
    assert {path.parent.parent for path in (tmp_path / "out" / "feedback").rglob("*.html")} == {
        tmp_path / "out" / "feedback"
    }


HONEST = {
    "byte-order mark": b"\xef\xbb\xbf",
    "half a pair": {"first": ["# \ud83d is half of a picture"]},
    "np.bool": {"first": ["np.bool = bool\nnp.int = int\nnp.random.seed(0)"]},
    "keeps a file": {"first": ["np.save('cache.npy', np.arange(3))\nprint(np.load('cache.npy'))"]},
    "magics": {
        "first": [
            "%time 1 + 1\n%precision 3\n!ls\n%env X=1",
            "%matplotlib inline\n%load_ext autoreload\n%autoreload 2",
        ]
    },
    "draws": {"own": ["import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"]},
    "stars": {"first": ["from numpy import *"]},
    "shadows": {"first": ["sum = 3\nall = any = len = 4\nlist = [1]\nprint = None"]},
    "breaks elsewhere": {
        "first": ["import nothing_of_that_name", "1 / 0", "def broken(:"],
        "own": ["sys.exit()"],
    },
    "reuses names": {"own": ["double = total = given = before = None"], "first": ["much = doubled = 1"]},
    "warns": {"first": ["import warnings, logging\nwarnings.warn('careful')\nlogging.error('x')\nnp.log(0)"]},
    "threads": {
        "first": ["import threading\nt = threading.Thread(target=print, args=('x',))\nt.start()\nt.join()"]
    },
    "subprocess": {"first": ["import subprocess\nsubprocess.run(['ls'])\nimport multiprocessing"]},
    "own style": {
        "answers": {
            "answer-double": "double = lambda x: [2 * v for v in x] if np.ndim(x) < 2 else (x + x).tolist()",
            "answer-total": "import functools\n@functools.cache\ndef zero():\n    return 0\n\n"
            "class Sum:\n    def __call__(self, values):\n        return sum(values, zero())\n\n"
            "total = Sum()",
        }
    },
    "asks": {"own": ["input('name? ')"]},
    "seeds and prints": {
        "answers": {
            name: source.replace("\n", "\n    print('here', flush=True)\n", 1)
            for name, source in tiny.RIGHT.items()
        }
    },
    "ends at the end": {"own": ["import os\nos._exit(1)"]},
    "slow cell of its own": {"own": ["import time\ntime.sleep(60)"]},
}


@pytest.fixture(scope="module")
def honest(assignments, tmp_path_factory):
    folder, results = tmp_path_factory.mktemp("honest"), tmp_path_factory.mktemp("results") / "out"
    for name, case in HONEST.items():
        if isinstance(case, bytes):
            import json

            tiny.hand_in(folder, name, case + json.dumps(tiny.notebook(tiny.RIGHT)).encode())
        else:
            given = tiny.notebook(case.get("answers", tiny.RIGHT), case.get("own", []), case.get("first", []))
            tiny.hand_in(folder, name, given)
    tiny.grade(assignments, folder, results)
    return tiny.rows_of(results)


@pytest.mark.parametrize("name", HONEST)
def test_harmless_habits_cost_nothing(honest, name):
    assert float(honest[name]["points"]) == tiny.POINTS, honest[name]


def test_answers_to_last_year_are_refused_with_a_sentence(assignments, tmp_path, class_of):
    old = tiny.notebook(tiny.RIGHT)
    old["metadata"]["coursework"]["release"] = "000000000000"
    folder = class_of(ann=old, bob={**old, "metadata": {}})

    tiny.grade(assignments, folder, tmp_path / "out")
    rows = tiny.rows_of(tmp_path / "out")
    assert {float(row["points"]) for row in rows.values()} == {0}
    assert all("does not come from the release" in row["remarks"] for row in rows.values())

    tiny.grade(assignments, folder, tmp_path / "out", "--any-release")
    assert {float(row["points"]) for row in tiny.rows_of(tmp_path / "out").values()} == {tiny.POINTS}


def test_without_bubblewrap_nothing_is_run(assignments, tmp_path, class_of):
    marker = tmp_path / "ran"
    folder = class_of(ann=tiny.notebook(attacks.NOTHING, [f"open({str(marker)!r}, 'w')"]))
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, said in (("missing", "bubblewrap, which is missing"), ("broken", "cannot confine")):
        if name == "broken":
            (programs / "bwrap").write_text("#!/bin/sh\necho no permission >&2\nexit 1\n")
            (programs / "bwrap").chmod(0o755)
        done = subprocess.run(
            tiny.command(folder, tmp_path / "out"),
            cwd=PROJECT,
            env=tiny.settings(assignments) | {"PATH": str(programs)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 3
        assert said in done.stderr
        assert not (tmp_path / "out").exists()
        assert not marker.exists()


def test_without_confinement_it_is_said_everywhere(assignments, tmp_path, class_of):
    folder = class_of(ann=tiny.notebook(tiny.RIGHT))

    tiny.grade(assignments, folder, tmp_path / "out", "--unconfined")

    (row,) = tiny.rows_of(tmp_path / "out").values()
    assert (float(row["points"]), row["confined"]) == (tiny.POINTS, "NO")
    assert "run without confinement" in row["remarks"]
    assert "without confinement" in next((tmp_path / "out").rglob("*.html")).read_text(encoding="utf-8")


def of_workers():
    """Return what runs of these tests: by their limit of memory, since others may be grading too."""
    return [p for p in psutil.process_iter(["cmdline"]) if tiny.WORKER in " ".join(p.info["cmdline"] or [])]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_ended_at_any_moment_nothing_is_left_and_nothing_lost(assignments, tmp_path, class_of, how):
    slow = {**tiny.RIGHT, "answer-total": "import time\ntime.sleep(1)\n" + tiny.RIGHT["answer-total"]}
    folder = class_of(**{f"student {n}": tiny.notebook(slow) for n in range(4)})
    done = {}
    for seconds in (0.3, 2.5, 5, 8):
        process = subprocess.Popen(
            tiny.command(folder, tmp_path / "out"),
            cwd=PROJECT,
            env=tiny.settings(assignments),
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(seconds)
        process.send_signal(how)
        process.wait(20)
        gone = time.monotonic() + 10
        while of_workers() and time.monotonic() < gone:
            time.sleep(0.1)
        assert of_workers() == []
        if (tmp_path / "out" / "gradebook.csv").exists():
            rows = tiny.rows_of(tmp_path / "out")
            assert done.items() <= rows.items()
            done = {name: row for name, row in rows.items() if float(row["points"]) == tiny.POINTS}
    tiny.grade(assignments, folder, tmp_path / "out")
    rows = tiny.rows_of(tmp_path / "out")
    assert [float(row["points"]) for row in rows.values()] == [tiny.POINTS] * 4
    assert done.items() <= rows.items()


def test_what_was_graded_is_not_graded_again_and_hand_work_is_kept(assignments, tmp_path, class_of):
    folder = class_of(ann=tiny.notebook(tiny.RIGHT), bob=tiny.notebook(attacks.NOTHING))
    tiny.grade(assignments, folder, tmp_path / "out")
    first = tiny.rows_of(tmp_path / "out")
    table = tmp_path / "out" / "gradebook.csv"
    table.write_text(table.read_text() + "points by hand\n")

    class_of(bob=tiny.notebook(tiny.RIGHT))
    tiny.grade(assignments, folder, tmp_path / "out")

    rows = tiny.rows_of(tmp_path / "out")
    assert rows["ann"] == first["ann"]
    assert float(rows["bob"]["points"]) == tiny.POINTS
    assert "points by hand" in (tmp_path / "out" / "gradebook-yours-1.csv").read_text()
    assert not (tmp_path / "out" / "gradebook-yours-2.csv").exists()


def test_only_a_folder_of_ours_is_written_to(assignments, tmp_path, class_of):
    folder = class_of(ann=tiny.notebook(tiny.RIGHT))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")

    done = tiny.grade(assignments, folder, tmp_path / "out")

    assert done.returncode == 2
    assert "holds something else" in done.stderr
    assert os.listdir(tmp_path / "out") == ["thesis.tex"]
