"""Tests of `dae_utils.heartbeats` on records made here; the real ones are tested in tests/data."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st

from dae_utils.data import heartbeats as hb
from dae_utils.data import sources
from dae_utils.data.sources import SourceError

QUICK = sources.Limits(connect=2, answer=2, window=2, attempts=1, pause=0)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the tests away from the reader's cache and settings."""
    monkeypatch.setenv("DAE_DATA_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("DAE_MITDB_DIR", raising=False)
    monkeypatch.setattr(sources, "Limits", lambda: QUICK)


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
    wfdb.wrann(str(number), "atr", np.asarray(peaks), symbol=symbols, write_dir=str(folder))
    return peaks


@pytest.fixture
def tiny_mitdb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database of three small records, with digests of its own, in the place of MIT-BIH."""
    folder = tmp_path / "tiny"
    write_record(folder, 100, symbols=["N"] * 20 + ["V"] * 9)
    write_record(folder, 101, symbols=["N", "A", "V", "F", "/"] * 5 + ["N"] * 4)
    write_record(folder, 114, leads=("V5", "MLII"), symbols=["N"] * 29)
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}
    monkeypatch.setattr(hb, "MITDB_SHA256", digests)
    monkeypatch.setattr(hb, "MITDB_RECORDS", (100, 101, 114))
    return folder


def assert_clear(error: BaseException, *words: str) -> None:
    """A message of at most three lines that holds these words."""
    text = str(error)
    assert len(text.splitlines()) <= 3, text
    for word in words:
        assert word in text, text


def real_like(count: int = 400, seed: int = 0, records: tuple[int, ...] = hb.MITDB_RECORDS) -> hb.Heartbeats:
    """Heartbeats with random classes, spread over `records`."""
    rng = np.random.default_rng(seed)
    return hb.Heartbeats(
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


# --- facts ---


def test_the_lists_of_records_are_complete_and_do_not_overlap():
    parts = [*hb.DS1_RECORDS, *hb.DS2_RECORDS, *hb.PACED_RECORDS]
    assert len(hb.DS1_RECORDS) == len(hb.DS2_RECORDS) == 22
    assert sorted(parts) == sorted(hb.MITDB_RECORDS)
    assert len(set(parts)) == 48


def test_each_record_has_three_digests():
    assert len(hb.MITDB_SHA256) == 144
    assert all(len(digest) == 64 and int(digest, 16) for digest in hb.MITDB_SHA256.values())
    assert set(hb._digests(hb.MITDB_RECORDS)) == set(hb.MITDB_SHA256)


def test_symbols_go_to_the_classes_of_the_aami():
    by_class = {name: {s for s, c in hb.AAMI_CLASS.items() if hb.CLASS_NAMES[c] == name} for name in "NSVFQ"}
    assert by_class == {"N": set("NLRej"), "S": set("AaJS"), "V": set("VE"), "F": {"F"}, "Q": set("/fQ")}


# --- cutting ---


def test_a_regular_rhythm_gives_the_expected_lengths_and_intervals():
    peaks = np.arange(360, 30 * 360, 288)  # 0.8 s apart
    cuts = hb.cut_beats(ecg(30, peaks, 360), peaks, 360)
    assert cuts.beats.shape == (len(peaks) - 1, 187)
    assert cuts.beats.dtype == np.float32
    np.testing.assert_allclose(cuts.rr_after, 0.8)
    np.testing.assert_allclose(cuts.rr_before[1:], 0.8)
    assert np.isnan(cuts.rr_before[0])
    assert (cuts.length == 120).all()  # 1.2 * 0.8 s * 125 Hz


def test_a_beat_starts_at_its_r_peak_and_meets_the_next_one():
    peaks = np.arange(360, 30 * 360, 288)
    cuts = hb.cut_beats(ecg(30, peaks, 360), peaks, 360)
    assert (cuts.beats[:, 0] > 0.9).all()
    assert (cuts.beats[:, 90:110].argmax(axis=1) == 10).all()  # 0.8 s later: sample 100


def test_slow_beats_are_cut_at_187_samples_and_fast_ones_padded():
    slow = np.arange(1, 20) * 540  # 1.5 s apart: 225 samples
    cuts = hb.cut_beats(ecg(30, slow, 360), slow, 360)
    assert (cuts.length == 187).all()
    fast = np.arange(1, 60) * 180
    cuts = hb.cut_beats(ecg(30, fast, 360), fast, 360)
    assert (cuts.length == 75).all()
    assert (cuts.beats[:, 75:] == 0).all()
    assert (cuts.beats[:, :75] > 0).mean() > 0.9


def test_the_length_comes_from_the_median_of_the_beats_own_window():
    # First window: intervals of 1 s, but one of 0.5 s. From the eleventh second on: 0.6 s.
    seconds = np.concatenate([[0.5, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0], np.arange(10.2, 20, 0.6)])
    peaks = np.rint(seconds * 250).astype(int)
    cuts = hb.cut_beats(ecg(20, peaks, 250), peaks, 250)
    assert cuts.length[:10].tolist() == [150] * 10
    assert (cuts.length[10:-1] == 90).all()
    np.testing.assert_allclose(cuts.rr_after[:3], [1.0, 0.5, 1.0])


def test_a_window_with_one_beat_uses_its_own_interval():
    peaks = np.array([2, 13, 25, 26]) * 125  # 11 s, 12 s and 1 s
    cuts = hb.cut_beats(ecg(30, peaks, 125), peaks, 125)
    assert cuts.length.tolist() == [187, 187, 150]


def test_each_window_is_scaled_by_its_own_minimum_and_maximum():
    peaks = np.arange(1, 20) * 125
    signal = ecg(20, peaks, 125)
    signal[1250:] *= 10
    cuts = hb.cut_beats(signal, peaks, 125)
    inside = np.arange(187) < cuts.length[:, None]
    for window in (slice(0, 9), slice(9, 18)):
        values = cuts.beats[window][inside[window]]
        assert values.max() == pytest.approx(1)
        assert values.min() < 0.05
    first = signal[:1250]
    expected = (signal[250:400] - first.min()) / (first.max() - first.min())
    np.testing.assert_allclose(cuts.beats[1, :150], np.clip(expected, 0, 1), atol=1e-6)


def test_a_beat_past_its_windows_edge_keeps_the_scale_and_is_clipped():
    peaks = np.arange(1, 20) * 125
    peaks[8] += 100  # the R peak at 9.8 s: the last of the first window
    signal = ecg(20, peaks, 125)
    signal[1250:] += 5
    cuts = hb.cut_beats(signal, peaks, 125)
    assert cuts.length[8] > 25
    assert (cuts.beats[8, 25 : cuts.length[8]] == 1).all()
    assert (cuts.beats[8, 1:24] < 1).all()


def test_the_remainder_of_a_record_is_seen_through_its_last_ten_seconds():
    peaks = np.arange(1, 25) * 125
    signal = ecg(25, peaks, 125)
    signal[1875] = 3.0  # at 15 s: in the last ten seconds, and in the second window
    signal[1260] = 9.0  # at 10.08 s: in the second window only
    cuts = hb.cut_beats(signal, peaks, 125)
    late, second = cuts.beats[20, 0], cuts.beats[10, 0]
    assert late == pytest.approx(1 / 3, abs=0.05)
    assert second == pytest.approx(1 / 9, abs=0.05)


def test_a_record_shorter_than_a_window_is_one_window():
    peaks = np.array([100, 200, 300])
    cuts = hb.cut_beats(ecg(4, peaks, 125), peaks, 125)
    assert cuts.length.tolist() == [120, 120]
    assert cuts.beats.max() == pytest.approx(1)


def test_a_beat_ends_with_the_record():
    peaks = np.array([125, 250, 375, 500])
    cuts = hb.cut_beats(ecg(4.2, peaks, 125), peaks, 125)
    assert cuts.length.tolist() == [150, 150, 150]
    short = hb.cut_beats(ecg(4.04, peaks, 125), peaks, 125)
    assert short.length.tolist() == [150, 150, 130]
    assert (short.beats[2, 130:] == 0).all()


@pytest.mark.parametrize("frequency", [3.0, 10.3, 24.7])
def test_resampling_keeps_a_sine_below_half_the_rate_and_its_phase(frequency: float):
    time = np.arange(20 * 360) / 360
    peaks = np.arange(1, 19) * 360
    cuts = hb.cut_beats(np.sin(2 * np.pi * frequency * time), peaks, 360)
    expected = (np.sin(2 * np.pi * frequency * (3 + np.arange(150) / 125)) + 1) / 2
    np.testing.assert_allclose(cuts.beats[2, :150], expected, atol=0.02)


def test_resampling_removes_what_125_hertz_cannot_hold():
    time = np.arange(20 * 360) / 360
    peaks = np.arange(1, 19) * 360
    slow = np.sin(2 * np.pi * 2 * time)
    cuts = hb.cut_beats(slow + np.sin(2 * np.pi * 110 * time), peaks, 360)
    clean = hb.cut_beats(slow, peaks, 360)
    np.testing.assert_allclose(cuts.beats[3:12, :150], clean.beats[3:12, :150], atol=0.03)


@pytest.mark.parametrize("value", [0.0, 0.7])
def test_a_flat_signal_gives_zeros(value: float):
    cuts = hb.cut_beats(np.full(7200, value), np.arange(1, 19) * 360, 360)
    assert (cuts.beats == 0).all()


def test_a_flat_window_gives_zeros_and_leaves_the_others_alone():
    peaks = np.arange(1, 30) * 360
    signal = ecg(30, peaks, 360)
    signal[3600 - 50 : 7200 + 50] = 0.7
    cuts = hb.cut_beats(signal, peaks, 360)
    in_flat = (peaks[:-1] >= 3600) & (peaks[:-1] < 7200)
    assert (cuts.beats[in_flat] == 0).all()
    assert (cuts.beats[~in_flat, 0][1:8] > 0.9).all()


@settings(max_examples=60, deadline=None)
@given(
    gaps=st.lists(st.integers(1, 900), min_size=1, max_size=40),
    first=st.integers(0, 100),
    after=st.integers(1, 2000),
    rate=st.sampled_from([100, 125, 250, 360]),
    seed=st.integers(0, 100),
)
def test_any_rhythm_gives_sound_beats(gaps: list[int], first: int, after: int, rate: int, seed: int):
    peaks = first + np.concatenate([[0], np.cumsum(gaps)])
    signal = np.random.default_rng(seed).normal(size=peaks[-1] + after)
    cuts = hb.cut_beats(signal, peaks, rate)
    assert len(cuts.beats) == len(cuts.length) == len(cuts.rr_before) == len(gaps)
    assert ((cuts.length >= 1) & (cuts.length <= 187)).all()
    assert (cuts.beats >= 0).all()
    assert (cuts.beats <= 1).all()
    assert (cuts.beats[np.arange(187) >= cuts.length[:, None]] == 0).all()
    np.testing.assert_allclose(cuts.rr_after * rate, gaps)
    np.testing.assert_array_equal(cuts.rr_before[1:], cuts.rr_after[:-1])


@settings(max_examples=20, deadline=None)
@given(gain=st.floats(0.01, 100), offset=st.floats(-10, 10))
def test_beats_do_not_depend_on_unit_or_offset(gain: float, offset: float):
    peaks = np.arange(1, 14) * 300
    signal = ecg(12, peaks, 360)
    plain, changed = hb.cut_beats(signal, peaks, 360), hb.cut_beats(gain * signal + offset, peaks, 360)
    np.testing.assert_allclose(plain.beats, changed.beats, atol=1e-4)


@pytest.mark.parametrize(
    ("signal", "peaks", "rate", "words"),
    [
        (np.zeros((100, 2)), [1, 2], 360, "one lead"),
        (np.zeros(0), [1, 2], 360, "with samples"),
        (np.r_[0.0, 1.0, np.nan, 1.0], [0, 2], 360, "at sample 2"),
        (np.r_[0.0, np.inf, 1.0], [0, 2], 360, "at sample 1"),
        (np.ones(100), [1, 50], 0, "sampling rate"),
        (np.ones(100), [1, 50], 360.5, "sampling rate"),
        (np.ones(100), [1], 360, "at least two"),
        (np.ones(100), [], 360, "at least two"),
        (np.ones(100), [1.5, 20.5], 360, "whole sample numbers"),
        (np.ones(100), [50, 20], 360, "must rise"),
        (np.ones(100), [20, 20], 360, "must rise"),
        (np.ones(100), [-1, 20], 360, "between 0 and 99"),
        (np.ones(100), [1, 100], 360, "between 0 and 99"),
    ],
)
def test_cutting_refuses_what_is_no_signal_with_peaks(signal, peaks, rate, words: str):
    with pytest.raises(ValueError, match=words) as caught:
        hb.cut_beats(signal, np.array(peaks), rate)
    assert_clear(caught.value)


# --- one record ---


def test_a_record_is_read_with_units_names_and_beats_only(tmp_path: Path):
    peaks = np.array([300, 660, 700, 1020, 1400])
    signals = np.linspace(-1, 1, 3600)[:, None] * [1, 0.5]
    write_record(tmp_path, 7, peaks=peaks, symbols=["N", "V", "~", "/", "N"], signals=signals)
    record = hb.read_record(7, tmp_path, verify=False)
    assert record.number == 7
    assert record.lead_names == ("MLII", "V1")
    assert record.sampling_rate == 360
    assert record.r_peaks.tolist() == [300, 660, 1020, 1400]
    assert record.symbols.tolist() == ["N", "V", "/", "N"]
    np.testing.assert_allclose(record.signals, signals, atol=0.0051)  # 200 steps a millivolt
    assert record.title("Strip") == "Strip"


def test_the_lead_is_chosen_by_name(tmp_path: Path):
    for number, leads, main in ((1, ("MLII", "V1"), 0), (2, ("V5", "MLII"), 1), (3, ("V5", "V2"), 0)):
        write_record(tmp_path, number, leads=leads)
        assert hb.read_record(number, tmp_path, verify=False).main_lead == main


def test_an_unknown_number_is_refused():
    with pytest.raises(ValueError, match="no record 110"):
        hb.read_record(110)


def test_reading_without_verifying_needs_a_folder():
    with pytest.raises(ValueError, match="folder="):
        hb.read_record(100, verify=False)


def test_a_simulated_number_gives_the_simulated_record():
    record = hb.read_record(9208)
    assert record.simulated
    assert record.title("Strip") == "Strip (SIMULATED)"
    np.testing.assert_array_equal(record.signals, hb.simulate_record(9208).signals)


@pytest.mark.parametrize("ending", ["hea", "dat", "atr"])
def test_a_missing_file_is_named(tmp_path: Path, ending: str):
    write_record(tmp_path, 1)
    write_record(tmp_path, 2)
    (tmp_path / f"1.{ending}").unlink()
    with pytest.raises(SourceError) as caught:
        hb.read_record(1, tmp_path, verify=False)
    assert_clear(caught.value, f"1.{ending}", "missing", "Next:")
    with pytest.raises(SourceError, match=f"1.{ending}"):
        hb.load_heartbeats(folder=tmp_path, verify=False)


@pytest.mark.parametrize("keep", [0, 1, 1000, 16199])
def test_signals_cut_short_are_refused(tmp_path: Path, keep: int):
    write_record(tmp_path, 1)
    path = tmp_path / "1.dat"
    content = path.read_bytes()
    assert keep < len(content)
    path.write_bytes(content[:keep])
    with pytest.raises(SourceError) as caught:
        hb.read_record(1, tmp_path, verify=False)
    assert_clear(caught.value, "Record 1", "Next:")


def test_annotations_cut_short_anywhere_are_refused(tmp_path: Path):
    write_record(tmp_path, 1)
    path = tmp_path / "1.atr"
    content = path.read_bytes()
    for keep in range(len(content) - 1):
        path.write_bytes(content[:keep])
        with pytest.raises(SourceError) as caught:
            hb.read_record(1, tmp_path, verify=False)
        assert_clear(caught.value, "Record 1", "Next:")


def test_a_changed_sample_is_caught_by_the_headers_checksum(tmp_path: Path):
    write_record(tmp_path, 1)
    path = tmp_path / "1.dat"
    content = bytearray(path.read_bytes())
    content[3000] ^= 1
    path.write_bytes(content)
    with pytest.raises(SourceError) as caught:
        hb.read_record(1, tmp_path, verify=False)
    assert_clear(caught.value, "lead MLII", "checksum", "Next:")


def test_a_header_without_checksums_is_accepted(tmp_path: Path):
    write_record(tmp_path, 1)
    path = tmp_path / "1.hea"
    kept = [" ".join(line.split()[:5]) if ".dat" in line else line for line in path.read_text().splitlines()]
    path.write_text("\n".join(kept) + "\n")
    assert len(hb.read_record(1, tmp_path, verify=False).r_peaks) == 29


def test_a_missing_sample_is_refused(tmp_path: Path):
    signals = np.ones((3600, 2))
    signals[5, 0] = np.nan
    write_record(tmp_path, 1, seconds=10, signals=signals)
    with pytest.raises(SourceError) as caught:
        hb.read_record(1, tmp_path, verify=False)
    assert_clear(caught.value, "NaN", "Next:")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: "what is this", "can't be read"),
        (lambda text: text.replace(" 360 10800", " 360.5 10800"), "360.5 samples a second"),
        (lambda text: text.replace(" 360 10800", " 360 0"), "can't be read"),
        (lambda text: text.replace("1.dat", "gone.dat"), "can't be read"),
    ],
)
def test_a_header_that_cannot_be_used_is_refused(tmp_path: Path, change, words: str):
    write_record(tmp_path, 1)
    path = tmp_path / "1.hea"
    changed = change(path.read_text())
    assert changed != path.read_text()
    path.write_text(changed)
    with pytest.raises(SourceError) as caught:
        hb.read_record(1, tmp_path, verify=False)
    assert_clear(caught.value, words, "Next:")


@pytest.mark.parametrize(
    ("peaks", "words"),
    [([300], "fewer than two"), ([300, 3700], "beyond the end"), ([300, 300, 500], "out of order")],
)
def test_annotations_that_do_not_fit_are_refused(tmp_path: Path, peaks: list[int], words: str):
    write_record(tmp_path, 1, seconds=10, peaks=np.array(peaks), signals=np.ones((3600, 2)))
    with pytest.raises(SourceError) as caught:
        hb.read_record(1, tmp_path, verify=False)
    assert_clear(caught.value, words, "Next:")


# --- folders, verification and the official host ---


def test_a_local_folder_gives_verified_beats(tiny_mitdb: Path, monkeypatch, capsys):
    monkeypatch.setenv("DAE_MITDB_DIR", str(tiny_mitdb))
    beats = hb.load_heartbeats(base_url="http://127.0.0.1:1/")
    assert len(beats) == 3 * 28
    assert np.unique(beats.record).tolist() == [100, 101, 114]
    assert beats.class_counts() == {"N": 20 + 8 + 28, "S": 5, "V": 8 + 5, "F": 5, "Q": 5}
    assert not beats.simulated
    assert beats.second_lead is None
    assert beats.lead_names == {100: ("MLII", "V1"), 101: ("MLII", "V1"), 114: ("MLII", "V5")}
    assert np.flatnonzero(np.isnan(beats.rr_before)).tolist() == [0, 28, 56]
    np.testing.assert_allclose(beats.rr_after, 1.0)
    np.testing.assert_allclose(beats.r_time[:3], [1, 2, 3])
    assert beats.symbols[28:33].tolist() == ["N", "A", "V", "F", "/"]
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert "84 beats of 3 records" in line
    assert str(tiny_mitdb) in line
    assert hb.fetch_mitdb("http://127.0.0.1:1/") == f"the records in {tiny_mitdb}"
    hb.check_mitdb()


def test_the_folder_argument_goes_before_the_setting(tiny_mitdb: Path, monkeypatch, tmp_path: Path):
    monkeypatch.setenv("DAE_MITDB_DIR", str(tmp_path / "nowhere"))
    assert len(hb.load_heartbeats(folder=tiny_mitdb)) == 84
    assert hb.read_record(100, tiny_mitdb).number == 100


def test_both_leads_show_the_same_stretch(tiny_mitdb: Path):
    beats = hb.load_heartbeats(folder=tiny_mitdb, leads="both")
    main = hb.load_heartbeats(folder=tiny_mitdb)
    np.testing.assert_array_equal(beats.beats, main.beats)
    assert beats.second_lead.shape == beats.beats.shape
    record = hb.read_record(114, tiny_mitdb)
    expected = hb.cut_beats(record.signals[:, 0], record.r_peaks, 360).beats
    np.testing.assert_array_equal(beats.second_lead[beats.record == 114], expected)
    assert (beats.second_lead[np.arange(187) >= beats.length[:, None]] == 0).all()


def test_both_leads_of_a_record_with_one_are_refused(tmp_path: Path):
    write_record(tmp_path / "own", 1, leads=("MLII",))
    assert len(hb.load_heartbeats(folder=tmp_path / "own", verify=False)) == 28
    with pytest.raises(ValueError, match="one lead only"):
        hb.load_heartbeats(folder=tmp_path / "own", verify=False, leads="both")


@pytest.mark.parametrize("ending", ["hea", "dat", "atr"])
@pytest.mark.parametrize("fault", ["missing", "short", "changed"])
def test_a_faulty_local_file_is_reported_and_nothing_is_used(
    tiny_mitdb: Path, monkeypatch, ending: str, fault: str
):
    monkeypatch.setenv("DAE_MITDB_DIR", str(tiny_mitdb))
    hb.load_heartbeats()  # the beats in the cache must not hide the fault
    path = tiny_mitdb / f"101.{ending}"
    content = path.read_bytes()
    if fault == "missing":
        path.unlink()
    elif fault == "short":
        path.write_bytes(content[:-1])
    else:
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    words = [f"101.{ending}", "missing" if fault == "missing" else "wrong digest", "DAE_MITDB_DIR", "Next:"]
    for action in (hb.load_heartbeats, hb.check_mitdb, hb.fetch_mitdb, lambda: hb.read_record(101)):
        with pytest.raises(SourceError) as caught:
            action()
        assert_clear(caught.value, *words)
    assert hb.read_record(100).number == 100  # its own files are right


def test_many_faults_are_counted(tiny_mitdb: Path):
    for path in tiny_mitdb.glob("*.dat"):
        path.unlink()
    for path in tiny_mitdb.glob("*.atr"):
        path.unlink()
    with pytest.raises(SourceError) as caught:
        hb.load_heartbeats(folder=tiny_mitdb)
    assert_clear(caught.value, "6 of 9 files", "…", "correct `folder`")


def test_a_setting_that_names_no_folder_is_reported(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("DAE_MITDB_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(SourceError) as caught:
        hb.load_heartbeats()
    assert_clear(caught.value, "no folder", "DAE_MITDB_DIR")


def serve(host, folder: Path) -> None:
    for path in folder.iterdir():
        host.answers[path.name] = path.read_bytes()


def test_records_are_fetched_verified_and_kept(tiny_mitdb: Path, official_host, capsys):
    serve(official_host, tiny_mitdb)
    with pytest.raises(SourceError, match="python -m dae_utils fetch mitdb"):
        hb.check_mitdb()
    first = hb.load_heartbeats(base_url=official_host.url)
    assert "the official host" in capsys.readouterr().out
    assert sorted(official_host.requests) == sorted(hb.MITDB_SHA256)
    again = hb.load_heartbeats(base_url=official_host.url)
    assert "from the cache, verified" in capsys.readouterr().out
    assert len(official_host.requests) == 9
    np.testing.assert_array_equal(first.beats, again.beats)
    hb.check_mitdb()
    assert hb.fetch_mitdb(official_host.url) == "the cache"
    assert hb.read_record(114, base_url=official_host.url).main_lead == 1


def test_one_record_is_fetched_alone(tiny_mitdb: Path, official_host):
    serve(official_host, tiny_mitdb)
    assert hb.read_record(101, base_url=official_host.url).number == 101
    assert sorted(official_host.requests) == ["101.atr", "101.dat", "101.hea"]


def test_a_wrong_file_from_the_host_is_refused_and_not_kept(tiny_mitdb: Path, official_host, tmp_path: Path):
    serve(official_host, tiny_mitdb)
    official_host.answers["101.dat"] = official_host.answers["101.dat"][:-1] + b"?"
    with pytest.raises(SourceError) as caught:
        hb.load_heartbeats(base_url=official_host.url, allow_simulated=False)
    assert_clear(caught.value, "101.dat", "digest", "DAE_MITDB_DIR")
    kept = {path.name for path in (tmp_path / "cache" / "mitdb").iterdir()}
    assert "101.dat" not in kept
    assert not list((tmp_path / "cache").glob("mitdb-beats*"))


def test_no_host_and_no_folder_give_simulated_beats_with_one_warning(tiny_mitdb: Path, official_host):
    official_host.answers["100.hea"] = official_host.status(500)
    with pytest.warns(UserWarning, match="SIMULATED") as caught:
        beats = hb.load_heartbeats(base_url=official_host.url)
    assert beats.simulated
    assert beats.title("Errors") == "Errors (SIMULATED)"
    assert beats.source == "SIMULATED (NeuroKit2)"
    (warning,) = [item for item in caught if "SIMULATED" in str(item.message)]
    text = str(warning.message)
    assert "\n" not in text
    for words in ("the cache", "DAE_MITDB_DIR", official_host.url, "HTTP"):
        assert words in text
    assert warning.filename == __file__


def test_an_unreachable_host_is_an_error_when_simulated_beats_are_not_wanted(tiny_mitdb: Path):
    with pytest.raises(SourceError) as caught:
        hb.load_heartbeats(base_url="http://127.0.0.1:1/", allow_simulated=False)
    assert_clear(caught.value, "127.0.0.1:1", "DAE_MITDB_DIR")


def test_a_cache_that_cannot_be_written_does_not_lead_to_simulated_beats(tiny_mitdb, official_host, tmp_path):
    serve(official_host, tiny_mitdb)
    (tmp_path / "cache").write_text("a file in the place of the folder")
    with pytest.raises(SourceError) as caught:
        hb.load_heartbeats(base_url=official_host.url)
    assert_clear(caught.value, "DAE_DATA_DIR")


def test_beats_of_a_local_folder_are_given_though_the_cache_cannot_be_written(
    tiny_mitdb: Path, tmp_path: Path
):
    (tmp_path / "cache").write_text("a file in the place of the folder")
    with pytest.warns(UserWarning, match="can't be kept") as caught:
        beats = hb.load_heartbeats(folder=tiny_mitdb)
    assert len(beats) == 84
    assert "\n" not in str(caught[0].message)


# --- the cache of cut beats ---


def count_cuts(monkeypatch) -> list[Path]:
    """Note each time that records are cut."""
    cuts: list[Path] = []
    original = hb._cut_records

    def noted(folder: Path, *rest):
        cuts.append(folder)
        return original(folder, *rest)

    monkeypatch.setattr(hb, "_cut_records", noted)
    return cuts


def test_beats_come_from_the_cache_unchanged(tiny_mitdb: Path, monkeypatch):
    cuts = count_cuts(monkeypatch)
    first = hb.load_heartbeats(folder=tiny_mitdb)
    again = hb.load_heartbeats(folder=tiny_mitdb)
    assert len(cuts) == 1
    assert again.lead_names == first.lead_names
    for name in first._row_fields():
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        assert getattr(first, name).dtype == getattr(again, name).dtype
    hb.load_heartbeats(folder=tiny_mitdb, leads="both")
    assert len(cuts) == 2


def test_damaged_or_outdated_beats_in_the_cache_are_cut_anew(tiny_mitdb: Path, tmp_path: Path, monkeypatch):
    cuts = count_cuts(monkeypatch)
    first = hb.load_heartbeats(folder=tiny_mitdb)
    path = tmp_path / "cache" / "mitdb-beats-main.npz"
    note = path.with_suffix(".json")
    good, good_note = path.read_bytes(), note.read_text()
    damage = [
        lambda: path.write_bytes(good[:-1]),
        lambda: path.write_bytes(good[:5000] + b"\xff\xff" + good[5002:]),
        lambda: path.unlink(),
        lambda: note.write_text("{}"),
        lambda: note.write_text("no JSON"),
        lambda: note.write_text("[]"),
        lambda: note.unlink(),
        lambda: monkeypatch.setattr(hb, "MITDB_SHA256", {**hb.MITDB_SHA256, "new": ""}),
    ]
    for number, harm in enumerate(damage, start=2):
        harm()
        np.testing.assert_array_equal(hb.load_heartbeats(folder=tiny_mitdb).beats, first.beats)
        assert len(cuts) == number
    assert path.read_bytes() == good
    assert note.read_text() != good_note
    assert not list(path.parent.glob("*.part"))
    assert not list(path.parent.glob(".*.part"))


# --- records of one's own ---


def test_own_records_are_read_without_digests_and_not_cached(tmp_path: Path, capsys):
    own = tmp_path / "own"
    write_record(own, 3, rate=250)
    write_record(own, 12, leads=("II", "V1"), symbols=["N", "V"] * 14 + ["N"])
    beats = hb.load_heartbeats(folder=own, verify=False)
    assert np.unique(beats.record).tolist() == [3, 12]
    assert len(beats) == 56
    assert "not verified" in beats.source
    assert "verified." not in capsys.readouterr().out
    assert not list((tmp_path / "cache").glob("mitdb-beats*"))
    assert hb.load_heartbeats(folder=own, verify=False, leads="both").lead_names[12] == ("II", "V1")


@pytest.mark.parametrize("name", ["first", "007"])
def test_own_records_need_plain_numbers(tmp_path: Path, name: str):
    write_record(tmp_path / "own", name)
    with pytest.raises(SourceError) as caught:
        hb.load_heartbeats(folder=tmp_path / "own", verify=False)
    assert_clear(caught.value, name, "plain numbers")


def test_an_own_folder_without_records_is_reported(tmp_path: Path):
    with pytest.raises(SourceError) as caught:
        hb.load_heartbeats(folder=tmp_path, verify=False)
    assert_clear(caught.value, "no WFDB records", "Next:")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"kind": "beats"}, 'kind must be "records" or "simulated"'),
        ({"leads": "all"}, 'leads must be "main" or "both"'),
        ({"verify": False}, "folder="),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict, words: str):
    with pytest.raises(ValueError, match=words):
        hb.load_heartbeats(**arguments)


# --- the container ---


def test_beats_can_be_taken_by_row_and_by_mask():
    beats = real_like()
    some = beats.take(np.array([3, 1]))
    np.testing.assert_array_equal(some.beats, beats.beats[[3, 1]])
    np.testing.assert_array_equal(some.record, beats.record[[3, 1]])
    normal = beats.take(beats.labels == 0)
    assert normal.class_counts() == {"N": len(normal), "S": 0, "V": 0, "F": 0, "Q": 0}
    assert normal.source == beats.source
    assert str(len(normal)) in repr(normal)
    assert beats.title("Errors") == "Errors"


def test_columns_of_different_lengths_are_refused():
    beats = real_like()
    with pytest.raises(ValueError, match="`labels` has 3 rows, but there are 400 beats"):
        hb.replace(beats, labels=np.zeros(3, int))


# --- Kaggle's files ---


def write_kaggle(path: Path, rows: int = 12, seed: int = 0) -> np.ndarray:
    """Write a file as Kaggle's, and return its table."""
    rng = np.random.default_rng(seed)
    table = np.round(rng.uniform(0.001, 1, (rows, 188)), 6)
    for row in range(rows):
        table[row, 100 + row : 187] = 0
    table[:, 187] = np.arange(rows) % 5
    np.savetxt(path, table, fmt="%.18e", delimiter=",")
    return table


def test_the_kaggle_pair_is_read(tmp_path: Path):
    train_csv, test_csv = tmp_path / "mitbih_train.csv", tmp_path / "mitbih_test.csv"
    table, other = write_kaggle(train_csv), write_kaggle(test_csv, rows=7, seed=1)
    train, test = hb.load_kaggle_csv(train_csv, str(test_csv))
    np.testing.assert_allclose(train.beats, table[:, :187], rtol=1e-6)
    assert train.beats.dtype == np.float32
    np.testing.assert_array_equal(test.labels, other[:, 187])
    assert train.labels.dtype == np.int64
    np.testing.assert_array_equal(train.length, 100 + np.arange(12))
    assert (train.record == -1).all()
    assert np.isnan(train.rr_before).all()
    assert np.isnan(train.rr_after).all()
    assert not train.simulated
    assert "mitbih_train.csv" in train.source
    with pytest.raises(ValueError, match="patients can't be kept apart"):
        hb.inter_patient_split(train)


def test_a_row_of_zeros_and_a_full_row_have_sound_lengths(tmp_path: Path):
    path = tmp_path / "beats.csv"
    table = np.zeros((2, 188))
    table[1, :187] = 1
    np.savetxt(path, table, delimiter=",")
    assert hb.load_kaggle_csv(path, path)[0].length.tolist() == [1, 187]


def edited(row: int, column: int, text: str):
    def edit(content: str) -> str:
        lines = content.splitlines()
        cells = lines[row].split(",")
        cells[column] = text
        lines[row] = ",".join(cells)
        return "\n".join(lines) + "\n"

    return edit


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: "\n".join(line[line.index(",") + 1 :] for line in text.splitlines()), ["187 columns"]),
        (lambda text: text.replace("\n", ",1\n"), ["189 columns"]),
        (lambda text: text.replace("\n", ",0.5\n", 2), ["189 columns"]),
        (lambda text: text[:-1] + ",0.5\n", ["no table of 188 columns", "line 12"]),
        (lambda text: text[: text.rindex(",")] + "\n", ["row 12, column 188", "empty or NaN"]),
        (edited(3, 7, ""), ["row 4, column 8", "empty or NaN"]),
        (edited(3, 7, "nan"), ["row 4, column 8", "empty or NaN"]),
        (edited(0, 0, "sample_0"), ["row 1, column 1", "'sample_0'", "no header"]),
        (edited(11, 186, "abc"), ["row 12, column 187", "'abc'", "not a number"]),
        (edited(2, 5, "1.5"), ["row 3, column 6", "'1.5'", "outside [0, 1]"]),
        (edited(2, 5, "-0.001"), ["row 3, column 6", "outside [0, 1]"]),
        (edited(2, 5, "inf"), ["row 3, column 6", "outside [0, 1]"]),
        (edited(4, 187, "5"), ["row 5, column 188", "no class from 0 to 4"]),
        (edited(4, 187, "-1"), ["row 5, column 188", "no class from 0 to 4"]),
        (edited(4, 187, "1.5"), ["row 5, column 188", "no class from 0 to 4"]),
        (edited(4, 187, "N"), ["row 5, column 188", "not a number"]),
        (lambda text: "", ["is empty"]),
        (lambda text: "\n" + text, ["an empty line"]),
    ],
)
def test_a_faulty_kaggle_file_is_refused_with_row_and_column(tmp_path: Path, change, words: list[str]):
    good, bad = tmp_path / "good.csv", tmp_path / "mitbih_test.csv"
    write_kaggle(good)
    bad.write_text(change(good.read_text()))
    with pytest.raises(ValueError, match=r"mitbih_test\.csv") as caught:
        hb.load_kaggle_csv(good, bad)
    assert_clear(caught.value, *words, "Next:")


