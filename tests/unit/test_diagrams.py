"""Diagrams of networks: every layer with its shape, the halves told apart, sizes to scale, no markup."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from xml.etree import ElementTree

import keras
import numpy as np
import pytest
from keras import layers, ops

from dae_utils.detection import ReconstructionDetector
from dae_utils.networks.builders import dense_autoencoder
from dae_utils.show.diagrams import network_diagram

SVG = "{http://www.w3.org/2000/svg}"
SAME = {"padding": "same", "activation": "relu"}


class Sampling(layers.Layer):
    """Draws a code, as a variational autoencoder does."""

    def call(self, inputs):
        mean, log_variance = inputs
        return mean + ops.exp(log_variance / 2) * keras.random.normal(ops.shape(mean))


def row(*members, name="row"):
    return keras.Sequential(list(members), name=name)


def convolutional():
    """The network of chapter 2: 32 by 32 by 3, a code of 4 by 4 by 8, and back."""
    down, up = [], []
    for filters in (32, 16, 8):
        down += [layers.Conv2D(filters, 3, **SAME), layers.MaxPooling2D(2)]
        up = [layers.Conv2D(filters, 3, **SAME), layers.UpSampling2D(2), *up]
    colours = layers.Conv2D(3, 3, padding="same", activation="sigmoid")
    encoder = row(keras.Input((32, 32, 3)), *down, name="encoder")
    decoder = row(keras.Input((4, 4, 8)), *up, colours, name="decoder")
    return row(keras.Input((32, 32, 3)), encoder, decoder, name="autoencoder")


def pixel_features():
    """The network of chapter 5, whose halves have no names."""
    return row(
        keras.Input((32, 32, 3)),
        layers.Conv2D(32, 3, **SAME),
        layers.MaxPooling2D(2),
        layers.Conv2D(16, 3, **SAME),
        layers.MaxPooling2D(2),
        layers.Conv2D(16, 3, **SAME),
        layers.UpSampling2D(2),
        layers.Conv2D(32, 3, **SAME),
        layers.UpSampling2D(2),
        layers.Conv2D(3, 3, padding="same", activation="sigmoid"),
    )


def functional():
    x = keras.Input((784,), name="pixels")
    h = layers.Dense(128, "relu")(x)
    z = layers.Dense(16, name="code")(h)
    h = layers.Dense(128, "relu")(z)
    return keras.Model(x, layers.Dense(784, "sigmoid")(h), name="functional")


def heads(h):
    mean, log_variance = layers.Dense(16, name="mean")(h), layers.Dense(16, name="log_variance")(h)
    return mean, log_variance, Sampling(name="z")([mean, log_variance])


def variational():
    x = keras.Input((28, 28, 1), name="image")
    h = layers.Flatten()(layers.Conv2D(32, 3, strides=2, **SAME)(x))
    encoder = keras.Model(x, heads(layers.Dense(128, "relu")(h)), name="encoder")
    z = keras.Input((16,))
    h = layers.Reshape((7, 7, 4))(layers.Dense(196, "relu")(z))
    y = layers.Conv2DTranspose(1, 3, strides=4, padding="same", activation="sigmoid")(h)
    decoder = keras.Model(z, y, name="decoder")
    return keras.Model(x, decoder(encoder(x)[2]), name="variational")


def conditional():
    x, kind = keras.Input((784,), name="image"), keras.Input((10,), name="class")
    h = layers.Dense(256, "relu")(layers.Concatenate()([x, kind]))
    encoder = keras.Model([x, kind], heads(h), name="encoder")
    z, again = keras.Input((16,)), keras.Input((10,))
    h = layers.Dense(200, "relu")(layers.Concatenate()([z, again]))
    decoder = keras.Model([z, again], layers.Dense(784, "sigmoid")(h), name="decoder")
    return keras.Model([x, kind], decoder([encoder([x, kind])[2], kind]), name="conditional")


def damaged():
    return row(
        keras.Input((784,)),
        layers.GaussianNoise(0.3),
        layers.Dense(256),
        layers.BatchNormalization(),
        layers.Activation("relu"),
        layers.Dropout(0.2),
        layers.Dense(32, name="code"),
        layers.Dense(784, "sigmoid"),
    )


def transformer_block(name=None):
    x = keras.Input((64, 32))
    h = layers.Add()([x, layers.MultiHeadAttention(4, 8)(x, x)])
    k = layers.Dense(32)(layers.Dense(64, "gelu")(layers.LayerNormalization()(h)))
    return keras.Model(x, layers.Add()([h, k]), name=name)


def transformer():
    x = keras.Input((32, 32, 3), name="image")
    h = layers.Reshape((64, 32))(layers.Conv2D(32, 4, strides=4)(x))
    for number in range(4):
        h = transformer_block(f"block_{number}")(h)
    return keras.Model(x, layers.Dense(10, "softmax")(layers.GlobalAveragePooling1D()(h)), name="transformer")


NETWORKS = {
    "dense": lambda: dense_autoencoder(784),
    "deep": lambda: dense_autoencoder(784, (128, 64), 32),
    "convolutional": convolutional,
    "pixel_features": pixel_features,
    "functional": functional,
    "variational": variational,
    "conditional": conditional,
    "damaged": damaged,
    "transformer": transformer,
    "block": transformer_block,
}


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    model = NETWORKS[request.param]()
    return model, network_diagram(model)


def drawings(diagram) -> list[ElementTree.Element]:
    """The SVG elements of a page's diagram, which must be well-formed XML: an ePub wants that."""
    return ElementTree.fromstring(diagram._repr_html_()).findall(f"{SVG}svg")


