"""The web service: right answers, and a refusal in one line for everything that cannot be answered."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib

import keras
import numpy as np
import pytest
import requests
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from starlette.requests import ClientDisconnect

from dae_utils import serving
from dae_utils.networks.inner import predict_in_batches


def small_encoder(inputs=(16,), code_size=3, seed=0) -> keras.Model:
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [keras.Input(inputs), keras.layers.Flatten(), keras.layers.Dense(code_size, "tanh", name="code")],
        name="encoder",
    )


@pytest.fixture(scope="module")
def encoder():
    return small_encoder()


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).random((30, 4, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def codes(encoder, images):
    return predict_in_batches(encoder, images.reshape(-1, 16))


@pytest.fixture(scope="module")
def client(encoder, codes):
    app = serving.create_app(encoder, codes, most_images=8, most_bytes=20_000, most_neighbours=20)
    # An exception in the service reaches the client as a 500, as it would from a real server.
    return TestClient(app, raise_server_exceptions=False)


def png(pixels, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels), **options).save(file, "PNG")
    return file.getvalue()


def send_png(client, body, path="/encode"):
    return client.post(path, content=body, headers={"Content-Type": "image/png"})


def assert_refused(answer, status, words):
    assert answer.status_code == status, answer.text
    content = answer.json()
    assert set(content) == {"detail"}
    assert isinstance(content["detail"], str)
    assert len(content["detail"].splitlines()) == 1
    assert words in content["detail"]


def test_health_says_what_is_served(client):
    assert client.get("/health").json() == {
        "status": "ok",
        "image_shape": [4, 4],
        "code_size": 3,
        "images_to_search": 30,
        "most_images": 8,
    }


def test_codes_are_those_of_the_encoder_nested_or_in_a_row(client, images, codes):
    for some in (images[:5], images[:5].reshape(5, 16)):
        answer = client.post("/encode", json={"images": some.tolist()})
        assert answer.status_code == 200
        np.testing.assert_allclose(answer.json()["codes"], codes[:5], atol=1e-6)


def test_search_finds_the_nearest_with_their_distances(client, images, codes):
    answer = client.post("/search", json={"images": images[3:5].tolist(), "k": 7}).json()
    distances = np.linalg.norm(codes[3:5, np.newaxis] - codes, axis=2)
    np.testing.assert_array_equal(answer["ids"], np.argsort(distances, axis=1)[:, :7])
    np.testing.assert_allclose(answer["distances"], np.sort(distances, axis=1)[:, :7], atol=1e-3)
    assert [row[0] for row in answer["ids"]] == [3, 4]


def test_without_k_ten_are_found_or_as_many_as_there_are(client, encoder, codes, images):
    body = {"images": images[:1].tolist()}
    assert np.shape(client.post("/search", json=body).json()["ids"]) == (1, 10)
    few = TestClient(serving.create_app(encoder, codes[:4]))
    assert np.shape(few.post("/search", json=body).json()["ids"]) == (1, 4)


def test_a_picture_is_an_image_divided_by_255(client, encoder):
    pixels = np.arange(0, 256, 16, dtype=np.uint8).reshape(4, 4)
    expected = predict_in_batches(encoder, (pixels / 255).reshape(1, 16))
    as_colour = np.repeat(pixels[:, :, np.newaxis], 3, axis=2)
    for body in (png(pixels), png(as_colour)):
        answer = send_png(client, body)
        assert answer.status_code == 200
        np.testing.assert_allclose(answer.json()["codes"], expected, atol=1e-6)
    found = send_png(client, png(pixels), "/search?k=3").json()
    assert np.shape(found["ids"]) == (1, 3)


def test_colour_and_sides_keep_their_order():
    encoder = small_encoder((3, 5, 3))
    client = TestClient(serving.create_app(encoder))
    pixels = np.random.default_rng(1).integers(0, 256, (3, 5, 3), np.uint8)
    expected = predict_in_batches(encoder, pixels[np.newaxis] / np.float32(255))
    by_picture = send_png(client, png(pixels)).json()["codes"]
    by_json = client.post("/encode", json={"images": [(pixels / 255).tolist()]}).json()["codes"]
    np.testing.assert_allclose(by_picture, expected, atol=1e-6)
    np.testing.assert_allclose(by_json, expected, atol=1e-6)


GOOD = [[0.5] * 16]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, "not JSON"),
        (b"hello", 400, "not JSON"),
        (b"\xff\xfe\x00", 400, "not JSON"),
        (b"[" * 10_000, 422, "more lists"),
        (b'{"images": [' + b"9" * 9000 + b"]}", 400, "not JSON"),
        (b'{"images": [[NaN]]}', 422, "NaN"),
        (b'{"images": [[-Infinity]]}', 422, "-Infinity"),
        (json.dumps({"images": [[0.5] * 15 + [7e7]]}).replace("70000000.0", "1e999"), 422, "between 0 and 1"),
        ({}, 422, '"images"'),
        ([], 422, '"images"'),
        (None, 422, '"images"'),
        ({"images": GOOD, "K": 3}, 422, "nothing else"),
        ({"images": []}, 422, "one image or more"),
        ({"images": "0.5"}, 422, "one image or more"),
        ({"images": {"0": GOOD}}, 422, "one image or more"),
        ({"images": [[]]}, 422, "4 by 4 numbers"),
        ({"images": [0.5] * 8}, 422, "4 by 4 numbers"),
        ({"images": [[0.5] * 15]}, 422, "16 in one row"),
        ({"images": [[0.5] * 16, [0.5] * 15]}, 422, "4 by 4 numbers"),
        ({"images": [[["0.5"] * 4] * 4]}, 422, "4 by 4 numbers"),
        ({"images": [[True] * 16]}, 422, "4 by 4 numbers"),
        ({"images": [[None] * 16]}, 422, "4 by 4 numbers"),
        ({"images": [[10**30] * 16]}, 422, "4 by 4 numbers"),
        ({"images": [[[[0.5] * 4] * 4]]}, 422, "4 by 4 numbers"),
        ({"images": [[0.5] * 15 + [1.01]]}, 422, "between 0 and 1"),
        ({"images": [[0.5] * 15 + [-0.01]]}, 422, "between 0 and 1"),
        ({"images": [[255] * 16]}, 422, "between 0 and 1"),
        ({"images": GOOD * 9}, 413, "at most 8"),
        ({"images": GOOD * 1000}, 413, "longer than 20000"),
    ],
)
@pytest.mark.parametrize("path", ["/encode", "/search"])
def test_bodies_that_make_no_sense_are_refused(client, path, body, status, words):
    content = body if isinstance(body, (bytes, str)) else json.dumps(body)
    answer = client.post(path, content=content, headers={"Content-Type": "application/json"})
    assert_refused(answer, status, words)


@pytest.mark.parametrize("k", [0, -1, 21, 2.0, "3", True, None, [3], 10**400])
def test_k_is_a_whole_number_in_range(client, k):
    assert_refused(client.post("/search", json={"images": GOOD, "k": k}), 422, "whole number")


@pytest.mark.parametrize("k", ["0", "21", "", "x", "1.5", "-1", "٣", "9" * 5000])
def test_k_in_an_address_is_a_whole_number_in_range(client, k):
    answer = client.post(
        "/search",
        params={"k": k},
        content=png(np.zeros((4, 4), np.uint8)),
        headers={"Content-Type": "image/png"},
    )
    assert_refused(answer, 422, "from 1 to 20")


def test_k_in_the_wrong_place_is_refused(client):
    assert_refused(client.post("/encode", json={"images": GOOD, "k": 3}), 422, "/encode takes none")
    assert_refused(client.post("/search?k=3", json={"images": GOOD}), 422, "into the body")


def test_types_other_than_json_and_png_are_refused(client):
    for kind in ("text/plain", "image/jpeg", ""):
        answer = client.post("/encode", content=b"{}", headers={"Content-Type": kind})
        assert_refused(answer, 415, "application/json")


def damaged_png() -> bytes:
    """A picture whose pixels cannot be unpacked."""
    good = bytearray(png(np.zeros((4, 4), np.uint8)))
    at = good.index(b"IDAT") + 4
    good[at : at + 4] = b"\xff\xff\xff\xff"
    return bytes(good)


def huge_png() -> bytes:
    """A tiny file that claims a picture of 60 000 by 60 000 pixels."""
    good = png(np.zeros((4, 4), np.uint8))
    size = (60_000).to_bytes(4, "big") * 2 + good[24:29]
    head = b"IHDR" + size
    return good[:12] + head + zlib.crc32(head).to_bytes(4, "big") + good[33:]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, "PNG"),
        (b"hello", 400, "PNG"),
        (png(np.zeros((4, 4), np.uint8))[:45], 400, "PNG"),
        (damaged_png(), 400, "PNG"),
        (huge_png(), 400, "PNG"),
        (png(np.zeros((5, 4), np.uint8)), 422, "4 pixels wide"),
        (png(np.zeros((4, 4), np.uint16)), 422, "8 bits"),
        (png(np.zeros((4, 4, 4), np.uint8)), 422, "transparency"),
    ],
)
def test_pictures_that_do_not_fit_are_refused(client, body, status, words):
    assert_refused(send_png(client, body), status, words)


def test_a_jpeg_with_the_name_of_a_png_is_refused(client):
    file = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(file, "JPEG")
    assert_refused(send_png(client, file.getvalue()), 400, "PNG")


def test_an_encoder_of_other_things_takes_no_pictures():
    client = TestClient(serving.create_app(small_encoder((187,))))
    assert client.get("/health").json()["image_shape"] == [187]
    assert client.post("/encode", json={"images": [[0.5] * 187]}).status_code == 200
    assert_refused(send_png(client, png(np.zeros((4, 4), np.uint8))), 415, "json")


def test_a_search_without_images_is_not_found(encoder):
    client = TestClient(serving.create_app(encoder))
    assert client.get("/health").json()["images_to_search"] == 0
    assert_refused(client.post("/search", json={"images": GOOD}), 404, "without images")


def test_other_addresses_and_methods_are_refused(client):
    assert client.get("/encode").status_code == 405
    assert client.post("/", json={}).status_code == 404
    assert client.get("/docs").status_code == 404


def test_a_client_that_leaves_is_no_fault_of_ours(client, monkeypatch):
    async def leave(self):
        raise ClientDisconnect
        yield b""

    monkeypatch.setattr(serving.Request, "stream", leave)
    assert_refused(client.post("/encode", json={}), 400, "connection")


NUMBERS = st.floats() | st.integers() | st.booleans() | st.none() | st.text(max_size=5)
JSON = st.recursive(
    NUMBERS,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=20,
)
ROWS = st.lists(st.lists(st.floats() | st.floats(0, 1), min_size=15, max_size=17), max_size=3)


@settings(deadline=None, max_examples=150)
@given(
    content=JSON | st.fixed_dictionaries({"images": JSON | ROWS}, optional={"k": JSON | st.integers(-2, 30)}),
    path=st.sampled_from(["/encode", "/search"]),
)
def test_whatever_the_json_the_answer_is_codes_or_a_refusal(client, content, path):
    answer = client.post(path, content=json.dumps(content), headers={"Content-Type": "application/json"})
    if answer.status_code == 200:
        (first, *_) = answer.json().values()
        assert len(first) == len(content["images"])
    else:
        assert 400 <= answer.status_code < 500, answer.text
        assert len(answer.json()["detail"].splitlines()) == 1


@settings(deadline=None, max_examples=80)
@given(place=st.integers(0, 66), byte=st.integers(0, 255), cut=st.integers(0, 70))
def test_whatever_the_bytes_of_a_picture_nothing_breaks(client, place, byte, cut):
    body = bytearray(png(np.zeros((4, 4), np.uint8)))
    body[place % len(body)] = byte
    assert send_png(client, bytes(body)).status_code in (200, 400, 422)
    assert send_png(client, bytes(body[:cut])).status_code in (200, 400, 422)


def test_many_at_once_get_their_own_answers(client, images, codes):
    wrong = []

    def ask(number):
        for _ in range(5):
            answer = client.post("/encode", json={"images": images[number : number + 1].tolist()})
            if not np.allclose(answer.json()["codes"], codes[number], atol=1e-6):
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        ((None, None, 1), {}, "any size"),
        ((16,), {"image_shape": (3, 5)}, "does not fit"),
        ((16,), {"database": np.zeros((5, 4))}, "have 3 numbers"),
        ((16,), {"database": np.full((5, 3), np.nan)}, "NaN"),
        ((16,), {"most_images": 0}, "most_images"),
        ((16,), {"most_neighbours": 0}, "most_neighbours"),
        ((16,), {"most_bytes": 0}, "most_bytes"),
    ],
)
def test_what_cannot_be_served_is_refused_at_the_start(inputs, options, message):
    if None in inputs:
        model = keras.Sequential([keras.Input(inputs), keras.layers.GlobalAveragePooling2D()])
    else:
        model = small_encoder(inputs)
    with pytest.raises(ValueError, match=message):
        serving.create_app(model, **options)


def test_an_encoder_whose_codes_are_no_rows_is_refused():
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.MaxPooling2D()])
    with pytest.raises(ValueError, match="finite codes"):
        serving.create_app(model)


def test_a_shape_can_be_given(images, codes):
    client = TestClient(serving.create_app(small_encoder(), codes, image_shape=(2, 8)))
    assert client.get("/health").json()["image_shape"] == [2, 8]
    answer = client.post("/encode", json={"images": images[:1].reshape(1, 2, 8).tolist()})
    np.testing.assert_allclose(answer.json()["codes"], codes[:1], atol=1e-6)


@pytest.fixture
def saved(tmp_path, encoder, images):
    """Return the paths of an autoencoder, of its encoder alone, and of images as bytes."""
    decoder = keras.Sequential([keras.Input((3,)), keras.layers.Dense(16, "sigmoid")], name="decoder")
    model = keras.Sequential([keras.Input((16,)), encoder, decoder])
    model.save(tmp_path / "autoencoder.keras")
    encoder.save(tmp_path / "encoder.keras")
    np.save(tmp_path / "images.npy", np.round(images * 255).astype(np.uint8))
    return tmp_path


def served(monkeypatch, *arguments) -> tuple[TestClient, dict]:
    """Return a client of the application that the command serves, and the settings of the server."""
    import uvicorn

    calls = []
    monkeypatch.setattr(uvicorn, "run", lambda app, **settings: calls.append((app, settings)))
    serving.main(list(map(str, arguments)))
    ((app, given_settings),) = calls
    return TestClient(app), given_settings


@pytest.mark.parametrize("name", ["autoencoder.keras", "encoder.keras"])
def test_saved_files_are_served(saved, name, images, monkeypatch):
    client, _ = served(monkeypatch, saved / name, "--images", saved / "images.npy")
    assert client.get("/health").json()["images_to_search"] == 30
    found = client.post("/search", json={"images": images[7:8].tolist(), "k": 1}).json()
    assert found["ids"] == [[7]]
    client, _ = served(monkeypatch, saved / name)
    assert np.shape(client.post("/encode", json={"images": GOOD}).json()["codes"]) == (1, 3)


def test_files_that_do_not_fit_end_in_one_line(saved, capsys):
    np.save(saved / "wide.npy", np.zeros((5, 17)))
    np.save(saved / "bright.npy", np.full((5, 16), 1.5))
    (saved / "empty.npy").write_bytes(b"")
    model = str(saved / "encoder.keras")
    for arguments, words in (
        (["nowhere.keras"], "nowhere.keras"),
        ([model, "--images", str(saved / "nowhere.npy")], "nowhere.npy"),
        ([model, "--images", str(saved / "wide.npy")], "do not fit"),
        ([model, "--images", str(saved / "bright.npy")], "[0, 1]"),
        ([model, "--images", str(saved / "empty.npy")], "No data"),
    ):
        with pytest.raises(SystemExit) as caught:
            serving.main(arguments)
        assert caught.value.code == 2
        assert words in capsys.readouterr().err.splitlines()[-1]


def test_the_command_hands_the_application_to_the_server(saved, monkeypatch):
    client, given_settings = served(monkeypatch, saved / "encoder.keras", "--port", 1234)
    assert (given_settings["host"], given_settings["port"]) == ("127.0.0.1", 1234)
    assert client.get("/health").status_code == 200


def test_with_a_token_only_who_has_it_is_served(encoder, images):
    client = TestClient(serving.create_app(encoder, token="secret"))
    asked = {"images": images[:1].tolist()}

    assert client.get("/health").status_code == 200
    for wrong in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "secret"}):
        assert client.post("/encode", json=asked, headers=wrong).status_code == 401
    right = client.post("/encode", json=asked, headers={"Authorization": "Bearer secret"})
    assert right.status_code == 200


def test_the_longest_body_follows_the_images(encoder, images):
    client = TestClient(serving.create_app(encoder, most_images=8))
    exact = [
        [[float(np.nextafter(v, 1)) for v in row] for row in image] for image in images[:8].astype(float)
    ]

    assert client.post("/encode", json={"images": exact}).status_code == 200
    headers = {"Content-Type": "application/json"}
    assert client.post("/encode", content=b"[" + b"[]," * 30_000, headers=headers).status_code == 413
    refused = client.post("/encode", content=b"[" + b"[]," * 2000, headers=headers)
    assert (refused.status_code, "more lists" in refused.text) == (422, True)


def test_a_slow_body_is_not_waited_for(encoder):
    app = serving.create_app(encoder, seconds_to_send=0.2)

    async def ask():
        sent = []

        async def receive():
            await asyncio.sleep(30)

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST"}
        scope |= {"path": "/encode", "raw_path": b"/encode", "query_string": b"", "headers": []}
        await app(scope, receive, send)
        return sent[0]["status"]

    begin = time.monotonic()
    assert asyncio.run(ask()) == 408
    assert time.monotonic() - begin < 10


def test_those_who_wait_are_served_together_and_each_gets_its_own():
    sizes, begun = [], threading.Event()

    def slowly(images):
        sizes.append(len(images))
        begun.wait(5)
        if (images < 0).any():
            raise ValueError("negative")
        return images * 2

    together, answers = serving._Together(slowly, most=12), {}

    def ask(number):
        answers[number] = together(np.full((2, 3), number, np.float32))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    begun.set()
    for thread in threads:
        thread.join(10)

    assert {n: float(a.mean()) for n, a in answers.items()} == {n: 2.0 * n for n in range(20)}
    assert all(a.shape == (2, 3) for a in answers.values())
    assert max(sizes) == 12
    assert len(sizes) < 10
    with pytest.raises(ValueError, match="negative"):
        ask(-1)


def test_an_encoder_with_two_outputs_is_refused():
    x = keras.Input((16,))
    model = keras.Model(x, [keras.layers.Dense(3)(x), keras.layers.Dense(3)(x)])
    with pytest.raises(ValueError, match="one output"):
        serving.create_app(model)


def test_a_real_server_answers(saved, images, codes):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    files = [str(saved / "encoder.keras"), "--images", str(saved / "images.npy")]
    command = [sys.executable, "-m", "dae_utils.serving", *files, "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    address, session = f"http://127.0.0.1:{port}", requests.Session()
    session.trust_env = False  # a proxy would look for 127.0.0.1 on its own machine
    try:
        for _ in range(600):
            try:
                assert session.get(f"{address}/health", timeout=5).json()["images_to_search"] == 30
                break
            except requests.ConnectionError:
                assert process.poll() is None, process.stdout.read()
                time.sleep(0.1)
        answer = session.post(f"{address}/encode", json={"images": images[:2].tolist()}, timeout=30)
        np.testing.assert_allclose(answer.json()["codes"], codes[:2], atol=1e-6)
        bad = session.post(
            f"{address}/encode", data=b"{", headers={"Content-Type": "application/json"}, timeout=30
        )
        assert bad.status_code == 400
        # Longer than allowed by far: refused, and the server lives on.
        try:
            long = session.post(f"{address}/encode", data=b"0" * 2**25, timeout=30)
            assert long.status_code == 413
        except requests.ConnectionError:
            pass  # the server hung up while the body was still being sent
        assert session.get(f"{address}/health", timeout=5).status_code == 200
        with socket.create_connection(("127.0.0.1", port), 30) as silent:
            silent.sendall(b"GET /health HT")
            assert silent.recv(1) == b""  # it does not wait for ever for the rest
    finally:
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=30)[0]
    assert "Traceback" not in output
