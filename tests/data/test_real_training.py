"""Fast training on real images: the same losses as plain Keras, and the benchmark that times both."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from dae_utils.data import images as datasets
from dae_utils.training import fit
from dae_utils.training.engine.choice import form_for
from tools import bench
from tools.bench_networks import NETWORKS, multiply_adds
from tools.notebook_code import PROJECT

pytestmark = pytest.mark.data

# From the fourth epoch on the losses of cifar10_pixel tell nothing: plain Keras, started again from weights
# that differ by one part in ten million, is then .0022 away from itself.
N_IMAGES, N_HELD_OUT, EPOCHS = 6000, 1000, 3


@pytest.mark.parametrize("name", ["cifar10_conv", "cifar10_pixel"])
def test_the_first_epochs_on_cifar10_have_the_losses_of_plain_keras(name):
    network = NETWORKS[name]
    images = datasets.load_cifar10().x_train
    x, held_out = images[:N_IMAGES], images[N_IMAGES : N_IMAGES + N_HELD_OUT]
    keras.utils.set_random_seed(0)
    fast = network.build()
    plain = keras.models.clone_model(fast)
    plain.set_weights(fast.get_weights())
    settings = {
        "epochs": EPOCHS,
        "batch_size": network.batch_size,
        "learning_rate": 1e-3,
        "loss": network.loss,
    }
    assert form_for(fast, network.loss, EPOCHS * (N_IMAGES // network.batch_size)) == "fused"

    ours = fit(fast, x, validation_data=held_out, **settings, schedule="constant", seed=3)
    plain.compile("adam", network.loss)
    generator = np.random.default_rng(3)
    losses, validation_losses = [], []
    for _ in range(EPOCHS):
        rows = x[generator.permutation(len(x))]
        history = plain.fit(rows, rows, batch_size=network.batch_size, shuffle=False, verbose=0).history
        losses += history["loss"]
        validation_losses.append(plain.evaluate(held_out, held_out, verbose=0))

    assert losses[0] - losses[-1] > 0.02  # it has learnt something
    np.testing.assert_allclose(ours.loss, losses, rtol=0, atol=5e-4)
    np.testing.assert_allclose(ours.validation_loss, validation_losses, rtol=0, atol=5e-4)


@pytest.mark.slow
def test_the_benchmark_runs_on_a_tiny_size(tmp_path):
    command = [sys.executable, "-m", "tools.bench", "--tiny", "--folder", str(tmp_path)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    finished = subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    entries = json.loads((tmp_path / "bench.json").read_text())
    for name in bench.TINY.networks:
        for measure in ("keras_over_ours", "share_of_bound"):
            entry = entries[f"bench.{name}.{measure}"]
            assert entry["profile"] == "quick"
            assert 0 < entry["low"] <= entry["value"] <= entry["high"]
        assert abs(entries[f"bench.{name}.loss_difference"]["value"]) < 0.01
    assert entries["bench.growth.disk_2240.data_mb"]["value"] == pytest.approx(2240 * 3072 * 4 / 2**20)
    # What was measured is not measured again.
    again = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "…" not in again.stdout
    assert json.loads((tmp_path / "bench.json").read_text()) == entries


def test_multiply_adds_are_counted_as_by_hand():
    # Forwards 784·64 and 64·784; backwards the same for the weights, and once for the inputs of the second.
    assert multiply_adds(NETWORKS["mnist_dense"].build()) == 784 * 64 * 2 + 784 * 64 * 2 + 64 * 784
    conv = NETWORKS["cifar10_conv"].build()
    forwards = [
        32 * 32 * 9 * 3 * 32,
        16 * 16 * 9 * 32 * 16,
        8 * 8 * 9 * 16 * 8,
        4 * 4 * 9 * 8 * 8,
        8 * 8 * 9 * 8 * 16,
        16 * 16 * 9 * 16 * 32,
        32 * 32 * 9 * 32 * 3,
    ]
    assert multiply_adds(conv) == 3 * sum(forwards) - forwards[0]
