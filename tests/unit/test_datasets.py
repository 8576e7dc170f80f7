"""The file formats of the image sets, and what a loaded set looks like, on tiny sets in the real formats."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import sys
import tarfile
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from dae_utils.data import images as datasets
from dae_utils.data.formats import decode_cifar, decode_idx, decode_npz, decode_png_rows, gunzip
from dae_utils.data.routes import LocalFolder, NpmPackage, OfficialHost
from dae_utils.data.sources import ArraySpec, DataSource
from dae_utils.data.storage import SourceError

BYTES = npst.arrays(np.uint8, npst.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=6))


def idx(array: np.ndarray) -> bytes:
    """Encode an array of bytes as IDX, from the description of the format."""
    sizes = b"".join(length.to_bytes(4, "big") for length in array.shape)
    return b"\0\0\x08" + bytes([array.ndim]) + sizes + array.tobytes()


def cifar(images: np.ndarray, labels: np.ndarray) -> bytes:
    """Encode images as CIFAR-10's binary records, pixel plane by pixel plane."""
    records = b""
    for image, label in zip(images, labels, strict=True):
        records += bytes([label]) + b"".join(image[:, :, colour].tobytes() for colour in range(3))
    return records


def png_rows(images: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(images.reshape(len(images), 1024, 3)).save(stream, "PNG")
    return stream.getvalue()


# --- formats ----------------------------------------------------------------------------------------------


@given(BYTES)
def test_idx_round_trip(array):
    decoded = decode_idx(idx(array))
    assert decoded.dtype == np.uint8
    assert decoded.shape == array.shape
    np.testing.assert_array_equal(decoded, array)


@given(BYTES, st.data())
def test_idx_cut_anywhere_or_too_long_is_refused(array, data):
    raw = idx(array)
    cut = data.draw(st.integers(0, len(raw) - 1))
    with pytest.raises(ValueError, match="IDX"):
        decode_idx(raw[:cut])
    with pytest.raises(ValueError, match="IDX file holds"):
        decode_idx(raw + b"\0")


@given(st.binary(min_size=4, max_size=40).filter(lambda raw: raw[:3] != b"\0\0\x08"))
def test_idx_with_another_magic_number_is_refused(raw):
    with pytest.raises(ValueError, match="not an IDX file"):
        decode_idx(raw)


def test_idx_that_promises_more_than_memory_is_refused():
    with pytest.raises(ValueError, match=f"its header says {(2**32 - 1) ** 3}"):
        decode_idx(b"\0\0\x08\x03" + b"\xff\xff\xff\xff" * 3 + b"1234")


@given(st.integers(1, 4), st.randoms(use_true_random=False))
def test_cifar_round_trip(count, random):
    rng = np.random.default_rng(random.randrange(2**32))
    images = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    labels = rng.integers(0, 10, count, dtype=np.uint8)
    decoded, decoded_labels = decode_cifar(cifar(images, labels))
    np.testing.assert_array_equal(decoded, images)
    np.testing.assert_array_equal(decoded_labels, labels)


@given(st.integers(0, 7000).filter(lambda length: length % 3073 or not length))
def test_cifar_cut_short_is_refused(length):
    with pytest.raises(ValueError, match="3073"):
        decode_cifar(bytes(length))


@given(st.integers(10, 255))
def test_cifar_with_an_unknown_label_is_refused(label):
    with pytest.raises(ValueError, match="label above 9"):
        decode_cifar(bytes(3073) + bytes([label]) + bytes(3072))


def test_png_rows_round_trip():
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    np.testing.assert_array_equal(decode_png_rows(png_rows(images), 3), images)


def test_png_that_is_not_what_it_should_be():
    raw = png_rows(np.zeros((3, 32, 32, 3), np.uint8))
    with pytest.raises(ValueError, match="not \\(1024, 4\\) RGB"):
        decode_png_rows(raw, 4)
    grey = io.BytesIO()
    Image.new("L", (1024, 3)).save(grey, "PNG")
    with pytest.raises(ValueError, match="RGB"):
        decode_png_rows(grey.getvalue(), 3)
    for damaged in (raw[:60], b"no picture"):
        with pytest.raises(OSError, match=r"truncated|identify"):
            decode_png_rows(damaged, 3)


@given(st.binary(max_size=300))
def test_gunzip_up_to_a_bound(data):
    assert gunzip(gzip.compress(data), len(data)) == data
    if data:
        with pytest.raises(ValueError, match="more than"):
            gunzip(gzip.compress(data), len(data) - 1)
        with pytest.raises(EOFError):
            gunzip(gzip.compress(data)[:-1], 300)


# --- whole sets -------------------------------------------------------------------------------------------


def tiny(shape: tuple[int, ...], train: int, test: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    arrays = {
        "x_train": rng.integers(0, 256, (train, *shape), dtype=np.uint8),
        "y_train": np.arange(train, dtype=np.uint8) % 10,
        "x_test": rng.integers(0, 256, (test, *shape), dtype=np.uint8),
        "y_test": np.arange(test, dtype=np.uint8)[::-1] % 10,
    }
    arrays["x_train"].flat[:2] = 0, 255
    return arrays


def npz_files(arrays) -> dict[str, bytes]:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return {"mnist.npz": stream.getvalue()}


def idx_files(arrays, packed: bool) -> dict[str, bytes]:
    names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    raw = {f"{name}-ubyte": idx(array) for name, array in zip(names, arrays.values(), strict=True)}
    return {f"{name}.gz": gzip.compress(body) for name, body in raw.items()} if packed else raw


def cifar_members(arrays) -> dict[str, bytes]:
    folder = "cifar-10-batches-bin/"
    batches = zip(np.split(arrays["x_train"], 5), np.split(arrays["y_train"], 5), strict=True)
    members = {f"{folder}data_batch_{n}.bin": cifar(*batch) for n, batch in enumerate(batches, start=1)}
    return {**members, f"{folder}test_batch.bin": cifar(arrays["x_test"], arrays["y_test"])}


def png_members(arrays) -> dict[str, bytes]:
    members = {
        f"package/data_batch_{n}.png": png_rows(batch)
        for n, batch in enumerate(np.split(arrays["x_train"], 5), start=1)
    }
    return {
        **members,
        "package/test_batch.png": png_rows(arrays["x_test"]),
        "package/train_lables.json": json.dumps(arrays["y_train"].tolist()).encode(),
        "package/test_lables.json": json.dumps(arrays["y_test"].tolist()).encode(),
    }


def packed(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, body in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            tar.addfile(entry, io.BytesIO(body))
    return stream.getvalue()


def shrink(source: DataSource, arrays: dict[str, np.ndarray], base_url: str) -> DataSource:
    """The same set and routes with tiny arrays, and the official host on this machine."""
    specs = {
        name: ArraySpec(array.shape, hashlib.sha256(array.tobytes()).hexdigest())
        for name, array in arrays.items()
    }
    local, official, package = source.routes
    return replace(source, arrays=specs, routes=(local, replace(official, base_url=base_url), package))


GREY = tiny((28, 28), 20, 10)
COLOUR = tiny((32, 32, 3), 20, 10)
SETS = {
    "MNIST": ("load_mnist", GREY, npz_files(GREY)),
    "FASHION_MNIST": ("load_fashion_mnist", GREY, idx_files(GREY, packed=True)),
    "CIFAR10": ("load_cifar10", COLOUR, {"cifar-10-binary.tar.gz": packed(cifar_members(COLOUR))}),
}


@pytest.mark.parametrize("name", SETS)
def test_loads_from_the_official_host(name, official_host, cache_folder, monkeypatch):
    function, arrays, files = SETS[name]
    official_host.answers |= files
    source = getattr(datasets, name)
    monkeypatch.setattr(datasets, name, shrink(source, arrays, official_host.url))

    first = getattr(datasets, function)()
    again = getattr(datasets, function)()
    assert official_host.requests == list(files)
    assert first.source.startswith("the official host")
    assert again.source == "the cache"
    for data in (first, again):
        assert data.name == source.title
        assert len(set(data.class_names)) == 10
        for part in ("train", "test"):
            x, y = getattr(data, f"x_{part}"), getattr(data, f"y_{part}")
            assert x.dtype == np.float32
            assert y.dtype == np.int64
            np.testing.assert_allclose(x, arrays[f"x_{part}"] / 255, rtol=1e-6)
            np.testing.assert_array_equal(y, arrays[f"y_{part}"])
            with pytest.raises(ValueError, match="read-only"):
                x[0] = 0
            with pytest.raises(ValueError, match="read-only"):
                y[0] = 0
        assert data.x_train.min() == 0  # exactly: 0 and 255 are in the tiny set
        assert data.x_train.max() == 1
        with pytest.raises(FrozenInstanceError):
            data.name = "another"


@pytest.mark.parametrize("name", SETS)
def test_wrong_digest_is_refused(name, official_host, cache_folder, monkeypatch, tmp_path):
    function, arrays, files = SETS[name]
    official_host.answers |= files
    other = {**arrays, "y_test": arrays["y_test"][::-1]}
    monkeypatch.setattr(datasets, name, shrink(getattr(datasets, name), other, official_host.url))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match="y_test has the wrong SHA-256"):
        getattr(datasets, function)()
    assert not list(cache_folder.glob("*.npz"))


@pytest.mark.parametrize(
    ("name", "members"),
    [
        (
            "MNIST",
            {f"package/data/{name}": body for name, body in idx_files(GREY, packed=False).items()},
        ),
        (
            "FASHION_MNIST",
            {
                f"./usr/share/datasets/fashion-mnist/{name}": body
                for name, body in idx_files(GREY, packed=True).items()
            },
        ),
        ("CIFAR10", png_members(COLOUR)),
    ],
)
def test_package_decodes_to_the_same_arrays(name, members):
    package = getattr(datasets, name).routes[2]
    assert set(package.members) == set(members)
    decoded = package.decode(dict(members))
    for key, array in SETS[name][1].items():
        np.testing.assert_array_equal(decoded[key], array)
        assert decoded[key].dtype == np.uint8


def test_npz_that_would_fill_the_memory_is_refused():
    stream = io.BytesIO()
    np.savez_compressed(stream, x_train=np.zeros(60_000_000, np.uint8))
    with pytest.raises(ValueError, match="more than 60000000 bytes"):
        datasets.MNIST.routes[1].decode({"mnist.npz": stream.getvalue()})


class Trap:
    """Fails the test when it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("a pickle was opened",)


def test_pickle_in_a_download_is_not_opened():
    stream = io.BytesIO()
    np.savez(stream, x_train=np.array([Trap()], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        decode_npz(stream.getvalue(), 10**6)


def test_what_is_known_about_each_set():
    assert list(datasets.SOURCES) == ["mnist", "fashion_mnist", "cifar10"]
    for source in datasets.SOURCES.values():
        assert list(source.arrays) == ["x_train", "y_train", "x_test", "y_test"]
        assert {len(spec.sha256) for spec in source.arrays.values()} == {64}
        assert [type(route) for route in source.routes[:2]] == [LocalFolder, OfficialHost]
        assert source.routes[1].base_url.startswith("https://")
        assert source.licence
        assert source.citation
    assert datasets.MNIST.size == datasets.FASHION_MNIST.size == 70_000 * 785
    assert datasets.CIFAR10.size == 60_000 * 3073
    assert isinstance(datasets.CIFAR10.routes[2], NpmPackage)


HEAVY = ["keras", "tensorflow", "neurokit2", "wfdb", "scipy", "sklearn", "pandas", "matplotlib"]


@pytest.mark.parametrize("module", ["dae_utils.data", "dae_utils.datasets", "dae_utils.heartbeats"])
def test_import_is_light(module):
    """Reading data from the cache must wait neither for a framework nor for what only raw records need."""
    code = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_all_modules_of_the_room_do_without_a_framework():
    code = (
        "import importlib, pkgutil, sys, dae_utils.data as room\n"
        "for module in pkgutil.iter_modules(room.__path__):\n"
        "    importlib.import_module(f'dae_utils.data.{module.name}')\n"
        "print([name for name in ('keras', 'tensorflow', 'torch', 'jax') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
