#!/bin/sh
# Makes .venv-grading hold exactly what requirements-grading.lock names. Runs after the book's own set-up, with
# the same Python. .venv-grading/ready is written last: without it the environment is made from the start.
set -eu
echo "Making .venv-grading: a minute the first time"
.venv/bin/python -m venv --clear .venv-grading
.venv-grading/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-grading.lock
pwd -P >.venv-grading/ready
