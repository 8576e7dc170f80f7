"""Where the bytes of the data sets come from, and the proof that they are the right ones."""

from __future__ import annotations

import os
from pathlib import Path

import pooch


class SourceError(RuntimeError):
    """Data could not be had, or could not be trusted; at most three lines that end with what to do next."""


def data_dir() -> Path:
    """Return the cache folder: `DAE_DATA_DIR` when it is set, otherwise the user's own cache folder."""
    return Path(os.environ.get("DAE_DATA_DIR") or pooch.os_cache("deep-autoencoders")).expanduser()
