"""Training: against arithmetic done by hand, against `model.fit`, and at its edges."""

from __future__ import annotations

import functools
import inspect

import keras
import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from dae_utils import training
from dae_utils.detection import ReconstructionDetector
from dae_utils.training import History, learning_rates
from dae_utils.training.engine import cache

# The settings of `model.fit`, so that what a step does can be worked out; the defaults have a test of theirs.
fit = functools.partial(training.fit, batch_size=256, learning_rate=1e-3, schedule="constant")

# Too small to move a weight of size one in 32 bits: the network stays what it was.
STANDSTILL = 1e-12


# All ways to train: Keras alone, the compiled loop of the engine without XLA and with it.
WAYS = ["plain", "loop", "long"]


@pytest.fixture(autouse=True)
def nothing_compiled_yet():
    """Keep tests apart that train models of the same structure."""
    cache.clear()


@pytest.fixture
def way(request, monkeypatch):
    """One of the ways to train."""
    monkeypatch.setenv("DAE_ENGINE", request.param)
    return request.param


every_way = pytest.mark.parametrize("way", WAYS, indirect=True)


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    """Return normal numbers of this shape."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def linear(weights: np.ndarray, **options) -> keras.Model:
    """Return the model x -> x @ weights."""
    model = keras.Sequential(
        [keras.Input((len(weights),)), layers.Dense(weights.shape[1], use_bias=False, **options)]
    )
    model.set_weights([np.asarray(weights, np.float32)])
    return model


def identity(width: int, *before: keras.Layer) -> keras.Model:
    """Return a model whose output is its input, with layers `before` that act in training only."""
    model = keras.Sequential([keras.Input((width,)), *before, layers.Dense(width, use_bias=False)])
    model.layers[-1].set_weights([np.eye(width, dtype=np.float32)])
    return model


def mean_output(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Return the outputs, as if they were losses."""
    return outputs


def adam_by_hand(x, y, weights, rates, orders, batch_size):
    """Train x -> x @ weights on the mean squared error; return the weights and every epoch's mean loss."""
    weights = weights.astype(float)
    first, second = np.zeros_like(weights), np.zeros_like(weights)
    step, losses = 0, []
    for order in orders:
        squared = []
        for start in range(0, len(x), batch_size):
            rows = order[start : start + batch_size]
            error = x[rows] @ weights - y[rows]
            squared.extend((error**2).mean(axis=1))
            gradient = 2 * x[rows].T @ error / error.size
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient**2
            # Keras's form of the bias correction: epsilon is added before it.
            rate = rates[step] * np.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.9 ** (step + 1))
            weights = weights - rate * first / (np.sqrt(second) + 1e-7)
            step += 1
        losses.append(np.mean(squared))
    return weights, losses


# The learning rate


@pytest.mark.parametrize("schedule", ["constant", "one_cycle"])
def test_one_full_batch_is_one_step_of_adam(schedule):
    x, y, weights = draw(5, 3), draw(5, 2, seed=1), draw(3, 2, seed=2)
    gradient = 2 * x.T @ (x @ weights - y) / y.size
    # At Adam's first step both averages are the gradient itself, so every weight moves by the whole rate.
    rate = 0.05 if schedule == "constant" else 0.005
    expected = weights - rate * np.sign(gradient)

    model = linear(weights)
    history = fit(model, x, y, epochs=1, batch_size=5, learning_rate=0.05, schedule=schedule)

    np.testing.assert_allclose(model.get_weights()[0], expected, atol=1e-6)
    assert history.loss == pytest.approx([np.mean((x @ weights - y) ** 2)], rel=1e-5)


@every_way
def test_every_step_of_a_training_is_as_by_hand(way):
    x, y, weights = draw(11, 3), draw(11, 2, seed=1), draw(3, 2, seed=2)
    generator = np.random.default_rng(7)
    orders = [generator.permutation(11) for _ in range(6)]
    expected, losses = adam_by_hand(
        x, y, weights, learning_rates(18, 0.1, "one_cycle").astype(float), orders, batch_size=4
    )

    model = linear(weights)
    history = fit(
        model,
        x,
        y,
        epochs=6,
        batch_size=4,
        learning_rate=0.1,
        schedule="one_cycle",
        seed=7,
    )

    assert np.abs(expected - weights).max() > 0.2
    np.testing.assert_allclose(model.get_weights()[0], expected, atol=2e-5)
    np.testing.assert_allclose(history.loss, losses, rtol=2e-5)


@given(n_steps=st.integers(1, 3000), peak=st.floats(1e-6, 10))
def test_a_constant_rate_is_the_same_at_every_step(n_steps, peak):
    rates = learning_rates(n_steps, peak)
    assert rates.dtype == np.float32
    assert rates.shape == (n_steps,)
    np.testing.assert_allclose(rates, peak, rtol=1e-6)


