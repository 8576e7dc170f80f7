"""Networks written for the pages: what is read back computes what the model computed."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from dae_utils.profiles import Profile
from dae_utils.show.live import export, keras_model, load, round_weights

QUICK, FULL = Profile("quick"), Profile("full")


def _dense():
    encoder = keras.Sequential([keras.Input((12,)), layers.Dense(5, activation="elu")])
    decoder = keras.Sequential([keras.Input((5,)), layers.Dense(12, activation="sigmoid")])
    return round_weights(keras.Sequential([keras.Input((12,)), encoder, decoder]))


def _of_two_functional_models():
    inputs, codes = keras.Input((3,)), keras.Input((1,))
    encoder = keras.Model(inputs, layers.Dense(1)(layers.Dense(4, activation="relu")(inputs)))
    decoder = keras.Model(codes, layers.Dense(3)(codes))
    return round_weights(keras.Model(inputs, decoder(encoder(inputs))))


def _convolutional():
    return round_weights(
        keras.Sequential(
            [
                keras.Input((8, 8, 3)),
                layers.Conv2D(4, 3, strides=2, padding="same", activation="relu"),
                layers.Flatten(),
                layers.Dense(64, activation="tanh"),
                layers.Reshape((4, 4, 4)),
                layers.Conv2DTranspose(3, 4, strides=2, padding="same"),
            ]
        )
    )


@pytest.mark.parametrize("build", [_dense, _of_two_functional_models, _convolutional])
def test_a_model_read_back_computes_the_same(build, tmp_path):
    keras.utils.set_random_seed(0)
    model = build()
    path = export("01_test", QUICK, model=model, folder=tmp_path)
    x = np.random.default_rng(0).random((7, *model.input_shape[1:]), dtype=np.float32)
    again = keras_model(load(path))
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


def test_arrays_numbers_and_texts_come_back_as_they_were(tmp_path):
    arrays = {
        "half": np.array([[1.5, -2.0]], np.float16),
        "single": np.float32([0.1, 1e-9]),
        "pixels": np.arange(6, dtype=np.uint8).reshape(1, 2, 3),
        "signal": np.array([-300, 300], np.int16),
    }
    path = export("07_test", QUICK, arrays=arrays, numbers={"t": 0.1}, texts={"n": "a|é"}, folder=tmp_path)
    live = load(path)
    for name, array in arrays.items():
        assert live.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(live.arrays[name], array)
    assert live.numbers == {"t": 0.1}
    assert live.texts == {"n": "a|é"}
    assert live.layers == []
    with pytest.raises(ValueError, match="no network"):
        keras_model(live)


def test_a_quick_run_does_not_touch_what_is_published(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    export("01_test", FULL, numbers={"a": 1})
    published = (tmp_path / "notebooks/live/01_test.js").read_bytes()
    quick = export("01_test", QUICK, numbers={"a": 2})
    assert (tmp_path / "notebooks/live/01_test.js").read_bytes() == published
    assert quick.resolve() == tmp_path / "_build/quick_live/01_test.js"


def test_rounding_changes_the_model_itself_and_little():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((100,)), layers.Dense(50)])
    before = model.get_weights()[0]
    round_weights(model)
    after = model.get_weights()[0]
    assert not np.array_equal(before, after)
    np.testing.assert_allclose(after, before, rtol=2**-11, atol=2**-24)


def test_weights_that_are_not_rounded_are_refused(tmp_path):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    with pytest.raises(ValueError, match="round_weights"):
        export("01_test", QUICK, model=model, folder=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("value", "message"), [(np.nan, "not finite"), (1e6, "65504")])
def test_weights_that_half_precision_cannot_hold_are_refused(value, message):
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1)])
    model.set_weights([np.full((1, 1), value), np.zeros(1)])
    with pytest.raises(ValueError, match=message):
        round_weights(model)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (layers.MaxPooling2D(2), "MaxPooling2D"),
        (layers.Conv2D(2, 3), "padding"),
        (layers.Conv2D(2, 3, padding="same", dilation_rate=2), "dilation"),
        (layers.Conv2D(2, 3, padding="same", data_format="channels_first"), "last"),
        (layers.Conv2D(2, 3, padding="same", use_bias=False), "bias"),
        (layers.Dense(2, activation="gelu"), "gelu"),
        (layers.DepthwiseConv2D(3, padding="same"), "DepthwiseConv2D"),
    ],
)
def test_layers_that_the_page_cannot_compute_are_refused(layer, message, tmp_path):
    model = round_weights(keras.Sequential([keras.Input((4, 4, 4)), layer]))
    with pytest.raises(ValueError, match=message):
        export("01_test", QUICK, model=model, folder=tmp_path)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("digit", {}, "name"),
        ("01_Digit", {}, "name"),
        ("01_test", {"arrays": {"a": np.zeros(2)}}, "float64"),
        ("01_test", {"arrays": {"a": np.float32([np.nan])}}, "NaN"),
        ("01_test", {"numbers": {"a": np.inf}}, "not finite"),
    ],
)
def test_what_a_page_could_not_show_is_refused(name, arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        export(name, QUICK, folder=tmp_path, **arguments)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-20],
        lambda _: "",
        lambda text: text[1:],
        lambda _: 'daeLive.add("01_test", {});\n',
        lambda text: text.replace('"a":1.0', '"a":1.0,'),
        lambda text: text.replace('"float32"', '"unknown"'),
        lambda text: text.replace('"shape":[3]', '"shape":[4]'),
    ],
)
def test_a_damaged_file_is_refused(damage, tmp_path):
    arrays = {"x": np.arange(3, dtype=np.float32)}
    path = export("01_test", QUICK, numbers={"a": 1}, arrays=arrays, folder=tmp_path)
    whole = path.read_text()
    assert damage(whole) != whole
    path.write_text(damage(whole))
    with pytest.raises(ValueError, match="run its chapter again"):
        load(path)


def test_a_full_disk_leaves_the_older_file(tmp_path, monkeypatch):
    path = export("01_test", QUICK, numbers={"a": 1}, folder=tmp_path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr("dae_utils.data.sources.os.replace", fail)
    with pytest.raises(OSError, match="no space"):
        export("01_test", QUICK, numbers={"a": 2}, folder=tmp_path)
    assert path.read_bytes() == before
