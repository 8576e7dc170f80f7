"""`load_or_train`: leave a training out when the published run has done exactly this one."""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
import time
import weakref
from collections.abc import Callable
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

__all__ = ["load_or_train"]

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

# In front of the digest of weights that no training of ours has given.
_DRAWN = "weights "

T = TypeVar("T")

# Which training gave a network its weights, and the digest of these, so that a second training can say what
# it went on from in words that are the same for every backend.
_last_training: weakref.WeakKeyDictionary[keras.Model, tuple[str, str]] = weakref.WeakKeyDictionary()


def load_or_train(
    model: keras.Model,
    name: str,
    *,
    precision: str = "float32",
    least_seconds: float = LEAST_SECONDS,
    folder: str | os.PathLike[str] | None = None,
) -> LoadOrTrain:
    """Return something with the model's own ``fit`` that loads the published weights where it may.

    ``load_or_train(model, "01_digits.starter").fit(x, x, epochs=10)`` does what
    ``model.fit(x, x, epochs=10)`` does, and returns the same history. It leaves the training out when the
    published run of the book has stored the network `name` and everything that decides its weights is as it
    was then: the network, what it was compiled with, the arguments of ``fit``, the contents of the data, and
    the seed. One line says what it did. Anything else trains, here and now.

    The environment variable ``DAE_TRAIN`` decides: unset or ``0`` loads where it may; ``1`` trains;
    ``publish`` trains and stores (what `make execute` sets); ``reuse`` loads where it may without a word, and
    otherwise trains and stores (what ``tools.execute --reuse`` sets); ``never`` refuses to train in place of
    a stored network that does not fit (what `make verify` sets). In the quick profile nothing is loaded or
    stored.

    A network that was loaded has fresh optimiser state: to go on training it is possible, and starts Adam's
    averages anew.

    Args:
        model: a built Keras model, for ``fit`` a compiled one; its weights are changed in place.
        name: the notebook's name, a dot and a word, such as "01_digits.starter".
        precision: "float16" rounds the weights to half precision after the training, whether it is stored or
            not, so that every printed number belongs to the weights that are published.
        least_seconds: a shorter training is not stored.
        folder: where the files are; by default ``trained`` in the folder of the notebooks.

    Raises:
        ValueError: a name of another form, a network that is not built, or another precision.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is not a name: write the notebook's, a dot and a word, as in 01_digits.starter."
        )
    if not model.built:
        raise ValueError("the network does not know its shapes yet: begin it with keras.Input(shape).")
    if precision not in ("float32", "float16"):
        raise ValueError(f"precision must be 'float32' or 'float16', not {precision!r}.")
    return LoadOrTrain(model, name, precision, least_seconds, Path(folder or _default_folder()))


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


class LoadOrTrain:
    """What `load_or_train` returns: a training that may be left out."""

    def __init__(
        self, model: keras.Model, name: str, precision: str, least_seconds: float, folder: Path
    ) -> None:
        self._model = model
        self._name = name
        self._precision = precision
        self._least_seconds = least_seconds
        self._folder = folder

    def fit(self, *arguments: object, **named: object) -> keras.callbacks.History:
        """Do what ``model.fit`` does, with the same arguments, or load what it arrived at.

        Raises:
            PublishedNetworkError: the stored network is damaged, or must not be trained anew.
        """
        history: keras.callbacks.History = self._run(
            self._model.fit, keras.Model.fit, (self._model, *arguments), named
        )
        return history

    def train_with(self, function: Callable[..., T], *arguments: object, **named: object) -> T:
        """Do what ``function(model, ...)`` does, or load what it arrived at.

        For `dae_utils.training.fit`:
        ``load_or_train(model, "03_garments.deep").train_with(fit, x, epochs=20)``.

        Args:
            function: trains the model that it gets as its first argument, and returns a
                `dae_utils.training.History` or Keras's own.
            *arguments: its arguments after the model.
            **named: its named arguments.

        Raises:
            PublishedNetworkError: the stored network is damaged, or must not be trained anew.
        """

        def train(*rest: object, **settings: object) -> T:
            return function(self._model, *rest, **settings)

        result: T = self._run(train, function, (self._model, *arguments), named)
        return result

    def _run(
        self,
        train: Callable[..., Any],
        function: Callable[..., Any],
        arguments: tuple[object, ...],
        named: dict[str, object],
    ) -> Any:
        mode = "train" if current_profile().name == "quick" else _mode()
        if mode == "train":
            # Nothing is compared or stored, so no digest is needed: of large data they take seconds.
            return self._train(train, arguments[1:], named, None, publish=False)
        settings = inspect.signature(function).bind(*arguments, **named)
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
            return self._train(train, arguments[1:], named, None, publish=False)
        digests["start"] = self._start()
        digests["format"] = digest_of([FORMAT, self._precision])
        stored = read_origin(self._folder, self._name) if mode in ("load", "reuse", "never") else None
        if stored is not None:
            changed = [part for part in _PARTS if stored.digests.get(part) != digests[part]]
            if stored.backend != keras.backend.backend() and digests["start"].startswith(_DRAWN):
                # The same seed draws other numbers there.
                changed = [part for part in changed if part != "start"]
            if not changed:
                return self._load(stored.digests, quietly=mode == "reuse")
            parts = ", ".join(_PARTS[part] for part in changed)
            what = f"the published network {self._name} was made otherwise ({parts} changed)"
            if mode == "never":
                raise PublishedNetworkError(f"{what}.\nNext: run `make execute` for this chapter.")
            if mode != "reuse":
                print(f"{what}, so it is trained here.", flush=True)
        return self._train(train, arguments[1:], named, digests, publish=mode in ("publish", "reuse"))

    def _start(self) -> str:
        """Return a digest of the weights that the training starts from, or of what trained them."""
        weights = digest_of(self._model.get_weights())
        known = _last_training.get(self._model)
        return known[0] if known is not None and known[1] == weights else f"{_DRAWN}{weights}"

    def _load(self, digests: dict[str, str], quietly: bool) -> object:
        network = read_published(self._folder, self._name)
        try:
            self._model.set_weights(network.weights)
        except ValueError as error:
            raise PublishedNetworkError(
                f"the weights in {paths_of(self._folder, self._name)[0]} do not fit the network ({error}).\n"
                f"Next: restore the file from git, or set {SETTING}=1 to train the network here."
            ) from error
        self._remember(digests)
        if not quietly:
            print(
                f"loaded the published network {self._name}; training it took {_duration(network.seconds)}; "
                f"`{SETTING}=1` trains it here",
                flush=True,
            )
        return _history_from(network.history, self._model)

    def _train(
        self,
        train: Callable[..., Any],
        arguments: tuple[object, ...],
        named: dict[str, object],
        digests: dict[str, str] | None,
        publish: bool,
    ) -> Any:
        started = time.perf_counter()
        result = train(*arguments, **named)
        seconds = time.perf_counter() - started
        weights = rounded(self._model.get_weights(), self._precision)
        if self._precision != "float32":
            self._model.set_weights(weights)
        if digests is not None:
            self._remember(digests)
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
        return result

    def _remember(self, digests: dict[str, str]) -> None:
        _last_training[self._model] = (digest_of(digests), digest_of(self._model.get_weights()))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _history_as_json(history: object) -> dict[str, Any]:
    if isinstance(history, History):
        return {"kind": "dae_utils", **dataclasses.asdict(history)}
    if isinstance(history, keras.callbacks.History):
        columns = {key: [float(value) for value in values] for key, values in history.history.items()}
        return {"kind": "keras", "epoch": list(history.epoch), "history": columns}
    raise TypeError(
        f"a training must return a History, of Keras or of dae_utils.training, not {type(history).__name__}."
    )


def _history_from(stored: dict[str, Any], model: keras.Model) -> object:
    fields = {key: value for key, value in stored.items() if key != "kind"}
    if stored.get("kind") == "dae_utils":
        return History(**fields)
    history = keras.callbacks.History()
    history.set_model(model)
    history.epoch, history.history = fields["epoch"], fields["history"]
    return history
