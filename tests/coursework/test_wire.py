"""What the two processes of grading say to each other: plain data arrives unchanged, nothing else arrives."""

import contextlib
import json
import pickle
import socket
import struct
import threading

import numpy as np
import pytest

from tools.coursework import networks
from tools.coursework.wire import GoneError, Packer, Peer, RefusedError, Unpacker, WireError


@pytest.fixture
def ends():
    """Two connected ends: what calls, and the functions by name that the other one serves."""
    here, there = socket.socketpair()
    functions = {}
    server = Peer(there, networks.describe, networks.rebuild, functions.__getitem__)

    def serve():
        with contextlib.suppress(GoneError, WireError):
            server.serve()

    thread = threading.Thread(target=serve)
    thread.start()
    yield Peer(here, networks.describe, networks.rebuild), functions
    here.close()
    thread.join(10)
    there.close()


VALUES = [
    None,
    True,
    -(2**80),
    float("inf"),
    "text \ud83d \x00 ü",
    [1, [2.5, (3, "x")], {4, 5}, {"a": None, 3: [()]}],
    np.arange(6.0).reshape(2, 3),
    np.array([True, False]),
    np.zeros((0, 3), np.uint8),
    np.arange(6).reshape(2, 3).T[::-1],
    np.float32(0.5),
    np.array([np.nan, -np.inf]),
]


@pytest.mark.parametrize(
    "value", VALUES, ids=lambda value: str(value)[:20].encode("ascii", "replace").decode()
)
def test_plain_data_arrive_as_they_were(ends, value):
    caller, functions = ends
    functions["echo"] = lambda x: x

    answer, _ = caller.call("echo", (value,))

    assert type(answer) is type(value)
    if isinstance(value, np.ndarray | np.generic):
        assert answer.dtype == value.dtype
        assert np.array_equal(answer, value, equal_nan=value.dtype.kind == "f")
    else:
        assert answer == value


@pytest.mark.parametrize(
    "value", [1 + 2j, object(), iter([1]), np.zeros(2, "M8[s]"), np.array(object()), b"bytes"]
)
def test_what_is_not_plain_is_not_sent(ends, value):
    caller, functions = ends
    functions["give"] = lambda: value

    with pytest.raises((WireError, ValueError), match="cannot be sent"):
        caller.call("give", ())


def test_functions_stay_where_they_are_and_are_called(ends):
    caller, functions = ends
    functions["twice"] = lambda function, x: [function(x), function(x=x)]
    functions["adder"] = lambda n: lambda x: x + n
    seen = []

    def spy(x):
        seen.append(x)
        return x * 10

    assert caller.call("twice", (spy, 3))[0] == [30, 30]
    assert seen == [3, 3]
    assert caller.call("adder", (5,))[0](7) == 12


def test_a_function_may_be_called_only_while_its_call_lasts():
    here, there = socket.socketpair()
    other, kept = Peer(there), []

    def serve():
        _, _, (positional, _), _ = other._receive()
        kept.append(positional[0])
        other._send(("result", None, {}, None))
        other._receive()
        with contextlib.suppress(WireError, ValueError):
            kept.append(kept[0](1))
        other._send(("result", None, {}, None))

    thread = threading.Thread(target=serve)
    thread.start()
    caller = Peer(here, forgets=True)
    caller.call("take", (lambda x: 10 * x,))
    caller.call("use", ())
    thread.join(10)
    here.close()
    there.close()

    assert len(kept) == 1


def test_a_flood_of_calls_ends():
    here, there = socket.socketpair()
    other = Peer(there)

    def flood():
        with contextlib.suppress(GoneError, OSError, WireError, ValueError):
            while True:
                other._send(("call", "x", ((), {}), 1.0))
                other._receive()

    thread = threading.Thread(target=flood)
    thread.start()
    caller = Peer(here)
    caller.grace = 0.2
    with pytest.raises(GoneError, match="could not be stopped"):
        caller.call("x", (), seconds=0.1)
    here.close()
    thread.join(10)
    there.close()


def test_changed_arrays_are_told(ends):
    caller, functions = ends

    def change(a, b, c=None):
        a[0] = 9
        c[1] = np.nan

    functions["change"] = change
    _, changed = caller.call("change", (np.zeros(2), np.ones(2)), {"c": np.zeros(2)})

    assert set(changed) == {0, "c"}
    assert changed[0].tolist() == [9, 0]


@pytest.mark.parametrize(
    ("raised", "arrives"),
    [
        (ValueError("why"), ValueError),
        (UnicodeDecodeError("utf-8", b"", 0, 1, "x"), RefusedError),
        (SystemExit(0), RefusedError),
        (KeyboardInterrupt(), RefusedError),
        # Its text would be taken for that of a check.
        (AssertionError("x"), RefusedError),
        (type("OddError", (KeyError,), {})("x"), KeyError),
    ],
)
def test_errors_arrive_as_errors(ends, raised, arrives):
    caller, functions = ends

    def fail():
        raise raised

    functions["fail"] = fail
    with pytest.raises(arrives):
        caller.call("fail", ())


