"""Figures by their old path: what is drawn is the data, where it is drawn, and what is refused."""

from itertools import pairwise

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import StepPatch

from dae_utils import plots
from dae_utils.evaluation import Interval


@pytest.fixture(autouse=True)
def own_figures():
    """The book's look in every test, and no figure or setting left behind."""
    with mpl.rc_context():
        plots.use_book_style()
        yield
        plt.close("all")


def pictures(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape, dtype=np.float32)


def lines(ax: plt.Axes) -> dict[str, mpl.lines.Line2D]:
    return {line.get_label(): line for line in ax.get_lines()}


def legend_texts(ax: plt.Axes) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def extent(artist: mpl.artist.Artist) -> mpl.transforms.Bbox:
    return artist.get_window_extent(artist.get_figure().canvas.get_renderer())


def assert_nothing_is_cut_off(figure: plt.Figure) -> None:
    figure.draw_without_rendering()
    box = figure.get_tightbbox(figure.canvas.get_renderer())
    width, height = figure.get_size_inches()
    assert box.x0 > -0.03
    assert box.y0 > -0.03
    assert box.x1 < width + 0.03
    assert box.y1 < height + 0.03


def phone_letters(text: mpl.text.Text) -> float:
    """Size of the letters in pixels on a phone that shows the figure 350 pixels wide."""
    return text.get_fontsize() / 72 * 350 / text.get_figure().get_size_inches()[0]


# The style


def luminance(colour: str) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def contrast(first: str, second: str) -> float:
    """As the Web Content Accessibility Guidelines define it, from 1 to 21."""
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def test_the_style_is_used_by_new_figures():
    figure, ax = plt.subplots()
    assert figure.get_layout_engine() is not None
    assert not ax.spines["top"].get_visible()
    assert [to_hex(ax.plot([0])[0].get_color(), keep_alpha=False).upper() for _ in plots.COLOURS] == list(
        plots.COLOURS.values()
    )
    text = ax.set_xlabel("x")
    assert phone_letters(text) > 9


def test_colours_differ_in_brightness_too_and_stay_as_they_are():
    assert len(set(plots.COLOURS.values())) == 7
    assert contrast(plots.COLOURS["grey"], "white") > 4.5  # it is used for text
    with pytest.raises(TypeError):
        plots.COLOURS["blue"] = "black"


# Images


def test_images_fill_rows_from_the_left():
    images = pictures(7, 4, 6)
    figure = plots.draw_images(images, columns=3)
    assert len(figure.axes) == 9
    for image, ax in zip(images, figure.axes, strict=False):
        shown = ax.images[0]
        np.testing.assert_array_equal(shown.get_array(), image)
        assert shown.get_clim() == (0, 1)
        assert shown.get_cmap()(0.0)[:3] == (1, 1, 1)
        assert shown.get_cmap()(1.0)[:3] == (0, 0, 0)
    assert not any(ax.images for ax in figure.axes[7:])
    for ax in figure.axes:
        assert len(ax.get_xticks()) == len(ax.get_yticks()) == 0
        assert not any(spine.get_visible() for spine in ax.spines.values())
    columns = [ax.get_subplotspec().colspan.start for ax in figure.axes]
    assert columns == [0, 1, 2] * 3


@pytest.mark.parametrize("shape", [(6, 4, 5, 3), (2, 3, 4, 5, 3)])
def test_images_in_colour_are_shown_as_they_are_and_cut_off_outside_the_range(shape):
    images = np.random.default_rng(0).uniform(-0.2, 1.2, shape)
    figure = plots.draw_images(images, columns=None if len(shape) == 5 else 3)
    assert figure.axes[0].get_gridspec().get_geometry() == (2, 3)
    for image, ax in zip(images.reshape(6, 4, 5, 3), figure.axes, strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), np.clip(image, 0, 1))


@pytest.mark.parametrize(("n", "columns", "shape"), [(3, None, (1, 3)), (23, None, (3, 10)), (4, 2, (2, 2))])
def test_columns_of_a_list(n, columns, shape):
    figure = plots.draw_images(pictures(n, 5, 5), columns=columns)
    assert figure.axes[0].get_gridspec().get_geometry() == shape


def test_each_image_of_a_list_has_its_title():
    figure = plots.draw_images(pictures(5, 5, 5), titles=["a", "b", 3, 0.5, "e"], columns=2)
    assert [ax.get_title() for ax in figure.axes] == ["a", "b", "3", "0.5", "e", ""]