@given(n_steps=st.integers(1, 3000), peak=st.floats(1e-6, 10))
def test_one_cycle_rises_over_a_tenth_and_falls_over_the_rest(n_steps, peak):
    rates = learning_rates(n_steps, peak, "one_cycle")
    top = max(1, n_steps // 10)
    assert rates.dtype == np.float32
    assert rates.shape == (n_steps,)
    assert rates[0] == pytest.approx(0.1 * peak, rel=1e-5)
    assert (np.diff(rates[: top + 1]) > 0).all()
    assert (np.diff(rates[top:]) <= 0).all()
    if n_steps > 1:
        assert rates[top] == pytest.approx(peak, rel=1e-5)
    if n_steps > 2:
        assert rates[-1] == pytest.approx(0.01 * peak, rel=1e-4)


def test_one_cycle_falls_as_a_cosine():
    rates = learning_rates(11, 2.0, "one_cycle")
    # Ten steps fall from 2 to 0.02; a third of the way down the angle is 60 degrees, whose cosine is 1/2.
    assert rates[1] == pytest.approx(2.0)
    assert rates[4] == pytest.approx(2 * (0.01 + 0.99 * 0.75))
    assert rates[7] == pytest.approx(2 * (0.01 + 0.99 * 0.25))
    np.testing.assert_allclose(learning_rates(40, 1.0, "one_cycle")[:5], [0.1, 0.325, 0.55, 0.775, 1.0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 0.1), "must be positive"),
        ((5, 0.0), "must be positive"),
        ((5, -1.0), "must be positive"),
        ((5, float("nan")), "must be positive"),
        ((5, 0.1, "cosine"), "unknown schedule 'cosine': use 'constant' or 'one_cycle'"),
    ],
)
def test_rates_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        learning_rates(*arguments)


def test_by_default_the_rate_rises_and_falls_once():
    x, y, weights = draw(50, 3), draw(50, 2, seed=1), draw(3, 2, seed=2)
    defaults = {name: p.default for name, p in inspect.signature(training.fit).parameters.items()}
    generator = np.random.default_rng(0)
    orders = [generator.permutation(50) for _ in range(3)]
    rates = learning_rates(6, defaults["learning_rate"], "one_cycle").astype(float)
    expected, _ = adam_by_hand(x, y, weights, rates, orders, batch_size=32)
    model = linear(weights)
    training.fit(model, x, y, epochs=3)
    assert np.abs(expected - weights).max() > 5e-3
    np.testing.assert_allclose(model.get_weights()[0], expected, atol=1e-5)


# Against model.fit


def dense_model() -> keras.Model:
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(5, "relu"), layers.Dense(6, "sigmoid")], name="dense"
    )


def regularised_model() -> keras.Model:
    hidden = layers.Dense(5, "relu", kernel_regularizer=keras.regularizers.L2(0.1))
    code = layers.Dense(4, "sigmoid", activity_regularizer=keras.regularizers.L1(0.02))
    return keras.Sequential([keras.Input((6,)), hidden, code, layers.Dense(6)])


def normalised_model() -> keras.Model:
    # A bias before the normalisation would have a gradient of rounding errors, which Adam makes large.
    hidden = layers.Dense(5, use_bias=False)
    parts = [hidden, layers.BatchNormalization(momentum=0.5), layers.ReLU(), layers.Dense(6)]
    return keras.Sequential([keras.Input((6,)), *parts])


def constrained_and_frozen_model() -> keras.Model:
    hidden = layers.Dense(5, "tanh", trainable=False)
    return keras.Sequential(
        [keras.Input((6,)), hidden, layers.Dense(6, kernel_constraint=keras.constraints.MaxNorm(0.5))]
    )


def convolutional_model() -> keras.Model:
    encoder = keras.Sequential([keras.Input((6, 4, 1)), layers.Conv2D(3, 3, 2, "same", activation="relu")])
    decoder = keras.Sequential([keras.Input((3, 2, 3)), layers.Conv2DTranspose(1, 3, 2, "same")])
    return keras.Sequential([keras.Input((6, 4, 1)), encoder, decoder])