def test_a_kaggle_file_that_is_no_text_is_refused(tmp_path: Path):
    path = tmp_path / "mitbih_train.csv"
    path.write_bytes(b"\xff\xfe\x00\x81" * 100)
    with pytest.raises(ValueError, match=r"mitbih_train\.csv") as caught:
        hb.load_kaggle_csv(path, path)
    assert_clear(caught.value, "Next:")


def test_a_kaggle_file_that_is_not_there_is_reported(tmp_path: Path):
    with pytest.raises(SourceError) as caught:
        hb.load_kaggle_csv(tmp_path / "mitbih_train.csv", tmp_path / "mitbih_test.csv")
    assert_clear(caught.value, "mitbih_train.csv", "Kaggle")


# --- splits ---


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), fraction=st.floats(0.05, 0.95))
def test_a_random_split_is_disjoint_complete_and_stratified(seed: int, fraction: float):
    beats = real_like(seed=seed % 7)
    train, test = hb.random_split(beats, fraction, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(len(beats)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(test) > 0).all()
    for name, count in beats.take(test).class_counts().items():
        assert abs(count - fraction * beats.class_counts()[name]) <= 1.5


def test_a_random_split_depends_on_its_seed_alone():
    beats = real_like()
    np.testing.assert_array_equal(hb.random_split(beats, seed=3).test, hb.random_split(beats, seed=3).test)
    assert not np.array_equal(hb.random_split(beats, seed=3).test, hb.random_split(beats, seed=4).test)
    assert len(hb.random_split(beats).test) == 80


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.2, float("nan")])
def test_a_random_split_needs_a_fraction(fraction: float):
    with pytest.raises(ValueError, match="between 0 and 1"):
        hb.random_split(real_like(), fraction)