def words(drawing) -> list[str]:
    return [text.text for text in drawing.iter(f"{SVG}text")]


def parts(diagram) -> list[tuple[str, str]]:
    return [(block.operation, block.part) for block in diagram.blocks]


def leaves(model):
    for layer in model.layers:
        nested = isinstance(layer, keras.Model)
        yield from leaves(layer) if nested else [layer]


def test_every_layer_has_its_shape_in_every_form(network):
    model, diagram = network
    forms = [*drawings(diagram), ElementTree.fromstring(diagram._repr_svg_())]
    for layer in leaves(model):
        outputs = layer.output if isinstance(layer.output, list) else [layer.output]
        inside_box = any(block.is_box for block in diagram.blocks) and len(outputs[0].shape) == 3
        for output in outputs:
            shape = "\N{MULTIPLICATION SIGN}".join(map(str, output.shape[1:]))
            for drawing in forms:
                assert shape in words(drawing) or inside_box
            assert shape in diagram.description or inside_box
            assert shape in repr(diagram) or inside_box


def test_the_drawing_has_a_role_and_a_name_and_no_ids(network):
    _, diagram = network
    for drawing in drawings(diagram):
        assert drawing.attrib["role"] == "img"
        assert drawing.attrib["aria-label"] == diagram.description
    # Without ids, two diagrams on a page cannot disturb each other.
    assert not re.search(r"\sid=", diagram._repr_html_())
    assert "url(" not in diagram._repr_html_()


def test_every_word_lies_inside_its_drawing(network):
    _, diagram = network
    for drawing in drawings(diagram):
        width, height = map(float, drawing.attrib["viewBox"].split()[2:])
        for text in drawing.iter(f"{SVG}text"):
            half = 0.5 * float(text.attrib["font-size"]) * len(text.text)
            left = {"start": 0, "middle": half / 2}[text.attrib["text-anchor"]]
            assert float(text.attrib["x"]) - left > 0
            assert float(text.attrib["x"]) - left + half < width
            assert 8 < float(text.attrib["y"]) < height


