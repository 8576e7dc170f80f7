"""The built pages, read as files: nothing is missing, broken, unnamed, or loaded from elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import page_checks as checks
import pytest
import yaml
from page_checks import PROJECT, what_is_wrong_with_the_build

from tools.notebook_code import find_notebooks, name_of

HEAD = '<!DOCTYPE html><html lang="en"><head><title>t</title></head><body><article><h1>A page</h1>'


@pytest.fixture(scope="module")
def pages(site) -> dict[str, checks.Page]:
    """All pages of the built book."""
    return checks.all_pages(site)


def toc_documents(toc: dict) -> list[str]:
    """Return the documents that a table of contents lists, at any depth."""
    documents = [toc[key] for key in ("root", "file") if key in toc]
    for key in ("parts", "chapters", "sections"):
        documents += [name for entry in toc.get(key, []) for name in toc_documents(entry)]
    return documents


def none(complaints) -> None:
    """Fail with all complaints, one a line."""
    complaints = list(complaints)
    assert not complaints, "\n".join(["", *complaints])


def test_every_page_of_the_table_of_contents_is_built(pages):
    documents = toc_documents(yaml.safe_load((PROJECT / "_toc.yml").read_text(encoding="utf-8")))
    assert "book/index" in documents
    none(checks.missing_pages(pages, documents))


def test_every_notebook_is_in_the_table_of_contents():
    documents = toc_documents(yaml.safe_load((PROJECT / "_toc.yml").read_text(encoding="utf-8")))
    notebooks = map(name_of, find_notebooks())
    none(f"{name}: not in _toc.yml" for name in notebooks if f"notebooks/{name}" not in documents)


def test_the_numbered_chapters_are_one_part_and_keep_their_numbers():
    toc = yaml.safe_load((PROJECT / "_toc.yml").read_text(encoding="utf-8"))
    (numbered,) = [part for part in toc["parts"] if part.get("numbered")]
    numbers = [int(Path(entry["file"]).name[:2]) for entry in numbered["chapters"]]
    # A chapter 0 would take the number 1 from the first: it stands in a part of its own.
    assert numbers == list(range(1, len(numbers) + 1))


def test_links_inside_the_book_lead_somewhere(pages):
    none(checks.broken_links(pages))


def test_nothing_is_loaded_from_another_host(site, pages):
    none([*checks.every(checks.loads_from_elsewhere, pages), *checks.styles_from_elsewhere(site)])


def test_every_image_has_words(pages):
    none(checks.every(checks.images_without_words, pages))


def test_no_error_and_no_unresolved_reference_is_shown(pages):
    none(checks.every(checks.left_overs, pages))


def test_every_page_is_well_formed(pages):
    none(checks.every(checks.form, pages))


def test_no_page_waits_for_a_script(pages):
    # The search begins while its page is read.
    others = {name: page for name, page in pages.items() if name != "search.html"}
    none(checks.every(checks.blocking_scripts, others))


def test_no_page_is_heavy(pages):
    none(checks.every(checks.weight, pages))


def test_no_page_is_empty(pages):
    generated = {"genindex.html", "py-modindex.html", "search.html"}
    none(
        checks.every(checks.emptiness, {name: page for name, page in pages.items() if name not in generated})
    )


def test_every_reference_is_listed(pages):
    keys = [
        line.split("{", 1)[1].rstrip(",\n")
        for line in (PROJECT / "book" / "references.bib").read_text(encoding="utf-8").splitlines()
        if line.startswith("@")
    ]
    listed = pages["book/bibliography.html"].soup.select(".citation")
    assert len(keys) == len(set(keys)) == len(listed)


# The checks themselves: each complains about a page that is wrong in one way, and about no other.


def built(folder: Path, **contents: str) -> dict[str, checks.Page]:
    """Write pages into `folder` and return them."""
    for name, content in contents.items():
        (folder / f"{name}.html").write_text(content, encoding="utf-8")
    return checks.all_pages(folder.resolve())


def test_a_page_that_is_right_gives_no_complaint(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    pages = built(
        tmp_path,
        one=HEAD + '<p id="here"><a href="two.html#there">x</a><a href="https://doi.org/1">y</a></p>'
        '<img src="a.png" alt="Ten digits and their copies"><code>{cite}`x` ??</code>',
        two=HEAD + '<p id="there"><a href="one.html#here">x</a></p>',
        index='<meta http-equiv="Refresh" content="0; url=one.html">',
    )
    page_wise = (checks.loads_from_elsewhere, checks.images_without_words, checks.left_overs, checks.form)
    none(
        [*checks.broken_links(pages), *(found for check in page_wise for found in checks.every(check, pages))]
    )


@pytest.mark.parametrize(
    "fault",
    [
        '<a href="nowhere.html">x</a>',
        '<a href="#nowhere">x</a>',
        '<a href="../../outside.html">x</a>',
        '<img src="nowhere.png" alt="A figure">',
    ],
)
def test_a_broken_link_is_found(tmp_path, fault):
    assert len(checks.broken_links(built(tmp_path, page=HEAD + fault))) == 1


@pytest.mark.parametrize(
    "fault",
    [
        '<script src="https://example.org/x.js"></script>',
        '<script src="//example.org/x.js"></script>',
        '<link rel="stylesheet" href="https://example.org/x.css">',
        '<img src="http://example.org/x.png" alt="A badge">',
        '<img src="x.png" srcset="x.png 1x, https://example.org/x.png 2x" alt="A badge">',
        '<style>@import url("https://example.org/x.css");</style>',
        '<p style="background: url(https://example.org/x.png)">x</p>',
        '<script>const LATER = "https://example.org/x.js"</script>',
    ],
)
def test_loading_from_another_host_is_found(tmp_path, fault):
    page = built(tmp_path, page=HEAD + fault)["page.html"]
    assert len(checks.loads_from_elsewhere(page)) == 1


def test_a_style_sheet_that_loads_from_another_host_is_found(tmp_path):
    (tmp_path / "x.css").write_text("@font-face { src: url('https://example.org/x.woff') }", encoding="utf-8")
    assert len(checks.styles_from_elsewhere(tmp_path)) == 1


@pytest.mark.parametrize(
    "fault",
    [
        '<img src="a.png">',
        '<img src="a.png" alt="">',
        '<img src="_images/a.png" alt="a.png">',
        '<img src="_images/a.png" alt="_images/a.png">',
        f'<img src="_images/x.png" alt="{"0f" * 32}">',
    ],
)
def test_an_image_without_words_is_found(tmp_path, fault):
    page = built(tmp_path, page=HEAD + fault)["page.html"]
    assert len(checks.images_without_words(page)) == 1


@pytest.mark.parametrize(
    "fault",
    [
        "<pre>Traceback (most recent call last):</pre>",
        '<span class="problematic">x</span>',
        "<p>see {cite}`nobody2000nothing`</p>",
        "<p>see Figure ??</p>",
    ],
)
def test_an_error_in_the_page_is_found(tmp_path, fault):
    page = built(tmp_path, page=HEAD + fault)["page.html"]
    assert len(checks.left_overs(page)) == 1


@pytest.mark.parametrize(
    "page",
    [
        HEAD.replace(' lang="en"', ""),
        HEAD.replace("h1>", "h2>"),
        HEAD + '<p id="a"></p><p id="a"></p>',
    ],
)
def test_a_malformed_page_is_found(tmp_path, page):
    assert len(checks.form(built(tmp_path, page=page)["page.html"])) == 1


@pytest.mark.parametrize(
    "script",
    [
        '<script src="_static/ours.js?v=1"></script>',
        "<script>" + "x = 1;" * 100 + "</script>",
    ],
)
def test_a_script_that_holds_up_the_page_is_found(tmp_path, script):
    page = built(tmp_path, page=HEAD.replace("</head>", script + "</head>"))["page.html"]
    assert len(checks.blocking_scripts(page)) == 1


@pytest.mark.parametrize(
    "script",
    [
        '<script defer src="_static/ours.js?v=1"></script>',
        '<script async src="_static/ours.js"></script>',
        '<script src="../_static/documentation_options.js?v=1"></script>',
        "<script>x = 1</script>",
    ],
)
def test_a_script_that_waits_is_none(tmp_path, script):
    page = built(tmp_path, page=HEAD.replace("</head>", script + "</head>"))["page.html"]
    assert checks.blocking_scripts(page) == []


def test_a_heavy_page_is_found(tmp_path):
    noise = "".join(f"{number * 7919 % 1_000_003:x} " for number in range(60_000))
    assert len(checks.weight(built(tmp_path, page=HEAD + noise)["page.html"])) == 1
    assert checks.weight(built(tmp_path, page=HEAD + "word " * 60_000)["page.html"]) == []


def test_an_empty_page_is_found(tmp_path):
    assert checks.emptiness(built(tmp_path, page=HEAD)["page.html"])


def test_a_missing_page_is_found(tmp_path):
    toc = {"root": "page", "parts": [{"chapters": [{"file": "other", "sections": [{"file": "third"}]}]}]}
    assert len(checks.missing_pages(built(tmp_path, page=HEAD), toc_documents(toc))) == 2


def test_a_build_that_is_absent_or_old_is_found(tmp_path):
    html = tmp_path / "_build" / "html"
    source = tmp_path / "_toc.yml"
    source.write_text("root: book/index\n", encoding="utf-8")
    assert "make book" in what_is_wrong_with_the_build(html, tmp_path)

    html.mkdir(parents=True)
    (html / "index.html").write_text("", encoding="utf-8")
    os.utime(source, (1, 1))
    assert what_is_wrong_with_the_build(html, tmp_path) is None

    os.utime(html / "index.html", (0, 0))
    assert "make book" in what_is_wrong_with_the_build(html, tmp_path)