def test_a_class_with_a_single_beat_cannot_be_split():
    beats = real_like()
    one = hb.replace(beats, labels=np.r_[4, np.zeros(399, int)])
    with pytest.raises(ValueError, match="can't be split") as caught:
        hb.random_split(one)
    assert_clear(caught.value, "Each class")


def test_patients_are_kept_apart():
    beats = real_like(960)
    train, test = hb.inter_patient_split(beats)
    assert set(beats.record[train]) == set(hb.DS1_RECORDS)
    assert set(beats.record[test]) == set(hb.DS2_RECORDS)
    assert len(train) == len(test) == 22 * 20
    left = np.setdiff1d(np.arange(960), np.concatenate([train, test]))
    assert set(beats.record[left]) == set(hb.PACED_RECORDS)


def test_the_patient_of_two_records_can_be_kept_on_one_side():
    beats = real_like(960)
    train, test = hb.inter_patient_split(beats, separate_201_202=True)
    assert 201 in beats.record[train]
    assert 202 not in beats.record[test]
    assert len(test) == 21 * 20


def test_beats_of_one_side_cannot_be_split_by_patient():
    with pytest.raises(ValueError, match="one side"):
        hb.inter_patient_split(real_like(records=(101, 102)))
    with pytest.raises(ValueError, match="first: 7"):
        hb.inter_patient_split(real_like(records=(100, 101, 7)))