@pytest.mark.parametrize(
    ("build", "loss", "shape"),
    [
        (dense_model, "mean_squared_error", (6,)),
        (dense_model, "binary_crossentropy", (6,)),
        (regularised_model, "mean_squared_error", (6,)),
        (normalised_model, "mean_absolute_error", (6,)),
        (constrained_and_frozen_model, "mean_squared_error", (6,)),
        (convolutional_model, "mean_squared_error", (6, 4, 1)),
    ],
)
def test_fit_does_what_model_fit_does(build, loss, shape):
    x = np.random.default_rng(3).random((22, *shape)).astype(np.float32)
    held_out = np.random.default_rng(4).random((9, *shape)).astype(np.float32)
    keras.utils.set_random_seed(0)
    ours = build()
    theirs = keras.models.clone_model(ours)
    theirs.set_weights(ours.get_weights())
    before = ours.get_weights()

    history = fit(
        ours, x, validation_data=held_out, epochs=3, batch_size=8, learning_rate=0.02, loss=loss, seed=5
    )
    theirs.compile(keras.optimizers.Adam(0.02), loss, metrics=[loss])
    generator = np.random.default_rng(5)
    losses, validation_losses = [], []
    for _ in range(3):
        rows = x[generator.permutation(len(x))]
        # Their loss includes the penalties of regularisers, their metric does not.
        losses += theirs.fit(rows, rows, batch_size=8, shuffle=False, verbose=0).history[loss]
        validation_losses.append(theirs.evaluate(held_out, held_out, verbose=0, return_dict=True)[loss])

    assert max(np.abs(new - old).max() for new, old in zip(ours.get_weights(), before, strict=True)) > 0.01
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, atol=2e-5)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-4)
    np.testing.assert_allclose(history.validation_loss, validation_losses, rtol=1e-4)


