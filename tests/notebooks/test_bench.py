"""The arithmetic of the benchmark, on made-up measurements."""

from __future__ import annotations

import json

import pytest

from tools import bench
from tools.bench_networks import NETWORKS, multiply_adds, training_seconds_at

TURNS = {
    "epochs": {
        "keras": [{"seconds": s, "memory_mb": m} for s, m in ((6.0, 900), (20.0, 950), (7.0, 940))],
        "ours": [{"seconds": s, "memory_mb": 700} for s in (2.0, 4.0, 3.5)],
    },
    "speeds": [1e9, 2e9, 4e9],
}


def test_ratios_are_taken_within_a_turn_and_their_median_is_reported():
    entries = bench._entries_of_turns("mnist_dense", TURNS, 1000)
    # 6/2, 20/4 and 7/3.5; the ratio of the medians would be 7/3.5 = 2.
    assert entries["bench.mnist_dense.keras_over_ours"][:4] == (3.0, 2.0, 5.0, 3)
    assert entries["bench.mnist_dense.keras_seconds"][:3] == (7.0, 6.0, 20.0)
    assert entries["bench.mnist_dense.keras_memory_mb"][0] == 950
    assert "bench.mnist_dense.torch_over_ours" not in entries


def test_the_share_of_the_bound_is_the_time_of_the_arithmetic_over_ours():
    entries = bench._entries_of_turns("mnist_dense", TURNS, 1000)
    operations = 2 * multiply_adds(NETWORKS["mnist_dense"].build()) * 1000
    shares = sorted((operations / 1e9 / 2, operations / 2e9 / 4, operations / 4e9 / 3.5))
    value, low, high, *_ = entries["bench.mnist_dense.share_of_bound"]
    assert (low, value, high) == pytest.approx(tuple(shares))
    assert training_seconds_at(1e9, NETWORKS["mnist_dense"].build(), 1000) == pytest.approx(operations / 1e9)


LISTING = {"losses": [0.9, 0.5], "times": [10.0, 21.0], "epochs": 2}


def test_the_time_to_the_loss_is_the_end_of_the_first_epoch_that_reaches_it():
    runs = [
        {"losses": [0.6, 0.49, 0.4], "times": [1.0, 2.0, 3.0], "epochs": 3},
        {"losses": [0.5, 0.45, 0.4], "times": [3.0, 4.0, 5.0], "epochs": 3},
        {"losses": [0.7, 0.6, 0.5], "times": [1.0, 2.0, 3.5], "epochs": 3},
    ]
    entries = bench._entries_of_training("mnist_dense", "sooner", LISTING, runs)
    assert entries["bench.mnist_dense.sooner_seconds"][:4] == (3.0, 2.0, 3.5, 3)
    assert entries["bench.mnist_dense.time_to_listing_loss_ratio"][:3] == (7.0, 6.0, 10.5)


def test_a_run_that_misses_the_loss_leaves_no_time_and_is_said(capsys):
    runs = [{"losses": [0.51], "times": [1.0], "epochs": 1}, {"losses": [0.4], "times": [1.0], "epochs": 1}]
    entries = bench._entries_of_training("mnist_dense", "sooner", LISTING, runs)
    assert set(entries) == {"bench.mnist_dense.sooner_loss", "bench.mnist_dense.sooner_epochs"}
    assert "1 of 2 runs did not reach" in capsys.readouterr().out


def test_the_same_training_is_compared_at_its_end():
    runs = [{"losses": [0.9, 0.4998], "times": [1.0, 2.0], "epochs": 2}]
    entries = bench._entries_of_training("mnist_dense", "same", LISTING, runs)
    assert entries["bench.mnist_dense.loss_difference"][0] == pytest.approx(-0.0002)
    assert entries["bench.mnist_dense.listing_seconds"][0] == 21.0


def test_a_measurement_is_made_once_and_kept_whole(tmp_path):
    made = []

    def measure():
        made.append(1)
        if len(made) == 1:
            raise KeyboardInterrupt
        return {"seconds": 1.5}

    first = bench.Bench(tmp_path, bench.TINY, None)
    with pytest.raises(KeyboardInterrupt):
        first.once("a", measure)
    assert not list(tmp_path.iterdir())
    assert first.once("a", measure) == bench.Bench(tmp_path, bench.TINY, None).once("a", measure)
    assert len(made) == 2


def test_what_is_saved_has_the_form_of_a_chapters_results(tmp_path):
    path = bench.save({"bench.mnist_dense.keras_over_ours": (3.0, 2.0, 5.0, 3, "a")}, tmp_path, bench.FULL)
    entry = json.loads(path.read_text())["bench.mnist_dense.keras_over_ours"]
    assert entry == {"value": 3.0, "low": 2.0, "high": 5.0, "seeds": 3, "protocol": "a", "profile": "full"}


def test_a_missing_torch_is_said_with_the_way_out(monkeypatch, capsys):
    monkeypatch.setattr(bench.importlib.util, "find_spec", lambda name: None)
    assert bench._torch_python(None) is None
    assert "pip install torch" in capsys.readouterr().out
    assert bench._torch_python("there") == "there"
