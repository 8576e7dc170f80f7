"""The live demos in a browser: what they compute against Keras, and each of them used as a person would.

The pages are a small book, built here, with one page for each demo and the demo far below its top.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import browsing
import keras
import matplotlib
import numpy as np
import page_checks as checks
import pandas as pd
import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from browsing import DESKTOP, PHONE, Visit, served
from chapter_book import build_book
from page_checks import PROJECT
from PIL import Image
from playwright.sync_api import Browser, Locator, Page
from scipy.spatial import cKDTree

from dae_utils import evaluation
from dae_utils.data import mitdb, read_record
from dae_utils.data.images import load_cifar10, load_fashion_mnist, load_mnist
from dae_utils.data.storage import SourceError
from dae_utils.profiles import Profile
from dae_utils.show import live

sys.path.insert(0, str(PROJECT / "book" / "_ext"))

import live_demos

pytestmark = pytest.mark.browser

EXPORTS = PROJECT / "notebooks" / "live"
ENGINE = PROJECT / "book" / "_static" / "live"
NAMES = sorted(live_demos.DEMOS)
FILES = sorted({live_demos.file_of(name) for name in NAMES})
ARRAYS_ALONE = (
    "00_train",
    "01_scores",
    "01_width",
    "06_alarm",
    "07_neighbours_fashion",
    "07_neighbours_mnist",
)
NETWORKS = tuple(name for name in FILES if name not in ARRAYS_ALONE)
# The bar for the in-page result against Keras in single precision, and the goal in double, which is met.
BAR, GOAL = 1e-4, 1e-12
MOST_BYTES = 400 * 1024
MOST_MILLISECONDS = 10

PAGE = """# A page

Text before.

<div style="height: 2500px"></div>

```{{live}} {name}
A caption with *words*.
```

<div style="height: 1500px"></div>
"""


# --- a book with every demo -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def book(tmp_path_factory) -> Path:
    """The folder of a built book with a page for each demo; `start` has none."""
    missing = [name for name in FILES if not (EXPORTS / f"{name}.js").is_file()]
    if missing:
        pytest.fail(f"notebooks/live lacks {', '.join(missing)}: run `make execute`.", pytrace=False)
    folder = tmp_path_factory.mktemp("live")
    (folder / "book").mkdir()
    # Other extensions expect the pages of the whole book; these here change how any page looks or loads.
    settings = yaml.safe_load((PROJECT / "_config.yml").read_text(encoding="utf-8"))
    ours = settings["sphinx"]["local_extensions"]
    wanted = ("finished_pages", "live_demos", "offline_pages")
    settings["sphinx"]["local_extensions"] = {name: ours[name] for name in wanted}
    (folder / "_config.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    for name in ("_ext", "_static"):
        shutil.copytree(PROJECT / "book" / name, folder / "book" / name)
    shutil.copy(PROJECT / "book" / "references.bib", folder / "book")
    shutil.copytree(EXPORTS, folder / "notebooks" / "live")
    (folder / "book" / "start.md").write_text("# Start\n\nNo demo here.\n", encoding="utf-8")
    for name in NAMES[1:]:
        (folder / "book" / f"{name}.md").write_text(PAGE.format(name=name), encoding="utf-8")
    # The first stands in a notebook, as in a chapter.
    cell = {"cell_type": "markdown", "id": "a", "metadata": {}, "source": PAGE.format(name=NAMES[0])}
    notebook = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (folder / "book" / f"{NAMES[0]}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    toc = "format: jb-book\nroot: book/start\nchapters:\n"
    toc += "".join(f"- file: book/{name}\n" for name in NAMES)
    (folder / "_toc.yml").write_text(toc, encoding="utf-8")
    return build_book(folder)


@pytest.fixture(scope="module", params=["http", "file"])
def base(request, book) -> Iterator[str]:
    """The address of the book: on a server, and as a folder that somebody copied."""
    if request.param == "file":
        yield book.as_uri() + "/"
    else:
        with served(book) as address:
            yield address


@pytest.fixture(scope="module")
def http(book) -> Iterator[str]:
    """The address of the book on a server."""
    with served(book) as address:
        yield address


@contextmanager
def opened(
    browser: Browser, base: str, page_name: str, size: dict = DESKTOP, asked: list | None = None, **settings
) -> Iterator[Page]:
    """Open a page of the book; at the end nothing may have failed or left the book.

    Every address that the page asks for is added to `asked`.
    """
    phone = size is PHONE
    settings = {"viewport": size, "has_touch": phone, "is_mobile": phone} | settings
    context = browser.new_context(**settings)
    visit = Visit(f"{base}book/{page_name}.html", size["width"])
    try:
        browsing.watch(context, base, visit)
        page = context.new_page()
        if asked is not None:
            page.on("request", lambda request: asked.append(request.url))
        page.goto(visit.address, wait_until="load")
        yield page
        for key, value in page.evaluate(browsing.MEASURE).items():
            setattr(visit, key, value)
    finally:
        context.close()
    assert not visit.complaints(), "\n".join(visit.complaints())


@dataclass
class Demo:
    """A demo that is in view and live, and ways to use it."""

    page: Page
    phone: bool

    @property
    def stage(self) -> Locator:
        """What the script put on the page."""
        return self.page.locator(".live-stage")

    def data(self, key: str) -> str:
        """Return what the demo notes about itself, once it has been drawn."""
        self.page.evaluate(browsing.NEXT_FRAME)
        return self.stage.get_attribute(f"data-{key}")

    def press(self, place: Locator) -> None:
        """Click, or tap with a finger."""
        if not self.phone:
            place.click()
            return
        # The browser makes a click of a tap in its own time, and on a busy machine takes it for a long press;
        # a person taps again then.
        for _ in range(3):
            self.page.evaluate(
                """() => {
                  window.clicked = new Promise((done) => {
                    document.addEventListener("click", () => done(true), { once: true, capture: true });
                    setTimeout(() => done(false), 1500);
                  });
                }"""
            )
            place.tap()
            if self.page.evaluate("window.clicked"):
                return
        raise AssertionError("three taps were not taken for a click")

    def drag(self, place: Locator, points: list[tuple[float, float]]) -> None:
        """Draw a line over an element with the mouse or a finger, through points between 0 and 1."""
        place.scroll_into_view_if_needed()
        # On a phone the bar at the top may lie over an element that was only just scrolled into view.
        place.evaluate("(node) => node.scrollIntoView({ block: 'center' })")
        box = place.bounding_box()
        path = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
        if not self.phone:
            self.page.mouse.move(*path[0])
            self.page.mouse.down()
            for point in path[1:]:
                self.page.mouse.move(*point, steps=6)
            self.page.mouse.up()
            return
        fingers = self.page.context.new_cdp_session(self.page)

        def touch(kind: str, *at: tuple[float, float]) -> None:
            points = [{"x": x, "y": y} for x, y in at]
            fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        touch("touchStart", path[0])
        for (x0, y0), (x1, y1) in pairwise(path):
            for part in np.linspace(0, 1, 7)[1:]:
                touch("touchMove", (x0 + part * (x1 - x0), y0 + part * (y1 - y0)))
        touch("touchEnd")
        # A tap at once and close by would be taken for the second half of a double tap.
        self.page.wait_for_timeout(350)

    def pixels(self, label: str) -> np.ndarray:
        """Return the pixels of a canvas by its name, shape (height, width, 3), between 0 and 1."""
        canvas = self.page.locator(f"canvas[aria-label^='{label}']")
        self.page.evaluate(browsing.NEXT_FRAME)
        address = canvas.evaluate("(node) => node.toDataURL('image/png')")
        with Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))) as image:
            return np.asarray(image.convert("RGB")) / 255

    def status(self) -> str:
        """Return the line with the result."""
        return self.stage.locator(".live-status").inner_text()


@contextmanager
def demo(browser: Browser, base: str, name: str, size: dict = DESKTOP, **settings) -> Iterator[Demo]:
    """Open a demo's page and bring the demo into view."""
    with opened(browser, base, name, size, **settings) as page:
        page.locator(".dae-live").scroll_into_view_if_needed()
        page.locator(".dae-live[data-state=live]").wait_for()
        yield Demo(page, size is PHONE)


def exported(name: str) -> live.LiveFile:
    """Return what the chapter wrote."""
    return live.load(EXPORTS / f"{live_demos.file_of(name)}.js")


@pytest.fixture(params=["desktop", "phone"])
def size(request) -> dict:
    """A desk with a mouse, and a phone with fingers."""
    return DESKTOP if request.param == "desktop" else PHONE


# --- the same result as Keras -----------------------------------------------------------------------------


