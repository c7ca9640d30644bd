# Every target sets up .venv by itself when it is missing or older than the files that describe it.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO ?= all

.PHONY: demo test test-slow lint format bench clean

$(STAMP): setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11 ...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(STAMP)  ## train on the embedded sky and plants, then write runs/demo/index.html; DEMO=sky or plants: only that
	$(BIN)/python -m launch.demo --demo=$(DEMO) --workdir=runs/demo

test: $(STAMP)
	$(BIN)/python -m pytest -m "not slow" --numprocesses=2

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow --numprocesses=2 --dist=loadfile

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)  ## ratios against plain PyTorch; installs the extra "torch"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,torch]'
	$(BIN)/python -m benchmarks.networks
	$(BIN)/python -m benchmarks.training_steps
	$(BIN)/python -m benchmarks.metrics
	$(BIN)/python -m benchmarks.input_pipeline

clean:
	rm -rf $(VENV) build *.egg-info
