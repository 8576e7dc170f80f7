"""Runs the programs that a page of the book shows."""

import os
from pathlib import Path


def run_program(program: str, folder: Path, page: str) -> dict:
    """Run a program of a page in `folder` and return its names."""
    before = Path.cwd()
    names: dict = {}
    try:
        os.chdir(folder)
        exec(compile(program, page, "exec"), names)
    finally:
        os.chdir(before)
    return names
