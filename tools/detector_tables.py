"""The tables of the page "Which detector for which data", made from measurements that are there already.

The measurements are in book/detectors.json; nothing is measured here. The tables stand between comment
markers in the page, and a test sees to it that page and measurements agree.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import betabinom

PROJECT = Path(__file__).resolve().parent.parent
RESULTS = PROJECT / "book" / "detectors.json"
PAGE = PROJECT / "book" / "which_detector.md"

NOTHING = "-"
OURS, RIVAL = "AutoencoderDetector", "PyOD AutoEncoder"
Row = dict[str, Any]


def read_rows() -> list[Row]:
    """Return one row for each fit that was measured; a detector that failed has none."""
    rows: list[Row] = json.loads(RESULTS.read_text("utf-8"))["rows"]
    return [row for row in rows if "error" not in row]


def methods_of(rows: list[Row]) -> list[str]:
    """Return the methods, in the order in which the table shows them."""
    order = [OURS, RIVAL, "PyOD IForest", "PyOD KNN", "PyOD ECOD"]
    return [method for method in order if any(row["method"] == method for row in rows)]


def label(row: Row) -> str:
    """Return the line of the tables to which a row belongs; a built-in table has one of its own."""
    if row["group"] == "Tables":
        return str(row["problem"]).rsplit(" ", 1)[0].capitalize()
    return f"Heartbeats, {row['problem']}" if row["group"] == "Heartbeats" else str(row["group"])


def labels_of(rows: list[Row]) -> list[str]:
    """Return the lines of the tables in order."""
    return list(dict.fromkeys(label(row) for row in rows))


def mean_of(rows: list[Row], method: str, name: str, value: str) -> float | None:
    """Return the mean over problems of the mean over seeds.

    None where a method was not measured on every problem of the set: the means would be of different things.
    """
    of_problem: dict[str, list[float]] = defaultdict(list)
    wanted = {row["problem"] for row in rows if label(row) == name}
    for row in rows:
        if label(row) == name and row["method"] == method:
            of_problem[row["problem"]].append(float(row[value]))
    if set(of_problem) != wanted:
        return None
    return float(np.mean([np.mean(values) for values in of_problem.values()]))


def markdown(head: list[str], lines: list[list[str]]) -> str:
    """Return a Markdown table whose first column is text and whose others are numbers."""
    rule = ["---", *["--:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, rule, *lines])


def area_table(rows: list[Row]) -> str:
    """Return the mean area under the ROC curve of every method on every set, the best one in bold."""
    methods = methods_of(rows)
    areas = {name: [mean_of(rows, method, name, "auroc") for method in methods] for name in labels_of(rows)}
    lines = [[name, *in_bold(values)] for name, values in areas.items()]
    # The last line is about the two autoencoders, so it needs both of them in a set.
    two = [methods.index(method) for method in (OURS, RIVAL) if method in methods]
    both = [values for values in areas.values() if all(values[k] is not None for k in two)]
    if both:
        means = [None if None in column else np.mean(column) for column in zip(*both, strict=True)]
        lines.append([f"**mean of {len(both)} sets**", *in_bold(means)])
    return markdown(["normal samples from", *methods], lines)


def in_bold(values: list[float | None]) -> list[str]:
    """Return values with three digits, the highest in bold (several, where they print alike)."""
    best = f"{max(value for value in values if value is not None):.3f}"
    texts = [NOTHING if value is None else f"{value:.3f}" for value in values]
    return [f"**{text}**" if text == best else text for text in texts]


def band(row: Row, confidence: float = 0.95) -> tuple[float, float]:
    """Return the numbers of false alarms between which a kept promise lies: beta-binomial, equal-tailed."""
    tail = (1 - confidence) / 2
    alarms = betabinom(row["new_normals"], row["n_held_out"] + 1 - row["rank"], row["rank"])
    return float(alarms.ppf(tail)), float(alarms.ppf(1 - tail))


def promise(rows: list[Row], name: str) -> tuple[int, int, int]:
    """Return how many of our fits on a set stayed inside the band or under it, and how many there were."""
    inside = below = total = 0
    for row in rows:
        if label(row) == name and row["method"] == OURS:
            low, high = band(row)
            inside += low <= row["false_alarms"] <= high
            below += row["false_alarms"] < low
            total += 1
    return inside, below, total


def rate_table(rows: list[Row]) -> str:
    """Return the share of new normal samples that raised an alarm, 5 % being promised."""
    methods = methods_of(rows)
    lines = []
    for name in labels_of(rows):
        cells = []
        for method in methods:
            rates = [
                row["false_alarms"] / row["new_normals"]
                for row in rows
                if label(row) == name and row["method"] == method
            ]
            is_whole = mean_of(rows, method, name, "auroc") is not None
            cells.append(f"{100 * np.mean(rates):.1f} %" if is_whole else NOTHING)
        inside, below, total = promise(rows, name)
        lines.append([name, *cells, f"{inside} of {total}" + (f" ({below} under it)" if below else "")])
    return markdown(["normal samples from", *methods, "ours within its band"], lines)


def paired_ratios(rows: list[Row], name: str | None, value: str) -> list[float]:
    """Return our time over PyOD's for every problem and seed that both have."""
    times: dict[tuple[str, str, int], dict[str, float]] = defaultdict(dict)
    for row in rows:
        if name is None or label(row) == name:
            times[row["group"], row["problem"], row["seed"]][row["method"]] = row[value]
    return [both[OURS] / both[RIVAL] for both in times.values() if OURS in both and RIVAL in both]


