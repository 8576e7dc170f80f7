"""Arrays taken a piece at a time, in any order, so that those on disk need not fit in memory."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

__all__ = ["is_on_disk", "pieces", "rows_of", "rows_of_a_piece"]

# Large enough that the work between two pieces does not count, small enough that three of them may wait. From
# 32 MiB on, the C library of Linux gives the memory of a block back as soon as it is free.
_BYTES_OF_PIECE = 48 * 2**20

# One thread for the whole process: each new one would get a heap of its own, which the C library keeps.
_reader = ThreadPoolExecutor(1, thread_name_prefix="pieces")

# Reading one row brings its neighbours into memory too, on Linux 64 KiB around every page that is touched.
_ROWS_UNTIL_FORGOTTEN = 256


def is_on_disk(array: object) -> bool:
    """Return whether an array is read from a file when it is used: a memory map, as `numpy.load` gives it."""
    return isinstance(array, np.memmap)


def rows_of_a_piece(arrays: tuple[np.ndarray, ...], batch_size: int) -> int:
    """Return how many samples make a piece of about 48 MiB: whole batches, one at least."""
    of_one_sample = sum(4 * int(np.prod(array.shape[1:])) for array in _different(arrays))
    return batch_size * max(1, _BYTES_OF_PIECE // (of_one_sample * batch_size))


def pieces(arrays: tuple[np.ndarray, ...], order: np.ndarray, rows: int) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield the samples of all arrays in an order, `rows` at a time; the next piece is read in the meantime.

    Args:
        arrays: arrays of the same number of samples, shape (n, ...). Where two of them are one and the same
            object, so are their pieces.
        order: indices of samples, shape (m,).
        rows: samples of a piece; the last one may have fewer.

    Raises:
        ValueError: a sample of an array on disk holds NaN or infinite values.
    """

    def read(start: int) -> tuple[np.ndarray, ...]:
        read_before = {id(array): rows_of(array, order[start : start + rows]) for array in _different(arrays)}
        return tuple(read_before[id(array)] for array in arrays)

    following = _reader.submit(read, 0)
    for start in range(0, len(order), rows):
        piece = following.result()
        if start + rows < len(order):
            following = _reader.submit(read, start + rows)
        yield piece


def _different(arrays: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    return list({id(array): array for array in arrays}.values())


def rows_of(array: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Return the samples at `indices` as an array of float32 in memory."""
    if not is_on_disk(array):
        return np.take(array, indices, axis=0)
    # In the order in which they lie on the disk, then in the order asked for.
    sequence = np.argsort(indices, kind="stable")
    samples = np.empty((len(indices), *array.shape[1:]), np.float32)
    with np.errstate(over="ignore"):  # too large for 32 bits becomes infinite, which is refused next
        for n_read, place in enumerate(sequence, 1):
            samples[place] = array[indices[place]]
            if n_read % _ROWS_UNTIL_FORGOTTEN == 0 or n_read == len(sequence):
                _forget_pages(array)
    if not np.isfinite(samples).all():
        raise ValueError(
            f"the array in {array.filename} holds NaN or infinite values: remove or replace them first."
        )
    return samples


def _forget_pages(array: np.memmap) -> None:
    """Give the pages of a memory map that were read back to the system, which else counts them as ours."""
    if hasattr(mmap, "MADV_DONTNEED") and array._mmap is not None:
        array._mmap.madvise(mmap.MADV_DONTNEED)
