#!/bin/sh
# Sees to it that there is a TeX that can print the book: the PDF needs nothing else from outside the environment.
set -eu

if ! command -v latexmk >/dev/null 2>&1 || ! command -v xelatex >/dev/null 2>&1 ||
    ! kpsewhich changepage.sty FreeSerif.otf ltxcmds.sty >/dev/null 2>&1 || ! command -v rsvg-convert >/dev/null 2>&1; then
    for package in latexmk texlive-xetex texlive-latex-extra texlive-fonts-recommended fonts-freefont-otf librsvg2-bin; do
        sh tools/system_package.sh "$package" "Printing the book needs $package"
    done
fi
