"""Runs the notebooks in the ``full`` profile and stores their outputs in them.

``python -m tools.execute [--force] [--mend] [NOTEBOOK ...]``: one notebook at a time, in order. A notebook
whose outputs already come from exactly its code is skipped, so a series which was stopped goes on where it
was. A notebook's file is replaced only by a run that came to its end: any other leaves it, and its results,
as they were.

With ``--mend`` a cell that fails does not end the run. The kernel waits until its author has saved the
notebook again, with that cell mended and the code before it unchanged, and goes on from there: an hour of
training is not lost to a mistake in the last cell. What the cell did before its error stays done.

With ``--reuse`` a published network is loaded wherever all that decides its weights is as it was, so that a
change which touches no training need not repeat any. The time on record is then that of the run and of the
trainings that it left out, as long as these took when they were run.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import nbformat
import psutil
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode

from tools.check_notebooks import is_current
from tools.notebook_code import (
    NOTEBOOKS,
    PUBLISHED_PROFILE,
    STUDIES,
    code_cells,
    code_digest,
    find_notebooks,
    live_digest,
    live_files,
    name_of,
    read_notebook,
    results_digest,
    results_file,
    trained_digest,
    trained_files,
)

KERNEL_SETTINGS = {
    "DAE_PROFILE": PUBLISHED_PROFILE,
    "TF_CPP_MIN_LOG_LEVEL": "2",
    # Bars are for somebody who watches; stored, they are noise.
    "DAE_PROGRESS": "0",
    # Train, whatever is published, and store the networks.
    "DAE_TRAIN": "publish",
    "TQDM_DISABLE": "1",
    # TensorFlow's faster kernels, which it leaves out by default on some processors.
    "TF_ENABLE_ONEDNN_OPTS": "1",
    # Figures are stored, whatever backend the shell has chosen for scripts.
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    # The project's own kernel, not one of the same name that the user has elsewhere.
    "JUPYTER_PREFER_ENV_PATH": "1",
}
SECONDS_BETWEEN_MEMORY_READINGS = 0.25
SECONDS_BETWEEN_LOOKS_FOR_A_MEND = 0.5
LINES_OF_AN_ERROR = 12

_TERMINAL_CODES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class RunFailedError(RuntimeError):
    """A notebook did not come to its end; the message says where and why."""


class MemoryWatch:
    """Reads the memory of a process and of those that it started until told to stop, and keeps the peak."""

    def __init__(self, process_id: int) -> None:
        self._process = psutil.Process(process_id)
        self._stopped = threading.Event()
        self._peak_bytes = 0
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """Stop reading and return the peak in megabytes; may be called twice."""
        self._stopped.set()
        self._thread.join()
        return round(self._peak_bytes / 1e6)

    def _read(self) -> None:
        while True:
            try:
                family = [self._process, *self._process.children(recursive=True)]
                total = sum(member.memory_info().rss for member in family)
                self._peak_bytes = max(self._peak_bytes, total)
            except psutil.NoSuchProcess:
                # One that ended while it was being read; when the kernel itself is gone, stop() follows.
                pass
            if self._stopped.wait(SECONDS_BETWEEN_MEMORY_READINGS):
                return


# What to do about a failed cell: given its index and the error, return the notebook with that cell mended.
Mend = Callable[[int, "RunFailedError"], NotebookNode]


def run_notebook(
    path: Path, mend: Mend | None = None, settings: Mapping[str, str] | None = None, reuse: bool = False
) -> NotebookNode:
    """Run a notebook from top to bottom in a kernel of its own and return it with its new outputs and record.

    Args:
        path: of the notebook.
        mend: asked for a mended notebook when a cell fails; without it the run ends there.
        settings: environment variables that differ from those of a published run.
        reuse: load the published networks that are up to date, and add the time of their training.

    Raises:
        RunFailedError: a cell ended with an error, or the kernel died.
    """
    notebook = read_notebook(path)
    client = NotebookClient(
        notebook,
        timeout=None,
        kernel_name="python3",
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": str(path.parent)}},
    )
    settings = dict(settings or {})
    notes_before: dict[Path, bytes] = {}
    if reuse:
        settings["DAE_TRAIN"] = "reuse"
        notes_before = {file: file.read_bytes() for file in trained_files(path) if file.suffix == ".json"}
    started = time.perf_counter()
    # Cell by cell instead of client.execute(), which takes Ctrl-C for a kernel that died.
    with client.setup_kernel(env={**os.environ, **KERNEL_SETTINGS, **settings}):
        memory = MemoryWatch(client.km.provisioner.pid)
        try:
            cells_seconds, seconds_waited = _run_cells(client, notebook, mend)
        except DeadKernelError as error:
            raise RunFailedError(
                f"the kernel died, with {memory.stop()} MB in use: often the machine's memory is full"
            ) from error
        finally:
            peak = memory.stop()
    seconds = time.perf_counter() - started - seconds_waited
    # A note that is as it was belongs to a training that was left out.
    seconds += sum(
        json.loads(note)["seconds"] for file, note in notes_before.items() if file.read_bytes() == note
    )

    normalise(notebook)
    notebook.metadata["dae"] = {
        "code_digest": code_digest(notebook),
        "results_digest": results_digest(results_file(path)),
        "live_digest": live_digest(path),
        "trained_digest": trained_digest(path),
        "profile": PUBLISHED_PROFILE,
        "seconds": round(seconds, 1),
        "peak_memory_mb": peak,
        "cells_seconds": cells_seconds,
        "versions": installed_versions(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "executed": datetime.date.today().isoformat(),
    }
    return notebook


def _run_cells(
    client: NotebookClient, notebook: NotebookNode, mend: Mend | None
) -> tuple[list[float], float]:
    """Run the code cells in order and say how it goes.

    Returns the seconds that each took, and those spent waiting for mends.
    """
    cells_seconds: list[float] = []
    seconds_waited, index = 0.0, 0
    while index < len(notebook.cells):
        cell = notebook.cells[index]
        if cell.cell_type != "code":
            index += 1
            continue
        if not cell.source.strip():
            cell.outputs, cell.execution_count = [], None
            index += 1
            continue
        number, count = len(cells_seconds) + 1, len(code_cells(notebook))
        first_line = cell.source.strip().splitlines()[0][:60]
        print(f"  cell {number:3} of {count}  {first_line:60}", end="", flush=True)
        started = time.perf_counter()
        try:
            client.execute_cell(cell, index, execution_count=number)
        except CellExecutionError as error:
            failure = RunFailedError(
                f"cell {number} of {count} failed ({first_line}):\n{_last_lines(error.traceback)}"
            )
            if mend is None:
                raise failure from error
            waiting_since = time.perf_counter()
            index = _take_over(notebook, mend(index, failure), index)
            seconds_waited += time.perf_counter() - waiting_since
            continue
        cells_seconds.append(round(time.perf_counter() - started, 2))
        print(f"{cells_seconds[-1]:9.1f} s", flush=True)
        for output in cell.outputs:
            if output.output_type == "stream" and output.name == "stderr":
                # Not stored, but the author has to see it.
                print("    stderr: " + output.text.strip().replace("\n", "\n    "), file=sys.stderr)
        index += 1
    return cells_seconds, seconds_waited


def _take_over(notebook: NotebookNode, mended: NotebookNode, failed: int) -> int:
    """Put the cells of a mended notebook in place, with the outputs so far; return where the run goes on."""
    done = [cell for cell in notebook.cells[:failed] if cell.cell_type == "code"]
    places = [place for place, cell in enumerate(mended.cells) if cell.cell_type == "code"]
    for cell, place in zip(done, places, strict=False):
        mended.cells[place].update(outputs=cell.outputs, execution_count=cell.execution_count)
    notebook.cells = mended.cells
    return places[len(done)]


def normalise(notebook: NotebookNode) -> None:
    """Take out of a notebook, in place, what differs from run to run or shows nothing in the book."""
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata.pop("widgets", None)
    notebook.metadata["kernelspec"] = {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    }
    notebook.metadata["language_info"] = {
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "pygments_lexer": "ipython3",
    }
    for number, cell in enumerate(notebook.cells, 1):
        cell.setdefault("id", f"cell-{number}")
        if cell.cell_type != "code":
            continue
        for key in ("execution", "ExecuteTime"):
            cell.metadata.pop(key, None)
        kept: list[NotebookNode] = []
        for output in cell.outputs:
            if _is_noise(output):
                continue
            # One print may arrive in two pieces, and does not in the next run.
            if output.output_type == "stream" and kept and kept[-1].output_type == "stream":
                kept[-1].text += output.text
            else:
                kept.append(output)
        cell.outputs = kept


def store(notebook: NotebookNode, path: Path) -> None:
    """Replace a notebook's file in one step, so that it is never seen half written."""
    part = path.with_name(path.name + ".part")
    try:
        nbformat.write(notebook, part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def execute(path: Path, wait_for_mends: bool = False, reuse: bool = False) -> None:
    """Run one notebook, replace its file by the executed one, and print its time and peak memory.

    Args:
        path: of the notebook.
        wait_for_mends: whether a failed cell may be mended, see the top of this file.
        reuse: whether published networks that are up to date are loaded, see there too.

    Raises:
        RunFailedError: it did not come to its end, or was edited meanwhile. File and results are as before.
    """
    with _results_kept_on_failure(path, reuse):
        expected = path.read_bytes()

        def mend(failed: int, failure: RunFailedError) -> NotebookNode:
            nonlocal expected
            expected, notebook = _wait_for_mend(path, expected, failed, failure)
            return notebook

        notebook = run_notebook(path, mend if wait_for_mends else None, reuse=reuse)
        if path.read_bytes() != expected:
            raise RunFailedError(
                "the file was edited during the run, so its outputs are given up: run it again"
            )
        store(notebook, path)
    record = notebook.metadata["dae"]
    print(f"  done in {record['seconds']:.0f} s, peak memory {record['peak_memory_mb']} MB")


def _wait_for_mend(
    path: Path, contents: bytes, failed: int, failure: RunFailedError
) -> tuple[bytes, NotebookNode]:
    """Return file and notebook as soon as it is saved again, with the code before the failed cell unchanged.

    Raises:
        RunFailedError: it was saved with other code before the failed cell.
    """
    print(f"\n{path.stem}: {failure}", file=sys.stderr)
    print(
        f"{path.stem}: mend that cell and save the notebook, and the run goes on; Ctrl-C gives it up",
        file=sys.stderr,
        flush=True,
    )
    before = _sources(nbformat.reads(contents.decode(), as_version=4).cells[:failed])
    while True:
        time.sleep(SECONDS_BETWEEN_LOOKS_FOR_A_MEND)
        if (now := path.read_bytes()) == contents:
            continue
        contents = now
        try:
            # From the bytes that were just read: the file itself may be saved once more meanwhile.
            notebook = nbformat.reads(contents.decode(), as_version=4)
        except ValueError:
            continue  # an editor that is still writing it
        sources = _sources(notebook.cells)
        if sources[: len(before)] != before or len(sources) == len(before):
            raise RunFailedError("code before the failed cell was changed, so its outputs are given up")
        return contents, notebook


def _sources(cells: list[NotebookNode]) -> list[str]:
    return [cell.source for cell in cells if cell.cell_type == "code"]


@contextmanager
def _results_kept_on_failure(path: Path, keep_networks: bool) -> Iterator[None]:
    """Put what the notebook writes (results, live files, networks) back when it does not come to its end."""
    before = {file: file.read_bytes() for file in _written(path)}
    for file in (*live_files(path), *(() if keep_networks else trained_files(path))):
        file.unlink()  # or one that this run no longer writes would stay
    try:
        yield
    except BaseException:
        for file in _written(path):
            if file not in before:
                file.unlink()
        for file, content in before.items():
            file.write_bytes(content)
        raise


def _written(path: Path) -> list[Path]:
    files = (results_file(path), *live_files(path), *trained_files(path))
    return [file for file in files if file.is_file()]


def _is_noise(output: NotebookNode) -> bool:
    return (output.output_type == "stream" and output.name == "stderr") or any(
        "widget" in kind for kind in output.get("data", {})
    )


def installed_versions() -> dict[str, str]:
    # On Linux the lock takes TensorFlow under its second name.
    distributions = {
        "tensorflow": ("tensorflow-cpu", "tensorflow"),
        "keras": ("keras",),
        "numpy": ("numpy",),
        "dae_utils": ("dae-utils",),
    }
    found = {"python": platform.python_version()}
    for name, candidates in distributions.items():
        for candidate in candidates:
            try:
                found[name] = version(candidate)
                break
            except PackageNotFoundError:
                continue
    return found


def _last_lines(traceback: str) -> str:
    lines = [line for line in _TERMINAL_CODES.sub("", traceback).splitlines() if line.strip()]
    return "\n".join("    " + line for line in lines[-LINES_OF_AN_ERROR:])


def chosen_notebooks(names: list[str]) -> list[Path]:
    """Return the notebooks of these names (a path, or the name with or without its ending), or all.

    Raises:
        FileNotFoundError: there is none of that name, or none at all.
    """
    paths = []
    for name in names:
        candidates = [Path(name)]
        for folder in (NOTEBOOKS, NOTEBOOKS / STUDIES):
            candidates += [folder / name, folder / f"{name}.ipynb"]
        found = next((path for path in candidates if path.is_file()), None)
        if found is None:
            known = ", ".join(map(name_of, find_notebooks()))
            raise FileNotFoundError(f"There is no notebook {name!r}. There are: {known or 'none'}")
        paths.append(found)
    paths = paths or find_notebooks()
    if not paths:
        raise FileNotFoundError("There is no notebook in notebooks/.")
    return paths


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line names; return 0, 1 when a notebook failed, or 130 when stopped."""
    parser = argparse.ArgumentParser(prog="python -m tools.execute", description=__doc__)
    parser.add_argument("--force", action="store_true", help="run even what is up to date")
    parser.add_argument("--mend", action="store_true", help="wait for the author when a cell fails")
    parser.add_argument("--reuse", action="store_true", help="load published networks that are up to date")
    parser.add_argument("notebook", nargs="*", help="a notebook's name or path (these are run in any case)")
    options = parser.parse_args(arguments)
    try:
        paths = chosen_notebooks(options.notebook)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 1

    failed = []
    for path in paths:
        if not (options.force or options.notebook) and is_current(path, read_notebook(path)):
            print(f"{path.stem}: up to date")
            continue
        print(f"{path.stem}: running")
        try:
            execute(path, options.mend, options.reuse)
        except RunFailedError as error:
            print(f"\n{path.stem}: {error}\n{path.stem}: the file is as it was before", file=sys.stderr)
            failed.append(path.stem)
        except KeyboardInterrupt:
            print(f"\n{path.stem}: stopped; the file is as it was before", file=sys.stderr)
            return 130
    if failed:
        print(f"FAILED: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    # A stop from outside is handled like Ctrl-C: the kernel ends, and the results are put back.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