def real_samples(name: str, count: int = 100) -> np.ndarray:
    """Return `count` real inputs of a network, as its page would hand them over."""
    generator = np.random.default_rng(0)
    if name == "00_plane":
        return generator.uniform(-2, 2, (count, 2))
    if name == "01_digit":
        return load_mnist().x_test[:count].reshape(count, -1)
    if name == "02_denoise":
        images = load_cifar10().x_test[:count]
        return np.clip(images + generator.normal(0, 0.1, images.shape), 0, 1).reshape(count, -1)
    if name == "03_denoise":
        images = load_fashion_mnist().x_test[:count].reshape(count, -1)
        return np.where(generator.random(images.shape) < 0.3, 0, images)
    if name == "07_walk":
        return exported(name).arrays["codes"][:count].astype("float32")
    content = exported(name)
    try:
        mitdb.check_mitdb()
    except SourceError:
        # Without the records, the simulated recording that scrolls, at its beats and between them.
        places = np.unique(content.arrays["beats"].astype(int)[:, None] + [0, 150])
        return strip_inputs(content, content.arrays["signal"] / 1000, places)[:count]
    record = read_record(119)  # normal beats, and ventricular ones
    return strip_inputs(content, record.signals, record.r_peaks[1:])[:count]


def strip_inputs(content: live.LiveFile, signal: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the network's inputs for beats at some samples of two leads in mV, as chapter 6 makes them."""
    inside = [place for place in places if place >= 140 and place + 180 <= len(signal)]
    windows = np.stack([signal[place - 140 : place + 180 : 2] for place in inside])
    heights = pd.DataFrame(np.ptp(windows, axis=1)).rolling(11, min_periods=1).median().to_numpy()
    rows = np.clip(windows / (heights[:, None] + 0.05), -5, 5).reshape(len(windows), -1)
    return rows / content.arrays["unit"]


def in_page(page: Page, name: str, samples: np.ndarray) -> np.ndarray:
    """Return what the page's engine computes."""
    rows = np.asarray(samples, "<f8")
    # Numbers travel as bytes: as text, a hundred photographs take seconds.
    text = page.evaluate(
        """([name, text, count]) => {
          const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
          const all = new Float64Array(bytes.buffer);
          const size = all.length / count;
          let letters = "";
          for (let i = 0; i < count; i++) {
            const result = daeLive.run(name, all.subarray(i * size, (i + 1) * size));
            for (const byte of new Uint8Array(result.buffer)) letters += String.fromCharCode(byte);
          }
          return btoa(letters);
        }""",
        [name, base64.b64encode(rows.tobytes()).decode(), len(rows)],
    )
    return np.frombuffer(base64.b64decode(text), "<f8").reshape(len(rows), -1)


def in_keras(content: live.LiveFile, samples: np.ndarray, precision: str) -> np.ndarray:
    """Return what Keras computes in one precision."""
    usual = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        model = live.keras_model(content)
        rows = samples.reshape(-1, *model.input_shape[1:]).astype(precision)
        return model.predict(rows, verbose=0).reshape(len(samples), -1)
    finally:
        keras.config.set_dtype_policy(usual)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_page_computes_what_keras_computes(browser, http, name):
    content = exported(name)
    samples = real_samples(name).astype("float32")
    assert len(samples) == 100
    with demo(browser, http, name) as place:
        ours = in_page(place.page, name, samples)
        times = place.page.evaluate(
            """([name, x]) => Array.from({ length: 40 }, () => {
              const before = performance.now();
              daeLive.run(name, x);
              return performance.now() - before;
            })""",
            [name, samples[0].tolist()],
        )
    # In single precision Keras differs from the page by its own rounding, which depends on the processor.
    single = in_keras(content, samples, "float32")
    double = in_keras(content, samples, "float64")
    difference = np.abs(ours - double).max()
    milliseconds = float(np.median(times))
    print(f"{name}: largest difference from Keras {difference:.1e}, {milliseconds:.2f} ms a sample")
    assert np.ptp(single) > 0.5, "the network says the same whatever it is given"
    assert np.abs(ours - single).max() <= BAR
    # The numbers of a code can be large, and are compared in units of the largest.
    assert difference <= GOAL * max(1, np.abs(double).max())
    assert milliseconds <= MOST_MILLISECONDS


def test_the_engine_computes_every_kind_of_layer(browser, http, tmp_path):
    layers = keras.layers
    same = {"padding": "same"}
    convolutions = [
        keras.Input((7, 5, 2)),
        layers.Conv2D(4, 3, strides=2, activation="relu", **same),
        layers.Conv2D(3, (3, 2), strides=(1, 2), activation="elu", **same),
        layers.Conv2DTranspose(2, (4, 3), strides=(2, 2), activation="tanh", **same),
        layers.Conv2DTranspose(3, 3, strides=1, **same),
        layers.Conv2DTranspose(2, 2, strides=3, activation="elu", **same),
        layers.Flatten(),
        layers.Dense(12, activation="elu"),
        layers.Reshape((2, -1)),
        layers.Flatten(),
        layers.Dense(5, activation="sigmoid"),
    ]
    keras.utils.set_random_seed(0)
    model = keras.Sequential(convolutions)
    model.set_weights(
        [np.random.default_rng(i).normal(0, 0.5, w.shape) for i, w in enumerate(model.get_weights())]
    )
    path = live.export("00_kinds", Profile("full"), model=live.round_weights(model), folder=tmp_path)
    x = np.random.default_rng(1).normal(size=(20, 7, 5, 2)).astype("float32")
    with demo(browser, http, "01_digit") as place:
        place.page.add_script_tag(content=path.read_text(encoding="utf-8"))
        ours = in_page(place.page, "00_kinds", x.reshape(20, -1))
        refused = place.page.evaluate(
            """() => [["00_kinds", [1, 2]], ["01_scores", []], ["nothing", []]].map(([name, x]) => {
              try { daeLive.run(name, x); return ""; } catch (error) { return error.message; }
            })"""
        )
    theirs = in_keras(live.load(path), x, "float64").reshape(20, -1)
    assert np.abs(ours - theirs).max() <= GOAL
    assert refused == [
        "00_kinds takes 70 numbers, not 2",
        "no live data of the name 01_scores",
        "no live data of the name nothing",
    ]


def test_the_engine_reads_every_type_of_array(browser, http, tmp_path):
    halves = np.array([0, -0.0, 1, -1.5, 65504, 6e-8, 6.1e-5, 0.1, -3.14159], np.float16)
    arrays = {
        "halves": halves,
        "floats": np.array([[0.1, -1e30]], np.float32),
        "bytes": np.array([0, 255], np.uint8),
        "words": np.array([-32768, 32767], np.int16),
    }
    path = live.export("00_arrays", Profile("full"), arrays=arrays, folder=tmp_path)
    with demo(browser, http, "01_digit") as place:
        place.page.add_script_tag(content=path.read_text(encoding="utf-8"))
        read = place.page.evaluate(
            """() => Object.fromEntries(Object.entries(daeLive.get("00_arrays").arrays).map(
              ([name, { values, shape }]) => [name, [Array.from(values), shape]]))"""
        )
    for name, array in arrays.items():
        values, shape = read[name]
        assert shape == list(array.shape)
        assert values == array.ravel().astype(float).tolist()


# --- small, late, and quiet -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_demo_is_small(name):
    files = [ENGINE / f"{file}.js" for file in ("engine", "tools", live_demos.DEMOS[name].script)]
    files += [ENGINE / "live.css", EXPORTS / f"{live_demos.file_of(name)}.js"]
    size = sum(len(gzip.compress(file.read_bytes(), 6)) for file in files)
    print(f"{name}: {size / 1024:.0f} KB compressed")
    assert size <= MOST_BYTES


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_loaded_before_it_comes_into_view(browser, base, name):
    asked = []

    def loaded() -> list[str]:
        found = (re.search(r"/_static/live/([\w/]+\.js)", address) for address in asked)
        return sorted(match[1] for match in found if match)

    with opened(browser, base, name, asked=asked) as page:
        page.wait_for_timeout(300)
        assert loaded() == ["engine.js"]
        assert page.locator(".dae-live").get_attribute("data-state") == "waiting"
        assert page.locator(".dae-live figure img").is_visible()
        page.locator(".dae-live").scroll_into_view_if_needed()
        page.locator(".dae-live[data-state=live]").wait_for()
        script = live_demos.DEMOS[name].script
        assert loaded() == sorted(
            [f"data/{live_demos.file_of(name)}.js", "engine.js", f"{script}.js", "tools.js"]
        )
        assert not page.locator(".dae-live figure img").is_visible()
        assert page.locator(".dae-live figcaption").is_visible()


def test_the_keyboard_brings_a_demo_to_life_and_goes_on_into_it(browser, base):
    with opened(browser, base, "01_digit") as page:
        page.evaluate("document.querySelector('.dae-live').focus({ preventScroll: true })")
        page.locator(".dae-live[data-state=live]").wait_for()
        assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("Drawing field")


def test_a_page_without_a_demo_loads_nothing_of_it(book):
    pages = checks.all_pages(book.resolve())
    assert "_static/live" not in pages["book/start.html"].path.read_text(encoding="utf-8")
    assert "_static/live/engine.js" in pages["book/01_digit.html"].path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_without_scripts_the_picture_stands_there(browser, base, name):
    with opened_without_scripts(browser, base, name) as page:
        picture = page.locator(".dae-live figure img")
        assert picture.is_visible()
        assert len(picture.get_attribute("alt")) > 60
        box = picture.bounding_box()
        assert box["width"] > 250
        assert box["height"] > 80
        assert page.locator(".dae-live figcaption").is_visible()
        assert page.locator(".live-stage").count() == 0


@contextmanager
def opened_without_scripts(browser: Browser, base: str, name: str) -> Iterator[Page]:
    """Open a page in a browser that runs no scripts."""
    context = browser.new_context(java_script_enabled=False, viewport=DESKTOP)
    try:
        page = context.new_page()
        page.goto(f"{base}book/{name}.html", wait_until="load")
        yield page
    finally:
        context.close()


def test_when_the_data_cannot_be_loaded_the_picture_stays(browser, http):
    context = browser.new_context(viewport=DESKTOP)
    try:
        page = context.new_page()
        page.route("**/data/01_digit.js*", lambda route: route.abort())
        page.goto(f"{http}book/01_digit.html", wait_until="load")
        page.locator(".dae-live").scroll_into_view_if_needed()
        page.locator(".dae-live[data-state=failed]").wait_for()
        assert page.locator(".dae-live figure img").is_visible()
        assert page.locator(".live-stage").count() == 0
    finally:
        context.close()


@pytest.mark.parametrize("name", NAMES)
def test_a_demo_fits_a_phone_and_shuts_nobody_out(browser, http, name):
    # `opened` complains about what sticks out.
    settings = {"device_scale_factor": 2.5, "reduced_motion": "reduce", "color_scheme": "light"}
    with demo(browser, http, name, PHONE, **settings) as place:
        nameless = place.stage.evaluate(
            """(stage) => [...stage.querySelectorAll("button, input, canvas")].filter((node) => !(
              node.getAttribute("aria-label") || node.textContent.trim() || node.labels?.length
              || node.getAttribute("aria-hidden") === "true")).map((node) => node.outerHTML)"""
        )
        assert nameless == []
        assert place.stage.locator("[role=status][aria-live=polite]").count() >= 1
        # Sharp: a chart has as many dots as the screen.
        charts = place.stage.locator("canvas.live-chart").evaluate_all(
            "(all) => all.map((node) => [node.width, Math.round(node.clientWidth * devicePixelRatio)])"
        )
        assert all(abs(dots - wanted) <= 1 for dots, wanted in charts)
        for scheme in ("light", "dark"):
            place.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            # Colours change over a moment.
            place.page.wait_for_timeout(300)
            # Otherwise axe-core loads the style sheets once more, and looks for what they import elsewhere.
            found = Axe().run(place.page, ".dae-live", {"preload": False}).response["violations"]
            assert [(scheme, one["id"], one["nodes"][0]["html"]) for one in found] == []


@pytest.mark.parametrize("name", ["01_scores", "06_strip"])
def test_a_chart_follows_the_theme(browser, http, name):
    with demo(browser, http, name, reduced_motion="reduce", color_scheme="light") as place:
        label = place.stage.locator("canvas.live-chart").first.get_attribute("aria-label")
        brightness = []
        for scheme in ("light", "dark"):
            place.page.emulate_media(color_scheme=scheme)
            place.page.wait_for_timeout(100)
            # Only text and lines are of the colour of the text, and on no ground of their own.
            image = place.stage.get_by_label(label).evaluate(
                """(node) => {
                  const { data } = node.getContext("2d").getImageData(0, 0, node.width, node.height);
                  const tones = [];
                  for (let i = 0; i < data.length; i += 4) {
                    const [r, g, b, a] = data.subarray(i, i + 4);
                    const grey = Math.max(r, g, b) - Math.min(r, g, b) < 40;
                    if (a === 255 && grey) tones.push((r + g + b) / 765);
                  }
                  return tones;
                }"""
            )
            brightness.append(np.median(image))
        assert brightness[0] < 0.5 < brightness[1]


@pytest.mark.parametrize("name", NAMES)
def test_every_control_can_be_reached_with_the_tab_key(browser, http, name):
    with demo(browser, http, name, reduced_motion="reduce") as place:
        wanted = place.stage.evaluate(
            """(stage) => [...stage.querySelectorAll("button, input, [tabindex='0']")].filter((node) =>
              node.tabIndex >= 0 && node.offsetParent !== null
              && !(node.type === "radio" && !node.checked)).length"""
        )
        # Of the images to choose from, only the chosen one can be reached with the Tab key.
        first = "button:not([tabindex='-1']), input, [tabindex='0']"
        place.stage.evaluate("(stage, first) => stage.querySelector(first).focus()", first)
        reached = []
        for _ in range(wanted):
            reached.append(
                place.page.evaluate(
                    """() => {
                      const node = document.activeElement;
                      const shown = node.type === "radio" ? node.nextElementSibling : node;
                      return [node.closest(".live-stage") !== null, getComputedStyle(shown).outlineStyle];
                    }"""
                )
            )
            place.page.keyboard.press("Tab")
        assert all(inside for inside, _ in reached)
        # The first focus was set by a script; all others came from the keyboard and have to be seen.
        assert all(style == "solid" for _, style in reached[1:])
        assert not place.page.evaluate("document.activeElement.closest('.live-stage') !== null")


# --- chapter 0: a point in the plane, and a network that is trained in the page ---------------------------


def check_point(place: Demo, content: live.LiveFile) -> np.ndarray:
    """Compare all that is said about the point with Keras, and return where it is."""
    point = np.array([[float(x) for x in place.data("point").split(",")]])
    model = live.keras_model(content)
    narrowest = int(np.argmin([layer.units for layer in model.layers]))
    encoder = keras.Model(model.inputs, model.layers[narrowest].output)
    x = point.astype("float32")
    landed = model.predict(x, verbose=0)[0]
    error = np.square(landed - point).mean()
    alarm = error > content.numbers["threshold"]
    assert float(place.data("code")) == pytest.approx(encoder.predict(x, verbose=0)[0, 0], abs=1e-4)
    shown = [float(number) for number in place.data("reconstruction").split(",")]
    assert shown == pytest.approx(landed.tolist(), abs=1e-4)
    assert float(place.data("error")) == pytest.approx(error, abs=1e-4)
    nearest = np.hypot(*(content.arrays["cars"].astype(float) - point).T).min()
    assert float(place.data("nearest")) == pytest.approx(nearest)
    assert place.data("alarm") == str(alarm).lower()
    assert place.status().startswith("▲ Alarm at" if alarm else "No alarm at")
    assert ("But the nearest car" in place.status()) == (not alarm and nearest > 0.3)
    cells = place.stage.locator("td").all_inner_texts()
    numbers = [cell.replace("\N{MINUS SIGN}", "-") for cell in cells]
    assert numbers[0] == f"({point[0, 0]:.2f}, {point[0, 1]:.2f})".replace("-0.00", "0.00")
    assert numbers[6] == f"{nearest:.2f} away"
    return point[0]


def test_a_point_is_moved_over_the_plane(browser, http, size):
    content = exported("00_plane")
    with demo(browser, http, "00_plane", size) as place:
        plane = place.page.get_by_label("The plane with the point")
        place.press(place.stage.get_by_role("button", name="Go to A"))
        assert check_point(place, content).tolist() == [-0.55, 0.6]
        assert place.data("alarm") == "false"
        place.drag(plane, [(0.4, 0.4), (0.7, 0.8)])
        here = check_point(place, content)
        # The plot leaves 22 pixels for the names of its axes.
        box = plane.bounding_box()
        plot = box["width"] - 22
        across, down = (0.7 * box["width"] - 22) / plot, 0.8 * box["height"] / plot
        assert here == pytest.approx([4 * across - 2, 2 - 4 * down], abs=0.02)

        address = place.page.url
        plane.focus()
        place.page.keyboard.press("ArrowLeft")
        place.page.keyboard.press("ArrowUp")
        near = check_point(place, content)
        assert near - here == pytest.approx([-0.02, 0.02])
        place.page.keyboard.press("Shift+ArrowLeft")
        assert check_point(place, content) - near == pytest.approx([-0.2, 0])
        for _ in range(12):
            place.page.keyboard.press("Shift+ArrowDown")
        assert check_point(place, content)[1] == -2
        assert place.page.url == address
        place.press(place.stage.get_by_role("button", name="Go to B"))
        assert check_point(place, content).tolist() == [0.45, 0.5]


def test_a_place_on_the_continued_road_raises_no_alarm_and_is_far_from_the_cars(browser, http):
    content = exported("00_plane")
    places = np.stack(np.meshgrid(*2 * [np.linspace(-2, 2, 201)]), axis=-1).reshape(-1, 2)
    landed = live.keras_model(content).predict(places.astype("float32"), verbose=0)
    error = np.square(landed - places).mean(axis=1)
    far = np.flatnonzero(cKDTree(content.arrays["cars"].astype(float)).query(places)[0] > 0.35)
    east, north = places[far[error[far].argmin()]]
    with demo(browser, http, "00_plane") as place:
        plane = place.page.get_by_label("The plane with the point")
        box = plane.bounding_box()
        plot = box["width"] - 22
        end = (22 + (east + 2) / 4 * plot) / box["width"], (2 - north) / 4 * plot / box["height"]
        place.drag(plane, [(0.5, 0.5), end])
        check_point(place, content)
        assert "But the nearest car is" in place.status()


def test_the_map_shows_the_error_of_every_place(browser, http):
    content = exported("00_plane")
    with demo(browser, http, "00_plane", device_scale_factor=1) as place:
        place.page.locator(".live-stage[data-map=complete]").wait_for()
        image = place.pixels("The plane with the point")
        edge, plot = 22, image.shape[1] - 22
        # In the lower half left of the road there is neither a car nor a line.
        places = np.random.default_rng(0).uniform([-1.9, -1.9], [-0.3, -1.2], (60, 2))
        landed = live.keras_model(content).predict(places.astype("float32"), verbose=0)
        strength = 1 + np.log10(np.square(landed - places).mean(axis=1)) / 4
        expected = matplotlib.colormaps["viridis"](strength.clip(0, 1))[:, :3]
        columns = edge + ((places[:, 0] + 2) / 4 * plot).astype(int)
        rows = ((2 - places[:, 1]) / 4 * plot).astype(int)
        assert np.ptp(strength) > 0.1
        assert np.abs(image[rows, columns] - expected).max() < 0.08


def test_the_places_of_the_page_are_those_of_the_chapter():
    chapter = (PROJECT / "notebooks" / "00_what_is_an_autoencoder.ipynb").read_text(encoding="utf-8")
    script = (ENGINE / "plane.js").read_text(encoding="utf-8")
    for name, x, y in (("A", -0.55, 0.6), ("B", 0.45, 0.5)):
        assert f"{name} = np.array([[{x:.2f}, {y:.2f}]]" in chapter
        assert f'["Go to {name}", [{x}, {y}]]' in script


@pytest.mark.parametrize("sizes", [[2, 5, 4, 1, 4, 5, 2], [2, 2, 2]])
def test_the_gradient_is_that_of_small_differences(browser, http, sizes):
    bends = [i not in (len(sizes) // 2 - 1, len(sizes) - 2) for i in range(len(sizes) - 1)]
    with demo(browser, http, "00_train", reduced_motion="reduce") as place:
        gradient, differences = place.page.evaluate(
            """([sizes, bends]) => {
              const { network, lossAndGradient } = daeLive.learning;
              const random = daeLive.tools.random(7);
              const net = network(sizes, bends, random);
              // Biases too, so that no unit stands just on its bend.
              for (let i = 0; i < net.weights.length; i++) net.weights[i] += 0.3 * random.normal();
              const samples = Array.from({ length: 9 }, () => [random.normal(), random.normal()]);
              lossAndGradient(net, samples);
              const gradient = Array.from(net.gradient);
              const loss = (i, step) => {
                net.weights[i] += step;
                const result = lossAndGradient(net, samples);
                net.weights[i] -= step;
                return result;
              };
              return [gradient, gradient.map((_, i) => (loss(i, 1e-6) - loss(i, -1e-6)) / 2e-6)];
            }""",
            [sizes, bends],
        )
    assert len(gradient) == sum((i + 1) * o for i, o in pairwise(sizes))
    assert np.count_nonzero(gradient) > len(gradient) / 2
    np.testing.assert_allclose(gradient, differences, atol=1e-7)


def test_steps_of_the_page_are_those_of_keras(browser, http):
    sizes, relu = [2, 32, 32, 1, 32, 32, 2], [True, True, False, True, True, False]
    batches = exported("00_train").arrays["cars"][:192].astype("float32").reshape(3, 64, 2)
    with demo(browser, http, "00_train", reduced_motion="reduce") as place:
        before, after, losses = place.page.evaluate(
            """([sizes, bends, batches]) => {
              const { network, lossAndGradient, adam } = daeLive.learning;
              const net = network(sizes, bends, daeLive.tools.random(3));
              const before = Array.from(net.weights);
              const losses = batches.map((batch) => {
                const loss = lossAndGradient(net, batch);
                adam(net, 0.005);
                return loss;
              });
              return [before, Array.from(net.weights), losses];
            }""",
            [sizes, relu, batches.tolist()],
        )
    dense = [
        keras.layers.Dense(width, activation="relu" if bend else None)
        for width, bend in zip(sizes[1:], relu, strict=True)
    ]
    model = keras.Sequential([keras.Input((2,)), *dense])
    shapes = [weights.shape for weights in model.get_weights()]
    parts = np.split(np.array(before), np.cumsum([np.prod(shape) for shape in shapes])[:-1])
    assert all((part == 0).all() for part in parts[1::2]), "biases begin at 0"
    model.set_weights([part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)])
    model.compile(optimizer=keras.optimizers.Adam(0.005), loss="mse")
    theirs = [float(model.train_on_batch(batch, batch)) for batch in batches]
    np.testing.assert_allclose(losses, theirs, rtol=1e-4)
    flat = np.concatenate([weights.ravel() for weights in model.get_weights()])
    # The first steps of Adam are as large as the rate, whatever the gradient; rounding decides near 0.
    assert np.quantile(np.abs(flat - after), 0.99) < 1e-4
    assert np.abs(flat - np.array(before)).max() > 0.01


def trained(place: Demo) -> float:
    """Train until the page stops by itself, and return the held-out loss."""
    place.press(place.stage.get_by_role("button", name="Train", exact=True))
    place.stage.get_by_role("button", name="Train on").wait_for(timeout=20_000)
    place.page.locator(".live-stage[data-map=complete]").wait_for()
    assert place.data("playing") == "false"
    assert place.data("epoch") == "60"
    assert place.status().startswith("Done after 60 epochs")
    return float(place.data("held"))


def test_a_network_is_trained_in_the_page(browser, http):
    content = exported("00_train")
    cars, held_out = (content.arrays[name].astype(float) for name in ("cars", "held_out"))
    with demo(browser, http, "00_train", reduced_motion="reduce") as place:
        start = float(place.data("held"))
        place.page.evaluate(
            """() => {
              window.frames = 0;
              const count = () => { window.frames++; requestAnimationFrame(count); };
              count();
            }"""
        )
        # The spread of 0.05 to the side costs 0.00125, and no code of one number can avoid it.
        assert 0.001 < trained(place) < 0.003 < start
        assert place.page.evaluate("window.frames") > 20, "the page had no time for anything else"
        cells = place.stage.locator("td").all_inner_texts()
        loss = float(place.data("loss"))
        assert cells == ["60", f"{loss:.4f}", f"{float(place.data('held')):.4f}"]

        place.press(place.stage.get_by_text("2 numbers"))
        assert place.data("epoch") == "0"
        assert trained(place) < 0.0005

        # Without bends it is PCA.
        place.press(place.stage.get_by_text("straight"))
        assert trained(place) < 1e-6
        place.press(place.stage.get_by_text("1 number", exact=True))
        middle = cars.mean(axis=0)
        direction = np.linalg.svd(cars - middle, full_matrices=False)[2][0]
        rest = (held_out - middle) @ (np.eye(2) - np.outer(direction, direction))
        assert trained(place) == pytest.approx(np.square(rest).mean(), rel=0.05)


def test_training_is_paused_and_started_anew(browser, http, size):
    with demo(browser, http, "00_train", size) as place:
        untrained = place.pixels("The plane with the cars")
        start = place.data("held")
        place.press(place.stage.get_by_role("button", name="Train", exact=True))
        place.page.wait_for_function("() => document.querySelector('.live-stage').dataset.epoch > 0")
        place.press(place.stage.get_by_role("button", name="Pause"))
        place.page.locator(".live-stage[data-map=complete]").wait_for()
        assert place.status().startswith("Paused after")
        epoch = place.data("epoch")
        assert float(place.data("held")) < float(start)
        assert np.abs(place.pixels("The plane with the cars") - untrained).mean() > 0.02
        place.page.wait_for_timeout(300)
        assert place.data("epoch") == epoch
        place.page.wait_for_timeout(700)
        assert place.stage.locator("[role=status]").inner_text() == place.status()

        place.press(place.stage.get_by_role("button", name="Start anew"))
        assert place.data("epoch") == "0"
        assert place.data("held") != start
        # Something else may be learnt with another rate, from where one is.
        place.press(place.stage.get_by_text("0.05", exact=True))
        assert place.data("epoch") == "0"


def test_training_by_keyboard_and_only_in_sight(browser, http):
    with demo(browser, http, "00_train") as place:
        place.stage.get_by_role("radio", name="1 number").focus()
        place.page.keyboard.press("ArrowRight")
        assert place.stage.get_by_role("radio", name="2 numbers").is_checked()
        place.stage.get_by_role("button", name="Train", exact=True).focus()
        place.page.keyboard.press("Enter")
        place.page.wait_for_timeout(200)
        assert place.data("playing") == "true"
        place.page.evaluate("scrollTo(0, 0)")
        place.page.wait_for_timeout(300)
        assert place.data("playing") == "false"
        epoch = place.data("epoch")
        place.page.wait_for_timeout(300)
        assert place.data("epoch") == epoch
        place.stage.scroll_into_view_if_needed()
        place.page.wait_for_timeout(300)
        assert place.data("playing") == "true"


# --- chapter 1: draw a digit ------------------------------------------------------------------------------


def digit_score(content: live.LiveFile, image: np.ndarray) -> float:
    """Return the score that Keras gives an image."""
    x = image.reshape(1, 784).astype("float32")
    return float(np.square(x - live.keras_model(content).predict(x, verbose=0)).mean())


def test_a_digit_is_chosen_and_scored(browser, http, size):
    content = exported("01_digit")
    labels = content.arrays["sample_labels"]
    with demo(browser, http, "01_digit", size) as place:
        for index in (0, 7, 13):
            place.press(place.stage.get_by_label(f"Test image {index + 1}, a {labels[index]}", exact=True))
            score = digit_score(content, content.arrays["samples"][index] / 255)
            assert float(place.data("score")) == pytest.approx(score, abs=1e-6)
            alarm = score > content.numbers["threshold"]
            assert place.data("alarm") == str(alarm).lower()
            assert place.status().startswith("▲ Alarm" if alarm else "No alarm")
            # What is shown as seen is the image itself, dark on white.
            seen = 1 - place.pixels("What the network sees")[..., 0]
            assert np.abs(seen - content.arrays["samples"][index] / 255).max() < 0.003
        place.page.wait_for_timeout(900)
        assert place.stage.locator("[role=status]").inner_text() == place.status()


def test_a_digit_is_drawn_cleared_and_rubbed_out(browser, http, size):
    with demo(browser, http, "01_digit", size) as place:
        field = place.page.get_by_label("Drawing field")
        place.press(place.stage.get_by_role("button", name="Clear"))
        assert place.data("score") == ""
        assert place.pixels("Drawing field").min() == 1

        # A zigzag, small and in a corner: the network sees it in the form of MNIST.
        place.drag(field, [(0.55, 0.6), (0.9, 0.62), (0.6, 0.75), (0.9, 0.8), (0.6, 0.95), (0.92, 0.93)])
        assert float(place.data("score")) > 0
        ink = 1 - place.pixels("What the network sees")[..., 0]
        rows, columns = np.nonzero(ink > 0.02)
        assert max(np.ptp(rows), np.ptp(columns)) + 1 in (19, 20, 21)
        middle = [(ink.sum(axis=axis) * (np.arange(28) + 0.5)).sum() / ink.sum() for axis in (1, 0)]
        assert np.abs(np.subtract(middle, 14)).max() <= 0.55
        assert ink.max() > 0.9
        assert place.data("alarm") == "true"
        assert place.status().startswith("▲ Alarm")

        before = (1 - place.pixels("Drawing field")).sum()
        place.press(place.stage.get_by_text("Rub out"))
        place.drag(field, [(0.5, 0.62), (0.98, 0.62)])
        place.data("score")
        assert (1 - place.pixels("Drawing field")).sum() < 0.95 * before


def test_a_digit_is_drawn_with_the_keyboard(browser, http):
    with demo(browser, http, "01_digit") as place:
        keys = place.page.keyboard
        place.stage.get_by_role("button", name="Clear").focus()
        keys.press("Enter")
        place.page.keyboard.press("Shift+Tab")
        keys.press("Shift+Tab")
        focused = "document.activeElement.getAttribute('aria-label')"
        assert place.page.evaluate(focused).startswith("Drawing field")
        assert place.stage.locator(".live-cursor").is_visible()
        address = place.page.url

        keys.press("ArrowLeft")  # the pen is up
        assert place.data("score") == ""
        keys.press("Space")
        for _ in range(14):
            keys.press("ArrowDown")
        drawn = 1 - place.pixels("Drawing field")[..., 0]
        rows, columns = np.nonzero(drawn > 0.5)
        assert np.ptp(rows) > 50
        assert np.ptp(columns) < 15
        keys.press("Space")
        keys.press("ArrowLeft")
        keys.press("ArrowRight")
        assert float(place.data("score")) > 0
        keys.press("Delete")
        place.data("score")
        assert (1 - place.pixels("Drawing field")[..., 0]).sum() < drawn.sum()
        # Arrow keys turn no pages while something is drawn.
        assert place.page.url == address


def test_a_test_image_is_chosen_with_the_keyboard(browser, http):
    labels = exported("01_digit").arrays["sample_labels"]
    with demo(browser, http, "01_digit") as place:
        place.stage.locator(".live-gallery [tabindex='0']").focus()
        for key in ("ArrowUp", *["ArrowLeft"] * 12, "ArrowRight", "ArrowRight", "Enter"):
            place.page.keyboard.press(key)
        chosen = place.stage.locator(".live-thumb[aria-pressed=true]")
        assert chosen.get_attribute("aria-label") == f"Test image 3, a {labels[2]}"


# --- chapter 1: fool the network --------------------------------------------------------------------------


def check_fooled(place: Demo, content: live.LiveFile) -> np.ndarray:
    """Compare what is said about the image in the field with Keras, and return the image."""
    image = 1 - place.pixels("Drawing field")[..., 0]
    # The image that one sees has 256 shades, the one that the network gets has not.
    error = digit_score(content, image)
    assert float(place.data("error")) == pytest.approx(error, rel=0.02, abs=2e-5)
    alarm = float(place.data("error")) > content.numbers["threshold"]
    assert place.data("alarm") == str(alarm).lower()
    said = place.status()
    assert said.startswith("▲ Alarm: error" if alarm else "No alarm: error")
    question = f"Would you call this a {content.numbers['digit']:g}?"
    assert (question in said) == (not alarm)
    steps = int(place.data("steps"))
    assert f"Help so far: {steps} step{'' if steps == 1 else 's'}." in place.stage.inner_text()
    return image


def others(content: live.LiveFile) -> np.ndarray:
    """Return which test images are not of the digit that the network has learnt."""
    return np.flatnonzero(content.arrays["sample_labels"] != content.numbers["digit"])


def test_the_network_is_fooled_with_its_own_help(browser, http, size):
    content = exported("01_fool")
    model = live.keras_model(content)
    x = content.arrays["samples"][others(content)].reshape(-1, 784) / 255
    alarms, path = [], []
    for _ in range(20):
        copies = model.predict(x.astype("float32"), verbose=0)
        path.append(x)
        alarms.append(np.square(x - copies).mean(axis=1) > content.numbers["threshold"])
        x = x + 0.25 * (copies - x)
    alarms = np.array(alarms)
    # Of those that raise an alarm at first, one that soon raises none.
    needed = np.where(alarms[0] & ~alarms[-1], alarms.argmin(axis=0), 99)
    index = int(needed.argmin())
    assert 0 < needed[index] < 20
    with demo(browser, http, "01_fool", size) as place:
        thumbs = place.stage.locator(".live-thumb")
        assert thumbs.count() == len(others(content))
        place.press(thumbs.nth(index))
        before = check_fooled(place, content)
        sample = content.arrays["samples"][others(content)[index]]
        assert np.abs(before - sample / 255).max() < 0.003
        assert place.data("alarm") == "true"
        for step in range(1, needed[index] + 1):
            place.press(place.stage.get_by_role("button", name="Let the network help"))
            assert place.data("steps") == str(step)
        after = check_fooled(place, content)
        assert place.data("alarm") == "false"
        expected = path[needed[index]][index].reshape(28, 28)
        assert np.abs(after - expected).max() < 0.003
        assert np.abs(after - before).max() > 0.05
        place.page.wait_for_timeout(900)
        assert place.stage.locator("[role=status]").inner_text() == place.status()
        # Back to the beginning.
        place.press(thumbs.nth(index))
        assert np.array_equal(check_fooled(place, content), before)
        assert place.data("steps") == "0"


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_help_goes_on_to_an_image_that_the_network_copies(browser, http, motion):
    content = exported("01_fool")
    with demo(browser, http, "01_fool", reduced_motion=motion) as place:
        place.press(place.stage.locator(".live-thumb").nth(3))
        before = check_fooled(place, content), float(place.data("error"))
        place.press(place.stage.get_by_role("button", name="Let it take over"))
        if motion == "no-preference":
            place.page.wait_for_timeout(300)
            assert 0 < int(place.data("steps")) < 60
            assert place.data("running") == "true"
            place.press(place.stage.get_by_role("button", name="Stop"))
            steps = place.data("steps")
            place.page.wait_for_timeout(300)
            assert place.data("steps") == steps
            place.press(place.stage.get_by_role("button", name="Let it take over"))
            wanted = int(steps) + 60
            place.page.wait_for_function(
                "steps => document.querySelector('.live-stage').dataset.steps == steps", arg=wanted
            )
        else:
            assert place.data("steps") == "60"
        assert place.data("running") == "false"
        after = check_fooled(place, content), float(place.data("error"))
        assert after[1] < 0.1 * before[1]
        assert np.abs(after[0] - before[0]).mean() > 0.03


def test_an_image_to_fool_with_is_drawn_and_rubbed_out(browser, http, size):
    content = exported("01_fool")
    with demo(browser, http, "01_fool", size) as place:
        field = place.page.get_by_label("Drawing field")
        place.press(place.stage.get_by_role("button", name="Clear"))
        assert check_fooled(place, content).max() == 0
        empty = digit_score(content, np.zeros(784))
        assert float(place.data("error")) == pytest.approx(empty, abs=1e-6)
        place.drag(field, [(0.2, 0.3), (0.8, 0.3)])
        drawn = check_fooled(place, content)
        rows, columns = np.nonzero(drawn > 0.5)
        assert 14 <= np.ptp(columns) <= 21
        assert 6 <= rows.min() <= rows.max() <= 11
        place.press(place.stage.get_by_text("Rub out"))
        place.drag(field, [(0.15, 0.3), (0.5, 0.3)])
        assert check_fooled(place, content).sum() < 0.7 * drawn.sum()
        # Drawing stops the help.
        place.press(place.stage.get_by_role("button", name="Let it take over"))
        place.drag(field, [(0.3, 0.7), (0.6, 0.7)])
        assert place.data("running") == "false"
        assert int(place.data("steps")) < 60
        check_fooled(place, content)


def test_an_image_to_fool_with_is_drawn_with_the_keyboard(browser, http):
    content = exported("01_fool")
    with demo(browser, http, "01_fool") as place:
        place.page.get_by_label("Drawing field").focus()
        before = check_fooled(place, content)
        keys = place.page.keyboard
        address = place.page.url
        keys.press("Space")
        for _ in range(12):
            keys.press("ArrowRight")
        keys.press("Space")
        after = check_fooled(place, content)
        assert (after >= before - 0.003).all()
        assert after.sum() > before.sum() + 10
        keys.press("Delete")
        assert check_fooled(place, content).sum() < after.sum()
        place.stage.get_by_role("button", name="Let the network help").focus()
        keys.press("Enter")
        check_fooled(place, content)
        assert place.data("steps") == "1"
        place.stage.locator(".live-gallery [tabindex='0']").focus()
        for key in (*["ArrowLeft"] * 20, "ArrowRight", "Enter"):
            keys.press(key)
        assert place.data("steps") == "0"
        sample = content.arrays["samples"][others(content)[1]] / 255
        assert np.abs(check_fooled(place, content) - sample).max() < 0.003
        assert place.page.url == address


# --- chapter 1: the width of the code ---------------------------------------------------------------------


def check_width(place: Demo, content: live.LiveFile) -> tuple[int, int]:
    """Compare what is said about an image at a width with the arrays; return both by their numbers."""
    arrays = content.arrays
    width, index = int(place.data("width")), int(place.data("image"))
    row = arrays["widths"].tolist().index(width)
    image, copy = arrays["images"][index] / 255, arrays["copies"][row, index] / 255
    error, threshold = np.square(image - copy).mean(), float(arrays["thresholds"][row])
    assert float(place.data("error")) == pytest.approx(error)
    alarm = error > threshold
    assert place.data("alarm") == str(alarm).lower()
    said = "▲ Alarm" if alarm else "No alarm"
    assert place.status() == f"{said} at width {width}: error {error:.4f}, threshold {threshold:.4f}."
    cells = place.stage.locator("td").all_inner_texts()
    assert cells == [f"{error:.4f}", f"{threshold:.4f}", f"{arrays['aurocs'].mean(axis=0)[row]:.3f}"]
    assert np.abs(1 - place.pixels("The image")[..., 0] - image).max() < 0.003
    assert np.abs(1 - place.pixels("Its reconstruction")[..., 0] - copy).max() < 0.003
    # The error map is white where nothing differs, and the redder, the more.
    green = 1 - place.pixels("Where the two differ")[..., 1]
    assert np.abs(green - 213 / 255 * np.abs(image - copy)).max() < 0.004
    return row, index


def test_the_width_of_the_code_is_changed(browser, http, size):
    content = exported("01_width")
    labels, widths = content.arrays["labels"], content.arrays["widths"]
    with demo(browser, http, "01_width", size) as place:
        row, index = check_width(place, content)
        assert widths[row] == 64
        assert labels[index] != content.numbers["digit"]
        place.press(place.stage.get_by_label(f"Image 1, a {labels[0]}", exact=True))
        assert check_width(place, content) == (row, 0)
        slider = place.stage.get_by_label("Width of the code")
        slider.focus()
        keys = place.page.keyboard
        keys.press("Home")
        assert check_width(place, content) == (0, 0)
        assert slider.get_attribute("aria-valuetext") == str(widths[0])
        keys.press("ArrowRight")
        assert check_width(place, content) == (1, 0)
        keys.press("End")
        assert check_width(place, content) == (len(widths) - 1, 0)
        place.stage.locator(".live-gallery [tabindex='0']").focus()
        for key in ("ArrowRight", "ArrowRight", "Enter"):
            keys.press(key)
        assert check_width(place, content) == (len(widths) - 1, 2)
        for name in ("Error of the image and threshold", "AUROC by width"):
            chart = place.page.get_by_label(name)
            place.drag(chart, [(0.9, 0.5), (0.1, 0.5)])
            assert check_width(place, content) == (0, 2)
            assert slider.input_value() == "0"
            place.drag(chart, [(0.5, 0.5), (0.98, 0.5)])
            assert check_width(place, content) == (len(widths) - 1, 2)


def test_the_curve_of_the_width_shows_the_areas(browser, http):
    content = exported("01_width")
    areas = content.arrays["aurocs"].mean(axis=0)
    with demo(browser, http, "01_width", device_scale_factor=1, color_scheme="light") as place:
        slider = place.stage.get_by_label("Width of the code")
        slider.focus()
        place.page.keyboard.press("Home")
        tops = []
        for _ in areas:
            image = place.pixels("AUROC by width")
            # The large dot of this width is the only thing so high in this colour.
            blue = np.abs(image - np.array([0, 0x72, 0xB2]) / 255).max(axis=2) < 0.05
            run = np.lib.stride_tricks.sliding_window_view(blue, 11, axis=0).all(axis=2)
            rows, _ = np.nonzero(run)
            tops.append(rows.mean())
            place.page.keyboard.press("ArrowRight")
    # Higher areas stand higher up.
    assert np.corrcoef(tops, areas)[0, 1] < -0.99


def test_a_wider_code_copies_better_what_it_should_and_what_it_should_not():
    content = exported("01_width")
    images, copies = content.arrays["images"] / 255, content.arrays["copies"] / 255
    normal = content.arrays["labels"] == content.numbers["digit"]
    errors = np.square(images - copies).mean(axis=(2, 3))
    for kind in (normal, ~normal):
        assert (errors[-1, kind].mean() < errors[:-1, kind].mean(axis=1)).all()
    assert (np.diff(content.arrays["thresholds"]) < 0).all()
    assert (EXPORTS / "01_width.js").stat().st_size < 120_000


# --- chapter 1: the threshold -----------------------------------------------------------------------------


def check_threshold(place: Demo, content: live.LiveFile) -> float:
    threshold = float(place.data("threshold"))
    normal, others = (content.arrays[name].astype(float) for name in ("normal", "anomalous"))
    cells = place.stage.locator("td").all_inner_texts()
    counts = [int(cell.split(" of ")[0]) for cell in cells]
    found = (others > threshold).sum()
    assert counts == [(normal > threshold).sum(), found, len(others) - found]
    assert f"{100 * (normal > threshold).mean():.1f} % false alarms" in place.status()
    return threshold


def test_the_threshold_is_dragged(browser, http, size):
    content = exported("01_scores")
    with demo(browser, http, "01_scores", size) as place:
        assert check_threshold(place, content) == pytest.approx(content.numbers["threshold"])
        chart = place.page.get_by_label("Histograms of the scores")
        place.drag(chart, [(0.5, 0.5), (0.3, 0.5)])
        low = check_threshold(place, content)
        point = roc_point(place)
        place.drag(chart, [(0.3, 0.5), (0.8, 0.5)])
        assert check_threshold(place, content) > low
        # The point on the curve moved down and to the left.
        assert roc_point(place)[0] < point[0]
        assert roc_point(place)[1] > point[1]
        place.press(place.stage.get_by_role("button", name="Back to the calibrated one"))
        assert check_threshold(place, content) == pytest.approx(content.numbers["threshold"])


def roc_point(place: Demo) -> tuple[float, float]:
    """Return where on the picture of the curve the point is, from the left and from the top."""
    image = place.pixels("ROC curve with the point")
    colour = place.page.evaluate(
        "getComputedStyle(document.querySelector('.dae-live')).getPropertyValue('--live-b').trim()"
    )
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    rows, columns = np.nonzero(np.abs(image - wanted).max(axis=2) < 0.02)
    assert len(rows) > 20
    return float(columns.mean()), float(rows.mean())


def test_the_threshold_is_moved_with_the_keyboard(browser, http):
    content = exported("01_scores")
    with demo(browser, http, "01_scores") as place:
        slider = place.page.get_by_role("slider", name="Threshold")
        slider.focus()
        for _ in range(5):
            place.page.keyboard.press("ArrowRight")
        threshold = check_threshold(place, content)
        assert threshold > content.numbers["threshold"]
        digits = float(slider.get_attribute("aria-valuetext"))
        assert digits == pytest.approx(threshold, rel=0.01)
        normal, others = content.arrays["normal"], content.arrays["anomalous"]
        labels = np.repeat([0, 1], [len(normal), len(others)])
        area = evaluation.auroc(labels, np.concatenate([normal, others]).astype(float))
        assert f"area {area:.3f}" in place.stage.inner_text()


# --- chapters 2 and 3: damage and repair ------------------------------------------------------------------


def errors(place: Demo) -> tuple[float, float]:
    before, after = float(place.data("before")), float(place.data("after"))
    assert f"damaged {before:.4f}, repaired {after:.4f}" in place.status()
    return before, after


def test_a_photograph_is_repaired(browser, http, size):
    with demo(browser, http, "02_denoise", size) as place:
        before, after = errors(place)
        assert 0 < after < before
        slider = place.page.get_by_label("Noise", exact=True)
        slider.focus()
        place.page.keyboard.press("Home")
        assert errors(place)[0] == 0
        place.page.keyboard.press("End")
        assert errors(place)[0] > before
        noisy = place.pixels("The image with noise")
        place.press(place.stage.get_by_role("button", name="New noise"))
        errors(place)
        assert np.abs(place.pixels("The image with noise") - noisy).mean() > 0.05
        intact = place.pixels("The intact image")
        place.press(place.stage.get_by_text("House"))
        errors(place)
        assert np.abs(place.pixels("The intact image") - intact).mean() > 0.05
        # What is shown as repaired is the network's output for what is shown as noisy.
        x = place.pixels("The image with noise").reshape(1, -1)
        y = in_page(place.page, "02_denoise", x).reshape(32, 32, 3)
        assert np.abs(place.pixels("What the network makes of it") - y).max() < 0.02


def test_a_reader_s_own_picture_stays_in_the_page(browser, http, size, tmp_path):
    # Left and right of the middle square, which is what counts, everything is green.
    picture = np.zeros((60, 200, 3), np.uint8)
    picture[..., 1] = 255
    picture[:, 70:130] = (200, 40, 90)
    Image.fromarray(picture).save(tmp_path / "mine.png")
    (tmp_path / "text.png").write_text("not a picture", encoding="utf-8")
    with demo(browser, http, "02_denoise", size) as place:
        requests = []
        place.page.on("request", lambda request: requests.append(request.url))
        chooser = place.page.locator("input[type=file]")
        chooser.set_input_files(tmp_path / "mine.png")
        place.page.get_by_text("Yours: the middle of mine.png").wait_for()
        errors(place)
        expected = np.array([200, 40, 90]) / 255
        assert np.abs(place.pixels("The intact image")[:, 1:-1] - expected).max() < 0.02
        chooser.set_input_files(tmp_path / "text.png")
        place.page.get_by_text("text.png is not a picture").wait_for()
        assert [url for url in requests if not url.startswith("blob:")] == []
        place.press(place.stage.get_by_text("Ball"))
        assert place.page.get_by_text("is not a picture").count() == 0


def test_a_garment_is_damaged_and_repaired(browser, http, size):
    with demo(browser, http, "03_denoise", size) as place:
        canvas = place.page.get_by_label("The damaged image")
        place.drag(canvas, [(0.5, 0.5), (0.7, 0.3)])
        left, top = map(int, place.data("corner").split(","))
        assert abs(left + 5 - 0.7 * 28) <= 1
        assert abs(top + 5 - 0.3 * 28) <= 1
        assert (place.pixels("The damaged image")[top : top + 10, left : left + 10] == 1).all()
        intact = place.pixels("The intact image")
        damaged = place.pixels("The damaged image")
        assert errors(place)[0] == pytest.approx(np.square(intact - damaged)[..., 0].mean(), abs=1e-3)

        canvas.focus()
        place.page.keyboard.press("ArrowDown")
        place.page.keyboard.press("ArrowLeft")
        assert place.data("corner") == f"{left - 1},{top + 1}"

        place.press(place.stage.get_by_text("Erased pixels"))
        before, after = errors(place)
        assert after < before
        slider = place.page.get_by_label("Share erased")
        assert place.page.get_by_label("Side of the square").count() == 1
        assert not place.page.get_by_label("Side of the square").is_visible()
        slider.focus()
        place.page.keyboard.press("End")
        assert errors(place)[0] > before
        place.press(place.stage.get_by_text("Noise", exact=True))
        noisy = place.pixels("The damaged image")
        place.press(place.stage.get_by_role("button", name="Draw again by chance"))
        errors(place)
        assert np.abs(place.pixels("The damaged image") - noisy).mean() > 0.02

        garment = place.stage.locator(".live-thumb").nth(4)
        place.press(garment)
        content = exported("03_denoise")
        name = content.texts["class_names"].split("|")[content.arrays["sample_labels"][4]]
        assert garment.get_attribute("aria-label") == f"Image 5: {name}"
        errors(place)
        shown = 1 - place.pixels("The intact image")[..., 0]
        assert np.abs(shown - content.arrays["samples"][4] / 255).max() < 0.003


# --- chapter 6: heartbeats --------------------------------------------------------------------------------


def check_alarm(place: Demo, content: live.LiveFile, is_new: bool) -> float:
    """Compare status and table with the counts, and return the threshold."""
    threshold = float(place.data("threshold"))
    step = int(np.abs(content.arrays["thresholds"] - threshold).argmin())
    rows = np.flatnonzero(content.arrays["is_new"] == is_new)
    hours, episodes = (content.arrays[name][rows] for name in ("hours", "episodes"))
    false, found = (content.arrays[name][step, rows] for name in ("false_alarms", "found"))
    rate = false.sum() / hours.sum()
    missed = episodes.sum() - found.sum()
    n_above = (false / hours > content.numbers["promise"]).sum()
    assert float(place.data("rate")) == pytest.approx(rate, rel=1e-5)
    assert f"{missed} of {episodes.sum()} V episodes missed" in place.status()
    assert f"{n_above} of {len(rows)} patients" in place.status()
    cells = place.stage.locator("tbody tr").evaluate_all(
        "(all) => all.map((row) => [...row.children].map((cell) => cell.textContent))"
    )
    shown = {name: (float(hourly), words) for name, hourly, words in cells}
    assert len(shown) == len(rows) + 1
    assert shown["all"] == (pytest.approx(rate, abs=0.51), f"{100 * missed / episodes.sum():.0f} %")
    for k, number in enumerate(content.arrays["records"][rows]):
        words = f"{episodes[k] - found[k]} of {episodes[k]}" if episodes[k] else "none"
        assert shown[str(number)] == (pytest.approx(false[k] / hours[k], abs=0.51), words)
    return threshold


def test_the_threshold_of_an_alarm_is_moved(browser, base, size):
    content = exported("06_alarm")
    chosen = content.numbers["threshold"]
    with demo(browser, base, "06_alarm", size) as place:
        assert check_alarm(place, content, is_new=False) == pytest.approx(chosen)
        slider = place.page.get_by_role("slider", name="Threshold")
        slider.focus()
        place.page.keyboard.press("ArrowRight")
        assert check_alarm(place, content, is_new=False) > chosen
        box = slider.bounding_box()
        spot = {"x": 0.05 * box["width"], "y": 0.5 * box["height"]}
        slider.tap(position=spot) if place.phone else slider.click(position=spot)
        low = check_alarm(place, content, is_new=False)
        assert low < chosen
        place.press(place.stage.locator(".live-choice label").nth(1))
        assert check_alarm(place, content, is_new=True) == low
        place.press(place.stage.get_by_role("button", name="Back to the chosen one"))
        assert check_alarm(place, content, is_new=True) == pytest.approx(chosen)
        slider.focus()
        place.page.keyboard.press("Home")
        at_first = float(place.data("rate"))
        place.page.keyboard.press("End")
        assert float(place.data("rate")) < at_first


def test_the_strip_scores_every_beat_as_chapter_6_does(browser, http):
    content = exported("06_strip")
    inputs = strip_inputs(content, content.arrays["signal"] / 1000, content.arrays["beats"].astype(int))
    copies = live.keras_model(content).predict(inputs.astype("float32"), verbose=0)
    expected = np.square(copies - inputs).mean(axis=1)
    with demo(browser, http, "06_strip", reduced_motion="reduce") as place:
        scores = {}
        for _ in range(len(inputs)):
            number = int(place.data("beat"))
            if number in scores:
                break
            if number >= 0:
                scores[number] = float(place.data("score"))
                alarm = scores[number] > content.numbers["threshold"]
                assert place.status().startswith("▲ Alarm" if alarm else "No alarm")
            place.stage.get_by_role("button", name="Next beat").press("Enter")
    assert max(scores) == len(inputs) - 1
    # Some beats are on the strip from the start.
    assert len(scores) > len(inputs) - 10
    for number, score in scores.items():
        assert score == pytest.approx(expected[number], rel=1e-4, abs=1e-5)
    assert max(scores.values()) > content.numbers["threshold"], "no alarm in the whole recording"


def test_the_strip_plays_and_stops(browser, http, size):
    with demo(browser, http, "06_strip", size) as place:
        assert place.data("playing") == "true"
        start = float(place.data("time"))
        place.page.wait_for_timeout(700)
        assert float(place.data("time")) > start + 0.2
        place.press(place.stage.get_by_role("button", name="Pause"))
        stopped = float(place.data("time"))
        place.page.wait_for_timeout(300)
        assert float(place.data("time")) == stopped
        assert place.stage.get_by_role("button", name="Play").count() == 1

        place.press(place.stage.get_by_text("3\N{MULTIPLICATION SIGN}"))
        place.press(place.stage.get_by_role("button", name="Next beat"))
        beat = int(place.data("beat"))
        place.press(place.stage.get_by_role("button", name="Previous beat"))
        assert int(place.data("beat")) == beat - 1

        slider = place.page.get_by_label("Time")
        slider.focus()
        place.page.keyboard.press("End")
        last = float(place.data("time"))
        assert last == pytest.approx(len(exported("06_strip").arrays["signal"]) / 360, abs=0.1)
        # At the end it begins anew.
        place.press(place.stage.get_by_role("button", name="Play"))
        place.page.wait_for_timeout(300)
        assert float(place.data("time")) < last / 2


def test_the_strip_rests_for_those_who_want_no_motion_and_out_of_sight(browser, http):
    with demo(browser, http, "06_strip", reduced_motion="reduce") as place:
        assert place.data("playing") == "false"
        start = place.data("time")
        place.page.wait_for_timeout(300)
        assert place.data("time") == start
        place.stage.get_by_role("button", name="Play").press("Enter")
        place.page.wait_for_timeout(200)
        assert place.data("playing") == "true"
        place.page.evaluate("scrollTo(0, 0)")
        place.page.wait_for_timeout(200)
        assert place.data("playing") == "false"
        place.page.locator(".live-chart").scroll_into_view_if_needed()
        place.page.wait_for_timeout(200)
        assert place.data("playing") == "true"


# --- chapter 7: walk and neighbours -----------------------------------------------------------------------


def test_the_code_is_walked(browser, http, size):
    content = exported("07_walk")
    model = live.keras_model(content)

    def check(place: Demo) -> np.ndarray:
        point = np.array([float(x) for x in place.data("point").split(",")])
        expected = model.predict(point[None].astype("float32"), verbose=0)[0].reshape(28, 28)
        shown = 1 - place.pixels("The image decoded at the cross")[..., 0]
        assert np.abs(shown - expected).max() < 0.003
        return point

    with demo(browser, http, "07_walk", size) as place:
        start = check(place)
        chart = place.page.get_by_label("Map of the code")
        place.drag(chart, [(0.5, 0.5), (0.8, 0.2)])
        right = check(place)
        place.drag(chart, [(0.8, 0.2), (0.2, 0.7)])
        assert (check(place) < right).all()
        assert (right != start).all()
        here = check(place)
        chart.focus()
        place.page.keyboard.press("ArrowRight")
        near = check(place)
        place.page.keyboard.press("Shift+ArrowRight")
        far = check(place)
        assert 0 < near[0] - here[0] < far[0] - near[0]
        assert near[1] == pytest.approx(here[1])
        place.page.keyboard.press("ArrowUp")
        assert check(place)[1] > far[1]

        names = content.texts["class_names"].split("|")
        label = int(content.arrays["code_labels"][0])
        place.press(place.stage.get_by_role("button", name=names[label], exact=True))
        codes = content.arrays["codes"][content.arrays["code_labels"] == label].astype(float)
        assert np.abs(check(place) - np.median(codes, axis=0)).max() < 0.05 * np.ptp(codes, axis=0).max()


def nearest(values: np.ndarray, index: int) -> np.ndarray:
    """Return the distances of the others from one, sorted, and their places."""
    flat = values.reshape(len(values), -1).astype(float)
    distances = np.square(flat - flat[index]).sum(axis=1)
    distances[index] = np.inf
    return np.argsort(distances, kind="stable")[:8]


@pytest.mark.parametrize("name", ["07_neighbours_fashion", "07_neighbours_mnist"])
def test_neighbours_are_found(browser, http, size, name):
    content = exported(name)
    names = content.texts["class_names"].split("|")
    labels = content.arrays["labels"]

    def check(place: Demo) -> int:
        index = int(place.data("chosen"))
        for key, array in (("code", "codes"), ("pixels", "images")):
            found = [int(i) for i in place.data(key).split(",")]
            expected = nearest(content.arrays[array], index)
            assert found == expected.tolist()
        rows = place.stage.locator(".live-found")
        shown = [button.get_attribute("title") for button in rows.first.locator("button").all()]
        assert shown == [names[labels[i]] for i in nearest(content.arrays["codes"], index)]
        same = (labels[nearest(content.arrays["codes"], index)] == labels[index]).sum()
        assert f"{same} are of the same kind in the code" in place.status()
        return index

    with demo(browser, http, name, size) as place:
        assert check(place) == 0
        place.press(place.stage.locator(".live-shelf .live-thumb").nth(5))
        assert check(place) == 5
        # On from a neighbour, with the finger or mouse and with the keyboard.
        place.press(place.stage.locator(".live-found").nth(1).locator("button").nth(2))
        assert check(place) == nearest(content.arrays["images"], 5)[2]
        before = check(place)
        place.stage.locator(".live-found").first.locator("button").nth(1).press("Enter")
        assert check(place) == nearest(content.arrays["codes"], before)[1]
        place.page.keyboard.press("Enter")
        place.press(place.stage.get_by_role("button", name="Other images"))
        assert check(place) == 30
        place.stage.locator(".live-shelf [tabindex='0']").focus()
        place.page.keyboard.press("ArrowRight")
        place.page.keyboard.press("Enter")
        assert check(place) == 31


# --- the book itself --------------------------------------------------------------------------------------


def test_every_demo_stands_on_a_page_of_the_book(site):
    used = {
        place["data-live"]
        for page in checks.all_pages(site).values()
        for place in page.soup.select(".dae-live[data-live]")
    }
    assert sorted(used) == NAMES
    assert sorted(path.stem for path in (site / "_static" / "live" / "data").glob("*.js")) == FILES


def test_every_demo_has_an_export_and_no_export_is_without_a_demo():
    assert sorted(path.stem for path in EXPORTS.glob("*.js")) == FILES
    for name in FILES:
        content = exported(name)
        json.dumps(content.numbers)
        assert bool(content.layers) == (name in NETWORKS)
