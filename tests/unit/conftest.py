"""What several unit tests use: a local HTTP server in the part of a host, faults included, and a network."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import keras

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers GET requests as the test has laid down."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Look the answer up by file name; 404 when there is none."""
        host: LocalHost = self.server.host
        name = self.path.rpartition("/")[2]
        host.requests.append(name)
        answer = host.answers.get(name)
        self.close_connection = True
        try:
            if answer is None:
                self.send_error(404)
            elif isinstance(answer, bytes):
                self.head(len(answer))
                self.wfile.write(answer)
            else:
                answer(self)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the client gave up, which some tests want

    def head(self, length: int) -> None:
        """Send a good status line and a length."""
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


class LocalHost:
    """The server: `answers` by file name (bytes, or a function that speaks HTTP), and `requests` so far."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes | Answer] = {}
        self.requests: list[str] = []
        self.closing = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.host = self
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Let waiting answers go and stop."""
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()

    def status(self, code: int) -> Answer:
        """Return an answer with this status."""
        return lambda handler: handler.send_error(code)

    def cut_short(self, body: bytes) -> Answer:
        """Return an answer which promises the whole body and sends half of it."""

        def answer(handler: Handler) -> None:
            handler.head(len(body))
            handler.wfile.write(body[: len(body) // 2])

        return answer

    def silence(self) -> Answer:
        """Return an answer which never comes."""
        return lambda handler: self.closing.wait()

    def stall(self, body: bytes) -> Answer:
        """Return an answer which sends half of the body and then nothing more."""

        def answer(handler: Handler) -> None:
            handler.head(len(body))
            handler.wfile.write(body[: len(body) // 2])
            handler.wfile.flush()
            self.closing.wait()

        return answer

    def drip(self, body: bytes, piece: int, pause: float) -> Answer:
        """Return an answer which sends `piece` bytes every `pause` seconds."""

        def answer(handler: Handler) -> None:
            handler.head(len(body))
            for start in range(0, len(body), piece):
                handler.wfile.write(body[start : start + piece])
                handler.wfile.flush()
                if self.closing.wait(pause):
                    return

        return answer

    def late(self, body: bytes, pause: float) -> Answer:
        """Return a good answer after `pause` seconds."""

        def answer(handler: Handler) -> None:
            time.sleep(pause)
            handler.head(len(body))
            handler.wfile.write(body)

        return answer

    def in_turn(self, *answers: bytes | Answer) -> Answer:
        """Return an answer which is another one at each request; the last one stays."""
        left = list(answers)

        def answer(handler: Handler) -> None:
            now = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(now, bytes):
                handler.head(len(now))
                handler.wfile.write(now)
            else:
                now(handler)

        return answer


@pytest.fixture
def official_host(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHost]:
    """A local server in the part of the official host."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    host = LocalHost()
    yield host
    host.close()


@pytest.fixture
def mirror() -> Iterator[LocalHost]:
    """A second server, in the part of another route."""
    host = LocalHost()
    yield host
    host.close()


@pytest.fixture
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, named by DAE_DATA_DIR and not made yet; no folder of downloads by hand."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("DAE_DATA_DIR", str(folder))
    monkeypatch.delenv("DAE_DOWNLOADS", raising=False)
    return folder


@pytest.fixture(scope="module")
def keras_autoencoder() -> keras.Model:
    """An untrained autoencoder of samples of shape (5, 2), with layers named "encoder" and "decoder"."""
    # Most unit tests need no Keras, and all of them load this file.
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    encoder = keras.Sequential(
        [
            keras.Input((5, 2)),
            layers.Flatten(),
            layers.Dense(7, activation="relu", name="hidden"),
            layers.Dropout(0.5),
            layers.Dense(3, activation="relu", name="code"),
        ],
        name="encoder",
    )
    decoder = keras.Sequential(
        [keras.Input((3,)), layers.Dense(10, activation="sigmoid"), layers.Reshape((5, 2))], name="decoder"
    )
    x = keras.Input((5, 2))
    return keras.Model(x, decoder(encoder(x)))
