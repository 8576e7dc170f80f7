"""Checks the prose: spelling by codespell, and the rules of the house.

``python -m tools.check_prose [FILE ...]``: without a file, all pages, guides and notebooks of the project.
Of a notebook its Markdown cells are read, of a page what is neither code, nor formula, nor address. codespell
knows what is misspelt in British and American alike, so the American forms are on a list of our own, beside
words that promise instead of saying something.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.notebook_code import PROJECT, find_notebooks, read_notebook

# What a rule finds, and what to do about it. Case does not count.
RULES: tuple[tuple[str, str], ...] = (
    (
        r"\b(?:color|flavor|favor|behavior|neighbor|labor|honor|harbor|vapor|rumor)(?:s|ed|ing|ful|hood|ite|able)?\b",
        "British: -our",
    ),
    (r"\b(?:center|meter|fiber|liter|theater)s?\b", "British: -re (a meter that measures: call it a gauge)"),
    (r"\b(?:gray|grays|grayscale)\b", "British: grey"),
    (
        r"\b(?:normal|general|special|regular|optim|visual|organ|recogn|initial|summar|minim|maxim|standard|categor"
        r"|character|emphas|local|real|util|parametr|quant|vector|penal|random|serial|token|stabil|final|critic"
        r")iz(?:e|es|ed|er|ers|ing|ation|ations)\b",
        "British, as this book has it: -ise",
    ),
    (r"\b(?:analyz|paralyz|catalyz)(?:e|es|ed|er|ers|ing)\b", "British: -yse"),
    (
        r"\b(?:label|model|travel|cancel|signal|channel|level|tunnel|fuel)(?:ed|ing|er)\b",
        "British: -lled, -lling",
    ),
    (
        r"\b(?:defense|offense|skeptic\w*|aluminum|gotten)\b",
        "American",
    ),
    (
        r"\b(?:state[- ]of[- ]the[- ]art|cutting[- ]edge|game[- ]chang\w+|revolutionary|blazing(?:ly)?"
        r"|seamless(?:ly)?|effortless(?:ly)?|ground-?breaking|world[- ]class|powerful|unleash\w*)\b",
        "say what was measured",
    ),
    (
        r"\b(?:delve\w*|leverag(?:e|es|ed|ing)|utilis(?:e|es|ed|ing)|in order to|a plethora of|myriad)\b",
        "plainer words",
    ),
    (
        r"\b(?:obviously|needless to say|it is important to note|it should be noted|as everybody knows)\b",
        "leave it out",
    ),
    (r"\b(?:TODO|FIXME|XXX|TBD|lorem ipsum|coming soon)\b", "finish it or take it out"),
    (
        r"\b(?:see|as|shown|described|mentioned|explained|discussed|figure|table|section|cell) "
        r"(?:above|below)\b",
        "name the place, with a link",
    ),
    (r"\b([a-z]+)[ \n]\1\b(?<!\bhad had)(?<!\bthat that)", "a word twice"),
    (r"[\u2018\u2019\u201c\u201d]", "straight quotation marks"),
    (r"\[\^[^\]]+\]", "no footnotes: they cannot be translated"),
    (r"[^\S\n]\u2014|\u2014[^\S\n]", "no dashes between clauses: two sentences, or a colon"),
)
_RULES = [(re.compile(rule, re.IGNORECASE), advice) for rule, advice in RULES]

GUIDES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "genindex.md")
PROGRAMS = (
    "dae_utils/**/*.py",
    "tools/*.py",
    "tools/*.sh",
    "book/_ext/*.py",
    "tests/**/*.py",
    "book/*.yml",
    "*.yml",
)
# Directives whose body is not prose.
_NOT_PROSE = {
    "code-block",
    "code",
    "eval-rst",
    "math",
    "bibliography",
    "toctree",
    "include",
    "mermaid",
    "raw",
}
_FENCE = re.compile(r"^\s*(`{3,}|:{3,})\s*(?:\{([\w:-]+)\})?(.*)$")
# Blanked out, so that a column in a complaint is that in the file.
_HIDDEN = re.compile(
    r"\$\$.*?\$\$|\$[^$\n]+\$"  # formulas
    r"|\{[\w:-]+\}`[^`]*`"  # roles: what stands in them is a name
    r"|`+[^`]*`+"  # code
    r"|<?https?://[^\s)>]+>?"  # addresses
    r"|\]\([^)\s]*\)"  # the target of a link
    r"|<!--.*?-->|<[a-zA-Z/][^>\n]*>",  # HTML
    re.DOTALL,
)


@dataclass(frozen=True)
class Prose:
    """A piece of prose: where it stands, for a complaint, and its lines with everything else blanked out."""

    place: str
    text: str


def without_code(markdown: str) -> str:
    """Return `markdown` with code, formulas, addresses and names as blanks: lines stay where they are."""
    lines, fences = [], []
    for line in markdown.splitlines():
        fence = _FENCE.match(line)
        if fence and fences and fence[1].startswith(fences[-1][0]) and not fence[2] and not fence[3].strip():
            fences.pop()
            lines.append("")
        elif fence and not (fences and fences[-1][1]):
            code = fence[1].startswith("`") and (fence[2] is None or fence[2] in _NOT_PROSE)
            fences.append((fence[1], code))
            # The title of a directive is prose, its file name is not.
            lines.append(
                "" if fence[2] in (None, *_NOT_PROSE, "figure", "image", "glue:figure") else fence[3]
            )
        elif (fences and fences[-1][1]) or re.match(r"^\s*:(?!alt:)[\w-]+:|^\(.*\)=$|^\+\+\+$", line):
            lines.append("")
        else:
            lines.append(line)
    return _HIDDEN.sub(lambda found: re.sub(r"\S", " ", found[0]), "\n".join(lines))


def pieces(path: Path) -> Iterator[Prose]:
    """Yield the prose in a page or a notebook."""
    name = path.relative_to(PROJECT).as_posix() if path.is_relative_to(PROJECT) else path.name
    if path.suffix == ".ipynb":
        for number, cell in enumerate(read_notebook(path).cells):
            if cell.cell_type == "markdown":
                yield Prose(f"{name}, cell {number}", without_code(cell.source))
    else:
        yield Prose(name, without_code(path.read_text(encoding="utf-8")))


def against_the_rules(prose: Prose) -> list[str]:
    """Return one line for each place that a rule of the house objects to."""
    complaints = []
    for rule, advice in _RULES:
        for found in rule.finditer(prose.text):
            line = prose.text.count("\n", 0, found.start()) + 1
            complaints.append(f"{prose.place}, line {line}: {' '.join(found[0].split())!r}: {advice}")
    return complaints


def misspelt(prose: Prose) -> list[str]:
    """Return one line for each word that codespell knows to be misspelt."""
    # codespell repeats the line and says in the next one, indented, what is wrong with it.
    found = re.findall(r"^(\d+): .*\n\s+(.*)$", _codespell(["-"], prose.text).stdout, flags=re.MULTILINE)
    return [f"{prose.place}, line {line}: {words}" for line, words in found]


def misspelt_files(files: list[Path]) -> list[str]:
    """Return what codespell says about whole files: programs, with their comments and their docstrings."""
    return _codespell([str(file) for file in files]).stdout.splitlines() if files else []


def _codespell(arguments: list[str], text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run codespell, whose settings are in pyproject.toml.

    Raises:
        RuntimeError: it is not installed, or did not understand its settings.
    """
    run = subprocess.run(
        [sys.executable, "-m", "codespell_lib", *arguments],
        cwd=PROJECT,
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    # 65 says that words were found.
    if run.returncode not in (0, 65):
        raise RuntimeError(f"codespell failed: {run.stderr.strip() or run.stdout.strip()}")
    return run


def documents() -> list[Path]:
    """Return the pages, guides and notebooks of the project."""
    pages = sorted((PROJECT / "book").rglob("*.md"))
    return [*pages, *(PROJECT / name for name in GUIDES), *find_notebooks()]


def programs() -> list[Path]:
    """Return the programs and settings whose comments are checked for spelling."""
    return sorted({path for pattern in PROGRAMS for path in PROJECT.glob(pattern)})


def main(arguments: list[str]) -> int:
    """Check the named files, or all, and return 1 when there is a complaint."""
    named = [Path(name).resolve() for name in arguments]
    prose = [piece for path in named or documents() for piece in pieces(path)]
    complaints = [complaint for piece in prose for complaint in against_the_rules(piece)]
    # All at once: starting codespell for each of a thousand cells would take minutes.
    lines = [(piece.place, number) for piece in prose for number in range(1, piece.text.count("\n") + 2)]
    joined = "\n".join(piece.text for piece in prose)
    for line in misspelt(Prose("", joined)):
        number, _, rest = line.removeprefix(", line ").partition(": ")
        place, line_there = lines[int(number) - 1]
        complaints.append(f"{place}, line {line_there}: {rest.strip()}")
    complaints += misspelt_files([] if named else programs())
    print(*complaints, sep="\n", end="\n" if complaints else "")
    print(f"{len(prose)} pieces of prose: {len(complaints) or 'no'} complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
