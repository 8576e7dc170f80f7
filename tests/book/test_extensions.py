"""The local extensions: tables about published runs, the library's pages, a small book built with them."""

from __future__ import annotations

import base64
import json
import shutil
import sys
from pathlib import Path

import page_checks as checks
import pytest
from chapter_book import build_book
from page_checks import PROJECT

sys.path.insert(0, str(PROJECT / "book" / "_ext"))

import bench_pages
import library_pages
import published_runs

ONE_PIXEL = base64.b64encode(
    base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    )
).decode()

# There is no `python -m jupyter_book`, and the script of that name need not be on the path.

RUN = {
    "code_digest": "sha256:0123456789abcdef0123456789abcdef",
    "profile": "full",
    "seconds": 812.3,
    "peak_memory_mb": 1234.4,
    "cells_seconds": [1.0, 640.2, 3.5],
    "versions": {"python": "3.11.2", "keras": "3.15.1"},
    "machine": "2 cores, x86_64",
    "executed": "2026-11-24",
}
RESULTS = {
    "mnist.one_class.auroc": {
        "value": 0.98361,
        "low": 0.9829,
        "high": 0.98402,
        "seeds": 3,
        "protocol": "train on one digit | score all test images",
        "profile": "full",
    },
    "mnist.listing.mse": {"value": 0.004791, "seeds": 3, "protocol": "test images", "profile": "quick"},
}


def measured(value: float, low: float | None = None, high: float | None = None) -> dict:
    """Return an entry of a results file."""
    low, high = value if low is None else low, value if high is None else high
    return {"value": value, "low": low, "high": high, "seeds": 5, "protocol": "p", "profile": "full"}


def bench_entries() -> dict[str, dict]:
    """Return made-up results of the benchmark, without PyTorch, and with one network that missed its mark."""
    entries = {}
    for name in bench_pages.NETWORKS:
        values = {
            "keras_seconds": 12.5,
            "ours_seconds": 0.51234,
            "bound_seconds": 2.6,
            "keras_memory_mb": 2000.4,
            "ours_memory_mb": 1500.0,
            "listing_epochs": 50,
            "listing_seconds": 812.3,
            "same_seconds": 250.0,
            "listing_loss": 0.57123456,
            "loss_difference": -0.000123,
            "sooner_epochs": 1,
            "sooner_loss": 0.5700,
        }
        if name != "mitbih_dense":
            values |= {"sooner_seconds": 20.0}
            entries[f"bench.{name}.time_to_listing_loss_ratio"] = measured(40.6, 38.0, 44.4)
        entries |= {f"bench.{name}.{key}": measured(value) for key, value in values.items()}
        entries[f"bench.{name}.keras_over_ours"] = measured(2.44, 2.31, 2.6)
        entries[f"bench.{name}.share_of_bound"] = measured(0.512, 0.5, 0.55)
    for name, competitors in bench_pages.TRICKS.items():
        for who in competitors:
            entries[f"bench.{name}.tricks.{who}_over_ours"] = measured(1.5, 1.4, 1.7)
    for key in ("images_100", "images_200", "side_32", "side_64", "disk_800"):
        for unit in ("seconds", "memory_mb", "data_mb", "above_mb"):
            entries[f"bench.growth.{key}.{unit}"] = measured(300.0)
    return entries


def plain(text: str) -> str:
    """Return `text` with spaces and hyphens that may be broken at."""
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{NON-BREAKING HYPHEN}", "-")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "not\N{NO-BREAK SPACE}measured"),
        (4.24, "4.2 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (812.3, "13 min 32 s"),
        (3900, "1 h 5 min"),
    ],
)
def test_a_time_is_written_in_a_unit_that_fits(seconds, text):
    assert published_runs.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.98361, "0.9836"),
        (0.004791, "0.00479"),
        (0, "0.0000"),
        (13.87, "13.8700"),
        (-0.5, "-0.5000"),
        (None, ""),
    ],
)
def test_a_number_keeps_its_digits(value, text):
    assert published_runs.number(value) == text


def test_a_bar_in_a_cell_starts_no_new_cell():
    assert published_runs.markdown_table(["a"], [["p | q"]]).splitlines()[-1] == r"| p \| q |"


def test_execution_times_show_what_the_run_recorded():
    text = plain(published_runs.execution_times({"notebooks/01_x": RUN}))
    for part in (
        "(/notebooks/01_x.ipynb)",
        "13 min 32 s",
        "10 min 40 s",
        "1234 MB",
        "2 cores",
        "2026-11-24",
        "keras 3.15.1",
    ):
        assert part in text