@every_way
def test_batch_normalisation_learns_its_statistics(way):
    x = draw(16, 2) * [3.0, 0.5] + [10.0, -4.0]
    model = keras.Sequential(
        [keras.Input((2,)), layers.BatchNormalization(momentum=0.5), layers.Dense(2, use_bias=False)]
    )
    fit(model, x, epochs=2, batch_size=16, learning_rate=STANDSTILL)
    # From 0 and 1, half of the way to the truth at each of two steps.
    np.testing.assert_allclose(model.layers[0].moving_mean, 0.75 * x.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(model.layers[0].moving_variance, 0.75 * x.var(axis=0) + 0.25, rtol=1e-4)


@every_way
def test_penalties_shrink_weights_but_are_not_in_the_loss(way):
    weights = np.array([[2.0, -1.0]])
    model = linear(weights, kernel_regularizer=keras.regularizers.L2(0.5))
    x = np.zeros((4, 1))
    history = fit(model, x, np.zeros((4, 2)), epochs=1, learning_rate=0.1)
    assert history.loss == [0.0]
    np.testing.assert_allclose(model.get_weights()[0], [[1.9, -0.9]], atol=1e-5)


# Batches, order and what is recorded


@pytest.mark.parametrize("batch_size", [1, 3, 4, 7, 100])
def test_every_sample_counts_the_same_once(batch_size):
    x = np.array([[0.0], [1], [4], [9], [16], [25], [360]])
    history = fit(identity(1), x, epochs=2, batch_size=batch_size, learning_rate=STANDSTILL, loss=mean_output)
    assert history.loss == pytest.approx([x.mean(), x.mean()], rel=1e-6)


def test_validation_loss_is_that_of_evaluate_for_more_samples_than_a_slice():
    held_out = draw(5003, 2)
    held_out[-3:] = 100
    wanted = draw(5003, 2, seed=1)
    model = linear(draw(2, 2, seed=2))
    history = fit(model, draw(8, 2), validation_data=(held_out, wanted), epochs=2, learning_rate=0.1)
    assert history.validation_loss[0] != history.validation_loss[1]
    model.compile(loss="mean_squared_error")
    expected = model.evaluate(held_out, wanted, verbose=0)
    assert history.validation_loss[1] == pytest.approx(expected, rel=1e-4)


def test_history_has_one_entry_an_epoch():
    history = fit(identity(2), draw(6, 2), epochs=4, batch_size=2)
    assert isinstance(history, History)
    assert len(history.loss) == len(history.seconds) == 4
    assert all(seconds > 0 for seconds in history.seconds)
    assert history.validation_loss == []
    assert history.best_epoch == 3
    assert not history.stopped_early


def trained(seed: int = 0, corrupt=None) -> np.ndarray:
    model = linear(np.array([[0.5, 0.1], [0.2, -0.3]]))
    fit(
        model,
        draw(13, 2),
        epochs=2,
        batch_size=4,
        learning_rate=0.1,
        seed=seed,
        corrupt=corrupt,
    )
    return model.get_weights()[0]


def test_a_seed_gives_the_same_weights_again_and_another_seed_others():
    np.testing.assert_array_equal(trained(seed=1), trained(seed=1))
    assert np.abs(trained(seed=1) - trained(seed=2)).max() > 1e-4


def test_a_seed_decides_the_corruption_too():
    def add_noise(generator, x):
        return x + generator.normal(size=x.shape)

    np.testing.assert_array_equal(trained(1, add_noise), trained(1, add_noise))
    assert np.abs(trained(1, add_noise) - trained(1)).max() > 1e-3


def test_dropout_is_the_same_again_after_setting_the_seed_of_keras():
    def once():
        keras.utils.set_random_seed(3)
        model = keras.Sequential([keras.Input((4,)), layers.Dropout(0.5), layers.Dense(4)])
        return fit(model, draw(10, 4), epochs=2, batch_size=4).loss

    assert once() == once()


def test_the_compiled_loop_does_what_the_same_lines_do_one_by_one():
    def once():
        keras.utils.set_random_seed(1)
        model = regularised_model()
        history = fit(
            model,
            draw(11, 6),
            validation_data=draw(5, 6, seed=1),
            epochs=2,
            batch_size=4,
            learning_rate=0.05,
        )
        return [history.loss, history.validation_loss, *model.get_weights()]

    compiled = once()
    tf.config.run_functions_eagerly(True)
    try:
        one_by_one = once()
    finally:
        tf.config.run_functions_eagerly(False)
    for fast, slow in zip(compiled, one_by_one, strict=True):
        np.testing.assert_allclose(fast, slow, atol=1e-5)


@pytest.mark.parametrize("epochs", [1, 3])
def test_the_number_of_batches_and_epochs_does_not_grow_the_program(epochs):
    calls = []

    def counted(targets, outputs):
        calls.append(1)
        return (targets - outputs) ** 2

    fit(identity(1), draw(101, 1), epochs=epochs, batch_size=2, loss=counted)
    # Once in the loop and once for the last batch, each perhaps traced again by the compiler.
    assert 2 <= len(calls) <= 4


# What a model may be


@every_way
def test_dropout_drops_in_training_only(way):
    x = np.ones((64, 8))
    history = fit(
        identity(8, layers.Dropout(0.5)),
        x,
        validation_data=x,
        epochs=1,
        batch_size=16,
        learning_rate=STANDSTILL,
    )
    # A one becomes 0 or 2: an error of one either way.
    assert history.loss == pytest.approx([1.0])
    assert history.validation_loss == [0.0]


@every_way
def test_every_batch_has_its_own_dropout(way):
    keras.utils.set_random_seed(0)
    history = fit(
        identity(1, layers.Dropout(0.5)),
        np.ones((100, 1)),
        epochs=2,
        batch_size=1,
        learning_rate=STANDSTILL,
        loss=mean_output,
    )
    # Each batch gives 0 or 2. The mean of 100 is 1 within 0.1 (one standard error); the same mask in all
    # of them would give 0 or 2.
    assert all(0.5 < loss < 1.5 for loss in history.loss)


def test_gaussian_noise_is_added_in_training_only():
    keras.utils.set_random_seed(0)
    x = np.full((500, 8), 3.0)
    model = identity(8, layers.GaussianNoise(0.5))
    history = fit(model, x, validation_data=x, epochs=1, batch_size=100, learning_rate=STANDSTILL)
    assert history.loss[0] == pytest.approx(0.25, abs=0.03)
    assert history.validation_loss == [0.0]


@pytest.mark.parametrize("loss", ["mean_squared_error", "MeanSquaredError", keras.losses.MeanSquaredError()])
def test_losses_by_name_and_as_objects(loss):
    x = draw(7, 2)
    history = fit(
        linear(2 * np.eye(2)),
        x,
        epochs=1,
        batch_size=4,
        learning_rate=STANDSTILL,
        loss=loss,
    )
    assert history.loss == pytest.approx([np.mean(x**2)], rel=1e-5)


def test_a_loss_of_ones_own_sees_targets_first():
    def only_too_low(targets, outputs):
        return tf.reduce_mean(tf.nn.relu(targets - outputs) ** 2, axis=-1)

    model = linear(np.array([[1.0]]))
    history = fit(
        model,
        np.ones((4, 1)),
        np.array([[3.0], [3], [0], [0]]),
        validation_data=(np.ones((2, 1)), np.zeros((2, 1))),
        epochs=1,
        learning_rate=0.1,
        loss=only_too_low,
    )
    assert history.loss == pytest.approx([2.0])
    assert history.validation_loss == [0.0]
    assert model.get_weights()[0] == pytest.approx(1.1)


def test_a_model_that_was_not_built_yet_is_built():
    model = keras.Sequential([layers.Dense(3)])
    fit(model, draw(5, 3), epochs=1)
    assert model.get_weights()[0].shape == (3, 3)


def test_whole_numbers_and_truth_values_are_taken():
    model = linear(np.array([[2.0]]))
    x, y = np.array([[1], [3]]), np.array([[True], [False]])
    history = fit(model, x, y, epochs=1, learning_rate=STANDSTILL)
    assert history.loss == pytest.approx([(1 + 36) / 2])


def test_a_model_can_be_trained_twice():
    x = draw(20, 2)
    model = linear(np.array([[0.1, 0.0], [0.0, 0.1]]))
    first = fit(model, x, epochs=5, learning_rate=0.05)
    second = fit(model, x, epochs=5, learning_rate=0.05)
    assert second.loss[0] < first.loss[-1]


# Patience


def walk_past(target: float, **options) -> tuple[float, History]:
    """Move one weight from 0 by 0.1 an epoch, upwards, past the `target` of the validation data."""
    model = linear(np.array([[0.0]]))
    history = fit(
        model,
        np.ones((2, 1)),
        np.full((2, 1), 100.0),
        validation_data=(np.ones((1, 1)), np.full((1, 1), target)),
        learning_rate=0.1,
        **options,
    )
    return model.get_weights()[0].item(), history


def test_patience_stops_and_takes_back_the_best_weights():
    weight, history = walk_past(0.32, epochs=50, patience=3)
    assert history.stopped_early
    assert history.best_epoch == 2
    assert len(history.loss) == len(history.validation_loss) == len(history.seconds) == 6
    assert weight == pytest.approx(0.3, abs=1e-3)
    assert history.validation_loss[2] == min(history.validation_loss)


def test_patience_of_one_stops_at_the_first_setback():
    weight, history = walk_past(0.32, epochs=50, patience=1)
    assert len(history.loss) == 4
    assert weight == pytest.approx(0.3, abs=1e-3)


def test_the_best_weights_are_taken_back_also_when_the_epochs_run_out():
    weight, history = walk_past(0.32, epochs=5, patience=3)
    assert not history.stopped_early
    assert (history.best_epoch, len(history.loss)) == (2, 5)
    assert weight == pytest.approx(0.3, abs=1e-3)


def test_without_patience_the_last_weights_stay():
    weight, history = walk_past(0.32, epochs=7)
    assert not history.stopped_early
    assert (history.best_epoch, len(history.loss)) == (6, 7)
    assert weight == pytest.approx(0.7, abs=1e-2)


def test_patience_lasts_while_it_gets_better():
    weight, history = walk_past(5.0, epochs=8, patience=1)
    assert not history.stopped_early
    assert history.best_epoch == 7
    assert weight == pytest.approx(0.8, abs=1e-2)


# Corruption


def test_corruption_is_drawn_once_an_epoch_and_targets_stay_clean():
    x = draw(10, 3)
    copy = x.copy()
    drawn = []

    def to_zero(generator, clean):
        np.testing.assert_array_equal(clean, copy)
        drawn.append(generator.random())
        return np.zeros_like(clean)

    history = fit(
        identity(3),
        x,
        validation_data=x,
        epochs=3,
        batch_size=4,
        learning_rate=STANDSTILL,
        corrupt=to_zero,
    )
    assert len(set(drawn)) == 3
    assert history.loss == pytest.approx([np.mean(copy**2)] * 3, rel=1e-5)
    assert history.validation_loss == [0.0] * 3
    np.testing.assert_array_equal(x, copy)


def test_the_network_sees_the_corruption_of_this_epoch():
    epochs = iter([1.0, 2.0, 5.0])
    history = fit(
        identity(1),
        np.zeros((4, 1)),
        np.zeros((4, 1)),
        epochs=3,
        learning_rate=STANDSTILL,
        corrupt=lambda generator, clean: clean + next(epochs),
    )
    assert history.loss == pytest.approx([1.0, 4.0, 25.0])


@every_way
def test_a_corruption_may_fill_the_same_array_in_every_epoch(way):
    x, buffer = draw(10, 3), np.empty((10, 3), np.float32)

    def noisy(generator, clean):
        return clean + generator.normal(size=clean.shape).astype(np.float32)

    def noisy_in_buffer(generator, clean):
        buffer[:] = noisy(generator, clean)
        return buffer

    options = {"epochs": 4, "batch_size": 4, "learning_rate": STANDSTILL}
    expected = fit(identity(3), x, corrupt=noisy, **options).loss
    assert len(set(expected)) == 4
    assert fit(identity(3), x, corrupt=noisy_in_buffer, **options).loss == pytest.approx(expected)


def test_corrupting_in_place_is_refused_and_leaves_the_data_alone():
    x = np.ones((4, 2), np.float32)

    def in_place(generator, clean):
        clean[:] = 0
        return clean

    with pytest.raises(ValueError, match="read-only"):
        fit(identity(2), x, epochs=1, corrupt=in_place)
    assert (x == 1).all()
    assert x.flags.writeable


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (np.zeros((4, 1)), r"must return an array of shape \(4, 2\), got \(4, 1\)"),
        (np.full((4, 2), np.nan), "corrupt returned NaN or infinite values"),
    ],
)
def test_a_corruption_of_no_use_is_refused(result, message):
    with pytest.raises(ValueError, match=message):
        fit(identity(2), np.ones((4, 2)), epochs=1, corrupt=lambda generator, clean: result)


