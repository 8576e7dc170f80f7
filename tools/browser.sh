#!/bin/sh
# Sees to it that the tests find a Chromium: the one named by DAE_CHROMIUM, or one on the PATH.
set -eu

if [ -n "${DAE_CHROMIUM:-}" ]; then
    [ -x "$DAE_CHROMIUM" ] && exit 0
    echo "DAE_CHROMIUM=$DAE_CHROMIUM is not a program: please name a Chromium or Chrome executable." >&2
    exit 1
fi
for name in chromium chromium-browser google-chrome google-chrome-stable; do
    command -v "$name" >/dev/null 2>&1 && exit 0
done
sh tools/system_package.sh chromium "The tests need Chromium (or DAE_CHROMIUM=/path/to/a/browser)"
