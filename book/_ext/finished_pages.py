"""The last step of a build for the web: pages that are lighter, and that say more to a screen reader.

It works on the pages as files, because most of what it mends is written by the theme, by Sphinx or by pandas,
and not by the book. Every step leaves a page alone that it has mended before, so that building twice does no
harm.

- Figures are packed without loss as WebP, half the size of PNG, and load when they come into view.
- Scripts that a page does not need are taken out: half a megabyte of drawn icons, which the style sheet has
  as a font too, and the search index on pages that do not search. The others wait for the page to be there.
- Tables get scopes and captions, signatures of functions and the bibliography a valid structure, and the
  arrows of the navigation a name.
- The editions for reading elsewhere (PDF, ePub, zip) are linked from every page once they are there.
"""

from __future__ import annotations

import hashlib
import html
import io
import re
import shutil
import struct
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

# The builders of pages that run scripts; an e-book or one long page for printing gets what stands for itself.
SITE_BUILDERS = ("html", "dirhtml")

# Where the editions lie inside the built book, and what a reader is told about each.
EDITIONS_FOLDER = "_editions"
EDITIONS = {
    "deep-autoencoders.pdf": "The whole book as PDF",
    "deep-autoencoders.epub": "The whole book as ePub",
    "deep-autoencoders.zip": "These pages as a zip, to read offline",
}

_IMAGE = re.compile(r"<img\b[^>]*>")
_SOURCE = re.compile(r'\bsrc="([^"]*_images/[^"/]+\.(?:png|webp))"')
_SIGN = re.compile(r'(?<!class="for-sign">)<a class="navbar-brand logo".*?</a>', re.DOTALL)
_TABLE = re.compile(r"<table\b([^>]*)>(.*?)</table>", re.DOTALL)
_HEAD_CELL = re.compile(r"<th\b([^>]*)>(.*?)</th>", re.DOTALL)
_HEADING = re.compile(r"<h[1-6]\b[^>]*>(.*?)</h[1-6]>", re.DOTALL)
_TAG = re.compile(r"<a class=\"headerlink\".*?</a>|<[^>]*>", re.DOTALL)
_SIGNATURE_LIST = re.compile(r"<dl>\s*((?:<dd>.*?</dd>\s*)+)</dl>", re.DOTALL)
_UNFOLDING = re.compile(r"(<a [^>]*>)((?:(?!</a>).)*)(</a>\s*<details[^>]*>\s*<summary)>", re.DOTALL)
_EDITIONS_PLACE = re.compile(r"<!-- editions -->.*?<!-- /editions -->", re.DOTALL)
_DOWNLOADS_END = re.compile(
    r'(<div class="dropdown dropdown-download-buttons">.*?)(\s*</ul>)(\s*</div>)', re.DOTALL
)
_SOURCE_BUTTON = re.compile(
    r'<a href="([^"]*)" target="_blank"\s+class="btn btn-sm btn-download-source-button'
)
_ICON_SCRIPT = re.compile(
    r"\s*<!-- So that users can add custom icons -->|\s*<script[^>]*fontawesome\.js[^>]*></script>"
)
_SEARCH_SCRIPT = re.compile(
    r'\s*<script src="[^"]*(?:searchtools|language_data|searchindex)\.js[^"]*"></script>'
)

# Each waits for the page by itself, so none has to hold up its first paint. `documentation_options.js` does:
# lines within the page write into what it defines.
_WAITING_SCRIPT = re.compile(
    r'<script((?: data-[\w-]+="[^"]*")*) src="([^"]*/(?:doctools|sphinx_highlight|clipboard\.min|copybutton'
    r'|sphinx-book-theme|togglebutton|design-tabs)\.js[^"]*)">'
)


def plain(markup: str) -> str:
    """Return the words in a piece of a page, without tags and without the link beside a heading."""
    return " ".join(html.unescape(_TAG.sub("", markup)).split())


def drop_scripts(page: str, searches: bool) -> str:
    """Take out the script that draws icons and, unless the page `searches`, those of the search."""
    page = _ICON_SCRIPT.sub("", page)
    return page if searches else _SEARCH_SCRIPT.sub("", page)


def defer_scripts(page: str) -> str:
    """Let scripts that do nothing before the page is complete wait until it is, in their order."""
    return _WAITING_SCRIPT.sub(r'<script\1 defer src="\2">', page)


def name_unfolding_arrows(page: str) -> str:
    """Give the arrows that unfold a part of the navigation a name: that of the page beside them."""
    return _UNFOLDING.sub(
        lambda found: (
            f'{found[1]}{found[2]}{found[3]} aria-label="Pages under: {html.escape(plain(found[2]))}">'
        ),
        page,
    )


def mend_sign(page: str) -> str:
    """Put the sign of the book, which leads to its start, into a part of the page that has a name."""
    return _SIGN.sub(
        lambda found: f'<nav aria-label="Start of the book" class="for-sign">{found[0]}</nav>', page
    )


