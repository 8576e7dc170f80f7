"""Pieces of arrays, in memory and on disk, and training on what is on disk."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from dae_utils.training import batches, fit
from dae_utils.training.batches import TrainingPairs, is_on_disk, pieces, rows_of, rows_of_a_piece
from dae_utils.training.checks import check_pairs
from dae_utils.training.engine import cache


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """Make pieces of 256 bytes, so that small arrays have several, and keep trainings apart."""
    monkeypatch.setattr(batches, "_BYTES_OF_PIECE", 256)
    cache.clear()


def on_disk(folder, array: np.ndarray, name: str = "array") -> np.memmap:
    """Store an array and return it as a memory map."""
    np.save(folder / f"{name}.npy", array)
    return np.load(folder / f"{name}.npy", mmap_mode="r")


def uniform(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, np.float32)


@given(n=st.integers(1, 40), rows=st.integers(1, 50), seed=st.integers(0, 9))
def test_pieces_one_after_the_other_are_the_array_in_its_order(n, rows, seed):
    x, y = uniform(n, 2, 3), uniform(n, 1, seed=1)
    order = np.random.default_rng(seed).permutation(n)
    got = list(pieces((x, y), order, rows))
    assert [len(piece[0]) for piece in got] == [min(rows, n - start) for start in range(0, n, rows)]
    np.testing.assert_array_equal(np.concatenate([piece[0] for piece in got]), x[order])
    np.testing.assert_array_equal(np.concatenate([piece[1] for piece in got]), y[order])


def test_an_array_given_twice_is_read_once():
    x = uniform(5, 2)
    assert all(inputs is targets for inputs, targets in pieces((x, x), np.arange(5), 2))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int16])
def test_rows_on_disk_come_in_the_order_asked_for_as_float32(tmp_path, dtype):
    array = (uniform(9, 2, 2) * 100).astype(dtype)
    stored = on_disk(tmp_path, array)
    assert is_on_disk(stored)
    assert is_on_disk(stored[2:])
    assert not is_on_disk(array)
    indices = np.array([5, 0, 3, 3, 8])
    got = rows_of(stored, indices)
    assert got.dtype == np.float32
    assert type(got) is np.ndarray
    np.testing.assert_array_equal(got, array[indices].astype(np.float32))
    np.testing.assert_array_equal(rows_of(stored[2:], np.array([1])), array[[3]].astype(np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_what_is_not_finite_on_disk_is_said_with_the_file(tmp_path, bad):
    array = np.ones((4, 3))
    array[2, 1] = bad
    stored = on_disk(tmp_path, array)
    np.testing.assert_array_equal(rows_of(stored, np.array([0, 1, 3])), 1)
    with pytest.raises(ValueError, match=r"array\.npy holds values that are NaN, infinite or too large"):
        rows_of(stored, np.array([1, 2]))


@pytest.mark.parametrize("derive", [lambda m: m.astype(np.float32), lambda m: m / 2, np.copy])
def test_what_was_computed_from_a_memory_map_is_in_memory(tmp_path, derive):
    array = uniform(9, 6).astype(float)
    derived = derive(on_disk(tmp_path, array))
    assert not is_on_disk(derived)
    np.testing.assert_array_equal(rows_of(derived, np.array([4, 1])), derive(array)[[4, 1]])
    samples = check_pairs(derived, None, "x", "y")
    assert type(samples.inputs) is np.ndarray
    assert not samples.are_on_disk


@pytest.mark.parametrize("mode", ["c", "r+"])
def test_reading_leaves_what_the_caller_wrote_into_a_memory_map(tmp_path, mode):
    array = 255 * uniform(600, 50)
    np.save(tmp_path / "array.npy", array)
    stored = np.load(tmp_path / "array.npy", mmap_mode=mode)
    stored /= 255
    order = np.random.default_rng(0).permutation(600)
    for _ in range(2):
        np.testing.assert_array_equal(rows_of(stored, order), (array / 255)[order])
    np.testing.assert_array_equal(stored, array / 255)
    # A copy is the caller's own; the other one is in the file.
    in_file = np.load(tmp_path / "array.npy")
    np.testing.assert_array_equal(in_file, array if mode == "c" else array / 255)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_reads_pieces_too():
    program = """
        import os, signal
        import numpy as np
        from dae_utils.training.batches import pieces
        def read():
            return [piece.tolist() for (piece,) in pieces((np.arange(4.0)[:, None],), np.arange(4), 3)]
        expected = read()  # which starts the thread that reads
        child = os.fork()
        if not child:
            signal.alarm(20)  # ends a child that waits for a thread it does not have
            os._exit(0 if read() == expected else 1)
        print(os.waitpid(child, 0)[1])
    """
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.strip() == "0"


def test_a_piece_is_of_whole_batches_and_of_about_the_size_asked_for():
    x = uniform(100, 4)  # sixteen bytes each
    assert rows_of_a_piece((x, x), 5) == 15
    assert rows_of_a_piece((x, x.copy()), 5) == 5
    assert rows_of_a_piece((x, x), 64) == 64


# Training


def dense() -> keras.Model:
    return keras.Sequential([keras.Input((6,)), layers.Dense(4, "relu"), layers.Dense(6, "sigmoid")])


def convolutional() -> keras.Model:
    parts = [layers.Conv2D(3, 3, padding="same", activation="relu"), layers.MaxPooling2D(2)]
    parts += [layers.UpSampling2D(2), layers.Conv2D(1, 3, padding="same", activation="sigmoid")]
    return keras.Sequential([keras.Input((4, 4, 1)), *parts])


@pytest.mark.parametrize("build", [dense, convolutional])
@pytest.mark.parametrize("way", ["plain", "loop", "long"])
def test_training_from_disk_is_training_from_memory(tmp_path, monkeypatch, build, way):
    monkeypatch.setenv("DAE_ENGINE", way)
    x, held_out = uniform(61, *build().input_shape[1:]), uniform(17, *build().input_shape[1:], seed=5)
    options = {"epochs": 3, "batch_size": 4, "learning_rate": 0.01, "loss": "binary_crossentropy"}
    in_memory, from_disk = build(), build()
    from_disk.set_weights(in_memory.get_weights())
    expected = fit(in_memory, x, validation_data=held_out, **options)
    stored, stored_held_out = on_disk(tmp_path, x), on_disk(tmp_path, held_out, "held_out")
    got = fit(from_disk, stored, validation_data=stored_held_out, **options)
    np.testing.assert_allclose(got.loss, expected.loss, rtol=1e-5)
    np.testing.assert_allclose(got.validation_loss, expected.validation_loss, rtol=1e-5)
    for a, b in zip(from_disk.get_weights(), in_memory.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_inputs_on_disk_go_with_targets_in_memory_and_with_corruption(tmp_path):
    x, y = uniform(30, 6), uniform(30, 6, seed=1)
    seen = []

    def corrupt(generator, clean):
        seen.append(clean)
        return clean * 0

    history = fit(dense(), on_disk(tmp_path, x), y, epochs=1, batch_size=4, corrupt=corrupt, seed=3)
    assert len(seen) > 2
    assert sorted(np.concatenate(seen).ravel()) == sorted(x.ravel())
    assert np.isfinite(history.loss).all()


def test_bytes_and_damaged_values_on_disk_are_refused(tmp_path):
    with pytest.raises(ValueError, match="divide by 255"):
        fit(dense(), on_disk(tmp_path, np.ones((4, 6), np.uint8)), epochs=1)
    damaged = np.where(np.eye(6) > 0, np.nan, 1)
    with pytest.raises(ValueError, match="NaN"):
        fit(dense(), on_disk(tmp_path, damaged), epochs=1)


@pytest.mark.parametrize("targets_on_disk", [True, False])
def test_targets_that_a_sigmoid_cannot_reach_are_refused_when_they_are_read(tmp_path, targets_on_disk):
    x, y = uniform(40, 6), uniform(40, 6, seed=1)
    y[35, 2] = 1.5
    with pytest.raises(ValueError, match=r"^y runs from .* to 1\.5, but the network ends in a sigmoid"):
        fit(dense(), x, on_disk(tmp_path, y) if targets_on_disk else y, epochs=1, batch_size=4)


def test_only_targets_are_asked_to_lie_between_0_and_1(tmp_path):
    stored = on_disk(tmp_path, 3 * uniform(8, 6))
    history = fit(dense(), stored, uniform(8, 6, seed=1), epochs=1, batch_size=4)
    assert np.isfinite(history.loss).all()
    assert TrainingPairs(stored, stored).are_one_array


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads the peak memory from /proc")
@pytest.mark.parametrize("way", ["long"])
def test_memory_is_bounded_when_the_data_are_not(tmp_path, way):
    # 768 MiB on disk, read twice. Above what a run on a handful of samples takes there are four pieces of
    # 48 MiB (trained on, handed over, waiting, being read), the pages that are being read, and what the
    # allocator keeps, which depends on the machine. Half of the file is far above all that together.
    stored = np.lib.format.open_memmap(tmp_path / "large.npy", "w+", np.float32, (65536, 32, 32, 3))
    for start in range(0, len(stored), 4096):
        stored[start : start + 4096] = uniform(4096, 32, 32, 3, seed=start)
    stored.flush()
    del stored
    program = """
        import keras, numpy as np
        from keras import layers
        from dae_utils.training import fit
        from pathlib import Path
        def peak():
            lines = Path("/proc/self/status").read_text().splitlines()
            return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
        x = np.load("large.npy", mmap_mode="r")
        def train(x):
            model = keras.Sequential([keras.Input((32, 32, 3)), layers.Conv2D(2, 3, 4, "same"),
                                      layers.UpSampling2D(4), layers.Conv2D(3, 1)])
            fit(model, x, epochs=1, batch_size=512)
        train(np.array(x[:512]))
        before = peak()
        train(x)
        train(x)
        print(peak() - before)
    """
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.getcwd(), "DAE_ENGINE": way},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert float(finished.stdout) < 384
