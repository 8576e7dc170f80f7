"""Networks that compute in the page: the directive `live`.

    ```{live} 01_digit
    Draw a digit and look at what the network makes of it.
    ```

The name is that of a file in ``notebooks/live/``, which the chapter of that number wrote when it was run
(`dae_utils.live.export`), unless the demo shows the file of another one; the text is the caption. In the HTML
pages the directive leaves a picture, drawn here from that file, and `book/_static/live/engine.js` puts the
demo in its place when a reader comes to it. A reader without scripts, and every other format, has the
picture. The option `alt` replaces the words for those who do not see it.

Only pages with a demo load the engine; the data goes to ``_static/live/data`` of the built pages.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from docutils import nodes
from docutils.parsers.rst import directives
from finished_pages import SITE_BUILDERS
from numpy.typing import NDArray
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinx.writers.html5 import HTML5Translator

if TYPE_CHECKING:
    from dae_utils.show.live import LiveFile

logger = logging.getLogger(__name__)

EXPORTS = "notebooks/live"
PICTURES = "_build/live_pictures"
SCRIPTS = Path(__file__).resolve().parents[1] / "_static" / "live"


@dataclass(frozen=True)
class Demo:
    """What belongs to one file.

    Attributes:
        script: the demo's script below `book/_static/live`, without its ending.
        name: what the demo is called by a reader's screen reader.
        draw: takes the content of the file and gives the picture, a matplotlib figure.
        alt: words for the picture.
        file: the name of another demo whose file this one shows too, if it has none of its own.
    """

    script: str
    name: str
    draw: Callable[[LiveFile], Any]
    alt: str
    file: str = ""


# --- the pictures -----------------------------------------------------------------------------------------


def _forward(data: LiveFile, x: NDArray) -> NDArray:
    """Return the network's output for samples, in the shape that the network gives it."""
    from dae_utils.show.live import keras_model

    return keras_model(data)(np.asarray(x, np.float32).reshape(-1, *data.input_shape)).numpy()


def _subplots(rows: int, columns: int, size: tuple[float, float], **settings: Any) -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    return plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False, **settings)


def _show(axes: Any, image: NDArray, title: str = "", **settings: Any) -> None:
    limits = {} if image.ndim == 3 else {"cmap": "gray_r", "vmin": 0, "vmax": 1}
    axes.imshow(image, **(limits | settings))
    axes.set_title(title, fontsize=10)
    axes.set_axis_off()


def _colours() -> Mapping[str, str]:
    from dae_utils.show.figures import COLOURS

    return COLOURS


def _plane(axes: Any, cars: NDArray) -> None:
    """Draw the cars on the plane that chapter 0 uses."""
    axes.plot(*cars.astype(float).T, ".", color="white", markersize=1.5)
    axes.set(xlim=(-2, 2), ylim=(-2, 2), xlabel="east", ylabel="north")
    axes.set_aspect("equal")


def draw_plane(data: LiveFile) -> Any:
    """Draw the map of the error with the cars, the road, and a place with its reconstruction."""
    ticks = np.linspace(-2, 2, 121)
    everywhere = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    errors = np.square(everywhere - _forward(data, everywhere)).mean(axis=1)
    figure, axes = _subplots(1, 1, (5.4, 4.4))
    extent = (-2, 2, -2, 2)
    drawn = axes[0, 0].imshow(
        np.log10(errors.clip(1e-4)).reshape(121, 121), origin="lower", extent=extent, vmin=-4, vmax=0
    )
    _plane(axes[0, 0], data.arrays["cars"])
    road = _forward(data, data.arrays["cars"])
    axes[0, 0].plot(*road.T, ".", color=_colours()["orange"], markersize=2.5)
    place = np.array([0.45, 0.5])
    arrow = {"arrowstyle": "->", "color": "white", "linewidth": 1.5}
    landed = _forward(data, place)[0]
    axes[0, 0].annotate("", landed, place, arrowprops=arrow)
    for end, colour in ((place, "white"), (landed, _colours()["orange"])):
        axes[0, 0].plot(*end, "o", color=colour, markeredgecolor="black")
    bar = figure.colorbar(drawn, ax=axes[0, 0], ticks=range(-4, 1), label="reconstruction error")
    bar.set_ticklabels(["0.0001", "0.001", "0.01", "0.1", "1"])
    return figure


