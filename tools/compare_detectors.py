"""Measures this book's `AutoencoderDetector` beside PyOD's detectors, on the same samples.

PyOD and torch are not part of the project. Make an environment of their own for them, outside the repository:

    python3 -m venv ../pyod-env
    ../pyod-env/bin/pip install torch pyod tqdm

and name its Python here:

    python -m tools.compare_detectors --pyod-python ../pyod-env/bin/python

Every result is written to book/detectors.json as it comes, so a run can be stopped and started again; what is
there already is not measured anew. The tables of the page book/which_detector.md are then written between its
comment markers from that file alone (`--tables` does only this).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.metrics import roc_auc_score

from tools.detector_tables import PAGE, RESULTS, write_tables

PROJECT = Path(__file__).resolve().parent.parent
OURS = "AutoencoderDetector"
RATE = 0.05
# Methods without chance in them are measured once; those with it, with these seeds where the plan says so.
SEEDS = (0, 1, 2)
METHODS = {OURS: True, "PyOD AutoEncoder": True, "PyOD IForest": True, "PyOD KNN": False, "PyOD ECOD": False}
# KNN compares every new beat with every normal one; a part of them has to do.
MOST_FOR_NEIGHBOURS = 10_000
# An image class costs as much as all tables together: every second class is measured, three with all seeds.
CLASSES = (0, 4, 8, 2, 6)
CLASSES_WITH_ALL_SEEDS = (0, 4, 8)

Array = NDArray[Any]


class Problem(NamedTuple):
    """Normal samples to fit, samples to score, and which of the latter are anomalies."""

    group: str
    name: str
    X: Array
    X_new: Array
    anomalous: NDArray[np.bool_]


def image_problems(group: str, load: Callable[[], Any]) -> Iterator[Problem]:
    """One class is normal: its training images to fit, all test images to score."""
    data = load()
    y_train, y_test = np.ravel(data.y_train), np.ravel(data.y_test)
    for number in CLASSES:
        X = data.x_train[y_train == number]
        yield Problem(group, f"{group} {number}", X, data.x_test, y_test != number)


def heartbeat_problems() -> Iterator[Problem]:
    """Normal beats of the patients of DS1 to fit; all beats of other patients (DS2) to score.

    A promise about false alarms holds for new beats of the same kind, not for other patients. So there is a
    second problem, in which a fifth of the normal beats of DS1 is new.
    """
    from dae_utils.data import inter_patient_split, load_heartbeats

    hearts = load_heartbeats(allow_simulated=False)
    split = inter_patient_split(hearts)
    beats, anomalous = hearts.beats[..., np.newaxis], hearts.labels != 0  # windows of one channel
    normal = split.train[~anomalous[split.train]]
    yield Problem("Heartbeats", "other patients", beats[normal], beats[split.test], anomalous[split.test])
    order = np.random.default_rng(0).permutation(normal)
    fifth = len(order) // 5
    new = np.concatenate([order[:fifth], split.train[anomalous[split.train]]])
    yield Problem("Heartbeats", "same patients", beats[order[fifth:]], beats[new], anomalous[new])


def table_problems(name: str, load: Callable[..., Any]) -> Iterator[Problem]:
    """One class is normal, half of it to fit. New: the other half, and half of the rest.

    The half of the rest that is left out served to choose the design of `AutoencoderDetector`.
    """
    X, y = load(return_X_y=True)
    for number in np.unique(y):
        rng = np.random.default_rng(0)
        normal, rest = (
            rng.permutation(np.flatnonzero(y == number)),
            rng.permutation(np.flatnonzero(y != number)),
        )
        new = np.concatenate([normal[len(normal) // 2 :], rest[len(rest) // 2 :]])
        yield Problem("Tables", f"{name} {number}", X[normal[: len(normal) // 2]], X[new], y[new] != number)


def problems(groups: list[str] | None = None) -> Iterator[Problem]:
    """Yield all problems (or those of some groups); the image sets take turns."""
    from dae_utils.data.images import load_cifar10, load_fashion_mnist, load_mnist

    tables = {
        "breast cancer": load_breast_cancer,
        "wine": load_wine,
        "digits": load_digits,
        "iris": load_iris,
    }
    images = {"MNIST": load_mnist, "Fashion-MNIST": load_fashion_mnist, "CIFAR-10": load_cifar10}
    images = {name: load for name, load in images.items() if not groups or name in groups}
    if not groups or "Tables" in groups:
        for name, load in tables.items():
            yield from table_problems(name, load)
    for of_one_class in zip(*(image_problems(name, load) for name, load in images.items()), strict=True):
        yield from of_one_class
    if not groups or "Heartbeats" in groups:
        yield from heartbeat_problems()


def seeds_for(problem: Problem, method: str) -> tuple[int, ...]:
    """Return the seeds with which a method is measured on a problem."""
    if not METHODS[method]:
        return SEEDS[:1]
    if problem.group in ("Tables", "Heartbeats"):
        return SEEDS if method in (OURS, "PyOD AutoEncoder") else SEEDS[:1]
    several = int(problem.name.split()[-1]) in CLASSES_WITH_ALL_SEEDS and method in (OURS, "PyOD AutoEncoder")
    return SEEDS if several else SEEDS[:1]


class Worker:
    """A process that fits detectors, in the environment of the given Python."""

    def __init__(self, python: str, method: str, cores: int) -> None:
        threads = {f"{name}_NUM_THREADS": str(cores) for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "2", "DAE_PROGRESS": "0", "PYTHONPATH": str(PROJECT)}
        script = str(Path(__file__).with_name("compare_detectors_worker.py"))
        self._process = subprocess.Popen(
            [python, script, method],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | threads | quiet,
        )
        if hasattr(os, "sched_setaffinity"):  # Linux: whatever a library makes of its threads
            os.sched_setaffinity(self._process.pid, sorted(os.sched_getaffinity(0))[:cores])
        self._read()

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a worker ended without an answer; its error stands above.")
        return line

    def measure(self, request: dict[str, Any]) -> dict[str, Any]:
        """Have one detector fitted and timed."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._read())
        return answer

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def thinned(problem: Problem, method: str) -> Problem:
    """Return the problem with fewer samples to fit where a method could not cope with all of them."""
    if method == "PyOD KNN" and len(problem.X) > MOST_FOR_NEIGHBOURS:
        rows = np.random.default_rng(0).permutation(len(problem.X))[:MOST_FOR_NEIGHBOURS]
        return problem._replace(X=problem.X[np.sort(rows)])
    return problem


