"""The text of the project: its spelling and style, its citations, its addresses, its licences and guides."""

from __future__ import annotations

import datetime
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from tools import check_prose
from tools.chapter_rules import (
    MOST_CELLS,
    MOST_LINES,
    MOST_WORDS,
    MOST_WORDS_OF_A_STUDY,
    is_rewritten,
)
from tools.check_prose import Prose, against_the_rules, misspelt, without_code
from tools.notebook_code import PROJECT, find_chapters, find_notebooks, read_notebook

ADDRESS = re.compile(r"https?://[^\s\"'`<>|\\]+")
DOI = re.compile(r"10\.\d{4,9}/\S+")
ARXIV = re.compile(r"\d{4}\.\d{4,5}|[a-z-]+(?:\.[A-Z]{2})?/\d{7}")


def read(name: str) -> str:
    return (PROJECT / name).read_text(encoding="utf-8")


def sources() -> dict[str, str]:
    """Return all that readers are shown as text: pages, guides, and the prose of the notebooks."""
    texts = {path.relative_to(PROJECT).as_posix(): path.read_text(encoding="utf-8") for path in pages()}
    for path in find_notebooks():
        name = path.relative_to(PROJECT).as_posix()
        cells = (cell.source for cell in read_notebook(path).cells if cell.cell_type == "markdown")
        texts[name] = "\n\n".join(cells)
    return texts


def pages() -> list[Path]:
    guides = [PROJECT / name for name in (*check_prose.GUIDES, "LICENSE-text", "CITATION.cff")]
    return [*sorted((PROJECT / "book").rglob("*.md")), *guides]


# ---- Spelling and style ----


def test_the_prose_is_spelt_and_written_as_the_house_has_it():
    run = subprocess.run(
        [sys.executable, "-m", "tools.check_prose"], cwd=PROJECT, capture_output=True, text=True, check=False
    )

    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("The color of a cloud.", "British: -our"),
        ("Its nearest neighbors vote.", "British: -our"),
        ("The center of mass.", "British: -re"),
        ("A gray image.", "British: grey"),
        ("We normalize the pixels.", "-ise"),
        ("After initialization it runs.", "-ise"),
        ("To analyze is human.", "British: -yse"),
        ("The labeled images.", "-lled"),
        ("A state-of-the-art result.", "measured"),
        ("We leverage a network.", "plainer"),
        ("Obviously it is so.", "leave it out"),
        ("TODO: explain.", "finish it"),
        ("As shown above, it fails.", "name the place"),
        ("This is is twice.", "a word twice"),
        ("A \u201cquoted\u201d word.", "straight"),
        ("A note.[^1]", "no footnotes"),
        ("It fails \u2014 always.", "no dashes"),
    ],
)
def test_a_rule_of_the_house_finds_what_it_is_for(text, advice):
    found = against_the_rules(Prose("here", text))

    assert found, text
    assert all(advice in complaint for complaint in found)
    assert found[0].startswith("here, line 1: ")


@pytest.mark.parametrize(
    "text",
    [
        "The colour of the centre is grey; neighbours are labelled and normalised.",
        "A size, a prize, the horizon, seized and capsized: not every -ize is one.",
        "The score lies above the threshold, the error below zero.",
        "He had had enough.",
        "A fulfilled promise, modelled on levels.",
    ],
)
def test_good_prose_gives_no_complaint(text):
    assert against_the_rules(Prose("here", text)) == []


def test_a_misspelt_word_is_found_with_its_line():
    wrong = "rec" + "ieve"  # in pieces, since this file is checked as well

    assert misspelt(Prose("here", f"All is well.\nWe {wrong} a signal.")) == [
        f"here, line 2: {wrong} ==> receive"
    ]
    assert misspelt(Prose("here", "We receive a signal in colour.")) == []


def test_code_and_names_are_not_prose_and_directives_are():
    text = """Use `color="gray"` and {py:func}`~a.normalize` or $center$.
```python
color = "gray"
```
```{figure} color.png
:alt: A gray cat.
:name: center
A gray dog.
```
:::{tip} The center
A [neighbor](http://color.org/center).
:::
(color)=
<span class="color">fiber</span>"""

    found = against_the_rules(Prose("p", without_code(text)))

    places = [int(re.search(r"line (\d+)", complaint)[1]) for complaint in found]
    assert sorted(places) == [6, 8, 10, 11, 14]


