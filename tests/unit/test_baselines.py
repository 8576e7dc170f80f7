"""The trivial baselines: known answers, scikit-learn, and networks that are really untrained."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from sklearn.decomposition import PCA

from dae_utils.evaluation import beat_timing, pca_encoder, raw_input, without_mean
from dae_utils.networks.builders import dense_autoencoder
from dae_utils.networks.untrained import untrained_copy


def test_raw_input_is_rows():
    images = np.random.default_rng(0).random((3, 4, 5))
    np.testing.assert_array_equal(raw_input(images), images.reshape(3, 20))


@pytest.mark.parametrize("shape", [(5, 12), (5, 6, 6), (5, 6, 6, 1), (5, 6, 6, 3)])
def test_without_mean_brightness_and_colour_do_not_matter(shape):
    generator = np.random.default_rng(0)
    samples = generator.random(shape)
    per = (5, 1, 1, shape[3]) if len(shape) == 4 else (5,) + (1,) * (len(shape) - 1)
    shifted = samples + generator.random(per)
    np.testing.assert_allclose(without_mean(shifted), without_mean(samples), atol=1e-12)
    np.testing.assert_allclose(without_mean(samples).mean(axis=1), 0, atol=1e-12)
    assert without_mean(samples).shape == (5, samples[0].size)
    assert without_mean(samples.astype(np.float32)).dtype == np.float32


def test_the_pca_encoder_is_scikit_learns():
    generator = np.random.default_rng(0)
    train, test = generator.random((50, 4, 4)), generator.random((7, 4, 4))
    encode = pca_encoder(train, 5)
    expected = PCA(5).fit(train.reshape(50, 16)).transform(test.reshape(7, 16))
    np.testing.assert_allclose(np.abs(encode(test)), np.abs(expected), atol=1e-9)
    with pytest.raises(ValueError, match="n_components"):
        pca_encoder(train, 17)
    with pytest.raises(ValueError, match="features"):
        encode(test[:, :3])


def test_beat_timing_by_hand():
    # Record 1 beats every second, one beat comes half a second early; record 2 is twice as slow throughout.
    before = [np.nan, 1, 1, 0.5, 1.5, 1, 2, 2, 2]
    after = [1, 1, 0.5, 1.5, 1, np.nan, 2, 2, 2]
    record = [1] * 6 + [2] * 3
    timing = beat_timing(before, after, record)
    np.testing.assert_allclose(timing[3], np.log([0.5, 1.5]))
    np.testing.assert_allclose(timing[[0, 1, 6, 7, 8]], 0, atol=1e-12)
    assert timing[5, 1] == 0


@pytest.mark.parametrize(
    ("before", "after", "record", "message"),
    [
        ([1.0, 1], [1.0, 1], [1], "a value for each beat"),
        ([1.0, 0], [1.0, 1], [1, 1], "above zero"),
        ([1.0, np.nan], [1.0, 1], [1, 2], "record 2 has no interval"),
    ],
)
def test_timing_needs_intervals(before, after, record, message):
    with pytest.raises(ValueError, match=message):
        beat_timing(before, after, record)


def networks():
    dense = dense_autoencoder(12, hidden_sizes=(8,), code_size=4)
    mixed = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(3, 3, kernel_initializer=keras.initializers.HeNormal(seed=5)),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.2, seed=3),
            keras.layers.Flatten(),
            keras.layers.Dense(2),
        ]
    )
    return {"dense": dense, "mixed": mixed}


@pytest.mark.parametrize("name", ["dense", "mixed"])
def test_an_untrained_copy_has_new_weights_of_the_same_kind(name):
    model = networks()[name]
    model.set_weights([weight + 7 for weight in model.get_weights()])
    before = model.get_weights()
    copy = untrained_copy(model, seed=1)
    for old, kept, new in zip(before, model.get_weights(), copy.get_weights(), strict=True):
        np.testing.assert_array_equal(old, kept)
        assert new.shape == old.shape
        # Fresh weights are small, or the zeros and ones that layers begin with; trained ones are about 7.
        assert np.abs(new).max() < 3
    assert copy.output_shape == model.output_shape
    again, other = untrained_copy(model, seed=1), untrained_copy(model, seed=2)
    assert all((a == b).all() for a, b in zip(copy.get_weights(), again.get_weights(), strict=True))
    assert any((a != b).any() for a, b in zip(copy.get_weights(), other.get_weights(), strict=True))


def test_the_copys_halves_can_be_used():
    model = networks()["dense"]
    copy = untrained_copy(model)
    x = np.random.default_rng(0).random((5, 12)).astype("float32")
    codes = copy.encoder(x)
    np.testing.assert_allclose(copy.decoder(codes), copy(x), atol=1e-6)
    # Layers of one shape do not get the same weights.
    twice = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4), keras.layers.Dense(4)])
    first, _, second, _ = untrained_copy(twice).get_weights()
    assert (first != second).any()


def test_the_random_state_is_left_alone():
    model = networks()["dense"]
    draws = []
    for use in (False, True):
        keras.utils.set_random_seed(3)
        if use:
            untrained_copy(model, seed=9)
        draws.append((np.random.random(), keras.layers.Dense(3).build((None, 2))))  # noqa: NPY002
    assert draws[0][0] == draws[1][0]


def test_a_subclassed_model_is_refused():
    class Own(keras.Model):
        def __init__(self, width):
            super().__init__()
            self.layer = keras.layers.Dense(width)

        def call(self, x):
            return self.layer(x)

    model = Own(3)
    model(np.zeros((1, 2), "float32"))
    with pytest.raises(ValueError, match="Sequential or functional"):
        untrained_copy(model)
