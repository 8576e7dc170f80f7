"""Figures of the second edition: labels at lines, ROC curves, error maps, sharp formats in a notebook."""

from __future__ import annotations

import base64
import io
from itertools import combinations

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from matplotlib.colors import to_rgb
from PIL import Image
from sklearn.metrics import roc_auc_score

from dae_utils.show import figures
from dae_utils.show.style import text_colour


@pytest.fixture(autouse=True)
def own_figures():
    with mpl.rc_context():
        figures.use_book_style()
        yield
        plt.close("all")


def generator():
    return np.random.default_rng(0)


def texts(ax) -> dict[str, mpl.text.Text]:
    return {text.get_text(): text for text in ax.texts if text.get_text()}


def boxes(ax) -> dict[str, mpl.transforms.Bbox]:
    ax.figure.draw_without_rendering()
    return {words: mpl.text.Text.get_window_extent(text) for words, text in texts(ax).items()}


def assert_apart(found):
    for (first, one), (second, other) in combinations(found.items(), 2):
        assert not one.overlaps(other), (first, second)


# Labels at lines


@pytest.mark.parametrize("end", [1.0, 1.001, 1.5])
def test_lines_have_their_names_at_their_ends_and_no_name_upon_another(end):
    ax = figures.draw_losses({"training": [3, 2, 1], "held-out": [3, 2.5, end]}, "loss", floor=0.99)
    assert ax.get_legend() is None
    found = boxes(ax)
    assert set(found) == {"training", "held-out", "a perfect copy"}
    assert_apart(found)
    last = ax.transData.transform((3, 0))[0]
    assert all(box.x0 > last for box in found.values())
    assert all(box.x1 <= ax.figure.bbox.x1 for box in found.values())
    assert found["a perfect copy"].y0 < found["training"].y0 < found["held-out"].y0
    assert all(1 <= tick <= 3 for tick in ax.get_xticks())


def test_more_than_four_lines_get_a_legend_and_label_lines_refuses_them():
    ax = figures.draw_losses({str(number): [2, 1] for number in range(5)}, "loss")
    assert len(ax.get_legend().get_texts()) == 5
    with pytest.raises(ValueError, match="5 lines are too many"):
        figures.label_lines(ax)


def test_one_epoch_has_one_tick():
    assert list(figures.draw_losses({"training": [1.0]}, "loss").get_xticks()) == [1]


@pytest.mark.parametrize("colour", [*figures.COLOURS.values(), "yellow", "black"])
def test_letters_can_be_read_on_white(colour):
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(text_colour(colour))
    ]
    assert 1.05 / (np.dot(linear, [0.2126, 0.7152, 0.0722]) + 0.05) >= 4.5


# Scores


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("threshold", [0.9, 2.0, 6.0])
def test_outlines_have_their_names_and_shares_above_the_threshold(log, threshold):
    normal, anomalies = generator().lognormal(0, 0.4, 1000), generator().lognormal(1, 0.5, 1000)
    groups = {"normal": normal, "others": 1.02 * normal, "anomalies": anomalies}
    ax = figures.draw_scores(groups, threshold, log=log)
    assert ax.get_legend() is None
    found = boxes(ax)
    assert_apart(found)
    for name, values in groups.items():
        words = f"{name}\n{100 * np.mean(values > threshold):.3g} % above"
        assert words in found
        line = ax.transData.transform((threshold, 0))[0]
        assert not found[words].x0 < line < found[words].x1
        assert found[words].y1 <= ax.bbox.y1
    assert "threshold" in found


def test_scores_without_a_threshold_have_names_alone_and_five_groups_a_legend():
    ax = figures.draw_scores({"a": generator().random(50), "b": 2 + generator().random(50)})
    assert set(texts(ax)) == {"a", "b"}
    ax = figures.draw_scores({str(number): generator().random(50) for number in range(5)})
    assert len(ax.get_legend().get_texts()) == 5


# ROC


def test_the_operating_point_lies_on_the_curve_where_the_threshold_puts_it():
    truth = np.repeat([0, 1], [400, 100])
    scores = generator().normal(truth, 1)
    threshold = float(np.quantile(scores[truth == 0], 0.95, method="higher"))
    ax = figures.draw_roc(truth, {"pixels": scores}, {"pixels": threshold})
    curve = next(line for line in ax.get_lines() if line.get_label().startswith("pixels"))
    assert curve.get_label() == f"pixels: AUROC {roc_auc_score(truth, scores):.3f}"
    x, y = curve.get_data()
    np.testing.assert_allclose([x[0], y[0], x[-1], y[-1]], [0, 0, 100, 100])
    np.testing.assert_allclose(np.trapezoid(y, x) / 1e4, roc_auc_score(truth, scores))
    (point,) = [line for line in ax.get_lines() if len(line.get_xdata()) == 1]
    false_alarms = 100 * np.mean(scores[truth == 0] > threshold)
    found = 100 * np.mean(scores[truth == 1] > threshold)
    np.testing.assert_allclose(point.get_xydata(), [(false_alarms, found)])
    assert f"{false_alarms:.1f} % false alarms,\n{found:.0f} % found" in texts(ax)
    assert np.interp(false_alarms, x, y) == pytest.approx(found, abs=1)


