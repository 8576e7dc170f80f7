"""What is done to the pages at the end of a build, the scoreboard, and the editions for reading elsewhere."""

from __future__ import annotations

import io
import json
import sys
import zipfile

import pytest
import yaml
from bs4 import BeautifulSoup
from page_checks import PROJECT
from PIL import Image

sys.path.insert(0, str(PROJECT / "book" / "_ext"))

import finished_pages
import launch_pages
import printed_book
import scoreboard

from tools import editions

# ---- Pages


def test_only_pages_that_search_load_the_search_and_none_draws_icons():
    page = (
        '<script defer src="a/fontawesome.js?d=1"></script><script src="searchindex.js"></script>'
        '<script src="_static/searchtools.js?v=1"></script><script src="doctools.js"></script>'
    )
    assert finished_pages.drop_scripts(page, searches=False) == '<script src="doctools.js"></script>'
    assert finished_pages.drop_scripts(page, searches=True).count("<script") == 3


def test_scripts_wait_but_for_the_one_that_lines_in_the_page_need():
    page = (
        '<script src="a/documentation_options.js?v=1"></script><script src="a/doctools.js?v=1"></script>'
        '<script data-x="y" src="a/design-tabs.js"></script><script>DOCUMENTATION_OPTIONS.x = 1;</script>'
    )
    deferred = finished_pages.defer_scripts(page)
    soup = BeautifulSoup(deferred, "html.parser")
    assert [tag.has_attr("defer") for tag in soup.find_all("script")] == [False, True, True, False]
    assert soup.find_all("script")[2]["data-x"] == "y"
    assert finished_pages.defer_scripts(deferred) == deferred


def test_an_arrow_is_named_after_the_page_beside_it():
    link = '<a href="x">The <code>dae</code> &amp; more</a>'
    page = f"<li>{link}<details><summary><i></i></summary></details></li>"
    summary = BeautifulSoup(finished_pages.name_unfolding_arrows(page), "html.parser").summary
    assert summary["aria-label"] == "Pages under: The dae & more"
    # A folded part of the text says itself what it is.
    folded = '<p><a href="x">y</a> and</p><details><summary>More</summary></details>'
    assert finished_pages.name_unfolding_arrows(folded) == folded


def test_the_sign_of_the_book_stands_in_a_part_with_a_name():
    page = '<div><a class="navbar-brand logo" href="x"><img src="y"><p>Book</p></a></div>'
    mended = finished_pages.mend_sign(page)
    assert BeautifulSoup(mended, "html.parser").nav.a["href"] == "x"
    assert finished_pages.mend_sign(mended) == mended


def test_the_source_of_a_page_is_saved_under_its_name():
    page = (
        '<a href="../_sources/a/b.ipynb" target="_blank"\n   class="btn btn-sm btn-download-source-button x">'
    )
    mended = finished_pages.mend_download(page)
    assert BeautifulSoup(mended, "html.parser").a["download"] == "b.ipynb"
    assert finished_pages.mend_download(mended) == mended


def test_a_signature_is_no_list_of_definitions_but_a_list_of_fields_is():
    fields = '<dl class="field-list"><dt>Raises</dt><dd><p>x</p></dd></dl>'
    page = f"<dt>f(<dl>\n<dd><em>a</em>,</dd>\n<dd><em>b</em></dd>\n</dl>)</dt>{fields}"
    mended = finished_pages.mend_signatures(page)
    assert mended.endswith(fields)
    assert mended.count('<span class="sig-line">') == 2
    assert "<dd><em>" not in mended


TABLE = (
    "<h2>Some <em>scores</em><a class=\"headerlink\" href='#x'>#</a></h2>"
    '<table border="1" class="dataframe"><thead><tr><th></th><th>AUROC</th></tr></thead>'
    "<tbody><tr><th>listing</th><td>1</td></tr></tbody></table>"
)


def test_a_table_says_what_its_headings_are_for_and_what_it_is():
    table = BeautifulSoup(finished_pages.mend_tables(TABLE), "html.parser").table
    assert [(cell.get_text(), cell["scope"]) for cell in table.find_all("th")] == [
        ("AUROC", "col"),
        ("listing", "row"),
    ]
    assert table.caption.get_text() == "Table 1, in the section “Some scores”"
    assert "border" not in table.attrs
    assert finished_pages.mend_tables(finished_pages.mend_tables(TABLE)) == finished_pages.mend_tables(TABLE)


