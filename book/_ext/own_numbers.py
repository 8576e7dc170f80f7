"""Number the figures of a notebook without a chapter's number from 1: those of chapter 0 and of the studies.

In a numbered chapter they are 3.1, 3.2 and so on. Sphinx counts those of all other pages in one row through
the book, so that the first figure of a study would be the ninth.
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment


def renumber(numbers: dict[str, dict[str, tuple[int, ...]]]) -> None:
    """Let the numbers of one page, by kind and by name, begin with 1 where they have one part."""
    for of_kind in numbers.values():
        names = sorted((number, name) for name, number in of_kind.items() if len(number) == 1)
        of_kind.update((name, (place,)) for place, (_, name) in enumerate(names, 1))


def renumber_notebooks(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Do so for all notebooks; it is done anew in every build, like the numbers themselves."""
    for docname, numbers in env.toc_fignumbers.items():
        if docname.startswith("notebooks/"):
            renumber(numbers)
    return []


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the step, after the one of Sphinx that gives the numbers."""
    app.connect("env-get-updated", renumber_notebooks, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
