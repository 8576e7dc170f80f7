"""What helps to find one's way: times, teasers, the concept map, the index, numbers on the home page.

Everything is worked out from `book/wayfinding.yml`, the notebooks and the results at build time:

- the role ``{result}`KEY``` puts a headline number of a published run into the text;
- the directive `concept-map` draws what builds on what, each concept a link to the section that introduces
  it;
- each chapter says at its top how long it takes to read and to run, and each study which chapter it is of;
- the links to the previous and the next page say in one line what is there;
- each chapter gets the recipe from `book/recipes` before its section "Further reading";
- sections are entered in the index.

Sections are named by their headings, so no notebook needs a label for it; a heading that is not there is a
warning.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import yaml
from docutils import nodes
from finished_pages import SITE_BUILDERS
from published_runs import duration, number, run_metadata
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms import SphinxTransform
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

logger = logging.getLogger(__name__)

WORDS_A_MINUTE = 200
RECIPE_BEFORE = "## Further reading"
# Text that a reader skips or that unfolds on request: it does not count as reading.
NOT_READ = (nodes.literal_block, nodes.math_block, nodes.raw, nodes.comment, addnodes.index)
NOT_READ_CLASSES = {"cell_output", "solution", "dropdown", "toggle", "chapter-times"}


def wayfinding(srcdir: str | Path) -> dict[str, Any]:
    """Return what `book/wayfinding.yml` says, read once as long as the file stays as it is."""
    file = Path(srcdir) / "book" / "wayfinding.yml"
    return _read(file, file.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _read(file: Path, _changed: int) -> dict[str, Any]:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def warn(text: str, location: Any = None) -> None:
    """Complain about `book/wayfinding.yml`, which fails a build with -W."""
    logger.warning("book/wayfinding.yml: %s", text, location=location, type="wayfinding")


# ---- Headline numbers in the text ----


def published_number(folder: Path, key: str) -> float | None:
    """Return the value of the result `key` in the results files in `folder`, or None."""
    # A study first: a chapter that waits to be rewritten may still have what the study measured anew.
    files = sorted(folder.rglob("*.json"), key=lambda file: (file.parent == folder, file))
    for file in files:
        entry = json.loads(file.read_text(encoding="utf-8")).get(key)
        if entry is not None:
            return entry["value"]
    return None


class ResultRole(SphinxRole):
    """``{result}`KEY``` or ``{result}`KEY:.3f```: a headline number of a published run."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Look the number up; the page is read anew in every build, since Sphinx watches no such file."""
        key, _, form = self.text.partition(":")
        self.env.note_reread()
        value = published_number(Path(self.env.srcdir) / "notebooks" / "results", key)
        if value is None:
            logger.warning("no published run has a result %r", key, location=self.get_location())
            return [nodes.literal("", key)], []
        return [nodes.inline("", format(value, form) if form else number(value), classes=["result"])], []


# ---- Times ----


def words_to_read(doctree: nodes.Node) -> int:
    """Return how many words of prose a page has, without code, formulas, outputs and folded solutions."""

    def count(node: nodes.Node) -> int:
        if isinstance(node, nodes.Text):
            return len(node.astext().split())
        if isinstance(node, NOT_READ) or NOT_READ_CLASSES & set(
            getattr(node, "attributes", {}).get("classes", ())
        ):
            return 0
        return sum(count(child) for child in node.children)

    return count(doctree)


def times_line(words: int, run: dict[str, Any], quick: float | None = None, *, is_study: bool = False) -> str:
    """Return the line on top of a chapter: `run` is what its notebook recorded, `quick` seconds or None."""
    parts = [f"To read: about {max(1, round(words / WORDS_A_MINUTE))} min"]
    if run.get("seconds"):
        machine = run.get("machine", "").split(",")[0]
        # A study stores its trials and goes on from them, so its last run may have been a short one.
        name = "last run, with stored trials" if is_study else "to run"
        parts.append(f"{name}: {duration(run['seconds'])}" + (f" on {machine}" if machine else ""))
        if quick is not None:
            parts.append(f"quick run: {duration(quick)}")
    return " · ".join(parts)


def quick_seconds(srcdir: str | Path) -> dict[str, float]:
    """Return how long the quick run of each notebook took, by its stem; empty when nobody measured it."""
    file = Path(srcdir) / "book" / "quick_times.json"
    return json.loads(file.read_text(encoding="utf-8"))["seconds"] if file.is_file() else {}


