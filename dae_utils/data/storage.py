"""The cache folder: where it is, who may write in it, and how a file appears in it whole or not at all.

Three rules keep the cache good even when a process is killed or two run at once:

* one process at a time writes a given entry (a lock that the operating system drops when its holder dies);
* everything is first written under a temporary name beside the entry, and renamed when it is complete;
* whoever holds the lock removes what a killed process left under a temporary name.

Nothing here knows what the files hold or where they come from.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pooch
from filelock import FileLock, Timeout

__all__ = [
    "SourceError",
    "ask_for_room",
    "atomic_write",
    "data_dir",
    "locked",
    "one_line",
    "remove",
    "scratch_folder",
    "show_path",
    "show_size",
    "storage_error",
]


class SourceError(RuntimeError):
    """Data could not be had, or could not be trusted; at most three lines that end with what to do next."""


def data_dir() -> Path:
    """Return the cache folder: `DAE_DATA_DIR` when it is set, otherwise the user's own cache folder."""
    return Path(os.environ.get("DAE_DATA_DIR") or pooch.os_cache("deep-autoencoders")).expanduser()


# Words for messages


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


def one_line(reason: BaseException | str, most: int = 200) -> str:
    """Return an error's text on one line, cut to `most` characters, without a full stop at its end.

    An error without text is named by its type.
    """
    text = " ".join(str(reason).split()) or type(reason).__name__
    return text.rstrip(".") if len(text) <= most else text[: most - 1] + "…"


def storage_error(title: str, path: Path, error: OSError) -> SourceError:
    """Return an error of the file system as a `SourceError` that says what to do.

    Args:
        title: what was to be stored, such as "MNIST".
        path: where it belongs.
        error: what the file system said.
    """
    where = show_path(path.parent)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        what, way_out = f"there is no room left in {where}", "free some space there"
    else:
        what, way_out = f"the folder {where} cannot be written", "make it writable"
    return SourceError(
        f"{title} cannot be stored: {what} ({error.strerror or error}).\n"
        f"Next: {way_out}, or set DAE_DATA_DIR to another folder, and try again."
    )


# Files


def ask_for_room(path: Path, needed: int) -> None:
    """Raise `OSError` unless the disk of `path` has `needed` bytes free; better before a long download."""
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise OSError(
            errno.ENOSPC, f"about {show_size(needed)} are needed, {show_size(free)} are free", str(path)
        )


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there and may be removed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _temporary_name(path: Path) -> Path:
    """Return a name beside `path` which nobody uses and which `locked` recognises as left over."""
    return path.with_name(f".{path.name}-{secrets.token_hex(4)}.part")


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Yield a binary file that becomes `path` in one step when the block ends, and vanishes when it fails.

    Hold `locked(path, ...)` around it, so that what a killed process leaves is found and removed.

    Raises:
        OSError: the folder cannot be written or is full.
    """
    temporary = _temporary_name(path)
    try:
        with temporary.open("xb") as handle:
            yield handle
            handle.flush()
            # Otherwise a power failure could leave the name with half of the bytes.
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except BaseException:
        remove(temporary)
        raise


@contextlib.contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path`, on the same disk, for one fetch; it is removed at the end."""
    folder = _temporary_name(path)
    folder.mkdir()
    try:
        yield folder
    finally:
        remove(folder)


@contextlib.contextmanager
def locked(path: Path, title: str, timeout: float = 3600.0) -> Iterator[None]:
    """Hold the right to write `path`, a file or a folder, against all other processes and threads.

    The folder above it is made when it is missing, and what a killed process left under a temporary name is
    removed. One line says so when another process has to be waited for.

    Args:
        path: the entry of the cache.
        title: what it is called in messages.
        timeout: seconds to wait.

    Raises:
        SourceError: the folder cannot be written, or another process holds the lock for longer than
            `timeout`.
    """
    # filelock locks through the operating system (flock, or msvcrt on Windows), so that a lock dies with the
    # process that holds it; a file that merely exists would have to be cleared away by hand.
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"{title}: another process is fetching it; waiting for it.", flush=True)
            lock.acquire(timeout=timeout, poll_interval=0.1)
    except Timeout as error:
        raise SourceError(
            f"{title}: another process has been fetching it for more than {timeout:g} s.\n"
            "Next: let that process finish or stop it, and try again."
        ) from error
    except OSError as error:
        raise storage_error(title, path, error) from error
    try:
        for leftover in path.parent.glob(f".{path.name}-*.part"):
            remove(leftover)
        yield
    finally:
        lock.release()
