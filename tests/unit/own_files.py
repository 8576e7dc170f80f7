"""Recordings in the formats that readers have, made here: CSV, EDF and WFDB, at any rate, in mV or µV."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import wfdb
from scipy.signal import resample_poly

from dae_utils.data.ecg import Record
from dae_utils.data.simulated import simulate_record

PER_MILLIVOLT = {"mV": 1.0, "uV": 1000.0, "V": 0.001}


@cache
def heart(rate: int = 360, leads: tuple[str, ...] = ("MLII", "V1"), number: int = 9208) -> Record:
    """Return four minutes of a simulated record at any rate, with some of its leads."""
    record = simulate_record(number, minutes=4)
    columns = [record.lead_names.index(lead) for lead in leads]
    signals = record.signals[:, columns]
    if rate != record.sampling_rate:
        ratio = Fraction(rate, record.sampling_rate)
        signals = resample_poly(signals, ratio.numerator, ratio.denominator, axis=0, padtype="edge")
    peaks = np.rint(record.r_peaks * rate / record.sampling_rate).astype(np.int64)
    return replace(record, signals=signals, lead_names=leads, sampling_rate=rate, r_peaks=peaks)


def write_csv(
    path: Path,
    record: Record,
    units: str = "mV",
    *,
    header: str = "{lead} ({unit})",
    time: str | None = "time (s)",
    separator: str = ",",
    decimal: str = ".",
) -> Path:
    """Write a table with one row a sample; `time=None` leaves the column of times out."""
    values = record.signals * PER_MILLIVOLT[units]
    names = [header.format(lead=lead, unit=units) for lead in record.lead_names]
    if time is not None:
        values = np.column_stack([np.arange(len(values)) / record.sampling_rate, values])
        names = [time, *names]
    rows = [separator.join(f"{value:.6g}" for value in row).replace(".", decimal) for row in values]
    path.write_text("\n".join([separator.join(names), *rows]) + "\n", encoding="utf-8")
    return path


def write_edf(
    path: Path,
    record: Record,
    units: str = "mV",
    *,
    label: str = "ECG {lead}",
    annotations: bool = False,
    rate: float | None = None,
    unit_text: str | None = None,
    reserved: str = "",
    turned: bool = False,
) -> Path:
    """Write whole seconds of a record as EDF, with a signal of annotations as EDF+ has it if asked for.

    `turned` writes the physical range from high to low, as recorders do for a lead that is upside down.
    """
    rate = rate or record.sampling_rate
    per_record = record.sampling_rate
    n_records = len(record.signals) // per_record
    values = record.signals[: n_records * per_record] * PER_MILLIVOLT[units]
    limit = round(5 * PER_MILLIVOLT[units], 3)
    low, high = (limit, -limit) if turned else (-limit, limit)
    digital = np.rint(-32768 + (values - low) / (high - low) * 65535).clip(-32768, 32767).astype("<i2")
    blocks = [digital[:, lead].reshape(n_records, -1) for lead in range(digital.shape[1])]
    fields = {
        16: [label.format(lead=lead) for lead in record.lead_names],
        80: ["AgAgCl"] * len(blocks),
        8: [units if unit_text is None else unit_text] * len(blocks),
    }
    ranges = [[str(low)], [str(high)], ["-32768"], ["32767"]]
    counts = [per_record] * len(blocks)
    if annotations:
        text = np.zeros((n_records, 25), "<i2")
        text[:, 0] = 0x302B  # "+0", a time stamp
        blocks.append(text)
        fields = {
            width: [*kinds, "EDF Annotations" if width == 16 else ""] for width, kinds in fields.items()
        }
        counts.append(25)
    n = len(blocks)
    head = f"{'0':<8}{'X':<80}{'X':<80}01.01.0112.00.00{256 * (n + 1):<8}{reserved:<44}{n_records:<8}"
    head += f"{per_record / rate:<8.6g}{n:<4}"
    head += "".join(f"{kind:<{width}}" for width, kinds in fields.items() for kind in kinds)
    for number, one in enumerate(ranges):
        own = ["-1", "1"][number % 2] if number < 2 else one[0]
        head += "".join(f"{(own if annotations and k == n - 1 else one[0]):<8}" for k in range(n))
    head += (
        "".join(f"{'':<80}" for _ in range(n))
        + "".join(f"{count:<8}" for count in counts)
        + f"{'':<{32 * n}}"
    )
    path.write_bytes(head.encode("latin-1") + np.hstack(blocks).astype("<i2").tobytes())
    return path


def write_wfdb(
    folder: Path, record: Record, units: str = "mV", name: str = "my_holter", annotated: bool = False
) -> Path:
    """Write a header and signals, with annotations if asked for; return the path without ending."""
    wfdb.wrsamp(
        name,
        fs=record.sampling_rate,
        units=[units] * len(record.lead_names),
        sig_name=list(record.lead_names),
        p_signal=record.signals * PER_MILLIVOLT[units],
        fmt=["16"] * len(record.lead_names),
        adc_gain=[2000.0 / PER_MILLIVOLT[units]] * len(record.lead_names),
        baseline=[0] * len(record.lead_names),
        write_dir=str(folder),
    )
    if annotated:
        wfdb.wrann(name, "atr", record.r_peaks, symbol=list(record.symbols), write_dir=str(folder))
    return folder / name
