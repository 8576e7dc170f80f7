"""A notebook that runs in a confined process, and goes on when a cell has ended that process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tools.coursework import networks
from tools.coursework.confinement import Process
from tools.coursework.places import Limits
from tools.coursework.wire import GoneError, Peer, WireError

MOST_STARTS = 4
_START_SECONDS = 90
# Of one cell: some pictures, or much text.
_MOST_SHOWN = 4 * 2**20


class NotRunError(RuntimeError):
    """The program had ended before, or the time was up."""


class StoppedError(RuntimeError):
    """A check took too long."""


class Session:
    """Runs the cells of one submission and calls its functions.

    When the process ends, or has to be ended, a new one runs the cells that had run, without the one that
    ended it.

    Args:
        limits: what it may use.
        confined: see `Process`.

    Attributes:
        remarks: what a person should know.
    """

    def __init__(self, limits: Limits, confined: bool) -> None:
        self.limits, self.confined = limits, confined
        self.remarks: list[str] = []
        self._end = time.monotonic() + limits.total_seconds
        self._ran: list[str] = []
        self._starts = 0
        self._process: Process | None = None
        self._peer: Peer | None = None

    def begin_anew(self) -> None:
        """Let the time run from now on, and forget which cells ran; what they defined stays."""
        self._end = time.monotonic() + self.limits.total_seconds
        self._ran = []

    def run(self, source: str, seconds: float | None = None) -> tuple[list[Any], str]:
        """Run a cell and return its outputs, as pairs of kind and content, and what went wrong ("": nothing).

        Raises:
            NotRunError: nothing can be run any more.
        """
        try:
            answer, _ = self._ready().call("%run", (source,), seconds=self._seconds(seconds))
        except GoneError as error:
            return [], self._lost(error)
        except NotRunError:
            raise
        except Exception as error:
            return [], f"{type(error).__name__}: {error}"
        outputs, error_text = _outputs(answer)
        if "TimeoutError" not in error_text:
            # What took too long once is not run again in another process.
            self._ran.append(source)
        return outputs, error_text

    def function(self, name: str) -> Callable[..., Any]:
        """Return what calls the student's function of a name; arrays that it changes are changed here too."""

        def call(*arguments: Any, **named: Any) -> Any:
            try:
                answer, changed = self._ready().call(name, arguments, named, self._seconds())
            except GoneError as error:
                raise NotRunError(self._lost(error)) from None
            except StoppedError as error:
                # Perhaps amid a message.
                self._lost(error)
                raise
            given = {**dict(enumerate(arguments)), **named}
            for place, array in changed.items():
                if hasattr(given.get(place), "shape"):
                    if getattr(array, "shape", None) != given[place].shape:
                        raise WireError("an array came back with another shape")
                    given[place][...] = array
            return answer

        call.__name__ = name
        return call

    def _seconds(self, seconds: float | None = None) -> float:
        left = self._end - time.monotonic()
        if left <= 0:
            raise NotRunError(
                f"the time was up: there are {self.limits.total_seconds:.0f} seconds for all of it"
            )
        return min(left, seconds or self.limits.cell_seconds)

    def _ready(self) -> Peer:
        if self._peer is None:
            if self._starts == MOST_STARTS:
                raise NotRunError("earlier cells ended the program too often")
            self._starts += 1
            self._process = Process(self.limits, self.confined)
            peer = Peer(self._process.connection, networks.describe, networks.rebuild, forgets=True)
            try:
                peer.call("%ready", (), seconds=_START_SECONDS)
                for source in self._ran:
                    self._again(peer, source)
            except GoneError as error:
                self._lost(error)
                raise NotRunError("the program could not be started again") from error
            except BaseException as error:
                self._lost(error)
                raise
            self._peer = peer
        return self._peer

    def _again(self, peer: Peer, source: str) -> None:
        """Run a cell that has run before, whatever it says this time."""
        seconds = self._seconds()
        try:
            peer.call("%run", (source,), seconds=seconds)
        except (GoneError, StoppedError):
            raise
        except Exception:
            return

    def _lost(self, error: BaseException) -> str:
        why = str(error)
        if self._process:
            why = self._process.ended_because or why
            self._process.end()
        self._process = self._peer = None
        self.remarks.append(why)
        return why

    def end(self) -> None:
        """End the process and all that it started."""
        if self._process:
            self._process.end()
        self._process = self._peer = None


def _outputs(answer: Any) -> tuple[list[Any], str]:
    """Return what a cell is said to have shown, within bounds and without whatever makes no sense."""
    if not (isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[0], list)):
        return [], "what the cell showed makes no sense"
    kept, left = [], _MOST_SHOWN
    for part in answer[0][:64]:
        if isinstance(part, tuple) and len(part) == 2 and all(isinstance(word, str) for word in part):
            left -= len(part[1])
            if left >= 0:
                kept.append(part)
    return kept, answer[1][:4000] if isinstance(answer[1], str) else ""
