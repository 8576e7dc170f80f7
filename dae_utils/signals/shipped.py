"""The files of a trained detector, and the detectors that come with the library.

A detector NAME has two files: ``NAME.npz`` with the weights of its network, and ``NAME.json`` with all else:
what it was trained for, its thresholds, how it was made, and the SHA-256 of the weights and of the note
itself. Nothing in them can run code when it is loaded, and nothing in them is a heartbeat.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from dae_utils.data.storage import SourceError, atomic_write, one_line, show_path
from dae_utils.signals.heart_detector import HeartDetector, TrainedFor
from dae_utils.signals.learnt_differences import DenseNetwork, LearntDifferences
from dae_utils.signals.ventricular import AlarmRule

__all__ = ["SHIPPED_FOLDER", "load_detector", "save_detector", "shipped_detectors"]

SHIPPED_FOLDER = Path(__file__).parent / "trained_detectors"
_FORMAT = 2


def shipped_detectors() -> tuple[str, ...]:
    """Return the names of the detectors that come with the library."""
    return tuple(sorted(path.stem for path in SHIPPED_FOLDER.glob("*.json")))


def load_detector(name: str | os.PathLike[str]) -> HeartDetector:
    """Return a detector that comes with the library, by name, or one that you saved, by its note's path.

    Raises:
        ValueError: there is no such detector.
        SourceError: its files are damaged, or of another version of the library.
    """
    path = SHIPPED_FOLDER / f"{name}.json" if str(name) in shipped_detectors() else Path(name).expanduser()
    if path.suffix != ".json" or not path.is_file():
        raise ValueError(
            f"there is no detector {str(name)!r}; there are {', '.join(shipped_detectors())}, or name the "
            ".json file of one that you saved."
        )
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        if note["note_sha256"] != _digest_of(note):
            raise ValueError("its SHA-256 is not the one that it states")
        if note["format"] != _FORMAT:
            raise ValueError(f"it has format {note['format']}, and this library reads {_FORMAT}")
        content = path.with_suffix(".npz").read_bytes()
        if hashlib.sha256(content).hexdigest() != note["sha256"]:
            raise ValueError("the SHA-256 of its weights is not the one in its note")
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            layers = range(len(note["activations"]))
            kernels = [archive[f"kernel_{layer}"].astype(np.float64) for layer in layers]
            biases = [archive[f"bias_{layer}"].astype(np.float64) for layer in layers]
        wanted = note["trained_for"]
        return HeartDetector(
            name=note["name"],
            trained_for=TrainedFor(**{**wanted, "lead_names": tuple(map(tuple, wanted["lead_names"]))}),
            learnt=LearntDifferences(DenseNetwork(kernels, biases, note["activations"]), note["unit"]),
            rule=AlarmRule(**note["rule"]),
            thresholds={float(number): level for number, level in note["thresholds"].items()},
            largest_error=note["largest_error"],
            made=note["made"],
        )
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise SourceError(
            f"The detector in {show_path(path)} can't be loaded: {one_line(error)}.\n"
            "Next: restore its two files from git, or save it again."
        ) from error


def save_detector(detector: HeartDetector, folder: str | os.PathLike[str]) -> Path:
    """Store a detector under its name, with weights in half precision, and return its note's path.

    Raises:
        ValueError: a weight that half precision cannot hold.
        OSError: the folder cannot be written; what was there before stays.
    """
    folder = Path(folder).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    network = detector.learnt.network
    arrays = {f"kernel_{layer}": array for layer, array in enumerate(network.kernels)}
    arrays |= {f"bias_{layer}": array for layer, array in enumerate(network.biases)}
    halved = {key: array.astype(np.float16) for key, array in arrays.items()}
    if not all(np.isfinite(array).all() for array in halved.values()):
        raise ValueError(f"{detector.name}: a weight is not finite in half precision; train it again.")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **halved)
    content = buffer.getvalue()
    wanted = detector.trained_for
    note = {
        "format": _FORMAT,
        "name": detector.name,
        "trained_for": {**vars(wanted), "lead_names": [list(names) for names in wanted.lead_names]},
        "unit": detector.learnt.unit,
        # The thresholds are below.
        "rule": {key: value for key, value in vars(detector.rule).items() if key != "threshold"},
        "activations": list(network.activations),
        "largest_error": detector.largest_error,
        "thresholds": {f"{number:g}": level for number, level in detector.thresholds.items()},
        "made": dict(detector.made),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    note["note_sha256"] = _digest_of(note)
    path = folder / f"{detector.name}.json"
    with atomic_write(path.with_suffix(".npz")) as file:
        file.write(content)
    with atomic_write(path) as file:
        file.write((json.dumps(note, indent=1, ensure_ascii=False) + "\n").encode())
    return path


def _digest_of(note: dict[str, Any]) -> str:
    stated = {key: value for key, value in note.items() if key != "note_sha256"}
    return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()
