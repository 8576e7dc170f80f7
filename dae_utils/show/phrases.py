"""The words of figures and diagrams in another language, without a change to any cell.

``DAE_LANGUAGE`` names the language, such as ``zh``; empty or ``en`` is English, which needs no table. A table
is ``languages/<language>.json`` beside this module, or in the folder that ``DAE_LANGUAGE_DIR`` names::

    {"fonts": ["Noto Sans CJK SC"],
     "phrases": {"epoch": "轮", "threshold {}": "阈值 {}", "{} of {} images": "{1} 张图像中的 {0} 张"}}

A number inside a phrase is ``{}``; a translation may give the numbers another order by ``{0}``, ``{1}``.
What the table lacks is drawn in English and remembered, so that a test can ask what is missing. Nothing here
translates the text of a page: that is the work of gettext.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from matplotlib import font_manager
from matplotlib.category import StrCategoryFormatter
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, Formatter, FuncFormatter

__all__ = ["PhraseTable", "current_table", "installed_fonts", "translate", "translate_figure"]

# A sign belongs to the number only where no word or number stands before it: "2-3" holds a 2 and a 3.
_NUMBER = re.compile(r"(?<![\w.])[-+\u2212]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?|\d+(?:[.,]\d+)*")
_MATHEMATICS = re.compile(r"(?<!\\)\$.*?(?<!\\)\$", re.DOTALL)
_FIELD = re.compile(r"\{(\d*)\}")


class PhraseTable:
    """Phrases of one language.

    Args:
        phrases: English to translation; ``{}`` stands for a number on both sides.
        fonts: families that hold the letters of the language, the best first.

    Raises:
        ValueError: a translation with other numbers than its phrase.
    """

    def __init__(self, phrases: Mapping[str, str], fonts: Iterable[str] = ()) -> None:
        for phrase, translation in phrases.items():
            if _numbers_used(phrase) != _numbers_used(translation):
                raise ValueError(f"{translation!r} does not have the numbers of {phrase!r}, each once.")
        self.phrases = MappingProxyType(dict(phrases))
        self.fonts = tuple(fonts)
        self._known = frozenset(phrases) | frozenset(phrases.values())
        self._missing: set[str] = set()

    @property
    def missing(self) -> list[str]:
        """What was asked for and is not in the table, in the form that an entry would have; sorted."""
        return sorted(self._missing)

    def translate(self, text: str) -> str:
        """Return the text in this language, or as it is when the table lacks it.

        The whole text is looked up first, then the text with its numbers as ``{}``, then each of its lines.
        Numbers, symbols and formulas alone need no entry.
        """
        found = self._found(text)
        if found is None and "\n" in text:
            return "\n".join(map(self.translate, text.split("\n")))
        if found is None:
            self._missing.add(_NUMBER.sub("{}", text))
            return text
        return found

    def _found(self, text: str) -> str | None:
        if text in self.phrases:
            return self.phrases[text]
        pattern, numbers = _NUMBER.sub("{}", text), _NUMBER.findall(text)
        if pattern in self.phrases:
            return _with_numbers(self.phrases[pattern], numbers)
        has_words = any(character.isalpha() for character in _MATHEMATICS.sub("", text))
        # A figure that is drawn twice comes here with its translations.
        return text if not has_words or {text, pattern} & self._known else None


def _numbers_used(phrase: str) -> list[int]:
    """Return which numbers a phrase uses, sorted."""
    return sorted(int(field or count) for count, field in enumerate(_FIELD.findall(phrase)))


def _with_numbers(phrase: str, numbers: list[str]) -> str:
    """Return a phrase with its numbers in place; other braces, as in a formula, stay."""
    count = iter(range(len(numbers)))
    return _FIELD.sub(lambda field: numbers[int(field[1] or next(count))], phrase)


def current_table() -> PhraseTable | None:
    """Return the table of the language that ``DAE_LANGUAGE`` names, or None for English.

    Raises:
        ValueError: there is no table of that language, or it is not one.
    """
    language = os.environ.get("DAE_LANGUAGE", "").strip()
    if language in ("", "en"):
        return None
    folder = os.environ.get("DAE_LANGUAGE_DIR", "").strip() or Path(__file__).parent / "languages"
    return _load(str(folder), language)


@cache
def _load(folder: str, language: str) -> PhraseTable:
    path = Path(folder) / f"{language}.json"
    if not re.fullmatch(r"[A-Za-z_-]+", language) or not path.is_file():
        raise ValueError(
            f"DAE_LANGUAGE is {language!r}, but {path} is missing: add it, or unset it for English."
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return PhraseTable(content["phrases"], content.get("fonts", ()))
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f'{path} is not {{"fonts": [...], "phrases": {{...}}}}: {error!r}.') from error


def translate(text: str) -> str:
    """Return the text in the language that ``DAE_LANGUAGE`` names, or as it is for English."""
    table = current_table()
    return text if table is None else table.translate(text)


def translate_figure(figure: Figure) -> None:
    """Translate every word of a figure, in place: titles, axes, legends, annotations and ticks with names.

    Figures that a notebook shows in the book's style come here by themselves, see `use_book_style`. A figure
    may come here twice.
    """
    table = current_table()
    if table is None:
        return
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            for set_formatter, formatter in (
                (axis.set_major_formatter, axis.get_major_formatter()),
                (axis.set_minor_formatter, axis.get_minor_formatter()),
            ):
                words = _translated_ticks(formatter, table)
                if words is not None:
                    set_formatter(words)
    for text in figure.findobj(Text):
        if isinstance(text, Text) and text.get_text():
            text.set_text(table.translate(text.get_text()))


def _translated_ticks(formatter: Formatter, table: PhraseTable) -> Formatter | None:
    """Return a formatter with translated words, or None for one that writes numbers.

    Matplotlib writes the labels of ticks anew with each drawing, so it is their source that must change.
    """
    if isinstance(formatter, FixedFormatter):
        return FixedFormatter([table.translate(str(word)) for word in formatter.seq])
    if isinstance(formatter, FuncFormatter | StrCategoryFormatter):

        def label(value: float, position: Any = None) -> str:
            return table.translate(formatter(value, position))

        return FuncFormatter(label)
    return None


def installed_fonts(table: PhraseTable) -> list[str]:
    """Return the fonts of a language that this machine has.

    Raises:
        ValueError: it has none of them.
    """
    installed = [font for font in table.fonts if font in font_manager.get_font_names()]
    if table.fonts and not installed:
        raise ValueError(f"none of the fonts for this language is installed: {', '.join(table.fonts)}.")
    return installed
