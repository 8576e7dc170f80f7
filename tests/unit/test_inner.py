"""Looking inside networks: outputs in batches, activations stage by stage, and the copy in float64."""

import keras
import numpy as np
import pytest
from keras import layers
from toy_samples import samples

from dae_utils.networks.builders import dense_autoencoder
from dae_utils.networks.float64 import DenseCopy
from dae_utils.networks.inner import codes, encoder_activations, predict_in_batches, reconstruct


def test_predictions_do_not_depend_on_the_batch_size(keras_autoencoder):
    x = samples(25, 5, 2)
    whole = predict_in_batches(keras_autoencoder, x)
    assert whole.shape == (25, 5, 2)
    assert whole.dtype == np.float32
    np.testing.assert_allclose(predict_in_batches(keras_autoencoder, x, 4), whole, atol=1e-6)
    np.testing.assert_allclose(keras_autoencoder.predict(x, verbose=0), whole, atol=1e-6)


def test_prediction_is_in_inference_mode():
    x = samples(8, 3)
    model = keras.Sequential([keras.Input((3,)), layers.Dropout(0.9), layers.GaussianNoise(0.9)])
    np.testing.assert_array_equal(predict_in_batches(model, x), x)


def test_several_outputs_and_plain_functions():
    x = samples(10, 3)
    doubled, summed = predict_in_batches(lambda batch: (2 * batch, batch.sum(axis=1)), x, batch_size=3)
    np.testing.assert_array_equal(doubled, 2 * x)
    np.testing.assert_allclose(summed, x.sum(axis=1))
    seen = []
    predict_in_batches(lambda batch: seen.append(batch.dtype) or batch, x.astype(np.float64))
    assert seen == [np.float32]


def test_bad_predictions_are_refused():
    with pytest.raises(ValueError, match="training has diverged"):
        predict_in_batches(lambda batch: batch * np.nan, samples(3, 2))
    with pytest.raises(ValueError, match="batch_size"):
        predict_in_batches(lambda batch: batch, samples(3, 2), batch_size=0)


def test_activations_of_a_sequential_encoder(keras_autoencoder):
    encoder = keras_autoencoder.get_layer("encoder")
    x = samples(4, 5, 2)
    hidden, code = predict_in_batches(encoder_activations(encoder), x)
    weights = [w.numpy() for w in encoder.weights]
    expected = np.maximum(x.reshape(4, 10) @ weights[0] + weights[1], 0)
    np.testing.assert_allclose(hidden, expected, atol=1e-6)
    np.testing.assert_allclose(code, np.maximum(expected @ weights[2] + weights[3], 0), atol=1e-6)


def test_a_stage_includes_what_follows_its_layer():
    image = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, padding="same")(image)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU()(x)
    x = layers.MaxPooling2D(name="pooled")(x)
    skip = layers.Conv2D(4, 3, padding="same", activation="relu", name="second")(x)
    x = layers.Add(name="sum")([x, skip])
    encoder = keras.Model(image, layers.Dense(3)(layers.Flatten()(x)), name="encoder")
    activations = encoder_activations(encoder)
    assert [output.shape[1:] for output in activations.outputs] == [(4, 4, 4), (64,), (3,)]
    # Weights are shared: training the encoder later changes the activations too.
    encoder.layers[-1].bias.assign([1.0, 2.0, 3.0])
    x = samples(5, 8, 8, 1)
    np.testing.assert_allclose(
        predict_in_batches(activations, x)[-1], predict_in_batches(encoder, x), atol=1e-6
    )


@pytest.mark.parametrize("kind", ["sequential", "functional"])
def test_layers_may_come_from_another_model(kind):
    whole = keras.Sequential([keras.Input((6,)), layers.Dense(4), layers.Dense(2), layers.Dense(6)])
    if kind == "sequential":
        encoder = keras.Sequential([keras.Input((6,)), *whole.layers[:2]])
    else:
        start = keras.Input((6,))
        encoder = keras.Model(start, whole.layers[1](whole.layers[0](start)))
    x = samples(5, 6)
    first, code = predict_in_batches(encoder_activations(encoder), x)
    assert first.shape == (5, 4)
    np.testing.assert_allclose(code, predict_in_batches(encoder, x), atol=1e-6)


def test_encoders_that_cannot_be_listed_are_refused():
    class Own(keras.Model):
        def call(self, x):
            return x

    for encoder in (Own(), keras.Sequential([layers.Dense(2)]), lambda x: x):
        with pytest.raises(ValueError, match="activations of this encoder cannot be listed"):
            encoder_activations(encoder)
    with pytest.raises(ValueError, match="no layer with weights"):
        encoder_activations(
            keras.Sequential([keras.Input((4,)), layers.Flatten(), layers.BatchNormalization()])
        )


def test_any_finite_numbers_go_in():
    doubled = predict_in_batches(lambda batch: 2 * batch, np.array([[0, 255], [7, -300]]))
    np.testing.assert_array_equal(doubled, [[0, 510], [14, -600]])
    with pytest.raises(ValueError, match="NaN or infinite values in 1 of 2"):
        predict_in_batches(lambda batch: batch, [[1.0], [np.nan]])


def test_one_output_of_the_right_shape_is_asked_for():
    x = samples(5, 3, 2)
    assert codes(lambda batch: batch, x).shape == (5, 6)
    assert codes(lambda batch: batch, x).dtype == np.float64
    np.testing.assert_array_equal(reconstruct(lambda batch: batch, x), x)
    for use in (codes, reconstruct):
        with pytest.raises(ValueError, match="gives 2 outputs"):
            use(lambda batch: [batch, batch], x)
    with pytest.raises(ValueError, match="the reconstruction has"):
        reconstruct(lambda batch: batch[:, :2], x)


@pytest.mark.parametrize("activation", ["linear", "relu", "sigmoid", "tanh"])
def test_a_copy_in_float64_computes_the_same(activation):
    model = keras.Sequential(
        [keras.Input((5,)), layers.Dense(7, activation=activation), layers.Dense(3, use_bias=False)]
    )
    model.layers[0].bias.assign(samples(1, 7)[0])
    x = samples(200, 5) * 4 - 2
    copy = DenseCopy(model)
    np.testing.assert_allclose(copy(x), predict_in_batches(model, x), rtol=1e-4, atol=1e-5)
    stages = copy.stages(x)
    assert [stage.shape for stage in stages] == [(200, 7), (200, 3)]
    np.testing.assert_array_equal(stages[-1], copy(x))
    # Within float64, whatever the batch.
    alone = np.concatenate([copy(x[k : k + 1]) for k in range(200)])
    np.testing.assert_allclose(alone, copy(x), rtol=1e-12, atol=1e-14)


def test_a_copy_keeps_the_weights_it_was_made_of():
    encoder = dense_autoencoder(5, (), 2).get_layer("encoder")
    copy, x = DenseCopy(encoder), samples(9, 5)
    before = copy(x)
    encoder.set_weights([0 * weights for weights in encoder.get_weights()])
    np.testing.assert_array_equal(copy(x), before)


@pytest.mark.parametrize("layer", [layers.Dense(2, activation="softmax"), layers.Dropout(0.5)])
def test_what_has_no_copy_is_refused(layer):
    with pytest.raises(ValueError, match="has no copy in float64"):
        DenseCopy(keras.Sequential([keras.Input((3,)), layer]))
