"""Words of figures in a made-up language: every kind of label, numbers in order, what is missing."""

from __future__ import annotations

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest

from dae_utils.show import figures
from dae_utils.show.phrases import PhraseTable, current_table, installed_fonts, translate, translate_figure

WORDS = {
    "epoch": "epoko",
    "loss": "perdo",
    "threshold {}": "sojlo {}",
    "{} of {} images": "el {1} bildoj {0}",
    "normal": "normala",
    "anomaly": "anomalio",
    "training": "trejnado",
    "Result": "Rezulto",
    "note": "noto",
}


@pytest.fixture(autouse=True)
def no_figures_left():
    yield
    plt.close("all")


@pytest.fixture
def esperanto(tmp_path, monkeypatch):
    """A made-up language, used by figures."""
    (tmp_path / "eo.json").write_text(json.dumps({"phrases": WORDS, "fonts": ["DejaVu Sans"]}))
    monkeypatch.setenv("DAE_LANGUAGE_DIR", str(tmp_path))
    monkeypatch.setenv("DAE_LANGUAGE", "eo")
    return current_table()


@pytest.mark.parametrize(
    ("text", "translation"),
    [
        ("epoch", "epoko"),
        ("threshold 0.05", "sojlo 0.05"),
        ("threshold -1.5e-3", "sojlo -1.5e-3"),
        ("3 of 1,000 images", "el 1,000 bildoj 3"),
        ("loss\nthreshold 2", "perdo\nsojlo 2"),
        ("0.25", "0.25"),
        (r"$\beta_{vae} = 3$", r"$\beta_{vae} = 3$"),
        ("", ""),
        ("unheard of", "unheard of"),
    ],
)
def test_phrases_are_translated_and_the_rest_passes(text, translation):
    assert PhraseTable(WORDS).translate(text) == translation


def test_what_is_missing_is_listed_once_in_the_form_of_an_entry():
    table = PhraseTable(WORDS)
    for text in ("epoch", "7 dogs", "8 dogs", "a cat\nepoch", "0.5", "$x$", "epoko", "sojlo 3", "7 dogs"):
        table.translate(text)
    assert table.missing == ["a cat", "{} dogs"]


def test_braces_of_formulas_stay():
    assert (
        PhraseTable({"error $x_{i}$ {}": "eraro $x_{i}$ {}"}).translate("error $x_{i}$ 4")
        == "eraro $x_{i}$ 4"
    )


@pytest.mark.parametrize(("phrase", "translation"), [("a {}", "b"), ("a", "b {}"), ("{} {}", "{0} {0}")])
def test_a_translation_that_loses_a_number_is_refused(phrase, translation):
    with pytest.raises(ValueError, match="does not have the numbers"):
        PhraseTable({phrase: translation})


def test_english_needs_no_table(monkeypatch):
    for language in ("", "en", " "):
        monkeypatch.setenv("DAE_LANGUAGE", language)
        assert current_table() is None
        assert translate("epoch") == "epoch"
    figure, ax = plt.subplots()
    ax.set_title("epoch")
    translate_figure(figure)
    assert ax.get_title() == "epoch"


def test_every_word_of_a_figure_is_translated_and_numbers_are_not(esperanto):
    figure, (ax, bars, plain) = plt.subplots(1, 3)
    ax.plot([1, 2, 3], label="training")
    ax.set(title="Result", xlabel="epoch", ylabel="loss")
    ax.legend()
    ax.annotate("note", (0, 1))
    ax.text(0, 2, "threshold 0.5")
    ax.set_yticks([1, 2], ["normal", "anomaly"])
    bars.bar(["normal", "anomaly"], [1, 2])
    plain.plot([10, 20])
    plain.xaxis.set_major_formatter(lambda value, _: "normal" if value < 0.5 else "7")
    figure.suptitle("Result")
    for _ in range(2):  # a figure may be shown twice
        translate_figure(figure)
        figure.draw_without_rendering()
    words = {text.get_text() for text in figure.findobj(plt.Text)}
    assert {"trejnado", "Rezulto", "epoko", "perdo", "noto", "sojlo 0.5", "normala", "anomalio"} <= words
    assert not words & {"training", "Result", "epoch", "loss", "note", "normal", "anomaly"}
    assert [label.get_text() for label in ax.get_yticklabels()] == ["normala", "anomalio"]
    assert [label.get_text() for label in bars.get_xticklabels()] == ["normala", "anomalio"]
    assert figure.get_suptitle() == "Rezulto"
    assert all(label.get_text().isdigit() or "." in label.get_text() for label in plain.get_yticklabels())
    assert esperanto.missing == []


def test_the_books_own_words_can_be_listed(esperanto):
    figure = figures.draw_losses({"training": [2, 1.0]}, "loss", floor=0.5).figure
    translate_figure(figure)
    assert esperanto.missing == ["a perfect copy"]


def test_titles_of_images_are_measured_in_the_reader_s_language(esperanto):
    figure = figures.draw_images(np.zeros((2, 5, 5)), titles=["normal", "anomaly"])
    assert [ax.get_title() for ax in figure.axes] == ["normala", "anomalio"]


@pytest.mark.parametrize(
    ("language", "content", "message"),
    [
        ("xx", None, "xx.json is missing"),
        ("../xx", "{}", "missing"),
        ("bad", "{}", "is not"),
        ("torn", '{"phrases": ', "is not"),
        ("list", "[]", "is not"),
        ("odd", '{"phrases": {"a {}": "b"}}', "numbers"),
    ],
)
def test_a_language_without_a_good_table_is_refused(language, content, message, tmp_path, monkeypatch):
    (tmp_path / "deep").mkdir()
    if content is not None:
        (tmp_path / "deep" / f"{language}.json").write_text(content)
    monkeypatch.setenv("DAE_LANGUAGE_DIR", str(tmp_path / "deep"))
    monkeypatch.setenv("DAE_LANGUAGE", language)
    with pytest.raises(ValueError, match=message):
        translate("epoch")


def test_only_installed_fonts_are_used_and_one_is_needed():
    assert installed_fonts(PhraseTable({}, ["No Such Font", "DejaVu Sans"])) == ["DejaVu Sans"]
    assert installed_fonts(PhraseTable({})) == []
    with pytest.raises(ValueError, match="none of the fonts"):
        installed_fonts(PhraseTable({}, ["No Such Font"]))


def test_the_style_takes_the_fonts_of_the_language(esperanto):
    with plt.rc_context():
        figures.use_book_style()
        assert plt.rcParams["font.family"][-1] == "DejaVu Sans"
