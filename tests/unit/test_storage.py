"""The cache folder: locks between processes, files that appear whole or not at all, disks without room."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from toy_set import assert_clear, contents, run_python

from dae_utils.data.storage import SourceError, atomic_write, data_dir, locked, one_line, show_path, show_size


def test_default_cache_folder_is_the_users(monkeypatch):
    monkeypatch.delenv("DAE_DATA_DIR", raising=False)
    assert data_dir().name == "deep-autoencoders"
    monkeypatch.setenv("DAE_DATA_DIR", "~/elsewhere")
    assert data_dir() == Path.home() / "elsewhere"
    assert show_path(data_dir()) == "~/elsewhere"
    assert show_path(Path("/nowhere/at all")) == str(Path("/nowhere/at all"))


@pytest.mark.parametrize(
    ("size", "text"), [(5, "5 bytes"), (1000, "1 kB"), (11_496_804, "11.5 MB"), (3.2e9, "3.2 GB")]
)
def test_sizes_in_words(size, text):
    assert show_size(size) == text


def test_errors_in_one_line():
    assert one_line(ValueError("two\n  lines.")) == "two lines"
    assert one_line(KeyError()) == "KeyError"
    assert one_line("many words " * 99, most=20) == "many words many wor…"


def test_lock_that_is_held_too_long(cache_folder, capsys):
    path = cache_folder / "pair.npz"
    with locked(path, "Pair"), pytest.raises(SourceError) as caught, locked(path, "Pair", timeout=0.2):
        pytest.fail("two hold the lock")
    assert_clear(caught.value, "another process has been fetching it for more than 0.2 s")
    assert capsys.readouterr().out.count("waiting") == 1
    with locked(path, "Pair", timeout=0.2):
        pass  # free again


def test_a_file_where_the_lock_belongs_does_no_harm(cache_folder, capsys):
    cache_folder.mkdir()
    (cache_folder / ".pair.npz.lock").write_bytes(b"left by an older version")
    with locked(cache_folder / "pair.npz", "Pair"):
        pass
    assert capsys.readouterr().out == ""


def test_a_folder_where_the_lock_belongs_is_reported(cache_folder):
    (cache_folder / ".pair.npz.lock").mkdir(parents=True)
    with pytest.raises(SourceError) as caught, locked(cache_folder / "pair.npz", "Pair"):
        pytest.fail("held")
    assert_clear(caught.value, "Pair cannot be stored", "make it writable")


def test_an_error_inside_the_lock_comes_through_and_frees_it(cache_folder):
    path = cache_folder / "pair.npz"
    with pytest.raises(ZeroDivisionError), locked(path, "Pair"):
        1 / 0  # noqa: B018
    with locked(path, "Pair", timeout=0.2):
        pass


HOLD = """
from dae_utils.data.storage import locked
with locked(Path(sys.argv[1]), "Pair"):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def test_a_lock_dies_with_the_process_that_holds_it(cache_folder, capsys):
    path = cache_folder / "pair.npz"
    holder = run_python(HOLD, str(path), "60")
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(SourceError, match="another process"), locked(path, "Pair", timeout=0.2):
        pytest.fail("two hold the lock")
    holder.kill()
    holder.communicate()
    capsys.readouterr()
    with locked(path, "Pair", timeout=0.2):
        assert capsys.readouterr().out == ""  # nobody was waited for


def test_one_process_waits_until_another_is_done(cache_folder, capsys):
    path = cache_folder / "pair.npz"
    holder = run_python(HOLD, str(path), "0.5")
    assert holder.stdout.readline() == "held\n"
    with locked(path, "Pair", timeout=30):
        pass
    assert capsys.readouterr().out == "Pair: another process is fetching it; waiting for it.\n"
    holder.communicate()
    assert holder.returncode == 0


def test_threads_hold_the_lock_one_at_a_time(cache_folder):
    inside, most = [], []

    def work() -> None:
        with locked(cache_folder / "pair.npz", "Pair"):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 6


def test_left_over_of_others_is_not_touched(cache_folder):
    cache_folder.mkdir()
    (cache_folder / ".other.npz-1234.part").write_bytes(b"in work")
    (cache_folder / ".pair.npz-1234.part").write_bytes(b"left over")
    with locked(cache_folder / "pair.npz", "Pair"):
        assert contents(cache_folder) == {".other.npz-1234.part"}


def test_file_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    """Otherwise a power failure could leave the name with half of the bytes."""
    steps = []
    fsync, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda *a: steps.append("fsync") or fsync(*a))
    monkeypatch.setattr(os, "replace", lambda *a: steps.append("replace") or rename(*a))
    with atomic_write(tmp_path / "new") as handle:
        handle.write(b"new")
    assert steps == ["fsync", "replace"]


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "kept"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with atomic_write(path) as handle:
            handle.write(b"half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert contents(tmp_path) == {"kept"}
    with atomic_write(path) as handle:
        handle.write(b"new")
    assert path.read_bytes() == b"new"
    assert contents(tmp_path) == {"kept"}
