"""Starts the process of a submission where it can do no harm, by bubblewrap.

Inside there are the programs and libraries of the system, the book's environment and library, and the data
sets, all read-only; an empty home, `/tmp` and `/dev/shm` in memory, each of bounded size; no network, no
other process, no socket of this machine, nobody's files. When the program that started it ends, however it
ends, all of it is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import psutil

from tools.coursework.places import BOOK_PYTHON, PROJECT, Limits
from tools.coursework.system_calls import system_call_filter

HOME = "/home/student"
_COURSE = "/course"
_NOBODY = 65534
# From here on there are no users; names of processes are at most 22 bits long.
_FIRST_USER = 0x70000000
_TOOLS = ("__init__", "networks", "wire", "worker")
_MORE = "more than {most} {what} were in use"


def _data_folder() -> str:
    if os.environ.get("DAE_DATA_DIR"):
        return os.environ["DAE_DATA_DIR"]
    cache = Path.home() / "Library" / "Caches" if sys.platform == "darwin" else Path.home() / ".cache"
    return str(Path(os.environ.get("XDG_CACHE_HOME") or cache) / "deep-autoencoders")


def environment(home: str, data: str, library: str) -> dict[str, str]:
    """Return the settings of a submission: nothing of the teacher's."""
    kept = {
        name: os.environ[name] for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE") if name in os.environ
    }
    threads = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    return {
        **kept,
        **dict.fromkeys(threads, "1"),
        "DAE_DATA_DIR": data,
        "DAE_PROFILE": "full",
        "DAE_PROGRESS": "0",
        "HOME": home,
        "IPYTHONDIR": f"{home}/.ipython",
        "LANG": "C.UTF-8",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MPLCONFIGDIR": f"{home}/.config",
        "NUMBA_CACHE_DIR": f"{home}/.cache",
        "PATH": f"{Path(BOOK_PYTHON).parent}:/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": library,
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "USER": "student",
    }


def _command(limits: Limits, filter_fd: int | None) -> list[str]:
    """Return bubblewrap's part of the command."""
    prefix, base = (_output_of("import sys; print(sys.prefix); print(sys.base_prefix)")).split("\n")[:2]
    size = str(limits.disk_mb * 2**20)
    command = [shutil.which("bwrap") or "bwrap", "--die-with-parent", "--new-session"]
    command += ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    command += ["--hostname", "grading"]
    if os.geteuid() == 0:
        # The folders may be readable for root alone, so it is root who shows them; `_inside` becomes nobody.
        command += ["--cap-drop", "ALL"]
        for needed in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):
            command += ["--cap-add", needed]
    else:
        # bubblewrap's own first process would be of the same user, and could be read. For root it has to
        # stay: whoever changes its user is not ended with its parent, but with that first process.
        command += ["--unshare-user", "--uid", str(_NOBODY), "--gid", str(_NOBODY), "--as-pid-1"]
    own_folder = ["--perms", "0777", "--size", size, "--tmpfs"]
    # Before what is shown, which may lie below one of them.
    command += [*own_folder, "/tmp", *_parents(f"{HOME}/x"), *own_folder, HOME]
    shown = ["/usr", prefix, base]
    for folder in ("/bin", "/sbin", "/lib", "/lib64"):
        if os.path.islink(folder):
            command += ["--symlink", os.readlink(folder), folder]
        elif os.path.isdir(folder):
            shown.append(folder)
    for path in dict.fromkeys(shown):
        command += [*_parents(path), "--ro-bind", path, path]
    for path in ("/etc/ld.so.cache", "/etc/alternatives", "/etc/fonts", "/etc/localtime"):
        command += ["--ro-bind-try", path, path]
    command += [*_parents(f"{_COURSE}/tools/coursework/wire.py")]
    command += ["--ro-bind", str(PROJECT / "dae_utils"), f"{_COURSE}/dae_utils"]
    for tool in _TOOLS:
        path = f"tools/coursework/{tool}.py"
        command += ["--ro-bind", str(PROJECT / path), f"{_COURSE}/{path}"]
    command += ["--ro-bind-try", _data_folder(), "/data", "--proc", "/proc", "--tmpfs", "/dev"]
    for device in ("null", "random", "urandom"):
        command += ["--dev-bind", f"/dev/{device}", f"/dev/{device}"]
    command += [*own_folder, "/dev/shm"]
    command += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", HOME]
    return [*command, *(["--seccomp", str(filter_fd)] if filter_fd is not None else []), "--"]


def _parents(path: str) -> list[str]:
    """Return what makes the folders above a path: bubblewrap alone would make them for their owner only."""
    return [
        word
        for folder in reversed(Path(path).parents)
        if str(folder) != "/"
        for word in ("--perms", "0755", "--dir", str(folder))
    ]


def _inside(user: int = _NOBODY) -> list[str]:
    """Return the command that gives up what root still has, inside; nothing for others, who have nothing."""
    if os.geteuid() != 0:
        return []
    ids = [f"--reuid={user}", f"--regid={_NOBODY}", "--clear-groups"]
    return ["setpriv", *ids, "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--"]


def _output_of(code: str) -> str:
    return subprocess.run([str(BOOK_PYTHON), "-c", code], capture_output=True, text=True, check=True).stdout


@contextlib.contextmanager
def _filter() -> Any:
    """Yield a descriptor from which bubblewrap reads the filter of system calls, None where there is none."""
    program = system_call_filter()
    if program is None:
        yield None
        return
    with tempfile.TemporaryFile() as file:
        file.write(program)
        file.seek(0)
        yield file.fileno()


