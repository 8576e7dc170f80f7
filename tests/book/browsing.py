"""Opening pages in headless Chromium and writing down what happens.

A browser of the system is used, not one that Playwright downloads: the pages have to work in what readers
have.
"""

from __future__ import annotations

import gzip
import os
import shutil
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from playwright.sync_api import Error as BrowserError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HOW_TO_INSTALL = "apt-get install -y --no-install-recommends chromium"

# Without these the browser itself talks to its maker, needs a screen, or refuses to run as root.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

MOST_MILLISECONDS = 180_000

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 740}

# What is looked at once the page has settled. A page is too wide when it can be pushed sideways, and then the
# elements to blame are those that stick out and are not inside something that scrolls by itself.
MEASURE = """
async () => {
  if (window.MathJax && MathJax.startup) await MathJax.startup.promise;
  await document.fonts.ready;
  // Pictures that load when they are seen have to be there before anything is said about them.
  const pictures = [...document.images].filter((image) => image.loading === "lazy" || !image.complete);
  for (const image of pictures) image.loading = "eager";
  await Promise.all(pictures.map((image) => image.decode().catch(() => {})));
  const wide = document.documentElement.clientWidth;
  const clipped = (node) => {
    for (let up = node.parentElement; up && up !== document.body; up = up.parentElement) {
      const style = getComputedStyle(up);
      if (style.overflowX !== "visible" || style.position === "fixed") return true;
    }
    return false;
  };
  const sticking_out = [...document.querySelectorAll("body *")]
    .filter((node) => node.getBoundingClientRect().right > wide + 1 && !clipped(node))
    .map((node) => node.tagName.toLowerCase() + (node.className ? "." + node.className : ""));
  return {
    overflow: document.documentElement.scrollWidth - wide,
    sticking_out: sticking_out.slice(0, 5),
    broken_images: [...document.images].filter((image) => !image.naturalWidth).map((image) => image.src),
    formulas: document.querySelectorAll("article .math").length,
    typeset: document.querySelectorAll("article mjx-container").length,
    failed_formulas: [...document.querySelectorAll("mjx-merror")].map((node) => node.textContent),
  };
}
"""


# The page's own scripts learn of a new size, or that the page is complete, when the next frame is drawn. On
# a busy machine that can be later than the next command of a test.
NEXT_FRAME = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"

# What axe-core says of the page: nothing is left out, but what depends neither on the colours nor on the
# width need not be asked again in the dark or on a phone.
AXE = """
async (rules) => {
  const options = {resultTypes: ["violations"], preload: false};
  if (rules) options.runOnly = rules;
  // Colours of code are looked at once for each kind of word: a chapter repeats them thousands of times.
  const seen = new Set();
  const again = [];
  for (const code of document.querySelectorAll("article pre")) {
    const kinds = [...code.querySelectorAll("span")].map((span) => span.className);
    if (kinds.length && kinds.every((kind) => seen.has(kind))) again.push(code);
    kinds.forEach((kind) => seen.add(kind));
  }
  const all = rules && rules.includes("scrollable-region-focusable");
  const found = await axe.run({include: document, exclude: all ? [] : again}, options);
  return found.violations.map((violation) =>
    `${violation.id} (${violation.impact}), ${violation.nodes.length} times, ` +
    `first ${violation.nodes[0].target.join(" ")}: ${violation.help}`);
}
"""
IN_THE_DARK = ["color-contrast", "link-in-text-block"]
ON_A_PHONE = ["scrollable-region-focusable", "target-size"]


@dataclass
class Visit:
    """What happened when one page was opened at one width."""

    address: str
    width: int
    elsewhere: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)
    overflow: int = 0
    sticking_out: list[str] = field(default_factory=list)
    broken_images: list[str] = field(default_factory=list)
    formulas: int = 0
    typeset: int = 0
    failed_formulas: list[str] = field(default_factory=list)
    inaccessible: list[str] = field(default_factory=list)

    def complaints(self) -> list[str]:
        """Return everything that is wrong with the page, one line each."""
        place = f"{self.address} at {self.width} px"
        found = [f"{place}: asked another host for {url}" for url in self.elsewhere]
        found += [f"{place}: could not load {url}" for url in self.failed]
        found += [f"{place}: the console says {text}" for text in self.console]
        if self.overflow > 0:
            found.append(f"{place}: {self.overflow} px too wide, because of {self.sticking_out}")
        found += [f"{place}: the image {source} is not shown" for source in self.broken_images]
        if self.typeset < self.formulas:
            found.append(f"{place}: only {self.typeset} of {self.formulas} formulas are typeset")
        found += [f"{place}: {text}" for text in self.inaccessible]
        return found + [f"{place}: the formula {text!r} is wrong" for text in self.failed_formulas]


def find_browser() -> str:
    """Return the browser to use: `DAE_CHROMIUM`, or the first Chromium or Chrome on the path.

    Raises:
        FileNotFoundError: there is none; the message is the command that installs one.
    """
    named = os.environ.get("DAE_CHROMIUM")
    found = shutil.which(named) if named else next(filter(None, map(shutil.which, NAMES)), None)
    if not found:
        looked = f"DAE_CHROMIUM={named} is not a program." if named else "No Chromium or Chrome was found."
        raise FileNotFoundError(f"{looked} Type: {HOW_TO_INSTALL}  (or set DAE_CHROMIUM to a browser)")
    return found


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start a headless browser and close it afterwards."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments) -> None:
        """Say nothing about requests that were served."""