def test_a_caption_that_is_there_stays():
    page = "<table><caption>Mine</caption><thead><tr><th>a</th></tr></thead></table>"
    assert BeautifulSoup(finished_pages.mend_tables(page), "html.parser").caption.get_text() == "Mine"


def test_figures_have_a_size_and_all_but_the_first_wait_until_they_are_seen():
    tag = '<img alt="x" src="../_images/{}.png" />'
    page = tag.format("a") + tag.format("b") + '<img src="logo.svg">'
    mended = finished_pages.mend_images(page, {"a.png": (30, 20), "b.png": (10, 5)})
    first, second, logo = BeautifulSoup(mended, "html.parser").find_all("img")
    assert (first["width"], first["height"]) == ("30", "20")
    assert "loading" not in first.attrs
    assert second["loading"] == "lazy"
    assert logo.attrs == {"src": "logo.svg"}
    assert finished_pages.mend_images(mended, {}) == mended


MENU = (
    '<div class="dropdown dropdown-download-buttons"><button></button>\n<ul class="dropdown-menu">'
    "<li>source</li>\n</ul>\n</div>"
)


def test_editions_are_linked_once_and_go_when_they_are_gone():
    linked = finished_pages.link_editions(MENU, "../", {"b.pdf": "The book"})
    link = BeautifulSoup(linked, "html.parser").select_one("ul.dropdown-menu > li > a[download]")
    assert link["href"] == "../_editions/b.pdf"
    assert finished_pages.link_editions(linked, "../", {"b.pdf": "The book"}) == linked
    assert "b.pdf" not in finished_pages.link_editions(linked, "../", {})


def noisy(path, mode="RGB"):
    """Write a picture that can be packed, and return its bytes."""
    image = Image.new(mode, (60, 40), "white")
    image.putpixel((3, 4), (10, 20, 30) if mode == "RGB" else (10, 20, 30, 255))
    image.save(path, compress_level=0)
    return path


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_packed_figure_is_the_same_figure(tmp_path, mode):
    path = noisy(tmp_path / "a.png", mode)
    packed = finished_pages.pack_image(path, tmp_path / "cache")
    with Image.open(path) as before, Image.open(io.BytesIO(packed)) as after:
        assert before.convert("RGBA").tobytes() == after.convert("RGBA").tobytes()
    assert len(packed) < path.stat().st_size
    # The second time it is taken from where it was kept.
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_bytes(b"x")
    assert finished_pages.pack_image(path, tmp_path / "cache") == b"x"


def test_a_whole_book_is_finished_and_stays_so(tmp_path):
    site = tmp_path / "html"
    (site / "_images").mkdir(parents=True)
    (site / "notebooks").mkdir()
    noisy(site / "_images" / "a.png")
    body = f'<html><body>{MENU}{TABLE}<img alt="x" src="../_images/a.png"></body></html>'
    (site / "notebooks" / "one.html").write_text(body, encoding="utf-8")
    finished_pages.finish(site, tmp_path / "cache")
    text = (site / "notebooks" / "one.html").read_text(encoding="utf-8")
    image = BeautifulSoup(text, "html.parser").img
    assert (image["src"], image["width"], image["height"]) == ("../_images/a.webp", "60", "40")
    assert [path.name for path in (site / "_images").iterdir()] == ["a.webp"]
    finished_pages.finish(site, tmp_path / "cache")
    assert (site / "notebooks" / "one.html").read_text(encoding="utf-8") == text


# ---- Away from the book


@pytest.mark.parametrize("empty", [None, "", "  "])
def test_without_an_address_there_is_no_repository(empty):
    assert launch_pages.repository(empty, "main") is None


@pytest.mark.parametrize("wrong", ["someone/book", "ftp://host/a/b", "https://github.com/someone"])
def test_an_address_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match=r"_config\.yml"):
        launch_pages.repository(wrong, "main")


def test_the_addresses_of_colab_and_binder_follow_from_that_of_the_repository():
    where = launch_pages.repository("https://github.com/someone/book.git/".rstrip("/"), "main")
    assert where == ("https://github.com/someone/book", "main")
    assert (
        launch_pages.colab_address(*where, "01_x")
        == "https://colab.research.google.com/github/someone/book/blob/main/colab/01_x.ipynb"
    )
    assert (
        launch_pages.binder_address(*where, "01_x")
        == "https://mybinder.org/v2/gh/someone/book/main?urlpath=lab/tree/notebooks/01_x.ipynb"
    )
    assert "/gl/a%2Fb%2Fc/main" in launch_pages.binder_address("https://gitlab.com/a/b/c", "main", "x")
    assert "/git/https%3A%2F%2Fexample.org%2Fa%2Fb.git/x%2Fy" in launch_pages.binder_address(
        "https://example.org/a/b", "x/y", "n"
    )
    assert launch_pages.colab_address("https://gitlab.com/a/b", "main", "x") is None


