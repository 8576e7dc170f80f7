"""Records and heartbeats made here, for the tests of `dae_utils.data`; tests/data has the real ones."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import wfdb

from dae_utils.data import mitdb
from dae_utils.data.beats import Heartbeats


def ecg(seconds: float, peaks: np.ndarray, rate: int, seed: int = 0) -> np.ndarray:
    """Return a signal with a sharp bump at each of `peaks` (sample numbers), in millivolts."""
    time = np.arange(int(seconds * rate)) / rate
    signal = np.random.default_rng(seed).normal(0, 0.02, len(time))
    for peak in peaks:
        signal += np.exp(-0.5 * ((time - peak / rate) / 0.02) ** 2)
    return signal


def write_record(
    folder: Path,
    number: int | str,
    *,
    leads: tuple[str, ...] = ("MLII", "V1"),
    rate: int = 360,
    seconds: float = 30,
    peaks: np.ndarray | None = None,
    symbols: list[str] | None = None,
    notes: list[str] | None = None,
    signals: np.ndarray | None = None,
) -> np.ndarray:
    """Write a WFDB record with annotations, and return the sample numbers of its annotations."""
    folder.mkdir(exist_ok=True, parents=True)
    peaks = np.arange(1, int(seconds)) * rate if peaks is None else peaks
    symbols = ["N"] * len(peaks) if symbols is None else symbols
    if signals is None:
        scale = 1.0 - 0.5 * np.arange(len(leads))
        signals = ecg(seconds, peaks, rate)[:, None] * scale
    wfdb.wrsamp(
        str(number),
        fs=rate,
        units=["mV"] * len(leads),
        sig_name=list(leads),
        p_signal=signals,
        fmt=["212"] * len(leads),
        adc_gain=[200.0] * len(leads),
        baseline=[0] * len(leads),
        write_dir=str(folder),
    )
    wfdb.wrann(str(number), "atr", np.asarray(peaks), symbol=symbols, aux_note=notes, write_dir=str(folder))
    return peaks


def put_tiny_mitdb(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put three small records, with digests of their own, in the place of MIT-BIH; return their folder."""
    write_record(folder, 100, symbols=["N"] * 20 + ["V"] * 9)
    write_record(folder, 101, symbols=["N", "A", "V", "F", "/"] * 5 + ["N"] * 4)
    write_record(folder, 114, leads=("V5", "MLII"), symbols=["N"] * 29)
    monkeypatch.setattr(mitdb, "MITDB_SHA256", digests_of(folder))
    monkeypatch.setattr(mitdb, "MITDB_RECORDS", (100, 101, 114))
    return folder


def digests_of(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of all files in a folder, by name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def assert_clear(error: BaseException, *words: str) -> None:
    """A message of at most three lines that holds these words."""
    text = str(error)
    assert len(text.splitlines()) <= 3, text
    for word in words:
        assert word in text, text


def real_like(count: int = 400, seed: int = 0, records: tuple[int, ...] = mitdb.MITDB_RECORDS) -> Heartbeats:
    """Heartbeats with random classes, spread over `records`."""
    rng = np.random.default_rng(seed)
    return Heartbeats(
        beats=rng.uniform(size=(count, 187)).astype(np.float32),
        labels=rng.integers(0, 5, count),
        record=np.asarray(records)[np.arange(count) % len(records)],
        length=np.full(count, 187),
        rr_before=np.ones(count),
        rr_after=np.ones(count),
        simulated=False,
        source="test",
        symbols=np.full(count, "N"),
        r_time=np.arange(count, dtype=float),
    )
