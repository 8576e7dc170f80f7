"""The engine behind its door: it checks itself, stands aside where it must, and keeps trainings apart."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import subprocess
import sys
import threading
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from dae_utils.training import fit
from dae_utils.training.engine import cache, choice, self_check
from dae_utils.training.engine.choice import form_for
from dae_utils.training.engine.fused_steps import ConvolutionStep
from dae_utils.training.engine.structure import copy_of, structure_of

SETTINGS = {"epochs": 2, "batch_size": 8, "learning_rate": 0.01, "loss": "binary_crossentropy"}


@pytest.fixture(autouse=True)
def nothing_compiled_yet():
    """Keep tests apart that train models of the same structure."""
    cache.clear()


def uniform(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, np.float32)


def with_weights(model: keras.Model, seed: int = 0) -> keras.Model:
    """Return the model with weights that depend on a seed alone."""
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0, 0.3, w.shape).astype(np.float32) for w in model.get_weights()])
    return model


def dense(seed: int = 0) -> keras.Model:
    parts = [layers.Dense(5, "relu"), layers.Dense(12, "sigmoid")]
    return with_weights(keras.Sequential([keras.Input((12,)), *parts]), seed)


def convolutional(seed: int = 0) -> keras.Model:
    parts = [
        layers.Conv2D(4, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(2),
        layers.UpSampling2D(2),
        layers.Conv2D(2, 3, padding="same", activation="sigmoid"),
    ]
    return with_weights(keras.Sequential([keras.Input((6, 6, 2)), *parts]), seed)


def trained(build, x: np.ndarray, seed: int = 0, **options) -> list[np.ndarray]:
    """Return the losses and weights of a training."""
    model = build(seed)
    history = fit(model, x, seed=seed, **{**SETTINGS, **options})
    return [np.array(history.loss), *model.get_weights()]


def assert_same(first: list[np.ndarray], second: list[np.ndarray]) -> None:
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


# It checks itself


@pytest.fixture
def wrong_bias(monkeypatch):
    """Plant a mistake into the fused convolution: it adds a thousandth too much bias."""
    right = ConvolutionStep.prepare

    def wrong(self, weights):
        kernel, bias = right(self, weights)
        return [kernel, bias + 1e-3]

    monkeypatch.setattr(ConvolutionStep, "prepare", wrong)


def test_a_fused_layer_that_is_wrong_is_refused_with_one_message_and_keras_trains(monkeypatch, wrong_bias):
    x = uniform(24, 6, 6, 2)
    monkeypatch.setenv("DAE_ENGINE", "plain")
    expected = trained(convolutional, x)
    monkeypatch.setenv("DAE_ENGINE", "long")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        got = [trained(convolutional, x) for _ in range(2)]
    said = [str(w.message) for w in caught if issubclass(w.category, RuntimeWarning)]
    assert len(said) == 1
    assert "Keras alone trains it" in said[0]
    for result in got:
        assert_same(result, expected)


def test_a_copy_that_is_not_the_model_is_refused():
    class Times(layers.Layer):
        """Its factor is missing in its configuration, so that a copy has another one."""

        def __init__(self, factor=1.0, **options):
            super().__init__(**options)
            self.factor = factor

        def call(self, inputs):
            return self.factor * inputs

        def get_config(self):
            return super().get_config()

    model = keras.Sequential([keras.Input((3,)), Times(2.0), layers.Dense(3, use_bias=False)])
    model.set_weights([np.eye(3, dtype=np.float32)])
    with pytest.warns(RuntimeWarning, match="its loss is"):
        history = fit(model, np.ones((4, 3)), epochs=1, learning_rate=1e-9)
    assert history.loss == pytest.approx([1.0])


def test_an_engine_that_fails_leaves_a_training_all_the_same(monkeypatch):
    def broken(self, weights):
        raise AttributeError("a later version has no such thing")

    monkeypatch.setenv("DAE_ENGINE", "long")
    monkeypatch.setattr(ConvolutionStep, "prepare", broken)
    with pytest.warns(RuntimeWarning, match="failed with AttributeError"):
        assert np.isfinite(trained(convolutional, uniform(16, 6, 6, 2))[0]).all()


@pytest.mark.parametrize("way", ["loop", "long"])
def test_the_check_leaves_statistics_generators_and_constraints_alone(monkeypatch, way):
    monkeypatch.setenv("DAE_ENGINE", way)

    def build():
        parts = [
            layers.BatchNormalization(),
            layers.Dense(4, kernel_constraint=keras.constraints.MaxNorm(0.1)),
        ]
        keras.utils.set_random_seed(4)
        return keras.Sequential([keras.Input((4,)), *parts, layers.Dropout(0.5), layers.Dense(4)])

    model = build()
    before = [keras.ops.convert_to_numpy(v) for v in model.variables]
    # The weights diverge in no step at all: an epoch of rate almost zero changes what is not learnt only.
    with pytest.raises(KeyboardInterrupt):
        fit(model, uniform(8, 4), epochs=1, corrupt=interrupt)
    for old, new in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, keras.ops.convert_to_numpy(new))


def interrupt(generator, x):
    raise KeyboardInterrupt


# It stands aside


@pytest.mark.parametrize("build", [dense, convolutional])
def test_versions_it_was_not_tested_with_are_left_to_keras(monkeypatch, build):
    x = uniform(16, *build().input_shape[1:])
    monkeypatch.setenv("DAE_ENGINE", "plain")
    expected = trained(build, x)
    monkeypatch.delenv("DAE_ENGINE")
    monkeypatch.setattr(tf, "__version__", "2.99.1")
    monkeypatch.setattr(self_check, "compiled", None)  # nothing may be compiled
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        assert_same(trained(build, x), expected)


def test_a_version_it_was_not_tested_with_is_in_the_log(monkeypatch, caplog):
    monkeypatch.setattr(tf, "__version__", "2.99.1")
    with caplog.at_level("INFO", logger="dae_utils"):
        trained(dense, uniform(8, 12), epochs=1)
    (record,) = [record for record in caplog.records if record.name == "dae_utils"]
    assert record.levelname == "INFO"
    assert "Keras alone trains" in record.getMessage()
    assert "2.99.1" in record.getMessage()


def test_it_was_tested_with_the_version_of_the_lock():
    assert choice.is_tested_version()


def test_a_setting_that_does_not_exist_is_refused(monkeypatch):
    monkeypatch.setenv("DAE_ENGINE", "warp")
    with pytest.raises(ValueError, match="DAE_ENGINE must be 'auto' or 'plain', not 'warp'"):
        trained(dense, uniform(8, 12))


def test_each_form_is_for_trainings_that_are_worth_its_compilation(monkeypatch):
    assert [form_for(dense(), "mse", n) for n in (1, 1999, 2000)] == ["loop", "loop", "xla"]
    bce = "binary_crossentropy"
    assert [form_for(convolutional(), bce, n) for n in (1, 99, 100)] == ["loop", "loop", "fused"]
    assert form_for(convolutional(), "mean_squared_logarithmic_error", 10**6) == "loop"
    assert form_for(convolutional(), bce, 10**6, "loop") == form_for(dense(), bce, 10**6, "loop") == "loop"
    assert form_for(convolutional(), bce, 1, "long") == "fused"
    assert form_for(dense(), bce, 1, "long") == "xla"
    random_layer = keras.Sequential([keras.Input((4,)), layers.Dropout(0.5), layers.Dense(4)])
    assert form_for(random_layer, "mse", 10**6) == "loop"
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: ["a device"])
    assert form_for(convolutional(), bce, 10**6) == "loop"


# It keeps trainings apart


def at_once(*calls):
    """Run functions in threads that start together; return their results."""
    results, barrier = [None] * len(calls), threading.Barrier(len(calls))

    def run(place):
        barrier.wait()
        results[place] = calls[place]()

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=300)
    return results


@pytest.mark.parametrize("way", ["loop", "long", "plain"])
@pytest.mark.parametrize("build", [dense, convolutional])
def test_two_trainings_at_once_give_what_they_give_alone(monkeypatch, build, way):
    monkeypatch.setenv("DAE_ENGINE", way)
    data = [uniform(48, *build().input_shape[1:], seed=seed) for seed in (1, 2)]
    calls = [lambda seed=seed: trained(build, data[seed], seed, epochs=4) for seed in (0, 1)]
    alone = [call() for call in calls]
    assert np.abs(alone[0][1] - alone[1][1]).max() > 0.01
    cache.clear()
    for _ in range(3):
        for expected, got in zip(alone, at_once(*calls), strict=True):
            assert_same(got, expected)


def test_a_training_inside_a_training_of_the_same_structure_gives_what_it_gives_alone():
    x, inside = uniform(24, 12), []

    def train_another(generator, clean):
        inside.append(trained(dense, uniform(16, 12, seed=5), seed=3))
        return clean.copy()

    outer = trained(dense, x, corrupt=train_another)
    assert_same(outer, trained(dense, x, corrupt=lambda generator, clean: clean.copy()))
    alone = trained(dense, uniform(16, 12, seed=5), seed=3)
    for result in inside:
        assert_same(result, alone)


def counting(traced: list[int]):
    """Return a loss that notes each time that it is made part of a compiled program."""

    def loss(targets, outputs):
        if not hasattr(outputs, "numpy"):
            traced.append(1)
        return (targets - outputs) ** 2

    return loss


def test_models_of_one_structure_are_compiled_once_and_learn_apart():
    traced: list[int] = []
    loss, x = counting(traced), uniform(16, 12)
    first = trained(dense, x, 1, loss=loss)
    compiled_for_one = len(traced)
    second, third = (trained(dense, x, seed, loss=loss) for seed in (2, 1))
    assert 0 < compiled_for_one == len(traced)
    # The third repeats the first exactly, whatever the second did in between.
    assert_same(first, third)
    cache.clear()
    assert_same(second, trained(dense, x, 2, loss=loss))
    assert len(traced) == 2 * compiled_for_one


@dataclasses.dataclass
class Power:
    """A loss that can be compared with another one, and so has no hash."""

    exponent: int

    def __call__(self, targets, outputs):
        return (targets - outputs) ** self.exponent


@pytest.mark.parametrize("way", ["loop", "long"])
def test_a_loss_without_a_hash_is_trained_and_nothing_of_it_is_kept(monkeypatch, way):
    monkeypatch.setenv("DAE_ENGINE", way)
    x, loss = uniform(16, 12), Power(2)
    first = trained(dense, x, loss=loss)
    for mine, other in zip(first, trained(dense, x, loss="mean_squared_error"), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-6)
    loss.exponent = 4
    assert np.abs(first[0] - trained(dense, x, loss=loss)[0]).max() > 1e-3


def test_only_the_structures_trained_last_are_kept(monkeypatch):
    monkeypatch.setattr(cache, "_MOST_KEYS", 2)
    for width in (1, 2, 3):
        cache.give_back(cache.Key(width, "mse", "loop", 8), object())
    assert cache.take(cache.Key(1, "mse", "loop", 8)) is None
    kept = cache.take(cache.Key(3, "mse", "loop", 8))
    assert kept is not None
    assert cache.take(cache.Key(3, "mse", "loop", 8)) is None  # somebody has it


@pytest.mark.parametrize(
    "other",
    [
        {"activation": "tanh"},
        {"kernel_regularizer": "l2"},
        {"kernel_constraint": "non_neg"},
        {"trainable": False},
        {"units": 3},
    ],
)
def test_models_that_differ_in_more_than_names_have_different_structures(other):
    def one(**options):
        return keras.Sequential([keras.Input((2,)), layers.Dense(**{"units": 2, **options})])

    assert structure_of(one()) == structure_of(one(name="another")) is not None
    assert structure_of(one()) != structure_of(one(**other))


def test_layers_of_ones_own_are_told_apart_or_not_copied_at_all():
    def made(factor):
        class Times(layers.Layer):
            def call(self, inputs):
                return factor * inputs

        return keras.Sequential([keras.Input((2,)), Times(), layers.Dense(2)])

    class Opaque(layers.Layer):
        def call(self, inputs):
            return inputs

        def get_config(self):
            raise NotImplementedError

    assert structure_of(made(2.0)) != structure_of(made(3.0))
    assert structure_of(keras.Sequential([keras.Input((2,)), Opaque(), layers.Dense(2)])) is None
    assert structure_of(keras.Sequential([keras.Input((2,)), layers.Dropout(0.5)])) is None


def test_no_training_moves_the_generators_of_others():
    models = dense(), convolutional()
    random.seed(5)
    expected = random.random()
    random.seed(5)
    fit(models[0], uniform(8, 12), epochs=1)
    copy_of(models[1])
    assert random.random() == expected


# Its pool of threads


def test_a_program_that_used_tensorflow_before_gets_the_same_numbers():
    program = """
        import json, sys
        import numpy as np, tensorflow as tf, keras
        {before}
        sys.path.insert(0, "tests/unit")
        from test_engine import convolutional, trained, uniform
        print(json.dumps([array.tolist() for array in trained(convolutional, uniform(24, 6, 6, 2))]))
    """
    results = []
    for before in ("tf.constant(1.0) + 1; tf.random.normal((9, 9)) @ tf.random.normal((9, 9))", ""):
        lines = [line.strip() for line in program.format(before=before).splitlines()]
        environment = {
            key: value for key, value in os.environ.items() if key != "TF_OVERRIDE_GLOBAL_THREADPOOL"
        }
        finished = subprocess.run(
            [sys.executable, "-c", "\n".join(lines)],
            env={**environment, "PYTHONPATH": os.getcwd(), "DAE_ENGINE": "long"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        results.append(json.loads(finished.stdout.splitlines()[-1]))
    for late, early in zip(*results, strict=True):
        np.testing.assert_allclose(late, early, atol=1e-6)