# Refusals

GOOD = np.ones((4, 2), np.float32)


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (np.where(np.eye(2) > 0, np.nan, 1), {}, "^x holds NaN or infinite"),
        (np.full((2, 2), np.inf), {}, "^x holds NaN or infinite"),
        (np.full((2, 2), -1e300), {}, r"^x .* 1e\+300, too large for float32"),
        (np.empty((0, 2)), {}, r"^x is empty \(shape \(0, 2\)\)"),
        (np.empty((2, 0)), {}, "^x is empty"),
        (np.ones(4), {}, r"^x has shape \(4,\)"),
        (np.full((4, 2), "a"), {}, "^x must hold real numbers"),
        (np.ones((4, 2), complex), {}, "^x must hold real numbers"),
        (scipy.sparse.csr_matrix(GOOD), {}, r"^x is a sparse matrix.*\.toarray\(\)"),
        (np.full((4, 2), 2, np.uint8), {}, "^x holds whole numbers .* divide by 255"),
        (np.full((4, 2), 2, np.int64), {}, "^x holds whole numbers .* divide by 255"),
        (GOOD, {"y": np.full((4, 2), 255)}, "^y holds whole numbers .* divide by 255"),
        (GOOD, {"y": np.ones(4)}, r"^y has shape \(4,\).* y\[:, np\.newaxis\]"),
        (GOOD, {"y": np.full((4, 2), np.nan)}, "^y holds NaN"),
        (GOOD, {"y": np.ones((3, 2))}, "x has 4 samples, but y has 3"),
        (GOOD, {"validation_data": np.full((4, 2), np.nan)}, "^x of validation_data holds NaN"),
        (
            GOOD,
            {"validation_data": (GOOD, GOOD[:1])},
            "^x of validation_data has 4 samples, but y .* has 1",
        ),
        (GOOD, {"validation_data": [GOOD, GOOD]}, r"^validation_data is a list.*\(inputs, targets\)"),
        (GOOD, {"validation_data": (GOOD, GOOD, np.ones(4))}, "^validation_data has 3 parts.*sample weights"),
        ([[1.0], [1.0, 2.0]], {}, "^x: the rows differ in length"),
        (np.ones((4, 3)), {}, r"^the network takes samples of shape \(2,\), but x holds .* shape \(3,\)"),
        (np.ones((4, 2, 1)), {}, r"^the network takes samples of shape \(2,\)"),
        (
            GOOD,
            {"validation_data": np.ones((4, 3))},
            r"^the network takes samples of shape \(2,\), but x of validation_data holds .* shape \(3,\)",
        ),
        (
            GOOD,
            {"validation_data": (GOOD, np.ones((4, 3)))},
            r"^the network returns outputs of shape \(2,\), but the targets y of validation_data have",
        ),
        (
            GOOD,
            {"y": np.ones((4, 3))},
            r"^the network returns outputs of shape \(2,\), but the targets y have shape \(3,\)",
        ),
        (GOOD, {"y": np.ones((4, 1))}, "^the network returns outputs"),
        (GOOD, {"loss": "mean_square"}, "^unknown loss 'mean_square'"),
        (GOOD, {"loss": None}, "^unknown loss None: use the name of one in keras.losses"),
        (GOOD, {"loss": 3}, "^unknown loss 3: "),
        (GOOD, {"corrupt": 0.3}, r"^corrupt must be a function of \(random generator, x\), not 0\.3"),
        (GOOD, {"learning_rate": "0.1"}, "^learning_rate must be one number, not '0.1': try 5e-3"),
        (GOOD, {"learning_rate": None}, "^learning_rate must be one number, not None"),
        (GOOD, {"epochs": 0}, "^epochs must be a whole number at least 1, not 0"),
        (GOOD, {"epochs": 1.5}, "^epochs must be a whole number"),
        (GOOD, {"batch_size": 0}, "^batch_size must be a whole number at least 1, not 0"),
        (GOOD, {"patience": 2}, "patience needs validation data"),
        (GOOD, {"patience": 0, "validation_data": GOOD}, "^patience must be a whole number at least 1"),
        (GOOD, {"seed": -1}, "^seed must be a whole number at least 0, not -1"),
        (GOOD, {"seed": 1.5}, "^seed must be a whole number at least 0, not 1.5"),
        (GOOD, {"schedule": "step"}, "unknown schedule 'step'"),
        (GOOD, {"learning_rate": 0.0}, "^learning_rate must be positive and finite, not 0.0: try"),
        (GOOD, {"learning_rate": -1}, "^learning_rate must be positive and finite, not -1: try"),
        (GOOD, {"learning_rate": float("nan")}, "^learning_rate must be positive and finite, not nan"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_cannot_be_trained_on_is_refused_before_anything_changes(x, options, message):
    model = identity(2)
    with pytest.raises(ValueError, match=message) as caught:
        fit(model, x, **{"epochs": 1, **options})
    assert len(str(caught.value).splitlines()) <= 3
    np.testing.assert_array_equal(model.get_weights()[0], np.eye(2))


def test_a_detector_is_refused_with_what_its_network_is_there_for():
    detector = ReconstructionDetector(identity(2), held_out_share=0).fit(draw(20, 2))
    with pytest.raises(
        TypeError, match=r"ReconstructionDetector \(a detector trains in its own fit;.*network_ to"
    ):
        fit(detector, GOOD, epochs=1)
    with pytest.raises(TypeError, match="model must be a Keras model, not str"):
        fit("network", GOOD, epochs=1)


def test_whole_numbers_that_are_no_pixels_are_taken():
    classes = np.array([[0], [2], [1], [2]], np.uint8)
    history = fit(linear(np.ones((2, 3))), GOOD, classes, epochs=1, loss="sparse_categorical_crossentropy")
    assert np.isfinite(history.loss).all()
    assert fit(identity(2), np.eye(2, dtype=np.uint8), epochs=1, learning_rate=STANDSTILL).loss == [0]


SIGMOIDS = {
    "last layer": lambda: [layers.Dense(2, activation="sigmoid")],
    "layer of its own": lambda: [layers.Dense(2), layers.Activation("sigmoid")],
    "reshaped": lambda: [layers.Dense(2, activation="sigmoid"), layers.Reshape((2,))],
    "inner model": lambda: [keras.Sequential([keras.Input((2,)), layers.Dense(2, activation="sigmoid")])],
}


@pytest.mark.parametrize("parts", SIGMOIDS.values(), ids=SIGMOIDS)
@pytest.mark.parametrize("low_high", [(0, 255), (-1, 1)])
def test_targets_that_a_sigmoid_cannot_reach_are_refused(parts, low_high):
    model = keras.Sequential([keras.Input((2,)), *parts()])
    before = model.get_weights()
    x = np.resize(np.float32(low_high), (4, 2))
    message = rf"runs from {low_high[0]} to {low_high[1]}, but the network ends in a sigmoid"
    for arguments in ({"x": x}, {"x": GOOD, "y": x}, {"x": GOOD, "validation_data": x}):
        with pytest.raises(ValueError, match=message):
            fit(model, **arguments, epochs=1)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_sigmoid_reaches_one_and_its_rounding_and_takes_any_inputs():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(2, activation="sigmoid")])
    fit(model, 50 * GOOD, np.full((4, 2), np.nextafter(np.float32(1), np.float32(2))), epochs=1)
    linear_last = keras.Sequential(
        [keras.Input((2,)), layers.Dense(2, activation="sigmoid"), layers.Dense(2)]
    )
    fit(linear_last, 50 * GOOD, epochs=1)


