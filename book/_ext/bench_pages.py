"""The page about speed, made from what ``make bench`` measured and wrote to `notebooks/results/bench.json`.

- the role `bench` writes one number into a sentence: ``{bench}`cifar10_conv.keras_over_ours``` , with another
  format after a bar, as in ``{bench}`growth.disk_180000.above_mb|.0f``` ; ``|%`` writes a share in percent;
- the directive `bench-table` writes a table by name: ``epochs``, ``memory``, ``sooner`` or ``tricks``;
- the directive `bench-figure` draws, by name: ``sooner`` (time to the listing's loss) or ``growth``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from published_runs import NOT_MEASURED, GeneratedTables, duration, markdown_table, together
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, SphinxRole

NETWORKS = {
    "mnist_dense": "MNIST, dense",
    "fashion_mnist_deep": "Fashion-MNIST, deep",
    "cifar10_conv": "CIFAR-10, convolutional",
    "cifar10_pixel": "CIFAR-10, for pixels",
    "mitbih_dense": "Heartbeats, dense",
}

Entries = Mapping[str, Mapping[str, Any]]


def read(top: Path) -> dict[str, dict[str, Any]]:
    """Return the entries of the results file by key, without the word `bench.` that begins each."""
    text = (top / "notebooks" / "results" / "bench.json").read_text(encoding="utf-8")
    return {key.removeprefix("bench."): entry for key, entry in json.loads(text).items()}


def written(entries: Entries, wanted: str) -> str:
    """Return the number of ``KEY`` or ``KEY|FORMAT`` as text; KeyError if there is no such key."""
    key, _, how = wanted.partition("|")
    value = entries[key]["value"]
    if how == "%":
        return f"{100 * value:.0f}\N{NO-BREAK SPACE}%"
    if how:
        return format(value, how)
    return f"{value:.1f}" if abs(value) >= 1 else f"{value:.2g}"


def _seconds(entries: Entries, key: str) -> str:
    if key not in entries:
        return NOT_MEASURED
    value = entries[key]["value"]
    return together(f"{value:.3f} s" if value < 1 else duration(value))


def _ratio(entries: Entries, key: str) -> str:
    if key not in entries:
        return NOT_MEASURED
    entry = entries[key]
    if entry["low"] == entry["high"]:
        return f"**{entry['value']:.1f}**"
    return together(f"**{entry['value']:.1f}** ({entry['low']:.1f} to {entry['high']:.1f})")


def epochs_table(entries: Entries) -> str:
    """Write the table of seconds an epoch."""
    rows = []
    for name, title in NETWORKS.items():
        share = entries.get(f"{name}.share_of_bound")
        rows.append(
            [
                title,
                *(_seconds(entries, f"{name}.{who}_seconds") for who in ("keras", "torch", "ours", "bound")),
                _ratio(entries, f"{name}.keras_over_ours"),
                _ratio(entries, f"{name}.torch_over_ours"),
                f"{100 * share['value']:.0f} %" if share else NOT_MEASURED,
            ]
        )
    head = [
        "Network",
        "Plain Keras",
        "PyTorch",
        "`fit`",
        "Arithmetic",
        "Keras ÷ `fit`",
        "PyTorch ÷ `fit`",
        "Share",
    ]
    return markdown_table(head, rows)


def memory_table(entries: Entries) -> str:
    """Write the table of peak memory."""
    rows = []
    for name, title in NETWORKS.items():
        peaks = (entries.get(f"{name}.{who}_memory_mb") for who in ("keras", "torch", "ours"))
        rows.append([title, *(together(f"{p['value']:.0f} MB") if p else NOT_MEASURED for p in peaks)])
    return markdown_table(["Network", "Plain Keras", "PyTorch", "`fit`"], rows)


TRICKS = {
    "cifar10_conv": {
        "keras": "plain Keras, `model.fit`",
        "loop": "the compiled loop alone",
        "shared": "the faster form, all cores on each operation",
    },
    "mnist_dense": {
        "keras_float32": "plain Keras, `model.fit`, float32",
        "loop": "the compiled loop without XLA",
    },
}


def tricks_table(entries: Entries) -> str:
    """Write the table of what `fit` takes without some of its means."""
    rows = [
        [NETWORKS[name], what, _ratio(entries, f"{name}.tricks.{who}_over_ours")]
        for name, competitors in TRICKS.items()
        for who, what in competitors.items()
    ]
    return markdown_table(["Network", "Instead of `fit`", "Times as long"], rows)


def sooner_table(entries: Entries) -> str:
    """Write the table of whole trainings."""
    rows = []
    for name, title in NETWORKS.items():
        whole, sooner = (entries[f"{name}.{part}"]["value"] for part in ("listing_epochs", "sooner_epochs"))
        rows.append(
            [
                title,
                together(f"{whole:.0f} epochs, {duration(entries[f'{name}.listing_seconds']['value'])}"),
                f"{entries[f'{name}.listing_loss']['value']:.5f}",
                together(f"{entries[f'{name}.loss_difference']['value']:+.5f}"),
                together(f"{sooner:.0f} epochs") if sooner > 1 else together("1 epoch"),
                f"{entries[f'{name}.sooner_loss']['value']:.5f}",
                _seconds(entries, f"{name}.sooner_seconds"),
                _ratio(entries, f"{name}.time_to_listing_loss_ratio"),
            ]
        )
    head = [
        "Network",
        "Listing in plain Keras",
        "Its loss",
        "`fit`, same epochs: loss",
        "One cycle",
        "Its loss",
        "Time to the listing's loss",
        "Times sooner",
    ]
    return markdown_table(head, rows)


def draw_sooner(entries: Entries, axes) -> None:
    """Draw the time of whole trainings, on a logarithmic scale."""
    from dae_utils.show.figures import COLOURS

    kinds = {
        "listing_seconds": ("plain Keras", COLOURS["red"], "s"),
        "same_seconds": ("fit, same epochs", COLOURS["blue"], "o"),
        "sooner_seconds": ("fit, one cycle", COLOURS["green"], "D"),
    }
    names = list(NETWORKS)[::-1]
    for height, name in enumerate(names):
        times = {kind: entries[f"{name}.{kind}"]["value"] for kind in kinds if f"{name}.{kind}" in entries}
        ends = min(times.values()), max(times.values())
        axes.plot(ends, [height, height], color=COLOURS["grey"], linewidth=1, zorder=1)
        for kind, value in times.items():
            _, colour, marker = kinds[kind]
            axes.plot(value, height, marker, color=colour, markersize=9)
    for label, colour, marker in kinds.values():
        axes.plot([], [], marker, color=colour, markersize=9, label=label)
    axes.set_xscale("log")
    axes.set_yticks(range(len(names)), [NETWORKS[name].replace(", ", ",\n") for name in names])
    axes.set_xlabel("seconds until the listing's final loss")
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.legend(loc="lower center", bbox_to_anchor=(0.35, 1.0), ncols=1, frameon=False)


def _numbered(entries: Entries, kind: str) -> list[int]:
    """Return the numbers n of the keys ``growth.KIND_n`` in ascending order."""
    prefix = f"growth.{kind}_"
    return sorted({int(key.removeprefix(prefix).split(".")[0]) for key in entries if key.startswith(prefix)})


def draw_growth(entries: Entries, all_axes) -> None:
    """Draw time and memory against the number of images and against the pixels of an image."""
    from dae_utils.show.figures import COLOURS

    for row, (unit, label, scale) in enumerate(
        (("seconds", "seconds an epoch", 1), ("memory_mb", "peak memory, GB", 1024))
    ):
        for column, kind in enumerate(("images", "side")):
            axes, numbers = all_axes[row][column], _numbered(entries, kind)
            across = [n / 1000 if kind == "images" else n * n / 1000 for n in numbers]
            up = [entries[f"growth.{kind}_{n}.{unit}"]["value"] / scale for n in numbers]
            axes.plot(across, up, "o-", color=COLOURS["blue"], label="in memory")
            if kind == "images":
                for n in _numbered(entries, "disk"):
                    value = entries[f"growth.disk_{n}.{unit}"]["value"] / scale
                    axes.plot(n / 1000, value, "D", color=COLOURS["red"], label="from disk")
            axes.set_ylim(bottom=0)
            axes.set_xlim(left=0)
            if column == 0:
                axes.set_ylabel(label)
            if row == 1:
                axes.set_xlabel("thousand images" if kind == "images" else "thousand pixels an image")
            if row == 0 and column == 0:
                axes.legend(frameon=False)


def draw(name: str, entries: Entries, path: Path) -> None:
    """Draw a figure by name into a file."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    from dae_utils.show.figures import use_book_style

    path.parent.mkdir(parents=True, exist_ok=True)
    with plt.rc_context():
        use_book_style()
        if name == "sooner":
            figure, axes = plt.subplots(figsize=(5.6, 5.2), layout="constrained")
            draw_sooner(entries, axes)
        elif name == "growth":
            figure, axes = plt.subplots(2, 2, figsize=(6.4, 5.6), layout="constrained", sharex="col")
            draw_growth(entries, axes)
        else:
            raise ValueError(f"there is no figure {name!r}: use 'sooner' or 'growth'.")
        figure.savefig(path, dpi=200)
        plt.close(figure)


