"""Digests of everything that decides what a training arrives at.

A digest of the cell that trains would miss a change in an earlier cell: another activation, another slice of
the data. So the digests are taken of the values themselves: the network's configuration, the arguments of
``compile`` and ``fit``, the contents of every array, the seed. Names of layers, which Keras counts up, and
settings that change how something is computed but not what (``verbose``, ``jit_compile``) do not count, and
neither does the backend.
"""

from __future__ import annotations

import ast
import dis
import functools
import hashlib
import inspect
import json
import sys
import textwrap
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from dae_utils.networks.configuration import without_names

__all__ = ["NotDescribableError", "digest_of", "digests_of_training"]

# Arguments that change what is shown, or how fast, but not the trained weights.
_WITHOUT_EFFECT = {"verbose", "description", "steps_per_execution", "run_eagerly", "jit_compile"}
# What Keras hangs on a callback when a training begins.
_SET_BY_KERAS = {"model", "params", "validation_data"}


class NotDescribableError(TypeError):
    """A value whose content can't be told apart from another's, such as an open file or a data pipeline."""


def digest_of(value: object) -> str:
    """Return the SHA-256 of a value's description.

    Raises:
        NotDescribableError: see there.
    """
    text = json.dumps(_described(value, ()), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def digests_of_training(
    model: keras.Model, function: Callable[..., object], arguments: Mapping[str, object]
) -> dict[str, str]:
    """Return the digests of one training, by part; the weights that it starts from are not among them.

    Args:
        model: the built network, before the training.
        function: what trains: the method ``fit`` of Keras, or a function of the reader's or of this library.
        arguments: its arguments by name, without the model.

    Raises:
        NotDescribableError: an argument can't be described.
    """
    counted = {name: value for name, value in arguments.items() if name not in _WITHOUT_EFFECT}
    data = {name: value for name, value in counted.items() if _holds_arrays(value)}
    settings = {name: value for name, value in counted.items() if name not in data}
    return {
        "network": digest_of([_network(model), list(_own_code(model))]),
        "compile": digest_of(_compiled(model)),
        "fit": digest_of({"function": function, "settings": settings}),
        "data": digest_of(data),
        "seed": digest_of(_global_seed()),
    }


def _global_seed() -> int | None:
    """Return what `keras.utils.set_random_seed` was given last, or None."""
    try:
        # Keras tells it nowhere in public. Should this move, every network is trained, none wrongly loaded.
        from keras.src.utils.rng_utils import get_random_seed
    except ImportError as error:
        raise NotDescribableError("this release of Keras does not tell its seed") from error
    seed = get_random_seed()
    return None if seed is None else int(seed)


def _network(model: keras.Model) -> object:
    config = keras.saving.serialize_keras_object(model)
    config.pop("compile_config", None)
    return without_names(config)


def _own_code(model: keras.Model) -> Iterator[object]:
    """Yield a network's classes and functions that are not of Keras: its configuration only names them."""
    for layer in getattr(model, "layers", ()):
        yield from _own_code(layer)
    for part in (type(model), *vars(model).values()):
        if (inspect.isclass(part) or inspect.isfunction(part)) and not _is_library(part.__module__):
            yield part


def _compiled(model: keras.Model) -> object:
    config = model.get_compile_config() if getattr(model, "compiled", False) else None
    if not config:
        return None
    settings = {key: value for key, value in config.items() if key not in _WITHOUT_EFFECT}
    # Written as a word or as an object, with its numbers as Keras keeps them, the optimiser is the same one.
    optimizer = model.optimizer
    settings["optimizer"] = {"class": type(optimizer), "config": optimizer.get_config()}
    # The loss itself, since the configuration has a function of the reader's by its name alone.
    return [without_names(settings), model.loss]


def _holds_arrays(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return any(_holds_arrays(item) for item in value)
    if isinstance(value, Mapping):
        return any(_holds_arrays(item) for item in value.values())
    return hasattr(value, "__array__") and getattr(value, "ndim", 0) > 0


def _described(value: Any, inside: tuple[int, ...]) -> object:
    """Return a value as something that JSON can write and that differs where the content does.

    Args:
        value: anything.
        inside: identities of the values that this one is a part of, outermost first.
    """
    if id(value) in inside:
        return {"the value that this is a part of": inside.index(id(value))}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    parts = (*inside, id(value))
    if isinstance(value, (list, tuple)):
        return [_described(item, parts) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _described(item, parts) for key, item in value.items()}
    if isinstance(value, (np.generic, np.ndarray)):
        return _described_array(np.asarray(value))
    if isinstance(value, functools.partial):
        made_of = (value.func, value.args, value.keywords)
        return {"partial": [_described(part, parts) for part in made_of]}
    if inspect.isroutine(value) or isinstance(value, type):
        return _described_function(value, parts)
    if isinstance(value, types.ModuleType):
        return _described_module(value)
    if isinstance(value, (staticmethod, classmethod, property)) or hasattr(value, "__wrapped__"):
        inner = getattr(value, "__wrapped__", getattr(value, "fget", None))
        return {"wrapped by": type(value).__name__, "function": _described(inner, parts)}
    return _described_object(value, parts)


def _described_array(array: np.ndarray[Any, np.dtype[Any]]) -> object:
    if array.dtype.hasobject:
        raise NotDescribableError("an array of Python objects")
    digest = hashlib.blake2b(digest_size=20)
    # By rows, so that an array on disk is not read into memory at once.
    rows = max(1, (1 << 24) // max(1, array[:1].nbytes)) if array.ndim else 1
    for start in range(0, len(array) if array.ndim else 1, rows):
        part = array[start : start + rows] if array.ndim else array
        digest.update(np.ascontiguousarray(part).data)
    return {"array": [str(array.dtype), list(array.shape), digest.hexdigest()]}


def _described_function(function: Any, parts: tuple[int, ...]) -> object:
    module = str(getattr(function, "__module__", None))
    if inspect.isfunction(function) and not module.startswith("keras"):
        # Where it was written: a decorator gives itself the name of what it decorates.
        module = str(function.__globals__.get("__name__"))
    name = [module, getattr(function, "__qualname__", str(function))]
    described: dict[str, object] = {"function": name}
    if name[0].split(".")[0] == "keras":
        # Each backend has a class of its own, in a module of its own.
        return {"function": ["keras", function.__name__]}
    if _is_library(name[0]) or inspect.isbuiltin(function):
        return described  # by name: a new release of a library is judged by `make verify`
    if isinstance(function, type):
        # Piece by piece, since the source of a class is not always known where that of its methods is.
        bases = [base for base in function.__bases__ if base is not object]
        members = {key: item for key, item in vars(function).items() if not key.startswith("__")}
        members |= {key: item for key, item in vars(function).items() if inspect.isfunction(item)}
        return described | {"bases": _described(bases, parts), "members": _described(members, parts)}
    bound_to = getattr(function, "__self__", None)
    if bound_to is not None:
        described["bound to"] = _described(bound_to, parts)
        function = function.__func__
    if not inspect.isfunction(function):
        raise NotDescribableError(f"the function {function!r}, whose code is not known")
    # Not of the function, or a decorated one would count as what it decorates.
    described["source"] = _source(function.__code__)
    # A constant that the function reads from its notebook decides what it does as well.
    used = {key: function.__globals__[key] for key in _global_names(function.__code__, function)}
    used |= inspect.getclosurevars(function).nonlocals
    described["uses"] = _described(used, parts)
    described["defaults"] = _described([function.__defaults__, function.__kwdefaults__], parts)
    return described


def _global_names(code: types.CodeType, function: types.FunctionType) -> set[str]:
    """Return the names that a function and those inside it read from its module, built-ins left out."""
    names = {
        instruction.argval
        for instruction in dis.get_instructions(code)
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME") and instruction.argval in function.__globals__
    }
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _global_names(constant, function)
    return names


def _is_library(module: str | None) -> bool:
    """Return whether a module is an installed one, or of this library, whose releases have numbers."""
    top = (module or "").split(".")[0]
    if top in ("builtins", "dae_utils") or top in sys.stdlib_module_names:
        return True
    file = getattr(sys.modules.get(top), "__file__", None)
    return file is not None and "site-packages" in Path(file).parts


def _described_module(module: types.ModuleType) -> object:
    name = module.__name__
    file = getattr(module, "__file__", None)
    if _is_library(name) or file is None:
        return {"module": name}
    # A file of the reader's own, in which anything may have changed.
    return {"module": [name, hashlib.sha256(Path(file).read_bytes()).hexdigest()]}


def _source(code: types.CodeType) -> str:
    try:
        source = textwrap.dedent(inspect.getsource(code))
    except (OSError, TypeError) as error:
        raise NotDescribableError(f"the source of {code.co_name} is not known") from error
    try:
        return ast.unparse(ast.parse(source))  # without comments and blanks
    except SyntaxError:  # a lambda in the middle of a call
        return source


def _described_object(value: Any, parts: tuple[int, ...]) -> object:
    name = [type(value).__module__, type(value).__qualname__]
    if hasattr(value, "__array__"):
        return _described_array(np.asarray(value))
    if isinstance(value, keras.callbacks.Callback):
        public = {
            key: item
            for key, item in vars(value).items()
            if not key.startswith("_") and key not in _SET_BY_KERAS
        }
        return {"object": name, "attributes": _described(public, parts)}
    if hasattr(value, "get_config"):
        return {"object": name, "config": _described(without_names(value.get_config()), parts)}
    raise NotDescribableError(f"a value of the type {name[1]}")