def test_complaints_about_notebooks_name_the_cell(tmp_path):
    import nbformat

    cells = [nbformat.v4.new_code_cell("color = 1"), nbformat.v4.new_markdown_cell("One line.\nA gray cat.")]
    notebook = tmp_path / "x.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), notebook)

    (piece,) = check_prose.pieces(notebook)

    assert against_the_rules(piece) == ["x.ipynb, cell 1, line 2: 'gray': British: grey"]


# ---- Citations ----


def entries() -> dict[str, str]:
    """Return the entries of the bibliography by key."""
    text = read("book/references.bib")
    found = re.findall(r"^@\w+\{([^,\s]+),(.*?)^\}", text, flags=re.MULTILINE | re.DOTALL)
    assert len(found) == len(re.findall(r"^@", text, flags=re.MULTILINE))
    assert len(dict(found)) == len(found), "a key stands twice"
    return dict(found)


def cited() -> dict[str, str]:
    """Return every key that is cited, with a place where it is."""
    found = {}
    for name, text in sources().items():
        for keys in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", text):
            found |= {key.strip(): name for key in re.split(r"[,;]", keys)}
    for key in re.findall(r"\bcite: *[\"']?([\w-]+)", read("book/published_results.yml")):
        found[key] = "book/published_results.yml"
    for path in (PROJECT / "book" / "_ext").glob("*.py"):
        for key in re.findall(r"\{cite(?::\w+)?\}`(\w+)`", path.read_text(encoding="utf-8")):
            found[key] = path.name
    return found


def test_every_citation_has_an_entry():
    known = entries()

    assert {key: place for key, place in cited().items() if key not in known} == {}


def test_every_entry_is_cited():
    assert sorted(set(entries()) - set(cited())) == []


def test_every_entry_says_where_the_work_is():
    for key, fields in entries().items():
        assert re.search(r"^\s*(?:author|editor)\s*=", fields, re.MULTILINE), key
        assert re.search(r"^\s*title\s*=", fields, re.MULTILINE), key
        assert re.search(r"^\s*year\s*=\s*[{\"]?(?:1[89]|20)\d\d", fields, re.MULTILINE), key
        for doi in re.findall(r"^\s*doi\s*=\s*[{\"]([^}\"]+)", fields, re.MULTILINE):
            assert DOI.fullmatch(doi), (key, doi)
        for number in re.findall(r"^\s*eprint\s*=\s*[{\"]([^}\"]+)", fields, re.MULTILINE):
            assert ARXIV.fullmatch(number), (key, number)


# ---- Addresses elsewhere ----