# --- simulated beats ---


@pytest.fixture(scope="module")
def simulated() -> hb.Heartbeats:
    return hb.simulate_heartbeats(seed=0, minutes=3)


def test_simulated_beats_have_the_form_of_the_real_ones(simulated: hb.Heartbeats):
    assert simulated.simulated
    assert simulated.beats.shape[1] == 187
    assert simulated.beats.dtype == np.float32
    assert simulated.beats.min() == 0
    assert simulated.beats.max() == 1
    assert ((simulated.length >= 1) & (simulated.length <= 187)).all()
    assert len(np.unique(simulated.record)) == 48
    assert np.isnan(simulated.rr_before).sum() == 48
    assert not set(simulated.record) & set(hb.MITDB_RECORDS)
    assert simulated.class_names == ("N", "S", "V", "F", "Q")
    assert set(simulated.symbols) == set("NAVF/Q")
    assert all(names == ("MLII", "V1") for names in simulated.lead_names.values())


def test_simulated_classes_come_about_as_often_as_the_real_ones(simulated: hb.Heartbeats):
    counts = simulated.class_counts()
    assert all(count > 20 for count in counts.values())
    share = {name: count / len(simulated) for name, count in counts.items()}
    assert 0.75 < share["N"] < 0.9
    assert 0.01 < share["S"] < 0.05
    assert 0.04 < share["V"] < 0.1
    assert share["F"] < 0.02
    assert 0.05 < share["Q"] < 0.12
    paced = np.isin(simulated.record, [9000 + number for number in hb.PACED_RECORDS])
    assert (simulated.symbols[simulated.labels == 4] == "/").mean() > 0.9
    assert set(simulated.record[simulated.symbols == "/"]) == set(simulated.record[paced])