def draw_train(data: LiveFile) -> Any:
    """Draw the cars, and the straight line that a linear network would lay through them."""
    cars = data.arrays["cars"].astype(float)
    middle = cars.mean(axis=0)
    direction = np.linalg.svd(cars - middle, full_matrices=False)[2][0]
    line = middle + np.outer([-1.1, 1.1], direction)
    figure, axes = _subplots(1, 1, (4.4, 4.2))
    axes[0, 0].set_facecolor("#3b528b")
    _plane(axes[0, 0], cars)
    axes[0, 0].plot(*line.T, color=_colours()["orange"], linewidth=3)
    return figure


def draw_digit(data: LiveFile) -> Any:
    """Draw a normal and another digit, each with its copy and the difference, under their scores."""
    labels, digit = data.arrays["sample_labels"], int(data.numbers["digit"])
    images = data.arrays["samples"] / 255
    copies = _forward(data, images).reshape(images.shape)
    scores = np.square(images - copies).mean(axis=(1, 2))
    threshold = data.numbers["threshold"]
    same, others = np.flatnonzero(labels == digit), np.flatnonzero(labels != digit)
    pair = same[scores[same].argmin()], others[scores[others].argmax()]
    figure, axes = _subplots(2, 3, (5.4, 4))
    for row, chosen in zip(axes, pair, strict=True):
        alarm = "alarm" if scores[chosen] > threshold else "no alarm"
        _show(row[0], images[chosen], f"drawn: {labels[chosen]}")
        _show(row[1], copies[chosen], "copy")
        difference = np.abs(images - copies)[chosen]
        _show(row[2], difference, f"score {scores[chosen]:.4f}: {alarm}", cmap="Reds")
    return figure


def draw_fool(data: LiveFile) -> Any:
    """Draw an image on its way to its reconstruction: at first, below the threshold, and at the end."""
    images, digit = data.arrays["samples"] / 255, data.numbers["digit"]
    x = images[data.arrays["sample_labels"] != digit].reshape(-1, 784)
    path = [x]
    for share in [0.25] * 12 + [1] * 60:
        path.append(path[-1] + share * (_forward(data, path[-1]) - path[-1]))
    errors = np.array([np.square(x - _forward(data, x)).mean(axis=1) for x in path])
    alarms = errors > data.numbers["threshold"]
    steps = np.where(alarms[0] & ~alarms.all(axis=0), alarms.argmin(axis=0), len(path))
    # The one that gets there with the smallest change.
    index = int(steps.argmin())
    stops = ("at first", 0), ("after help", min(steps[index], len(path) - 1)), ("in the end", len(path) - 1)
    figure, axes = _subplots(1, 3, (5.4, 2.3))
    for place, (title, step) in zip(axes[0], stops, strict=True):
        alarm = "alarm" if alarms[step, index] else "no alarm"
        title = f"{title}\nerror {errors[step, index]:.4f}: {alarm}"
        _show(place, path[step][index].reshape(28, 28), title)
    return figure


