"""Runs a student's cells and calls a student's functions. It is started by `confinement`, inside.

Nothing of the checks is here: cells and arguments come in, outputs and answers go out, over the socket whose
number is the first argument. The second is a JSON object with the limits. Whatever the student's code does in
this process, it can only change what is sent, and what is sent is only ever compared.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from tools.coursework.networks import describe, rebuild
from tools.coursework.wire import Peer

MOST_PICTURES, LARGEST_PICTURE = 8, 2**20


def set_limits(limits: dict[str, int]) -> None:
    """Bound what this process and those that it starts may use; none of it can be raised again."""
    import resource

    for name, most in limits.items():
        kind = getattr(resource, f"RLIMIT_{name.upper()}", None)
        if kind is not None:
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(kind, (most, most))


@contextlib.contextmanager
def stopped_after(seconds: float, busy: Callable[[], bool]) -> Iterator[None]:
    """Raise a TimeoutError in what computes or takes too long, each second anew; never amid a message."""

    def stop(*_: Any) -> None:
        if not busy():
            raise TimeoutError(f"stopped after {seconds:.0f} seconds")

    timers = {signal.ITIMER_PROF: seconds, signal.ITIMER_REAL: Peer.patience * seconds}
    for number in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(number, stop)
    for timer, after in timers.items():
        signal.setitimer(timer, max(after, 0.01), 1)
    try:
        yield
    finally:
        for timer in timers:
            signal.setitimer(timer, 0)


class Notebook:
    """A namespace in which cells run as in a notebook, with IPython's magics and pictures."""

    def __init__(self, output_kb: int) -> None:
        from IPython.core.interactiveshell import InteractiveShell
        from traitlets.config import Config

        config = Config()
        config.HistoryManager.enabled = False
        config.InteractiveShell.colors = "nocolor"
        self.shell = InteractiveShell.instance(config=config)
        # Shown by `run`, with the student's lines alone.
        self.shell._showtraceback = lambda *_: None
        # IPython's own wants a terminal.
        self.shell.system = self._system
        self.most = output_kb * 2**10

    def _system(self, command: str) -> None:
        done = subprocess.run(
            command, shell=True, capture_output=True, text=True, errors="replace", check=False
        )
        print(done.stdout + done.stderr)

    def run(self, source: str) -> tuple[list[Any], str]:
        """Run a cell; return its outputs, texts and pictures, and what went wrong, "" when nothing did."""
        from IPython.utils.capture import capture_output

        outputs: list[Any] = []
        error: BaseException | None = None
        text = _Bounded(self.most)
        with capture_output() as captured, contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
            try:
                result = self.shell.run_cell(source, store_history=False)
                error = result.error_before_exec or result.error_in_exec
            except BaseException as raised:
                error = raised
        if text.getvalue():
            outputs.append(("text", text.getvalue()))
        for shown in captured.outputs:
            data = getattr(shown, "data", {})
            if "image/png" in data and sum(kind == "png" for kind, _ in outputs) < MOST_PICTURES:
                picture = data["image/png"]
                picture = picture if isinstance(picture, str) else base64.b64encode(picture).decode("ascii")
                if len(picture) <= LARGEST_PICTURE:
                    outputs.append(("png", picture))
            elif "text/plain" in data:
                outputs.append(("text", str(data["text/plain"])[: self.most]))
        return outputs, "" if error is None else _told(error, source)

    def function(self, name: str) -> Any:
        """Return what the student calls by a name.

        Raises:
            NameError: there is nothing of that name.
        """
        if name not in self.shell.user_ns:
            raise NameError(f"{name} is not defined")
        return self.shell.user_ns[name]


class _Bounded(io.StringIO):
    """Text in memory that stops growing."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.left = most

    def write(self, text: str) -> int:
        """Take what there is room for."""
        kept = str(text)[: self.left]
        if kept:
            self.left -= len(kept)
            super().write(kept if self.left else f"{kept}\n(the rest of the output was dropped)\n")
        return len(text)


def _told(error: BaseException, source: str) -> str:
    """Return an error in words, with the student's own lines."""
    try:
        text = f"{type(error).__name__}: {error}"
    except BaseException:
        text = type(error).__name__
    lines = []
    if isinstance(error, SyntaxError) and error.text:
        lines.append(f"line {error.lineno}: {error.text.strip()}")
    for frame in traceback.extract_tb(error.__traceback__):
        if "ipython-input" in frame.filename or "/ipykernel_" in frame.filename:
            lines.append(f"line {frame.lineno}: {(frame.line or '').strip()}")
    return "\n".join([*lines[-5:], text])[:4000]


def main(arguments: list[str]) -> None:
    """Serve the checks until they are done."""
    connection, settings = socket.socket(fileno=int(arguments[0])), json.loads(arguments[1])
    connection.set_inheritable(False)
    set_limits(settings["resources"])
    notebook = Notebook(settings["output_kb"])

    served = {"%run": notebook.run, "%ready": os.getuid}
    # The student's prints during a check go nowhere.
    sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    peer = Peer(connection, describe, rebuild, lambda name: served.get(name) or notebook.function(name))
    peer.limited = lambda seconds: stopped_after(seconds, lambda: peer.busy)
    peer.serve()


if __name__ == "__main__":
    main(sys.argv[1:])
