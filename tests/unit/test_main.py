"""The command `python -m dae_utils`."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import types
from dataclasses import replace

import numpy as np
import pytest

from dae_utils import __main__ as command
from dae_utils.data.images import SOURCES
from dae_utils.data.routes import OfficialHost
from dae_utils.data.sources import ArraySpec
from dae_utils.data.storage import SourceError

Y = np.arange(9, dtype=np.uint8)


@pytest.fixture
def small_sets(official_host, cache_folder, monkeypatch):
    """Tiny data sets of the real names on the local server, and heartbeats that only note what is asked."""
    for key, source in SOURCES.items():
        official_host.answers[f"{key}.bin"] = Y.tobytes()
        route = OfficialHost(
            official_host.url,
            {f"{key}.bin": 9},
            lambda raw: {"y": np.frombuffer(next(iter(raw.values())), np.uint8)},
        )
        spec = ArraySpec(Y.shape, hashlib.sha256(Y.tobytes()).hexdigest())
        small = replace(source, arrays={"y": spec}, routes=(route,))
        monkeypatch.setitem(SOURCES, key, small)
    asked = []
    monkeypatch.setattr(command, "fetch_mitdb", lambda: asked.append("fetch") or "the cache")
    monkeypatch.setattr(command, "check_mitdb", lambda: asked.append("check"))
    monkeypatch.delenv("DAE_MITDB_DIR", raising=False)
    return types.SimpleNamespace(host=official_host, folder=cache_folder, asked=asked)


def test_fetches_all_sets_then_finds_them(small_sets, capsys):
    assert command.main(["fetch"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["MNIST", "Fashion-MNIST", "CIFAR-10", "MIT-BIH"]
    assert all("from the official host" in line for line in lines[:3])
    assert lines[3] == "MIT-BIH: from the cache, verified."
    assert small_sets.asked == ["fetch"]

    assert command.main(["fetch"]) == 0
    assert "official" not in capsys.readouterr().out
    assert len(small_sets.host.requests) == 3


def test_fetches_only_what_is_named(small_sets, capsys):
    assert command.main(["fetch", "cifar10", "mnist"]) == 0
    assert small_sets.host.requests == ["cifar10.bin", "mnist.bin"]
    assert small_sets.asked == []


def test_one_set_that_fails_does_not_stop_the_others(small_sets, capsys):
    del small_sets.host.answers["mnist.bin"]
    assert command.main(["fetch", "mnist", "cifar10"]) == 1
    output = capsys.readouterr()
    assert "CIFAR-10: from the official host" in output.out
    assert "HTTP 404" in output.err
    assert len(output.err.splitlines()) <= 3
    assert "Traceback" not in output.err


@pytest.mark.parametrize("arguments", [["--check"], ["fetch", "--check"], ["--check", "fetch"]])
def test_check_says_what_is_missing_or_damaged(arguments, small_sets, capsys):
    assert command.main(arguments) == 1
    assert capsys.readouterr().err.count("it is not in the cache") == 3
    assert small_sets.host.requests == []
    assert small_sets.asked == ["check"]

    command.main(["fetch"])
    capsys.readouterr()
    assert command.main(arguments) == 0
    output = capsys.readouterr()
    assert output.out.count(": verified.") == 4
    assert output.err == ""

    (small_sets.folder / "mnist.npz").write_bytes(b"spoiled")
    assert command.main(arguments) == 1
    assert "MNIST: it cannot be decoded" in capsys.readouterr().err
    assert (
        command.main([*arguments, "cifar10"] if "fetch" in arguments else ["fetch", "--check", "cifar10"])
        == 0
    )


def test_check_of_heartbeats_that_are_not_right(small_sets, monkeypatch, capsys):
    def check() -> None:
        raise SourceError("MIT-BIH: 1 file is missing.\nNext: fetch it.")

    monkeypatch.setattr(command, "check_mitdb", check)
    assert command.main(["fetch", "--check", "mitdb"]) == 1
    assert capsys.readouterr().err == "MIT-BIH: 1 file is missing.\nNext: fetch it.\n"


@pytest.mark.parametrize("arguments", [["--list"], ["fetch", "--list"]])
def test_list_shows_everything_and_fetches_nothing(arguments, small_sets, capsys):
    command.main(["fetch", "mnist"])
    capsys.readouterr()
    assert command.main(arguments) == 0
    output = capsys.readouterr().out
    for word in (
        "fashion_mnist",
        "CC BY-SA 3.0",
        "ODC-By 1.0",
        "none stated",
        "MIT",
        "9 bytes",
        "Moody and Mark",
    ):
        assert word in output
    assert str(small_sets.folder / "mnist.npz") in output
    assert output.count("(present)") == 1
    assert output.count("(not fetched yet)") == 3
    assert small_sets.host.requests == ["mnist.bin"]


def test_list_shows_the_folder_that_a_setting_names(small_sets, tmp_path, monkeypatch, capsys):
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "100.dat").touch()
    monkeypatch.setenv("DAE_MITDB_DIR", str(tmp_path / "records"))
    assert command.main(["fetch", "--list", "mitdb"]) == 0
    assert f"{tmp_path / 'records'} (present)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["fetch", "nosuch"],
            "there is no data set 'nosuch'; choose from mnist, fashion_mnist, cifar10, mitdb",
        ),
        (["get"], "invalid choice"),
        (["--list", "--check"], "not allowed with"),
    ],
)
def test_commands_that_are_not_understood(arguments, words, small_sets, capsys):
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


def test_no_command_shows_the_help(capsys):
    assert command.main([]) == 2
    assert "--check" in capsys.readouterr().out


def test_runs_as_a_module(cache_folder):
    environment = {**os.environ, "DAE_DATA_DIR": str(cache_folder)}
    run = [sys.executable, "-m", "dae_utils"]
    listed = subprocess.run([*run, "--list"], env=environment, capture_output=True, text=True, check=True)
    assert "not fetched yet" in listed.stdout
    checked = subprocess.run([*run, "fetch", "mnist", "--check"], env=environment, check=False, stderr=-1)
    assert checked.returncode == 1
    assert not cache_folder.exists()
