"""What the two processes of grading say to each other: plain data with bounds, and nothing that could be run.

A message is a few lengths, a tree in JSON, and the bytes of its arrays. Only these arrive: None, booleans,
numbers, texts, lists, tuples, sets, dictionaries, arrays of numbers, networks as a description with weights
(see `networks`), and functions, which stay where they are and are called from afar. Whatever else is sent, or
is too large, or makes no sense, raises a `WireError`. (pickle and its relatives run what they read; JSON
alone knows no arrays.)
"""

from __future__ import annotations

import builtins
import contextlib
import json
import math
import select
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import numpy as np

MOST_BYTES = 192 * 2**20
MOST_TREE = 8 * 2**20
MOST_NODES = 200_000
DEEPEST = 24
_HEAD = struct.Struct("<IQ")
_KINDS = {"b1", *(f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)), "f2", "f4", "f8"}


class WireError(ValueError):
    """A message that makes no sense, or something that cannot be sent."""


class GoneError(RuntimeError):
    """The other process has ended, or did not answer in time."""


class RefusedError(RuntimeError):
    """The other process raised an exception that has no place here: its text says which."""


def _plain(value: Any, send: Packer, depth: int = 0) -> Any:
    """Return the JSON tree of a value; arrays and functions are left with `send`."""
    send.nodes += 1
    if depth > DEEPEST or send.nodes > MOST_NODES:
        raise WireError("a value is nested too deeply, or has too many parts")
    if value is None or type(value) in (bool, str):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int) and type(value) is int:
        if value.bit_length() > 4096:
            raise WireError("a number is too large")
        return value
    if type(value) is float:
        return value
    if isinstance(value, dict):
        pairs = [[_plain(k, send, depth + 1), _plain(v, send, depth + 1)] for k, v in value.items()]
        return {"t": "dict", "v": pairs}
    for name, kinds in {
        "tuple": tuple,
        "set": (set, frozenset),
        "list": (list, range, type({}.keys())),
    }.items():
        if isinstance(value, kinds) or (name == "list" and isinstance(value, type({}.values()))):
            return {"t": name, "v": [_plain(part, send, depth + 1) for part in value]}
    network = send.describe(value) if send.describe else None
    if network is not None:
        return {"t": "network", "v": _plain(network, send, depth + 1)}
    if not isinstance(value, np.ndarray | np.generic) and callable(value):
        return {"t": "function", "v": send.keep(value)}
    return _array(value, send, depth)


def _array(value: Any, send: Packer, depth: int) -> Any:
    try:
        array = np.asarray(value)
    except Exception as error:
        raise WireError(
            f"a {type(value).__name__} cannot be sent: an array, or numbers, are wanted"
        ) from error
    if array.dtype.kind == "U" or (array.dtype.kind == "O" and isinstance(value, np.ndarray) and value.ndim):
        return {"t": "list", "v": [_plain(part, send, depth + 1) for part in array.tolist()]}
    name = array.dtype.kind + str(array.dtype.itemsize)
    if name not in _KINDS:
        raise WireError(f"a {type(value).__name__} cannot be sent: an array, or numbers, are wanted")
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(array.shape)
    send.blobs.append(array.tobytes())
    return {"t": "array", "d": name, "s": list(array.shape)}


class Packer:
    """Collects what belongs to one message.

    Args:
        keep: takes a function and returns the number by which the other side may call it.
        describe: takes anything and returns the description of a network, or None.
    """

    def __init__(self, keep: Callable[[Any], int], describe: Callable[[Any], Any] | None) -> None:
        self.keep, self.describe = keep, describe
        self.blobs: list[bytes] = []
        self.nodes = 0

    def pack(self, value: Any) -> bytes:
        """Return the bytes of a message.

        Raises:
            WireError: something in `value` cannot be sent.
        """
        tree = json.dumps(_plain(value, self)).encode("ascii")
        size = sum(map(len, self.blobs))
        if len(tree) > MOST_TREE or size > MOST_BYTES:
            raise WireError(f"more than {MOST_BYTES // 2**20} MiB at once cannot be sent")
        return b"".join([_HEAD.pack(len(tree), size), tree, *self.blobs])