def small_project(folder):
    """Write a project with one chapter and return its notebook."""
    (folder / "notebooks").mkdir()
    notebook = {
        "cells": [
            {"cell_type": "markdown", "metadata": {}, "source": ["# A"]},
            {"cell_type": "code", "metadata": {}, "source": ["1"], "outputs": [{}], "execution_count": 1},
        ],
        "metadata": {"dae": {"seconds": 1}, "kernelspec": {}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    (folder / "notebooks" / "01_x.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    return notebook


def test_notebooks_for_colab_begin_with_what_installs_the_library(tmp_path):
    notebook = small_project(tmp_path)
    where = ("https://github.com/someone/book", "main")
    assert launch_pages.write_for_colab(tmp_path, *where) == ["01_x.ipynb"]
    assert launch_pages.write_for_colab(tmp_path, *where) == []
    written = json.loads((tmp_path / "colab" / "01_x.ipynb").read_text(encoding="utf-8"))
    assert [cell["cell_type"] for cell in written["cells"]] == ["code", "markdown", "code"]
    assert written["cells"][2]["outputs"] == []
    assert "dae" not in written["metadata"]
    assert notebook["cells"][1]["outputs"] == [{}]


def test_studies_go_to_colab_and_binder_as_well(tmp_path):
    small_project(tmp_path)
    studies = tmp_path / "notebooks" / "studies"
    studies.mkdir()
    (studies / "01_s.ipynb").write_bytes((tmp_path / "notebooks" / "01_x.ipynb").read_bytes())
    where = ("https://github.com/someone/book", "main")
    assert launch_pages.write_for_colab(tmp_path, *where) == ["01_x.ipynb", "studies/01_s.ipynb"]
    assert (tmp_path / "colab" / "studies" / "01_s.ipynb").is_file()
    assert launch_pages.colab_address(*where, "studies/01_s").endswith("/main/colab/studies/01_s.ipynb")
    assert launch_pages.binder_address(*where, "studies/01_s").endswith("tree/notebooks/studies/01_s.ipynb")


@pytest.mark.parametrize("there", [True, False])
def test_the_first_cell_installs_what_is_missing_and_only_then(monkeypatch, there):
    import importlib.util
    import subprocess

    asked = []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if there else None)
    monkeypatch.setattr(subprocess, "run", lambda command, check: asked.append(command))
    cell = launch_pages.with_first_cell(
        {"cells": []}, "https://github.com/someone/book", "main", outputs=True
    )
    exec("".join(cell["cells"][0]["source"]), {})
    assert len(asked) == (0 if there else 1)
    if asked:
        assert asked[0][-2:] == ["myst-nb", "dae-utils @ git+https://github.com/someone/book@main"]


def test_what_binder_installs_is_there():
    folder = PROJECT / ".binder"
    assert "-r ../requirements.txt" in (folder / "requirements.txt").read_text(encoding="utf-8")
    assert "install --no-deps ." in (folder / "postBuild").read_text(encoding="utf-8")
    assert (folder / "postBuild").stat().st_mode & 0o100
    version = (folder / "runtime.txt").read_text(encoding="utf-8").strip().removeprefix("python-")
    assert version in ("3.11", "3.12", "3.13")


# ---- The scoreboard


def entry(value, low, high, seeds=3):
    """Return an entry of a file of results."""
    return {"value": value, "low": low, "high": high, "seeds": seeds, "protocol": "p | q", "profile": "full"}


RESULTS = {
    "01_x": {
        "a.auroc": entry(0.90, 0.88, 0.92),
        "a.auroc.knn": entry(0.95, 0.94, 0.96, seeds=1),
        "a.size_2.mse": entry(0.5, None, None),
        "a.size_4.mse": entry(0.4, 0.4, 0.4),
    }
}


def published(better="higher", key="a.auroc", **more):
    """Return the published numbers of one comparison."""
    references = [
        {"method": name, "value": value, "cite": "c", "checked": checked}
        for name, value, checked in (("Low", 0.5, "read"), ("Near", 0.91, "cited"), ("High", 0.99, "cited"))
    ]
    return {"key": key, "ours": "net", "title": "T", "measure": "m", "better": better, "protocol": "p"} | {
        "references": references,
        **more,
    }


def test_better_is_what_lies_outside_our_interval():
    (higher,) = scoreboard.contests([published()], RESULTS)
    (lower,) = scoreboard.contests([published("lower")], RESULTS)
    values = [0.5, 0.88, 0.91, 0.92, 0.99]
    assert [scoreboard.verdict(higher, v) for v in values] == ["ours", "level", "level", "level", "theirs"]
    assert [scoreboard.verdict(lower, v) for v in values] == ["theirs", "level", "level", "level", "ours"]


def test_losses_are_told_by_name_and_those_to_simple_methods_too():
    found = scoreboard.contests([published(simple={"a.auroc.knn": "neighbours"})], RESULTS)
    text = scoreboard.verdict_text(found)
    assert "Of 3 published numbers on the same protocol, our network is better than 1, worse than 1" in text
    assert "Better than ours: High (T)." in text
    assert "neighbours (T)" in text
    assert scoreboard.tally(found) == {"ours": 1, "theirs": 1, "level": 1}


def test_a_published_number_keeps_its_last_zero():
    item = published()
    item["references"][0]["value"] = "0.50"
    (contest,) = scoreboard.contests([item], RESULTS)
    assert "| 0.50 |" in scoreboard.contest_text(contest, None, [])
    assert scoreboard.tally([contest]) == scoreboard.tally(scoreboard.contests([published()], RESULTS))


def test_nobody_is_better_where_the_protocol_differs():
    (contest,) = scoreboard.contests([published(differs="the split")], RESULTS)
    text = scoreboard.contest_text(contest, 90, ["notebooks/01_x"])
    assert "What differs: the split." in text
    assert text.count("not the same protocol") == 3
    assert sum(scoreboard.tally([contest]).values()) == 0
    assert list(scoreboard.chart_rows([contest])) == []


def test_a_table_says_who_is_better_in_words_with_interval_runs_time_and_command():
    (contest,) = scoreboard.contests([published(simple={"a.auroc.knn": "neighbours"})], RESULTS)
    text = scoreboard.contest_text(contest, 90, ["notebooks/01_x"]).replace("\N{NO-BREAK SPACE}", " ")
    for part in (
        "**0.9000** | 0.8800 to 0.9200",
        "▲ ours is better",
        "▼ theirs is better",
        "◆ no difference seen",
        "▼ better than the network",
        "3 runs",
        "1 min 30 s",
        "make execute NOTEBOOKS=01_x",
        "(/notebooks/01_x.ipynb)",
        "Low {cite:p}`c` |",
        "Near {cite:p}`c` † |",
    ):
        assert part in text, part


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"key": "nothing"}, "which no chapter has written"),
        ({"simple": {"nothing": "x"}}, "which no chapter has written"),
        ({"better": "more"}, "higher, lower or neither"),
        ({"references": [{"method": "M", "value": 1, "cite": "c"}]}, "checked"),
    ],
)
def test_a_comparison_with_a_mistake_is_refused(fault, says):
    with pytest.raises(ValueError, match=says):
        scoreboard.contests([published() | fault], RESULTS)