def test_letters_are_large_enough_on_a_phone(network):
    _, diagram = network
    html = diagram._repr_html_()
    for drawing in drawings(diagram):
        width = float(drawing.attrib["width"])
        shown_from = re.search(r"net-from-(\d+)", drawing.attrib["class"])
        least = float(shown_from[1]) if shown_from else 330
        smallest = min(float(text.attrib["font-size"]) for text in drawing.iter(f"{SVG}text"))
        assert smallest * min(1, least / width) >= 9
        if shown_from:
            assert f"(min-width:{shown_from[1]}px)" in html


def test_halves_named_by_the_model():
    assert parts(network_diagram(dense_autoencoder(784))) == [
        ("input", ""),
        ("dense", "code"),
        ("dense", "decoder"),
    ]
    by_part = [part for _, part in parts(network_diagram(convolutional()))]
    assert by_part == [""] + 5 * ["encoder"] + ["code"] + 7 * ["decoder"]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((64, 784), ["code", "decoder"]),
        ((128, 64, 32, 64, 128, 784), 2 * ["encoder"] + ["code"] + 3 * ["decoder"]),
        ((900, 784), ["code", "decoder"]),
        ((900, 1000, 900, 784), ["encoder", "code", "decoder", "decoder"]),
        ((100, 10), ["", ""]),
        ((784,), [""]),
    ],
)
def test_halves_found_by_the_narrowest_layer(sizes, expected):
    diagram = network_diagram(row(keras.Input((784,)), *map(layers.Dense, sizes)))
    assert [part for _, part in parts(diagram)] == ["", *expected]


def test_the_first_of_the_narrowest_feature_maps_is_the_code_and_a_name_decides():
    by_part = [part for _, part in parts(network_diagram(pixel_features()))]
    assert by_part == [""] + 3 * ["encoder"] + ["code"] + 5 * ["decoder"]
    model = row(keras.Input((9,)), layers.Dense(4, name="code"), layers.Dense(2), layers.Dense(9))
    assert [part for _, part in parts(network_diagram(model))] == ["", "code", "decoder", "decoder"]


def test_halves_alone_keep_their_names():
    model = dense_autoencoder(784, (128,), 16)
    assert {part for _, part in parts(network_diagram(model.encoder))} == {"", "encoder", "code"}
    assert {part for _, part in parts(network_diagram(model.decoder))} == {"", "decoder"}


def test_parts_can_be_told_apart_without_colour():
    for drawing in drawings(network_diagram(dense_autoencoder(784, (128,), 16))):
        assert {"encoder", "code", "decoder"} <= set(words(drawing))
        frames = [rect for rect in drawing.iter(f"{SVG}rect") if rect.attrib.get("rx") == "8"]
        assert ["stroke-dasharray" in frame.attrib for frame in frames] == [False, True]


def bars(drawing, side) -> list[float]:
    return [float(rect.attrib[side]) for rect in drawing.iter(f"{SVG}rect") if rect.attrib.get("rx") == "2"]


def test_bars_are_as_long_as_layers_are_wide():
    html = ElementTree.fromstring(network_diagram(dense_autoencoder(784, (392, 196), 98))._repr_html_())
    down, across = html.findall(f"{SVG}svg") if len(html) == 2 else (None, html[0])
    lengths = bars(across, "height")
    for length, size in zip(lengths, [784, 392, 196, 98, 196, 392, 784], strict=True):
        assert length / lengths[0] == pytest.approx(size / 784, abs=0.01)
    if down is not None:
        assert bars(down, "width")[1] == pytest.approx(bars(down, "width")[0] / 2, abs=0.1)


def test_feature_maps_are_as_high_as_their_sides_and_as_deep_as_they_are_many():
    model = row(
        keras.Input((32, 32, 4)),
        layers.Conv2D(8, 3, padding="same"),
        layers.MaxPooling2D(2),
        layers.Conv2D(16, 3, padding="same"),
        layers.MaxPooling2D(2),
    )
    (across,) = [one for one in drawings(network_diagram(model)) if "net-across" in one.attrib["class"]]
    fronts = [r for r in across.iter(f"{SVG}rect") if r.attrib.get("fill-opacity") == "0.4"]
    heights = [float(front.attrib["height"]) for front in fronts]
    depths = [float(front.attrib["width"]) for front in fronts]
    assert [height / heights[0] for height in heights] == pytest.approx([1, 1, 0.5, 0.5, 0.25], abs=0.01)
    assert all(
        b == pytest.approx(a * k, abs=0.2) for (a, b), k in zip(pairwise(depths), [2, 1, 2, 1], strict=True)
    )


