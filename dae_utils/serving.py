"""A small web service around an encoder: send images, get their codes, or the images most like them.

    python -m dae_utils.serving encoder.keras                       codes only
    python -m dae_utils.serving encoder.keras --images images.npy   and search among these images

It answers on this machine only (127.0.0.1) unless told otherwise, and knows nothing of passwords: who can
reach it can use it.

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
import io
import json
import math
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


def create_app(
    encoder: keras.Model,
    database: ArrayLike | None = None,
    *,
    image_shape: Sequence[int] | None = None,
    most_images: int = 64,
    most_bytes: int = 2**23,
    most_neighbours: int = 100,
) -> FastAPI:
    """Return a web application that encodes images and searches for similar ones.

    It may be asked by many at once: the network works for one request at a time, the search for all.

    Args:
        encoder: a model from images to codes, shape (n, code size).
        database: codes of the images to search in, shape (n, code size), kept as float32; without them there
            is no search. The id of an image is its row.
        image_shape: height, width and, in colour, 3. By default the input shape of the encoder; for one that
            takes rows of numbers, the square of that size where there is one.
        most_images: of one request.
        most_bytes: of the body of one request.
        most_neighbours: the largest k that may be asked for.

    Raises:
        ValueError: an encoder that gives no finite codes, a shape that does not fit it, or a database that
            does not.
    """
    inputs = tuple(encoder.input_shape[1:])
    shape = _image_shape(inputs, image_shape)
    for limit, name in ((most_images, "most_images"), (most_bytes, "most_bytes")):
        check_count(limit, name)
    check_count(most_neighbours, "most_neighbours")
    lock = threading.Lock()

    def encode(images: NDArray[np.float32]) -> NDArray[np.float32]:
        with lock:
            return predict_in_batches(encoder, images.reshape(-1, *inputs))

    sample = encode(np.zeros((1, *shape), np.float32))
    if sample.ndim != 2 or not np.isfinite(sample).all():
        raise ValueError(f"the encoder must give finite codes of shape (n, code size), not {sample.shape}.")
    index = None if database is None else _index(database, sample.shape[1])
    app = FastAPI(title="Encoder", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/health")
    def health() -> dict[str, Any]:
        n_images = 0 if index is None else index.ntotal
        return {
            "status": "ok",
            "image_shape": shape,
            "code_size": sample.shape[1],
            "images_to_search": n_images,
            "most_images": most_images,
        }

    async def answer(request: Request, work: Callable[[NDArray, Any], dict[str, Any]]) -> dict[str, Any]:
        body = await _body(request, most_bytes)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        query = request.query_params.get("k")

        def read_and_work() -> dict[str, Any]:
            images, k = _read(body, kind, query, shape, most_images)
            return work(images, k)

        # Not in the loop that serves everybody: the next request would have to wait even for its refusal.
        return await run_in_threadpool(read_and_work)

    @app.post("/encode")
    async def encode_images(request: Request) -> dict[str, Any]:
        def work(images: NDArray, k: Any) -> dict[str, Any]:
            if k is not None:
                raise HTTPException(422, "k belongs to /search; /encode takes none.")
            return {"codes": encode(images).tolist()}

        return await answer(request, work)

    @app.post("/search")
    async def search(request: Request) -> dict[str, Any]:
        def work(images: NDArray, k: Any) -> dict[str, Any]:
            if index is None:
                raise HTTPException(404, "this server was started without images to search in.")
            k = _number_of_neighbours(k, min(most_neighbours, index.ntotal))
            squared, ids = index.search(encode(images), k)
            distances = np.sqrt(np.maximum(squared, 0))  # rounding may leave a hair below zero
            return {"ids": ids.tolist(), "distances": distances.tolist()}

        return await answer(request, work)

    return app


def _image_shape(inputs: tuple, wanted: Sequence[int] | None) -> tuple[int, ...]:
    """Return the shape of one image for an encoder with this input shape."""
    if None in inputs:
        raise ValueError(f"the encoder takes inputs of any size {inputs}; serve one with a fixed size.")
    if wanted is None and len(inputs) == 1:
        side = math.isqrt(inputs[0])
        wanted = (side, side) if side * side == inputs[0] else inputs
    shape = tuple(wanted or inputs)
    if math.prod(shape) != math.prod(inputs):
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


async def _body(request: Request, most_bytes: int) -> bytes:
    """Return the body, and stop reading as soon as it is too long."""
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > most_bytes:
                raise HTTPException(413, f"the body is longer than {most_bytes} bytes.")
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
    return pixels.reshape(shape).astype(np.float32) / 255


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
    is_number = text is not None and text.isascii() and text.isdigit() and len(text) < 10
    return int(text) if is_number else text


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
    if images_path is None:
        return create_app(encoder)
    images = np.load(images_path, allow_pickle=False)
    if images.dtype == np.uint8:
        images = images.astype(np.float32) / 255
    images = check_samples(images, "images")
    check_unit_interval(images, "images")
    inputs = encoder.input_shape[1:]
    if math.prod(images.shape[1:]) != math.prod(inputs):
        raise ValueError(f"images of shape {images.shape[1:]} do not fit an encoder that takes {inputs}.")
    return create_app(encoder, predict_in_batches(encoder, images.reshape(-1, *inputs)))


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
    uvicorn.run(app, host=options.host, port=options.port)


if __name__ == "__main__":
    main()