def test_the_chart_shows_errors_and_says_them(tmp_path):
    found = scoreboard.contests([published()], RESULTS)
    ratios = [round(row[2], 3) for row in scoreboard.chart_rows(found)]
    assert ratios == [5.0, 0.9, 0.1]
    assert "Low 5" in scoreboard.chart_words(found)
    scoreboard.draw_chart(found, tmp_path / "a" / "chart.png")
    assert (tmp_path / "a" / "chart.png").stat().st_size > 10_000


def test_everything_is_there_folded_up_and_grouped():
    assert scoreboard.result_groups(RESULTS["01_x"]) == {
        "a.auroc": ["a.auroc", "a.auroc.knn"],
        "a.size": ["a.size_2.mse", "a.size_4.mse"],
    }
    text = scoreboard.all_results_text(RESULTS, {"notebooks/01_x": "A chapter"})
    assert "{dropdown} A chapter (4 results)" in text
    assert text.count("{table}") == 2
    assert all(f"`{key}`" in text for key in ("a.auroc", "knn", "a.size_2.mse"))
    assert r"p \| q" in text
    assert "yet" in scoreboard.all_results_text({}, {})


def test_the_books_own_comparisons_hold_together():
    found = scoreboard.read_contests(PROJECT)
    keys = (PROJECT / "book" / "references.bib").read_text(encoding="utf-8")
    cited = {other["cite"] for contest in found for other in contest.references}
    assert all(f"{{{key}," in keys for key in cited)
    # Every published number on one protocol stands once.
    text = (PROJECT / "book" / "published_results.yml").read_text(encoding="utf-8")
    for item in yaml.safe_load(text):
        names = [other["method"] for other in item["references"]]
        assert len(names) == len(set(names)), item["title"]
    # Numbers on another protocol are shown and not counted, wins and losses alike.
    counted = [contest for contest in found if not contest.differs and contest.better != "neither"]
    assert {contest.title for contest in found} - {contest.title for contest in counted}
    assert sum(scoreboard.tally(found).values()) == sum(len(contest.references) for contest in counted) > 0


