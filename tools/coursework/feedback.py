"""Writes a page of feedback. What a student wrote is never markup there: it is text, or a picture in PNG."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from pathlib import Path
from typing import Any

import jinja2

LARGEST_PAGE_MB = 8
_STYLE = """
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; padding: .3rem; }
table { border-collapse: collapse; }
td, th { border: 1px solid #999; padding: .2rem .5rem; text-align: left; }
.source { background: #f4f4f4; } .bad { color: #8c1d18; } .good { color: #1b5e20; } img { max-width: 100%; }
.warning { border: 2px solid #8c1d18; padding: .5rem; } .text { border-left: 3px solid #999; }
"""


def is_picture(content: Any) -> bool:
    """Return whether a text is a PNG picture that can be shown, in base 64."""
    from PIL import Image

    if not isinstance(content, str) or not re.fullmatch(r"[A-Za-z0-9+/\s]+=*\s*", content):
        return False
    try:
        data = base64.b64decode(content)
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            return picture.width * picture.height <= 4e7
    except Exception:
        return False


def _cut(text: Any, most: int) -> str:
    kept = "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in str(text)[:most])
    return kept if len(str(text)) <= most else f"{kept}\n(the rest was dropped)"


def page(student: str, row: dict[str, Any], found: dict[str, Any]) -> str:
    """Return the page of a submission as HTML.

    Args:
        student: the name, as it is to be shown.
        row: of the gradebook.
        found: ``checks``, ``cells``, ``texts`` and ``refused``, where they are known.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cut"] = _cut
    environment.tests["picture"] = is_picture
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    template = environment.get_template("feedback.html.j2")
    parts = {"checks": [], "cells": [], "texts": {}, "refused": "", **found}
    for cells in (parts["cells"], [{**cell, "outputs": []} for cell in parts["cells"]], []):
        html = template.render(
            **{**parts, "cells": cells},
            student=student,
            assignment=row["assignment"],
            row=row,
            style=_STYLE,
            style_digest=digest,
        )
        if len(html) <= LARGEST_PAGE_MB * 2**20:
            break
    return html