def draw_width(data: LiveFile) -> Any:
    """Draw a normal image and another one with their reconstructions at four widths."""
    widths, labels = data.arrays["widths"].astype(int), data.arrays["labels"]
    images, copies = data.arrays["images"] / 255, data.arrays["copies"] / 255
    errors = np.square(images - copies).mean(axis=(2, 3))
    areas = data.arrays["aurocs"].mean(axis=0)
    normal = labels == data.numbers["digit"]
    columns = np.linspace(0, len(widths) - 1, 4).round().astype(int)
    figure, axes = _subplots(2, 5, (5.4, 2.9))
    for row, index in zip(axes, (normal.argmax(), (~normal).argmax()), strict=True):
        _show(row[0], images[index], "image")
        for place, column in zip(row[1:], columns, strict=True):
            alarm = "alarm" if errors[column, index] > data.arrays["thresholds"][column] else "no alarm"
            _show(place, copies[column, index], alarm)
    for top, bottom, column in zip(*axes[:, 1:], columns, strict=True):
        top.set_title(f"width {widths[column]}\n{top.get_title()}", fontsize=10)
        settings = {"ha": "center", "va": "top", "transform": bottom.transAxes, "fontsize": 10}
        bottom.text(0.5, -0.06, f"AUROC\n{areas[column]:.3f}", **settings)
    return figure


def draw_scores(data: LiveFile) -> Any:
    """Draw both histograms with the threshold."""
    normal, anomalous = (data.arrays[name] for name in ("normal", "anomalous"))
    edges = np.geomspace(min(normal.min(), anomalous.min()), max(normal.max(), anomalous.max()), 50)
    figure, axes = _subplots(1, 1, (5.4, 3))
    for values, label, colour in ((normal, "normal", "blue"), (anomalous, "others", "red")):
        weights = np.full(len(values), 1 / len(values))
        axes[0, 0].hist(values, edges, weights=weights, label=label, color=_colours()[colour], alpha=0.6)
    axes[0, 0].axvline(data.numbers["threshold"], color="black", label="threshold")
    axes[0, 0].set(xscale="log", xlabel="reconstruction error", ylabel="share of the images")
    axes[0, 0].legend(frameon=False)
    return figure


def _three(images: list[NDArray], titles: tuple[str, ...]) -> Any:
    figure, axes = _subplots(1, 3, (5.4, 2.1))
    for place, image, title in zip(axes[0], images, titles, strict=True):
        _show(place, image, title)
    return figure


def scene(size: int = 32) -> NDArray:
    """Return a landscape drawn by formulas, shape (size, size, 3), values in [0, 1]."""
    fine = 4 * size
    y, x = np.mgrid[0:fine, 0:fine] / fine
    image = np.stack([0.35 + 0.5 * y, 0.6 + 0.3 * y, 0.95 - 0.1 * y], axis=-1)
    image[y > 0.68 + 0.04 * np.sin(7 * x)] = (0.85, 0.75, 0.5)
    ball = np.hypot(x - 0.45, y - 0.55) < 0.24
    stripes = np.stack([np.full_like(x, 0.85), *2 * [np.where((8 * (x + y)) % 2 < 1, 0.15, 0.85)]], axis=-1)
    image[ball] = stripes[ball]
    return image.reshape(size, 4, size, 4, 3).mean(axis=(1, 3))


def draw_photo(data: LiveFile) -> Any:
    """Draw a scene, the same with noise, and repaired."""
    intact = scene(data.input_shape[0])
    noise = data.numbers.get("noise", 0.1) * np.random.default_rng(0).standard_normal(intact.shape)
    noisy = np.clip(intact + noise, 0, 1)
    return _three([intact, noisy, _forward(data, noisy[None])[0].clip(0, 1)], ("intact", "noisy", "repaired"))


def draw_clothes(data: LiveFile) -> Any:
    """Draw a garment, the same with a covered square, and repaired."""
    intact = data.arrays["samples"][0] / 255
    damaged = intact.copy()
    damaged[9:19, 9:19] = 0
    repaired = _forward(data, damaged[None]).reshape(intact.shape)
    return _three([intact, damaged, repaired], ("intact", "damaged", "repaired"))


