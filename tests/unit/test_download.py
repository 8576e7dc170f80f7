"""Faults of the network: a clear error each, in time, and nothing bad left in the cache."""

from __future__ import annotations

import gzip
import socket
import threading
import time

import pytest
import requests
from toy_set import (
    BODY,
    NOBODY,
    QUICK,
    X,
    assert_clear,
    assert_good,
    contents,
    flip,
    small_source,
    wait_until,
)
from tqdm import tqdm

from dae_utils.data.download import Limits, RouteFailure, download
from dae_utils.data.sources import load_arrays
from dae_utils.data.storage import SourceError

FAULTS = {
    "cut short": (lambda host: host.cut_short(BODY), "the download was cut short"),
    "corrupted": (lambda host: flip(BODY), "x has the wrong SHA-256 digest"),
    "other labels": (lambda host: X.tobytes() + bytes(60), "y has the wrong SHA-256 digest"),
    "not the format": (lambda host: b"<html>Please sign in</html>", "cannot be decoded"),
    "no labels": (lambda host: X.tobytes(), "y is uint8 (0,) instead of uint8 (60,)"),
    "empty": (lambda host: b"", "cannot be decoded"),
    "too large": (lambda host: b"0" * 100_001, "larger than 100 kB"),
    "404": (lambda host: host.status(404), "HTTP 404"),
    "500": (lambda host: host.status(500), "HTTP 500"),
    "silence": (lambda host: host.silence(), "no answer within 0.4 s"),
    "stall": (lambda host: host.stall(BODY), "no data for 0.4 s"),
    "slow drip": (lambda host: host.drip(BODY, 900, 0.05), "too slow, fewer than 50 kB/s over 0.4 s"),
    "slower drip": (lambda host: host.drip(BODY, 1, 0.02), "nothing arrived within 0.8 s"),
    "no HTTP": (lambda host: lambda handler: None, "the connection broke"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_of_the_official_host(fault, official_host, cache_folder):
    make, words = FAULTS[fault]
    official_host.answers["pair.bin"] = make(official_host)
    start = time.monotonic()
    with pytest.raises(SourceError) as caught:
        load_arrays(small_source(official_host.url), QUICK)
    assert time.monotonic() - start < 5
    assert_clear(caught.value, "the official host (127.0.0.1", words)
    assert contents(cache_folder) == set()

    # The fault is over: the same call succeeds, so nothing bad was kept.
    official_host.answers["pair.bin"] = BODY
    assert_good(load_arrays(small_source(official_host.url), QUICK)[0])
    assert contents(cache_folder) == {"pair.npz"}


@pytest.mark.parametrize("fault", ["cut short", "500", "no HTTP"])
def test_passing_fault_is_tried_once_more(fault, official_host, cache_folder):
    official_host.answers["pair.bin"] = official_host.in_turn(FAULTS[fault][0](official_host), BODY)
    assert_good(load_arrays(small_source(official_host.url), QUICK)[0])
    assert len(official_host.requests) == 2


@pytest.mark.parametrize("fault", ["404", "silence", "corrupted"])
def test_lasting_fault_is_not_tried_again(fault, official_host, cache_folder):
    official_host.answers["pair.bin"] = FAULTS[fault][0](official_host)
    with pytest.raises(SourceError):
        load_arrays(small_source(official_host.url), QUICK)
    assert len(official_host.requests) == 1


def test_slow_but_steady_download_is_let_through(official_host, cache_folder):
    official_host.answers["pair.bin"] = official_host.drip(
        BODY, 4000, 0.1
    )  # 40 kB/s, longer than two windows
    limits = Limits(connect=0.4, answer=0.4, window=0.4, slowest=5_000)
    assert_good(load_arrays(small_source(official_host.url), limits)[0])


def test_gz_file_that_the_host_calls_compressed_text_arrives_as_it_is(official_host, tmp_path):
    body = gzip.compress(BODY)

    def answer(handler):
        handler.send_response(200)
        if "gzip" in handler.headers.get("Accept-Encoding", ""):
            handler.send_header("Content-Encoding", "gzip")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    official_host.answers["pair.gz"] = answer
    download(official_host.url + "pair.gz", tmp_path / "pair.gz", description="", most=10**6, limits=QUICK)
    assert (tmp_path / "pair.gz").read_bytes() == body


def test_name_look_up_that_hangs_is_given_up(cache_folder, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(10) and [])
    start = time.monotonic()
    with pytest.raises(SourceError) as caught:
        load_arrays(small_source("http://host.invalid/"), QUICK)
    release.set()
    assert time.monotonic() - start < 3
    assert_clear(caught.value, "nothing arrived within 0.8 s")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (requests.ConnectTimeout(), "no connection within 0.4 s"),
        (requests.exceptions.SSLError("bad"), "certificate"),
        (requests.exceptions.InvalidURL("odd"), "InvalidURL: odd"),
    ],
)
def test_other_errors_of_the_network_in_words(error, words, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(requests, "get", fail)
    with pytest.raises(RouteFailure, match=words):
        download(NOBODY, tmp_path / "new", description="", most=9, limits=QUICK)


def test_stated_length_that_is_no_number_is_left_aside(official_host, tmp_path):
    def answer(handler):
        handler.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Length: many\r\n\r\n" + BODY)

    official_host.answers["pair.bin"] = answer
    download(official_host.url + "pair.bin", tmp_path / "new", description="", most=10**6, limits=QUICK)
    assert (tmp_path / "new").read_bytes() == BODY


def test_abandoned_download_ends_its_thread(official_host, cache_folder):
    official_host.answers["pair.bin"] = b"0" * 4_000_000  # more than the queue between the threads holds
    with pytest.raises(SourceError, match="larger than"):
        load_arrays(small_source(official_host.url), QUICK)
    wait_until(lambda: not any(thread.name == "download" for thread in threading.enumerate()), 5)


def test_progress_shows_size_and_rate(official_host, cache_folder, monkeypatch):
    seen = []

    class Recorder(tqdm):
        def close(self):
            if not self.disable:
                seen.append(str(self))
            super().close()

    monkeypatch.setattr("dae_utils.data.download.tqdm", Recorder)
    monkeypatch.setenv("DAE_PROGRESS", "1")
    official_host.answers["pair.bin"] = official_host.drip(BODY, 12_020, 0.12)
    load_arrays(small_source(official_host.url), QUICK)
    assert "Pair: pair.bin" in seen[0]
    assert "36.1k/36.1k" in seen[0]
    assert "B/s" in seen[0]


def test_quiet_when_nobody_watches(official_host, cache_folder, monkeypatch, capfd):
    monkeypatch.setenv("DAE_PROGRESS", "0")
    official_host.answers["pair.bin"] = BODY
    load_arrays(small_source(official_host.url), QUICK)
    assert capfd.readouterr().err == ""
