"""All beats in one call: folders, the official host, the cache of cut beats, and records of ones own."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import wfdb
from toy_hearts import assert_clear, digests_of, put_tiny_mitdb, write_record

from dae_utils.data import heartbeats, mitdb, sources
from dae_utils.data.beats import cut_beats
from dae_utils.data.download import Limits
from dae_utils.data.heartbeats import load_heartbeats
from dae_utils.data.records import read_record
from dae_utils.data.storage import SourceError

QUICK = Limits(connect=2, answer=2, window=2, attempts=1, pause=0)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the tests away from the reader's cache and settings."""
    monkeypatch.setenv("DAE_DATA_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("DAE_MITDB_DIR", raising=False)
    monkeypatch.setattr(sources, "Limits", lambda: QUICK)


@pytest.fixture
def tiny_mitdb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a database of three small records in the place of MIT-BIH."""
    return put_tiny_mitdb(tmp_path / "tiny", monkeypatch)


def test_a_local_folder_gives_verified_beats(tiny_mitdb: Path, monkeypatch, capsys):
    monkeypatch.setenv("DAE_MITDB_DIR", str(tiny_mitdb))
    beats = load_heartbeats(base_url="http://127.0.0.1:1/")
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
    assert mitdb.fetch_mitdb("http://127.0.0.1:1/") == f"the records in {tiny_mitdb}"
    mitdb.check_mitdb()


def test_the_folder_argument_goes_before_the_setting(tiny_mitdb: Path, monkeypatch, tmp_path: Path):
    monkeypatch.setenv("DAE_MITDB_DIR", str(tmp_path / "nowhere"))
    assert len(load_heartbeats(folder=tiny_mitdb)) == 84
    assert read_record(100, tiny_mitdb).number == 100


def test_both_leads_show_the_same_stretch(tiny_mitdb: Path):
    beats = load_heartbeats(folder=tiny_mitdb, leads="both")
    main = load_heartbeats(folder=tiny_mitdb)
    np.testing.assert_array_equal(beats.beats, main.beats)
    assert beats.second_lead.shape == beats.beats.shape
    record = read_record(114, tiny_mitdb)
    expected = cut_beats(record.signals[:, 0], record.r_peaks, 360).beats
    np.testing.assert_array_equal(beats.second_lead[beats.record == 114], expected)
    assert (beats.second_lead[np.arange(187) >= beats.length[:, None]] == 0).all()


def test_both_leads_of_a_record_with_one_are_refused(tmp_path: Path):
    write_record(tmp_path / "own", 1, leads=("MLII",))
    assert len(load_heartbeats(folder=tmp_path / "own", verify=False)) == 28
    with pytest.raises(ValueError, match="one lead only"):
        load_heartbeats(folder=tmp_path / "own", verify=False, leads="both")


@pytest.mark.parametrize("ending", ["hea", "dat", "atr"])
@pytest.mark.parametrize("fault", ["missing", "short", "changed"])
def test_a_faulty_local_file_is_reported_and_nothing_is_used(
    tiny_mitdb: Path, monkeypatch, ending: str, fault: str
):
    monkeypatch.setenv("DAE_MITDB_DIR", str(tiny_mitdb))
    load_heartbeats()  # the beats in the cache must not hide the fault
    path = tiny_mitdb / f"101.{ending}"
    content = path.read_bytes()
    if fault == "missing":
        path.unlink()
    elif fault == "short":
        path.write_bytes(content[:-1])
    else:
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    words = [f"101.{ending}", "missing" if fault == "missing" else "wrong digest", "DAE_MITDB_DIR", "Next:"]
    for action in (load_heartbeats, mitdb.check_mitdb, mitdb.fetch_mitdb, lambda: read_record(101)):
        with pytest.raises(SourceError) as caught:
            action()
        assert_clear(caught.value, *words)
    assert read_record(100).number == 100  # its own files are right


def test_many_faults_are_counted(tiny_mitdb: Path):
    for path in tiny_mitdb.glob("*.dat"):
        path.unlink()
    for path in tiny_mitdb.glob("*.atr"):
        path.unlink()
    with pytest.raises(SourceError) as caught:
        load_heartbeats(folder=tiny_mitdb)
    assert_clear(caught.value, "6 of 9 files", "…", "correct `folder`")


def test_a_setting_that_names_no_folder_is_reported(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("DAE_MITDB_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(SourceError) as caught:
        load_heartbeats()
    assert_clear(caught.value, "no folder", "DAE_MITDB_DIR")


def serve(host, folder: Path) -> None:
    for path in folder.iterdir():
        host.answers[path.name] = path.read_bytes()


def test_records_are_fetched_verified_and_kept(tiny_mitdb: Path, official_host, capsys):
    serve(official_host, tiny_mitdb)
    with pytest.raises(SourceError, match="python -m dae_utils fetch mitdb"):
        mitdb.check_mitdb()
    first = load_heartbeats(base_url=official_host.url)
    assert "the official host" in capsys.readouterr().out
    assert sorted(official_host.requests) == sorted(mitdb.MITDB_SHA256)
    again = load_heartbeats(base_url=official_host.url)
    assert "from the cache, verified" in capsys.readouterr().out
    assert len(official_host.requests) == 9
    np.testing.assert_array_equal(first.beats, again.beats)
    mitdb.check_mitdb()
    assert mitdb.fetch_mitdb(official_host.url) == "the cache"
    assert read_record(114, base_url=official_host.url).main_lead == 1


def test_one_record_is_fetched_alone(tiny_mitdb: Path, official_host):
    serve(official_host, tiny_mitdb)
    assert read_record(101, base_url=official_host.url).number == 101
    assert sorted(official_host.requests) == ["101.atr", "101.dat", "101.hea"]


def test_a_wrong_file_from_the_host_is_refused_and_not_kept(tiny_mitdb: Path, official_host, tmp_path: Path):
    serve(official_host, tiny_mitdb)
    official_host.answers["101.dat"] = official_host.answers["101.dat"][:-1] + b"?"
    with pytest.raises(SourceError) as caught:
        load_heartbeats(base_url=official_host.url)
    assert_clear(caught.value, "101.dat", "digest", "DAE_MITDB_DIR")
    kept = {path.name for path in (tmp_path / "cache" / "mitdb").iterdir()}
    assert "101.dat" not in kept
    assert not list((tmp_path / "cache").glob("mitdb-beats*"))


def test_no_host_and_no_folder_give_simulated_beats_with_one_warning(tiny_mitdb: Path, official_host):
    official_host.answers["100.hea"] = official_host.status(500)
    with pytest.warns(UserWarning, match="SIMULATED") as caught:
        beats = load_heartbeats(base_url=official_host.url, allow_simulated=True)
    assert beats.simulated
    assert beats.title("Errors") == "Errors (SIMULATED)"
    assert beats.source == "SIMULATED (NeuroKit2)"
    (warning,) = [item for item in caught if "SIMULATED" in str(item.message)]
    text = str(warning.message)
    assert "\n" not in text
    for words in ("the cache", "DAE_MITDB_DIR", official_host.url, "HTTP"):
        assert words in text
    assert warning.filename == __file__


def test_an_unreachable_host_is_an_error_unless_simulated_beats_are_asked_for(tiny_mitdb: Path):
    with pytest.raises(SourceError) as caught:
        load_heartbeats(base_url="http://127.0.0.1:1/")
    assert_clear(caught.value, "127.0.0.1:1", "DAE_MITDB_DIR", 'load_heartbeats("simulated")')


def test_a_cache_that_cannot_be_written_does_not_lead_to_simulated_beats(tiny_mitdb, official_host, tmp_path):
    serve(official_host, tiny_mitdb)
    (tmp_path / "cache").write_text("a file in the place of the folder")
    with pytest.raises(SourceError) as caught:
        load_heartbeats(base_url=official_host.url, allow_simulated=True)
    assert_clear(caught.value, "DAE_DATA_DIR")


def test_beats_of_a_local_folder_are_given_though_the_cache_cannot_be_written(
    tiny_mitdb: Path, tmp_path: Path
):
    (tmp_path / "cache").write_text("a file in the place of the folder")
    with pytest.warns(UserWarning, match="can't be kept") as caught:
        beats = load_heartbeats(folder=tiny_mitdb)
    assert len(beats) == 84
    assert "\n" not in str(caught[0].message)


def count_reads(monkeypatch) -> list[str]:
    """Note each record that is read, which is when its beats are cut."""
    read: list[str] = []
    original = wfdb.rdrecord

    def noted(name: str, **settings):
        read.append(Path(name).name)
        return original(name, **settings)

    monkeypatch.setattr(wfdb, "rdrecord", noted)
    return read


def test_beats_come_from_the_cache_unchanged(tiny_mitdb: Path, monkeypatch):
    read = count_reads(monkeypatch)
    first = load_heartbeats(folder=tiny_mitdb)
    again = load_heartbeats(folder=tiny_mitdb)
    assert read == ["100", "101", "114"]
    for field in fields(first):
        before, after = getattr(first, field.name), getattr(again, field.name)
        np.testing.assert_array_equal(before, after)
        assert np.asarray(before).dtype == np.asarray(after).dtype
    load_heartbeats(folder=tiny_mitdb, leads="both")
    assert len(read) == 6


def test_damaged_or_outdated_beats_in_the_cache_are_cut_anew(tiny_mitdb: Path, tmp_path: Path, monkeypatch):
    read = count_reads(monkeypatch)
    first = load_heartbeats(folder=tiny_mitdb)
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
        lambda: note.write_text(json.dumps({**json.loads(good_note), "sha256": "0" * 64})),
        lambda: monkeypatch.setattr(heartbeats, "CUT_VERSION", heartbeats.CUT_VERSION + 1),
        lambda: monkeypatch.setattr(heartbeats, "version", lambda name: "99.0.0"),
    ]
    for number, harm in enumerate(damage, start=2):
        harm()
        np.testing.assert_array_equal(load_heartbeats(folder=tiny_mitdb).beats, first.beats)
        assert len(read) == 3 * number
    assert path.read_bytes() == good
    assert note.read_text() != good_note
    assert not list(path.parent.glob("*.part"))
    assert not list(path.parent.glob(".*.part"))


def test_beats_are_cut_anew_for_other_records(tiny_mitdb: Path, monkeypatch):
    first = load_heartbeats(folder=tiny_mitdb)
    write_record(tiny_mitdb, 100, symbols=["V"] * 29)
    monkeypatch.setattr(mitdb, "MITDB_SHA256", digests_of(tiny_mitdb))
    changed = load_heartbeats(folder=tiny_mitdb)
    assert changed.class_counts()["V"] == first.class_counts()["V"] + 20


def test_a_patch_release_of_scipy_does_not_cut_beats_anew(tiny_mitdb: Path, monkeypatch):
    read, known = count_reads(monkeypatch), heartbeats.version
    load_heartbeats(folder=tiny_mitdb)
    later = {name: ".".join(known(name).split(".")[:2]) + ".999" for name in ("numpy", "scipy")}
    monkeypatch.setattr(heartbeats, "version", later.get)
    load_heartbeats(folder=tiny_mitdb)
    assert len(read) == 3


def test_own_records_are_read_without_digests_and_not_cached(tmp_path: Path, capsys):
    own = tmp_path / "own"
    write_record(own, 3, rate=250)
    write_record(own, 12, leads=("II", "V1"), symbols=["N", "V"] * 14 + ["N"])
    beats = load_heartbeats(folder=own, verify=False)
    assert np.unique(beats.record).tolist() == [3, 12]
    assert len(beats) == 56
    assert "not verified" in beats.source
    assert "verified." not in capsys.readouterr().out
    assert not list((tmp_path / "cache").glob("mitdb-beats*"))
    assert load_heartbeats(folder=own, verify=False, leads="both").lead_names[12] == ("II", "V1")


@pytest.mark.parametrize("name", ["first", "007"])
def test_own_records_need_plain_numbers(tmp_path: Path, name: str):
    write_record(tmp_path / "own", name)
    with pytest.raises(SourceError) as caught:
        load_heartbeats(folder=tmp_path / "own", verify=False)
    assert_clear(caught.value, name, "plain numbers")


def test_an_own_folder_without_records_is_reported(tmp_path: Path):
    with pytest.raises(SourceError) as caught:
        load_heartbeats(folder=tmp_path, verify=False)
    assert_clear(caught.value, "no WFDB records", "Next:")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"kind": "beats"}, "kind must be one of 'records', 'simulated'"),
        ({"leads": "all"}, "leads must be one of 'main', 'both'"),
        ({"kind": "simulated", "leads": "all"}, "leads must be one of 'main', 'both'"),
        ({"verify": False}, "folder="),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict, words: str):
    with pytest.raises(ValueError, match=words):
        load_heartbeats(**arguments)
