"""Opening pages in headless Chromium and writing down what happens.

A browser of the system is used, not one that Playwright downloads: the pages have to work in what readers
have.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, sync_playwright
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

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 740}

# What is looked at once the page has settled. A page is too wide when it can be pushed sideways, and then the
# elements to blame are those that stick out and are not inside something that scrolls by itself.
MEASURE = """
async () => {
  if (window.MathJax && MathJax.startup) await MathJax.startup.promise;
  await document.fonts.ready;
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


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve `folder` on a free port of this machine and yield its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
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


def open_page(
    browser: Browser,
    base: str,
    name: str,
    sizes: Sequence[dict[str, int]] = (DESKTOP, PHONE),
    picture: Path | None = None,
) -> list[Visit]:
    """Open the page `name` of the book at `base` in a fresh window and return what happened at each size.

    The page is loaded at the first of `sizes`, and the window is then made as large as the others. With
    `picture`, a path without its ending, what the page looks like is stored once for each size.
    """
    visit = Visit(base + name, sizes[0]["width"])
    visits = [visit, *(Visit(base + name, size["width"]) for size in sizes[1:])]
    # Without motion, what moves when the window changes its size has arrived when it is looked at.
    context = browser.new_context(viewport=sizes[0], reduced_motion="reduce")
    try:
        watch(context, base, visit)
        page = context.new_page()
        page.goto(visit.address, wait_until="load")
        for size, seen in zip(sizes, visits, strict=True):
            page.set_viewport_size(size)
            for key, value in page.evaluate(MEASURE).items():
                setattr(seen, key, value)
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