def test_operations_activations_and_windows_are_named():
    text = repr(network_diagram(convolutional()))
    times = "\N{MULTIPLICATION SIGN}"
    for name in (
        f"convolution 3{times}3, ReLU",
        f"max-pooling 2{times}2",
        f"up-sampling 2{times}2",
        "sigmoid",
    ):
        assert name in text
    assert f"transposed convolution 3{times}3 stride 4, sigmoid" in repr(network_diagram(variational()))


def test_layers_that_keep_the_shape_are_written_at_the_one_before():
    model = damaged()
    diagram = network_diagram(model)
    folded = diagram.blocks[2]
    assert folded.details == ("batch normalisation", "ReLU", "dropout 0.2")
    assert [block.part for block in diagram.blocks] == ["", "", "encoder", "code", "decoder"]
    assert sum(block.n_weights for block in diagram.blocks) == model.count_params()
    # Noise on the input is no layer of the encoder, and is drawn with a broken line.
    for drawing in drawings(diagram):
        broken = [r for r in drawing.iter(f"{SVG}rect") if r.attrib.get("stroke-dasharray") == "4 3"]
        assert len(broken) == 1


def test_two_heads_meet_in_the_code():
    by_name = {block.name: block for block in network_diagram(variational()).blocks}
    assert {key.rpartition("/")[2] for key in by_name["z"].inputs} == {"mean", "log_variance"}
    assert [by_name[name].part for name in ("mean", "log_variance", "z")] == ["encoder", "encoder", "code"]
    for drawing in drawings(network_diagram(variational())):
        assert any("log variance" in line for line in words(drawing))


def test_an_input_that_joins_twice_is_drawn_at_both_places():
    diagram = network_diagram(conditional())
    joined = [block for block in diagram.blocks if block.operation == "concatenate"]
    assert [block.size for block in joined] == [794, 26]
    assert all(any(key == "class" for key in block.inputs) for block in joined)
    for drawing in drawings(diagram):
        assert words(drawing).count("class") == 2
        assert words(drawing).count("image") == 1


def test_equal_blocks_are_drawn_once_with_their_number():
    diagram = network_diagram(transformer())
    (box,) = [block for block in diagram.blocks if block.is_box]
    assert (box.repeats, box.operation) == (4, "block")
    assert sum(block.n_weights for block in diagram.blocks) == transformer().count_params()
    assert any(
        "(4\N{MULTIPLICATION SIGN})" in line for drawing in drawings(diagram) for line in words(drawing)
    )


def test_a_connection_past_layers_is_drawn():
    chain = network_diagram(row(keras.Input((64, 32)), layers.Dense(32, "relu"), layers.Dense(32, "tanh")))
    x = keras.Input((64, 32))
    h = layers.Dense(32, "tanh")(layers.Dense(32, "relu")(x))
    joined = network_diagram(keras.Model(x, layers.Add()([x, h])))
    assert all(block.part == "" for block in joined.blocks)

    def arrows(diagram):
        return [len(drawing.findall(f".//{SVG}path")) for drawing in drawings(diagram)]

    assert arrows(chain)[0] == 2
    assert arrows(joined)[0] == 4  # three steps, and one past two layers


def test_a_layer_that_is_used_twice_appears_twice():
    shared, x = layers.Dense(8, "relu", name="shared"), keras.Input((8,))
    diagram = network_diagram(keras.Model(x, layers.Dense(8)(shared(shared(x)))))
    assert [block.name for block in diagram.blocks].count("shared") == 2
    assert len({block.key for block in diagram.blocks}) == 4


