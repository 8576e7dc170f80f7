"""The tables of the page "Your own recording", made from the notes of the shipped detectors: nothing is
measured.

    python -m tools.shipped_tables           write the tables into the page

They stand between comment markers, and a test sees to it that page and notes agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dae_utils.signals.shipped import load_detector

PAGE = Path(__file__).resolve().parent.parent / "book" / "your_recording.md"
DETECTORS = ("one_lead", "two_leads")
SETTING = "10"  # of the tables that show one setting only
FALSE_ALARMS = "False alarms an hour, DS2"


def settings_table() -> str:
    """Return what each detector is worth at each threshold, one line each."""
    rows = []
    for name in DETECTORS:
        made = load_detector(name).made
        for number in sorted(made["tested_on"], key=float):
            tested = made["tested_on"][number]
            in_fibrillation = f"{tested['false_in_fibrillation']:.0f} of {tested['false_alarms']:.0f}"
            rows.append((f"`{name}`", number, *_worth(made, number), in_fibrillation))
    found = ("V episodes found, DS1", "V episodes found, DS2")
    return _table(("Detector", "Setting", *found, FALSE_ALARMS, "of them in fibrillation or flutter"), rows)


def patients_table() -> str:
    """Return what bad signal costs, and how the false alarms spread over the patients of DS2."""
    rows = []
    for name in DETECTORS:
        told = load_detector(name).made["tested_on"][SETTING]
        heard = told["v_episodes"] - told["v_silenced"]
        record, (most, *_) = max(told["each"].items(), key=lambda one: one[1][0])
        rows.append(
            (
                f"`{name}`",
                f"{told['silenced_share']:.0%}",
                f"{told['v_silenced']} of {told['v_episodes']}",
                f"{told['v_found'] / heard:.0%}",
                f"{most:.0f} (record {record})",
                f"{sum(rate == 0 for rate, *_ in told['each'].values())} of {told['records']}",
            )
        )
    silenced = ("Time in bad signal", "V episodes in it as a whole", "Found of the others")
    spread = ("Most false alarms an hour of a patient", "Patients without any")
    return _table(("Detector", *silenced, *spread), rows)


def without_table() -> str:
    """Return each detector beside the same alarm without a network."""
    rows = []
    for name in DETECTORS:
        made = load_detector(name).made
        bare = made["without_network"]
        rows.append((f"`{name}`", "network and size", *_worth(made, SETTING)))
        rows.append((f"`{name}`", "size alone", *_worth(bare, SETTING)))
    found = ("V episodes found, DS1", "V episodes found, DS2")
    return _table(("Detector", "A beat is strange by", *found, FALSE_ALARMS), rows)


TABLES = {"settings": settings_table, "patients": patients_table, "without": without_table}


def page_with_tables() -> str:
    """Return the page with the tables between their markers."""
    page = PAGE.read_text(encoding="utf-8")
    for name, table in TABLES.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, rest = page.split(begin)
        page = f"{before}{begin}\n{table()}\n{end}{rest.split(end)[1]}"
    return page


def _worth(made: Mapping[str, Any], number: str) -> tuple[str, str, str]:
    """Return the share of V episodes found on DS1 and on DS2, and the false alarms an hour on DS2."""
    chosen, tested = made["chosen_on"][number], made["tested_on"][number]
    return (
        f"{chosen['v_found'] / chosen['v_episodes']:.0%}",
        f"{tested['v_found'] / tested['v_episodes']:.0%} {_interval(tested['v_found_interval'], '.0%')}",
        f"{tested['false_alarms_per_hour']:.1f} {_interval(tested['false_alarms_per_hour_interval'], '.1f')}",
    )


def _interval(ends: Sequence[float], form: str) -> str:
    return f"[{ends[0]:{form}}, {ends[1]:{form}}]"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    PAGE.write_text(page_with_tables(), encoding="utf-8")
