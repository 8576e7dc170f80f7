"""The scoreboard: every published number beside ours.

It is made from `notebooks/results` and `book/published_results.yml`.

Four directives:

- `scoreboard-verdict` says in a sentence how many comparisons were won, lost and neither;
- `scoreboard-chart` draws them;
- `scoreboard` writes a table for each comparison, those on the same protocol or, with the argument
  ``differs``, those
  where something differs;
- `all-results` writes every result of every chapter, folded up.

Nobody is called better by a hair: a published number counts as better or worse than ours when it lies outside
the 95 % interval of ours. Most published numbers come without an interval of their own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml
from bench_pages import captioned_figure
from docutils import nodes
from published_runs import GeneratedTables, duration, markdown_table, number, run_metadata, together
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

Results = Mapping[str, Mapping[str, Mapping[str, Any]]]

# A mark that can be told apart without colours, and words beside it.
MARKS = {"ours": "▲", "theirs": "▼", "level": "◆"}
WORDS = {"ours": "ours is better", "theirs": "theirs is better", "level": "no difference seen"}


@dataclass(frozen=True)
class Contest:
    """One comparison: our result, where it comes from, and what others published."""

    title: str
    measure: str
    better: str
    protocol: str
    differs: str
    stem: str
    key: str
    ours: str
    entry: Mapping[str, Any]
    also: tuple[tuple[str, Mapping[str, Any]], ...]
    simple: tuple[tuple[str, Mapping[str, Any]], ...]
    references: tuple[Mapping[str, Any], ...]


def contests(published: Iterable[Mapping[str, Any]], results: Results) -> list[Contest]:
    """Put together what was published and what we have; `results` maps the name of each file to its entries.

    Raises:
        ValueError: a comparison names a result that no chapter has written, or an unknown word.
    """
    where = {key: (stem, entry) for stem, entries in results.items() for key, entry in entries.items()}
    found = []
    for item in published:
        missing = [
            key for key in (item["key"], *item.get("also", {}), *item.get("simple", {})) if key not in where
        ]
        if missing:
            raise ValueError(
                f"published_results.yml compares with {missing[0]!r}, which no chapter has written."
            )
        if item["better"] not in ("higher", "lower", "neither"):
            raise ValueError(f"{item['key']}: better is {item['better']!r}: use higher, lower or neither.")
        for reference in item["references"]:
            if reference.get("checked") not in ("read", "cited"):
                raise ValueError(f"{reference['method']}: checked is not 'read' or 'cited'.")
        stem, entry = where[item["key"]]
        found.append(
            Contest(
                title=item["title"],
                measure=item["measure"],
                better=item["better"],
                protocol=item["protocol"],
                differs=item.get("differs", ""),
                stem=stem,
                key=item["key"],
                ours=item["ours"],
                entry=entry,
                also=tuple((words, where[key][1]) for key, words in item.get("also", {}).items()),
                simple=tuple((words, where[key][1]) for key, words in item.get("simple", {}).items()),
                references=tuple(
                    {**other, "value": float(other["value"]), "digits": str(other["value"])}
                    for other in item["references"]
                ),
            )
        )
    return found


def verdict(contest: Contest, value: float) -> str:
    """Tell whether `value` is worse than our network ("ours"), better ("theirs") or within its interval.

    Without an interval of ours every value but the same one is better or worse.
    """
    entry = contest.entry
    low, high = (entry["value"] if entry.get(end) is None else entry[end] for end in ("low", "high"))
    if low <= value <= high:
        return "level"
    return "ours" if (value < low) == (contest.better == "higher") else "theirs"


def _interval(entry: Mapping[str, Any]) -> str:
    low, high = entry.get("low"), entry.get("high")
    return f"{number(low)} to {number(high)}" if low is not None and low != high else ""


def _against(contest: Contest, value: float) -> str:
    if contest.differs or contest.better == "neither":
        return "not the same protocol"
    result = verdict(contest, value)
    return f"{MARKS[result]} {WORDS[result]}"


def _simple_against(contest: Contest, value: float) -> str:
    words = {
        "ours": "▲ the network is better",
        "theirs": "▼ better than the network",
        "level": "◆ no difference seen",
    }
    return words[verdict(contest, value)] if contest.better != "neither" else ""


def contest_text(contest: Contest, seconds: float | None, documents: Iterable[str]) -> str:
    """Write one comparison: what was compared, how to make our number again, and the table."""
    document = f"notebooks/{contest.stem}"
    chapter = f"[](/{document}.ipynb)" if document in documents else f"`{contest.stem}`"
    direction = {"higher": " Higher is better.", "lower": " Lower is better.", "neither": ""}[contest.better]
    runs = contest.entry["seeds"]
    lines = [
        f"Protocol: {contest.protocol}." + (f" What differs: {contest.differs}." if contest.differs else ""),
        f"Ours is from {chapter}, {together(f'{runs} run' + ('s' if runs != 1 else ''))}"
        + (" behind the number" if runs != 1 else "")
        + (f"; the whole chapter took {together(duration(seconds))}" if seconds else "")
        + ". To make it again:",
    ]
    ours = contest.entry
    profile = "" if ours.get("profile") == "full" else f" (profile {ours.get('profile')})"
    rows = [[f"**Ours: {contest.ours}**{profile}", f"**{number(ours['value'])}**", _interval(ours), ""]]
    rows += [
        [f"Ours: {words}", number(entry["value"]), _interval(entry), ""] for words, entry in contest.also
    ]
    rows += [
        [
            f"Ours, no network: {words}",
            number(entry["value"]),
            _interval(entry),
            _simple_against(contest, entry["value"]),
        ]
        for words, entry in contest.simple
    ]
    rows += [
        [
            f"{other['method']} {{cite:p}}`{other['cite']}`" + ("" if other["checked"] == "read" else " †"),
            other["digits"],
            "",
            _against(contest, other["value"]),
        ]
        for other in contest.references
    ]
    table = markdown_table(["Method", "Value", "95 % interval", "Beside our network"], rows)
    caption = f"{contest.title}: {contest.measure}.{direction}"
    return "\n\n".join(
        [
            f"```{{rubric}} {contest.title}\n:heading-level: 3\n```",
            *lines,
            f"```sh\nmake execute NOTEBOOKS={contest.stem}\n```",
            f"```{{table}} {caption}\n{table}\n```",
        ]
    )


def tally(found: Iterable[Contest]) -> dict[str, int]:
    """Count the published numbers on the same protocol by who is better."""
    counts = dict.fromkeys(MARKS, 0)
    for contest in found:
        if not contest.differs and contest.better != "neither":
            for other in contest.references:
                counts[verdict(contest, other["value"])] += 1
    return counts


def verdict_text(found: list[Contest]) -> str:
    """Say in words how the comparisons on the same protocol ended, losses by name."""
    counts = tally(found)
    total = sum(counts.values())
    same = [contest for contest in found if not contest.differs and contest.better != "neither"]
    lost = [
        f"{other['method'].split(' (')[0]} ({contest.title})"
        for contest in same
        for other in contest.references
        if verdict(contest, other["value"]) == "theirs"
    ]
    beaten = [
        f"{words} ({contest.title})"
        for contest in same
        for words, entry in contest.simple
        if verdict(contest, entry["value"]) == "theirs"
    ]
    text = (
        f"Of {total} published numbers on the same protocol, our network is better than {counts['ours']}, "
        f"worse than {counts['theirs']}, and with {counts['level']} no difference is seen."
    )
    if lost:
        text += f" Better than ours: {'; '.join(lost)}."
    if beaten:
        text += f" Methods of ours without a network that beat our own network: {'; '.join(beaten)}."
    return text


def _error(better: str, value: float) -> float:
    return 1 - value if better == "higher" else value


def chart_rows(found: Iterable[Contest]) -> Iterator[tuple[str, str, float, str, tuple[float, float]]]:
    """Yield for each published number: title, method, its error ÷ ours, verdict, our interval.

    The error is what a measure lacks to 1 where higher is better, else the measure itself. The interval is
    that of our
    own error ÷ itself, so it lies around 1.
    """
    for contest in found:
        if contest.differs or contest.better == "neither":
            continue
        ours = _error(contest.better, contest.entry["value"])
        ends = [
            _error(contest.better, contest.entry[end]) / ours if contest.entry.get(end) is not None else 1.0
            for end in ("low", "high")
        ]
        for other in contest.references:
            ratio = _error(contest.better, other["value"]) / ours
            yield (
                contest.title,
                other["method"],
                ratio,
                verdict(contest, other["value"]),
                (min(ends), max(ends)),
            )


def chart_words(found: list[Contest]) -> str:
    """Return the alternative text of the chart, made from the same numbers."""
    rows = list(chart_rows(found))
    if not rows:
        return "An empty chart."
    groups: dict[str, list[str]] = {}
    for title, method, ratio, _, _ in rows:
        groups.setdefault(title, []).append(f"{method} {ratio:.2g}")
    listed = "; ".join(f"{title}: {', '.join(points)}" for title, points in groups.items())
    return f"Error of each published method divided by ours, above 1 when ours is better. {listed}."


def draw_chart(found: list[Contest], path: Path) -> None:
    """Draw the errors of the published methods, divided by ours, into the file `path`."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FixedLocator, NullLocator

    from dae_utils.show.figures import COLOURS, use_book_style

    looks = {"ours": ("o", COLOURS["blue"]), "theirs": ("s", COLOURS["red"]), "level": ("D", COLOURS["grey"])}
    rows = list(chart_rows(found))
    path.parent.mkdir(parents=True, exist_ok=True)
    with plt.rc_context():
        use_book_style()
        figure, axes = plt.subplots(
            figsize=(6, 1.4 + 0.3 * (len(rows) + 1.6 * len({row[0] for row in rows})))
        )
        height, names, ticks, last = 0.0, [], [], None
        band = {"color": COLOURS["sky"], "alpha": 0.35, "linewidth": 0}
        for title, method, ratio, result, (low, high) in rows:
            if title != last:
                height += 1.6 if last else 0.6
                axes.text(
                    0.0,
                    height - 0.95,
                    title,
                    transform=axes.get_yaxis_transform(),
                    va="center",
                    weight="bold",
                )
                last = title
            axes.fill_betweenx(
                [height - 0.5, height + 0.5], low, high, color=COLOURS["sky"], alpha=0.35, linewidth=0
            )
            marker, colour = looks[result]
            axes.plot(ratio, height, marker, color=colour, markersize=8)
            ticks.append(height)
            names.append(method.split(" (")[0].replace(", ", ",\n") if len(method) > 26 else method)
            height += 1
        axes.axvline(1, color="black", linewidth=1)
        for result, (marker, colour) in looks.items():
            axes.plot([], [], marker, color=colour, markersize=8, label=WORDS[result])
        axes.fill_between([], [], [], **band, label="95 % interval of ours")
        axes.set_xscale("log")
        marks = [0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20]
        axes.xaxis.set_major_locator(FixedLocator(marks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels([f"{mark:g}" for mark in marks])
        edges = [ratio for _, _, ratio, _, _ in rows] or [1]
        axes.set_xlim(
            min([0.8, *(0.9 * edge for edge in edges)]), max([1.2, *(1.1 * edge for edge in edges)])
        )
        axes.set_yticks(ticks, names, fontsize=10.5)
        axes.set_ylim(height - 0.3, -1)
        axes.grid(axis="x", alpha=0.3)
        axes.set_xlabel("error of the published method ÷ ours")
        figure.legend(loc="outside lower center", ncols=2, fontsize=10.5)
        figure.savefig(path, dpi=150)
        plt.close(figure)


def result_groups(entries: Mapping[str, Any]) -> dict[str, list[str]]:
    """Sort the keys of a results file into groups: by data set and by what was measured.

    Numbers in a key, such as a code size, do not make a group of their own.
    """
    groups: dict[str, list[str]] = {}
    for key in entries:
        parts = key.split(".")
        name = ".".join(re.sub(r"_\d+$", "", part) for part in parts[:2])
        groups.setdefault(name, []).append(key)
    return groups


def all_results_text(results: Results, titles: Mapping[str, str]) -> str:
    """Write every result, each chapter folded up, in tables of one kind of result each.

    `titles` maps the name of a document to its title; a file of results without a document keeps its own
    name.
    """
    if not results:
        return "No chapter in this copy of the book has written results yet."
    parts = []
    for stem, entries in sorted(results.items()):
        title = titles.get(f"notebooks/{stem}", stem)
        parts.append(f"::::{{dropdown}} {title} ({len(entries)} results)\n")
        for name, keys in result_groups(entries).items():
            rows = []
            for key in keys:
                entry = entries[key]
                profile = "" if entry.get("profile") == "full" else f" (profile {entry.get('profile')})"
                rows.append(
                    [
                        f"`{key.removeprefix(name + '.') if key != name else key}`",
                        number(entry["value"]),
                        _interval(entry),
                        str(entry["seeds"]),
                        entry["protocol"] + profile,
                    ]
                )
            table = markdown_table(["Result", "Value", "95 % interval", "Seeds", "Protocol"], rows)
            parts.append(f":::{{table}} `{name}`\n{table}\n:::\n")
        parts.append("::::\n")
    return "\n".join(parts)


def read_results(top: Path) -> dict[str, dict[str, Any]]:
    """Return what the chapters and studies wrote, by the name of the notebook, such as ``studies/01_topic``.

    The benchmark has a page of its own.
    """
    folder = top / "notebooks" / "results"
    results = {
        path.relative_to(folder).with_suffix("").as_posix(): json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(folder.rglob("*.json"))
        if path.stem != "bench"
    }
    # A chapter that waits to be rewritten may still have what a study measured anew: the study's counts.
    in_studies = {key for name, entries in results.items() if "/" in name for key in entries}
    return {
        name: entries if "/" in name else {key: entries[key] for key in entries if key not in in_studies}
        for name, entries in results.items()
    }


def read_contests(top: Path) -> list[Contest]:
    """Return the comparisons of the book whose sources are in the folder `top`."""
    text = (top / "book" / "published_results.yml").read_text(encoding="utf-8")
    return contests(yaml.safe_load(text), read_results(top))


class _Board(GeneratedTables):
    """What the directives share."""

    @property
    def top(self) -> Path:
        """The folder of the book's sources."""
        return Path(self.env.srcdir)

    def seconds(self) -> dict[str, float | None]:
        """Return how long each published run took, by the name of its notebook."""
        return {
            name.removeprefix("notebooks/"): run_metadata(path).get("seconds")
            for name, path in self.notebooks().items()
        }


class Verdict(_Board):
    """`scoreboard-verdict`: the result in words."""

    def markdown(self) -> str:
        """Write the sentence."""
        return verdict_text(read_contests(self.top))


class Scoreboard(_Board):
    """`scoreboard`: the comparisons on the same protocol, or with ``differs`` the others."""

    optional_arguments: ClassVar[int] = 1

    def markdown(self) -> str:
        """Write one table after the other."""
        differs = self.arguments == ["differs"]
        seconds, documents = self.seconds(), self.notebooks()
        return "\n\n".join(
            contest_text(contest, seconds.get(contest.stem), documents)
            for contest in read_contests(self.top)
            if bool(contest.differs) == differs
        )


class AllResults(_Board):
    """`all-results`: everything, folded up by chapter."""

    def markdown(self) -> str:
        """Write the tables."""
        titles = {}
        for name, path in self.notebooks().items():
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            text = "".join(cells[0]["source"]) if cells else ""
            heading = re.match(r"#\s+(.+)", text)
            if heading:
                titles[name] = heading[1]
        return all_results_text(read_results(self.top), titles)


class Chart(SphinxDirective):
    """`scoreboard-chart`: the figure; its caption is the content, its alternative text made from numbers."""

    has_content: ClassVar[bool] = True

    def run(self) -> list[nodes.Node]:
        """Draw and return the figure."""
        self.env.note_reread()
        top = Path(self.env.srcdir)
        found = read_contests(top)
        path = top / "_build" / "scoreboard" / "chart.png"
        draw_chart(found, path)
        return [captioned_figure(self, path, chart_words(found))]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("scoreboard-verdict", Verdict)
    app.add_directive("scoreboard-chart", Chart)
    app.add_directive("scoreboard", Scoreboard)
    app.add_directive("all-results", AllResults)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
