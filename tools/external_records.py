"""Judge the shipped detectors on other databases: `python -m tools.external_records [NAME ...]`.

Each of INCART, SVDB, AFDB and NSRDB is judged where the folder that DAE_PHYSIONET_DIR names holds a folder of
it (`incartdb`, `svdb`, `afdb`, `nsrdb`), and passed over with a sentence where it does not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from dae_utils.data.ecg import Record
from dae_utils.data.external import DATABASES, FOLDERS_SETTING, external_folder, external_records
from dae_utils.data.recordings import RecordingError
from dae_utils.data.storage import SourceError
from dae_utils.signals.alarms import AlarmCounts
from dae_utils.signals.judging import in_fibrillation, judge
from dae_utils.signals.matching import match_beats
from dae_utils.signals.scored import ScoredRecording
from dae_utils.signals.shipped import load_detector


def peaks_in_words(record: Record, scored: ScoredRecording) -> str:
    """Return how many of the marked beats were found, and how many found beats there are in all."""
    times = [beat.time for beat in scored.beats]
    pairs = match_beats(times, record.r_peaks / record.sampling_rate, sampling_rate=1, tolerance=0.15)
    return f"{len(pairs.found)} of {pairs.n_annotated} marked beats found ({pairs.n_found} found in all)"


def alarms_in_words(counts: AlarmCounts, fibrillating: int) -> str:
    """Return what alarms are worth, in one line."""
    return (
        f"{counts.found} of {counts.events} episodes of V beats raised an alarm; {counts.false_alarms} false "
        f"alarms in {counts.hours:.1f} h, {counts.false_alarms_per_hour:.1f} an hour, {fibrillating} of them "
        f"in atrial fibrillation or flutter; silenced {counts.silenced_hours:.1f} h"
    )


def judge_database(name: str, detector_name: str) -> str:
    """Return what a detector is worth on a database, record by record, or why it is not judged."""
    database = DATABASES[name]
    if external_folder(name) is None:
        return f"{name}: not judged, for {FOLDERS_SETTING} names no folder with the {database.title} in it."
    detector = load_detector(detector_name)
    lines, judged, fibrillating = [], [], 0
    for record in external_records(name):
        try:
            scored = detector.score(record)
        except RecordingError as error:
            lines.append(f"{name} {record.name}: not scored: {error}")
            continue
        counts = judge(record, scored)
        n_here = in_fibrillation(record, counts)
        words = alarms_in_words(counts, n_here)
        lines.append(f"{name} {record.name}: {peaks_in_words(record, scored)}; {words}")
        judged.append(counts)
        fibrillating += n_here
    if judged:
        lines.append(f"{name}, {len(judged)} records: {alarms_in_words(sum(judged), fibrillating)}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge the databases; return the exit code (1 where a folder is not right)."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.external_records", description=__doc__.split("\n")[0]
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(DATABASES)}; default: all")
    parser.add_argument("--detector", default="two_leads", help="which detector (two_leads)")
    options = parser.parse_args(arguments)
    failed = False
    for name in options.names or DATABASES:
        try:
            print(judge_database(name, options.detector), flush=True)
        except (SourceError, ValueError) as error:
            print(error, file=sys.stderr, flush=True)
            failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
