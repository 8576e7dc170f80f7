"""Searches a release for solutions and hidden checks: ``python -m tools.coursework.leaks FOLDER ASSIGNMENT
...``.

Prints as JSON how many secret lines were looked for, and where one was found.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tools.coursework.places import source_of
from tools.coursework.release import leaks, secret_lines

if __name__ == "__main__":
    folder, names = Path(sys.argv[1]), sys.argv[2:]
    secrets = secret_lines([source_of(name) for name in names])
    print(json.dumps({"secrets": len(secrets), "leaks": leaks(folder, names)}))
