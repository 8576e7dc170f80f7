"""Arrays taken a piece at a time, in any order, so that those on disk need not fit in memory.

Nothing here knows a network.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "FloatArray",
    "TrainingPairs",
    "check_sigmoid_targets",
    "is_on_disk",
    "pieces",
    "rows_of",
    "rows_of_a_piece",
]

FloatArray = NDArray[np.float32]

# Large enough that the work between two pieces does not count, small enough that three of them may wait. From
# 32 MiB on, the C library of Linux gives the memory of a block back as soon as it is free.
_BYTES_OF_PIECE = 48 * 2**20

# One thread for the whole process: each new one would get a heap of its own, which the C library keeps.
_reader = ThreadPoolExecutor(1, thread_name_prefix="pieces")


def _begin_reading_anew() -> None:
    global _reader
    _reader = ThreadPoolExecutor(1, thread_name_prefix="pieces")


# A fork takes over the pool but not its thread, so that the child would wait for ever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_reading_anew)

# Reading one row brings its neighbours into memory too, on Linux 64 KiB around every page that is touched.
_ROWS_UNTIL_FORGOTTEN = 256

# The modes of memory maps whose pages are those of the file: all but "c".
_SHARED_MODES = ("r", "r+", "w+")

# Scaling in 32 bits leaves numbers a rounding above 1.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class TrainingPairs:
    """What is trained on or measured: inputs with their targets.

    Attributes:
        inputs: shape (n, ...), in memory as float32 or on disk as any numbers.
        targets: shape (n, ...), likewise. For an autoencoder they are one and the same object as the inputs,
            which is then read once.
        targets_in_unit_range: whether targets outside [0, 1] are refused when they are read from disk.
        name: what the targets are called in an error.
        inputs_name: what the inputs are called in an error.
    """

    inputs: FloatArray
    targets: FloatArray
    targets_in_unit_range: bool = False
    name: str = "y"
    inputs_name: str = "x"

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def are_one_array(self) -> bool:
        """Whether the inputs are the targets."""
        return self.inputs is self.targets

    @property
    def are_on_disk(self) -> bool:
        """Whether inputs or targets are read from a file."""
        return is_on_disk(self.inputs) or is_on_disk(self.targets)

    def pieces(self, order: NDArray[np.integer], batch_size: int) -> Iterator[TrainingPairs]:
        """Yield the samples in an order, in memory, as pieces of whole batches (the last one may have less).

        Raises:
            ValueError: what is read from disk is not finite, or a target is outside [0, 1] and must not be.
        """
        arrays = (self.inputs, self.targets)
        for inputs, targets in pieces(arrays, order, rows_of_a_piece(arrays, batch_size)):
            if self.targets_in_unit_range and is_on_disk(self.targets):
                check_sigmoid_targets(targets, self.name)
            yield TrainingPairs(inputs, targets)


def check_sigmoid_targets(targets: FloatArray, name: str) -> None:
    """Raise `ValueError` unless all targets lie in [0, 1], where the outputs of a sigmoid do.

    What exceeds the range by the rounding of 32 bits, 1e-6, passes.
    """
    low, high = float(targets.min()), float(targets.max())
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise ValueError(
            f"{name} runs from {low:g} to {high:g}, but the network ends in a sigmoid, which reaches [0, 1] "
            "only: scale the values into [0, 1], or end the network without an activation."
        )


def is_on_disk(array: object) -> TypeGuard[np.memmap[Any, Any]]:
    """Return whether an array is read from a file when it is used: a memory map, as `numpy.load` gives it.

    What was computed from a memory map, such as its copy of another type, lies in memory.
    """
    return isinstance(array, np.memmap) and _map_of(array) is not None


def _map_of(array: np.memmap[Any, Any]) -> mmap.mmap | None:
    # NumPy has no public way to the map, nor another to tell a view of it from a copy: both are `np.memmap`.
    return getattr(array, "_mmap", None)


def rows_of_a_piece(arrays: tuple[NDArray[Any], ...], batch_size: int) -> int:
    """Return how many samples make a piece of about 48 MiB: whole batches, one at least."""
    of_one_sample = sum(4 * int(np.prod(array.shape[1:])) for array in _different(arrays))
    return batch_size * max(1, _BYTES_OF_PIECE // (of_one_sample * batch_size))


def pieces(
    arrays: tuple[NDArray[Any], ...], order: NDArray[np.integer], rows: int
) -> Iterator[tuple[FloatArray, ...]]:
    """Yield the samples of all arrays in an order, `rows` at a time; the next piece is read in the meantime.

    Args:
        arrays: arrays of the same number of samples, shape (n, ...). Where two of them are one and the same
            object, so are their pieces.
        order: indices of samples, shape (m,).
        rows: samples of a piece; the last one may have fewer.

    Raises:
        ValueError: a sample of an array on disk is not finite as float32.
    """

    def read(start: int) -> tuple[FloatArray, ...]:
        read_before = {id(array): rows_of(array, order[start : start + rows]) for array in _different(arrays)}
        return tuple(read_before[id(array)] for array in arrays)

    following = _reader.submit(read, 0)
    for start in range(0, len(order), rows):
        piece = following.result()
        if start + rows < len(order):
            following = _reader.submit(read, start + rows)
        yield piece


def _different(arrays: tuple[NDArray[Any], ...]) -> list[NDArray[Any]]:
    return list({id(array): array for array in arrays}.values())


def rows_of(array: NDArray[Any], indices: NDArray[np.integer]) -> FloatArray:
    """Return the samples at `indices` as an array in memory; those on disk become float32.

    Raises:
        ValueError: a sample of an array on disk is not finite as float32.
    """
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
            f"the array in {array.filename} holds values that are NaN, infinite or too large for float32 "
            "(3.4e38): remove, replace or scale them first."
        )
    return samples


def _forget_pages(array: np.memmap[Any, Any]) -> None:
    """Give the pages of a memory map that were read back to the system, which else counts them as ours."""
    pages = _map_of(array)
    # What the caller wrote into a copy-on-write map is in these pages and nowhere else. What was written into
    # a shared one belongs to the file, with or without our pages.
    if hasattr(mmap, "MADV_DONTNEED") and pages is not None and array.mode in _SHARED_MODES:
        pages.madvise(mmap.MADV_DONTNEED)
