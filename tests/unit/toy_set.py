"""A data set of 36 kB in a toy format, and other helpers for the tests of `dae_utils.data`."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from dae_utils.data.download import Limits
from dae_utils.data.routes import LocalFolder, OfficialHost, Route
from dae_utils.data.sources import ArraySpec, DataSource

X = np.random.default_rng(0).integers(0, 256, (60, 30, 20), dtype=np.uint8)
Y = np.arange(60, dtype=np.uint8)
BODY = X.tobytes() + Y.tobytes()
FILES = {"pair.bin": 100_000}
QUICK = Limits(connect=0.4, answer=0.4, window=0.4, slowest=50_000, pause=0.01, client=5, lock=20)
NOBODY = "http://127.0.0.1:9/"  # the port for discarding: nobody listens


def digest(array: np.ndarray) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


def decode(raw: dict[str, bytes]) -> dict[str, np.ndarray]:
    """The toy format: the images' bytes, then the labels'."""
    (body,) = raw.values()
    values = np.frombuffer(body, np.uint8)
    return {"x": values[: X.size].reshape(X.shape), "y": values[X.size :]}


def small_source(base_url: str, *others: Route) -> DataSource:
    """A data set of 36 kB with an official host at `base_url`."""
    return DataSource(
        key="pair",
        title="Pair",
        about="two arrays",
        licence="none",
        citation="nobody",
        arrays={"x": ArraySpec(X.shape, digest(X)), "y": ArraySpec(Y.shape, digest(Y))},
        routes=(LocalFolder(FILES, decode), OfficialHost(base_url, FILES, decode), *others),
    )


def flip(body: bytes) -> bytes:
    """The same bytes but for one bit in the middle."""
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]


def assert_good(arrays: dict[str, np.ndarray]) -> None:
    np.testing.assert_array_equal(arrays["x"], X)
    np.testing.assert_array_equal(arrays["y"], Y)


def assert_clear(error: BaseException, *words: str) -> None:
    """At most three lines, which name what is asked for and say what to do."""
    lines = str(error).splitlines()
    assert 1 <= len(lines) <= 3, lines
    assert lines[-1].startswith("Next: ")
    for word in words:
        assert word in str(error)


def contents(folder: Path) -> set[str]:
    """What the cache folder holds, empty lock files aside."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    locks = {name for name in names if name.endswith(".lock")}
    assert all((folder / name).stat().st_size == 0 for name in locks)
    return names - locks


def tar_file(path: Path, members: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:
        for name, body in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            tar.addfile(entry, io.BytesIO(body))
    return path


def run_python(code: str, *arguments: str, **settings: object) -> subprocess.Popen[str]:
    """Start another Python process that has this module's names."""
    start = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from toy_set import *\n"
    return subprocess.Popen(
        [sys.executable, "-c", start + code, *arguments], stdout=subprocess.PIPE, text=True, **settings
    )


def wait_until(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)
