# What a clone needs to be tried, tested and measured. Every target sets up what it needs, once.
#
#   make demo        three private database servers and vgate in front of them, and a command to paste
#   make test        lint, types and all tests but the slow ones
#   make test-slow   the long searches
#   make lint        what is checked without running anything
#   make bench       figures: direct, HAProxy and vgate side by side
#   make clean       remove what the targets made (but not the demo's data in .vgate)
#
# ARGS is handed on: make test ARGS='-k pool -x', make demo ARGS='--reset --listen 127.0.0.1:3306'

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.NOTPARALLEL:
.PHONY: demo test test-slow lint bench clean database mysql9 clients

PYTHON ?= $(or $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done),no-python)
export PYTHON
ARGS ?=
BIN := .venv/bin
READY := .venv/.ready

demo: $(READY) database
	@exec $(BIN)/vgate local --vschema vschema.yaml --schema vgate/local/demo $(ARGS)

test: $(READY) database mysql9 clients
	$(BIN)/ruff check vgate tests bench
	$(BIN)/mypy
	@tests/run $(ARGS)

test-slow: $(READY) database mysql9
	$(BIN)/python -m pytest -m slow --timeout 3600 $(ARGS)

lint: $(READY)
	$(BIN)/ruff check vgate tests bench
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY) database
	@tests/get_programs bench
	$(BIN)/python -m bench $(ARGS)

$(READY): pyproject.toml
	@[ $(PYTHON) != no-python ] || { echo 'vgate needs Python 3.11 or newer: install it, or name it: make PYTHON=/path/to/python3' >&2; exit 1; }
	@tests/get_programs venv
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

database:
	@tests/get_programs database

# The second flavour is worth a try, not a failure: the tests say loudly which flavour they did not run on.
mysql9:
	@[ -n "$${VGATE_MYSQLD:-}" ] || timeout 600 tests/get_mysql9 .mysql9 </dev/null \
		|| echo 'make: no MySQL 9: the tests will run on what else there is' >&2

# So are the clients that are no Python packages.
clients: $(READY)
	@timeout 600 tests/get_programs sysbench </dev/null || echo 'make: no sysbench' >&2
	@timeout 600 tests/get_clients .clients </dev/null || echo 'make: not all clients are there' >&2

clean:
	rm -rf .venv .mysql9 .clients .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist *.egg-info
	find vgate tests bench -name __pycache__ -type d -prune -exec rm -rf {} +