def test_curves_differ_in_colour_and_in_kind_of_line():
    truth = np.repeat([0, 1], 50)
    own = plt.subplots()[1]
    ax = figures.draw_roc(truth, {name: generator().normal(truth) for name in "abcd"}, {"d": 50.0}, ax=own)
    assert ax is own
    curves = [line for line in ax.get_lines() if "AUROC" in line.get_label()]
    assert (
        len({line.get_color() for line in curves}) == len({str(line.get_linestyle()) for line in curves}) == 4
    )


@pytest.mark.parametrize(
    ("truth", "scores", "thresholds", "message"),
    [
        ([0, 1], {}, None, "0 methods"),
        ([0, 1], {name: [1, 2] for name in "abcde"}, None, "5 methods"),
        ([1, 1], {"a": [1, 2]}, None, "anomalies only"),
        ([0, 1, 1], {"a": [1, 2]}, None, "2 samples"),
        ([0, 1], {"a": [1, 2], "b": [1, 2, 3]}, None, "b has 3 scores for 2 samples"),
        ([0, 1], {"a": [1, np.nan]}, None, "NaN"),
        ([0, 1], {"a": [1, 2]}, {"b": 1.0}, "b, which is not in scores"),
    ],
)
def test_bad_curves_are_refused_before_a_figure_is_made(truth, scores, thresholds, message):
    with pytest.raises(ValueError, match=message):
        figures.draw_roc(truth, scores, thresholds)
    assert not plt.get_fignums()


# Error maps


@pytest.mark.parametrize("shape", [(3, 6, 5), (3, 6, 5, 3)])
def test_error_maps_share_one_scale_and_show_the_squared_error(shape):
    images, copies = generator().random(shape), generator().random(shape)[::-1] * 1.3
    figure = figures.draw_error_maps(images, copies, titles=["a", "b", "c"])
    axes = np.reshape(figure.axes[:9], (3, 3))
    errors = (images - copies) ** 2
    errors = errors.mean(axis=-1) if len(shape) == 4 else errors
    for column in range(3):
        np.testing.assert_allclose(axes[0, column].images[0].get_array(), images[column])
        np.testing.assert_allclose(axes[1, column].images[0].get_array(), np.clip(copies[column], 0, 1))
        np.testing.assert_allclose(axes[2, column].images[0].get_array(), errors[column])
        assert axes[2, column].images[0].get_clim() == (0, errors.max())
        assert float(axes[2, column].get_xlabel()) == pytest.approx(errors[column].mean(), abs=5e-4)
    assert [ax.get_title() for ax in axes[0]] == ["a", "b", "c"]
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["input", "output", "error"]
    assert figure.axes[9].get_xlabel() == "squared error of a pixel (under each map, the mean)"


def test_a_perfect_copy_and_a_given_scale_can_be_drawn():
    images = generator().random((1, 4, 4))
    assert figures.draw_error_maps(images, images).axes[2].images[0].get_clim() == (0, 1)
    assert figures.draw_error_maps(images, 0 * images, highest=2.0).axes[2].images[0].get_clim() == (0, 2)


@pytest.mark.parametrize(
    ("images", "copies", "titles", "message"),
    [
        (np.zeros((2, 5)), np.zeros((2, 5)), None, "expected"),
        (np.zeros((2, 5, 5)), np.zeros((2, 5, 4)), None, "expected"),
        (np.zeros((9, 5, 5)), np.zeros((9, 5, 5)), None, "at most eight"),
        (np.zeros((2, 5, 5)), np.zeros((2, 5, 5)), ["a"], "1 titles were given for 2 images"),
    ],
)
def test_bad_error_maps_are_refused(images, copies, titles, message):
    with pytest.raises(ValueError, match=message):
        figures.draw_error_maps(images, copies, titles)
    assert not plt.get_fignums()


# Formats


@pytest.fixture
def notebook():
    """A shell like that of a notebook, with the book's style."""
    shell = InteractiveShell.instance()
    shell.display_formatter.active_types = ["text/plain", "image/svg+xml", "image/png"]
    figures.use_book_style()
    yield shell.display_formatter
    InteractiveShell.clear_instance()


def test_plots_are_svg_and_the_same_each_time(notebook):
    figure, ax = plt.subplots()
    ax.plot([1, 2])
    content, _ = notebook.format(figure)
    assert "image/png" not in content
    assert content["image/svg+xml"].lstrip().startswith("<?xml")
    assert "<dc:date>" not in content["image/svg+xml"]
    assert notebook.format(figure)[0]["image/svg+xml"] == content["image/svg+xml"]


def image_figure():
    return figures.draw_images(np.zeros((2, 5, 5)))


def mesh_figure():
    figure, ax = plt.subplots()
    ax.pcolormesh(np.zeros((3, 3)))
    return figure


def cloud_figure():
    figure, ax = plt.subplots()
    ax.scatter(*generator().random((2, 5000)))
    return figure


@pytest.mark.parametrize("draw", [image_figure, mesh_figure, cloud_figure])
def test_images_are_shown_at_twice_the_resolution(notebook, draw):
    content, about = notebook.format(draw())
    assert "image/svg+xml" not in content
    data = content["image/png"]
    picture = Image.open(io.BytesIO(base64.b64decode(data) if isinstance(data, str) else data))
    shown = about["image/png"]
    np.testing.assert_allclose(picture.size, (2 * shown["width"], 2 * shown["height"]), atol=1)


def test_a_few_dots_are_drawn_as_svg(notebook):
    figure, ax = plt.subplots()
    ax.scatter([1, 2], [3, 4])
    assert "image/svg+xml" in notebook.format(figure)[0]