class Unpacker:
    """Makes values of a message again.

    Args:
        call: makes a function of the number of one that stays with the other side.
        rebuild: makes a network of its description; None where networks are not expected.
    """

    def __init__(
        self, blob: bytes, call: Callable[[int], Any] | None, rebuild: Callable[[Any], Any] | None
    ) -> None:
        self.blob, self.call, self.rebuild = blob, call, rebuild
        self.at = self.nodes = 0

    def value(self, tree: Any, depth: int = 0) -> Any:
        """Return the value of a JSON tree.

        Raises:
            WireError: it makes no sense.
        """
        self.nodes += 1
        if depth > DEEPEST or self.nodes > MOST_NODES:
            raise WireError("a value is nested too deeply, or has too many parts")
        if tree is None or isinstance(tree, bool | int | float | str):
            return tree
        if not isinstance(tree, dict):
            raise WireError("no value")
        kind, inner = tree.get("t"), tree.get("v")
        if kind == "array":
            return self._array(tree.get("d"), tree.get("s"))
        if kind == "function" and type(inner) is int and self.call:
            return self.call(inner)
        if kind == "network" and self.rebuild:
            return self.rebuild(self.value(inner, depth + 1))
        if kind not in ("list", "tuple", "set", "dict") or not isinstance(inner, list):
            raise WireError("no value")
        try:
            if kind == "dict":
                return {self.value(k, depth + 1): self.value(v, depth + 1) for k, v in inner}
            parts = [self.value(part, depth + 1) for part in inner]
            return {"list": list, "tuple": tuple, "set": set}[kind](parts)
        except (TypeError, ValueError) as error:
            raise WireError("no value") from error

    def _array(self, name: Any, shape: Any) -> Any:
        if name not in _KINDS or not isinstance(shape, list) or len(shape) > 16:
            raise WireError("no array")
        if not all(type(n) is int and 0 <= n <= MOST_BYTES for n in shape):
            raise WireError("no array")
        kind = np.dtype(f"<{'u1' if name == 'b1' else name}")
        size = math.prod(shape) * kind.itemsize
        if self.at + size > len(self.blob):
            raise WireError("an array without its bytes")
        array = np.frombuffer(self.blob, kind, math.prod(shape), self.at).reshape(shape).copy()
        self.at += size
        # A boolean that is neither 0 nor 1 would be counted wrongly.
        array = array != 0 if name == "b1" else array
        return array if shape else array[()]


