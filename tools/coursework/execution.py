"""Runs a restored notebook in a closed-up process, and lets no cell pass that did not pass by itself.

The kernel runs in the environment of the book, in a folder in which nothing lies: a check reaches it only
when it is that check's turn. Before each graded cell the functions that checks rely on are compared with
what they were before the first answer; the cell must end with a word drawn for this run; and at the end a
cell that must fail has to fail. (Answers and checks still share a process. Whoever knows this code and
Python well can fool it; what looks like an attempt is noted for a person.)
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_output
from nbgrader.preprocessors import NbGraderPreprocessor
from nbgrader.utils import is_grade

from tools.coursework.places import BOOK_PYTHON, PROJECT, Limits
from tools.coursework.sandbox import granted

# Compares what checks rely on with what it was; runs in the kernel, under a name that changes each time.
_GUARD = '''
def _make():
    import builtins, sys, types
    import matplotlib.pyplot
    from IPython import get_ipython
    from matplotlib_inline import backend_inline

    # A first figure sets these two going by itself.
    drawing = matplotlib.pyplot._draw_all_if_interactive, backend_inline.flush_figures

    names = """builtins numpy numpy.testing numpy.linalg numpy.random sklearn.metrics
               IPython.core.interactiveshell ipykernel.zmqshell ipykernel.ipkernel
               dae_utils.scoring dae_utils.evaluation dae_utils.corruptions dae_utils.probes
               dae_utils.training dae_utils.heartbeats dae_utils.datasets dae_utils.models""".split()
    owners = [sys.modules[name] for name in names if name in sys.modules]
    classes = ("InteractiveShell", "ZMQInteractiveShell", "IPythonKernel")
    owners += [getattr(o, n) for o in owners for n in classes if hasattr(o, n)]
    known = [(o, n, v) for o in owners for n, v in vars(o).items() if callable(v) and n not in ("_", "input")]
    shell = get_ipython()
    kernel = shell.kernel
    methods = """run_cell run_cell_async run_code showtraceback do_execute run_ast_nodes
                 execute_request""".split()
    own = [(o, n) for o in (shell, kernel) for n in methods]
    shadows = "__import__ AssertionError isinstance len all any abs print".split()

    def hooks():
        callbacks = sum(f not in drawing for fs in shell.events.callbacks.values() for f in fs)
        transformers = len(shell.ast_transformers), len(shell.input_transformers_post)
        return *transformers, callbacks, sys.gettrace() is None, sys.getprofile() is None

    before = hooks()

    def verify():
        changed = [f"{getattr(o, '__name__', o)}.{n}" for o, n, v in known if vars(o).get(n) is not v]
        changed += [f"{type(o).__name__}.{n}" for o, n in own if n in vars(o)]
        if hooks() != before:
            changed.append("hooks of the kernel")
        changed += [n for n in shadows if n in shell.user_ns]
        if changed:
            text = "checks cannot be trusted, since these were replaced: "
            raise RuntimeError(text + ", ".join(changed[:5]))

    module = types.ModuleType(NAME)
    module.verify, module.say = verify, builtins.print
    sys.modules[NAME] = module

_make()
del _make
'''


class Client(NotebookClient):
    """A client that keeps a cell's output within bounds."""

    most_bytes = 2**18

    def output(
        self, outs: list[NotebookNode], msg: Any, display_id: Any, cell_index: int
    ) -> NotebookNode | None:
        """Take an output, unless the cell has said too much already."""
        spent = getattr(self, "_spent", {})
        self._spent = spent
        size = len(json.dumps(msg.get("content", {}), default=str))
        before = spent.get(cell_index, 0)
        spent[cell_index] = before + size
        if before + size > self.most_bytes and msg["msg_type"] != "error":
            if before <= self.most_bytes:
                outs.append(
                    new_output("stream", name="stdout", text="\n(the rest of the output was dropped)\n")
                )
            return None
        return super().output(outs, msg, display_id, cell_index)


class Watch(threading.Thread):
    """Ends a kernel and all that it started when together they use too much memory or too many processes."""

    def __init__(self, pid: int, limits: Limits) -> None:
        super().__init__(daemon=True)
        self.pid, self.limits = pid, limits
        self.done = threading.Event()
        self.reason = ""

    def run(self) -> None:
        """Look four times a second until told to stop."""
        while not self.done.wait(0.25):
            family = _family(self.pid)
            resident = 0
            for process in family:
                with contextlib.suppress(psutil.Error):
                    resident += process.memory_info().rss
            if resident > self.limits.memory_mb * 2**20:
                self.reason = f"more than {self.limits.memory_mb} MiB of memory were in use"
            elif len(family) > self.limits.processes:
                self.reason = f"more than {self.limits.processes} processes were running"
            if self.reason:
                end_family(self.pid)
                return


