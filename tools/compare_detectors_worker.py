"""Fits one detector after the other, and times each: the part of `compare_detectors` that runs twice.

It runs in the project's environment for this book's detector and in another for PyOD's, so it imports nothing
that only one of them has before it is asked for a detector. One request a line comes in as JSON, one answer a
line goes out; the arrays travel in .npz files.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import numpy as np


def build(method: str, rate: float, seed: int) -> Any:
    """Return an unfitted detector, as shipped apart from the promised rate and the seed."""
    if method == "AutoencoderDetector":
        from dae_utils.detection.autoencoder_detector import AutoencoderDetector

        return AutoencoderDetector(false_alarm_rate=rate, random_state=seed)
    if method == "PyOD AutoEncoder":
        from pyod.models.auto_encoder import AutoEncoder

        return AutoEncoder(contamination=rate, random_state=seed, verbose=0)
    if method == "PyOD IForest":
        from pyod.models.iforest import IForest

        return IForest(contamination=rate, random_state=seed)
    if method == "PyOD KNN":
        from pyod.models.knn import KNN

        return KNN(contamination=rate)
    if method == "PyOD ECOD":
        from pyod.models.ecod import ECOD

        return ECOD(contamination=rate)
    raise ValueError(f"unknown method {method!r}.")


def measure(request: dict[str, Any]) -> dict[str, Any]:
    """Fit and score once; write scores and alarms, return seconds and, for ours, the promised band."""
    with np.load(request["problem"]) as arrays:
        X, X_new = arrays["X"], arrays["X_new"]
    is_pyod = request["method"].startswith("PyOD")
    if is_pyod:
        X, X_new = X.reshape(len(X), -1), X_new.reshape(len(X_new), -1)
    detector = build(request["method"], request["rate"], request["seed"])
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        detector.fit(X)
    except Exception as error:  # whatever a detector as shipped cannot do is a result too
        return {"error": f"{type(error).__name__}: {error}"}
    fitted = time.perf_counter()
    scores = detector.decision_function(X_new)
    answer: dict[str, Any] = {
        "seconds": time.perf_counter() - wall,
        "seconds_fit": fitted - wall,
        "cpu_seconds": time.process_time() - cpu,
    }
    # PyOD: higher = more anomalous, with a threshold; scikit-learn and this book: negative = alarm.
    alarms = scores > detector.threshold_ if is_pyod else scores < 0
    np.savez(request["answer"], scores=scores if is_pyod else -scores, alarms=alarms)
    if not is_pyod:
        answer["n_held_out"] = detector.conformal_.n_held_out_
        answer["rank"] = detector.conformal_.rank_
    return answer


def main() -> None:
    """Answer requests until the input ends."""
    # Libraries print to stdout; only answers may go there.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    # Imports are not part of a measurement.
    build(sys.argv[1], 0.05, 0)
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(measure(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
