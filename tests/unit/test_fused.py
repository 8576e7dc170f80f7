"""Fused networks: the same outputs, losses and gradients as the model itself, on networks drawn at random."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from dae_utils.training import fit
from dae_utils.training.engine import cache
from dae_utils.training.engine.choice import form_for
from dae_utils.training.engine.fused import fuse
from dae_utils.training.engine.fused_loop import MOST_PARTS, sizes_of_parts
from dae_utils.training.engine.fused_steps import ConvolutionStep, LayerStep
from dae_utils.training.engine.pooling import pooled
from dae_utils.training.engine.upsampling import Phases

BCE, MSE, MAE = "binary_crossentropy", "mean_squared_error", "mean_absolute_error"
SAME = {"padding": "same"}


@pytest.fixture(autouse=True)
def nothing_compiled_yet():
    """Keep tests apart that train models of the same structure."""
    cache.clear()


def chain(shape: tuple[int, ...], *parts: keras.Layer) -> keras.Model:
    """Return the model of these layers with weights from a fixed seed, biases included."""
    model = keras.Sequential([keras.Input(shape), *parts])
    generator = np.random.default_rng(0)
    model.set_weights([generator.normal(0, 0.4, w.shape).astype(np.float32) for w in model.get_weights()])
    return model


def uniform(*shape: int, seed: int = 1) -> np.ndarray:
    """Return numbers between 0 and 1."""
    return np.random.default_rng(seed).random(shape, np.float32)


def of_model(model: keras.Model, loss: str, x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """Return outputs, loss and gradients as plain Keras has them."""
    with tf.GradientTape() as tape:
        outputs = model(x, training=True)
        value = tf.reduce_mean(keras.losses.get(loss)(tf.constant(y), outputs))
    return [
        outputs.numpy(),
        value.numpy(),
        *(g.numpy() for g in tape.gradient(value, model.trainable_variables)),
    ]


def of_fused(model: keras.Model, loss: str, x: np.ndarray, y: np.ndarray, compiled: bool) -> list[np.ndarray]:
    """Return the same as the fused form has them."""
    fused = fuse(model, loss)
    weights = [tf.constant(variable.numpy()) for variable in fused.weights]
    with tf.GradientTape() as tape:
        tape.watch(weights)
        value = fused.loss(fused.prepare(weights), tf.constant(x), tf.constant(y), compiled)
    outputs = fused.outputs(fused.prepare(weights), tf.constant(x), compiled)
    return [outputs.numpy(), value.numpy(), *(g.numpy() for g in tape.gradient(value, weights))]


def check_equal(model: keras.Model, loss: str, n_samples: int = 3, compiled: bool = False) -> None:
    """See that nothing differs by more than 1e-5 of the largest of its kind."""
    x, y = uniform(n_samples, *model.input_shape[1:]), uniform(n_samples, *model.output_shape[1:], seed=2)
    plain, fast = of_model(model, loss, x, y), of_fused(model, loss, x, y, compiled)
    assert len(plain) == len(fast) == 2 + len(model.trainable_variables)
    for expected, got in zip(plain, fast, strict=True):
        assert got.shape == expected.shape
        # A gradient that is zero in exact arithmetic is rounding in both, hence the floor.
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * max(np.abs(expected).max(), 1e-3))


# Networks drawn at random

ACTIVATIONS = ["linear", "relu", "tanh", "sigmoid", "elu", "softplus", "gelu", "leaky_relu"]
sizes = st.integers(1, 4)


@st.composite
def networks(draw) -> keras.Model:
    """Draw a chain of convolutions, poolings and up-samplings of all sizes, perhaps a dense layer last."""
    zeros = {"kernel_initializer": "zeros"}  # the weights are set later, and need not be drawn twice
    height, width = draw(st.integers(1, 11)), draw(st.integers(1, 11))
    shape = (height, width, draw(st.integers(1, 4)))
    parts: list[keras.Layer] = []
    for _ in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["convolution", "convolution", "pooling", "upsampling"]))
        if kind == "convolution":
            size, padding = (draw(sizes), draw(sizes)), draw(st.sampled_from(["same", "same", "valid"]))
            if padding == "valid" and (size[0] > height or size[1] > width):
                padding = "same"
            stride = draw(st.sampled_from([1, 1, 1, 2, 3]))
            part = layers.Conv2D(
                draw(st.integers(1, 5)),
                size,
                stride,
                padding,
                activation=draw(st.sampled_from(ACTIVATIONS)),
                use_bias=draw(st.booleans()),
                **zeros,
            )
        elif kind == "pooling":
            size = (min(draw(sizes), height), min(draw(sizes), width))
            part = layers.MaxPooling2D(size, padding=draw(st.sampled_from(["same", "valid"])))
        else:
            size = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
            if height * size[0] > 40 or width * size[1] > 40:
                continue
            part = layers.UpSampling2D(size)
        parts.append(part)
        height, width = keras.Sequential([keras.Input(shape), *parts]).output_shape[1:3]
    parts.append(
        layers.Conv2D(
            draw(st.integers(1, 3)), 3, **SAME, activation=draw(st.sampled_from(["sigmoid", "linear"]))
        )
    )
    if draw(st.booleans()):
        parts += [
            layers.Flatten(),
            layers.Dense(draw(sizes), draw(st.sampled_from(["relu", "sigmoid"])), **zeros),
        ]
    return chain(shape, *parts)


# Keras asks Python's generator for a seed with every layer, whether it is used or not.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module")
@settings(max_examples=40, deadline=None, derandomize=True)
@given(model=networks(), loss=st.sampled_from([BCE, MSE, MAE]), n_samples=st.integers(1, 4))
def test_a_network_drawn_at_random_and_its_fused_form_agree(model, loss, n_samples):
    if loss == BCE and model.layers[-1].activation is not keras.activations.sigmoid:
        loss = MSE
    tf.config.run_functions_eagerly(True)  # without this, most of the time would go into tracing
    try:
        check_equal(model, loss, n_samples)
    finally:
        tf.config.run_functions_eagerly(False)


def listing_of_chapter_2(side: int = 8) -> keras.Model:
    parts = []
    for filters in (6, 5, 4):
        parts += [layers.Conv2D(filters, 3, **SAME, activation="relu"), layers.MaxPooling2D(2)]
    for filters in (4, 5, 6):
        parts += [layers.Conv2D(filters, 3, **SAME, activation="relu"), layers.UpSampling2D(2)]
    return chain((side, side, 3), *parts, layers.Conv2D(3, 3, **SAME, activation="sigmoid"))


def odd_sizes() -> keras.Model:
    return chain(
        (7, 9, 2),
        layers.Conv2D(3, (2, 4), **SAME, activation="elu"),
        layers.MaxPooling2D((3, 2)),
        layers.UpSampling2D((3, 2)),
        layers.Conv2D(2, (5, 2), **SAME, activation="tanh"),
    )


def strides_and_transposed() -> keras.Model:
    return chain(
        (9, 6, 1),
        layers.Conv2D(3, 3, 2, **SAME, activation="relu"),
        layers.Conv2DTranspose(2, 3, 2, **SAME, activation="relu"),
        layers.Flatten(),
        layers.Dense(7, "sigmoid"),
    )


@pytest.mark.parametrize("build", [listing_of_chapter_2, odd_sizes, strides_and_transposed])
@pytest.mark.parametrize("loss", [BCE, MSE])
def test_the_compiled_clusters_agree_too(build, loss):
    model = build()
    check_equal(
        model, MSE if model.layers[-1].activation is keras.activations.tanh else loss, 2, compiled=True
    )


def test_the_network_of_chapter_2_is_seven_steps_and_none_is_left_to_keras():
    steps = fuse(listing_of_chapter_2(), BCE).steps
    assert [type(step) for step in steps] == [ConvolutionStep] * 7


def test_the_gradient_of_equal_maxima_goes_to_one_of_them_as_in_tensorflow():
    # An image of one colour: every window is full of equals.
    model = chain((4, 4, 1), layers.Conv2D(2, 1, activation="relu"), layers.MaxPooling2D(2), layers.Flatten())
    x, y = np.full((2, 4, 4, 1), 0.5, np.float32), uniform(2, 8)
    for expected, got in zip(of_model(model, MSE, x, y), of_fused(model, MSE, x, y, False), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-7)
    values = tf.constant([[[[1.0], [3.0]], [[3.0], [3.0]]]])
    with tf.GradientTape() as tape:
        tape.watch(values)
        maximum = pooled(values, (2, 2))
    assert tape.gradient(maximum, values).numpy().ravel().tolist() == [0, 1, 0, 0]


def test_cross_entropy_of_sure_outputs_is_finite_and_exact():
    model = chain((2, 2, 1), layers.Conv2D(1, 1, activation="sigmoid"))
    model.set_weights([np.full((1, 1, 1, 1), 80.0), np.array([-40.0])])
    x = np.array([[[[0.0], [1.0]], [[0.25], [0.5]]]], np.float32)
    fast = of_fused(model, BCE, x, 1 - x, False)
    # Logits of -40, 40, -20 and 0 against targets of 1, 0, 3/4 and 1/2: log(1 + e^l) - l * t.
    assert fast[1] == pytest.approx((40 + 40 + 15 + np.log(2)) / 4, rel=1e-6)
    assert np.isfinite(fast[2]).all()


def test_three_by_three_after_doubling_is_two_by_two_on_four_phases():
    phases = Phases.of((2, 2), (3, 3))
    assert phases.sizes == (2, 2)
    assert phases.starts == ((0, 1), (0, 1))
    assert phases.padding == [[0, 0], [1, 1], [1, 1], [0, 0]]
    kernel = np.arange(1.0, 10.0, dtype=np.float32).reshape(3, 3, 1, 1)
    small = phases.small_kernel(tf.constant(kernel)).numpy()
    assert small.shape == (2, 2, 1, 4)
    # Rows 1 2 3, 4 5 6, 7 8 9. The first phase sees the corner as it is and the other sums.
    np.testing.assert_array_equal(small[:, :, 0, 0], [[1, 2 + 3], [4 + 7, 5 + 6 + 8 + 9]])
    np.testing.assert_array_equal(small[:, :, 0, 3], [[1 + 2 + 4 + 5, 3 + 6], [7 + 8, 9]])


@given(factor=st.integers(1, 4), size=st.integers(1, 7), n=st.integers(1, 6))
def test_phases_along_one_axis_are_up_sampling_and_convolution(factor, size, n):
    signal, kernel = uniform(n), uniform(size, seed=3)
    phases = Phases.of((factor, 1), (size, 1))
    small = phases.small_kernel(tf.constant(kernel.reshape(size, 1, 1, 1))).numpy()[:, 0, 0]
    padded = np.pad(signal, phases.padding[1])
    got = [
        sum(small[i, a] * padded[pixel + start + i] for i in range(len(small)))
        for pixel in range(n)
        for a, start in enumerate(phases.starts[0])
    ]
    # As TensorFlow pads: of size - 1 zeros the smaller half goes before.
    large = np.pad(np.repeat(signal, factor), [(size - 1) // 2, size // 2])
    np.testing.assert_allclose(got, np.correlate(large, kernel, "valid"), rtol=1e-4, atol=1e-6)


# Which models have a fused form


def functional(join) -> keras.Model:
    inputs = keras.Input((4, 4, 1))
    return keras.Model(inputs, join(inputs))


def shared(inputs):
    layer = layers.Conv2D(1, 3, **SAME)
    return layer(layer(inputs))


class Own(layers.Layer):
    def call(self, inputs):
        return 2 * inputs


class OwnModel(keras.Model):
    def __init__(self):
        super().__init__()
        self.layer = layers.Conv2D(1, 3)

    def call(self, inputs):
        return self.layer(inputs)


CONVOLUTION = {"filters": 1, "kernel_size": 3, "padding": "same"}
WITHOUT_FUSED_FORM = {
    "no convolution": lambda: chain((4,), layers.Dense(4)),
    "branch": lambda: functional(lambda x: layers.Add()([x, layers.Conv2D(1, 3, **SAME)(x)])),
    "bare operation": lambda: functional(lambda x: layers.Conv2D(1, 3)(x) * 2),
    "layer used twice": lambda: functional(shared),
    "layer of one's own": lambda: chain((4, 4, 1), layers.Conv2D(1, 3), Own()),
    "model of one's own": OwnModel,
    "batch statistics": lambda: chain((4, 4, 1), layers.Conv2D(1, 3), layers.BatchNormalization()),
    "random numbers": lambda: chain((4, 4, 1), layers.Conv2D(1, 3), layers.Dropout(0.5)),
    "penalty on weights": lambda: chain((4, 4, 1), layers.Conv2D(**CONVOLUTION, kernel_regularizer="l2")),
    "penalty on outputs": lambda: chain((4, 4, 1), layers.Conv2D(**CONVOLUTION, activity_regularizer="l1")),
    "constraint": lambda: chain((4, 4, 1), layers.Conv2D(**CONVOLUTION, kernel_constraint="non_neg")),
    "frozen layer": lambda: chain(
        (4, 4, 1), layers.Conv2D(**CONVOLUTION, trainable=False), layers.Conv2D(1, 1)
    ),
    "half precision": lambda: chain((4, 4, 1), layers.Conv2D(**CONVOLUTION, dtype="mixed_float16")),
    "channels first": lambda: chain((1, 4, 4), layers.Conv2D(**CONVOLUTION, data_format="channels_first")),
}


@pytest.mark.parametrize("build", WITHOUT_FUSED_FORM.values(), ids=WITHOUT_FUSED_FORM)
def test_nothing_is_fused_where_it_would_not_be_the_same_or_not_faster(build):
    assert fuse(build(), MSE) is None


@pytest.mark.parametrize("loss", ["mean_squared_logarithmic_error", lambda targets, outputs: outputs])
def test_nothing_is_fused_for_other_losses(loss):
    assert fuse(listing_of_chapter_2(), loss) is None


def test_sub_models_are_part_of_the_chain():
    encoder = chain((6, 4, 1), layers.Conv2D(3, 3, **SAME, activation="relu"), layers.MaxPooling2D(2))
    inside = chain((3, 2, 3), layers.UpSampling2D(2))
    decoder = keras.Sequential(
        [keras.Input((3, 2, 3)), inside, layers.Conv2D(1, 3, **SAME, activation="sigmoid")]
    )
    model = functional_of(encoder, decoder)
    assert len(fuse(model, BCE).steps) == 2
    check_equal(model, BCE)


def functional_of(encoder: keras.Model, decoder: keras.Model) -> keras.Model:
    inputs = keras.Input(encoder.input_shape[1:])
    return keras.Model(inputs, decoder(encoder(inputs)))


def test_pooling_comes_first_only_where_that_is_the_same():
    def joined(activation="relu", side=4, **pooling):
        model = chain(
            (side, side, 1),
            layers.Conv2D(1, 3, **SAME, activation=activation),
            layers.MaxPooling2D(**pooling),
        )
        return len(fuse(model, MSE).steps) == 1

    assert joined()
    assert joined(side=5)
    assert joined(activation="tanh", padding="same")
    assert not joined(activation="gelu")  # it falls before it rises
    assert not joined(side=5, padding="same")  # windows that reach over the border
    assert not joined(pool_size=2, strides=1)


def test_images_of_any_size_are_left_to_keras():
    model = keras.Sequential(
        [keras.Input((None, None, 1)), layers.Conv2D(1, 3, **SAME), layers.MaxPooling2D(2)]
    )
    assert [type(step) for step in fuse(model, MSE).steps] == [ConvolutionStep, LayerStep]


def test_a_layer_with_an_option_that_is_not_known_is_left_to_keras(monkeypatch):
    of_today = layers.Conv2D.get_config
    monkeypatch.setattr(layers.Conv2D, "get_config", lambda layer: {**of_today(layer), "sharpness": 2})
    assert [type(step) for step in fuse(odd_sizes(), MSE).steps] == [LayerStep] * 4


# Training with it


@pytest.fixture
def as_in_long_trainings(monkeypatch):
    monkeypatch.setenv("DAE_ENGINE", "long")


def both_trained(build, x, y=None, **options):
    """Train two equal models, one in its fused form and one by Keras alone; return both, with histories."""
    options = {"epochs": 3, "batch_size": 8, "learning_rate": 0.01, "loss": BCE, **options}
    fast, plain = build(), build()
    assert form_for(fast, options["loss"], 1, "long") == "fused"
    histories = []
    for setting, model in (("long", fast), ("plain", plain)):
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("DAE_ENGINE", setting)
            histories.append(fit(model, x, y, **options))
    return fast, plain, histories


@pytest.mark.parametrize("n_samples", [16, 21, 5])
def test_training_the_fused_form_is_training_the_model(as_in_long_trainings, n_samples):
    x, held_out = uniform(n_samples, 8, 8, 3), uniform(11, 8, 8, 3, seed=5)
    before = listing_of_chapter_2().get_weights()
    fast, plain, (ours, theirs) = both_trained(
        listing_of_chapter_2, x, validation_data=held_out, schedule="one_cycle"
    )
    assert max(np.abs(a - b).max() for a, b in zip(before, fast.get_weights(), strict=True)) > 0.01
    np.testing.assert_allclose(ours.loss, theirs.loss, rtol=1e-5)
    np.testing.assert_allclose(ours.validation_loss, theirs.validation_loss, rtol=1e-5)
    for a, b in zip(fast.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_targets_of_their_own_and_corruption_reach_the_fused_form(as_in_long_trainings):
    x, y = uniform(20, 7, 9, 2), uniform(20, 6, 8, 2, seed=4) * 2 - 1

    def corrupt(generator, clean):
        return clean + generator.normal(size=clean.shape)

    _, _, (ours, theirs) = both_trained(odd_sizes, x, y, loss=MSE, corrupt=corrupt)
    np.testing.assert_allclose(ours.loss, theirs.loss, rtol=1e-5)
    _, _, (clean, _) = both_trained(odd_sizes, x, y, loss=MSE)
    assert np.abs(np.subtract(clean.loss, ours.loss)).max() > 1e-3


def test_a_fused_form_trains_every_model_of_its_structure_from_that_models_weights(as_in_long_trainings):
    x = uniform(20, 8, 8, 3)
    models = [listing_of_chapter_2() for _ in range(3)]
    models[1].set_weights([weight / 2 for weight in models[1].get_weights()])
    losses = [fit(model, x, epochs=2, batch_size=8, loss=BCE).loss for model in models]
    assert losses[0] == losses[2] != losses[1]
    for a, b in zip(models[0].get_weights(), models[2].get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_best_weights_are_taken_back_from_the_fused_form(as_in_long_trainings):
    x = uniform(16, 8, 8, 3)
    model = listing_of_chapter_2()
    history = fit(
        model,
        x,
        validation_data=1 - x,
        epochs=9,
        batch_size=8,
        learning_rate=0.05,
        schedule="constant",
        loss=BCE,
        patience=2,
    )
    assert history.stopped_early
    assert history.best_epoch < len(history.validation_loss) - 1
    model.compile(loss=BCE)
    best = model.evaluate(1 - x, 1 - x, verbose=0)
    assert best == pytest.approx(min(history.validation_loss), rel=1e-4)


def test_what_a_fused_form_learnt_before_an_interruption_is_kept(as_in_long_trainings):
    def stop_in_the_third_epoch(generator, x):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return x.copy()

    calls, model = [], listing_of_chapter_2()
    before = model.get_weights()
    with pytest.raises(KeyboardInterrupt):
        fit(model, uniform(16, 8, 8, 3), epochs=9, loss=BCE, corrupt=stop_in_the_third_epoch)
    assert max(np.abs(a - b).max() for a, b in zip(before, model.get_weights(), strict=True)) > 1e-4


def test_a_model_trained_in_its_fused_form_is_plain_keras_when_saved(as_in_long_trainings, tmp_path):
    model, x = listing_of_chapter_2(), uniform(16, 8, 8, 3)
    history = fit(model, x, validation_data=x, epochs=2, batch_size=8, loss=BCE)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    loaded.compile(loss=BCE)
    assert loaded.evaluate(x, x, verbose=0) == pytest.approx(history.validation_loss[-1], rel=1e-4)


def test_divergence_of_a_fused_form_is_said(as_in_long_trainings):
    with pytest.raises(FloatingPointError, match="lower learning_rate"):
        fit(chain((4, 4, 1), layers.Conv2D(1, 3, **SAME)), uniform(16, 4, 4, 1), epochs=3, learning_rate=1e30)


@given(batch_size=st.integers(1, 600), n_cores=st.integers(1, 64))
def test_parts_of_a_batch_are_all_of_it_and_about_equal(batch_size, n_cores):
    parts = sizes_of_parts(batch_size, n_cores)
    assert sum(parts) == batch_size
    assert max(parts) - min(parts) <= 1
    assert min(parts) >= 1
    assert len(parts) <= MOST_PARTS
    if batch_size >= 64 and n_cores == 2:
        assert len(parts) % 2 == 0
