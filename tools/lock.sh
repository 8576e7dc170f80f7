#!/bin/sh
# Works out requirements.lock: exact, hashed versions for every system and Python that the project supports.
# uv stands outside the environment, so that .venv holds what the lock names and nothing else.
set -eu
uv=_build/uv
mkdir -p _build
.venv/bin/python -m pip install --quiet --disable-pip-version-check --upgrade --target "$uv" 'uv>=0.8'
"$uv/bin/uv" pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
    --python-version 3.11 --extra test pyproject.toml requirements.txt --output-file requirements.lock "$@"
"$uv/bin/uv" pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
    --python-version 3.11 requirements-grading.txt --output-file requirements-grading.lock "$@"
