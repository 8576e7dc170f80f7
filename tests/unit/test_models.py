"""Autoencoders: shapes, sizes by hand, two parts that can be used alone, and faults."""

from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.utils import check_random_state
from toy_samples import samples

from dae_utils.networks.builders import autoencoder, dense_autoencoder
from dae_utils.networks.weights import draw_weights

layers = keras.layers


def dense_layers(model: keras.Model) -> list[tuple[int, int, str]]:
    """Inputs, outputs and activation of every dense layer, in order."""
    return [(*layer.kernel.shape, layer.activation.__name__) for layer in model.layers]


def image_parts(encoder_name: str = "front", decoder_name: str = "back") -> tuple[keras.Model, keras.Model]:
    """An encoder and a decoder of images with three channels, under names of their own."""
    encoder = keras.Sequential(
        [keras.Input((4, 6, 3)), layers.Flatten(), layers.Dense(5, activation="tanh")], name=encoder_name
    )
    decoder = keras.Sequential(
        [keras.Input((5,)), layers.Dense(72, activation="sigmoid"), layers.Reshape((4, 6, 3))],
        name=decoder_name,
    )
    return encoder, decoder


def test_the_default_is_the_network_of_chapter_1():
    model = dense_autoencoder(784)
    # 784 x 64 weights and 64 offsets; 64 x 784 weights and 784 offsets.
    assert model.encoder.count_params() == 50_240
    assert model.decoder.count_params() == 50_960
    assert model.count_params() == 101_200
    assert dense_layers(model.encoder) == [(784, 64, "relu")]
    assert dense_layers(model.decoder) == [(64, 784, "sigmoid")]


def test_hidden_sizes_are_mirrored():
    model = dense_autoencoder(10, (8, 6), code_size=3, code_activation="linear", output_activation="linear")
    assert dense_layers(model.encoder) == [(10, 8, "relu"), (8, 6, "relu"), (6, 3, "linear")]
    assert dense_layers(model.decoder) == [(3, 6, "relu"), (6, 8, "relu"), (8, 10, "linear")]
    # Encoder 88 + 54 + 21, decoder 24 + 56 + 90.
    assert model.encoder.count_params() == 163
    assert model.decoder.count_params() == 170
    assert model.count_params() == 333
    assert model.encoder.layers[-1].name == "code"
    assert model.decoder.layers[-1].name == "reconstruction"


def test_the_model_computes_what_its_weights_say():
    model = dense_autoencoder(6, (5,), code_size=2)
    x = samples(4, 6)
    values = x.astype(np.float64)
    for layer in (*model.encoder.layers, *model.decoder.layers[:-1]):
        values = np.maximum(0, values @ layer.kernel.numpy() + layer.bias.numpy())
    last = model.decoder.layers[-1]
    expected = 1 / (1 + np.exp(-(values @ last.kernel.numpy() + last.bias.numpy())))
    np.testing.assert_allclose(model(x), expected, atol=1e-6)


@pytest.mark.parametrize(
    "build", [lambda: dense_autoencoder(72, (9,), 5), lambda: autoencoder(*image_parts())]
)
def test_model_is_decoder_after_encoder(build):
    model = build()
    x = samples(7, *model.input_shape[1:])
    codes = model.encoder(x)
    assert codes.shape == (7, 5)
    assert model.output_shape == model.input_shape
    assert model(x).shape == x.shape
    np.testing.assert_allclose(model(x), model.decoder(codes), atol=1e-6)
    assert model.get_layer("encoder") is model.encoder
    assert model.get_layer("decoder") is model.decoder


def test_training_the_whole_trains_the_parts():
    keras.utils.set_random_seed(0)
    model = dense_autoencoder(8, code_size=3)
    x = samples(32, 8)
    before = model.encoder(x).numpy(), model.decoder(samples(4, 3)).numpy()
    model.compile("adam", "mse")
    model.fit(x, x, epochs=2, verbose=0)
    assert not np.allclose(before[0], model.encoder(x))
    assert not np.allclose(before[1], model.decoder(samples(4, 3)))
    np.testing.assert_allclose(model(x), model.decoder(model.encoder(x)), atol=1e-6)
    # And a change to a part is a change to the whole.
    model.decoder.layers[-1].bias.assign(np.full(8, 50.0))
    np.testing.assert_allclose(model(x), 1, atol=1e-6)