def test_a_grid_has_titles_for_columns_and_labels_for_rows():
    images = pictures(2, 3, 5, 4)
    figure = plots.draw_images(images, titles=["a", "b", "c"], row_labels=["input", "output"])
    axes = np.reshape(figure.axes, (2, 3))
    for row, column in np.ndindex(2, 3):
        np.testing.assert_array_equal(axes[row, column].images[0].get_array(), images[row, column])
    assert [ax.get_title() for ax in figure.axes] == ["a", "b", "c", "", "", ""]
    assert [ax.get_ylabel() for ax in figure.axes] == ["input", "", "", "output", "", ""]
    assert_nothing_is_cut_off(figure)


def test_letters_of_a_wide_grid_are_legible_on_a_phone():
    figure = plots.draw_images(
        pictures(2, 10, 28, 28), titles=range(10), row_labels=["normal, high", "anomaly, low"], size=0.8
    )
    texts = [ax.title for ax in figure.axes[:10]] + [figure.axes[0].yaxis.label]
    assert min(map(phone_letters, texts)) > 8.5
    assert_nothing_is_cut_off(figure)


def test_long_titles_shrink_before_they_meet():
    names = ["normal", "noise", "inverted", "two digits", "half", "garment", "shuffled"]
    figure = plots.draw_images(pictures(7, 28, 28), titles=names, columns=7, size=1.0)
    figure.draw_without_rendering()
    boxes = [extent(ax.title) for ax in figure.axes]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


@pytest.mark.parametrize(
    ("images", "settings", "message"),
    [
        (np.zeros((5, 5)), {}, r"\(n, height, width\) is expected"),
        (np.zeros((1, 1, 1, 5, 5)), {}, "is expected"),
        (np.zeros((1, 2, 8, 8, 4)), {}, "in colour with one more axis of length 3"),
        (np.zeros((0, 5, 5)), {}, "empty"),
        (np.full((2, 5, 5), np.nan), {}, "NaN"),
        (np.full((2, 5, 5), 255, np.uint8), {}, "divide by 255"),
        (np.zeros((2, 5, 5)), {"columns": 0}, "columns must be a whole number at least 1"),
        (np.zeros((2, 5, 5)), {"titles": ["a"]}, "1 titles were given for 2 images"),
        (np.zeros((2, 4, 5, 5)), {"titles": ["a", "b"]}, "2 titles were given for 4 columns"),
        (np.zeros((2, 5, 5)), {"row_labels": ["a"]}, "row_labels needs a grid"),
        (np.zeros((2, 4, 5, 5)), {"row_labels": ["a"]}, r"one label for each row \(2\)"),
    ],
)
def test_bad_images_are_refused_before_a_figure_is_made(images, settings, message):
    with pytest.raises(ValueError, match=message):
        plots.draw_images(images, **settings)
    assert not plt.get_fignums()


# Losses


