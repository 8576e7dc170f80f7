"""What can be said about a built page without opening it in a browser.

Each function takes pages and returns a list of complaints, one line each, so that a test shows all of them
at once and so that the checks themselves can be tested on pages that are wrong on purpose.
"""

from __future__ import annotations

import gzip
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup, Tag

PROJECT = Path(__file__).resolve().parents[2]
SOURCES = (
    "_config.yml",
    "_toc.yml",
    "book/**/*",
    "notebooks/*.ipynb",
    "notebooks/studies/*.ipynb",
    "notebooks/results/**/*.json",
    "notebooks/live/*.js",
    "dae_utils/*.py",
)

ELSEWHERE = re.compile(r"^\s*(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
# What a browser loads on its own, as opposed to what a reader clicks on.
LOADED = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "embed": "src",
    "object": "data",
}
LOADED_LINKS = {"stylesheet", "icon", "preload", "prefetch", "preconnect", "dns-prefetch", "modulepreload"}
STYLE_SOURCE = re.compile(r"(?:@import\s+(?:url\()?|url\()\s*[\"']?([^\"')\s]+)", re.IGNORECASE)
ROLE_LEFT_OVER = re.compile(r"\{[a-z:]+\}[`\"]|\bglue:|\?\?|\[\?\]")
FILE_NAME = re.compile(r"^\S+\.(?:png|svg|jpe?g|gif|webp)$|^[0-9a-f]{32,}$", re.IGNORECASE)


# Lines within each page write into what this one of Sphinx defines.
MAY_BLOCK = {"documentation_options.js"}
# The settings of the theme and of MathJax are short enough to read.
LONGEST_INLINE_SCRIPT = 500
# The largest page was 75 kB when this was written, chapter 6 in its first edition: a third more.
LARGEST_PAGE = 100_000


@dataclass(frozen=True)
class Page:
    """One page of a built book: its file and the folder of the book."""

    path: Path
    site: Path

    @property
    def name(self) -> str:
        """The path inside the book, as it is written in an address."""
        return self.path.relative_to(self.site).as_posix()

    @cached_property
    def soup(self) -> BeautifulSoup:
        """The parsed page."""
        return BeautifulSoup(self.path.read_text(encoding="utf-8"), "html.parser")

    @property
    def redirect(self) -> str | None:
        """Where the page sends the browser at once, if it does."""
        refresh = self.soup.find("meta", attrs={"http-equiv": re.compile("refresh", re.IGNORECASE)})
        return refresh["content"].split("url=", 1)[1].strip() if isinstance(refresh, Tag) else None

    @cached_property
    def anchors(self) -> set[str]:
        """Every name that a link to this page can end in."""
        names = {tag["id"] for tag in self.soup.find_all(id=True)}
        return names | {tag["name"] for tag in self.soup.find_all("a", attrs={"name": True})}


def all_pages(site: Path) -> dict[str, Page]:
    """Return the pages of a built book by name, without the fragments in _static."""
    pages = [Page(path, site) for path in sorted(site.rglob("*.html")) if "_static" not in path.parts]
    return {page.name: page for page in pages}


def missing_pages(pages: dict[str, Page], documents: list[str]) -> list[str]:
    """Complain about documents in the table of contents that were not built."""
    return [f"{document}: not built" for document in documents if f"{document}.html" not in pages]


def broken_links(pages: dict[str, Page]) -> list[str]:
    """Complain about links inside the book whose page, file or place on the page is not there."""
    complaints = []
    for page in pages.values():
        targets = [tag["href"] for tag in page.soup.find_all(["a", "link"], href=True)]
        targets += [tag["src"] for tag in page.soup.find_all(src=True)]
        targets += [page.redirect] if page.redirect else []
        for target in dict.fromkeys(targets):
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            file = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path
            if not file.is_relative_to(page.site):
                complaints.append(f"{page.name}: {target} leads out of the book")
            elif not file.is_file():
                complaints.append(f"{page.name}: {target} is not there")
            elif parts.fragment and file.suffix == ".html":
                other = pages[file.relative_to(page.site).as_posix()]
                if unquote(parts.fragment) not in other.anchors:
                    complaints.append(f"{page.name}: {target} has no such place")
    return complaints


def loads_from_elsewhere(page: Page) -> list[str]:
    """Complain about everything that the page would load from another host."""
    sources = [
        tag[attribute]
        for name, attribute in LOADED.items()
        for tag in page.soup.find_all(name)
        if tag.get(attribute)
    ]
    sources += [
        part.split()[0] for tag in page.soup.find_all(srcset=True) for part in tag["srcset"].split(",")
    ]
    sources += [
        tag["href"] for tag in page.soup.find_all("link", href=True) if LOADED_LINKS & set(tag.get("rel", []))
    ]
    styles = [tag.get_text() for tag in page.soup.find_all("style")]
    styles += [tag["style"] for tag in page.soup.find_all(style=True)]
    sources += [source for style in styles for source in STYLE_SOURCE.findall(style)]
    complaints = [f"{page.name}: loads {source}" for source in sources if ELSEWHERE.match(source)]
    # Settings for a script that would load its parts later, such as thebe.
    scripts = [tag.get_text() for tag in page.soup.find_all("script") if not tag.get("src")]
    return complaints + [
        f"{page.name}: a script names another host: {text.strip()[:80]}"
        for text in scripts
        if re.search(r"https?://", text)
    ]


