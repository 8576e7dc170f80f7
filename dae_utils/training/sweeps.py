"""Sweeps: the same function for every combination of settings and for several seeds.

`sweep` runs one trial after the other, each in a process of its own and on one thread, so that a trial gives
the same digits whatever ran before it and however many cores there are. Results are stored as they finish: a
sweep that was stopped, by whatever, goes on where it was.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

# Unlike pickle, it carries functions that were defined in a notebook to another process.
import cloudpickle
import pandas as pd
from sklearn.model_selection import ParameterGrid
from tqdm.auto import tqdm

from dae_utils.data.storage import atomic_write
from dae_utils.profiles import show_progress
from dae_utils.training.digests import digest_of

__all__ = ["sweep"]

Settings = Mapping[str, Any]
Trial = Callable[[dict[str, Any], int], Mapping[str, float]]

# One thread, for every library that has a number of its own.
_ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "TF_NUM_INTRAOP_THREADS",
        "TF_NUM_INTEROP_THREADS",
    ),
    "1",
)
_LINES_OF_AN_ERROR = 8
_COLUMNS = ("seed", "seconds", "error")
# Run as a file: as a module of this package, it would load Keras for trials that need none.
_TRIAL = Path(__file__).with_name("trial.py")


def sweep(
    function: Trial,
    grid: Mapping[str, Sequence[Any]] | Sequence[Settings],
    seeds: Sequence[int] = (0,),
    *,
    name: str,
    folder: str | os.PathLike[str] = "sweeps",
) -> pd.DataFrame:
    """Run a function for all settings and seeds, and return one row for each trial.

    A trial that fails does not end the others: its row names the error, and the next call tries it again.
    Trials that are done are not run again, as long as the function, the constants that it reads, and the
    settings are the same.

    Args:
        function: takes the settings, a dictionary, and the seed; returns numbers by name.
        grid: lists of values by the name of the setting, of which all combinations are tried; or the list of
            the combinations themselves.
        seeds: every combination is tried with each of them; ``range(3)`` for three.
        name: of the sweep, a plain name without a path; its results are in ``folder/name``, one file a trial.
        folder: where sweeps are kept.

    Returns:
        A table with a column for each setting, then ``seed``, the numbers that the function returned,
        ``seconds``, and ``error``: None, or the last lines of what went wrong.

    Raises:
        ValueError: no settings, no seed, a setting with the name of one of those columns, or a name that is a
            path.
        TypeError: seeds is a number.
        NotDescribableError: a function or setting that can't be told from another, see
            `dae_utils.training.digests`.
    """
    if isinstance(seeds, Integral):
        raise TypeError(f"seeds must be the seeds themselves, not {seeds}: say range({seeds}) for so many.")
    if name in ("", ".", "..") or set(name) & set("/\\"):
        raise ValueError(f"name must be a plain name, not {name!r}: say where it belongs with folder.")
    combinations = list(ParameterGrid(grid)) if isinstance(grid, Mapping) else [dict(row) for row in grid]
    if not combinations or not len(seeds):
        raise ValueError("a sweep needs at least one combination of settings and one seed.")
    taken = set(_COLUMNS) & {key for settings in combinations for key in settings}
    if taken:
        raise ValueError(f"{', '.join(sorted(taken))} can't name a setting: it is a column of the table.")
    place = Path(folder) / name
    place.mkdir(parents=True, exist_ok=True)
    code = digest_of(function)
    trials = [(settings, int(seed)) for settings in combinations for seed in seeds]
    files = [place / f"{digest_of([code, settings, seed])[:20]}.json" for settings, seed in trials]
    outcomes = {file: found for file in files if (found := _stored(file)) is not None}
    bar = tqdm(total=len(trials), initial=len(outcomes), desc=name, unit="trial", disable=not show_progress())
    with bar:
        for (settings, seed), file in zip(trials, files, strict=True):
            if file in outcomes:
                continue
            bar.set_postfix_str(
                ", ".join(f"{key} {value}" for key, value in {**settings, "seed": seed}.items())
            )
            outcomes[file] = _run(function, settings, seed, file)
            bar.update()
    rows = [
        {**settings, "seed": seed, **outcomes[file]["numbers"], **_bookkeeping(outcomes[file])}
        for (settings, seed), file in zip(trials, files, strict=True)
    ]
    return pd.DataFrame(rows)


def _bookkeeping(outcome: Mapping[str, Any]) -> dict[str, Any]:
    return {"seconds": outcome["seconds"], "error": outcome["error"]}


def _stored(file: Path) -> dict[str, Any] | None:
    """Return the outcome of a trial that came to its end, or None."""
    try:
        outcome: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return outcome if outcome.get("error") is None and "numbers" in outcome else None


def _run(function: Trial, settings: Settings, seed: int, file: Path) -> dict[str, Any]:
    """Run one trial in a process of its own, and return its outcome; store it if it came to its end."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        job, answer = Path(scratch, "job"), Path(scratch, "answer")
        job.write_bytes(cloudpickle.dumps((function, dict(settings), seed)))
        process = subprocess.Popen(
            [sys.executable, str(_TRIAL), str(job), str(answer), str(os.getpid())],
            env={**os.environ, **_ONE_THREAD, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        try:
            _, said = process.communicate()
        except BaseException:
            process.kill()
            process.wait()
            raise
        numbers: dict[str, float] = {}
        error: str | None = None
        with contextlib.suppress(OSError):
            numbers = json.loads(answer.read_text(encoding="utf-8"))
        if process.returncode != 0:
            lines = [line for line in said.splitlines() if line.strip()]
            error = "\n".join(lines[-_LINES_OF_AN_ERROR:]) or f"it ended with code {process.returncode}"
        taken = sorted(set(numbers) & {*settings, *_COLUMNS})
        if taken:
            numbers = {}
            error = f"the function returns {', '.join(taken)}, which is a setting or a column: rename it"
    outcome = {"numbers": numbers, "seconds": round(time.perf_counter() - started, 2), "error": error}
    if error is None:
        with atomic_write(file) as stream:
            content = {**outcome, "settings": {key: repr(value) for key, value in settings.items()}}
            stream.write((json.dumps({**content, "seed": seed}, indent=1) + "\n").encode())
    return outcome
