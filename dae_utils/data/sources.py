"""Data sets with published digests: fetched, verified, kept, and read from the cache.

A set of arrays is asked for in this order: the cache folder, and then its routes one after the other.
Whatever the route, the decoded arrays must have the published SHA-256 digests; only then are they used or
stored. A set of files is treated in the same way, file by file. Nothing here knows what the arrays mean.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pooch
from numpy.typing import NDArray

from dae_utils.data.download import Limits, RouteFailure, download
from dae_utils.data.routes import DOWNLOADS_SETTING, LocalFolder, OfficialHost, Route, host_label
from dae_utils.data.storage import (
    SourceError,
    ask_for_room,
    atomic_write,
    data_dir,
    locked,
    one_line,
    remove,
    scratch_folder,
    show_path,
    storage_error,
)

__all__ = ["ArraySpec", "DataSource", "check_arrays", "check_files", "fetch_files", "load_arrays"]

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class ArraySpec:
    """The published shape of an array of unsigned bytes, and the SHA-256 of its bytes in C order."""

    shape: tuple[int, ...]
    sha256: str

    @property
    def size(self) -> int:
        """Number of bytes."""
        return int(np.prod(self.shape))


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


def _verify(arrays: Arrays, specs: Mapping[str, ArraySpec]) -> None:
    """Raise `RouteFailure` unless the arrays are, byte for byte, the published ones."""
    for name, spec in specs.items():
        array = arrays.get(name)
        if array is None:
            raise RouteFailure(f"{name} is missing")
        if array.dtype != np.uint8 or array.shape != spec.shape:
            raise RouteFailure(f"{name} is {array.dtype} {array.shape} instead of uint8 {spec.shape}")
        if hashlib.sha256(np.ascontiguousarray(array).data).hexdigest() != spec.sha256:
            raise RouteFailure(f"{name} has the wrong SHA-256 digest, so it is not the published data")


def _read_cache(source: DataSource) -> dict[str, NDArray[Any]] | None:
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


def _next_step(source: DataSource) -> str:
    """Say what to do when no route served."""
    step = f"Next: check the connection and run `python -m dae_utils fetch {source.key}` again"
    for route in source.routes:
        if isinstance(route, OfficialHost):
            names = ", ".join(route.files)
            step += f"; or put {names} from {route.base_url} in a folder and set {DOWNLOADS_SETTING} to it"
    return step + "."


def _fetch(source: DataSource, scratch: Path, limits: Limits) -> tuple[dict[str, NDArray[Any]], str]:
    """Try the routes in order; return the verified arrays and the label of the route that served."""
    tried = []
    for number, route in enumerate(source.routes):
        if isinstance(route, LocalFolder) and not os.environ.get(route.setting):
            continue
        folder = scratch / str(number)
        folder.mkdir()
        try:
            raw = route.deliver(folder, source.title, limits)
            remove(folder)  # the decoded arrays need room too
            try:
                arrays = route.decode(raw)
            except Exception as error:  # a decoder given the wrong bytes may raise anything
                raise RouteFailure(f"cannot be decoded ({error})") from error
            _verify(arrays, source.arrays)
            return arrays, route.label
        except RouteFailure as failure:
            tried.append(f"{route.label}: {one_line(failure)}")
            remove(folder)
    raise SourceError(
        f"{source.title} is not in the cache and no route could bring it.\n"
        f"Tried: {'; '.join(tried) or 'nothing, for there is no route'}.\n{_next_step(source)}"
    )


def load_arrays(source: DataSource, limits: Limits | None = None) -> tuple[dict[str, NDArray[Any]], str]:
    """Return the arrays of a data set and where they came from; fetch and store what the cache lacks.

    Prints one line that names the route. Arrays are of unsigned bytes, verified against the published digests
    on every load; a damaged cache entry is thrown away and fetched again.

    Returns:
        The arrays by name, and the route in words, such as "the cache".

    Raises:
        SourceError: no route served, or the cache folder cannot be read or written.
    """
    limits = limits or Limits()
    try:
        arrays, origin = _read_cache(source), "the cache"
    except RouteFailure:
        arrays = None
    if arrays is None:
        with locked(source.path, source.title, limits.lock):
            arrays, origin = _read_or_fetch(source, limits)
    print(f"{source.title}: from {origin}, verified.", flush=True)
    return arrays, origin


def _read_or_fetch(source: DataSource, limits: Limits) -> tuple[dict[str, NDArray[Any]], str]:
    """Return the arrays and where they came from, after a damaged entry of the cache has been thrown away.

    The caller holds the lock.
    """
    path = source.path
    try:
        arrays = _read_cache(source)  # another process may have fetched it while we waited
    except RouteFailure as failure:
        print(f"{source.title}: the copy in the cache is damaged and thrown away: {failure}.", flush=True)
        remove(path)
        arrays = None
    if arrays is not None:
        return arrays, "the cache"
    try:
        ask_for_room(path, 2 * source.size)  # the download and the decoded arrays
        with scratch_folder(path) as scratch:
            arrays, origin = _fetch(source, scratch, limits)
        with atomic_write(path) as handle:
            np.savez(handle, **{name: arrays[name] for name in source.arrays})  # type: ignore[arg-type]
    except OSError as error:
        raise storage_error(source.title, path, error) from error
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


# Sets of files


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
    if not check_files(folder, digests):
        return "the cache"
    with locked(folder, title, limits.lock):
        lacking = list(check_files(folder, digests))
        if not lacking:  # another process has fetched them while we waited
            return "the cache"
        try:
            folder.mkdir(exist_ok=True)
            for name in lacking:
                remove(folder / name)
            with scratch_folder(folder) as scratch:
                for number, name in enumerate(lacking):
                    bar = f"{title}: file {number + 1} of {len(lacking)}, {name}"
                    try:
                        download(base_url + name, scratch / name, description=bar, most=most, limits=limits)
                        if check_files(scratch, {name: digests[name]}):
                            raise RouteFailure("wrong SHA-256 digest, so it is not the published file")
                    except RouteFailure as failure:
                        left = len(lacking) - number
                        raise SourceError(
                            f"{title} is not complete: {left} of {len(digests)} files are not in the cache.\n"
                            f"Tried: {host_label(base_url)}: {name}: {one_line(failure)}.\nNext: {next_step}"
                        ) from failure
                    os.replace(scratch / name, folder / name)
        except OSError as error:
            raise storage_error(title, folder, error) from error
    return host_label(base_url)
