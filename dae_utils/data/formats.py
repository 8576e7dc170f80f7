"""The file formats in which image sets are published: IDX, CIFAR-10's records, PNG, .npz, gzip.

Each function turns bytes, which may be anything, into arrays or raises; none runs code that it finds, unpacks
more than it was allowed to, or knows what the arrays mean.
"""

from __future__ import annotations

import gzip
import io
import zipfile

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["decode_cifar", "decode_idx", "decode_npz", "decode_png_rows", "gunzip"]

Bytes = NDArray[np.uint8]


def decode_idx(raw: bytes) -> Bytes:
    """Decode the IDX format of the MNIST files, for unsigned bytes.

    The format (LeCun, Cortes and Burges): two zero bytes, the type (8 for unsigned bytes), the number of
    dimensions, each dimension as four bytes with the highest first, then the values in C order.

    Returns:
        A read-only uint8 array of the shape that the header names.

    Raises:
        ValueError: no IDX file of unsigned bytes, or one that is cut short or too long.
    """
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08":
        raise ValueError("not an IDX file of unsigned bytes")
    start = 4 + 4 * raw[3]
    if len(raw) < start:
        raise ValueError("the IDX header is cut short")
    shape = tuple(int.from_bytes(raw[at : at + 4], "big") for at in range(4, start, 4))
    expected = 1
    for length in shape:  # in Python's integers, which do not overflow
        expected *= length
    if len(raw) - start != expected:
        raise ValueError(f"the IDX file holds {len(raw) - start} values, its header says {expected}")
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)


def decode_cifar(raw: bytes) -> tuple[Bytes, Bytes]:
    """Decode one file of the binary version of CIFAR-10: a label byte, then the red, green and blue planes.

    Returns:
        The images, uint8 of shape (n, 32, 32, 3), and their labels, uint8 of shape (n,).

    Raises:
        ValueError: the length is no multiple of 3073 bytes, or a label is above 9.
    """
    if not raw or len(raw) % 3073:
        raise ValueError(f"a CIFAR-10 file has records of 3073 bytes, this one has {len(raw)} bytes")
    records = np.frombuffer(raw, np.uint8).reshape(-1, 3073)
    if records[:, 0].max() > 9:
        raise ValueError("a CIFAR-10 file has a label above 9")
    return records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), records[:, 0]


def decode_png_rows(raw: bytes, count: int) -> Bytes:
    """Decode a PNG file in which each row is one image of 32 by 32 RGB pixels.

    Returns:
        A uint8 array of shape (count, 32, 32, 3).

    Raises:
        ValueError: the picture is not 1024 pixels wide, `count` high and RGB.
        OSError: no PNG file, or a damaged one.
    """
    with Image.open(io.BytesIO(raw), formats=["PNG"]) as picture:
        # Asked before the pixels are decoded, so that a bomb does no harm.
        if picture.size != (1024, count) or picture.mode != "RGB":
            raise ValueError(f"the picture is {picture.size} {picture.mode}, not (1024, {count}) RGB")
        return np.asarray(picture).reshape(count, 32, 32, 3)


def gunzip(raw: bytes, most: int) -> bytes:
    """Unpack gzip data to at most `most` bytes.

    Raises:
        ValueError: more bytes than that.
        OSError, EOFError, zlib.error: damaged or cut short.
    """
    with gzip.GzipFile(fileobj=io.BytesIO(raw)) as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise ValueError(f"unpacks to more than {most} bytes")
    return data


def decode_npz(raw: bytes, most: int) -> dict[str, Bytes]:
    """Decode the arrays of NumPy's .npz format, which may unpack to at most `most` bytes; no pickles.

    Raises:
        ValueError: more bytes than that, or an array of Python objects.
        zipfile.BadZipFile: damaged or cut short.
    """
    stream = io.BytesIO(raw)
    with zipfile.ZipFile(stream) as archive:
        if sum(member.file_size for member in archive.infolist()) > most:
            raise ValueError(f"unpacks to more than {most} bytes")
    with np.load(stream, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
