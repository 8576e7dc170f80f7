"""Judge the shipped detectors on other databases: `python -m tools.external_records [NAME ...]`.

Each of INCART, SVDB, AFDB and NSRDB is judged where the folder that DAE_PHYSIONET_DIR names holds a folder of
it (`incartdb`, `svdb`, `afdb`, `nsrdb`), and passed over with a sentence where it does not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from dae_utils.data.external import DATABASES, FOLDERS_SETTING, external_folder, external_records
from dae_utils.data.recordings import RecordingError
from dae_utils.data.storage import SourceError
from dae_utils.signals.judging import judge, judge_all
from dae_utils.signals.shipped import load_detector


def judge_database(name: str, detector_name: str) -> str:
    """Return what a detector is worth on a database, record by record, or why it is not judged."""
    database = DATABASES[name]
    if external_folder(name) is None:
        return f"{name}: not judged, for {FOLDERS_SETTING} names no folder with the {database.title} in it."
    detector = load_detector(detector_name)
    lines, judgements = [], []
    for record in external_records(name):
        try:
            judgements.append(judge(record, detector.score(record)))
            lines.append(f"{name} {record.name}: {judgements[-1].line()}")
        except RecordingError as error:
            lines.append(f"{name} {record.name}: not scored: {error}")
    if judgements:
        lines.append(f"{name}, {len(judgements)} records: {judge_all(judgements).line()}")
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
