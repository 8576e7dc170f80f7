"""Electrocardiograms in the European Data Format, EDF and EDF+, as most Holter recorders export them.

The format: Kemp and others, "A simple format for exchange of digitized polygraphic recordings",
Electroencephalography and Clinical Neurophysiology 82, 1992; Kemp and Olivan, "European data format 'plus'
(EDF+)", Clinical Neurophysiology 114, 2003.

It is read here and not by `wfdb.io.convert.edf.read_edf`: in a file with signals of several rates, and any
EDF+ file with annotations is one, that function fails or leaves the values undivided by the gain, so that the
converter's numbers would pass for microvolts; and it cuts a rate that is no whole number. Where all rates are
equal the two agree to one step of the converter. Tests hold both.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dae_utils.data.storage import SourceError

__all__ = ["EdfSignal", "read_edf"]

_HEADER = 256  # bytes, for the file and again for each signal
_ANNOTATIONS = "EDF Annotations"
# The fields of a signal's header in their order, and how many bytes each has.
_FIELDS = {
    "label": 16,
    "transducer": 80,
    "unit": 8,
    "physical_min": 8,
    "physical_max": 8,
    "digital_min": 8,
    "digital_max": 8,
    "filters": 80,
    "samples": 8,
    "reserved": 32,
}


@dataclass(frozen=True, eq=False)
class EdfSignal:
    """One signal of a file.

    Args:
        label: its name, such as "ECG II".
        unit: its unit as the file spells it, "" where it states none.
        sampling_rate: samples a second.
        values: (samples,) float64, in that unit.
    """

    label: str
    unit: str
    sampling_rate: Fraction
    values: NDArray[np.float64]


def read_edf(path: str | os.PathLike[str]) -> list[EdfSignal]:
    """Return all signals of an EDF or EDF+ file; an EDF+ file's annotations are left out.

    Raises:
        SourceError: no such file, another format, a header that makes no sense, a file that was cut short, or
            one with interruptions (EDF+D).
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path.name} can't be read: {error.strerror or error}.") from error
    try:
        return _signals(content)
    except (ValueError, UnicodeDecodeError, ZeroDivisionError) as error:
        raise SourceError(f"{path.name} can't be read as EDF: {error}.") from error


def _signals(content: bytes) -> list[EdfSignal]:
    if content[:1] == b"\xff":
        raise ValueError("it is a BDF file of 24 bits; export it as EDF")
    if content[:8] != b"0       ":
        raise ValueError("it does not begin as an EDF file does")
    if content[192:197] == b"EDF+D":
        raise ValueError("it has interruptions (EDF+D); export each part without one as a file of its own")
    head_bytes, n_records = int(content[184:192]), int(content[236:244])
    record_seconds = Fraction(content[244:252].decode("ascii").strip())
    n_signals = int(content[252:256])
    if n_signals < 1 or record_seconds <= 0 or head_bytes != _HEADER * (n_signals + 1):
        raise ValueError("its header states no signals, no duration, or a wrong length of its own")
    heads = _signal_heads(content[_HEADER:head_bytes], n_signals)
    counts = [int(head["samples"]) for head in heads]
    if min(counts) < 1:
        raise ValueError("a signal has no samples")
    numbers = np.frombuffer(content[head_bytes : head_bytes + (len(content) - head_bytes) // 2 * 2], "<i2")
    n_whole = len(numbers) // sum(counts)
    if n_records == -1:  # a recorder that was not stopped in the ordinary way
        n_records = n_whole
    if n_whole < n_records or n_records < 1:
        raise ValueError(
            f"it was cut short, {n_whole} of {n_records} records of {float(record_seconds):g} s are there; "
            "get it again"
        )
    blocks = numbers[: n_records * sum(counts)].reshape(n_records, -1)
    ends = np.cumsum(counts)
    return [
        EdfSignal(
            label=head["label"],
            unit=head["unit"],
            sampling_rate=count / record_seconds,
            values=_physical(blocks[:, end - count : end].ravel(), head),
        )
        for head, count, end in zip(heads, counts, ends.tolist(), strict=True)
        if head["label"] != _ANNOTATIONS
    ]


def _signal_heads(content: bytes, n_signals: int) -> list[dict[str, str]]:
    """Return the fields of every signal; the file has the first field of all signals, then the second."""
    heads: list[dict[str, str]] = [{} for _ in range(n_signals)]
    place = 0
    for field, width in _FIELDS.items():
        for head in heads:
            # The standard asks for ASCII; recorders write a micro sign all the same.
            head[field] = content[place : place + width].decode("latin-1").strip("\0 ")
            place += width
    return heads


def _physical(digital: NDArray[np.int16], head: dict[str, str]) -> NDArray[np.float64]:
    """Return the converter's numbers in the signal's unit."""
    low, high = int(head["digital_min"]), int(head["digital_max"])
    physical_low, physical_high = float(head["physical_min"]), float(head["physical_max"])
    if low >= high or physical_low == physical_high:
        raise ValueError(f"signal {head['label']} states no range")
    step = (physical_high - physical_low) / (high - low)
    return physical_low + (digital.astype(np.float64) - low) * step