def add_times(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put the line of times below the title of a chapter."""
    path = Path(app.env.doc2path(docname))
    title = next(iter(doctree.findall(nodes.title)), None)
    if path.suffix != ".ipynb" or title is None:
        return
    quick = quick_seconds(app.srcdir).get(path.stem)
    is_study = "/studies/" in docname
    line = times_line(words_to_read(doctree), run_metadata(path), quick, is_study=is_study)
    section = title.parent
    box = nodes.container("", nodes.paragraph("", line), classes=["chapter-times"])
    section.insert(section.index(title) + 1, box)


# ---- Studies ----


def chapter_of(docname: str, documents: Iterable[str]) -> str | None:
    """Return the chapter, among `documents`, whose number a study has; None for a page that is no study."""
    study = re.fullmatch(r"notebooks/studies/(\d\d)_\w+", docname)
    if study is None:
        return None
    return next((name for name in sorted(documents) if name.startswith(f"notebooks/{study[1]}_")), None)


def name_chapter(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Say at the top of a study which chapter it belongs to, with a link; LaTeX has all pages in one tree."""
    parts = {docname: doctree} | {part["docname"]: part for part in doctree.findall(addnodes.start_of_file)}
    for name, part in parts.items():
        title = next(iter(part.findall(nodes.title)), None)
        if not name.startswith("notebooks/studies/") or title is None:
            continue
        chapter = chapter_of(name, app.env.found_docs)
        if chapter is None:
            logger.warning("there is no chapter of this study's number", location=name, type="wayfinding")
            continue
        number_of_chapter = int(Path(chapter).name[:2])
        link = nodes.reference("", app.env.titles[chapter].astext(), internal=True)
        link["refuri"] = app.builder.get_relative_uri(docname, chapter)
        words = nodes.Text(f"A study of chapter {number_of_chapter}, ")
        line = nodes.paragraph("", "", words, link, nodes.Text("."), classes=["study-of"])
        title.parent.insert(title.parent.index(title) + 1, line)


# ---- Teasers ----


def add_teasers(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Say below the links to the previous and the next page what is there."""
    teasers = wayfinding(app.srcdir).get("teasers", {})
    relations = app.env.collect_relations().get(pagename)
    for place, other in zip(("prev", "next"), (relations or [None] * 3)[1:], strict=True):
        if other and context.get(place) and other in teasers:
            teaser = html.escape(teasers[other], quote=False)
            context[f"{place}_title"] = f'{context[place]["title"]}<span class="teaser">{teaser}</span>'


def check_teasers(app: Sphinx, env: BuildEnvironment) -> None:
    """Complain about pages without a teaser and about teasers without a page."""
    teasers = wayfinding(app.srcdir).get("teasers", {})
    for docname in sorted(env.found_docs - set(teasers)):
        warn(f"no teaser for {docname}")
    for docname in sorted(set(teasers) - env.found_docs):
        warn(f"a teaser for {docname}, which is no page")


# ---- Sections by their headings ----


def section_anchor(env: BuildEnvironment, docname: str, heading: str) -> str | None:
    """Return the name of the place of a section, to be written behind the `#`, or None when there is none."""
    for reference in env.tocs.get(docname, nodes.bullet_list()).findall(nodes.reference):
        if reference.astext() == heading:
            return reference["anchorname"].removeprefix("#")
    return None


class IndexTopics(SphinxTransform):
    """Enters sections in the index. It runs before the index is collected from the page."""

    default_priority = 700

    def apply(self, **_: Any) -> None:
        """Put an index entry into each section that `book/wayfinding.yml` names for this page."""
        file = Path(self.env.srcdir) / "book" / "wayfinding.yml"
        if not file.is_file():
            return
        data = wayfinding(self.env.srcdir)
        docname = self.env.docname
        wanted: dict[str, list[str]] = {
            heading: list(entries) for heading, entries in data.get("topics", {}).get(docname, {}).items()
        }
        for concept in data.get("concepts", []):
            if concept["in"] == docname:
                wanted.setdefault(concept["section"], []).append(concept["name"])
        if wanted:
            self.env.note_dependency(str(file))
        for section in self.document.findall(nodes.section):
            title = section.next_node(nodes.title)
            entries = wanted.pop(title.astext(), []) if title else []
            if entries:
                place = section["ids"][0]
                # "single" with a semicolon puts the second part below the first, and not the other way round.
                found = [("single", entry, place, "", None) for entry in entries]
                section.insert(1, addnodes.index(entries=found))
        for heading in wanted:
            warn(f"{docname} has no section {heading!r}", location=docname)


# ---- The concept map ----


class concept_map(nodes.General, nodes.Element):
    """The place of the map, until the sections of all pages are known."""


class ConceptMap(SphinxDirective):
    """`concept-map`: a drawing of what builds on what, and the same as a list.

    What stands inside is about the drawing, and is left out with it.
    """

    has_content: ClassVar[bool] = True

    def run(self) -> list[nodes.Node]:
        """Leave a place for the map."""
        self.env.note_reread()
        return [concept_map("", *self.parse_content_to_nodes())]


def levels(concepts: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Return how far each concept is from the start: one more than the farthest that it builds on.

    Raises:
        ValueError: a concept that builds on one that comes later or does not exist.
    """
    found: dict[str, int] = {}
    for concept in concepts:
        unknown = [need for need in concept.get("needs", ()) if need not in found]
        if unknown:
            raise ValueError(f"{concept['name']} builds on {unknown[0]}, which is not listed before it")
        found[concept["name"]] = 1 + max((found[need] for need in concept.get("needs", ())), default=-1)
    return found


def rows_of(concepts: Sequence[dict[str, Any]], columns: int) -> list[list[dict[str, Any]]]:
    """Return the concepts level by level, at most `columns` side by side."""
    level = levels(concepts)
    rows = []
    for number_of_level in range(max(level.values()) + 1):
        row = [concept for concept in concepts if level[concept["name"]] == number_of_level]
        # Two rows of nearly equal length look better than a full and a nearly empty one.
        parts = -(-len(row) // columns)
        size = -(-len(row) // parts)
        rows += [row[start : start + size] for start in range(0, len(row), size)]
    return rows


def wrapped(words: str, most: int) -> list[str]:
    """Break a name into lines of at most `most` letters, where it has blanks."""
    lines = [""]
    for word in words.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > most:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def drawing(concepts: Sequence[dict[str, Any]], links: dict[str, str], columns: int = 5) -> str:
    """Return the map for wide pages as SVG: level by level, with a line to all that a concept builds on.

    Args:
        concepts: in an order in which each comes after those that it builds on.
        links: the address of each, by name.
        columns: how many stand side by side at most.
    """
    wide, high, between, apart = 132, 44, 8, 34
    width = columns * wide + (columns - 1) * between + 2
    rows = rows_of(concepts, columns)
    places: dict[str, tuple[float, float]] = {}
    for y, row in enumerate(rows):
        left = (width - len(row) * wide - (len(row) - 1) * between) / 2
        places |= {
            concept["name"]: (left + x * (wide + between), y * (high + apart) + 1)
            for x, concept in enumerate(row)
        }
    lines = []
    for concept in concepts:
        x, y = places[concept["name"]]
        for need in concept.get("needs", ()):
            from_x, from_y = places[need][0] + wide / 2, places[need][1] + high
            to_x, middle = x + wide / 2, apart / 2
            lines.append(
                f"M{from_x:g} {from_y:g}"
                f"C{from_x:g} {from_y + middle:g} {to_x:g} {y - middle:g} {to_x:g} {y:g}"
            )
    height = len(rows) * (high + apart) - apart + 2
    return svg("wide", (width, height), lines, places, links, (wide, high))


def tree(concepts: Sequence[dict[str, Any]], links: dict[str, str]) -> str:
    """Return the map for narrow pages as SVG: each concept indented below the first that it builds on.

    Arguments as for `drawing`. What else a concept builds on is in the list below the map only: lines
    across the boxes could not be told apart on a phone.
    """
    wide, high, between, indent = 224, 34, 10, 19
    places: dict[str, tuple[float, float]] = {}
    lines: list[str] = []

    def place(concept: dict[str, Any], depth: int) -> None:
        places[concept["name"]] = x, y = depth * indent + 1, len(places) * (high + between) + 1
        needs = concept.get("needs", ())
        if needs:
            above = places[needs[0]]
            lines.append(f"M{above[0] + indent / 2:g} {above[1] + high:g}V{y + high / 2:g}H{x:g}")
        for other in concepts:
            if other.get("needs", ())[:1] == [concept["name"]]:
                place(other, depth + 1)

    levels(concepts)
    for concept in concepts:
        if not concept.get("needs"):
            place(concept, 0)
    width = max(x for x, _ in places.values()) + wide + 1
    return svg("narrow", (width, len(places) * (high + between)), lines, places, links, (wide, high))


def svg(
    name: str,
    size: tuple[float, float],
    lines: Sequence[str],
    places: dict[str, tuple[float, float]],
    links: dict[str, str],
    box: tuple[int, int],
) -> str:
    """Return a map as SVG.

    Args:
        name: what the ids in it end in, since a page has two maps.
        size: width and height of the whole.
        lines: the paths between the boxes.
        places: left and upper edge of each box, by the name of its concept, in reading order.
        links: the address of each concept.
        box: width and height of a box.
    """
    wide, high = box
    boxes = []
    for concept, (x, y) in places.items():
        text = wrapped(concept, most=round(wide / 8))
        first = y + high / 2 + 4.5 - 7.5 * (len(text) - 1)
        spans = "".join(
            f'<tspan x="{x + wide / 2:g}" y="{first + 15 * line:g}">{html.escape(part)} </tspan>'
            for line, part in enumerate(text)
        )
        boxes.append(
            f'<a href="{html.escape(links[concept])}"><rect x="{x:g}" y="{y:g}" width="{wide}" '
            f'height="{high}" rx="6"/><text>{spans}</text></a>'
        )
    paths = "".join(f'<path d="{line}"/>' for line in lines)
    return (
        f'<svg class="concept-map concept-map-{name}" viewBox="0 0 {size[0]:g} {size[1]:g}" role="group" '
        f'aria-labelledby="concept-map-{name}-title" style="max-width: {round(1.25 * size[0])}px">'
        f'<title id="concept-map-{name}-title">Concepts of the book. A line leads down from a concept to '
        f"those that build on it.</title>{paths}{''.join(boxes)}</svg>"
    )


def draw_concept_maps(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put the drawing (in HTML) and the list (everywhere) in the place of each `concept-map`."""
    for place in list(doctree.findall(concept_map)):
        concepts = wayfinding(app.srcdir)["concepts"]
        links = {}
        for concept in concepts:
            anchor = section_anchor(app.env, concept["in"], concept["section"])
            if anchor is None:
                warn(f"{concept['in']} has no section {concept['section']!r}", location=docname)
            page = app.builder.get_relative_uri(docname, concept["in"])
            # In one single page, the address of a chapter is a place itself.
            links[concept["name"]] = page if page.startswith("#") else f"{page}#{anchor}"
        new: list[nodes.Node] = []
        if app.builder.name in SITE_BUILDERS:
            wide, narrow = drawing(concepts, links), tree(concepts, links)
            new += place.children
            new.append(nodes.raw("", f'<div class="concept-maps">{wide}{narrow}</div>', format="html"))
        new.append(listing(concepts, links))
        place.replace_self(new)


def listing(concepts: Iterable[dict[str, Any]], links: dict[str, str]) -> nodes.bullet_list:
    """Return the concepts as a list: each a link, with the chapter and what it builds on."""
    items = []
    for concept in concepts:
        link = nodes.reference("", concept["name"], refuri=links[concept["name"]], internal=True)
        chapter = re.search(r"/0*(\d+)_", concept["in"])
        rest = f", chapter {chapter[1]}" if chapter else ""
        if concept.get("needs"):
            rest += "; builds on " + ", ".join(concept["needs"])
        items.append(nodes.list_item("", nodes.paragraph("", "", link, nodes.Text(rest))))
    return nodes.bullet_list("", *items, classes=["concept-list"])


# ---- Recipes ----


def with_recipe(notebook: str, recipe: str) -> str:
    """Return the source of a notebook with `recipe` before the section "Further reading".

    Raises:
        ValueError: there is no such section.
    """
    content = json.loads(notebook)
    for cell in content["cells"]:
        text = "".join(cell["source"])
        found = re.search(rf"^{RECIPE_BEFORE}$", text, flags=re.MULTILINE)
        if cell["cell_type"] == "markdown" and found:
            # A list of lines, as in a file: some readers of notebooks expect no other form.
            new = f"{text[: found.start()]}{recipe.strip()}\n\n{text[found.start() :]}"
            cell["source"] = new.splitlines(keepends=True)
            return json.dumps(content)
    raise ValueError(f"there is no section {RECIPE_BEFORE!r}")


def add_recipe(app: Sphinx, docname: str, source: list[str]) -> None:
    """Add the recipe of a chapter, `book/recipes/NN.md`, to its source."""
    chapter = re.fullmatch(r"notebooks/(\d\d)_\w+", docname)
    recipe = Path(app.srcdir) / "book" / "recipes" / f"{chapter[1] if chapter else ''}.md"
    if not recipe.is_file():
        return
    app.env.note_dependency(str(recipe))
    try:
        source[0] = with_recipe(source[0], recipe.read_text(encoding="utf-8"))
    except ValueError as error:
        logger.warning("the recipe has no place: %s", error, location=docname, type="wayfinding")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register all of it; times are added last, when everything that counts as text is there."""
    app.add_role("result", ResultRole())
    app.add_node(concept_map)
    app.add_directive("concept-map", ConceptMap)
    app.add_transform(IndexTopics)
    app.connect("source-read", add_recipe)
    app.connect("env-check-consistency", check_teasers)
    app.connect("doctree-resolved", draw_concept_maps)
    app.connect("doctree-resolved", add_times, priority=950)
    # Later, so that it comes to stand before the times.
    app.connect("doctree-resolved", name_chapter, priority=955)
    app.connect("html-page-context", add_teasers, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
