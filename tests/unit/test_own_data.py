"""A reader's own table, images and signal: what comes out, and what is said about what cannot go in."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.exceptions import NotFittedError

from dae_utils.data.own import TableEncoder, read_images, split_in_order, windows


@pytest.fixture(params=[False, True], ids=["words as objects", "words as pandas 3 has them"])
def table(request) -> Iterator[pd.DataFrame]:
    with pd.option_context("future.infer_string", request.param):
        yield pd.DataFrame(
            {
                "length": [1.0, 2.0, 3.0, np.nan],
                "count": [0, 10, 20, 30],
                "broken": [True, False, False, False],
                "colour": ["red", "blue", None, "red"],
            }
        )


class TestTable:
    def test_numbers_get_mean_0_and_spread_1_and_words_a_column_each(self, table):
        encoder = TableEncoder().fit(table)
        x = encoder.transform(table)

        # Three columns of numbers; blue, red, and the empty field.
        assert x.shape == (4, 6) == (4, encoder.n_values_)
        assert x.dtype == np.float32
        assert_allclose(x[:, :3].mean(axis=0), 0, atol=1e-6)
        assert_allclose(x[:, :3].std(axis=0), 1, rtol=1e-6)
        assert_array_equal(x[:, 3:].sum(axis=1), 1)
        assert_array_equal(x[0, 3:], x[3, 3:])
        assert not (x[2, 3:] == x[:2, 3:]).all(axis=1).any()

    def test_an_empty_number_is_the_median(self, table):
        table = table.assign(length=[1.0, 2.0, 9.0, np.nan])
        encoder = TableEncoder().fit(table)
        filled = table.assign(length=[1.0, 2.0, 9.0, 2.0])

        assert_allclose(encoder.transform(table), encoder.transform(filled))

    def test_new_rows_are_measured_by_the_old_ones(self, table):
        encoder = TableEncoder().fit(table)
        new = pd.DataFrame(
            {"more": [1], "colour": ["green"], "broken": [False], "count": [1015], "length": [2.0]}
        )
        x = encoder.transform(new)

        assert_allclose(x[0, :2], [0, (1015 - 15) / np.std([0, 10, 20, 30])], rtol=1e-6)
        assert_array_equal(x[0, 3:], 0)

    def test_a_column_that_is_empty_in_the_new_rows_is_filled(self, table):
        encoder = TableEncoder().fit(table)
        new = table.assign(length=[None] * 4, colour=[np.nan] * 4)

        x = encoder.transform(new)

        assert_allclose(x[:, 0], x[0, 0])
        assert_array_equal(x[:, 3:], np.tile(encoder.transform(table)[2, 3:], (4, 1)))

    def test_the_table_is_not_changed(self, table):
        before = table.copy()
        TableEncoder().fit(table).transform(table)

        pd.testing.assert_frame_equal(table, before)

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (lambda t: t.to_numpy(), "pandas DataFrame"),
            (lambda t: t[:0], "0 rows and 4 columns"),
            (lambda t: t.assign(count=[0, 1, 2, np.inf]), "column count holds an infinite number"),
            (lambda t: t.assign(when=pd.to_datetime("2026-01-01")), "column when holds times"),
            (lambda t: t.assign(took=pd.Timedelta(1)), "column took holds times"),
            (lambda t: t.assign(nothing=np.nan), "no value in any row.*: nothing"),
            (lambda t: t.rename(columns={"count": "length"}), "column length is there twice"),
        ],
    )
    def test_what_cannot_be_learned_from_is_named(self, table, change, says):
        with pytest.raises(ValueError, match=says):
            TableEncoder().fit(change(table))

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (lambda t: t.drop(columns=["count", "colour"]), "no column count, colour"),
            (lambda t: t.assign(count=list("abcd")), "count held numbers in fit and holds words"),
            (
                lambda t: t.assign(count=[0, 1, "n.v.", 3]),
                r"count is text, but 3 of its 4.*'n\.v\.' in row 2",
            ),
            (lambda t: t.assign(colour=[1, 2, 3, 4]), "colour held words in fit and holds numbers"),
        ],
    )
    def test_a_table_of_another_kind_is_refused(self, table, change, says):
        encoder = TableEncoder().fit(table)
        with pytest.raises(ValueError, match=says):
            encoder.transform(change(table))

    def test_fit_comes_first(self, table):
        with pytest.raises(NotFittedError, match="call fit"):
            TableEncoder().transform(table)

    @pytest.mark.parametrize(
        ("fields", "says"),
        [
            (
                ["12,3", "7,5", None, "8"],
                r"count is text, but 3 of its 3 fields are numbers.*'12,3' in row 0",
            ),
            (["1", "2.5", "n.v.", "-3e4"], r"3 of its 4 fields.*'n\.v\.' in row 2.*decimal=','.*na_values="),
            (np.array([1.5, 2, 3, None], dtype=object), "count holds numbers as objects.*to_numeric"),
        ],
    )
    def test_numbers_that_were_read_as_text_are_refused(self, table, fields, says):
        with pytest.raises(ValueError, match=says) as caught:
            TableEncoder().fit(table.assign(count=fields))
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        "fields",
        [["12", "12a", "b", "c"], ["01", "02", "02", None], pd.Categorical(["1,5", "2,5", "1,5", "2,5"])],
        ids=["as many words as numbers", "digits on purpose", "categories"],
    )
    def test_words_that_look_like_numbers_may_be_words(self, table, fields):
        words = {word for word in fields if isinstance(word, str)}
        names = TableEncoder().fit(table.assign(colour=fields)).get_feature_names_out()

        assert {f"colour={word}" for word in words} <= set(names)

    def test_a_column_that_names_the_rows_is_told(self):
        table = pd.DataFrame({"id": [f"tumour {i}" for i in range(50)], "size": range(50)})
        with pytest.warns(UserWarning, match=r"id \(50 words in 50 rows\).*leave it out") as caught:
            TableEncoder().fit(table)
        assert caught[0].filename == __file__

    def test_the_values_have_names_in_their_order(self, table):
        table = table[["colour", "count", "broken", "length"]]
        encoder = TableEncoder().fit(table)
        names = encoder.get_feature_names_out()

        assert list(names[:3]) == ["count", "broken", "length"]
        assert list(names[3:]) == ["colour=(empty)", "colour=blue", "colour=red"]
        x = pd.DataFrame(encoder.transform(table), columns=names)
        assert_array_equal(x["colour=red"], [1, 0, 0, 1])
        assert_array_equal(x["count"].rank(), [1, 2, 3, 4])
        only_words = TableEncoder().fit(table[["colour"]])
        assert len(only_words.get_feature_names_out()) == only_words.n_values_ == 3
        with pytest.raises(NotFittedError, match="call fit"):
            TableEncoder().get_feature_names_out()

    def test_a_column_that_becomes_much_emptier_is_told(self, recwarn):
        random = np.random.default_rng(0)
        table = pd.DataFrame(random.normal(size=(300, 3)), columns=["a", "b", "c"])
        table = table.mask(random.random(table.shape) < 0.05)
        encoder = TableEncoder().fit(table)
        encoder.transform(table)
        for _ in range(50):  # chance brings some more, and in few rows many more
            encoder.transform(table.sample(10, random_state=random.integers(10**6)))
        assert not recwarn.list

        emptied = table[:60].assign(b=table["b"][:30])
        with pytest.warns(
            UserWarning, match=r"columns much emptier than in fit: b \(5\d% empty, \d% in fit\)"
        ):
            encoder.transform(emptied)

    def test_a_row_without_any_number_is_told(self):
        table = pd.DataFrame({"a": [1.0, 2.0] * 20, "b": [2.0, 3.0] * 20, "word": ["x", "y"] * 20})
        encoder = TableEncoder().fit(table)
        table.loc[3, ["a", "b"]] = np.nan

        with pytest.warns(UserWarning, match=r"without any number: 1 \(the first is row 3\)") as caught:
            encoder.transform(table)
        assert caught[0].filename == __file__


class TestImages:
    def test_images_come_sorted_at_one_size_between_0_and_1(self, tmp_path):
        Image.new("L", (40, 20), 255).save(tmp_path / "b.png")
        Image.new("RGB", (10, 30), (0, 0, 0)).save(tmp_path / "a.JPG", format="jpeg")
        (tmp_path / "notes.txt").write_text("not an image")
        (tmp_path / "folder.png").mkdir()

        images, names = read_images(tmp_path, height=8, width=6)

        assert names == ["a.JPG", "b.png"]
        assert images.shape == (2, 8, 6)
        assert images.dtype == np.float32
        assert_allclose(images, np.stack([np.zeros((8, 6)), np.ones((8, 6))]), atol=0.01)

    def test_colour_is_kept_when_asked_for(self, tmp_path):
        Image.new("RGB", (4, 4), (255, 0, 51)).save(tmp_path / "a.png")

        images, _ = read_images(tmp_path, height=2, colour=True)

        assert_allclose(images, np.broadcast_to([1, 0, 0.2], (1, 2, 2, 3)), atol=1e-6)

    def test_sixteen_bits_are_scaled_and_not_cut_off(self, tmp_path):
        values = np.array([[0, 32768], [65535, 16384]], dtype=np.uint16)
        Image.fromarray(values).save(tmp_path / "a.png")

        images, _ = read_images(tmp_path, height=2)

        assert_allclose(images[0], values / 65535, atol=0.003)

    def test_values_that_are_not_whole_numbers_are_refused(self, tmp_path):
        Image.fromarray(np.array([[0, 0.5]], dtype=np.float32)).save(tmp_path / "a.tif")

        with pytest.raises(ValueError, match=r"a\.tif cannot be read.*white could be any"):
            read_images(tmp_path)

    def test_an_image_is_turned_as_the_camera_was_held(self, tmp_path):
        image = Image.fromarray(np.array([[0, 255]], dtype=np.uint8))
        exif = Image.Exif()
        exif[0x0112] = 3  # upside down
        image.save(tmp_path / "a.png", exif=exif)

        images, _ = read_images(tmp_path, height=1, width=2)

        assert_allclose(images[0], [[1, 0]])

    def test_what_cannot_be_read_is_named(self, tmp_path):
        with pytest.raises(ValueError, match="is not a folder"):
            read_images(tmp_path / "nowhere")
        with pytest.raises(ValueError, match="holds no image"):
            read_images(tmp_path)
        (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
        with pytest.raises(ValueError, match=r"broken\.png cannot be read"):
            read_images(tmp_path)
        with pytest.raises(ValueError, match="height"):
            read_images(tmp_path, height=0)


class TestWindows:
    def test_windows_stand_side_by_side_without_a_step(self):
        assert_array_equal(windows(range(7), 3), [[0, 1, 2], [3, 4, 5]])

    def test_windows_overlap_with_a_step(self):
        cut = windows(np.arange(7), 3, 2)

        assert_array_equal(cut, [[0, 1, 2], [2, 3, 4], [4, 5, 6]])
        assert cut.dtype == np.float64
        assert cut.flags.writeable

    def test_a_small_signal_on_a_large_offset_is_kept(self):
        signal = 0.02 * np.sin(np.arange(64))
        cut = windows(101325 + signal, 8)

        assert_allclose((cut - 101325).ravel(), signal, atol=1e-10)

    def test_channels_stay_together_sample_by_sample(self):
        signal = np.stack([np.arange(4), 10 + np.arange(4)], axis=1)

        assert_array_equal(windows(signal, 2), [[0, 10, 1, 11], [2, 12, 3, 13]])

    @pytest.mark.parametrize(
        ("signal", "says"),
        [
            ([1.0, 2.0], "2 samples, fewer than one window of 3"),
            ([0, 1, np.nan, 3, np.inf], r"in 2 samples \(the first is number 2\)"),
            (np.zeros((4, 2, 2)), "shape"),
            (list("abcd"), "real numbers"),
        ],
    )
    def test_a_signal_that_cannot_be_cut_is_refused(self, signal, says):
        with pytest.raises(ValueError, match=says):
            windows(signal, 3)

    def test_lengths_are_checked(self):
        with pytest.raises(ValueError, match="length"):
            windows(range(9), 0)
        with pytest.raises(ValueError, match="step"):
            windows(range(9), 3, 0)


class TestSplitInOrder:
    def test_the_stretches_follow_each_other(self):
        parts = split_in_order(np.arange(10), (0.5, 0.3, 0.2))

        assert [part.tolist() for part in parts] == [[0, 1, 2, 3, 4], [5, 6, 7], [8, 9]]

    def test_with_a_gap_no_sample_is_in_windows_of_two_stretches(self):
        length, step = 5, 2
        parts = split_in_order(windows(range(60), length, step), gap=-(-length // step) - 1)

        seen = [set(part.ravel()) for part in parts]
        assert len(parts) == 3
        assert not seen[0] & seen[1]
        assert not seen[1] & seen[2]

    def test_what_does_not_work_out_is_refused(self):
        with pytest.raises(ValueError, match=r"add up to 0\.9"):
            split_in_order(range(10), (0.5, 0.4))
        with pytest.raises(ValueError, match="nothing is left for share 2"):
            split_in_order(range(10), (0.5, 0.3, 0.2), gap=3)
        with pytest.raises(ValueError, match="every share"):
            split_in_order(range(10), (1.2, -0.2))
        with pytest.raises(ValueError, match="gap"):
            split_in_order(range(10), gap=-1)