def test_a_run_that_recorded_nothing_is_said_to_be_not_measured():
    text = published_runs.execution_times({"notebooks/01_x": {}})
    row = text.splitlines()[2]
    assert row.count("not\N{NO-BREAK SPACE}measured") == 6
    assert row.count("not\N{NO-BREAK SPACE}recorded") == 1
    # One spelling throughout, so that no cell breaks between the two words.
    assert "not measured" not in text
    assert "not recorded" not in text


def test_without_chapters_the_pages_say_so():
    assert "without a chapter" in published_runs.execution_times({})


ENTRIES = {key.removeprefix("bench."): entry for key, entry in bench_entries().items()}


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ("cifar10_conv.keras_over_ours", "2.4"),
        ("cifar10_conv.ours_seconds", "0.51"),
        ("cifar10_conv.share_of_bound|%", "51 %"),
        ("growth.disk_800.above_mb|.0f", "300"),
    ],
)
def test_a_measured_number_is_written_as_asked(wanted, text):
    assert plain(bench_pages.written(ENTRIES, wanted)) == text


def test_a_number_that_was_not_measured_is_an_error():
    with pytest.raises(KeyError):
        bench_pages.written(ENTRIES, "cifar10_conv.torch_over_ours")


def test_epochs_stand_beside_each_other_with_what_is_missing_named():
    row = plain(bench_pages.epochs_table(ENTRIES)).splitlines()[2]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == [
        "MNIST, dense",
        "12 s",
        "not measured",
        "0.512 s",
        "2.6 s",
        "**2.4** (2.3 to 2.6)",
        "not measured",
        "51 %",
    ]


def test_a_training_that_missed_its_mark_gets_no_time():
    rows = plain(bench_pages.sooner_table(ENTRIES)).splitlines()[2:]
    assert (
        "50 epochs, 13 min 32 s | 0.57123 | -0.00012 | 1 epoch | 0.57000 | 20 s | **40.6** (38.0 to 44.4)"
        in rows[0]
    )
    missed = next(row for row in rows if row.startswith("| Heartbeats"))
    assert missed.endswith("| not measured | not measured |")


@pytest.mark.parametrize("name", ["sooner", "growth"])
def test_a_figure_is_drawn_from_what_was_measured(name, tmp_path):
    bench_pages.draw(name, ENTRIES, tmp_path / "a" / "figure.png")
    assert (tmp_path / "a" / "figure.png").stat().st_size > 10_000


def test_a_figure_of_another_name_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no figure 'other'"):
        bench_pages.draw("other", ENTRIES, tmp_path / "figure.png")


@pytest.mark.parametrize(
    ("line", "escaped"),
    [
        ("(n_held_out_ + 1) and threshold_.", r"(n_held_out\_ + 1) and threshold\_."),
        ("`threshold_` and ``rank_`` and :class:`a_`", "`threshold_` and ``rank_`` and :class:`a_`"),
        ("a `link`_, a __dunder__ and a_b", "a `link`_, a __dunder__ and a_b"),
    ],
)
def test_names_that_end_in_an_underscore_are_no_references(line, escaped):
    lines = [line]
    library_pages.escape_fitted_names(None, "function", "f", None, None, lines)
    assert lines == [escaped]


def test_methods_that_scikit_learn_adds_are_left_out():
    assert library_pages.skip_generated_members(None, "class", "set_fit_request", None, False, None) is True
    assert library_pages.skip_generated_members(None, "class", "set_params", None, False, None) is None


# A book of three pages, built with the settings of this one: does a chapter look as it should?


def text_cell(*lines: str) -> dict:
    """Return a cell of prose."""
    return {"cell_type": "markdown", "metadata": {}, "source": "\n".join(lines)}


def code_cell(source: str, outputs: list[dict], **metadata) -> dict:
    """Return a cell of code that was run."""
    return {
        "cell_type": "code",
        "execution_count": 1,
        "metadata": metadata,
        "source": source,
        "outputs": outputs,
    }


def shown(data: dict, **metadata) -> dict:
    """Return an output that was displayed."""
    return {"output_type": "display_data", "data": data, "metadata": metadata}


