"""A small web service around an encoder: send images, get their codes, or the images most like them.

    python -m dae_utils.serving encoder.keras                       codes only
    python -m dae_utils.serving encoder.keras --images images.npy   and search among these images

It answers on this machine only (127.0.0.1) unless told otherwise. Who can reach it can use it, unless the
setting `DAE_SERVING_TOKEN` names a secret: then a request has to carry it, as `Authorization: Bearer SECRET`.
A client that takes longer than ten seconds to send what it wants is sent away.

    GET  /health    what is served
    POST /encode    {"images": [image, ...]}           -> {"codes": [[...], ...]}
    POST /search    {"images": [image, ...], "k": 5}   -> {"ids": [[...], ...], "distances": [[...], ...]}

An image is a nested list of numbers in [0, 1] in the shape that /health names, or the same numbers in one
row. One image can be sent as a PNG file instead: the file is the body, its header is `Content-Type:
image/png`, and k is part of the address, as in /search?k=5. Whatever cannot be answered is refused with a
status from 400 to 499 and one line that says why, under "detail".
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
import io
import json
import math
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

import faiss
import keras
import numpy as np
from fastapi import FastAPI, HTTPException, Request
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from dae_utils.networks.inner import predict_in_batches
from dae_utils.validation import check_count, check_samples, check_unit_interval

__all__ = ["create_app", "main"]

# Of a PNG; with 16 bits a pixel or with transparency it would not be clear what the numbers mean.
_MODES = ("1", "L", "P", "RGB")

# As many requests are read at the same time, so that reading cannot fill the memory.
_READ_AT_ONCE = 4
# In JSON a number takes at most as many characters, with its comma.
_LONGEST_NUMBER = 26


def create_app(
    encoder: keras.Model,
    database: ArrayLike | None = None,
    *,
    image_shape: Sequence[int] | None = None,
    most_images: int = 64,
    most_bytes: int | None = None,
    most_neighbours: int = 100,
    token: str | None = None,
    seconds_to_send: float = 10.0,
) -> FastAPI:
    """Return a web application that encodes images and searches for similar ones.

    It may be asked by many at once: requests that wait are encoded together. /health is answered at any time.

    Args:
        encoder: a model from images to codes, shape (n, code size).
        database: codes of the images to search in, shape (n, code size), kept as float32; without them there
            is no search. The id of an image is its row.
        image_shape: height, width and, in colour, 3. By default the input shape of the encoder; for one that
            takes rows of numbers, the square of that size where there is one.
        most_images: of one request.
        most_bytes: of the body of one request; by default what so many images can take.
        most_neighbours: the largest k that may be asked for.
        token: a secret that every request but /health must carry; None: none is needed.
        seconds_to_send: what a client has for the body of its request.

    Raises:
        ValueError: an encoder that gives no finite codes, a shape that does not fit it, or a database that
            does not.
    """
    inputs = tuple(encoder.input_shape[1:])
    shape = _image_shape(inputs, image_shape)
    check_count(most_images, "most_images")
    if most_bytes is None:
        most_bytes = 2**16 + most_images * math.prod(shape) * _LONGEST_NUMBER
    for limit, name in ((most_bytes, "most_bytes"), (most_neighbours, "most_neighbours")):
        check_count(limit, name)

    def encode_all(images: NDArray[np.float32]) -> NDArray[np.float32]:
        codes = predict_in_batches(encoder, images.reshape(-1, *inputs))
        if isinstance(codes, list):
            raise ValueError("the encoder must give one output, the codes, not several.")
        return np.asarray(codes, np.float32)

    encode = _Together(encode_all)
    sample = encode(np.zeros((1, *shape), np.float32))
    if sample.ndim != 2 or not np.isfinite(sample).all():
        raise ValueError(f"the encoder must give finite codes of shape (n, code size), not {sample.shape}.")
    index = None if database is None else _index(database, sample.shape[1])
    app = FastAPI(title="Encoder", docs_url=None, redoc_url=None, openapi_url=None)

    reading = asyncio.Semaphore(_READ_AT_ONCE)

    # In the loop itself, so that no work can keep it waiting for a thread.
    @app.get("/health")
    async def health() -> dict[str, Any]:
        n_images = 0 if index is None else index.ntotal
        return {
            "status": "ok",
            "image_shape": shape,
            "code_size": sample.shape[1],
            "images_to_search": n_images,
            "most_images": most_images,
        }

    async def answer(
        request: Request, work: Callable[[NDArray[np.float32], Any], dict[str, Any]]
    ) -> dict[str, Any]:
        if token is not None and not _carries(request, token):
            raise HTTPException(401, "send the token of this server: Authorization: Bearer TOKEN.")
        body = await _body(request, most_bytes, seconds_to_send)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        query = request.query_params.get("k")

        # Not in the loop that serves everybody: the next request would have to wait even for its refusal.
        async with reading:
            images, k = await run_in_threadpool(_read, body, kind, query, shape, most_images)
        return await run_in_threadpool(work, images, k)

    @app.post("/encode")
    async def encode_images(request: Request) -> dict[str, Any]:
        def work(images: NDArray[np.float32], k: Any) -> dict[str, Any]:
            if k is not None:
                raise HTTPException(422, "k belongs to /search; /encode takes none.")
            return {"codes": encode(images).tolist()}

        return await answer(request, work)

    @app.post("/search")
    async def search(request: Request) -> dict[str, Any]:
        def work(images: NDArray[np.float32], k: Any) -> dict[str, Any]:
            if index is None:
                raise HTTPException(404, "this server was started without images to search in.")
            k = _number_of_neighbours(k, min(most_neighbours, index.ntotal))
            squared, ids = index.search(encode(images), k)
            distances = np.sqrt(np.maximum(squared, 0))  # rounding may leave a hair below zero
            return {"ids": ids.tolist(), "distances": distances.tolist()}

        return await answer(request, work)

    return app


def _image_shape(inputs: tuple[int | None, ...], wanted: Sequence[int] | None) -> tuple[int, ...]:
    """Return the shape of one image for an encoder with this input shape."""
    sizes = tuple(size for size in inputs if size is not None)
    if len(sizes) < len(inputs):
        raise ValueError(f"the encoder takes inputs of any size {inputs}; serve one with a fixed size.")
    if wanted is None and len(sizes) == 1:
        side = math.isqrt(sizes[0])
        wanted = (side, side) if side * side == sizes[0] else sizes
    shape = tuple(wanted or sizes)
    if math.prod(shape) != math.prod(sizes):
        raise ValueError(f"image_shape {shape} does not fit an encoder that takes {inputs}.")
    return shape


def _index(database: ArrayLike, code_size: int) -> faiss.IndexFlatL2:
    """Return an exact index of the codes."""
    codes = check_samples(database, "database")
    if codes.ndim != 2 or codes.shape[1] != code_size:
        raise ValueError(f"database has shape {codes.shape}, but the codes have {code_size} numbers.")
    index = faiss.IndexFlatL2(code_size)
    index.add(np.ascontiguousarray(codes, np.float32))
    return index


class _Together:
    """Does for all who wait what each asked for, at once: a network takes little longer for many images."""

    def __init__(self, work: Callable[[NDArray[np.float32]], NDArray[np.float32]], most: int = 256) -> None:
        self._work, self._most = work, most
        self._waiting: list[tuple[NDArray[np.float32], list[Any]]] = []
        self._guard, self._turn = threading.Lock(), threading.Lock()

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        answer: list[Any] = []
        with self._guard:
            self._waiting.append((images, answer))
        # Whoever has the turn works for the others too; they find their answer when it is theirs.
        while not answer:
            with self._turn:
                if not answer:
                    self._serve()
        if isinstance(answer[0], Exception):
            raise answer[0]
        codes: NDArray[np.float32] = answer[0]
        return codes

    def _serve(self) -> None:
        with self._guard:
            sizes = np.cumsum([len(images) for images, _ in self._waiting])
            count = max(1, int(np.searchsorted(sizes, self._most, side="right")))
            taken, self._waiting = self._waiting[:count], self._waiting[count:]
        try:
            codes = self._work(np.concatenate([images for images, _ in taken]))
            parts: list[Any] = np.split(codes, sizes[: count - 1])
        except Exception as error:
            parts = [error] * count
        for (_, answer), part in zip(taken, parts, strict=True):
            answer.append(part)


def _carries(request: Request, token: str) -> bool:
    given = request.headers.get("authorization", "").encode()
    return hmac.compare_digest(given, f"Bearer {token}".encode())


async def _body(request: Request, most_bytes: int, seconds: float) -> bytes:
    """Return the body, and stop reading as soon as it is too long or takes too long."""
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for piece in request.stream():
                body += piece
                if len(body) > most_bytes:
                    raise HTTPException(413, f"the body is longer than {most_bytes} bytes.")
    except TimeoutError:
        raise HTTPException(408, f"the body did not come within {seconds:g} seconds.") from None
    except ClientDisconnect:
        raise HTTPException(400, "the connection ended before the body did.") from None
    return bytes(body)


def _read(
    body: bytes, kind: str, query: str | None, shape: tuple[int, ...], most_images: int
) -> tuple[NDArray[np.float32], Any]:
    """Return the images of a request, shape (n, *shape), and its k, or None where it has none."""
    if kind == "image/png":
        return _from_png(body, shape)[np.newaxis], _as_number(query)
    if kind != "application/json":
        raise HTTPException(415, "send application/json or image/png, and name it in Content-Type.")
    # Before it is read: lists without numbers take much time and memory for their length.
    in_one = 1 + sum(math.prod(shape[: axis + 1]) for axis in range(len(shape) - 1))
    lists = 64 + 4 * most_images * in_one
    if body.count(b"[") + body.count(b"{") > lists:
        raise HTTPException(422, "the body has more lists than the images that may be sent.")
    content = _from_json(body)
    if not isinstance(content, dict) or "images" not in content or set(content) - {"images", "k"}:
        raise HTTPException(422, 'send {"images": [...]}, for a search also "k", and nothing else.')
    if query is not None:
        raise HTTPException(422, "with JSON, k belongs into the body, not into the address.")
    k = content.get("k")
    if "k" in content and k is None:
        raise HTTPException(422, "k must be a whole number.")
    return _checked_images(content["images"], shape, most_images), k


def _from_json(body: bytes) -> Any:
    def refuse(word: str) -> None:
        raise HTTPException(422, f"{word} is not allowed: pixels are numbers from 0 to 1.")

    try:
        return json.loads(body, parse_constant=refuse)
    except (ValueError, RecursionError):  # not JSON, not text, an endless number, or nested without end
        raise HTTPException(400, "the body is not JSON.") from None


def _from_png(body: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the pixels of a PNG file, from 0 (black) to 1."""
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3)):
        raise HTTPException(415, "this encoder does not take pictures: send application/json.")
    try:
        with Image.open(io.BytesIO(body), formats=["PNG"]) as picture:
            mode, size = picture.mode, picture.size
            right = mode in _MODES and size == (shape[1], shape[0])  # a huge picture is not unpacked
            colour = len(shape) == 3 and shape[2] == 3
            pixels = np.asarray(picture.convert("RGB" if colour else "L")) if right else None
    except Exception:  # Pillow raises half a dozen kinds for a damaged file
        raise HTTPException(400, "the body is not a PNG file, or a damaged one.") from None
    if pixels is None:
        raise HTTPException(
            422,
            f"the picture must be {shape[1]} pixels wide and {shape[0]} high, grey or in colour with 8 bits "
            f"and without transparency; it is {size[0]} by {size[1]}, mode {mode}.",
        )
    return pixels.reshape(shape).astype(np.float32) / np.float32(255)