class Peer:
    """One end of the connection: calls functions of the other side, and lets it call some of this one.

    Args:
        connection: a stream socket.
        describe: see `Packer`.
        rebuild: see `Unpacker`.
        lookup: returns what the other side may call by name; None: it may call by number alone.
        limited: a context that stops what runs in it after some seconds; None: nothing is stopped.
        forgets: whether the other side may call a function only during the call that it was sent with.
    """

    busy = False
    # A call may compute for its seconds, and take so many times as long by the clock, since others compute
    # as well; beyond that it has some more to stop by itself.
    patience = 3
    grace = 5.0

    def __init__(
        self,
        connection: socket.socket,
        describe: Callable[[Any], Any] | None = None,
        rebuild: Callable[[Any], Any] | None = None,
        lookup: Callable[[str], Any] | None = None,
        limited: Callable[[float], contextlib.AbstractContextManager[None]] | None = None,
        forgets: bool = False,
    ) -> None:
        self.connection, self.describe, self.rebuild = connection, describe, rebuild
        self.lookup, self.limited, self.forgets = lookup, limited, forgets
        self.functions: list[Any] = []
        self.seconds = 3600.0
        self._deadline = math.inf

    def _keep(self, function: Any) -> int:
        self.functions.append(function)
        return len(self.functions) - 1

    def _send(self, value: Any) -> None:
        data = memoryview(Packer(self._keep, self.describe).pack(value))
        self.busy = True
        while data:
            self._wait(write=True)
            try:
                data = data[self.connection.send(data[: 2**18], socket.MSG_DONTWAIT) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise GoneError("the program had ended") from error
        self.busy = False

    def _wait(self, write: bool = False) -> None:
        left = None if self._deadline == math.inf else self._deadline - time.monotonic()
        sockets = [self.connection]
        # Also when something has come: a flood of calls must not go on for ever.
        if (left is not None and left <= 0) or not any(
            select.select([] if write else sockets, sockets if write else [], [], left)
        ):
            raise GoneError("it took too long and could not be stopped")

    def _bytes(self, count: int) -> bytes:
        parts, left = [], count
        while left:
            self._wait()
            try:
                part = self.connection.recv(min(left, 2**20))
            except OSError:
                part = b""
            if not part:
                raise GoneError("the program ended")
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def _receive(self) -> tuple[str, Any, Any, Any]:
        self.busy = True
        tree_size, blob_size = _HEAD.unpack(self._bytes(_HEAD.size))
        if tree_size > MOST_TREE or blob_size > MOST_BYTES:
            raise GoneError("it sent more than can be taken")
        tree, blob = self._bytes(tree_size), self._bytes(blob_size)
        self.busy = False
        unpacker = Unpacker(
            blob, lambda number: lambda *args, **named: self.call(number, args, named)[0], self.rebuild
        )
        try:
            message = unpacker.value(json.loads(tree.decode("ascii")))
        except WireError:
            raise
        except Exception as error:
            raise WireError("what came makes no sense") from error
        if not isinstance(message, tuple) or len(message) != 4 or not isinstance(message[0], str):
            raise WireError("what came makes no sense")
        return message

    def call(
        self,
        target: str | int,
        arguments: tuple[Any, ...],
        named: dict[str, Any] | None = None,
        seconds: float | None = None,
    ) -> tuple[Any, Any]:
        """Call a function of the other side, serving its calls meanwhile.

        Args:
            target: its name or number.
            arguments: for the function, by place.
            named: for the function, by name.
            seconds: it is stopped after so much computing (default: those that were last set as `seconds`).

        Returns what it returned, and the arrays among the arguments that it changed, by place or name.

        Raises:
            GoneError: no answer will come; this connection is of no more use.
            WireError: the answer makes no sense.
            Exception: what the function raised, where it is one of Python's own errors; else `RefusedError`.
        """
        before, seconds = self._deadline, self.seconds if seconds is None else seconds
        known = len(self.functions)
        self._deadline = min(before, time.monotonic() + self.patience * seconds + self.grace)
        try:
            self._send(("call", target, (arguments, named or {}), float(seconds)))
            while True:
                kind, first, second, limit = self._receive()
                if kind == "result":
                    return first, second if isinstance(second, dict) else {}
                if kind == "error":
                    raise _exception(first, second)
                self._serve(kind, first, second, limit)
        finally:
            self._deadline = before
            if self.forgets:
                del self.functions[known:]

    def serve(self) -> None:
        """Do as the other side asks until it is gone."""
        while True:
            try:
                message = self._receive()
            except GoneError:
                return
            self._serve(*message)

    def _serve(self, kind: str, target: Any, arguments: Any, seconds: Any) -> None:
        try:
            positional, named = arguments
            if kind != "call" or not isinstance(positional, tuple) or not isinstance(named, dict):
                raise WireError("no call")
            if type(target) is int and 0 <= target < len(self.functions):
                function = self.functions[target]
            elif isinstance(target, str) and self.lookup:
                function = self.lookup(target)
            else:
                raise WireError("there is no such function")
            given = {**dict(enumerate(positional)), **named}
            copies = {i: a.copy() for i, a in given.items() if isinstance(a, np.ndarray)}
            with self.limited(seconds) if self.limited else contextlib.nullcontext():
                answer = function(*positional, **named)
            changed = {i: given[i] for i, a in copies.items() if not _same(given[i], a)}
            self._send(("result", answer, changed, None))
        except GoneError:
            raise
        except BaseException as error:
            names = [kind.__name__ for kind in type(error).__mro__]
            try:
                text = str(error)[:1000]
            except BaseException:
                text = ""
            self._send(("error", names, text, None))


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def _exception(names: Any, text: Any) -> Exception:
    """Return an exception of Python's own for the names of a class and its parents."""
    names = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
    text = text if isinstance(text, str) else ""
    for name in names:
        kind = getattr(builtins, name, None)
        # An AssertionError is left to the checks: its text is shown to students.
        if isinstance(kind, type) and issubclass(kind, Exception) and kind not in (Exception, AssertionError):
            try:
                return kind(text)
            except TypeError:
                break
    return RefusedError(f"{names[0] if names else 'an error'}: {text}"[:1200])
