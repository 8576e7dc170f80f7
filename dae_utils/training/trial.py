"""One trial of a sweep, in a process of its own: ``python trial.py JOB ANSWER PARENT``.

Only `dae_utils.training.sweeps` starts it. JOB is a file that the sweep has just written, the function, its
settings and the seed; ANSWER is where the numbers go.
"""

from __future__ import annotations

import json
import math
import os
import pickle
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["main"]


def main(arguments: Sequence[str]) -> None:
    """Run the trial.

    Raises:
        TypeError: the function does not return numbers by name.
    """
    job, answer, parent = arguments
    threading.Thread(target=_end_with, args=(int(parent),), daemon=True).start()
    if hasattr(os, "sched_setaffinity"):
        # One core as well: what a training computes may depend on how many there are.
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    sys.path.pop(0)  # the folder of this file, whose modules are not for everybody
    function, settings, seed = pickle.loads(Path(job).read_bytes())
    numbers = function(settings, seed)
    if not isinstance(numbers, Mapping):
        raise TypeError(f"the function of a sweep must return numbers by name, not {type(numbers).__name__}.")
    plain = {str(key): float(value) for key, value in numbers.items()}
    if not all(map(math.isfinite, plain.values())):
        raise ValueError(f"the function returned a number that is not finite: {plain}.")
    Path(answer).write_text(json.dumps(plain), encoding="utf-8")


def _end_with(parent: int) -> None:
    """End this process when the sweep that started it was killed."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