def receive(data):
    here, there = socket.socketpair()
    with here, there:
        peer = Peer(here)
        peer.grace = 0.5
        threading.Thread(target=lambda: there.sendall(data)).start()
        return peer.call("x", (), seconds=0.2)


def message(tree, blob=b""):
    text = tree if isinstance(tree, bytes) else json.dumps(tree).encode()
    return struct.pack("<IQ", len(text), len(blob)) + text + blob


def result(value, blob=b""):
    return message({"t": "tuple", "v": ["result", value, {"t": "dict", "v": []}, None]}, blob)


BAD = {
    "nothing": b"",
    "a pickle": pickle.dumps([1]) * 100,
    "a long tree": struct.pack("<IQ", 2**31, 0),
    "a long blob": struct.pack("<IQ", 2, 2**60),
    "no JSON": message(b"{"),
    "a deep tree": message(b"[" * 100000),
    "a huge number": message(b"9" * 100000),
    "no message": message([1, 2]),
    "no kind": message({"t": "tuple", "v": [1, 2, 3, 4]}),
    "an unknown kind": result({"t": "object", "v": 3}),
    "an array of objects": result({"t": "array", "d": "O8", "s": [1]}, b"x" * 8),
    "an array without bytes": result({"t": "array", "d": "f8", "s": [4]}, b"x" * 8),
    "a negative array": result({"t": "array", "d": "f8", "s": [-1, -1]}, b"x" * 8),
    "an array of many axes": result({"t": "array", "d": "u1", "s": [1] * 40}, b"x"),
    "an array that overflows": result({"t": "array", "d": "u1", "s": [2**40, 2**40]}, b"x"),
    "a set of lists": result({"t": "set", "v": [{"t": "list", "v": []}]}),
    "a dictionary without pairs": result({"t": "dict", "v": [1]}),
    "a network": result({"t": "network", "v": 3}),
    "a call": message({"t": "tuple", "v": ["call", "exec", {"t": "tuple", "v": []}, 1.0]}),
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_bad_messages_are_refused(data):
    with pytest.raises((WireError, GoneError)):
        receive(data)


def test_a_boolean_is_0_or_1():
    value, _ = receive(result({"t": "array", "d": "b1", "s": [2]}, b"\x02\x00"))

    assert value.sum() == 1


def test_random_bytes_are_refused():
    generator = np.random.default_rng(0)
    good = bytearray(result({"t": "array", "d": "f8", "s": [2]}, b"x" * 16))
    for _ in range(200):
        bad = bytearray(good)
        for place in generator.integers(0, len(bad), 3):
            bad[place] = generator.integers(0, 256)
        tree = bytes(bad[12:-16])
        with contextlib.suppress(WireError, ValueError, RecursionError):
            Unpacker(b"x" * 16, None, None).value(json.loads(tree))


def test_what_is_too_large_or_too_deep_is_not_packed():
    deep = []
    for _ in range(100):
        deep = [deep]
    for value in (deep, [0] * 300_000, 10**100000, np.zeros(2**28, np.uint8)):
        with pytest.raises(WireError):
            Packer(lambda function: 0, None).pack(value)


def test_networks_are_built_again():
    keras = pytest.importorskip("keras")
    inputs = keras.Input((4, 4, 1))
    hidden = keras.layers.Conv2D(2, 3, padding="same", activation="relu", kernel_regularizer="l2")(inputs)
    inner = keras.Sequential(
        [keras.Input((32,)), keras.layers.Dense(3, name="code"), keras.layers.LeakyReLU()], name="inner"
    )
    network = keras.Model(inputs, keras.layers.Dense(2, "sigmoid")(inner(keras.layers.Flatten()(hidden))))
    x = np.random.default_rng(0).random((5, 4, 4, 1)).astype("float32")

    again = networks.rebuild(
        json.loads(json.dumps({**networks.describe(network), "weights": []}))
        | {"weights": network.get_weights()}
    )

    assert np.allclose(again.predict(x, verbose=0), network.predict(x, verbose=0), atol=1e-6)
    assert again.get_layer("inner").get_layer("code").units == 3


def test_networks_with_code_are_refused():
    keras = pytest.importorskip("keras")
    with pytest.raises(WireError):
        networks.describe(keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x)]))

    class Own(keras.Model):
        pass

    with pytest.raises(WireError, match="class of your own"):
        networks.describe(Own())
    good = networks.describe(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]))
    for bad in (
        {"class_name": "Lambda", "config": {"function": "x"}, "module": "keras.layers"},
        {"class_name": "system", "config": {}, "module": "os"},
        {
            "class_name": "Dense",
            "config": {"units": 1, "activation": {"class_name": "function", "config": "eval"}},
        },
        {"class_name": "__lambda__", "config": {"value": "x"}},
        {"module": "builtins", "config": "eval"},
    ):
        with pytest.raises(WireError):
            networks.rebuild({**good, "config": {"name": "x", "layers": [bad]}})
    for bad in (
        None,
        [],
        {"kind": "Sequential"},
        {**good, "weights": [np.zeros((5, 5))]},
        {**good, "kind": "os"},
    ):
        with pytest.raises(WireError):
            networks.rebuild(bad)