def test_networks_with_several_inputs_or_outputs_are_refused():
    first, second = keras.Input((2,)), keras.Input((2,))
    with pytest.raises(ValueError, match="the network has 2 inputs"):
        fit(keras.Model([first, second], layers.Add()([first, second])), GOOD, epochs=1)
    with pytest.raises(ValueError, match="the network has 2 outputs"):
        fit(keras.Model(first, [layers.Dense(2)(first), layers.Dense(2)(first)]), GOOD, epochs=1)


def test_validation_data_of_another_shape_are_named_also_where_the_network_was_not_built():
    for validation_data in (np.ones((4, 3)), (np.ones((4, 3)), GOOD)):
        model = keras.Sequential([layers.Dense(2)])
        with pytest.raises(ValueError, match="x of validation_data holds samples of shape"):
            fit(model, GOOD, validation_data=validation_data, epochs=1)


def test_targets_that_are_the_validation_data_itself_are_named():
    with pytest.raises(ValueError, match="the targets, which are x of validation_data itself, have shape"):
        fit(linear(np.ones((2, 3))), GOOD, np.ones((4, 3)), validation_data=GOOD, epochs=1)


def test_classes_from_0_on_are_targets_of_another_shape_than_the_outputs():
    model = linear(np.ones((2, 3)))
    history = fit(model, GOOD, np.zeros((4, 1)), epochs=1, loss="sparse_categorical_crossentropy")
    assert np.isfinite(history.loss).all()