@pytest.mark.parametrize("names", [("front", "back"), ("decoder", "encoder")])
def test_parts_are_renamed_and_the_model_survives_a_file(tmp_path: Path, names):
    encoder, decoder = image_parts(*names)
    model = autoencoder(encoder, decoder, name="joined")
    assert (model.name, encoder.name, decoder.name) == ("joined", "encoder", "decoder")
    assert model.encoder is encoder
    assert model.decoder is decoder

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = samples(5, 4, 6, 3)
    assert loaded.name == "joined"
    assert [layer.name for layer in loaded.layers] == ["samples", "encoder", "decoder"]
    np.testing.assert_allclose(loaded(x), model(x), atol=1e-6)
    np.testing.assert_allclose(loaded.get_layer("encoder")(x), encoder(x), atol=1e-6)
    codes = samples(5, 5, seed=1)
    np.testing.assert_allclose(loaded.get_layer("decoder")(codes), decoder(codes), atol=1e-6)


def test_weights_alone_fit_into_a_model_built_anew(tmp_path: Path):
    first, second = dense_autoencoder(9, (6,), 2), dense_autoencoder(9, (6,), 2)
    x = samples(3, 9)
    assert not np.allclose(first(x), second(x))
    first.save_weights(tmp_path / "model.weights.h5")
    second.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_allclose(first(x), second(x), atol=1e-6)


def test_parts_of_the_functional_form_fit_too():
    samples_in, codes_in = keras.Input((6,)), keras.Input((2,))
    encoder = keras.Model(samples_in, layers.Dense(2)(samples_in))
    decoder = keras.Model(codes_in, layers.Dense(6)(codes_in))
    model = autoencoder(encoder, decoder)
    x = samples(3, 6)
    np.testing.assert_allclose(model(x), decoder(encoder(x)), atol=1e-6)
    assert model.get_layer("encoder") is encoder


def small(n_inputs: int, n_outputs: int) -> keras.Model:
    return keras.Sequential([keras.Input((n_inputs,)), layers.Dense(n_outputs)])


def twice_the_same() -> tuple[keras.Model, keras.Model]:
    part = small(4, 4)
    return part, part


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (lambda: (small(6, 3), small(2, 6)), r"codes of shape \(3,\), the decoder takes \(2,\)"),
        (lambda: (small(6, 2), small(2, 5)), r"samples have shape \(6,\), but the decoder returns \(5,\)"),
        (twice_the_same, "one and the same model"),
        (lambda: (keras.Sequential([layers.Dense(2)]), small(2, 6)), "encoder does not know its shapes"),
        (lambda: (small(6, 2), keras.Sequential([layers.Dense(6)])), "decoder does not know its shapes"),
    ],
)
def test_parts_that_do_not_fit_are_refused(parts, message):
    encoder, decoder = parts()
    names = encoder.name, decoder.name
    with pytest.raises(ValueError, match=message):
        autoencoder(encoder, decoder)
    assert (encoder.name, decoder.name) == names  # refused means left alone


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_values": 0}, "n_values must be a whole number at least 1"),
        ({"n_values": 7.5}, "n_values"),
        ({"n_values": 8, "code_size": 0}, "code_size"),
        ({"n_values": 8, "hidden_sizes": (4, 0)}, "every size in hidden_sizes"),
        ({"n_values": 8, "output_activation": "relu"}, "'sigmoid', 'linear'"),
        ({"n_values": 8, "code_activation": "wavy"}, "wavy"),
    ],
)
def test_bad_sizes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        dense_autoencoder(**arguments)


def test_weights_at_the_start_are_those_of_keras_from_a_generator_of_ours():
    network, again, other = (dense_autoencoder(300, (200,), 100) for _ in range(3))
    for model, seed in ((network, 0), (again, 0), (other, 1)):
        draw_weights(model, check_random_state(seed))
    untouched = dense_autoencoder(300, (200,), 100)

    for drawn, same, another, of_keras in zip(
        *(model.get_weights() for model in (network, again, other, untouched)), strict=True
    ):
        np.testing.assert_array_equal(drawn, same)
        assert drawn.dtype == of_keras.dtype
        if drawn.ndim == 1:
            assert not drawn.any()
        else:
            assert not np.array_equal(drawn, another)
            # The same uniform distribution: its limit, and its spread of limit / sqrt(3).
            assert np.abs(drawn).max() == pytest.approx(np.abs(of_keras).max(), rel=0.01)
            assert drawn.std() == pytest.approx(of_keras.std(), rel=0.03)
