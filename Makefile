# Everything a person does here. `make` alone lists it. Needs Python 3.11 or newer, and nothing else.

.DEFAULT_GOAL := help
.PHONY: help play studio setup check format test test-all bench bench-gpu golden embedded gpu-bundle gpu-aside gpu-back map clean

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
PROMPT ?= warm lo-fi beat with Rhodes piano, 82 bpm
SEED ?= 7

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

play: $(VENV)/.core  ## hear music: install, and write first.wav from a sentence (PROMPT="..." SEED=7)
	@$(BIN)/cadenza generate "$(PROMPT)" --seed $(SEED) --output first.wav
	@echo
	@echo "Your music is in $(CURDIR)/first.wav. Another one:"
	@echo "  $(BIN)/cadenza generate \"a slow sad piano piece in D minor\" -o second.wav --duration 12"
	@echo "  $(BIN)/cadenza generate --help"

studio: $(VENV)/.serve  ## open the studio: a page to compose and listen, and an HTTP API
	@$(BIN)/cadenza serve

setup: $(VENV)/.dev  ## install everything that developing needs into .venv

check: $(VENV)/.dev  ## format, lint, types, walls between rooms, size of files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest --quiet tests/test_architecture.py

format: $(VENV)/.dev  ## let ruff put the code in order
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: $(VENV)/.dev  ## the default tests: minutes, no network
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-all: $(VENV)/.dev  ## every test that this machine can run
	$(BIN)/python -m pytest -m ""

bench: $(VENV)/.dev  ## measure speed and memory into runs/bench (half an hour; the last line of each part is JSON)
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/sweep.py

bench-gpu: $(VENV)/.dev  ## the same on a GPU into benchmarks/results, in pieces; what is done stays (recipes/GPU.md)
	$(BIN)/python benchmarks/sweep.py --device cuda --results benchmarks/results --resume

golden: $(VENV)/.dev  ## write the numbers that a refactor must not change anew (tests/golden)
	$(BIN)/python tests/golden/test_golden.py

embedded: $(VENV)/.core  ## rebuild the model inside into runs/embedded (hours; what is done stays: ARGS=--list)
	$(BIN)/python recipes/embedded.py --on cpu $(ARGS)

gpu-bundle: $(VENV)/.core  ## gather what a bare GPU machine lacks into .gpu/ (recipes/GPU.md)
	@PYTHON=$(BIN)/python recipes/gpu_bundle.sh

gpu-aside:  ## put aside what a GPU machine does not need, while the tree travels there
	@recipes/gpu_bundle.sh aside

gpu-back:  ## and put it back
	@recipes/gpu_bundle.sh back

map: $(VENV)/.dev  ## write the map of files in README.md anew
	$(BIN)/python tests/filemap.py README.md

clean:  ## remove .venv and caches
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .import_linter_cache build dist

# torch comes first and alone, so that nothing else can pull another one.
$(VENV)/.core: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Cadenza needs Python 3.11 or newer: install it, or say make PYTHON=/path/to/python"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (torch is large; this takes minutes once) ..."
	@$(PIP) torch
	@$(PIP) --editable .
	@touch $@

$(VENV)/.serve: $(VENV)/.core
	@$(PIP) --editable ".[serve]"
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	@echo "Installing what developing needs ..."
	@$(PIP) --editable ".[dev]"
	@touch $@