@cache
def _packed(path: str) -> bytes:
    with open(path, "rb") as file:
        return gzip.compress(file.read(), 6)


class _Packing(_Quiet):
    """Serves text packed with gzip, as every web server that is set up for readers does."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer with a file, packed when it is text."""
        path = self.translate_path(self.path)
        if not os.path.isfile(path):
            self.send_error(404)
            return
        packs = path.endswith((".html", ".css", ".js", ".json", ".svg", ".txt", ".ipynb"))
        if packs:
            content = _packed(path)
        else:
            with open(path, "rb") as file:
                content = file.read()
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(path))
        self.send_header("Content-Length", str(len(content)))
        if packs:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def served(folder: Path, packed: bool = False) -> Iterator[str]:
    """Serve `folder` on a free port of this machine and yield its address; `packed` with gzip."""
    handler = partial(_Packing if packed else _Quiet, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def belongs(url: str, base: str) -> bool:
    """Return whether `url` is part of the book at `base`, or made inside the page itself."""
    return url.startswith(base) or urlsplit(url).scheme in ("data", "blob", "about")


def watch(context: BrowserContext, base: str, visit: Visit) -> None:
    """Write every request, failure and console error in `context` into `visit`; let nothing out."""

    def decide(route) -> None:
        if belongs(route.request.url, base):
            route.continue_()
        else:
            visit.elsewhere.append(route.request.url)
            route.abort()

    def listen(page) -> None:
        page.on("console", lambda message: message.type == "error" and visit.console.append(message.text))
        page.on("pageerror", lambda error: visit.console.append(str(error)))

    context.route("**/*", decide)
    context.on("page", listen)
    context.on(
        "requestfailed",
        lambda request: (
            belongs(request.url, base) and visit.failed.append(f"{request.url} ({request.failure})")
        ),
    )
    context.on(
        "response",
        lambda answer: answer.status >= 400 and visit.failed.append(f"{answer.url} ({answer.status})"),
    )


@cache
def _axe_source() -> str:
    """Return the script of axe-core, which a package for Python carries."""
    import axe_playwright_python

    return (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


def inaccessible(page: Page, size: dict[str, int]) -> list[str]:
    """Return what axe-core objects to on an open page: in the light, and what can differ in the dark."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(_axe_source())
    found = [f"axe: {text}" for text in page.evaluate(AXE, None if size == DESKTOP else ON_A_PHONE)]
    if size == DESKTOP:
        page.evaluate("document.documentElement.dataset.theme = 'dark'")
        found += [f"axe, in the dark: {text}" for text in page.evaluate(AXE, IN_THE_DARK)]
        page.evaluate("document.documentElement.dataset.theme = 'light'")
    return found


def open_page(
    browser: Browser,
    base: str,
    name: str,
    sizes: Sequence[dict[str, int]] = (DESKTOP, PHONE),
    picture: Path | None = None,
    accessibility: bool = False,
) -> list[Visit]:
    """Open the page `name` of the book at `base` in a fresh window and return what happened at each size.

    The page is loaded at the first of `sizes`, and the window is then made as large as the others. With
    `picture`, a path without its ending, what the page looks like is stored once for each size. With
    `accessibility`,
    axe-core looks at it too.
    """
    visit = Visit(base + name, sizes[0]["width"])
    visits = [visit, *(Visit(base + name, size["width"]) for size in sizes[1:])]
    # Without motion, what moves when the window changes its size has arrived when it is looked at.
    context = browser.new_context(viewport=sizes[0], reduced_motion="reduce")
    # A slow machine takes many seconds to draw a chapter as one picture; speed is tested elsewhere.
    context.set_default_timeout(MOST_MILLISECONDS)
    try:
        watch(context, base, visit)
        page = context.new_page()
        page.goto(visit.address, wait_until="load")
        for size, seen in zip(sizes, visits, strict=True):
            page.set_viewport_size(size)
            page.wait_for_function("(width) => innerWidth === width", arg=size["width"])
            page.evaluate(NEXT_FRAME)
            for key, value in page.evaluate(MEASURE).items():
                setattr(seen, key, value)
            if accessibility:
                seen.inaccessible = inaccessible(page, size)
            if picture:
                picture.parent.mkdir(parents=True, exist_ok=True)
                page.screenshot(path=f"{picture}-{size['width']}.png", full_page=True, animations="disabled")
        # Scripts that wait before they load something have half a second of silence to break.
        page.wait_for_load_state("networkidle")
    except BrowserError as error:
        visit.failed.append(f"{visit.address} ({error.message.splitlines()[0]})")
    finally:
        context.close()
    return visits


def complaints(visits: Iterable[Visit]) -> list[str]:
    """Return everything that is wrong in any of `visits`, one line each."""
    return [complaint for visit in visits for complaint in visit.complaints()]


def transfer(browser: Browser, address: str) -> Counter:
    """Return the bytes that came for a page with all its figures, by the address of the file."""
    sizes, names = Counter(), {}
    context = browser.new_context(viewport=DESKTOP)
    try:
        page = context.new_page()
        session = context.new_cdp_session(page)
        session.send("Network.enable")
        session.on("Network.requestWillBeSent", lambda e: names.update({e["requestId"]: e["request"]["url"]}))
        session.on(
            "Network.loadingFinished",
            lambda e: sizes.update({names.get(e["requestId"], "?"): int(e["encodedDataLength"])}),
        )
        page.goto(address, wait_until="load")
        page.evaluate(MEASURE)
        page.wait_for_load_state("networkidle")
    finally:
        context.close()
    return sizes
