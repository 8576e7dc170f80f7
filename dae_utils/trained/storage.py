"""The files of a published network: its weights, and a note that says what made them.

A network NAME has two files: ``NAME.npz`` with the weights in the order of ``model.get_weights()``, and
``NAME.json`` with the digests of all that decided them, the history of the training, its seconds, and the
SHA-256 of the weights' file and of the note itself. Weights are kept as plain arrays, which every backend of
Keras reads and which can't run code when they are loaded.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dae_utils.data.storage import atomic_write

__all__ = ["PublishedNetwork", "PublishedNetworkError", "read_published", "write_published"]

# Part of every digest: raise it when the meaning of the files changes.
FORMAT = 1


class PublishedNetworkError(RuntimeError):
    """A published network is damaged, or does not belong to the code that asks for it."""


@dataclass(frozen=True)
class PublishedNetwork:
    """What is stored about one trained network.

    Attributes:
        weights: the arrays of ``model.get_weights()``, float32.
        digests: what made them, by part: "network", "compile", "fit", "data", "seed", "start", "format".
        history: what the training returned, see `dae_utils.trained.loading`.
        seconds: how long the training took on the machine of the published run.
        backend: the backend of Keras that trained it; weights load under any other.
        precision: "float32", or "float16" for weights that were rounded to half precision.
    """

    weights: list[NDArray[np.float32]]
    digests: dict[str, str]
    history: dict[str, Any]
    seconds: float
    backend: str
    precision: str


def paths_of(folder: Path, name: str) -> tuple[Path, Path]:
    """Return the paths of the weights and of the note of the network `name`."""
    return folder / f"{name}.npz", folder / f"{name}.json"


def write_published(folder: Path, name: str, network: PublishedNetwork) -> None:
    """Store a network; the note, which makes the weights valid, is written last.

    Raises:
        ValueError: a weight that is not finite.
        OSError: the folder cannot be written or is full; what was there before stays.
    """
    if not all(np.isfinite(array).all() for array in network.weights):
        raise ValueError(f"{name}: a weight is not finite, so the network is not stored: train it again.")
    folder.mkdir(parents=True, exist_ok=True)
    weights_path, note_path = paths_of(folder, name)
    buffer = io.BytesIO()
    arrays = {f"{number:03}": array.astype(network.precision) for number, array in enumerate(network.weights)}
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    content = buffer.getvalue()
    note = asdict(network)
    del note["weights"]
    note["sha256"] = hashlib.sha256(content).hexdigest()
    note["note_sha256"] = _digest_of_note(note)
    with atomic_write(weights_path) as file:
        file.write(content)
    with atomic_write(note_path) as file:
        file.write((json.dumps(note, indent=1, ensure_ascii=False) + "\n").encode())


@dataclass(frozen=True)
class Origin:
    """What made a stored network: the digests of its training, by part, and the backend of Keras."""

    digests: dict[str, str]
    backend: str


def read_origin(folder: Path, name: str) -> Origin | None:
    """Return what made a stored network, or None where there is none.

    Raises:
        PublishedNetworkError: the note is damaged.
    """
    _, note_path = paths_of(folder, name)
    if not note_path.is_file():
        return None
    note = _read_note(note_path)
    return Origin(dict(note["digests"]), note["backend"])


def read_published(folder: Path, name: str) -> PublishedNetwork:
    """Return a stored network, verified by its SHA-256.

    Raises:
        PublishedNetworkError: a file is missing, damaged or cut short.
    """
    weights_path, note_path = paths_of(folder, name)
    note = _read_note(note_path)
    try:
        content = weights_path.read_bytes()
    except OSError as error:
        raise _damaged(weights_path, error.strerror or str(error)) from error
    del note["note_sha256"]
    if hashlib.sha256(content).hexdigest() != note.pop("sha256"):
        raise _damaged(weights_path, "its SHA-256 is not the one in its note")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            weights = [archive[key].astype(np.float32) for key in sorted(archive.files)]
        return PublishedNetwork(weights=weights, **note)
    except (TypeError, ValueError, zipfile.BadZipFile) as error:
        raise _damaged(weights_path, str(error)) from error


def _read_note(path: Path) -> dict[str, Any]:
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(note, dict) or note.get("note_sha256") != _digest_of_note(note):
            raise ValueError("its SHA-256 is not the one that it states")
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from error
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    return note


def _digest_of_note(note: Mapping[str, Any]) -> str:
    stated = {key: value for key, value in note.items() if key != "note_sha256"}
    return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()


def _damaged(path: Path, why: str) -> PublishedNetworkError:
    return PublishedNetworkError(
        f"the published network in {path} is damaged ({why}).\n"
        "Next: restore the file from git, or set DAE_TRAIN=1 to train the network here."
    )


def rounded(weights: Sequence[NDArray[Any]], precision: str) -> list[NDArray[np.float32]]:
    """Return weights as float32 arrays that hold only numbers of the given precision.

    Raises:
        ValueError: a weight beyond 65504, the largest number of half precision.
    """
    with np.errstate(over="ignore"):  # checked in the next line
        arrays = [np.asarray(array).astype(precision).astype(np.float32) for array in weights]
    for array, original in zip(arrays, weights, strict=True):
        if np.isinf(array).any() and np.isfinite(np.asarray(original)).all():
            raise ValueError("A weight is beyond 65504, the largest number of half precision: take float32.")
    return arrays
