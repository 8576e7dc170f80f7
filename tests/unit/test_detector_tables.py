"""The page "Which detector for which data" says what was measured."""

from __future__ import annotations

import pytest

from tools.detector_tables import (
    OURS,
    PAGE,
    RIVAL,
    area_table,
    promise,
    rate_table,
    read_rows,
    time_table,
    total_ratio,
    with_tables,
)


def row(method: str, problem: str, seed: int, auroc: float, alarms: int, seconds: float) -> dict:
    """Return one line of results: 100 new normal samples, 99 held out."""
    times = {"seconds": seconds, "seconds_fit": seconds, "cpu_seconds": seconds}
    held_out = {"n_held_out": 99, "rank": 95} if method == OURS else {}
    return {
        "group": "Images",
        "problem": f"Images {problem}",
        "method": method,
        "seed": seed,
        "auroc": auroc,
        "false_alarms": alarms,
        "new_normals": 100,
        "found": 0.5,
        "fitted_on": 500,
        **times,
        **held_out,
    }


ROWS = [
    row(OURS, "0", 0, 0.9, 5, 1.0),
    row(OURS, "0", 1, 0.8, 30, 3.0),
    row(OURS, "1", 0, 0.75, 5, 1.0),
    row(RIVAL, "0", 0, 0.9, 20, 4.0),
    row(RIVAL, "1", 0, 0.5, 10, 6.0),
]


def cells(table: str, line: str) -> list[str]:
    """Return the cells of the line of a table that begins with a text."""
    (found,) = [text for text in table.splitlines() if text.startswith(f"| {line}")]
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_areas_are_means_over_problems_of_means_over_seeds():
    # (.85 + .75) / 2 and (.9 + .5) / 2, not the mean of all three fits.
    assert cells(area_table(ROWS), "Images") == ["Images", "**0.800**", "0.700"]


def test_rates_and_the_band_of_the_promise():
    assert cells(rate_table(ROWS), "Images")[1:3] == ["13.3 %", "15.0 %"]
    # 5 alarms of 100 are what was promised; 30 are not.
    assert promise(ROWS, "Images") == (2, 0, 3)


def test_times_are_compared_on_the_same_problem_and_seed_only():
    # 1 / 4 and 1 / 6; the second seed of ours has no partner.
    assert cells(time_table(ROWS), "Images")[-1] == f"{(1 / 4 + 1 / 6) / 2:.2f}"
    assert total_ratio(ROWS, "cpu_seconds") == pytest.approx(2 / 10)


def test_the_page_shows_what_was_measured():
    page = PAGE.read_text("utf-8")

    assert with_tables(page, read_rows()) == page, "run: python -m tools.compare_detectors --tables"


def test_a_page_without_a_place_for_a_table_is_refused():
    with pytest.raises(ValueError, match="area"):
        with_tables("# A page\n", ROWS)
