"""The command `python -m dae_utils`: fetch the data sets, verify them, list them; score a recording.

    python -m dae_utils fetch            fetch all data sets that are missing
    python -m dae_utils fetch mnist      only this one
    python -m dae_utils --check          verify what is in the cache; exit code 1 if one is missing or damaged
    python -m dae_utils --list           what there is, its licence, and where it is kept
    python -m dae_utils score DETECTOR FILE      score the heartbeats of your own recording, see `score_file`

Exit codes: 0 all is well, 1 a set or a recording could not be had or is not right, 2 the command was not
understood.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from dae_utils.data.images import SOURCES
from dae_utils.data.mitdb import FOLDER_SETTING, check_mitdb, fetch_mitdb
from dae_utils.data.sources import check_arrays, load_arrays
from dae_utils.data.storage import SourceError, data_dir, show_path, show_size
from dae_utils.score_file import add_score_command, score_file

MITDB = "mitdb"
NAMES = (*SOURCES, MITDB)


def _parser() -> argparse.ArgumentParser:
    """Return the parser; both options stand with and without the word `fetch`."""
    options = argparse.ArgumentParser(add_help=False)
    kind = options.add_mutually_exclusive_group()
    kind.add_argument(
        "--check",
        action="store_const",
        const="check",
        dest="action",
        default=argparse.SUPPRESS,
        help="verify what is in the cache, fetch nothing",
    )
    kind.add_argument(
        "--list",
        action="store_const",
        const="list",
        dest="action",
        default=argparse.SUPPRESS,
        help="show each data set, its size, licence and place",
    )
    parser = argparse.ArgumentParser(
        prog="python -m dae_utils",
        description="The data sets of the book, and its detectors of heartbeats.",
        parents=[options],
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    fetch = commands.add_parser("fetch", parents=[options], help="fetch the data sets that are missing")
    fetch.add_argument(
        "names", nargs="*", metavar="NAME", help=f"one or more of {', '.join(NAMES)}; default: all"
    )
    add_score_command(commands)
    return parser


def _fetch(name: str) -> None:
    """Make sure that one data set is in the cache, and say where it came from."""
    if name == MITDB:
        print(f"MIT-BIH: from {fetch_mitdb()}, verified.", flush=True)
    else:
        load_arrays(SOURCES[name])


def _check(name: str) -> None:
    """Verify one data set and say that it is well."""
    if name == MITDB:
        check_mitdb()
        print("MIT-BIH: verified.", flush=True)
    else:
        check_arrays(SOURCES[name])
        print(f"{SOURCES[name].title}: verified.", flush=True)


def _list(name: str) -> None:
    """Show one data set: what it is, how large, its licence and paper, and whether it is in the cache."""
    if name == MITDB:
        title, about, size = (
            "MIT-BIH",
            "48 half-hour electrocardiograms, two leads, 360 Hz, every beat labelled",
            104e6,
        )
        licence = "ODC-By 1.0"
        path = Path(os.environ.get(FOLDER_SETTING) or data_dir() / MITDB).expanduser()
        citation = "Moody and Mark (2001), The impact of the MIT-BIH Arrhythmia Database"
        here = any(path.glob("*.dat"))
    else:
        source = SOURCES[name]
        title, about, size, licence = source.title, source.about, source.size, source.licence
        citation, path = source.citation, source.path
        here = path.exists()
    print(f"{name}: {title}, {about}")
    print(f"    size      {show_size(size)}")
    print(f"    licence   {licence}")
    print(f"    paper     {citation}")
    print(f"    kept in   {show_path(path)} ({'present' if here else 'not fetched yet'})")


ACTIONS: dict[str, Callable[[str], None]] = {"fetch": _fetch, "check": _check, "list": _list}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code (0 well, 1 a data set is not).

    Raises:
        SystemExit: with code 2, when the command is not understood.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command == "score":
        return score_file(options)
    action = getattr(options, "action", options.command)
    if action is None:
        parser.print_help()
        return 2
    names = getattr(options, "names", None) or NAMES
    for name in names:
        if name not in NAMES:
            parser.error(f"there is no data set '{name}'; choose from {', '.join(NAMES)}")
    failed = False
    for name in names:
        try:
            ACTIONS[action](name)
        except SourceError as error:
            print(error, file=sys.stderr, flush=True)
            failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
