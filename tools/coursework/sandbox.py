"""Starts a program so that it can do little harm: no network, one folder to write in, limits.

``python sandbox.py FOLDER CONFIG PROGRAM [ARGUMENT ...]``: CONFIG is a JSON object with the keys ``hide``
(folders that the program must not see) and ``file_mb``. On Linux the program gets name spaces of its own:
every file system is read-only but FOLDER, hidden folders are empty, there is no network and no other process,
and it has no privileges with which to undo that. ``python sandbox.py --probe`` prints as JSON which of these
the system grants. What is not granted is left out; limits on files are always set.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

_INSIDE = "DAE_SANDBOX_INSIDE"


def _unshare() -> list[str] | None:
    """Return the command that gives name spaces, or None where the system does not grant them."""
    if not sys.platform.startswith("linux") or not all(map(shutil.which, ("unshare", "setpriv", "mount"))):
        return None
    own = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = ["unshare", *own, "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    test = "mount --make-rprivate / && mount -o remount,bind,ro / && ! touch /dae-sandbox-test 2>/dev/null"
    try:
        tried = subprocess.run([*command, "sh", "-c", test], capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return command if tried.returncode == 0 else None


def granted() -> dict[str, bool]:
    """Return which protections the system grants: ``network`` cut off and ``files`` read-only."""
    isolated = _unshare() is not None
    return {"network": isolated, "files": isolated}


def _mount(*arguments: str) -> bool:
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0


def _mount_points() -> list[str]:
    with open("/proc/self/mountinfo", encoding="utf-8") as lines:
        return [line.split()[4].replace("\\040", " ") for line in lines]


def _close_up(folder: str, hide: list[str]) -> None:
    """Make everything read-only but a folder, and empty what is to be hidden. Runs in the name spaces."""
    _mount("--make-rprivate", "/")
    _mount("--bind", folder, folder)
    kept = ("/proc", "/sys", "/dev")
    for point in dict.fromkeys(_mount_points()):
        if point != folder and not point.startswith(kept):
            _mount("-o", "remount,bind,ro", point)
    _mount("-t", "tmpfs", "-o", "size=64m", "tmpfs", "/dev/shm")
    for path in hide:
        # A folder that holds the working folder would take it along.
        inside = folder.startswith(path.rstrip("/") + "/")
        if (
            os.path.isdir(path)
            and not inside
            and not _mount("-t", "tmpfs", "-o", "ro,size=4k", "tmpfs", path)
        ):
            sys.exit(f"sandbox: {path} could not be hidden")
    try:
        with open("/dae-sandbox-test", "w", encoding="utf-8"):
            sys.exit("sandbox: the file system is still writable")
    except OSError:
        pass


def _limit(file_mb: int) -> None:
    import resource

    most = file_mb * 2**20
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(arguments: list[str]) -> None:
    """Do what the module says; does not return when all is well."""
    if arguments == ["--probe"]:
        print(json.dumps(granted()))
        return
    folder, config, *program = arguments
    folder = os.path.realpath(folder)
    settings = json.loads(config)
    if os.environ.pop(_INSIDE, None):
        _close_up(folder, settings["hide"])
        _limit(settings["file_mb"])
        # Nobody in here may mount anything any more, whatever its name.
        drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--"]
        os.execvp(drop[0], [*drop, *program])
    command = _unshare()
    if command is None:
        _limit(settings["file_mb"])
        os.execvp(program[0], program)
    os.environ[_INSIDE] = "1"
    os.execvp(command[0], [*command, sys.executable, os.path.abspath(__file__), folder, config, *program])


if __name__ == "__main__":
    main(sys.argv[1:])