def notebook(alternative: str | None = "Ten digits and their copies") -> dict:
    """Return a chapter with everything that chapters use: glue, a figure, a widget, an exercise."""
    image = {"alt": alternative} if alternative else {}
    cells = [
        text_cell(
            "# A chapter",
            "",
            "The score is {glue:text}`score:.3f`; see {cite:t}`kim2020rapp` and {numref}`fig-a`.",
        ),
        code_cell(
            "glue('score', 0.98361)",
            [
                shown(
                    {"application/papermill.record/text/plain": "0.98361"},
                    scrapbook={"mime_prefix": "application/papermill.record/", "name": "score"},
                )
            ],
            tags=["remove-cell"],
        ),
        code_cell(
            "plot()",
            [shown({"image/png": ONE_PIXEL, "text/plain": "<Figure>"})],
            mystnb={"image": image, "figure": {"caption": "Digits and copies.", "name": "fig-a"}},
        ),
        code_cell(
            "for _ in tqdm(range(9)): ...",
            [
                shown(
                    {
                        "application/vnd.jupyter.widget-view+json": {"model_id": "1"},
                        "text/plain": "100 % done",
                    }
                )
            ],
        ),
        text_cell(
            "```{exercise}", ":label: ex-a", "What if the code is wider? Say why $k = d$ is no use.", "```"
        ),
        text_cell("````{solution} ex-a", ":class: dropdown", "It copies.", "````"),
        text_cell("```{exercise}", ":label: ex-b", "And narrower?", "```"),
        text_cell("```{solution-start} ex-b", ":class: dropdown", "```"),
        code_cell("print('It blurs.')", []),
        text_cell("```{solution-end}", "```"),
    ]
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "widgets": {
            "application/vnd.jupyter.widget-state+json": {"state": {}, "version_major": 2, "version_minor": 0}
        },
        "dae": RUN,
    }
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


SPEED = """# Speed

It is {bench}`cifar10_conv.keras_over_ours` times as fast.

```{bench-figure} growth
:alt: Two lines that rise.

It *grows*.
```

```{bench-table} epochs
```
"""


PUBLISHED = """
- key: mnist.one_class.auroc
  ours: net
  title: One digit
  measure: area
  better: higher
  protocol: all test images
  references:
    - {method: ARNet, value: 0.983, cite: ye2020attribute, checked: cited}
    - {method: Deep SVDD, value: 0.948, cite: ruff2018deep, checked: read}
"""
SCORES = """
```{scoreboard-verdict}
```

```{scoreboard-chart}
Errors *beside* ours.
```

```{scoreboard}
```

```{scoreboard} differs
```

```{all-results}
```
"""
ADDRESS = "https://github.com/someone/book"


def build(folder: Path, chapter: dict, address: str = "") -> dict[str, checks.Page]:
    """Build the small book in `folder` with warnings as errors and return its pages.

    `address` is where its sources are said to be.
    """
    (folder / "book").mkdir()
    (folder / "notebooks" / "results").mkdir(parents=True)
    settings = (PROJECT / "_config.yml").read_text(encoding="utf-8")
    assert settings.count('  url: ""') == 1
    # These speak of the whole book's pages, which are not here, and have tests of their own.
    for name in ("glossary_links", "quizzes", "wayfinding"):
        assert settings.count(f"    {name}: book/_ext\n") == 1
        settings = settings.replace(f"    {name}: book/_ext\n", "")
    (folder / "_config.yml").write_text(
        settings.replace('  url: ""', f'  url: "{address}"'), encoding="utf-8"
    )
    for name in ("_ext", "_static"):
        shutil.copytree(PROJECT / "book" / name, folder / "book" / name)
    for name in ("references.bib", "bibliography.md"):
        shutil.copy(PROJECT / "book" / name, folder / "book")
    (folder / "book" / "published_results.yml").write_text(PUBLISHED, encoding="utf-8")
    toc = "format: jb-book\nroot: book/index\nchapters:\n- file: notebooks/01_x\n- file: book/bibliography\n"
    toc += "- file: book/speed\n"
    (folder / "_toc.yml").write_text(toc, encoding="utf-8")
    (folder / "book" / "index.md").write_text(
        "# Runs\n\n```{execution-times}\n```\n" + SCORES, encoding="utf-8"
    )
    (folder / "book" / "speed.md").write_text(SPEED, encoding="utf-8")
    (folder / "notebooks" / "results" / "bench.json").write_text(
        json.dumps(bench_entries()), encoding="utf-8"
    )
    (folder / "notebooks" / "01_x.ipynb").write_text(json.dumps(chapter), encoding="utf-8")
    (folder / "notebooks" / "results" / "01_x.json").write_text(json.dumps(RESULTS), encoding="utf-8")
    pages = checks.all_pages(build_book(folder).resolve())
    assert "notebooks/01_x.html" in pages
    return pages