class BenchRole(SphinxRole):
    """`bench`: one measured number in a sentence."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the number as text, or an error that stops the build."""
        try:
            return [nodes.Text(written(read(Path(self.env.srcdir)), self.text))], []
        except (KeyError, ValueError, OSError) as error:
            message = self.inliner.reporter.error(
                f"bench: no number {self.text!r} ({error})", line=self.lineno
            )
            return [self.inliner.problematic(self.rawtext, self.rawtext, message)], [message]


class BenchTable(GeneratedTables):
    """A table by name: ``epochs``, ``memory``, ``sooner`` or ``tricks``."""

    required_arguments: ClassVar[int] = 1

    def markdown(self) -> str:
        """Write the table."""
        write = {
            "epochs": epochs_table,
            "memory": memory_table,
            "sooner": sooner_table,
            "tricks": tricks_table,
        }[self.arguments[0]]
        return write(read(Path(self.env.srcdir)))


def captioned_figure(directive: SphinxDirective, path: Path, alt: str) -> nodes.figure:
    """Return a picture drawn below the sources' folder, with the directive's content as its caption."""
    uri = f"/{path.relative_to(directive.env.srcdir).as_posix()}"
    caption = nodes.caption()
    directive.state.nested_parse(directive.content, directive.content_offset, caption)
    if len(caption) and isinstance(caption[0], nodes.paragraph):
        caption.children = caption[0].children
    figure = nodes.figure("", nodes.image(uri=uri, alt=alt))
    figure += caption
    return figure


class BenchFigure(SphinxDirective):
    """A figure by name, with its caption as content and its text for those who do not see it as `alt`."""

    required_arguments: ClassVar[int] = 1
    has_content: ClassVar[bool] = True
    option_spec: ClassVar[dict] = {"alt": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Draw and return the figure."""
        name = self.arguments[0]
        if "alt" not in self.options:
            raise self.error("bench-figure needs :alt:, a text for those who do not see the figure.")
        self.env.note_reread()
        top = Path(self.env.srcdir)
        path = top / "_build" / "bench_figures" / f"{name}.png"
        draw(name, read(top), path)
        return [captioned_figure(self, path, self.options["alt"])]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the role and the directives."""
    app.add_role("bench", BenchRole())
    app.add_directive("bench-table", BenchTable)
    app.add_directive("bench-figure", BenchFigure)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
