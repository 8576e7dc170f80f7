"""The command `python -m dae_utils score DETECTOR FILE`: score the heartbeats of a recording of your own.

    python -m dae_utils score two_leads holter.edf
    python -m dae_utils score one_lead strip.csv --units uV --output beats.csv --picture strip.png

It is not a medical device: it does not tell whether a heart is ill.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dae_utils.data.recordings import RecordingError, read_recording
from dae_utils.data.storage import SourceError, one_line
from dae_utils.signals.scored import ScoredRecording
from dae_utils.signals.shipped import load_detector, shipped_detectors

__all__ = ["add_score_command", "score_file"]

_MOST_ALARMS_SHOWN = 20
_PICTURE_ENDINGS = (".png", ".svg", ".pdf", ".jpg")


def add_score_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `score` and its arguments to the commands of a parser."""
    parser = commands.add_parser(
        "score",
        help="score the heartbeats of a recording of your own",
        description="Score the heartbeats of a recording of your own. This is not a medical device.",
    )
    parser.add_argument(
        "detector", metavar="DETECTOR", help=f"{', '.join(shipped_detectors())}, or the .json of your own"
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="a CSV, EDF or WFDB file")
    parser.add_argument("--output", type=Path, metavar="CSV", help="write a table with one row a beat")
    parser.add_argument("--picture", type=Path, metavar="PNG", help="draw the scores and strongest alarms")
    parser.add_argument("--rate", type=float, metavar="HZ", help="samples a second, if the file is silent")
    parser.add_argument("--units", metavar="UNIT", help="mV, uV or V, if the file is silent (then: mV)")
    parser.add_argument("--leads", nargs="+", metavar="LEAD", help="the leads to use, the main one first")
    parser.add_argument(
        "--false-alarms",
        type=float,
        default=10,
        metavar="N",
        help="how many false alarms an hour to accept: 2, 5, 10 or 20 (10); a hope, not a promise",
    )
    parser.add_argument(
        "--first-minutes", type=float, default=5, metavar="N", help="how long to learn the heart (5)"
    )


def score_file(options: argparse.Namespace) -> int:
    """Score one recording as the parsed arguments say; return the exit code (0 scored, 1 it can't be)."""
    try:
        _check_places(options)
        detector = load_detector(options.detector)
        record = read_recording(
            options.file, sampling_rate=options.rate, units=options.units, leads=options.leads
        )
        scored = detector.score(
            record,
            leads=options.leads,
            false_alarms_per_hour=options.false_alarms,
            first_seconds=60 * options.first_minutes,
        )
        if options.output:
            scored.table().to_csv(options.output, index=False)
        if options.picture:
            from dae_utils.show.strips import draw_scored  # here, since Matplotlib takes its time

            draw_scored(record, scored).savefig(options.picture, dpi=150)
    except (SourceError, ValueError, OSError, MemoryError) as error:
        print(f"error: {one_line(error, 400)}.", file=sys.stderr, flush=True)
        return 1
    for note in scored.notes:
        print(f"note: {note}.", file=sys.stderr, flush=True)
    print(scored.summary())
    if not options.output:
        _list_alarms(scored)
    return 0


def _check_places(options: argparse.Namespace) -> None:
    """Raise `RecordingError` where something could not be written, before minutes are spent on scoring."""
    for place in (options.output, options.picture):
        if place is None:
            continue
        if not place.absolute().parent.is_dir():
            raise RecordingError(f"there is no folder {place.parent} to write {place.name} into")
        if place.exists() and place.samefile(options.file):
            raise RecordingError(f"{place} is the recording itself; write somewhere else")
    if options.picture and options.picture.suffix.lower() not in _PICTURE_ENDINGS:
        endings = ", ".join(_PICTURE_ENDINGS)
        raise RecordingError(f"a picture's name ends in {endings}, not {options.picture.name}")


def _list_alarms(scored: ScoredRecording) -> None:
    """Print when the alarms were, and the highest score in each."""
    for beats in scored.beats_of_alarms()[:_MOST_ALARMS_SHOWN]:
        minutes, seconds = divmod(beats[0].time, 60)
        hours, minutes = divmod(int(minutes), 60)
        highest = max(beat.score for beat in beats)
        count = "1 beat" if len(beats) == 1 else f"{len(beats)} beats"
        print(f"  {hours}:{minutes:02}:{seconds:04.1f}  {count}, score up to {highest:.1f}")
    if len(scored.alarms) > _MOST_ALARMS_SHOWN:
        print(f"  and {len(scored.alarms) - _MOST_ALARMS_SHOWN} more; --output beats.csv holds all beats")