def draw_walk(data: LiveFile) -> Any:
    """Draw the codes as points, and images decoded along a line across them."""
    codes, labels = data.arrays["codes"].astype(float), data.arrays["code_labels"]
    figure, axes = _subplots(1, 2, (5.4, 3.2), width_ratios=(2, 1))
    axes[0, 0].scatter(*codes.T, c=labels, cmap="tab10", s=6)
    middle = np.median(codes, axis=0)
    axes[0, 0].plot(*middle, "+", color="black", markersize=16, markeredgewidth=2.5)
    low, high = np.quantile(codes, [0.01, 0.99], axis=0)
    margin = 0.1 * (high - low)
    limits = np.stack([low - margin, high + margin])
    axes[0, 0].set(xlim=limits[:, 0], ylim=limits[:, 1], xlabel="first number", ylabel="second number")
    _show(axes[0, 1], _forward(data, middle[None]).reshape(28, 28), "decoded at +")
    return figure


def draw_neighbours(data: LiveFile) -> Any:
    """Draw an image with its nearest in the code and in the pixels."""
    images, codes = data.arrays["images"] / 255, data.arrays["codes"].astype(float)
    figure, axes = _subplots(2, 6, (5.4, 2.3))
    for row, (name, values) in zip(
        axes, {"code": codes, "pixels": images.reshape(len(images), -1)}.items(), strict=True
    ):
        nearest = np.square(values - values[0]).sum(axis=1).argsort()[:6]
        for place, index in zip(row, nearest, strict=True):
            _show(place, images[index], "chosen" if index == 0 else "")
        row[1].set_title(f"nearest in the {name}", fontsize=10, loc="left")
    return figure


def draw_strip(data: LiveFile) -> Any:
    """Draw six seconds of the signal around the first beat that is not normal."""
    signal, rate = data.arrays["signal"] / 1000, data.numbers["rate"]
    beats, symbols = data.arrays["beats"].astype(int), [chr(code) for code in data.arrays["symbols"]]
    others = [place for place, symbol in zip(beats, symbols, strict=True) if symbol != "N"]
    start = int(np.clip((others or [beats[0]])[0] - 3 * rate, 0, len(signal) - 6 * rate))
    part = slice(start, start + int(6 * rate))
    figure, axes = _subplots(2, 1, (5.4, 2.8), sharex=True)
    for lead, place in enumerate(axes[:, 0]):
        place.plot(np.arange(part.start, part.stop) / rate, signal[part, lead], color="black", linewidth=0.8)
        place.set_ylabel("mV")
    for beat, symbol in zip(beats, symbols, strict=True):
        if part.start <= beat < part.stop:
            colour = _colours()["blue" if symbol == "N" else "red"]
            axes[0, 0].text(
                beat / rate,
                1.02,
                symbol,
                color=colour,
                ha="center",
                transform=axes[0, 0].get_xaxis_transform(),
            )
    axes[1, 0].set_xlabel("seconds")
    return figure


def draw_alarm(data: LiveFile) -> Any:
    """Draw false alarms an hour and V episodes missed of new patients, at the threshold chosen before."""
    step = int(np.abs(data.arrays["thresholds"] - data.numbers["threshold"]).argmin())
    new = data.arrays["is_new"] == 1
    rates = (data.arrays["false_alarms"][step] / data.arrays["hours"])[new]
    episodes = data.arrays["episodes"][new]
    missed = episodes - data.arrays["found"][step][new]
    order = np.argsort(rates)
    figure, axes = _subplots(1, 2, (5.4, 4.4), sharey=True)
    names = [str(number) for number in data.arrays["records"][new][order]]
    left, right = axes[0]
    left.barh(names, rates[order].clip(max=40), color=_colours()["red"])
    left.axvline(data.numbers["promise"], color="black", linewidth=1)
    left.set(xlabel="false alarms an hour", ylabel="record")
    right.barh(names, 100 * (missed / np.maximum(episodes, 1))[order], color=_colours()["blue"])
    right.set(xlim=(0, 100), xlabel="V episodes missed (%)")
    left.tick_params(axis="y", labelsize=8)
    return figure


