# `make demo` runs the main job; `make test` all tests; CI runs those and `make certify`. All set up .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup demo test test-long certify check format lint types bench snapshots clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade -c constraints.txt pip setuptools wheel
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

demo: setup
	$(BIN)/gavel demo

test: check
	$(BIN)/python -m pytest -n 2

# The long profiles: 500,000 calls on contracts and ghost (benchmarks/results/stateful_long.json), then every test
# that has a longer form, in it.
test-long: setup
	$(BIN)/python -m tests.stateful.long
	GAVEL_PROFILE=long $(BIN)/python -m pytest -n 2

certify: setup
	$(BIN)/gavel certify all

check: format lint types

format: setup
	$(BIN)/ruff format --check .

lint: setup
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy

bench: setup
	$(BIN)/python -m benchmarks.hashing
	$(BIN)/python -m benchmarks.dispute_cost

# What the contracts are and cost, and the table of reasons in specs/errors.md: committed, and compared by a test.
snapshots: setup
	$(BIN)/python -m benchmarks.snapshots

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
