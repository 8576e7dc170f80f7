"""One file over HTTP, with a progress bar and limits on time; or a few words why it did not come.

Nothing is verified here: whoever asks for a file knows its digest.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from tqdm.auto import tqdm

from dae_utils.data.storage import show_size
from dae_utils.profiles import show_progress

__all__ = ["Limits", "RouteFailure", "bytes_bar", "download"]


class RouteFailure(Exception):
    """One route did not serve; the text says why in a few words. The next route is tried.

    Args:
        reason: the few words.
        passing: whether another attempt is worth while.
    """

    def __init__(self, reason: str, *, passing: bool = False) -> None:
        super().__init__(reason)
        self.passing = passing


@dataclass(frozen=True)
class Limits:
    """How long to wait, in seconds, and how slow is too slow.

    A server which sends one byte now and then never trips an ordinary time-out, so a download must also bring
    `slowest` bytes per second on average over each `window`.

    Args:
        connect: for a connection.
        answer: for an answer, and for the next bytes of it.
        window: over which the rate is taken.
        slowest: bytes a second that a download must bring.
        attempts: how often to try in all when a fault may pass.
        pause: between two attempts.
        client: for a package client, from its start to its end.
        lock: for another process that fetches the same.
    """

    connect: float = 10.0
    answer: float = 20.0
    window: float = 30.0
    slowest: float = 1000.0
    attempts: int = 2
    pause: float = 1.0
    client: float = 1800.0
    lock: float = 3600.0


def bytes_bar(description: str, **settings: Any) -> tqdm[Any]:
    """Return a bar of bytes with size and rate, quiet when nobody watches, and gone when it is closed."""
    return tqdm(
        desc=description, unit="B", unit_scale=True, leave=False, disable=not show_progress(), **settings
    )


def download(url: str, target: Path, *, description: str, most: int, limits: Limits) -> None:
    """Download `url` to `target`, with a progress bar, and try again when the fault may pass.

    Args:
        url: an address of HTTP or HTTPS.
        target: the file to write.
        description: what the bar is called.
        most: the most bytes that the file may have.
        limits: time limits.

    Raises:
        RouteFailure: the server did not deliver.
        OSError: `target` cannot be written.
    """
    for attempt in range(1, limits.attempts + 1):
        try:
            size = 0
            with target.open("wb") as handle, bytes_bar(description) as bar:
                for piece in _pieces(url, limits, bar):
                    size += len(piece)
                    if size > most:
                        raise RouteFailure(
                            f"larger than {show_size(most)}, so not the file that was asked for"
                        )
                    handle.write(piece)
                    bar.update(len(piece))
                handle.flush()
                os.fsync(handle.fileno())
            return
        except RouteFailure as failure:
            if not failure.passing or attempt == limits.attempts:
                raise
            time.sleep(limits.pause)


class _Transfer:
    """A download in a thread of its own, which hands over what arrives through a queue.

    requests has a time-out for each wait but none for the whole, and neither a name look-up that hangs nor a
    server that sends a byte now and then can be interrupted from within. So the thread does the waiting, and
    whoever takes from the queue decides how long that may go on.
    """

    def __init__(self, url: str, limits: Limits) -> None:
        # An item is a piece of the body, None after the last one, or the error that ended the download.
        self.arrived: queue.Queue[bytes | Exception | None] = queue.Queue(maxsize=256)
        self.length: int | None = None  # as the server states it
        self._url, self._limits = url, limits
        self._abandoned = threading.Event()
        threading.Thread(target=self._run, name="download", daemon=True).start()

    def abandon(self) -> None:
        """Let the thread end, since nobody takes from the queue any more."""
        self._abandoned.set()

    def _run(self) -> None:
        try:
            for piece in self._read():
                if not self._put(piece):
                    return
            self._put(None)
        except Exception as error:  # of whatever kind: it is told to the reader of the queue
            self._put(error)

    def _read(self) -> Iterator[bytes]:
        # Otherwise a server may declare a .gz file as compressed text, and it would arrive unpacked.
        headers = {"Accept-Encoding": "identity"}
        timeout = (self._limits.connect, self._limits.answer)
        with requests.get(self._url, stream=True, timeout=timeout, headers=headers) as response:
            response.raise_for_status()
            stated = response.headers.get("Content-Length", "")
            self.length = int(stated) if stated.isdecimal() else None
            yield from response.iter_content(8192)

    def _put(self, item: bytes | Exception | None) -> bool:
        """Hand an item over; return whether anybody still wants it."""
        while not self._abandoned.is_set():
            with contextlib.suppress(queue.Full):
                self.arrived.put(item, timeout=0.1)
                return True
        return False


def _pieces(url: str, limits: Limits, bar: tqdm[Any]) -> Iterator[bytes]:
    """Yield the body of `url` piece by piece, or raise `RouteFailure`; tell the bar the body's length."""
    transfer = _Transfer(url, limits)
    # The first window includes the connection.
    window = max(limits.window, limits.connect + limits.answer)
    started, received = time.monotonic(), 0
    try:
        while True:
            left = started + window - time.monotonic()
            if left <= 0:
                if not received:
                    raise RouteFailure(f"nothing arrived within {window:g} s")
                if received < limits.slowest * limits.window:
                    rate = f"{show_size(limits.slowest)}/s over {limits.window:g} s"
                    raise RouteFailure(f"too slow, fewer than {rate}")
                window, started, received = limits.window, time.monotonic(), 0
                continue
            try:
                item = transfer.arrived.get(timeout=left)
            except queue.Empty:
                continue
            if item is None:
                return
            if isinstance(item, Exception):
                raise _failure(item, limits) from item
            received += len(item)
            bar.total = transfer.length
            yield item
    finally:
        transfer.abandon()


def _failure(error: Exception, limits: Limits) -> RouteFailure:
    """Say in a few words why a download failed."""
    if isinstance(error, requests.HTTPError):
        status = error.response.status_code if error.response is not None else 0
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
