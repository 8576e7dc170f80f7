"""The directive `live`: what it leaves in pages, in other formats, and when something is missing."""

from __future__ import annotations

import io
import os
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from bs4 import BeautifulSoup
from page_checks import PROJECT
from PIL import Image
from sphinx.application import Sphinx
from sphinx.util.console import nocolor
from sphinx.util.docutils import docutils_namespace, patch_docutils

from dae_utils.profiles import Profile
from dae_utils.show import live

sys.path.insert(0, str(PROJECT / "book" / "_ext"))

import live_demos

OTHER = "---\norphan: true\n---\n\n# Other\n\nNo demo.\n"
CLASSES = {"class_names": "|".join("abcdefghij")}


def network(*sizes: int) -> keras.Model:
    """Return an untrained network of dense layers."""
    keras.utils.set_random_seed(0)
    dense = [keras.layers.Dense(size, activation="sigmoid") for size in sizes[1:]]
    return live.round_weights(keras.Sequential([keras.Input((sizes[0],)), *dense]))


def export(folder: Path, name: str) -> Path:
    """Write a small file of the form that the chapter writes."""
    generator = np.random.default_rng(0)

    def images(n: int) -> np.ndarray:
        return generator.integers(0, 256, (n, 28, 28), dtype=np.uint8)

    labels = np.arange(20, dtype=np.uint8) % 10
    beats = np.arange(300, 3300, 300)
    strip = {
        "signal": generator.integers(-900, 900, (3600, 2), dtype=np.int16),
        "beats": beats.astype("float32"),
        "symbols": np.array([ord("V" if i == 4 else "N") for i in range(len(beats))], np.uint8),
        "unit": np.ones(320, "float32"),
    }
    neighbours = {
        "images": images(20),
        "codes": generator.random((20, 4)).astype(np.float16),
        "labels": labels,
    }
    convolutions = [
        keras.Input((8, 8, 3)),
        keras.layers.Conv2D(4, 3, strides=2, padding="same", activation="elu"),
        keras.layers.Conv2DTranspose(3, 4, strides=2, padding="same", activation="sigmoid"),
    ]
    cars = generator.normal(size=(20, 2)).astype(np.float16)
    what = {
        "00_plane": {"model": network(2, 4, 1, 2), "arrays": {"cars": cars}, "numbers": {"threshold": 0.1}},
        "00_train": {"arrays": {"cars": cars, "held_out": cars[:5]}},
        "01_digit": {
            "model": network(784, 2, 784),
            "arrays": {"samples": images(20), "sample_labels": labels},
            "numbers": {"digit": 3, "threshold": 0.1, "false_alarm_rate": 0.05},
        },
        "01_width": {
            "arrays": {
                "images": images(12),
                "labels": labels[:12],
                "copies": images(24).reshape(2, 12, 28, 28),
                "widths": np.array([4, 8], np.uint8),
                "thresholds": np.float32([0.1, 0.2]),
                "aurocs": np.float32([[0.7, 0.9]]),
            },
            "numbers": {"digit": 3, "false_alarm_rate": 0.05},
        },
        "01_scores": {
            "arrays": {key: generator.random(50, dtype=np.float32) + 0.1 for key in ("normal", "anomalous")},
            "numbers": {"threshold": 0.5},
        },
        "02_denoise": {"model": live.round_weights(keras.Sequential(convolutions))},
        "03_denoise": {
            "model": network(784, 2, 784),
            "arrays": {"samples": images(12), "sample_labels": labels[:12]},
            "texts": CLASSES,
        },
        "06_alarm": {
            "arrays": {
                "thresholds": np.float32([1, 2]),
                "records": np.int16([106, 100, 103]),
                "is_new": np.uint8([0, 1, 1]),
                "false_alarms": np.int16([[5, 9, 4], [1, 3, 0]]),
                "hours": np.float32([0.4, 0.4, 0.3]),
                "found": np.int16([[5, 7, 0], [4, 5, 0]]),
                "episodes": np.int16([5, 8, 0]),
            },
            "numbers": {"threshold": 2, "promise": 10},
            "texts": {"chosen_on": "those", "new": "these"},
        },
        "06_strip": {
            "model": network(320, 2, 320),
            "arrays": strip,
            "numbers": {"threshold": 1, "rate": 360},
        },
        "07_neighbours_fashion": {"arrays": neighbours, "texts": CLASSES},
        "07_neighbours_mnist": {"arrays": neighbours, "texts": CLASSES},
        "07_walk": {
            "model": network(2, 3, 784),
            "arrays": {"codes": generator.normal(size=(20, 2)).astype(np.float16), "code_labels": labels},
            "texts": CLASSES,
        },
    }
    file = live_demos.file_of(name)
    return live.export(file, Profile("full"), folder=folder / "notebooks" / "live", **what[file])