def complaint_about(address: str) -> str | None:
    """Return what is wrong with an address on another host, or None."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    try:
        port = parts.port
    except ValueError:
        return "the port is no number"
    if host == "127.0.0.1":
        return None
    if parts.scheme != "https":
        return "not https"
    if port or "@" in parts.netloc:
        return "a port or a user"
    if not re.fullmatch(r"(?:[a-z0-9-]+\.)+[a-z]{2,}", host):
        return "no host"
    if "//" in parts.path or address.count("(") != address.count(")"):
        return "a slash or a bracket too many"
    return None


def addresses(text: str) -> list[str]:
    """Return the addresses in `text`, without the marks behind them that belong to the sentence."""
    found = [address.rstrip(".,;:!?*") for address in ADDRESS.findall(text)]
    return [address.rstrip(".,;:!?*)") if "(" not in address else address for address in found]


def test_addresses_elsewhere_are_well_formed():
    texts = {**sources(), "book/references.bib": re.sub(r"[{}]", " ", read("book/references.bib"))}
    found = [(name, address) for name, text in texts.items() for address in addresses(text)]

    assert len(found) > 10
    wrong = [
        f"{name}: {address}: {complaint_about(address)}"
        for name, address in found
        if complaint_about(address)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("http://example.org/", "not https"),
        ("https://example/", "no host"),
        ("https://example.org:99/", "a port"),
        ("https://me@example.org/", "a user"),
        ("https://example.org:x/", "port is no number"),
        ("https://example.org//a", "a slash"),
        ("https://example.org/a(b", "a bracket"),
    ],
)
def test_a_wrong_address_is_found(address, says):
    assert says in complaint_about(address)


def test_marks_of_the_sentence_do_not_belong_to_an_address():
    text = "See https://a.org/x. (https://b.org/y) [z](https://c.org/z), <https://d.org/w_(v)>"

    assert addresses(text) == ["https://a.org/x", "https://b.org/y", "https://c.org/z", "https://d.org/w_(v)"]


# ---- Citation data, licences, guides ----


def test_the_citation_data_is_valid():
    run = subprocess.run(
        [
            sys.executable,
            "-c",
            "from cffconvert.cli.cli import cli; cli()",
            "--validate",
            "-i",
            "CITATION.cff",
        ],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    assert "valid" in run.stdout


def test_the_citation_data_agrees_with_the_project():
    data = yaml.safe_load(read("CITATION.cff"))
    config = yaml.safe_load(read("_config.yml"))
    project = tomllib.loads(read("pyproject.toml"))["project"]

    assert data["title"] == config["title"]
    assert [author["name"] for author in data["authors"]] == [config["author"]]
    assert data["version"] == project["version"]
    assert datetime.date.fromisoformat(data["date-released"]).year == int(config["copyright"])
    assert data["license"] == ["MIT", "CC-BY-4.0"]
    page = read("book/licences.md")
    assert f"title  = {{{data['title']}}}" in page
    assert f"year   = {{{config['copyright']}}}" in page


def test_the_licences_are_there_and_named_alike():
    code, text, page = read("LICENSE"), read("LICENSE-text"), read("book/licences.md")

    assert code.startswith("MIT License\n\nCopyright (c) 2026 The Deep Autoencoders contributors\n")
    assert 'THE SOFTWARE IS PROVIDED "AS IS"' in code
    assert "https://creativecommons.org/licenses/by/4.0/legalcode" in text
    assert re.search(r"\| code.*\| MIT, file `LICENSE` \|", page)
    assert re.search(r"\| text.*CC BY 4\.0.*file `LICENSE-text` \|", page)
    project = tomllib.loads(read("pyproject.toml"))["project"]
    assert project["license"] == "MIT"
    assert project["license-files"] == ["LICENSE"]


def test_the_newest_change_is_of_this_version():
    version = tomllib.loads(read("pyproject.toml"))["project"]["version"]
    headings = re.findall(r"^## (\S+), (\w+ \d{4})$", read("CHANGELOG.md"), flags=re.MULTILINE)

    assert headings
    assert headings[0][0] == version


def test_the_guide_for_contributors_names_what_there_is():
    guide = read("CONTRIBUTING.md")
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), flags=re.MULTILINE))

    commands = set(re.findall(r"\bmake ([a-z]+)\b", "\n".join(re.findall(r"`[^`]+`", guide))))
    assert {"book", "test", "execute", "lab"} <= commands <= targets
    for module in re.findall(r"python -m (tools\.\w+)", guide):
        assert (PROJECT / f"{module.replace('.', '/')}.py").is_file(), module
    assert "--mend" in guide
    assert "--mend" in read("tools/execute.py")
    for path in re.findall(r"`((?:book|tools|notebooks)/[\w./]+\.(?:py|bib|yml))`", guide):
        assert (PROJECT / path).is_file(), path


def test_the_guide_names_the_limits_that_are_checked():
    guide = " ".join(read("CONTRIBUTING.md").split())

    chapter = f"{MOST_CELLS} visible code cells, {MOST_LINES} visible lines of code and {MOST_WORDS} words"
    assert chapter in guide
    assert f"A study has at most {MOST_WORDS_OF_A_STUDY} words" in guide


def test_the_template_of_a_chapter_is_that_of_the_chapters():
    last = ["Summary", "Common mistakes", "Exercises", "Further reading"]
    for path in find_chapters():
        cells = [cell.source for cell in read_notebook(path).cells if cell.cell_type == "markdown"]
        headings = [
            found[1] for cell in cells for found in re.finditer(r"^## (.*)$", cell, flags=re.MULTILINE)
        ]
        assert headings[-4:] == last, path.name
        if is_rewritten(path):
            continue
        for words in ("What you will be able to do", "What you need", "How long it takes"):
            assert words in cells[0], f"{path.name}: {words}"