def total_ratio(rows: list[Row], value: str) -> float:
    """Return the ratio of the summed times, over the problems and seeds that both have."""
    sums = {OURS: 0.0, RIVAL: 0.0}
    keys = [{(r["group"], r["problem"], r["seed"]) for r in rows if r["method"] == method} for method in sums]
    for row in rows:
        if row["method"] in sums and (row["group"], row["problem"], row["seed"]) in keys[0] & keys[1]:
            sums[row["method"]] += row[value]
    return sums[OURS] / sums[RIVAL]


def time_table(rows: list[Row]) -> str:
    """Return the processor seconds of every method, and the ratio of ours to PyOD's autoencoder."""
    methods = methods_of(rows)
    lines = []
    for name in labels_of(rows):
        seconds = [mean_of(rows, method, name, "cpu_seconds") for method in methods]
        ratios = paired_ratios(rows, name, "cpu_seconds")
        cells = [
            NOTHING if value is None else f"{value:.2g}" if value < 10 else f"{value:.0f}"
            for value in seconds
        ]
        lines.append([name, *cells, f"{np.median(ratios):.2f}" if ratios else NOTHING])
    if paired_ratios(rows, None, "cpu_seconds"):
        total = f"**{total_ratio(rows, 'cpu_seconds'):.2f}**"
        lines.append(["**all fits together**", *[""] * len(methods), total])
    return markdown(["normal samples from", *methods, "ratio"], lines)


TABLES = {"area": area_table, "rate": rate_table, "seconds": time_table}


def with_tables(page: str, rows: list[Row]) -> str:
    """Return the text of the page with the tables written anew between their markers.

    Raises:
        ValueError: a marker is missing.
    """
    for name, make in TABLES.items():
        begin, end = f"<!-- table: {name} -->", f"<!-- end of table: {name} -->"
        pattern = re.compile(f"{begin}.*?{end}", flags=re.DOTALL)
        if not pattern.search(page):
            raise ValueError(
                f"{PAGE.name} has no place for the table {name!r}: put {begin} and {end} into it."
            )
        table = make(rows)
        page = pattern.sub(lambda _, b=begin, t=table, e=end: f"{b}\n{t}\n{e}", page)
    return page


def write_tables() -> None:
    """Write the tables into the page."""
    PAGE.write_text(with_tables(PAGE.read_text("utf-8"), read_rows()), encoding="utf-8")