def test_a_network_that_was_not_built_and_cannot_take_the_samples_says_so():
    model = keras.Sequential([layers.Conv2D(1, 3)])
    with pytest.raises(ValueError, match=r"^the network does not take samples of shape \(2,\)"):
        fit(model, GOOD, epochs=1)


def test_the_readers_optimiser_stays_the_readers(monkeypatch):
    monkeypatch.setenv("DAE_ENGINE", "plain")
    model, optimizer = linear(np.ones((2, 2))), keras.optimizers.SGD(0.5)
    model.compile(optimizer, "mean_absolute_error")
    fit(model, draw(8, 2), epochs=1)
    assert model.optimizer is optimizer
    assert int(optimizer.iterations) == 0
    expected = np.abs(draw(8, 2) - model.predict(draw(8, 2), verbose=0)).mean()
    assert model.evaluate(draw(8, 2), draw(8, 2), verbose=0) == pytest.approx(expected, rel=1e-5)
    model.fit(draw(8, 2), draw(8, 2), verbose=0)


def test_divergence_is_said_with_the_way_out():
    with pytest.raises(FloatingPointError, match=r"in epoch 2: lower learning_rate \(now 1e\+30\)"):
        fit(linear(2 * np.eye(2)), draw(8, 2), epochs=3, learning_rate=1e30)