@pytest.fixture(scope="module")
def small_book(tmp_path_factory) -> dict[str, checks.Page]:
    """The pages of the small book."""
    return build(tmp_path_factory.mktemp("book"), notebook(), ADDRESS)


def test_a_chapter_passes_the_checks_of_the_book(small_book):
    page_wise = (checks.loads_from_elsewhere, checks.images_without_words, checks.left_overs, checks.form)
    found = [complaint for check in page_wise for complaint in checks.every(check, small_book)]
    assert not found + checks.broken_links(small_book)


def test_a_chapter_shows_glued_numbers_figures_and_exercises(small_book):
    article = small_book["notebooks/01_x.html"].soup.find("article")
    text = " ".join(article.get_text(" ").split())
    assert "The score is 0.984" in text
    assert "Kim" in text
    assert "Digits and copies." in text
    assert article.find("img", alt="Ten digits and their copies")
    assert "Exercise 1" in text
    assert len(article.select(".solution.dropdown")) == 2
    assert "glue(" not in text


def test_a_page_has_no_script_of_thebe_or_require(small_book):
    page = small_book["notebooks/01_x.html"].path.read_text(encoding="utf-8").lower()
    assert "thebe" not in page
    assert "require" not in page


def test_the_tables_are_tables_with_links(small_book):
    article = small_book["book/index.html"].soup.find("article")
    # Two of execution times, one comparison, and two kinds of results in a folded chapter.
    assert len(article.find_all("table")) == 5
    assert len(article.select("details table")) == 2
    assert all(table.caption and table.find("th", scope="col") for table in article.find_all("table"))
    assert "Deep SVDD" in article.select_one("figure img")["alt"]
    text = plain(" ".join(article.get_text(" ").split()))
    for part in (
        "13 min 32 s",
        "0.9836",
        "ARNet",
        "train on one digit | score all test images",
        "better than 1, worse than 0, and with 1 no difference is seen",
        "(profile quick)",
    ):
        assert part in text
    assert [link.get_text() for link in article.select("td a.reference.internal")][:1] == ["A chapter"]


def test_one_setting_brings_buttons_and_notebooks_that_install_what_is_missing(small_book):
    page = small_book["notebooks/01_x.html"]
    links = {
        link.get_text(strip=True): link["href"] for link in page.soup.select(".dropdown-launch-buttons a")
    }
    assert links == {
        "Colab": "https://colab.research.google.com/github/someone/book/blob/main/colab/01_x.ipynb",
        "Binder": "https://mybinder.org/v2/gh/someone/book/main?urlpath=lab/tree/notebooks/01_x.ipynb",
    }
    assert not small_book["book/index.html"].soup.select(".dropdown-launch-buttons")
    download = page.soup.select_one("a.btn-download-source-button")
    assert download["download"] == "01_x.ipynb"
    top = page.site.parents[1]
    for path in (page.path.parent / download["href"], top / "colab" / "01_x.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        assert f"git+{ADDRESS}@main" in "".join(cells[0]["source"])
    # Colab's cells were never run, those to download are as they were published.
    assert [bool(cell.get("outputs")) for cell in cells if cell["cell_type"] == "code"].count(True) == 0


def test_the_page_about_speed_has_its_numbers_its_figure_and_its_table(small_book):
    article = small_book["book/speed.html"].soup.find("article")
    text = plain(" ".join(article.get_text(" ").split()))
    assert "It is 2.4 times as fast." in text
    assert article.find("img", alt="Two lines that rise.")
    assert article.select_one("figcaption .caption-text").get_text() == "It grows."
    assert "not measured" in article.find("table").get_text(" ").replace("\N{NO-BREAK SPACE}", " ")
    # The other page of results leaves the benchmark out.
    assert "keras_over_ours" not in small_book["book/index.html"].soup.get_text()


def test_a_figure_without_alternative_text_is_found(tmp_path):
    pages = build(tmp_path, notebook(alternative=None))
    assert len(list(checks.every(checks.images_without_words, pages))) == 1
    # This one was built without an address, so nothing leads out of it.
    assert not pages["notebooks/01_x.html"].soup.select(".dropdown-launch-buttons")
    assert not (tmp_path / "colab").exists()