DEMOS = {
    "00_plane": Demo(
        "plane",
        "Move a point over the plane",
        draw_plane,
        "A coloured map of the plane with white dots, the cars, along a dark valley in the shape of an S. An "
        "arrow leads from a place beside the valley to its reconstruction on the orange road within it.",
    ),
    "00_train": Demo(
        "train",
        "Train an autoencoder",
        draw_train,
        "White dots, the cars, form an S lying on its side. A straight orange line, the best that a network "
        "without bends can do, crosses them.",
    ),
    "01_digit": Demo(
        "digit",
        "Draw a digit",
        draw_digit,
        "Two rows of three small pictures: a digit, the network's copy of it, and where they differ. The"
        " digit that the network has learnt is copied well; the other one is not, and its score is higher.",
    ),
    "01_fool": Demo(
        "fool",
        "Fool the network",
        draw_fool,
        "A digit three times. At first there is an alarm; a little changed, there is none, though the digit "
        "can still be read; at the end the error is next to nothing, and the image no digit at all.",
        file="01_digit",
    ),
    "01_scores": Demo(
        "scores",
        "Move a threshold",
        draw_scores,
        "Two overlapping histograms of the reconstruction error, of the normal digit on the left and of the "
        "others on the right, with a vertical line at the threshold.",
    ),
    "01_width": Demo(
        "width",
        "Change the width of the code",
        draw_width,
        "Two rows: the digit that the networks have learnt, and another one, each with its reconstructions "
        "at four widths of the code. The wider the code, the better both are reconstructed.",
    ),
    "02_denoise": Demo(
        "photo",
        "Noise on a colour image",
        draw_photo,
        "A landscape with a striped ball three times: intact, with noise, and as the network repaired it.",
    ),
    "03_denoise": Demo(
        "clothes",
        "Damage a garment",
        draw_clothes,
        "A garment three times: intact, with a square cut out, and as the network repaired it.",
    ),
    "06_alarm": Demo(
        "alarm",
        "Move the threshold of an alarm",
        draw_alarm,
        "A row for each patient with two bars: false alarms an hour, with a line at ten, and the share of "
        "the episodes of ventricular beats that are missed. A few patients have most of either.",
    ),
    "06_strip": Demo(
        "strip",
        "Heartbeats scored as they go by",
        draw_strip,
        "Six seconds of a simulated heart signal in two leads, with a letter over each beat, N if normal.",
    ),
    "07_neighbours_fashion": Demo(
        "neighbours",
        "Nearest neighbours of a garment",
        draw_neighbours,
        "A garment with its five nearest neighbours in the code, and below with its five nearest in pixels.",
    ),
    "07_neighbours_mnist": Demo(
        "neighbours",
        "Nearest neighbours of a digit",
        draw_neighbours,
        "A digit with its five nearest neighbours in the code, and below with its five nearest in pixels.",
    ),
    "07_walk": Demo(
        "walk",
        "Walk through a code of two numbers",
        draw_walk,
        "A cloud of points in ten colours, one for each image's code of two numbers, and beside it the image "
        "that is decoded from the cross in the middle.",
    ),
}


def picture(name: str, source: Path, target: Path) -> None:
    """Draw the picture of `source` into `target`, unless the one there is newer than it and this file."""
    newest = max(source.stat().st_mtime, Path(__file__).stat().st_mtime)
    if target.exists() and target.stat().st_mtime > newest:
        return
    # Only now, since this takes Keras along, and with it the seconds that Keras needs to start.
    from dae_utils.show.live import load

    figure = DEMOS[name].draw(load(source))
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=160)
    import matplotlib.pyplot as plt

    plt.close(figure)


def file_of(name: str) -> str:
    """Return the name of the file, without its ending, that a demo shows."""
    return DEMOS[name].file or name


def digest(*files: Path) -> str:
    """Return a few characters that change with the files, so that no browser mixes old and new ones."""
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]


# --- Sphinx -----------------------------------------------------------------------------------------------