def test_operations_between_layers_are_drawn():
    x = keras.Input((6,))
    diagram = network_diagram(keras.Model(x, layers.Dense(2)(ops.relu(x * 2 + 1))))
    assert [block.operation for block in diagram.blocks][:3] == ["input", "multiply", "add"]


def test_a_subclassed_model_is_drawn_by_its_halves():
    class Variational(keras.Model):
        def __init__(self):
            super().__init__(name="subclassed")
            both = dense_autoencoder(20, (9,), 3)
            self.encoder, self.decoder = both.encoder, both.decoder

    diagram = network_diagram(Variational())
    assert [block.size for block in diagram.blocks] == [20, 9, 3, 9, 20]
    assert "subclassed" in diagram.description


class Opaque(layers.Layer):
    """A layer that cannot describe itself."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(x)


def test_models_whose_order_is_not_known_are_refused():
    class Nothing(keras.Model):
        pass

    for model in (row(layers.Dense(3)), Nothing(name="nothing")):
        with pytest.raises(ValueError, match="do not know their shapes"):
            network_diagram(model)
    x = keras.Input((3,))
    model = keras.Model(x, Opaque(lambda values: values)(x))
    with pytest.raises(ValueError, match="get_config"):
        network_diagram(model)
    # In a row no description is needed.
    assert len(network_diagram(row(keras.Input((3,)), Opaque(lambda values: values))).blocks) == 2


def test_a_detector_is_refused_with_the_place_of_its_network():
    network = dense_autoencoder(6, (4,), 2)
    detector = ReconstructionDetector(network, held_out_share=0).fit(np.zeros((9, 6)))
    with pytest.raises(TypeError, match=r"ReconstructionDetector.*network_"):
        network_diagram(detector)
    assert repr(network_diagram(detector.network_))


def test_names_and_titles_are_never_markup():
    bad = '<script>alert("1")<|script>&'
    model = row(keras.Input((9,)), layers.Dense(4, name=bad), layers.Dense(9), name="<b>bold")
    diagram = network_diagram(model, title="</svg><script>")
    html = diagram._repr_html_()
    assert "<script" not in html
    assert "<b>" not in html
    tree = ElementTree.fromstring(html)
    assert any(bad in (title.text or "") for title in tree.iter(f"{SVG}title"))
    assert "</svg><script>" in "".join(words(tree))


def test_a_title_stands_above_and_in_the_alternative_text():
    diagram = network_diagram(convolutional(), title="The starter network of chapter 2")
    for drawing in drawings(diagram):
        assert words(drawing)[0].startswith("The starter")
    assert "The starter network of chapter 2" in diagram.description
    assert repr(diagram).startswith("The starter network of chapter 2\n")


def test_alternative_text_names_sizes_by_part_and_counts_weights():
    text = network_diagram(dense_autoencoder(784, (128,), 32)).description
    assert re.search(
        r"input: 784\. encoder: .*128\. code: .*32\. decoder: .*128; .*784\. 209,\d{3} weights\.$", text
    )


def test_print_has_colours_of_its_own():
    drawing = network_diagram(convolutional())._repr_svg_()
    assert "var(" not in drawing
    assert "<style" not in drawing


def test_words_follow_the_language(tmp_path, monkeypatch):
    words_of_it = {
        "encoder": "kodilo",
        "dense": "densa",
        "{} weights": "{} pezoj",
        "input": "enigo",
        "code": "kodo",
    }
    (tmp_path / "eo.json").write_text(json.dumps({"phrases": words_of_it}))
    monkeypatch.setenv("DAE_LANGUAGE_DIR", str(tmp_path))
    monkeypatch.setenv("DAE_LANGUAGE", "eo")
    diagram = network_diagram(dense_autoencoder(784, (128,), 16))
    for drawing in drawings(diagram):
        assert {"kodilo", "densa", "kodo", "enigo"} <= set(words(drawing))
        assert not {"encoder", "dense", "code"} & set(words(drawing))
    assert "pezoj" in diagram.description