def test_divergence_on_the_validation_data_counts_too():
    with pytest.raises(FloatingPointError, match="the loss is inf in epoch 1"):
        fit(
            linear(2 * np.eye(2)),
            GOOD,
            validation_data=np.full((3, 2), 1e30),
            epochs=3,
            patience=1,
        )


@every_way
def test_after_divergence_with_patience_the_model_has_the_weights_of_its_best_epoch(way):
    noise = iter([0.0, 0.0, np.float32(3e38)])  # its square is too large for 32 bits
    model = linear(np.array([[0.0]]))
    with pytest.raises(FloatingPointError, match="in epoch 3"):
        fit(
            model,
            np.ones((2, 1)),
            validation_data=np.ones((1, 1)),
            epochs=5,
            learning_rate=0.1,
            patience=3,
            corrupt=lambda generator, clean: clean + next(noise),
        )
    # Two steps of 0.1 towards 1, where the third made NaN.
    assert model.get_weights()[0] == pytest.approx(0.2, abs=1e-3)


@every_way
def test_after_divergence_in_the_first_epoch_there_is_nothing_to_take_back(way):
    model = linear(np.ones((1, 1)))
    options = {"validation_data": np.ones((1, 1)), "patience": 3, "epochs": 5}
    with pytest.raises(FloatingPointError, match="in epoch 1"):
        fit(model, np.ones((2, 1)), corrupt=lambda generator, clean: clean * np.float32(3e38), **options)
    assert not np.isfinite(model.get_weights()[0]).any()


# The bar


def test_the_bar_shows_the_loss_that_matters(monkeypatch, capsys):
    monkeypatch.setenv("DAE_PROGRESS", "1")
    options = {
        "epochs": 2,
        "learning_rate": STANDSTILL,
        "description": "dense, 8 codes",
    }
    model = linear(np.array([[3.0]]))
    fit(model, np.ones((2, 1)), **options)
    shown = capsys.readouterr().err
    assert "dense, 8 codes" in shown
    assert "2/2" in shown
    assert "loss=4.00000" in shown
    fit(model, np.ones((2, 1)), validation_data=(np.ones((1, 1)), np.zeros((1, 1))), **options)
    assert "loss=9.00000" in capsys.readouterr().err


def test_no_bar_where_it_is_turned_off(monkeypatch, capsys):
    monkeypatch.setenv("DAE_PROGRESS", "0")
    fit(identity(1), np.ones((2, 1)), epochs=2)
    out, err = capsys.readouterr()
    assert out == ""
    assert "epoch" not in err
    assert "training" not in err


def test_many_trainings_do_not_make_tensorflow_warn(caplog):
    with caplog.at_level("WARNING", logger="tensorflow"):
        for seed in range(8):
            x, y = draw(20 + seed, 3), draw(20 + seed, 2)
            fit(linear(np.ones((3, 2))), x, y, validation_data=(x, y), epochs=1)

    assert not [record for record in caplog.records if "retracing" in record.getMessage()]
