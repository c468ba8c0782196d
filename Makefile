# What a person types: make run, make test. The rest is for those who change prefork.
#   make run PYTHON=python3.12      another Python
#   make test ARGS="-k reload -x"   arguments for pytest

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
CHAOS_S ?= 60
ROUNDS ?= 20
COUNT ?= 100000
FUZZ_S ?= 60
SEED ?=
BIN := $(VENV)/bin

.PHONY: help screenshots run test unit pure asan fuzz-c fuzz numbers big lint coverage chaos systemd-test reload-matrix bench bench-short bench-smoke bench-scale bench-instructions clean

help:
	@echo "make run       start the server with config/server.toml on http://127.0.0.1:8000"
	@echo "make test      run all tests"
	@echo "make unit      run the tests that start no server (seconds)"
	@echo "make pure      run them again without the compiled parts (PREFORK_PURE=1)"
	@echo "make asan      run the tests of the HTTP codec with the compiled parts under sanitizers (gcc)"
	@echo "make fuzz-c    fuzz the compiled parts, guided by coverage, under sanitizers (FUZZ_S=60, SEED=...)"
	@echo "make fuzz      feed damaged requests to the HTTP codec (COUNT=100000, SEED=the time of day)"
	@echo "make numbers   write the page of numbers in docs/http.md anew"
	@echo "make big       upload and download 2 GiB, measure memory (minutes)"
	@echo "make lint      check style and types"
	@echo "make coverage  run all tests and report which lines and branches they reach"
	@echo "make chaos     kill, stop, reload, upgrade and starve a server at random, under load (CHAOS_S=60, SEED=...)"
	@echo "make systemd-test  20 restarts and 20 reloads of a service of a real systemd, in namespaces (root; ROUNDS=20)"
	@echo "make reload-matrix  what breaks prefork and its peers, as a table (minutes)"
	@echo "make bench     measure prefork beside its peers, all workloads (an hour; ARGS as bench/compare.py has them)"
	@echo "make bench-short  the workloads and servers of the README's table, 5 rounds of a second (12 minutes)"
	@echo "make bench-scale  many connections, many workers, many requests (ARGS as bench/scale.py has them)"
	@echo "make bench-instructions  instructions of a request, exact on a busy machine too (valgrind)"
	@echo "make bench-smoke  the same with one short round of a few, to see that it works"
	@echo "make screenshots  make the pictures of docs/top.md and docs/status.md again (minutes; wants tmux and Chromium)"
	@echo "make rolling     upgrade three machines behind HAProxy and nginx one by one, 20,000 requests through each"
	@echo "make generated   write the reference, the schema, the manual and the completions anew"
	@echo "make clean     remove everything that these commands made"

run: $(VENV)/.installed
	exec $(BIN)/prefork -c config/server.toml

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

unit: $(VENV)/.installed-unit
	$(BIN)/python -m pytest -n auto tests/unit tests/test_layers.py $(ARGS)

pure: $(VENV)/.installed-unit
	PREFORK_PURE=1 $(BIN)/python -m pytest -n auto tests/unit $(ARGS)

asan: $(VENV)/.installed-unit
	PYTHONPATH=tests $(BIN)/python -m fuzz.native tests $(ARGS)

fuzz-c: $(VENV)/.installed-unit
	PYTHONPATH=tests $(BIN)/python -m fuzz.native fuzz --seconds $(FUZZ_S) $(addprefix --seed ,$(SEED))

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

# Everything at once, at random, under load. A run is repeated with the SEED it prints.
chaos: $(VENV)/.installed-test
	PREFORK_TEST_CHAOS_S=$(CHAOS_S) PREFORK_TEST_SEED=$(SEED) $(BIN)/python -m pytest tests/load/test_chaos.py $(ARGS)

# As in the other tests, but with more rounds.
systemd-test: $(VENV)/.installed-test
	PREFORK_SYSTEMD_ROUNDS=$(ROUNDS) $(BIN)/python -m pytest tests/systemd $(ARGS)

# The table of the README: prefork and, where pip installs them, its peers in an environment of their own.
reload-matrix: $(VENV)/.installed
	test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	for each in gunicorn pyuwsgi granian uvicorn; do \
		.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check $$each || true; done
	$(BIN)/python bench/reload_matrix.py $(ARGS)

# Peers that do not build here are named in the table. bjoern wants libev-dev, all want wrk.
PEERS := gunicorn uwsgi granian bjoern fastwsgi waitress cheroot flask django
BENCH := .venv-bench/bin/python

.venv-bench/.installed: $(BUILT_FROM)
	test -x $(BENCH) || $(PYTHON) -m venv .venv-bench
	$(BENCH) -m pip install --quiet --disable-pip-version-check --editable .
	for each in $(PEERS); do $(BENCH) -m pip install --quiet --disable-pip-version-check $$each || true; done
	@touch $@

bench: .venv-bench/.installed
	$(BENCH) bench/compare.py --servers all --workloads all --operations all --rounds 5 --seconds 5 \
		--markdown build/bench.md --plot build/bench.svg $(ARGS)

bench-short: .venv-bench/.installed
	$(BENCH) bench/compare.py --servers prefork,granian,bjoern,fastwsgi,uwsgi,gunicorn-gthread \
		--workloads unique,browser,hello,close,post,flask,tls,pool --operations start --rounds 5 --seconds 1 \
		--markdown build/bench.md --plot build/bench.svg $(ARGS)

bench-scale: .venv-bench/.installed
	$(BENCH) bench/scale.py --markdown build/scale.md $(ARGS)

bench-instructions: .venv-bench/.installed
	$(BENCH) bench/instructions.py $(ARGS)

bench-smoke: .venv-bench/.installed
	$(BENCH) bench/compare.py --workloads unique,close,post,big,tls --operations start --rounds 1 --seconds 1 $(ARGS)

screenshots: $(VENV)/.installed-test
	PYTHONPATH=tests $(BIN)/python bench/screenshots.py docs

rolling: $(VENV)/.installed-test
	PREFORK_TEST_ROLLING=20000 $(BIN)/python -m pytest tests/load/test_rolling.py $(ARGS)

# Made from the settings' model and from argparse; tests say when they are out of date.
generated: $(VENV)/.installed
	$(BIN)/prefork config --reference > config/reference.toml
	$(BIN)/prefork config --schema > config/schema.json
	$(BIN)/prefork migrate --tables > docs/migrate.md
	for page in prefork.1 prefork.toml.5; do $(BIN)/prefork manual $$page > docs/man/$$page; done
	$(BIN)/prefork completion bash > docs/completion/prefork
	$(BIN)/prefork completion zsh > docs/completion/_prefork
	$(BIN)/prefork completion fish > docs/completion/prefork.fish

clean:
	rm -rf .venv .venv-* .coverage .coverage.* htmlcov build server/*.egg-info server/prefork/*.so
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find server tests -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp tells what is installed, so that a second call starts at once. Each is as new as what the installation is made from.
BUILT_FROM := pyproject.toml $(wildcard server/prefork/*.c)
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip

INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable

$(VENV)/.installed: $(BUILT_FROM) | $(BIN)/python
	$(INSTALL) .
	@touch $@

$(VENV)/.installed-test: $(BUILT_FROM) | $(BIN)/python
	$(INSTALL) '.[test,frameworks,browser]'
	@touch $@

$(VENV)/.installed-unit: $(BUILT_FROM) | $(BIN)/python
	$(INSTALL) '.[test]'
	@touch $@

$(VENV)/.installed-lint: $(BUILT_FROM) | $(BIN)/python
	$(INSTALL) '.[test,lint]'
	@touch $@
