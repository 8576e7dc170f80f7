#!/bin/sh
# Makes .venv hold exactly what requirements.lock names, and this project's package.
# .venv/ready is written last: without it the environment is taken for unfinished and is made from the start.
set -eu

stop() {
    echo "$1" >&2
    exit 1
}

fits() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null
}

if [ -e .venv/ready ] && fits .venv/bin/python; then
    echo "Bringing .venv up to date with requirements.lock"
    rm .venv/ready
else
    python=${PYTHON:-}
    if [ -n "$python" ]; then
        fits "$python" || stop "PYTHON=$python is not Python 3.11, 3.12 or 3.13: please name one that is."
    else
        for candidate in python3 python3.13 python3.12 python3.11; do
            if fits "$candidate"; then
                python=$candidate
                break
            fi
        done
        [ -n "$python" ] || stop "No Python 3.11, 3.12 or 3.13 found: install one, or name it with PYTHON=/path/to/python."
    fi
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        sh tools/system_package.sh "python$version-venv" "This Python cannot make virtual environments yet"
        "$python" -c 'import ensurepip, venv' 2>/dev/null ||
            stop "$python still cannot make virtual environments: name another Python with PYTHON=/path/to/python."
    fi
    echo "Making .venv with $("$python" --version): a few minutes the first time"
    "$python" -m venv --clear .venv
fi

.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
# setuptools, which builds the package, is in the lock: nothing that is not pinned is downloaded here.
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
pwd -P >.venv/ready