def test_simulated_rhythms_follow_the_class(simulated: hb.Heartbeats):
    rhythm = {}
    for name, label in (("N", 0), ("S", 1), ("V", 2)):
        before, after = [], []
        for record in np.unique(simulated.record):
            here = simulated.record == record
            normal = np.nanmedian(simulated.rr_before[here & (simulated.labels == 0)])
            before += list(simulated.rr_before[here & (simulated.labels == label)] / normal)
            after += list(simulated.rr_after[here & (simulated.labels == label)] / normal)
        rhythm[name] = np.nanmedian(before), np.nanmedian(after)
    assert rhythm["N"] == pytest.approx((1, 1), abs=0.02)
    assert rhythm["S"] == pytest.approx((0.7, 1.05), abs=0.05)
    assert rhythm["V"] == pytest.approx((0.65, 1.35), abs=0.05)  # the pause makes up for the lead


def test_simulated_ventricular_beats_are_wide_and_others_are_not():
    record = hb.simulate_record(9208)
    signal = record.signals[:, 0]

    def width(symbol: str) -> float:
        peaks = record.r_peaks[record.symbols == symbol]
        pieces = signal[peaks[:, None] + np.arange(-60, 60)].mean(axis=0)
        pieces -= np.median(signal)
        return float((pieces > 0.5 * pieces.max()).sum() / 360)

    assert width("V") > 2 * width("N")
    assert width("A") == pytest.approx(width("N"), abs=0.02)


