# What a person types: make run, make test. The rest is for those who change prefork.
#   make run PYTHON=python3.12      another Python
#   make test ARGS="-k reload -x"   arguments for pytest

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
COUNT ?= 100000
SEED ?=
BIN := $(VENV)/bin

.PHONY: help run test unit fuzz numbers big lint coverage clean

help:
	@echo "make run       start the server with config/server.toml on http://127.0.0.1:8000"
	@echo "make test      run all tests"
	@echo "make unit      run the tests that start no server (seconds)"
	@echo "make fuzz      feed damaged requests to the HTTP codec (COUNT=100000, SEED=the time of day)"
	@echo "make numbers   write the page of numbers in docs/http.md anew"
	@echo "make big       upload and download 2 GiB, measure memory (minutes)"
	@echo "make lint      check style and types"
	@echo "make coverage  run all tests and report which lines and branches they reach"
	@echo "make clean     remove everything that these commands made"

run: $(VENV)/.installed
	exec $(BIN)/prefork -c config/server.toml

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

unit: $(VENV)/.installed-unit
	$(BIN)/python -m pytest -n auto tests/unit tests/test_layers.py $(ARGS)

fuzz: $(VENV)/.installed-unit
	PYTHONPATH=tests $(BIN)/python -m fuzz --count $(COUNT) $(addprefix --seed ,$(SEED))

numbers: $(VENV)/.installed-unit
	PYTHONPATH=tests $(BIN)/python -m fuzz.numbers

big: $(VENV)/.installed-test
	PREFORK_BIG_MIB=2048 $(BIN)/python -m pytest tests/load/test_big_bodies.py $(ARGS)

lint: $(VENV)/.installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

coverage: $(VENV)/.installed-test
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n auto --dist worksteal $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --skip-covered --show-missing

clean:
	rm -rf .venv .venv-* .coverage .coverage.* htmlcov build server/*.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find server tests -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp tells what is installed, so that a second call starts at once. Each is as new as pyproject.toml.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip

INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(INSTALL) .
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(BIN)/python
	$(INSTALL) '.[test,frameworks]'
	@touch $@

$(VENV)/.installed-unit: pyproject.toml | $(BIN)/python
	$(INSTALL) '.[test]'
	@touch $@

$(VENV)/.installed-lint: pyproject.toml | $(BIN)/python
	$(INSTALL) '.[test,lint]'
	@touch $@