def styles_from_elsewhere(site: Path) -> list[str]:
    """Complain about style sheets of the book that load anything from another host."""
    return [
        f"{path.relative_to(site)}: loads {source}"
        for path in sorted(site.rglob("*.css"))
        for source in STYLE_SOURCE.findall(path.read_text(encoding="utf-8"))
        if ELSEWHERE.match(source)
    ]


def images_without_words(page: Page) -> list[str]:
    """Complain about images whose alternative text is missing, empty, or only the name of a file."""
    complaints = []
    for image in page.soup.find_all("img"):
        text, source = (image.get("alt") or "").strip(), image.get("src", "")
        if not text:
            complaints.append(f"{page.name}: no alternative text for {source}")
        elif FILE_NAME.match(text) or text in source:
            complaints.append(f"{page.name}: the alternative text {text!r} is a file name")
    return complaints


def prose(page: Page) -> str:
    """Return what the page says, without code, formulas, scripts and headings of the program's own."""
    article = BeautifulSoup(str(page.soup.find("article") or page.soup), "html.parser")
    for tag in article.find_all(["pre", "code", "script", "style"]) + article.select(".math"):
        tag.decompose()
    return article.get_text(" ")


def left_overs(page: Page) -> list[str]:
    """Complain about errors and unresolved references that were printed into the page."""
    complaints = []
    if "Traceback (most recent call last)" in page.soup.get_text():
        complaints.append(f"{page.name}: shows a traceback")
    complaints += [
        f"{page.name}: shows the message of a failed directive or role: {tag.get_text(' ', strip=True)[:80]}"
        for tag in page.soup.select(".problematic, .system-message")
    ]
    complaints += [f"{page.name}: unresolved {found!r}" for found in ROLE_LEFT_OVER.findall(prose(page))]
    return complaints


def form(page: Page) -> list[str]:
    """Complain about what every page must have: a language, one main heading, and ids that are unique."""
    complaints = []
    html = page.soup.find("html")
    if not isinstance(html, Tag) or html.get("lang") != "en":
        complaints.append(f"{page.name}: the language is not marked as English")
    # Outside the article the theme repeats the heading once more, for printing.
    headings = (page.soup.find("article") or page.soup).find_all("h1")
    if len(headings) != 1:
        complaints.append(f"{page.name}: {len(headings)} main headings")
    ids = Counter(tag["id"] for tag in page.soup.find_all(id=True))
    complaints += [
        f"{page.name}: the id {name!r} stands {count} times" for name, count in ids.items() if count > 1
    ]
    return complaints


def blocking_scripts(page: Page) -> list[str]:
    """Complain about scripts that a browser has to fetch, or to run at length, before it shows anything."""
    complaints = []
    for script in page.soup.head.find_all("script"):
        source, length = script.get("src", "").split("?")[0], len(script.get_text())
        waits = script.has_attr("defer") or script.has_attr("async") or script.get("type") == "module"
        if source and not waits and source.rsplit("/", 1)[-1] not in MAY_BLOCK:
            complaints.append(f"{page.name}: the page waits for {source}")
        elif not source and length > LONGEST_INLINE_SCRIPT:
            complaints.append(f"{page.name}: a script in its head is {length} characters long")
    return complaints


def weight(page: Page) -> list[str]:
    """Complain about a page that is large without its figures, as a server sends it."""
    size = len(gzip.compress(page.path.read_bytes(), 6))
    return [f"{page.name}: {size} bytes of packed HTML"] if size > LARGEST_PAGE else []


def emptiness(page: Page, least: int = 200) -> list[str]:
    """Complain about a page that says next to nothing."""
    length = len(" ".join(prose(page).split()))
    return [f"{page.name}: only {length} characters of text"] if length < least else []


def every(check, pages: dict[str, Page]) -> Iterator[str]:
    """Yield the complaints of `check` about all pages that are shown, that is all but redirects."""
    for page in pages.values():
        if page.redirect is None:
            yield from check(page)


def newest_source(project: Path) -> Path:
    """Return the source file of the book that was changed last."""
    files = [
        path
        for pattern in SOURCES
        for path in project.glob(pattern)
        if path.is_file() and "__pycache__" not in path.parts and ".ipynb_checkpoints" not in path.parts
    ]
    return max(files, key=lambda path: path.stat().st_mtime)


def what_is_wrong_with_the_build(html: Path, project: Path) -> str | None:
    """Return why the build in `html` cannot be tested, with the way out, or None when it can."""
    start = html / "index.html"
    if not start.is_file():
        return f"There is no built book in {html}.\nType: make book"
    changed = newest_source(project)
    if changed.stat().st_mtime > start.stat().st_mtime:
        return f"The built book is older than {changed.relative_to(project)}.\nType: make book"
    return None