class live_demo(nodes.General, nodes.Element):
    """The place of a demo; it holds the figure with the picture and the caption."""


def open_place(writer: HTML5Translator, node: live_demo) -> None:
    """Open the element that the engine looks for."""
    if writer.builder.name in SITE_BUILDERS:
        writer.body.append(
            writer.starttag(
                node,
                "div",
                CLASS="dae-live",
                role="group",
                **{
                    "aria-label": node["label"],
                    "data-live": node["demo"],
                    "data-file": node["file"],
                    "data-demo": node["script"],
                    "data-version": node["version"],
                    "data-scripts": digest(*sorted(SCRIPTS.glob("*.js"))),
                },
            )
        )


def close_place(writer: HTML5Translator, node: live_demo) -> None:
    """Close it."""
    if writer.builder.name in SITE_BUILDERS:
        writer.body.append("</div>\n")


def nothing(writer: Any, node: live_demo) -> None:
    """Write nothing around the figure."""


class Live(SphinxDirective):
    """`live`: a demo by the name of its file, with the caption as content."""

    required_arguments: ClassVar[int] = 1
    has_content: ClassVar[bool] = True
    option_spec: ClassVar[dict] = {"alt": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Return the place with the picture, or a warning when the chapter has not written the file."""
        name = self.arguments[0]
        if name not in DEMOS:
            raise self.error(f"live: there is no demo {name!r}; there are {', '.join(DEMOS)}.")
        if not self.content:
            raise self.error(f"live: {name} needs a caption, the text inside the directive.")
        demo, top = DEMOS[name], Path(self.env.srcdir)
        file = file_of(name)
        source = top / EXPORTS / f"{file}.js"
        self.env.note_dependency(str(source.relative_to(top)))
        caption = nodes.caption()
        self.state.nested_parse(self.content, self.content_offset, caption)
        if len(caption) and isinstance(caption[0], nodes.paragraph):
            caption.children = caption[0].children
        if not source.is_file():
            # A page that was built without the file is read again next time.
            self.env.note_reread()
            message = f"live: {EXPORTS}/{file}.js is not there. The chapter writes it: run `make execute`."
            logger.warning(message, location=self.get_location())
            return [nodes.paragraph("", "", *caption.children)]
        target = top / PICTURES / f"{name}.png"
        picture(name, source, target)
        image = nodes.image(
            uri=f"/{target.relative_to(top).as_posix()}", alt=self.options.get("alt", demo.alt)
        )
        figure = nodes.figure("", image, caption)
        place = live_demo(
            "", figure, demo=name, file=file, script=demo.script, label=demo.name, version=digest(source)
        )
        number = self.env.temp_data[f"live {name}"] = self.env.temp_data.get(f"live {name}", 0) + 1
        place["ids"].append(f"live-{name.replace('_', '-')}" + (f"-{number}" if number > 1 else ""))
        return [place]


def add_engine(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Load the engine and its style sheet on pages that have a demo."""
    if (
        doctree is not None
        and app.builder.name in SITE_BUILDERS
        and next(doctree.findall(live_demo), None) is not None
    ):
        app.add_js_file("live/engine.js", loading_method="defer")
        app.add_css_file("live/live.css")


def copy_data(app: Sphinx, error: Exception | None) -> None:
    """Copy the files of the chapters beside the engine."""
    if error is not None or app.builder.name not in SITE_BUILDERS:
        return
    target = Path(app.outdir) / "_static" / "live" / "data"
    shutil.rmtree(target, ignore_errors=True)
    for source in sorted((Path(app.srcdir) / EXPORTS).glob("*.js")):
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target / source.name)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the node, the directive and the two steps."""
    writers = dict.fromkeys(("latex", "text", "man", "texinfo"), (nothing, nothing))
    app.add_node(live_demo, html=(open_place, close_place), **writers)
    app.add_directive("live", Live)
    app.connect("html-page-context", add_engine)
    app.connect("build-finished", copy_data)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