def build(folder: Path, builder: str = "html", **pages: str) -> tuple[Path, str]:
    """Build a small project with the extension; return where it is and the warnings."""
    for name, text in pages.items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
    static = folder / "static"
    static.mkdir(exist_ok=True)
    if not (static / "live").exists():
        (static / "live").symlink_to(PROJECT / "book" / "_static" / "live")
    warnings = io.StringIO()
    settings = {
        "extensions": ["myst_parser", "live_demos"],
        "html_static_path": ["static"],
        "root_doc": "index",
        "exclude_patterns": ["_build"],
        "numfig": True,
        "version": "1",
    }
    out = folder / "_build" / builder
    trees = folder / "_build" / "trees"
    nocolor()
    with patch_docutils(str(folder)), docutils_namespace():
        app = Sphinx(folder, None, out, trees, builder, confoverrides=settings, status=None, warning=warnings)
        app.build()
    return out, warnings.getvalue()


def directive(name: str, *, options: str = "", caption: str = "A caption with *words*.") -> str:
    """Return a page with a demo."""
    return f"# A page\n\n```{{live}} {name}\n{options}{caption}\n```\n"


def soup(file: Path) -> BeautifulSoup:
    """Return a parsed page."""
    return BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser")


@pytest.mark.parametrize("name", sorted(live_demos.DEMOS))
def test_every_demo_leaves_a_picture_and_a_place(tmp_path, name):
    export(tmp_path, name)
    out, warnings = build(tmp_path, index=directive(name) + "\n[](other.md)\n", other=OTHER)
    assert warnings == ""
    page = soup(out / "index.html")
    place = page.select_one("div.dae-live")
    demo = live_demos.DEMOS[name]
    file = live_demos.file_of(name)
    assert (place["data-live"], place["data-file"], place["data-demo"]) == (name, file, demo.script)
    assert place["aria-label"] == demo.name
    assert place["id"] == f"live-{name.replace('_', '-')}"
    picture = place.select_one("figure img")
    assert picture["alt"] == demo.alt
    assert place.select_one("figcaption .caption-text").decode_contents() == "A caption with <em>words</em>."
    with Image.open(out / picture["src"]) as image:
        assert image.width > 700
        assert len(set(image.convert("L").resize((60, 60)).get_flattened_data())) > 5

    scripts = [tag.get("src", "").split("?")[0] for tag in page.find_all("script")]
    assert scripts.count("_static/live/engine.js") == 1
    assert (out / "_static" / "live" / f"{demo.script}.js").is_file()
    copied = out / "_static" / "live" / "data" / f"{file}.js"
    assert copied.read_bytes() == (tmp_path / "notebooks" / "live" / f"{file}.js").read_bytes()
    assert "_static/live" not in (out / "other.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("builder", ["epub", "latex", "singlehtml"])
def test_other_formats_have_the_picture_and_the_caption(tmp_path, builder):
    export(tmp_path, "01_scores")
    out, warnings = build(tmp_path, builder, index=directive("01_scores"))
    assert "live" not in warnings
    file = next(
        out.glob("index.xhtml" if builder == "epub" else "*.tex" if builder == "latex" else "index.html")
    )
    text = file.read_text(encoding="utf-8")
    assert "A caption with" in text
    assert "dae-live" not in text
    assert "engine.js" not in text
    assert "01_scores" in text  # the picture
    assert any(path.name == "01_scores.png" for path in out.rglob("*.png"))
    assert not (out / "_static" / "live" / "data").exists()


def test_a_demo_twice_on_a_page_has_two_names_and_its_own_words(tmp_path):
    export(tmp_path, "01_scores")
    twice = directive("01_scores") + directive("01_scores", options=":alt: Two hills.\n\n").replace(
        "# A page", ""
    )
    out, warnings = build(tmp_path, index=twice)
    assert warnings == ""
    places = soup(out / "index.html").select("div.dae-live")
    assert [place["id"] for place in places] == ["live-01-scores", "live-01-scores-2"]
    assert [place.img["alt"] for place in places] == [live_demos.DEMOS["01_scores"].alt, "Two hills."]


def test_a_missing_file_is_a_warning_that_says_what_to_do(tmp_path):
    out, warnings = build(tmp_path, index=directive("01_digit"))
    assert "notebooks/live/01_digit.js is not there. The chapter writes it: run `make execute`." in warnings
    assert "index.md:3" in warnings
    page = soup(out / "index.html")
    assert "A caption with words." in page.get_text()
    assert not page.select(".dae-live")
    # As soon as it is there, the page is made anew, and data of a demo that is gone goes with it.
    export(tmp_path, "01_digit")
    export(tmp_path, "01_scores")
    out, warnings = build(tmp_path)
    assert warnings == ""
    (place,) = soup(out / "index.html").select(".dae-live")
    assert len(place["data-version"]) == len(place["data-scripts"]) == 8
    # A newer file has another address, so that no browser takes the old one.
    path = tmp_path / "notebooks" / "live" / "01_digit.js"
    newer_text = path.read_text(encoding="utf-8").replace('"threshold":0.1', '"threshold":0.2')
    path.write_text(newer_text, encoding="utf-8")
    later = time.time() + 5
    os.utime(path, (later, later))
    build(tmp_path)
    (newer,) = soup(out / "index.html").select(".dae-live")
    assert newer["data-version"] != place["data-version"]
    assert newer["data-scripts"] == place["data-scripts"]
    (tmp_path / "notebooks" / "live" / "01_scores.js").unlink()
    build(tmp_path, index=directive("01_digit") + "\nMore.\n")
    assert [path.name for path in (out / "_static" / "live" / "data").iterdir()] == ["01_digit.js"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (directive("09_nothing"), "there is no demo '09_nothing'; there are 00_plane"),
        (directive("01_scores", caption=""), "01_scores needs a caption"),
    ],
)
def test_a_wrong_directive_is_said(tmp_path, text, says):
    export(tmp_path, "01_scores")
    _, warnings = build(tmp_path, index=text)
    assert says in warnings


def test_a_file_that_is_cut_short_is_said(tmp_path):
    path = export(tmp_path, "01_scores")
    path.write_text(path.read_text(encoding="utf-8")[:300], encoding="utf-8")
    with pytest.raises(ValueError, match="is not a live model"):
        live_demos.picture("01_scores", path, tmp_path / "picture.png")


def test_a_picture_is_drawn_again_only_for_a_newer_file(tmp_path):
    source, target = export(tmp_path, "01_scores"), tmp_path / "picture.png"
    live_demos.picture("01_scores", source, target)
    first = target.stat().st_mtime_ns
    live_demos.picture("01_scores", source, target)
    assert target.stat().st_mtime_ns == first
    later = time.time() + 5
    os.utime(source, (later, later))
    live_demos.picture("01_scores", source, target)
    assert target.stat().st_mtime_ns > first