def mend_signatures(page: str) -> str:
    """Make lines of what Sphinx writes as a list of definitions without anything that is defined."""
    return _SIGNATURE_LIST.sub(
        lambda found: (
            '<span class="sig-lines">'
            + found[1].replace("<dd>", '<span class="sig-line">').replace("</dd>", "</span>")
            + "</span>"
        ),
        page,
    )


def mend_bibliography(page: str) -> str:
    """Take the roles from a bibliography: one is not allowed on its entries, the other is out of use."""
    page = page.replace(' role="doc-biblioentry"', "")
    return page.replace('<div role="list" class="citation-list">', '<div class="citation-list">')


def _head_cells(part: str, scope: str) -> str:
    def cell(found: re.Match) -> str:
        attributes, content = found[1], found[2]
        if not plain(content) and "<img" not in content:
            return f"<td{attributes}>{content}</td>"
        if "scope=" in attributes:
            return found[0]
        return f'<th scope="{scope}"{attributes}>{content}</th>'

    return _HEAD_CELL.sub(cell, part)


def mend_tables(page: str) -> str:
    """Tell what each heading of a table is the heading of, and name tables that have no caption.

    The name is that of the section, with a number, and is there for those who cannot see where a table
    stands.
    """
    headings = [(found.start(), plain(found[1])) for found in _HEADING.finditer(page)]
    count = 0

    def table(found: re.Match) -> str:
        nonlocal count
        attributes, inside = found[1], found[2]
        # The index and pages of search results lay things out with tables.
        if "indextable" in attributes:
            return found[0]
        count += 1
        head, mark, body = inside.rpartition("</thead>")
        inside = _head_cells(head, "col") + mark + _head_cells(body, "row")
        if "<caption" not in inside:
            above = [heading for start, heading in headings if start < found.start()]
            name = html.escape(f"Table {count}" + (f", in the section “{above[-1]}”" if above else ""))
            inside = f'\n<caption class="for-ears">{name}</caption>{inside}'
        attributes = attributes.replace(' border="1"', "")
        return f"<table{attributes}>{inside}</table>"

    return _TABLE.sub(table, page)


def mend_images(page: str, sizes: Mapping[str, tuple[int, int]]) -> str:
    """Give figures their size in pixels, so that nothing jumps, and load all but the first when seen.

    `sizes` maps the name of a file in `_images` to its width and height.
    """
    seen = 0

    def image(found: re.Match) -> str:
        nonlocal seen
        tag = found[0]
        source = _SOURCE.search(tag)
        if not source:
            return tag
        seen += 1
        name = source[1].rsplit("/", 1)[1]
        more = ""
        if name in sizes and " width=" not in tag and "style=" not in tag:
            more += ' width="{}" height="{}"'.format(*sizes[name])
        if seen > 1 and " loading=" not in tag:
            more += ' loading="lazy"'
        if " decoding=" not in tag:
            more += ' decoding="async"'
        return f"<img{more}{tag[4:]}"

    return _IMAGE.sub(image, page)


def mend_download(page: str) -> str:
    """Let the button for the source of a page save it; a browser that may not do that shows it."""

    def link(found: re.Match) -> str:
        name = found[1].rsplit("/", 1)[-1]
        start = f'<a href="{found[1]}" download="{name}" target="_blank"\n'
        return start + '   class="btn btn-sm btn-download-source-button'

    return _SOURCE_BUTTON.sub(link, page)


def link_editions(page: str, root: str, editions: Mapping[str, str]) -> str:
    """Put links to the `editions` (file name to words) into the menu of downloads, in place of those there.

    `root` is the way from the page to the start of the book, such as ``../``.
    """
    items = "".join(
        f'<li><a class="btn btn-sm dropdown-item" href="{root}{EDITIONS_FOLDER}/{name}" download>'
        f'<span class="btn__text-container">{html.escape(words)}</span></a></li>'
        for name, words in editions.items()
    )
    links = f"<!-- editions -->{items}<!-- /editions -->"
    if _EDITIONS_PLACE.search(page):
        return _EDITIONS_PLACE.sub(links, page)
    return _DOWNLOADS_END.sub(lambda found: found[1] + "\n" + links + found[2] + found[3], page, count=1)


def pages(site: Path) -> list[Path]:
    """Return the pages of a built book, without the fragments in `_static`."""
    return [path for path in sorted(site.rglob("*.html")) if "_static" not in path.relative_to(site).parts]


def write_editions(site: Path, editions: Mapping[str, str]) -> None:
    """Link the `editions` from every page of the built book at `site`."""
    for path in pages(site):
        page = path.read_text(encoding="utf-8")
        root = "../" * (len(path.relative_to(site).parts) - 1)
        linked = link_editions(page, root, editions)
        if linked != page:
            path.write_text(linked, encoding="utf-8")