def read_results() -> list[dict[str, Any]]:
    """Return what has been measured so far."""
    rows: list[dict[str, Any]] = json.loads(RESULTS.read_text("utf-8"))["rows"] if RESULTS.exists() else []
    return rows


def write_results(rows: list[dict[str, Any]], cores: int) -> None:
    """Write the results, one row a line so that a change can be read."""
    lines = ",\n".join("  " + json.dumps(row) for row in rows)
    text = f'{{"false_alarm_rate": {RATE}, "cores": {cores}, "rows": [\n{lines}\n]}}\n'
    part = RESULTS.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(RESULTS)


def measure_one(worker: Worker, problem: Problem, method: str, seed: int, folder: Path) -> dict[str, Any]:
    """Measure one method on one problem; return the row of the results."""
    given = thinned(problem, method)
    np.savez(folder / "problem.npz", X=given.X, X_new=given.X_new)
    paths = {"problem": str(folder / "problem.npz"), "answer": str(folder / "answer.npz")}
    answer = worker.measure({"method": method, "seed": seed, "rate": RATE, **paths})
    row = {"group": problem.group, "problem": problem.name, "method": method, "seed": seed}
    if "error" in answer:
        return row | {"fitted_on": len(given.X), "error": answer["error"]}
    with np.load(folder / "answer.npz") as arrays:
        scores, alarms = arrays["scores"], arrays["alarms"]
    row |= {
        "auroc": round(float(roc_auc_score(problem.anomalous, scores)), 5),
        "false_alarms": int(alarms[~problem.anomalous].sum()),
        "new_normals": int((~problem.anomalous).sum()),
        "found": round(float(alarms[problem.anomalous].mean()), 5),
        "fitted_on": len(given.X),
    }
    return row | {name: round(value, 3) for name, value in answer.items()}


def run(pyod_python: str, cores: int, groups: list[str] | None, methods: list[str]) -> None:
    """Measure what is missing: the methods in turn on each problem, so that they share its minute."""
    rows = read_results()
    done = {(row["group"], row["problem"], row["method"], row["seed"]) for row in rows}
    workers: dict[str, Worker] = {}
    with tempfile.TemporaryDirectory() as folder:
        for seed, problem in ((seed, problem) for seed in SEEDS for problem in problems(groups)):
            for method in methods:
                key = (problem.group, problem.name, method, seed)
                if key in done or seed not in seeds_for(problem, method):
                    continue
                if method not in workers:
                    python = sys.executable if method == OURS else pyod_python
                    workers[method] = Worker(python, method, cores)
                rows.append(measure_one(workers[method], problem, method, seed, Path(folder)))
                write_results(rows, cores)
                print(rows[-1], flush=True)
    for worker in workers.values():
        worker.close()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pyod-python", help="the Python of the environment that has PyOD and torch")
    parser.add_argument("--cores", type=int, default=1, help="cores for every method (default: 1)")
    parser.add_argument("--groups", nargs="+", help="only these, such as Tables MNIST")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--tables", action="store_true", help="measure nothing, only write the page's tables")
    arguments = parser.parse_args()
    if not arguments.tables:
        if arguments.pyod_python is None and arguments.methods != [OURS]:
            parser.error("--pyod-python is missing: the text above says how to make that environment.")
        run(arguments.pyod_python or "", arguments.cores, arguments.groups, arguments.methods)
    write_tables()
    print(f"tables written to {PAGE.relative_to(PROJECT)}")


if __name__ == "__main__":
    main()