def _family(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.Error:
        return []


def end_family(pid: int) -> None:
    """Kill a process and all of its descendants, and nothing else."""
    for process in reversed(_family(pid)):
        with contextlib.suppress(psutil.Error):
            process.kill()


class Kernel(AsyncKernelManager):
    """Starts the kernel of the book's environment in the sandbox, reached through sockets in its folder."""

    folder = ""
    config_of_sandbox = "{}"

    @property
    def kernel_spec(self) -> KernelSpec:
        """The command; the kernel itself is an ordinary one."""
        program = [str(BOOK_PYTHON), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        quiet = ["--HistoryManager.enabled=False", "--IPKernelApp.parent_handle=0"]
        sandbox = [sys.executable, str(Path(__file__).with_name("sandbox.py"))]
        return KernelSpec(
            argv=[*sandbox, self.folder, self.config_of_sandbox, *program, *quiet],
            display_name="the book's, closed up",
            language="python",
        )


def _environment(folder: Path) -> dict[str, str]:
    """Return the settings of the kernel: nothing of the teacher's but what Python and the data need."""
    kept = ("PATH", "LANG", "LC_ALL", "TZ", "SYSTEMROOT", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    for name in ("home", "tmp", "work"):
        (folder / name).mkdir(exist_ok=True)
    data = os.environ.get("DAE_DATA_DIR")
    if not data:
        cache = {"darwin": Path.home() / "Library" / "Caches", "win32": Path.home()}.get(sys.platform)
        cache = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        data = str(cache / "deep-autoencoders")
    return environment | {
        "DAE_DATA_DIR": data,
        "DAE_PROFILE": "full",
        "DAE_PROGRESS": "0",
        "HOME": str(folder / "home"),
        "IPYTHONDIR": str(folder / "home" / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(folder / "r"),
        "MPLCONFIGDIR": str(folder / "home"),
        "MPLBACKEND": "agg",
        "NUMBA_CACHE_DIR": str(folder / "tmp"),
        "NUMBA_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(PROJECT),
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_NUM_INTEROP_THREADS": "1",
        "TMPDIR": str(folder / "tmp"),
    }


@contextlib.contextmanager
def _own_folder() -> Iterator[Path]:
    # A short path: the name of a socket may have about a hundred characters.
    folder = Path(tempfile.mkdtemp(prefix="dae-")).resolve()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _error(name: str, text: str) -> NotebookNode:
    return new_output("error", ename=name, evalue=text, traceback=[f"{name}: {text}"])


class ExecuteClosedUp(NbGraderPreprocessor):
    """nbgrader's step Execute, in the sandbox. Remarks for a person are in the notebook's metadata."""

    limits = Limits()
    hide: tuple[str, ...] = ()

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        """Run all cells, each with its time limit, and return the notebook with outputs."""
        with _own_folder() as folder:
            remarks = asyncio.run(self._run(nb, folder))
        nb.metadata["remarks"] = list(dict.fromkeys(remarks))
        return nb, resources

    async def _run(self, nb: NotebookNode, folder: Path) -> list[str]:
        limits = self.limits
        manager = Kernel(connection_file=str(folder / "r" / "k.json"))
        (folder / "r").mkdir()
        if granted()["network"]:
            # A kernel without a network is reached through files.
            manager.transport = "ipc"
            manager.ip = str(folder / "r" / "s")
        manager.folder = str(folder)
        manager.config_of_sandbox = json.dumps({"hide": list(self.hide), "file_mb": limits.file_mb})
        client = Client(
            nb,
            km=manager,
            timeout=int(limits.cell_seconds),
            startup_timeout=120,
            interrupt_on_timeout=True,
            error_on_timeout={
                "ename": "TimeoutError",
                "evalue": f"this cell was stopped after {limits.cell_seconds:.0f} seconds",
                "traceback": [f"TimeoutError: this cell was stopped after {limits.cell_seconds:.0f} seconds"],
            },
            allow_errors=True,
            store_widget_state=False,
            record_timing=False,
            # Waits that long for outputs that are still on their way.
            iopub_timeout=4,
        )
        client.most_bytes = limits.output_kb * 2**10
        client.reset_execution_trackers()
        await client.async_start_new_kernel(env=_environment(folder), cwd=str(folder / "work"))
        pid = manager.provisioner.pid
        watch = Watch(pid, limits)
        watch.start()
        try:
            await client.async_start_new_kernel_client()
            return await self._cells(client, nb, watch)
        finally:
            watch.done.set()
            if client.kc is not None:
                client.kc.stop_channels()
            end_family(pid)
            with contextlib.suppress(Exception):
                await asyncio.wait_for(manager.shutdown_kernel(now=True), 10)

    async def _cells(self, client: Client, nb: NotebookNode, watch: Watch) -> list[str]:
        begin = time.monotonic()
        word, guard = secrets.token_hex(16), f"_{secrets.token_hex(8)}"
        guarded, stopped, remarks = False, "", []
        passed: list[NotebookNode] = []
        for index, cell in enumerate(nb.cells):
            if cell.cell_type != "code":
                continue
            if not stopped and time.monotonic() - begin > self.limits.total_seconds:
                stopped = f"all cells together may take {self.limits.total_seconds:.0f} seconds"
                remarks.append("the time was up")
            if stopped:
                cell.outputs = [_error("NotRun", f"this cell was not run: {stopped}")]
                continue
            try:
                if not guarded:
                    # The set-up is the first code cell, and not the student's.
                    await client.async_execute_cell(cell, index)
                    await self._silently(client, f"NAME = {guard!r}\n{_GUARD}\ndel NAME")
                    guarded = True
                elif is_grade(cell):
                    if await self._graded(client, cell, index, word, guard, remarks):
                        passed.append(cell)
                else:
                    await client.async_execute_cell(cell, index)
            except DeadKernelError:
                stopped = watch.reason or "the program had ended"
                text = watch.reason or "the program ended while this cell was running"
                cell.outputs = [*cell.outputs, _error("Ended", text)]
                remarks.append(watch.reason or "the program was ended from within")
                continue
            except CellExecutionError as error:
                cell.outputs = [*cell.outputs, _error(error.ename, error.evalue)]
            except Exception as error:
                # Whatever the kernel sent could not be understood: the cell has not passed.
                cell.outputs = [
                    _error("Unreadable", f"the answer of the kernel made no sense ({type(error).__name__})")
                ]
                remarks.append("the kernel sent what makes no sense")
            # Stopped at its time limit, a cell ends with either: its own interrupt may come first.
            stops = ("TimeoutError", "KeyboardInterrupt")
            if any(o.output_type == "error" and o.ename in stops for o in cell.outputs):
                remarks.append(
                    f"{cell.metadata.get('nbgrader', {}).get('grade_id', 'an added cell')} took too long"
                )
                if not await self._answers(client):
                    end_family(watch.pid)
                    stopped = "an earlier cell could not be stopped"
        if guarded and not stopped and not await self._honest(client, word, guard):
            remarks.append("errors were kept from being seen: no check counts")
            for cell in passed:
                cell.outputs = [_error("Tampered", "errors were kept from being seen, so no check counts")]
        return remarks

    async def _graded(
        self, client: Client, cell: NotebookNode, index: int, word: str, guard: str, remarks: list[str]
    ) -> bool:
        """Run a check: it passes when what it relies on is in place, and its end is reached without error."""
        before = await self._silently(client, f"__import__('sys').modules[{guard!r}].verify()")
        errors = [o for o in before if o.output_type == "error"]
        if errors:
            cell.outputs = [_error("Tampered", errors[0].evalue)]
            remarks.append(errors[0].evalue)
            return False
        source = cell.source
        cell.source = f"{source}\n__import__('sys').modules[{guard!r}].say({word!r})"
        try:
            await client.async_execute_cell(cell, index)
        finally:
            cell.source = source
        printed = "".join(o.text for o in cell.outputs if o.output_type == "stream" and o.name == "stdout")
        failed = any(o.output_type == "error" for o in cell.outputs)
        kept = []
        for output in cell.outputs:
            if output.output_type == "stream":
                output.text = output.text.replace(word + "\n", "")
                # A warning of a library is no failure, but nbgrader takes it for one.
                if not output.text or output.name == "stderr":
                    continue
            kept.append(output)
        cell.outputs = kept
        if not failed and printed.count(word) != 1:
            cell.outputs.append(_error("NotFinished", "the check did not reach its end"))
            remarks.append("a check did not reach its end")
            failed = True
        return not failed

    async def _silently(self, client: Client, code: str) -> list[NotebookNode]:
        """Run code that is not part of the notebook, and return its outputs."""
        cell = new_code_cell(code)
        notebook, client.nb = client.nb, NotebookNode(cells=[cell], metadata={})
        try:
            with contextlib.suppress(CellExecutionError):
                await client.async_execute_cell(cell, 0, store_history=False)
        finally:
            client.nb = notebook
        return cell.outputs

    async def _answers(self, client: Client) -> bool:
        """Return whether the kernel does as it is told within ten seconds."""
        timeout, client.timeout = client.timeout, 10
        try:
            outputs = await self._silently(client, "print('here')")
        except Exception:
            return False
        finally:
            client.timeout = timeout
        return any(o.output_type == "stream" and "here" in o.text for o in outputs)

    async def _honest(self, client: Client, word: str, guard: str) -> bool:
        """Return whether a cell that must fail is seen to fail, and the guard is still content."""
        try:
            canary = await self._silently(client, f"assert 1 + 1 == 3, {word!r}")
            verdict = await self._silently(client, f"__import__('sys').modules[{guard!r}].verify()")
        except Exception:
            return False
        seen = any(o.output_type == "error" and word in o.evalue for o in canary)
        return seen and not any(o.output_type == "error" for o in verdict)
