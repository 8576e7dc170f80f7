"""Headline numbers of a chapter, written to a file that other pages read, and values that its text shows.

A chapter records each number once, under a key such as ``mnist.one_class.auroc``; the page of results and the
tests read the file, and no number is typed a second time.
"""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from IPython.core.formatters import format_display_data
from IPython.display import display as show_in_notebook

from dae_utils.data.ecg import simulated_hearts_were_used
from dae_utils.data.storage import atomic_write
from dae_utils.evaluation.intervals import Interval
from dae_utils.profiles import Profile
from dae_utils.validation import check_count

__all__ = ["Result", "Results", "glue"]

# What myst-nb looks for: it leaves outputs of such a kind out of the page.
_GLUED = "application/papermill.record/"

_KEY = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")


@dataclass(frozen=True)
class Result:
    """One number with its 95 % interval and how it was obtained.

    Attributes:
        value: the number; rates, AUROC and average precision are fractions between 0 and 1.
        low, high: its 95 % interval.
        seeds: with how many seeds the training was repeated.
        protocol: in one line, what was trained on what and measured on what.
        profile: "full", or "quick" for numbers that are not worth quoting.
    """

    value: float
    low: float
    high: float
    seeds: int
    protocol: str
    profile: str


def _default_folder(profile: Profile) -> Path:
    # A study runs in a folder inside that of the chapters; its results stand in one inside theirs.
    studies = Path.cwd().name == "studies"
    chapters = Path("..") if studies else Path()
    folder = chapters / ("results" if profile.name == "full" else "../_build/quick_results")
    return folder / "studies" if studies else folder


class Results:
    """The headline numbers of one chapter.

    Args:
        name: the notebook's name without its ending, such as "01_mnist_anomaly_detection".
        profile: a run in the full profile writes ``results/NAME.json`` in the folder of the chapters, a study
            ``results/studies/NAME.json``; a quick run must not touch what is published and writes below
            ``_build`` instead.
        folder: where to write instead.
    """

    def __init__(self, name: str, profile: Profile, folder: str | os.PathLike[str] | None = None):
        self.path = Path(_default_folder(profile) if folder is None else folder) / f"{name}.json"
        self.profile = profile
        self.entries: dict[str, Result] = {}

    def record(self, key: str, interval: Interval, *, seeds: int, protocol: str) -> Result:
        """Record one number under a new key and return it.

        Raises:
            ValueError: a key in use or not of the form ``data_set.protocol.measure``, numbers that are not
                finite or not in order, no seed, or a protocol that is not one line.
            RuntimeError: in the full profile, once simulated hearts were used in this process.
        """
        # Nobody can tell whether this number rests on them, and a published one must not.
        if self.profile.name == "full" and simulated_hearts_were_used():
            raise RuntimeError(
                f"{key} is not recorded: simulated hearts were used, and a full run publishes none. Set "
                "DAE_MITDB_DIR to the real records, or make simulated hearts after the last result."
            )
        if not _KEY.fullmatch(key):
            raise ValueError(
                f"{key!r} is not a key: write small letters and dots, as in mnist.one_class.auroc."
            )
        if key in self.entries:
            raise ValueError(f"{key!r} is recorded already: make the object anew to record a second run.")
        value, low, high = float(interval.value), float(interval.low), float(interval.high)
        if not all(map(math.isfinite, (value, low, high))) or not low <= value <= high:
            raise ValueError(f"{key}: {low}, {value}, {high} is not an interval around a finite value.")
        seeds = check_count(seeds, "seeds")
        if len(protocol.strip().splitlines()) != 1:
            raise ValueError(f"{key}: say in one line what was measured on what.")
        self.entries[key] = Result(value, low, high, seeds, protocol.strip(), self.profile.name)
        return self.entries[key]

    def save(self) -> Path:
        """Write everything recorded so far, in one step, and return the file's path.

        Raises:
            ValueError: nothing has been recorded.
            OSError: the folder cannot be written or is full; an older file stays as it was.
        """
        if not self.entries:
            raise ValueError("No result has been recorded, so there is nothing to save.")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = {key: asdict(result) for key, result in self.entries.items()}
        with atomic_write(self.path) as file:
            file.write((json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
        return self.path


def glue(name: str, value: object, display: bool = True) -> None:
    """Store a value in the outputs of the running cell, for the text to show as ``{glue:text}`name```.

    It stores what ``myst_nb.glue`` does, without importing what myst-nb reads notebooks with: that takes as
    long as a small training.

    Args:
        name: for the text; unique within the notebook.
        value: a number, a text, a figure, or whatever else a notebook can display.
        display: whether the cell shows it too.
    """
    kinds, metadata = format_display_data(value)  # type: ignore[no-untyped-call]
    prefix = "" if display else _GLUED
    metadata["scrapbook"] = {"name": name, "mime_prefix": prefix}
    stored = {prefix + kind: form for kind, form in kinds.items()}
    show_in_notebook(stored, raw=True, metadata=metadata)  # type: ignore[no-untyped-call]
