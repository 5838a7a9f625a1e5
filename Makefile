# Every target works right after a clone: with GNU make, Python 3.11 or later, and pip.
# Environments are made on first use in .venvs/, one per purpose and interpreter.
#   make test PYTHON=python3.13        another interpreter
#   make test ARGS='-k cancel -x'      further arguments for the program that a target runs

PYTHON ?= python3
ARGS ?=

IN_ENV = $(PYTHON) scripts/in_env.py
PYTEST = python -m pytest

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test extras check format format-check lint types contracts changelog coverage \
	bench stress chaos clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# On purpose one worker process is killed half-way; the totals are the same.
demo:  ## run the demonstration: the standard library through workers, threads and processes
	@PYTHONPATH="$(CURDIR)/src" $(PYTHON) -m runtime demo --chaos $(ARGS)

test:  ## run the tests, all but the stress runs
	@$(IN_ENV) test $(PYTEST) $(ARGS)

# Needs the package index the first time.
extras:  ## the tests that need the extras interop, examples and types, with these installed
	@$(PYTHON) -m scripts.extras $(ARGS)

check: format-check lint types contracts changelog coverage  ## run all that a change must pass

format:  ## put the source into shape
	@$(IN_ENV) dev ruff format .
	@$(IN_ENV) dev ruff check --fix .

format-check:  ## is the source in shape?
	@$(IN_ENV) dev ruff format --check --diff .

lint:  ## ruff's rules
	@$(IN_ENV) dev ruff check .

types:  ## mypy, strict
	@$(IN_ENV) dev mypy

contracts:  ## which layer may import which
	@$(IN_ENV) dev lint-imports

changelog:  ## are the changelog's fragments well-formed, and is one there?
	@$(PYTHON) scripts/changelog.py check

coverage:  ## the tests again, with branch coverage of this process and its children
	@$(IN_ENV) dev coverage erase
	@$(IN_ENV) dev coverage run -m pytest $(ARGS)
	@$(IN_ENV) dev coverage combine --quiet
	@$(IN_ENV) dev coverage report

# Children of a benchmark should find compiled imports, as a user's would.
bench:  ## compare with the standard library and others; ARGS=--smoke for one quick round
	@env -u PYTHONDONTWRITEBYTECODE $(IN_ENV) bench python -m benchmarks $(ARGS)

stress:  ## many rounds of every race; takes minutes
	@$(IN_ENV) test $(PYTEST) -m stress -o timeout=3600 -o faulthandler_timeout=0 $(ARGS)

chaos:  ## break pools of processes at random; ARGS='--seconds 120 --seed 1'
	@$(IN_ENV) test python -m scripts.chaos $(ARGS)

clean:  ## remove environments, caches and reports
	rm -rf .venvs build dist htmlcov .coverage .coverage.* .hypothesis
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
