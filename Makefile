# Every target sets up .venv by itself when it is missing or older than the files that describe it.
# With CONSTRAINTS= it gets the newest versions instead of those of constraints.txt.
SHELL := /bin/bash
PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet $(CONSTRAINTS:%=--constraint %) --editable
STAMP := $(VENV)/.installed
DEMO ?= all
EXTRAS ?= dev
PYTEST := $(BIN)/python -m pytest --numprocesses=2

.PHONY: setup try demo test test-slow test-long test-latest lint format bench clean

$(STAMP): setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11 ...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip setuptools
	@$(INSTALL) '.[$(EXTRAS)]' || { echo "$$FAILED" >&2; exit 1; }
	@touch $@

define FAILED
pip could not install the versions that constraints.txt asks for. If the package index no longer has one of them,
change its line there, or install the newest versions of everything: make CONSTRAINTS= $(MAKECMDGOALS)
endef
export FAILED

setup: $(STAMP)

try: $(STAMP)  ## show the models that come with the package in runs/try/index.html, then on a page to play with
	$(BIN)/python -m launch.tryout --out=runs/try

demo: $(STAMP)  ## train on the embedded sky and plants, then write runs/demo/index.html; DEMO=sky or plants: only that
	$(BIN)/python -m launch.demo --demo=$(DEMO) --workdir=runs/demo

test: $(STAMP)
	$(PYTEST) --dist=worksteal -m "not slow and not long"

test-slow: $(STAMP)  ## training jobs, several processes, a page in a browser, a SLURM cluster
	$(PYTEST) --dist=loadfile --no-loadscope-reorder -m "slow and not long"

test-long: $(STAMP)  ## what must learn or compute for long; docs/testing.md says when to run it, and its last results
	$(BIN)/python -m pytest -m long --durations=0

test-latest:  ## the quick tests with the newest versions of everything that pip finds for PYTHON
	rm -rf .venv-latest
	$(MAKE) test VENV=.venv-latest CONSTRAINTS=

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)  ## ratios against plain PyTorch; installs the extra "torch"
	$(INSTALL) '.[dev,torch]'
	$(BIN)/python -m benchmarks.networks
	$(BIN)/python -m benchmarks.training_steps
	$(BIN)/python -m benchmarks.metrics
	$(BIN)/python -m benchmarks.input_pipeline

clean:
	rm -rf .venv .venv-latest .cache build *.egg-info
