"""The files of the detectors that come with the library: intact, without heartbeats, and made by a tool."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from own_files import heart
from toy_hearts import assert_clear

from dae_utils.data.simulated import simulate_record
from dae_utils.data.storage import SourceError
from dae_utils.signals import shipped
from dae_utils.signals.shipped import SHIPPED_FOLDER, load_detector, save_detector, shipped_detectors
from dae_utils.signals.ventricular import AlarmRule, difference_size
from tools import ship_detector
from tools.notebook_code import PROJECT

NAMES = ("one_lead", "two_leads")


def test_a_detector_for_one_lead_and_one_for_two_come_with_the_library():
    assert shipped_detectors() == NAMES
    for name in NAMES:
        detector = load_detector(name)
        assert detector.name == name
        assert len(detector.trained_for.lead_names) == NAMES.index(name) + 1
        assert sorted(detector.thresholds) == [2, 5, 10, 20]
        assert 0 < detector.largest_error < 100


@pytest.mark.parametrize("name", NAMES)
def test_the_files_are_intact_and_hold_a_network_and_nothing_else(name):
    content = (SHIPPED_FOLDER / f"{name}.npz").read_bytes()
    note = json.loads((SHIPPED_FOLDER / f"{name}.json").read_text("utf-8"))

    assert hashlib.sha256(content).hexdigest() == note["sha256"]
    assert len(content) < 100_000
    with np.load(SHIPPED_FOLDER / f"{name}.npz", allow_pickle=False) as archive:
        shapes = {key: archive[key].shape for key in archive.files}
    inputs = 58 * (NAMES.index(name) + 1)
    sizes = [inputs, 64, 8, 64, inputs]
    assert note["made"]["network"] == "-".join(map(str, sizes))
    assert shapes == {f"kernel_{k}": (sizes[k], sizes[k + 1]) for k in range(4)} | {
        f"bias_{k}": (sizes[k + 1],) for k in range(4)
    }
    # A beat in the note would be a list of 58 numbers or more.
    assert longest_list(note) < 25


def longest_list(value: object) -> int:
    if isinstance(value, dict):
        return max((longest_list(one) for one in value.values()), default=0)
    if isinstance(value, list):
        return max([len(value), *map(longest_list, value)])
    return 0


def test_the_files_are_part_of_an_installed_library():
    settings = (PROJECT / "pyproject.toml").read_text("utf-8")

    assert 'dae_utils = ["signals/trained_detectors/*"]' in settings
    assert SHIPPED_FOLDER == PROJECT / "dae_utils" / "signals" / "trained_detectors"


def test_what_is_said_of_the_shipped_detectors_was_measured():
    for name in NAMES:
        made = load_detector(name).made
        assert made["chosen_on"]["10"]["records"] == 22
        assert made["tested_on"]["10"]["records"] == 21
        assert "202" not in made["tested_on"]["10"]["each"]
        for notes in (made, made["without_network"]):
            assert notes["tested_on"].keys() == notes["chosen_on"].keys()
            for number, told in notes["chosen_on"].items():
                assert told["false_alarms_per_hour"] <= float(number) / 2


def test_a_detector_is_stored_and_loaded(tmp_path):
    detector = load_detector("one_lead")
    path = save_detector(replace(detector, name="mine"), tmp_path)

    again = load_detector(path)

    assert again.name == "mine"
    assert again.thresholds == detector.thresholds
    assert again.rule == detector.rule
    assert again.trained_for == detector.trained_for
    record = heart(360, ("MLII",))
    one, other = (d.score(record, first_seconds=60) for d in (detector, again))
    assert [b.score for b in one.beats[100:]] == [b.score for b in other.beats[100:]]


def test_an_unknown_detector_is_refused(tmp_path):
    with pytest.raises(ValueError, match="there are one_lead, two_leads"):
        load_detector("three_leads")
    with pytest.raises(ValueError, match="no detector"):
        load_detector(tmp_path / "gone.json")


@pytest.mark.parametrize(
    ("ending", "change"),
    [
        ("npz", lambda content: content[:-40]),
        ("npz", lambda content: content.replace(b"kernel_0", b"kernel_9")),
        ("npz", None),
        ("json", lambda content: content.replace(b'"unit": 0', b'"unit": 1')),
        ("json", lambda content: content[:100]),
        ("json", lambda content: b"[]"),
    ],
)
def test_damaged_files_are_refused(tmp_path, ending, change):
    for name in ("one_lead.npz", "one_lead.json"):
        shutil.copy(SHIPPED_FOLDER / name, tmp_path)
    path = tmp_path / f"one_lead.{ending}"
    if change is None:
        path.unlink()
    else:
        changed = change(path.read_bytes())
        assert changed != path.read_bytes()
        path.write_bytes(changed)

    with pytest.raises(SourceError) as caught:
        load_detector(tmp_path / "one_lead.json")
    assert_clear(caught.value, "can't be loaded", "Next:")


def test_files_of_another_version_are_refused(tmp_path, monkeypatch):
    detector = load_detector("one_lead")
    with monkeypatch.context() as patch:
        patch.setattr(shipped, "_FORMAT", 3)
        path = save_detector(detector, tmp_path)

    with pytest.raises(SourceError, match="it has format 3, and this library reads 2"):
        load_detector(path)


def test_a_weight_too_large_for_half_precision_is_not_stored(tmp_path):
    detector = load_detector("one_lead")
    network = detector.learnt.network
    huge = replace(network, biases=[np.full(64, 1e9), *network.biases[1:]])
    with pytest.raises(ValueError, match="half precision"), np.errstate(over="ignore"):
        save_detector(replace(detector, learnt=replace(detector.learnt, network=huge)), tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_tool_makes_a_detector_from_annotated_records(tmp_path, monkeypatch, capsys):
    records = {number: simulate_record(9000 + number, minutes=2) for number in (100, 101, 103, 105)}
    monkeypatch.setattr(ship_detector, "DS1_RECORDS", (100, 101, 103, 105))
    monkeypatch.setattr(ship_detector, "DS2_RECORDS", (101, 202))
    monkeypatch.setattr(ship_detector, "read_record", records.__getitem__)
    made = ship_detector.make_detector

    def quickly(name, lead_names, given, **settings):
        return made(name, lead_names, given, epochs=1, seeds=(0,), first_seconds=40, **settings)

    monkeypatch.setattr(ship_detector, "make_detector", quickly)
    monkeypatch.setattr(ship_detector, "tested", lambda detector, others: {"10": {"records": len(others)}})
    bare = ship_detector.judged_without_network
    monkeypatch.setattr(ship_detector, "judged_without_network", lambda *given: bare(*given, 40))

    assert ship_detector.main(["one_lead", "--test", "--folder", str(tmp_path)]) == 0

    assert "one_lead.json" in capsys.readouterr().out
    detector = load_detector(tmp_path / "one_lead.json")
    assert detector.made["tested_on"] == {"10": {"records": 1}}  # without record 202
    assert detector.made["chosen_on"]["20"]["records"] == 4
    assert detector.made["chosen_on"]["20"]["false_alarms_per_hour"] <= 10
    bare = detector.made["without_network"]
    assert bare["chosen_on"]["20"]["records"] == 4
    assert bare["chosen_on"]["20"]["false_alarms_per_hour"] <= 10
    assert list(bare["tested_on"]["20"]["each"]) == [records[101].name]
    scored = detector.score(records[103], first_seconds=40)
    assert np.isfinite([beat.score for beat in scored.beats[-20:]]).all()
    with pytest.raises(SystemExit):
        ship_detector.main(["three_leads"])


def watched(numbers=(9100, 9103)):
    """Return simulated patients, watched by the mere size of the difference."""
    detector = load_detector("one_lead")
    patients = [
        ship_detector.patient_of(simulate_record(number, minutes=3), detector, 40) for number in numbers
    ]
    return ship_detector.Watched(patients, [[patient.columns(difference_size) for patient in patients]])


def test_a_threshold_is_the_lowest_that_keeps_its_promise():
    some = watched()

    rule = some.with_threshold(AlarmRule(timing_weight=0.2), 30)

    assert some.together(rule)[1] <= 30
    assert some.together(replace(rule, threshold=rule.threshold - 0.02))[1] > 30
    assert some.with_threshold(rule, 0).threshold > rule.threshold


def test_no_threshold_is_invented(monkeypatch):
    some = watched()
    monkeypatch.setattr(ship_detector, "LADDER", np.array([0.0, 0.1]))

    with pytest.raises(ValueError, match="no threshold keeps these patients under 1 false alarms an hour"):
        some.with_threshold(AlarmRule(), 1)


def test_the_rule_that_finds_most_is_chosen():
    some = watched()

    rules = [AlarmRule(timing_weight=weight) for weight in (0.0, 0.2, 0.9)]
    best = some.best(rules)

    shares = [some.together(some.with_threshold(rule, 5))[0] for rule in rules]
    assert some.together(best)[0] == max(shares) > min(shares)
    assert some.together(best)[1] <= 5


def test_the_differences_that_teach_are_those_of_normal_beats():
    record = simulate_record(9208, minutes=3)
    patient = ship_detector.patient_of(record, load_detector("one_lead"), 40)

    is_later = record.r_peaks > 40 * 360
    n_normal = int((np.isin(record.symbols, list("NLRej")) & is_later).sum())
    assert 0.8 * n_normal < len(patient.differences) <= n_normal
    assert patient.differences.shape[1] == 58