def test_simulated_beats_split_as_the_real_ones_do(simulated: hb.Heartbeats):
    train, test = hb.inter_patient_split(simulated)
    assert set(simulated.record[train]) == {9000 + number for number in hb.DS1_RECORDS}
    assert set(simulated.record[test]) == {9000 + number for number in hb.DS2_RECORDS}
    assert all(simulated.take(train).class_counts().values())
    assert all(simulated.take(test).class_counts().values())
    train, test = hb.random_split(simulated)
    assert len(train) + len(test) == len(simulated)


def test_the_seed_decides_the_simulated_beats(simulated: hb.Heartbeats):
    hb._template.cache_clear()
    for number in (9100, 9104, 9234):
        record = hb.simulate_record(number, seed=0, minutes=3)
        again = hb.cut_beats(record.signals[:, 0], record.r_peaks, 360)
        np.testing.assert_array_equal(simulated.beats[simulated.record == number], again.beats)
    other = hb.simulate_record(9100, seed=1, minutes=1)
    assert not np.array_equal(other.signals, hb.simulate_record(9100, seed=0, minutes=1).signals)
    assert not np.array_equal(other.signals, hb.simulate_record(9101, seed=1, minutes=1).signals)


def test_simulated_beats_can_be_asked_for_outright_with_both_leads():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        beats = hb.load_heartbeats("simulated", leads="both")
    assert beats.simulated
    assert beats.second_lead.shape == beats.beats.shape
    assert not np.array_equal(beats.second_lead, beats.beats)
    record = hb.read_record(int(beats.record[0]))
    np.testing.assert_array_equal(beats.r_time[beats.record == 9100], record.r_peaks[:-1] / 360)


@pytest.mark.parametrize(("number", "minutes"), [(100, 10), (9110, 10), (9100, 0.5), (9100, 31)])
def test_a_simulated_record_needs_a_known_number_and_a_sound_length(number: int, minutes: float):
    with pytest.raises(ValueError, match=r"simulated record"):
        hb.simulate_record(number, minutes=minutes)