_PROBE = """
import os, socket
assert os.getuid() != 0, "it would run as root"
assert not os.path.exists(PROJECT + "/.git"), "it would see the project"
assert {name for _, name in socket.if_nameindex()} <= {"lo"}, "it would have a network"
try:
    open("/written", "w")
except OSError:
    open("written", "w").close()
    print("confined")
"""


def why_not() -> str:
    """Return "" where submissions can be confined, else why not and what can be done, as sentences."""
    if not sys.platform.startswith("linux"):
        return "Submissions can be confined on Linux only: grade there, or in a virtual machine with it."
    if not shutil.which("bwrap"):
        return "Submissions are confined by bubblewrap, which is missing: sudo apt-get install bubblewrap"
    try:
        with _filter() as filter_fd:
            program = [str(BOOK_PYTHON), "-c", f"PROJECT = {str(PROJECT)!r}\n{_PROBE}"]
            done = subprocess.run(
                [*_command(Limits(), filter_fd), *_inside(), *program],
                pass_fds=[filter_fd] if filter_fd is not None else [],
                env=environment(HOME, "/data", _COURSE),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
    except (OSError, subprocess.SubprocessError) as error:
        return f"bubblewrap could not be tried: {error}"
    if done.returncode == 0 and done.stdout == "confined\n":
        return ""
    return (
        f"bubblewrap cannot confine a program here (it says: {done.stderr.strip()[-300:]}). It needs version "
        "0.8 and user name spaces: on Ubuntu 24.04 allow them to bwrap with a profile of AppArmor, in a "
        "container by its options, or grade in a virtual machine."
    )


class Process:
    """The process of a submission, and all that it starts.

    Args:
        limits: what it may use together.
        confined: by bubblewrap; else it runs as the teacher would, in a folder of its own.

    Attributes:
        connection: the socket to it.
        ended_because: why it was ended, "" when it was not.
    """

    def __init__(self, limits: Limits, confined: bool) -> None:
        self.limits, self.ended_because = limits, ""
        self.connection, theirs = socket.socketpair()
        resources = {
            "core": 0,
            "fsize": limits.disk_mb * 2**20,
            "nofile": 512,
            "data": (limits.memory_mb + 2048) * 2**20,
        }
        if confined:
            # Threads count as well. They are counted by user, so each submission is a user of its own.
            resources["nproc"] = 4 * limits.processes
        settings = json.dumps({"output_kb": limits.output_kb, "resources": resources})
        program = [str(BOOK_PYTHON), "-m", "tools.coursework.worker", str(theirs.fileno()), settings]
        self._folder = None if confined else tempfile.TemporaryDirectory(prefix="dae-")
        with theirs, _filter() as filter_fd:
            handed = [theirs.fileno()]
            if confined:
                command = [*_command(limits, filter_fd), *_inside(_FIRST_USER + os.getpid()), *program]
                # bubblewrap hands its own settings on, so it gets none of the teacher's.
                settings_of, folder = environment(HOME, "/data", _COURSE), None
                handed += [filter_fd] if filter_fd is not None else []
            else:
                folder = self._folder.name
                command, settings_of = program, environment(folder, _data_folder(), str(PROJECT))
            self._process = subprocess.Popen(
                command,
                pass_fds=handed,
                cwd=folder,
                env=settings_of,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._done = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _family(self) -> list[psutil.Process]:
        try:
            parent = psutil.Process(self._process.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.Error:
            return []

    def _watch(self) -> None:
        """End it when it uses too much: looked at a few times a second."""
        while not self._done.wait(0.2):
            family = self._family()
            if len(family) > self.limits.processes:
                self.ended_because = _MORE.format(most=self.limits.processes, what="processes")
            elif sum(map(_kilobytes, family)) > self.limits.memory_mb * 2**10:
                self.ended_because = _MORE.format(most=self.limits.memory_mb, what="MiB of memory")
            elif self._folder is None and family and _files(family[-1].pid) > self.limits.files:
                self.ended_because = _MORE.format(most=self.limits.files, what="files")
            if self.ended_because:
                self._kill(family)
                return

    def _kill(self, family: list[psutil.Process]) -> None:
        for process in family:
            with contextlib.suppress(psutil.Error):
                process.kill()

    def end(self) -> None:
        """End it and all that it started, and wait until it is gone."""
        self._done.set()
        self.connection.close()
        family = self._family()
        self._kill(family)
        self._process.wait()
        psutil.wait_procs(family, timeout=10)
        if self._folder:
            with contextlib.suppress(OSError):
                self._folder.cleanup()


def _kilobytes(process: psutil.Process) -> int:
    """Return the memory of a process, with what was swapped out and the tables that list it."""
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        with contextlib.suppress(psutil.Error):
            return process.memory_info().rss // 1024
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("VmRSS:", "VmSwap:", "VmPTE:")))


def _files(pid: int) -> int:
    """Return how many files a confined process keeps in its folders; 0 while it is not inside yet."""
    count = 0
    if not os.path.isdir(f"/proc/{pid}/root{_COURSE}"):
        return 0
    for folder in ("/tmp", HOME, "/dev/shm"):
        with contextlib.suppress(OSError):
            state = os.statvfs(f"/proc/{pid}/root{folder}")
            count += state.f_files - state.f_ffree
    return count