def test_losses_start_at_epoch_1():
    ax = plots.draw_losses({"training": [3, 2, 1], "test": [4.0, 3.5]}, "loss (nats)", floor=0.5)
    drawn = lines(ax)
    np.testing.assert_array_equal(drawn["training"].get_xydata(), [(1, 3), (2, 2), (3, 1)])
    np.testing.assert_array_equal(drawn["test"].get_xydata(), [(1, 4), (2, 3.5)])
    assert drawn["training"].get_marker() != drawn["test"].get_marker()
    assert set(drawn["a perfect copy"].get_ydata()) == {0.5}
    assert legend_texts(ax) == ["training", "test", "a perfect copy"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss (nats)")
    ax.figure.draw_without_rendering()
    ticks = ax.get_xticks()
    np.testing.assert_array_equal(ticks, np.round(ticks))


@pytest.mark.parametrize("floor", [0.96, 0.5, -3.0])
def test_the_floor_stays_clear_of_the_axis(floor):
    ax = plots.draw_losses({"training": [2, 1.5, 1]}, "loss", floor=floor, floor_label="entropy")
    low, high = ax.get_ylim()
    assert (floor - low) / (high - low) > 0.03
    assert "entropy" in legend_texts(ax)


def test_losses_need_no_floor_and_accept_axes():
    own = plt.subplots()[1]
    assert plots.draw_losses({"training": [1.0]}, "loss", ax=own) is own
    assert list(lines(own)) == ["training"]
    assert plt.get_fignums() == [own.figure.number]


# Scores


def outlines(ax: plt.Axes) -> dict[str, StepPatch]:
    return {patch.get_label(): patch for patch in ax.patches if not patch.get_fill()}


@pytest.mark.parametrize("log", [False, True])
def test_outlines_are_histograms_of_equal_area(log):
    generator = np.random.default_rng(0)
    groups = {"normal": generator.lognormal(0, 0.4, 700), "anomalies": generator.lognormal(1, 0.5, 5000)}
    ax = plots.draw_scores(groups, threshold=2.5, log=log, bins=40)
    drawn = outlines(ax)
    assert list(drawn) == ["normal", "anomalies"]
    for name, scores in groups.items():
        shares, edges, baseline = drawn[name].get_data()
        assert len(shares) == 40
        steps = np.diff(np.log(edges) if log else edges)
        np.testing.assert_allclose(steps, steps[0])  # so equal sums are equal areas
        np.testing.assert_allclose(shares.sum(), 100)
        assert baseline == 0
        inside = (scores >= edges[7]) & (scores < edges[8])
        np.testing.assert_allclose(shares[7], 100 * inside.mean())
    np.testing.assert_array_equal(drawn["normal"].get_data().edges, drawn["anomalies"].get_data().edges)
    assert drawn["normal"].get_linestyle() != drawn["anomalies"].get_linestyle()
    assert drawn["normal"].get_edgecolor() != drawn["anomalies"].get_edgecolor()
    filled = [patch for patch in ax.patches if patch.get_fill()]
    for patch, outline in zip(filled, drawn.values(), strict=True):
        np.testing.assert_array_equal(patch.get_data().values, outline.get_data().values)
    assert ax.get_xscale() == ("log" if log else "linear")
    assert set(lines(ax)["threshold"].get_xdata()) == {2.5}
    assert legend_texts(ax) == ["normal", "anomalies", "threshold"]


def test_edges_run_from_the_lowest_to_the_highest_score():
    ax = plots.draw_scores({"a": [-1.0, 0.0], "b": [5, 9]}, bins=5, xlabel="error (nats)")
    edges = outlines(ax)["a"].get_data().edges
    np.testing.assert_allclose(edges, [-1, 1, 3, 5, 7, 9])
    np.testing.assert_array_equal(outlines(ax)["a"].get_data().values, [100, 0, 0, 0, 0])
    np.testing.assert_array_equal(outlines(ax)["b"].get_data().values, [0, 0, 0, 50, 50])
    assert ax.get_xlabel() == "error (nats)"
    assert "threshold" not in lines(ax)


@pytest.mark.parametrize("log", [False, True])
def test_one_value_only_can_be_drawn(log):
    ax = plots.draw_scores({"a": [2.0, 2.0], "b": [2.0]}, log=log)
    for outline in outlines(ax).values():
        assert sorted(outline.get_data().values)[-2:] == [0, 100]
        assert outline.get_data().edges[0] < 2 < outline.get_data().edges[-1]


def test_more_groups_than_colours_and_own_axes():
    own = plt.subplots()[1]
    assert plots.draw_scores({str(n): [n, n + 1] for n in range(9)}, ax=own) is own
    assert list(outlines(own)) == [str(n) for n in range(9)]


@pytest.mark.parametrize(
    ("scores", "settings", "message"),
    [
        ({}, {}, "no group"),
        ({"normal": [1.0, np.nan]}, {}, "normal holds NaN"),
        ({"normal": []}, {}, "normal is empty"),
        ({"normal": [[1.0]]}, {}, "normal has shape"),
        ({"normal": [0.0, 1]}, {"log": True}, "scores above 0, the lowest is 0"),
        ({"normal": [1.0, 2]}, {"log": True, "threshold": -0.5}, "threshold above 0, not -0.5"),
        ({"normal": [1.0, 2]}, {"bins": 0}, "bins must be a whole number at least 1"),
    ],
)
def test_bad_scores_are_refused_before_a_figure_is_made(scores, settings, message):
    with pytest.raises(ValueError, match=message):
        plots.draw_scores(scores, **settings)
    assert not plt.get_fignums()


# Comparison


ONE = {"pixels": Interval(0.9, 0.88, 0.95), "deep": Interval(0.98, 0.97, 0.985)}
NINE = {"deep": Interval(0.7, 0.6, 0.75), "another": Interval(0.5, 0.45, 0.55)}


def bars(ax: plt.Axes) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Group to its points (value, height) and its bars (low, high)."""
    drawn = {}
    for container in ax.containers:
        points, _, (segments,) = container
        ends = np.array([segment[:, 0] for segment in segments.get_segments()])
        drawn[container.get_label()] = (points.get_xydata(), ends)
    return drawn


def test_intervals_are_drawn_with_their_two_sides():
    ax = plots.draw_comparison({"one normal": ONE, "nine normal": NINE})
    drawn = bars(ax)
    for group, methods in (("one normal", ONE), ("nine normal", NINE)):
        points, ends = drawn[group]
        np.testing.assert_allclose(points[:, 0], [i.value for i in methods.values()])
        np.testing.assert_allclose(ends, [(i.low, i.high) for i in methods.values()])
    assert legend_texts(ax) == ["one normal", "nine normal"]
    assert ax.get_xlabel() == "AUROC"


def test_rows_run_downwards_in_the_order_given():
    ax = plots.draw_comparison({"one normal": ONE, "nine normal": NINE})
    assert [label.get_text() for label in ax.get_yticklabels()] == ["pixels", "deep", "another"]
    np.testing.assert_array_equal(ax.get_yticks(), [0, 1, 2])
    assert ax.get_ylim() == (2.5, -0.5)
    drawn = bars(ax)
    np.testing.assert_array_equal(np.round(drawn["one normal"][0][:, 1]), [0, 1])
    np.testing.assert_array_equal(np.round(drawn["nine normal"][0][:, 1]), [1, 2])
    # The first group above the second, where both have a result.
    assert drawn["one normal"][0][1, 1] < 1 < drawn["nine normal"][0][0, 1]
    markers = {container.lines[0].get_marker() for container in ax.containers}
    assert len(markers) == 2


def test_groups_without_a_common_row_stand_in_the_middle():
    ax = plots.draw_comparison({"a": {"x": ONE["deep"]}, "b": {"y": ONE["pixels"]}})
    assert [bars(ax)[group][0][0, 1] for group in "ab"] == [0, 1]


def test_one_group_needs_no_legend_and_own_axes_are_used():
    own = plt.subplots()[1]
    assert plots.draw_comparison({"one": ONE}, xlabel="average precision", ax=own) is own
    assert own.get_legend() is None
    assert own.get_xlabel() == "average precision"
    assert plt.get_fignums() == [own.figure.number]


def test_names_of_references_meet_neither_each_other_nor_the_lines():
    references = {"OCGAN": 0.9750, "Deep SVDD": 0.948, "ARNet": 0.9755, "a long name": 0.975}
    ax = plots.draw_comparison({"one normal": ONE, "nine normal": NINE}, references)
    drawn = {line.get_xdata()[0] for line in ax.get_lines() if list(line.get_ydata()) == [0, 1]}
    assert drawn == set(references.values())
    ax.figure.draw_without_rendering()
    names = {text.get_text(): text for text in ax.texts if text.get_text()}
    assert set(names) == set(references)
    boxes = {name: mpl.text.Text.get_window_extent(text) for name, text in names.items()}
    top = ax.get_window_extent().y1
    for name, box in boxes.items():
        place = ax.transData.transform((references[name], 0))[0]
        assert 0 < place - box.x1 < 20  # it stands left of its own line
        assert box.y0 >= top
        assert not any(box.overlaps(other) for key, other in boxes.items() if key != name)
    arrows = [text.arrow_patch for text in ax.texts if not text.get_text()]
    assert len(arrows) == 4
    for arrow in arrows:
        line = arrow.get_window_extent()
        assert not any(box.x0 < line.x0 < box.x1 and box.overlaps(line) for box in boxes.values())
    assert_nothing_is_cut_off(ax.figure)


def test_the_legend_covers_no_result():
    ax = plots.draw_comparison({"one digit normal": ONE, "nine digits normal": NINE}, {"OCGAN": 0.975})
    ax.figure.draw_without_rendering()
    legend = extent(ax.get_legend())
    assert legend.y1 < extent(ax.xaxis.label).y0
    assert_nothing_is_cut_off(ax.figure)


@pytest.mark.parametrize("results", [{}, {"one": {}}])
def test_nothing_to_compare_is_refused(results):
    with pytest.raises(ValueError, match="no method to draw"):
        plots.draw_comparison(results)
    assert not plt.get_fignums()


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [(np.nan, 0, 1), (0.5, np.nan, 1), (0.5, 0, np.inf), (0.5, 0.6, 0.7), (0.5, 0, 0.4)],
)
def test_values_outside_their_interval_are_refused(value, low, high):
    with pytest.raises(ValueError, match=r"one normal, bad: .* is not an interval"):
        plots.draw_comparison({"one normal": {**ONE, "bad": Interval(value, low, high)}})
    assert not plt.get_fignums()


def test_a_group_may_lack_every_method():
    ax = plots.draw_comparison({"one normal": ONE, "nine normal": {}})
    assert len(bars(ax)["one normal"][0]) == 2
    assert len(bars(ax)["nine normal"][0]) == 0


# Heat map


def table(values, index=None, columns=None) -> pd.DataFrame:
    values = np.asarray(values)
    return pd.DataFrame(values, index or list("abcdefg")[: len(values)], columns)


def cell_texts(ax: plt.Axes) -> dict[tuple[int, int], mpl.text.Text]:
    """Row and column to the text that stands there."""
    return {(text.get_position()[1], text.get_position()[0]): text for text in ax.texts}


def test_cells_carry_their_numbers():
    values = [[0.1234, 0.9996, 1.0], [10.5, -0.25, 0.0], [20.3, -10.5, np.nan]]
    ax = plots.draw_heat_map(table(values), 0, 1, "AUROC")
    texts = {place: text.get_text() for place, text in cell_texts(ax).items()}
    assert [[texts[row, column] for column in range(3)] for row in range(3)] == [
        [".123", "1.000", "1.000"],
        ["10.500", "-.250", ".000"],
        ["20.300", "-10.500", ""],
    ]
    np.testing.assert_array_equal(ax.images[0].get_array().filled(np.nan), values)
    assert ax.images[0].get_clim() == (0, 1)


def test_rows_columns_and_scale_are_named():
    frame = table([[0.5, 0.7]], ["deep"], pd.Index([3, 7], name="the normal digit"))
    ax = plots.draw_heat_map(frame.rename_axis("method"), 0.4, 1, "AUROC", decimals=1)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["3", "7"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["deep"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("the normal digit", "method")
    assert [text.get_text() for text in ax.texts] == [".5", ".7"]
    scale = next(other for other in ax.figure.axes if other is not ax)
    assert scale.get_xlabel() == "AUROC"
    plain = plots.draw_heat_map(table([[2.0]]), 0, 3, "n", decimals=0)
    assert (plain.get_xlabel(), plain.get_ylabel(), plain.texts[0].get_text()) == ("", "", "2")


def test_numbers_stand_out_from_every_colour():
    values = np.linspace(-0.1, 1.1, 49).reshape(7, 7)  # beyond the scale too
    ax = plots.draw_heat_map(table(values), 0, 1, "AUROC")
    for (row, column), text in cell_texts(ax).items():
        background = to_hex(ax.images[0].to_rgba(values[row, column]))
        assert contrast(text.get_color(), background) > 4
    assert {text.get_color() for text in ax.texts} == {"white", "black"}


@pytest.mark.parametrize(("highest", "least"), [(0.999, 8.5), (1.0, 7.4)])
def test_a_table_of_ten_columns_is_legible_on_a_phone(highest, least):
    names = ["the listing", "pixels, neighbours", "deep, joint score"]
    values = np.random.default_rng(0).uniform(0.85, highest, (3, 10))
    values[0, 3:5] = highest
    ax = plots.draw_heat_map(table(values, names), 0.85, 1, "AUROC")
    assert_nothing_is_cut_off(ax.figure)
    assert min(map(phone_letters, ax.texts)) > least
    for row in range(3):
        boxes = [extent(cell_texts(ax)[row, column]) for column in range(10)]
        assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


@pytest.mark.parametrize(
    ("frame", "low", "high", "message"),
    [
        (pd.DataFrame(), 0, 1, "no cell"),
        (table([[1.0]]), 1, 1, "low must be below high, not 1 and 1"),
        (table([[1.0]]), 0, np.nan, "low must be below high"),
    ],
)
def test_bad_tables_are_refused_before_a_figure_is_made(frame, low, high, message):
    with pytest.raises(ValueError, match=message):
        plots.draw_heat_map(frame, low, high, "AUROC")
    assert not plt.get_fignums()


# Calibration


def thresholds() -> pd.DataFrame:
    return pd.DataFrame(
        [
            ("seven", 0.05, 0.07, 0.03, 0.08),
            ("seven", 0.005, 0.004, 0.0, 0.01),
            ("one", 0.05, 0.02, 0.035, 0.065),
            ("one", 0.005, 0.006, 0.001, 0.009),
        ],
        columns=["case", "promised", "achieved", "low", "high"],
    )


def test_calibration_points_bands_and_promises():
    ax = plots.draw_calibration(thresholds())
    assert [label.get_text() for label in ax.get_xticklabels()] == ["seven", "one"]
    drawn = lines(ax)
    np.testing.assert_allclose(drawn["0.5 %"].get_xydata(), [(-0.2, 0.4), (0.8, 0.6)])
    np.testing.assert_allclose(drawn["5 %"].get_xydata(), [(0.2, 7), (1.2, 2)])
    assert drawn["0.5 %"].get_marker() != drawn["5 %"].get_marker()
    for container, ends in zip(ax.containers, ([(0, 1), (0.1, 0.9)], [(3, 8), (3.5, 6.5)]), strict=True):
        np.testing.assert_allclose([(bar.get_y(), bar.get_y() + bar.get_height()) for bar in container], ends)
    levels = {line.get_ydata()[0]: line.get_color() for line in ax.get_lines() if line.get_linestyle() == ":"}
    assert levels == {0.5: drawn["0.5 %"].get_color(), 5.0: drawn["5 %"].get_color()}
    assert legend_texts(ax) == ["0.5 %", "5 %"]
    assert ax.get_legend().get_title().get_text() == "promised"
    assert ax.get_ylim()[0] == 0


@pytest.mark.parametrize("n_promises", [1, 2, 3, 8])
def test_bands_stand_side_by_side_around_their_case(n_promises):
    # Every band overlaps every other one in height, and the promises are not given in order.
    frame = pd.DataFrame(
        [
            (case, promised / 100, 0.1, 0.01, 0.2)
            for promised in reversed(range(1, n_promises + 1))
            for case in ("a", "b", "c")
        ],
        columns=["case", "promised", "achieved", "low", "high"],
    )
    ax = plots.draw_calibration(frame)
    drawn = lines(ax)
    bands = []
    for promised, container in zip(range(1, n_promises + 1), ax.containers, strict=True):
        points = drawn[f"{promised} %"]
        for case, bar, (place, _) in zip(range(3), container, points.get_xydata(), strict=True):
            assert bar.get_x() + bar.get_width() / 2 == pytest.approx(place)
            assert to_hex(bar.get_facecolor()) == to_hex(points.get_color())
            bands.append((case, promised, bar.get_x(), bar.get_x() + bar.get_width()))
    bands.sort()
    for (case, _, left, right), (_, _, following, _) in pairwise(bands):
        assert case - 0.5 < left < right < following
    for case in range(3):
        ends = [end for band in bands if band[0] == case for end in band[2:]]
        assert (min(ends) + max(ends)) / 2 == pytest.approx(case)
        assert max(ends) < case + 0.5
    own_colours = {container[0].get_facecolor() for container in ax.containers[:7]}
    assert len(own_colours) == min(n_promises, 7)


def test_the_legend_covers_no_band_and_own_axes_are_used():
    own = plt.subplots()[1]
    assert plots.draw_calibration(thresholds(), ax=own) is own
    own.figure.draw_without_rendering()
    assert extent(own.get_legend()).y0 >= own.get_window_extent().y1
    assert_nothing_is_cut_off(own.figure)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (thresholds().drop(columns=["low", "case"]), "no column case, low"),
        (thresholds().iloc[:0], "no row"),
    ],
)
def test_bad_calibration_tables_are_refused(frame, message):
    with pytest.raises(ValueError, match=message):
        plots.draw_calibration(frame)
    assert not plt.get_fignums()


def test_no_losses_are_refused():
    with pytest.raises(ValueError, match="no line"):
        plots.draw_losses({}, "loss")
    assert not plt.get_fignums()