def available_editions(folder: Path, oldest: float = 0.0) -> dict[str, str]:
    """Return those editions in `folder` that were made at `oldest` (a time of the clock) or later."""
    return {
        name: words
        for name, words in EDITIONS.items()
        if (folder / name).is_file() and (folder / name).stat().st_mtime >= oldest
    }


def pack_image(source: Path, cache: Path) -> bytes | None:
    """Return the picture in the PNG file `source` as WebP without loss; None when that is not smaller.

    What was packed is kept in the folder `cache` under the digest of the file.
    """
    from PIL import Image

    content = source.read_bytes()
    kept = cache / (hashlib.sha256(content).hexdigest() + ".webp")
    if not kept.is_file():
        with Image.open(io.BytesIO(content)) as image:
            packed = io.BytesIO()
            wanted = image if image.mode in ("RGB", "RGBA") else image.convert("RGBA")
            # Slower settings gain less than one per cent.
            wanted.save(packed, "WEBP", lossless=True, method=3, quality=60)
        cache.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(".part")
        part.write_bytes(packed.getvalue())
        part.replace(kept)
    packed_content = kept.read_bytes()
    return packed_content if len(packed_content) < len(content) else None


def pack_images(folder: Path, cache: Path) -> list[str]:
    """Replace the PNG files in `folder` by smaller WebP files and return the names of those replaced."""
    files = sorted(folder.glob("*.png"))
    with ThreadPoolExecutor() as pool:
        packed = list(pool.map(lambda file: pack_image(file, cache), files))
    replaced = []
    for file, content in zip(files, packed, strict=True):
        if content is not None:
            file.with_suffix(".webp").write_bytes(content)
            file.unlink()
            replaced.append(file.name)
    return replaced


def image_size(path: Path) -> tuple[int, int]:
    """Return the width and height in pixels of a PNG or WebP file."""
    from PIL import Image

    head = path.read_bytes()[:24]
    if head.startswith(b"\x89PNG"):
        return struct.unpack(">II", head[16:24])
    with Image.open(path) as image:
        return image.size


def finish(site: Path, cache: Path) -> None:
    """Do everything that this module does to the built book in the folder `site`."""
    images = site / "_images"
    replaced = set(pack_images(images, cache)) if images.is_dir() else set()
    replaced |= {path.with_suffix(".png").name for path in images.glob("*.webp")}
    sizes = {path.name: image_size(path) for path in images.glob("*") if path.suffix in (".png", ".webp")}
    name = re.compile(r"(_images/)([^\"'/>\s]+)\.png")
    for path in pages(site):
        page = old = path.read_text(encoding="utf-8")
        page = name.sub(
            lambda found: f"{found[1]}{found[2]}.webp" if f"{found[2]}.png" in replaced else found[0], page
        )
        searches = path.name == "search.html"
        page = drop_scripts(page, searches)
        # The search begins while the page is read, with what those scripts define.
        page = page if searches else defer_scripts(page)
        steps: list[Callable[[str], str]] = [
            name_unfolding_arrows,
            mend_sign,
            mend_signatures,
            mend_bibliography,
            mend_tables,
            mend_download,
        ]
        for step in steps:
            page = step(page)
        page = mend_images(page, sizes)
        if page != old:
            path.write_text(page, encoding="utf-8")


def finish_build(app: Sphinx, failure: Exception | None) -> None:
    """Finish the pages after a build for the web, and put the editions beside them that are still current."""
    if failure is not None or app.builder.name not in SITE_BUILDERS:
        return
    site = Path(app.outdir)
    finish(site, Path(app.srcdir) / "_build" / "webp")
    made = Path(app.srcdir) / "_build" / "editions"
    editions = available_editions(made, newest_source(Path(app.srcdir)))
    for edition in editions:
        (site / EDITIONS_FOLDER).mkdir(exist_ok=True)
        shutil.copyfile(made / edition, site / EDITIONS_FOLDER / edition)
    write_editions(site, editions)
    logger.info("pages finished: %d, with links to %s", len(pages(site)), ", ".join(editions) or "no edition")


def newest_source(project: Path) -> float:
    """Return the time at which a source of the book was changed last."""
    patterns = (
        "_config.yml",
        "_toc.yml",
        "book/**/*",
        "notebooks/*.ipynb",
        "notebooks/studies/*.ipynb",
        "notebooks/results/**/*.json",
        "dae_utils/**/*.py",
    )
    times = [
        path.stat().st_mtime
        for pattern in patterns
        for path in project.glob(pattern)
        if path.is_file() and "__pycache__" not in path.parts and ".ipynb_checkpoints" not in path.parts
    ]
    return max(times, default=0.0)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the step, after all other steps at the end of a build."""
    app.add_js_file("book.js", loading_method="defer")
    app.connect("build-finished", finish_build, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