def _checked_images(images: Any, shape: tuple[int, ...], most_images: int) -> NDArray[np.float32]:
    """Return the images that came as nested lists, shape (n, *shape)."""
    if not isinstance(images, list) or not images:
        raise HTTPException(422, "images must be a list with one image or more.")
    if len(images) > most_images:
        raise HTTPException(413, f"{len(images)} images are too many: at most {most_images} a request.")
    flat = (math.prod(shape),)
    try:
        numbers = np.asarray(images)
    except ValueError:  # rows of different lengths, or nested too deeply
        numbers = np.empty(0)
    if numbers.shape[1:] not in (shape, flat) or numbers.dtype.kind not in "iuf":
        raise HTTPException(
            422, f"every image must be {' by '.join(map(str, shape))} numbers, or {flat[0]} in one row."
        )
    if not np.all((numbers >= 0) & (numbers <= 1)):  # infinite numbers such as 1e999 fail too
        raise HTTPException(422, "pixels must lie between 0 and 1.")
    return numbers.reshape(-1, *shape).astype(np.float32)


def _as_number(text: str | None) -> int | str | None:
    """Return the number that an address gives as text; anything else as it is, to be refused later."""
    if text is not None and text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    return text


def _number_of_neighbours(k: Any, most: int) -> int:
    """Return k, if it makes sense; without it 10, or as many as there are."""
    if k is None:
        return min(10, most)
    if not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= most:
        raise HTTPException(422, f"k must be a whole number from 1 to {most}.")
    return k


