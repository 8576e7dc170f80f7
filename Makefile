# The commands of this project. Each is a line or two that can be typed by hand: the README has them for
# people without make. Settings: PYTHON=…, NOTEBOOKS="01_… 02_…", FORCE=1, STEPS="unit book", PORT=8000,
# ARGUMENTS="--again" for the benchmark.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Nothing here gains from -j: the slow steps use all cores by themselves, and two of them share the built book.
.NOTPARALLEL:
.PHONY: help book pdf epub zip test test-all lab execute verify bench serve browser lock clean \
    coursework grade slides test-grading test-release

# A virtual environment holds its own path: in a copied or moved checkout it has to be made again.
$(shell [ "$$(cat .venv/ready 2>/dev/null)" = "$$(pwd -P)" ] || rm -f .venv/ready)
$(shell [ "$$(cat .venv-grading/ready 2>/dev/null)" = "$$(pwd -P)" ] || rm -f .venv-grading/ready)

# Folders count too, so that a page which was removed or renamed is noticed. The dot tells the folder book from
# the target of that name.
BOOK_SOURCES := _config.yml _toc.yml \
    $(shell find book/. notebooks/. dae_utils/. \( -name '__pycache__' -o -name '.ipynb_checkpoints' \) -prune -o -print)

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-20s%s\n", $$1, $$2 }'

book: _build/html/.complete ## build the book from the committed notebooks
	@echo "The book is here: $(CURDIR)/_build/html/index.html"

pdf: .venv/ready ## print the whole book as PDF (needs TeX, which is installed where possible)
	@sh tools/latex.sh
	@.venv/bin/python -m tools.editions pdf

epub: .venv/ready ## write the whole book for an e-book reader
	@.venv/bin/python -m tools.editions epub

zip: book ## pack the built book, to read it offline
	@.venv/bin/python -m tools.editions zip

test: browser ## check everything: code, data, notebooks, the built book, its pages in a browser
	@.venv/bin/python -m tools.run_tests $(STEPS)

test-all: browser .venv-grading/ready ## the same, the studies, the tests that take minutes, and the grading (slow)
	@.venv/bin/python -m dae_utils fetch fashion_mnist mnist
	@.venv/bin/python -m tools.run_tests --all

lab: .venv/ready ## open the notebooks in JupyterLab
	.venv/bin/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) notebooks

execute: .venv/ready ## run the notebooks in the full profile and store their outputs (slow, can be resumed)
	@.venv/bin/python -m tools.execute $(if $(FORCE),--force) $(NOTEBOOKS)

verify: .venv/ready ## recompute the headline numbers from the published networks, and compare
	@.venv/bin/python -m tools.verify $(if $(FORCE),--force) $(NOTEBOOKS)

bench: .venv/ready ## time training against plain Keras and PyTorch (an hour, can be resumed)
	@.venv/bin/python -m tools.bench $(ARGUMENTS)

serve: book ## serve the book on this machine (PORT=8000)
	.venv/bin/python -m http.server --bind 127.0.0.1 --directory _build/html $(or $(PORT),8000)

coursework: .venv-grading/ready ## make what students are given: a folder and a zip without solutions
	@.venv-grading/bin/python -m tools.coursework.release $(ASSIGNMENTS)

grade: .venv/ready ## grade SUBMISSIONS=folder: points in one table, a page of feedback for each
	@$(if $(SUBMISSIONS),,$(error Name the folder: make grade SUBMISSIONS=folder))
	@.venv/bin/python -m dae_utils fetch fashion_mnist mnist
	@.venv/bin/python -m tools.coursework.grade "$(SUBMISSIONS)" $(ARGUMENTS)

slides: .venv-grading/ready ## make slides of every chapter in _build/slides
	@.venv-grading/bin/python -m tools.slides

test-grading: .venv-grading/ready ## check release and grading with submissions of every kind (slow)
	@.venv/bin/python -m dae_utils fetch fashion_mnist mnist
	@.venv/bin/python -m tools.run_tests grading

test-release: .venv-grading/ready ## check what students are given: the fast part of test-grading
	@.venv/bin/python -m dae_utils fetch fashion_mnist mnist
	@.venv/bin/python -m tools.run_tests release

lock: .venv/ready ## work out requirements.lock again from requirements.txt and pyproject.toml
	@sh tools/lock.sh

clean: ## remove what was built (the environment stays: remove .venv by hand to start over)
	rm -rf _build .pytest_cache .ruff_cache .mypy_cache .hypothesis .coverage .coverage.* dae_utils.egg-info
	find . \( -path ./.venv -o -path ./.venv-grading \) -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -type d -exec rm -rf {} +

.venv/ready: requirements.lock pyproject.toml
	@sh tools/setup.sh

.venv-grading/ready: requirements-grading.lock .venv/ready
	@sh tools/setup_grading.sh

browser: .venv/ready
	@sh tools/browser.sh

# Always from the start: Sphinx repeats a warning only for pages that it reads again, so a second, partial
# build would pass where the first one failed.
_build/html/.complete: .venv/ready $(BOOK_SOURCES)
	rm -rf _build/html _build/.doctrees
	.venv/bin/jupyter-book build . -W --keep-going
	@touch $@
