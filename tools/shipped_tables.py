"""The table of the page "Your own recording", made from the notes of the shipped detectors: nothing is
measured.

    python -m tools.shipped_tables           write the table into the page

It stands between comment markers, and a test sees to it that page and notes agree.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dae_utils.signals.shipped import load_detector

PAGE = Path(__file__).resolve().parent.parent / "book" / "your_recording.md"
MARKERS = ("<!-- results -->", "<!-- /results -->")
DETECTORS = ("one_lead", "two_leads")


def results_table() -> str:
    """Return the table: one line for each detector and threshold."""
    lines = [
        "| Detector | Setting | V episodes found, DS1 | V episodes found, DS2 | False alarms an hour, DS2 | "
        "of them in fibrillation or flutter |",
        "|---|---|---|---|---|---|",
    ]
    for name in DETECTORS:
        made = load_detector(name).made
        for number in sorted(made["tested_on"], key=float):
            chosen, tested = made["chosen_on"][number], made["tested_on"][number]
            cells = (
                f"`{name}`",
                number,
                _share(chosen),
                f"{_share(tested)} {_interval(tested['v_found_interval'], '.0%')}",
                f"{tested['false_alarms_per_hour']:.1f} "
                f"{_interval(tested['false_alarms_per_hour_interval'], '.1f')}",
                f"{tested['false_in_fibrillation']} of {tested['false_alarms']}",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def page_with(table: str) -> str:
    """Return the page with this table between its markers."""
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(MARKERS[0])
    after = rest.split(MARKERS[1])[1]
    return f"{before}{MARKERS[0]}\n{table}\n{MARKERS[1]}{after}"


def _share(found: dict[str, Any]) -> str:
    return f"{found['v_found'] / found['v_episodes']:.0%}"


def _interval(ends: list[float], form: str) -> str:
    return f"[{ends[0]:{form}}, {ends[1]:{form}}]"


if __name__ == "__main__":
    PAGE.write_text(page_with(results_table()), encoding="utf-8")