# ---- The editions


def test_the_zip_holds_the_book_without_a_link_to_itself(tmp_path):
    site = tmp_path / "html"
    (site / "notebooks").mkdir(parents=True)
    (site / "_editions").mkdir()
    editions_there = {f"deep-autoencoders.{kind}": kind for kind in ("pdf", "zip")}
    for name in editions_there:
        (site / "_editions" / name).write_bytes(b"x")
    (site / "notebooks" / "one.html").write_text(
        finished_pages.link_editions(MENU, "../", editions_there), encoding="utf-8"
    )
    (site / ".complete").write_text("", encoding="utf-8")
    editions.pack(site, tmp_path / "deep-autoencoders.zip")
    with zipfile.ZipFile(tmp_path / "deep-autoencoders.zip") as archive:
        names = archive.namelist()
        page = archive.read("deep-autoencoders/notebooks/one.html").decode()
    assert sorted(names) == [
        "deep-autoencoders/_editions/deep-autoencoders.pdf",
        "deep-autoencoders/notebooks/one.html",
    ]
    assert "deep-autoencoders.pdf" in page
    assert "deep-autoencoders.zip" not in page


def test_only_a_book_that_is_up_to_date_gets_links(tmp_path, monkeypatch):
    site, made = tmp_path / "html", tmp_path / "editions"
    site.mkdir()
    made.mkdir()
    (made / "deep-autoencoders.epub").write_bytes(b"x")
    (site / "index.html").write_text("", encoding="utf-8")
    (site / "one.html").write_text(MENU, encoding="utf-8")
    monkeypatch.setattr(finished_pages, "newest_source", lambda project: 2e12)
    assert not editions.offer(made, site)
    monkeypatch.setattr(finished_pages, "newest_source", lambda project: 0.0)
    assert editions.offer(made, site)
    assert 'href="_editions/deep-autoencoders.epub"' in (site / "one.html").read_text(encoding="utf-8")
    assert (site / "_editions" / "deep-autoencoders.epub").is_file()


def test_an_edition_that_cannot_be_made_says_why(monkeypatch, capsys):
    monkeypatch.setattr(editions.shutil, "which", lambda name: None)
    assert editions.main(["pdf"]) == 1
    assert "tools/latex.sh" in capsys.readouterr().err
    monkeypatch.setattr(editions, "is_current", lambda site: False)
    assert editions.main(["zip"]) == 1
    assert "make book" in capsys.readouterr().err


def test_an_e_book_whose_pages_are_no_xml_is_refused(tmp_path):
    table = "<table><style scoped>\n    td { }\n</style>\n<tr><td>&nbsp;1</td></tr></table>"
    for name, content in (("wrong", table), ("right", printed_book.tidy(table))):
        with zipfile.ZipFile(tmp_path / f"{name}.epub", "w") as archive:
            archive.writestr("page.xhtml", content)
    assert editions.epub_faults(tmp_path / "right.epub") == []
    (fault,) = editions.epub_faults(tmp_path / "wrong.epub")
    assert fault.startswith("page.xhtml: ")


def test_formulas_for_e_books_are_mathml():
    from docutils import nodes

    class Writer:
        body: list

    def written(visit, node):
        writer = Writer()
        writer.body = []
        writer.starttag = lambda node, tag, **more: f"<{tag}>"
        with pytest.raises(nodes.SkipNode):
            visit(writer, node)
        return "".join(writer.body)

    inline = written(printed_book.visit_inline, nodes.math("", "x^2"))
    assert inline.startswith("<math")
    assert "<msup>" in inline
    display = written(printed_book.visit_display, nodes.math_block("", r"a &= b \\ c &= d", number=None))
    assert "<mtable" in display
