"""`use_published`: leave a training out when the published run has done exactly this one."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
import re
import time
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import keras

from dae_utils.profiles import current_profile
from dae_utils.trained.storage import (
    FORMAT,
    PublishedNetwork,
    PublishedNetworkError,
    paths_of,
    read_origin,
    read_published,
    rounded,
    write_published,
)
from dae_utils.training import History
from dae_utils.training.digests import NotDescribableError, digest_of, digests_of_training

__all__ = ["load_or_train", "use_published"]

SETTING = "DAE_TRAIN"
LEAST_SECONDS = 20.0  # a shorter training is not worth a file
_NAME = re.compile(r"\d\d_[a-z0-9_]+\.[a-z0-9_]+")
_PARTS = {
    "network": "the network",
    "compile": "what it was compiled with",
    "fit": "the settings of its training",
    "data": "the data",
    "seed": "the seed",
    "start": "the weights that it starts from",
    "format": "the format of the files",
}

T = TypeVar("T")


@dataclass(frozen=True)
class _InUse:
    """What `use_published` was told about a network."""

    notebook: str
    precision: str
    least_seconds: float
    folder: Path


# By the name of the network.
_in_use: dict[str, _InUse] = {}

# Networks that are being trained: a training may call another one for its epochs.
_at_work: weakref.WeakSet[keras.Model] = weakref.WeakSet()


def use_published(
    notebook: str,
    names: Iterable[str],
    *,
    precision: str = "float32",
    least_seconds: float = LEAST_SECONDS,
    folder: str | os.PathLike[str] | None = None,
) -> None:
    """Let the trainings of some networks be left out where the published run of the book has done the same.

    After ``use_published("01_digits", ["starter"])`` a plain ``model.fit(x, x, epochs=10)`` of a network that
    was built with ``name="starter"`` loads the published weights, and returns the same history, when
    everything that decides them is as it was then: the network, what it was compiled with, the arguments of
    ``fit``, the contents of the data, and the seed. One line says what was done. Anything else trains, here
    and now. Functions of other names take part once `load_or_train` has wrapped them.

    The environment variable ``DAE_TRAIN`` decides: unset or ``0`` loads where it may; ``1`` trains;
    ``publish`` trains and stores (what `make execute` sets); ``reuse`` loads where it may and says what
    ``publish`` would, and otherwise trains and stores (what ``tools.execute --reuse`` sets); ``never``
    refuses to train in place of a stored network that does not fit (what `make verify` sets). In the quick
    profile nothing is loaded or stored.

    A network that was loaded has fresh optimiser state: to go on training it is possible, and starts Adam's
    averages anew.

    Args:
        notebook: the notebook's name, such as "01_digits"; with a dot and the network's, it names the files.
        names: the names of networks, as their ``name`` says, small letters, digits and underscores. A second
            call adds others.
        precision: "float16" rounds the weights to half precision after the training, whether it is stored or
            not, so that every printed number belongs to the weights that are published.
        least_seconds: a shorter training is not stored.
        folder: where the files are; by default ``trained`` in the folder of the notebooks.

    Raises:
        ValueError: a name of another form, or another precision.
    """
    if precision not in ("float32", "float16"):
        raise ValueError(f"precision must be 'float32' or 'float16', not {precision!r}.")
    for name in names:
        if not _NAME.fullmatch(f"{notebook}.{name}"):
            raise ValueError(
                f"{notebook}.{name} is not a name: write the notebook's, a dot and a word, as in "
                "01_digits.starter."
            )
        _in_use[name] = _InUse(notebook, precision, least_seconds, Path(folder or _default_folder()))
    if not hasattr(keras.Model.fit, "may_load"):
        keras.Model.fit = load_or_train(keras.Model.fit)


def load_or_train(function: Callable[..., T]) -> Callable[..., T]:
    """Return a function that trains as `function` does, or loads what it arrived at, see `use_published`.

    Args:
        function: trains the model that it gets as its first argument, such as `dae_utils.training.fit`, and
            returns a `dae_utils.training.History`, Keras's own, or None.

    Returns:
        The same for every network whose name was not given to `use_published`. For the others it may raise
        `PublishedNetworkError`: the stored network is damaged, or must not be trained anew.
    """

    @functools.wraps(function)
    def load_or_call(model: keras.Model, *arguments: Any, **named: Any) -> T:
        in_use = _in_use.get(model.name)
        if in_use is None or model in _at_work:
            return function(model, *arguments, **named)
        if not model.built:
            raise ValueError("the network does not know its shapes yet: begin it with keras.Input(shape).")
        _at_work.add(model)
        try:
            result: T = _Training(model, in_use).run(function, arguments, named)
        finally:
            _at_work.discard(model)
        return result

    load_or_call.may_load = True  # type: ignore[attr-defined]
    return load_or_call


def _default_folder() -> Path:
    # Studies stand in a folder inside that of the chapters; what they publish stands with the chapters'.
    return Path("../trained") if Path.cwd().name == "studies" else Path("trained")


def _mode() -> str:
    setting = os.environ.get(SETTING, "").strip().lower()
    modes = {
        "": "load",
        "0": "load",
        "1": "train",
        "publish": "publish",
        "reuse": "reuse",
        "never": "never",
    }
    if setting not in modes:
        raise ValueError(f"{SETTING} is {setting!r}: set it to 1 to train, or unset it to load.")
    return modes[setting]


class _Training:
    """One training that may be left out."""

    def __init__(self, model: keras.Model, in_use: _InUse) -> None:
        self._model = model
        self._name = f"{in_use.notebook}.{model.name}"
        self._precision = in_use.precision
        self._least_seconds = in_use.least_seconds
        self._folder = in_use.folder

    def run(
        self, function: Callable[..., Any], arguments: tuple[object, ...], named: dict[str, object]
    ) -> Any:
        """Do what ``function(model, ...)`` does, or load what it arrived at."""
        train = functools.partial(function, self._model, *arguments, **named)
        mode = "train" if current_profile().name == "quick" else _mode()
        if mode == "train":
            # Nothing is compared or stored, so no digest is needed: of large data they take seconds.
            return self._train(train, None, publish=False)
        settings = inspect.signature(function).bind(self._model, *arguments, **named)
        if str(function.__module__).split(".")[0] == "dae_utils":
            # A default of this library may change with a release. Those of a reader's function are part of
            # how it is described; those of Keras are left to `make verify`, as all of Keras is.
            settings.apply_defaults()
        bound = dict(settings.arguments)
        bound.pop(next(iter(bound)))  # the model
        try:
            digests = digests_of_training(self._model, function, bound)
        except NotDescribableError as error:
            print(f"{self._name} is trained here: it can't be told from other trainings ({error}).")
            return self._train(train, None, publish=False)
        digests["start"] = f"weights {digest_of(self._model.get_weights())}"
        digests["format"] = digest_of([FORMAT, self._precision])
        stored = read_origin(self._folder, self._name) if mode in ("load", "reuse", "never") else None
        if stored is not None:
            changed = [part for part in _PARTS if stored.digests.get(part) != digests[part]]
            if stored.backend != keras.backend.backend():
                # The same seed draws other numbers there.
                changed = [part for part in changed if part != "start"]
            if not changed:
                return self._load(for_publishing=mode == "reuse")
            parts = ", ".join(_PARTS[part] for part in changed)
            what = f"the published network {self._name} was made otherwise ({parts} changed)"
            if mode == "never":
                raise PublishedNetworkError(f"{what}.\nNext: run `make execute` for this chapter.")
            if mode != "reuse":
                print(f"{what}, so it is trained here.", flush=True)
        return self._train(train, digests, publish=mode in ("publish", "reuse"))

    def _load(self, for_publishing: bool) -> object:
        network = read_published(self._folder, self._name)
        try:
            self._model.set_weights(network.weights)
        except ValueError as error:
            raise PublishedNetworkError(
                f"the weights in {paths_of(self._folder, self._name)[0]} do not fit the network ({error}).\n"
                f"Next: restore the file from git, or set {SETTING}=1 to train the network here."
            ) from error
        if for_publishing:
            self._say_published(network.seconds)
        else:
            print(
                f"loaded the published network {self._name}; training it took {_duration(network.seconds)}; "
                f"`{SETTING}=1` trains it here",
                flush=True,
            )
        return _history_from(network.history, self._model)

    def _train(self, train: Callable[[], Any], digests: dict[str, str] | None, publish: bool) -> Any:
        started = time.perf_counter()
        result = train()
        seconds = time.perf_counter() - started
        weights = rounded(self._model.get_weights(), self._precision)
        if self._precision != "float32":
            self._model.set_weights(weights)
        if publish and digests is not None and seconds >= self._least_seconds:
            network = PublishedNetwork(
                weights=weights,
                digests=digests,
                history=_history_as_json(result),
                seconds=round(seconds, 1),
                backend=keras.backend.backend(),
                precision=self._precision,
            )
            write_published(self._folder, self._name, network)
            self._say_published(network.seconds)
        return result

    def _say_published(self, seconds: float) -> None:
        """Say in the published output where a reader will find the weights loaded."""
        print(
            f"{self._model.name}: trained in {_duration(seconds)}; your run loads these weights, "
            f"unless {SETTING}=1",
            flush=True,
        )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _history_as_json(history: object) -> dict[str, Any]:
    if isinstance(history, History):
        return {"kind": "dae_utils", **dataclasses.asdict(history)}
    if isinstance(history, keras.callbacks.History):
        columns = {key: [float(value) for value in values] for key, values in history.history.items()}
        return {"kind": "keras", "epoch": list(history.epoch), "history": columns}
    if history is None:
        return {"kind": "none"}
    raise TypeError(
        f"a training must return a History, of Keras or of dae_utils.training, or None, not "
        f"{type(history).__name__}."
    )


def _history_from(stored: dict[str, Any], model: keras.Model) -> object:
    if stored.get("kind") == "none":
        return None
    fields = {key: value for key, value in stored.items() if key != "kind"}
    if stored.get("kind") == "dae_utils":
        return History(**fields)
    history = keras.callbacks.History()
    history.set_model(model)
    history.epoch, history.history = fields["epoch"], fields["history"]
    return history