def _load(model_path: str, images_path: str | None) -> FastAPI:
    """Return the application for saved files.

    Raises:
        OSError, ValueError, EOFError: files that are missing, damaged or do not fit together.
    """
    model = keras.saving.load_model(model_path, compile=False)
    names = [layer.name for layer in model.layers]
    encoder = model.get_layer("encoder") if "encoder" in names else model
    token = os.environ.get("DAE_SERVING_TOKEN") or None
    if images_path is None:
        return create_app(encoder, token=token)
    images = np.load(images_path, allow_pickle=False)
    if images.dtype == np.uint8:
        images = images.astype(np.float32) / 255
    images = check_samples(images, "images")
    check_unit_interval(images, "images")
    inputs = encoder.input_shape[1:]
    if math.prod(images.shape[1:]) != math.prod(inputs):
        raise ValueError(f"images of shape {images.shape[1:]} do not fit an encoder that takes {inputs}.")
    codes = predict_in_batches(encoder, images.reshape(-1, *inputs))
    return create_app(encoder, codes, token=token)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve a saved model until interrupted.

    Raises:
        SystemExit: with code 2, when the command or its files are not understood.
    """
    import uvicorn

    parser = argparse.ArgumentParser(prog="python -m dae_utils.serving", description="Serve an encoder.")
    parser.add_argument("model", help="a .keras file: an encoder, or an autoencoder with a layer 'encoder'")
    parser.add_argument("--images", help="a .npy file: images to search in, from 0 to 1, or bytes")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine)")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args(arguments)
    try:
        app = _load(options.model, options.images)
    except (OSError, ValueError, EOFError) as error:
        parser.error(str(error).strip().splitlines()[0])
    uvicorn.run(app, host=options.host, port=options.port, http=_impatient(), timeout_keep_alive=5)


def _impatient(seconds: float = 10.0) -> Any:
    """Return uvicorn's protocol, which hangs up on those who do not say in time what they want."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Impatient(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.loop.call_later(seconds, self._hang_up)

        def _hang_up(self) -> None:
            if self.cycle is None and not self.transport.is_closing():
                self.transport.close()

    return Impatient


if __name__ == "__main__":
    main()
