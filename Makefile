# The few words of this project; `make` alone explains them.
# Needs git, make and python3 (3.11 or newer) with its venv module; everything else is fetched into
# .venv, by hash, from requirements/*.lock. No root, no compiler, no terminal needed.

PYTHON ?= python3
UV ?= uv
# What `make demo` backs up, and whether `make test` may install Debian packages (yes, no, or ask).
SRC ?=
SYSTEM ?=
export SRC SYSTEM
# How many processes share the work of `make flips`.
PROCESSES ?= 2

BIN := .venv/bin
RUN := PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python
# `make lock UPGRADE=--upgrade` takes the newest versions instead of keeping those that still fit.
UPGRADE ?=
LOCK := $(UV) pip compile --quiet $(UPGRADE) --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help install uninstall demo check test test-quick soak flips bench lock docs clean environment

help:
	@echo "make install     put holdfast on your PATH (no root needed)"
	@echo "make uninstall   remove it; repositories, keys and state stay"
	@echo "make demo        back up, verify and restore a real folder; SRC=/folder chooses it"
	@echo "make check       style, types, floors, generated pages: before every commit"
	@echo "make test        every test; SYSTEM=no installs no Debian packages"
	@echo "make test-quick  the tests that take no more than seconds"
	@echo "make soak        writers, gc, prune and kills at once, for minutes"
	@echo "make flips       damages every byte of a vault in turn: hours; PROCESSES=2"
	@echo "make bench       speed and memory, side by side with restic"
	@echo "make docs        write the generated pages of docs/reference"
	@echo "make lock        write requirements/*.lock after a change of pyproject.toml (needs uv)"
	@echo "make clean       remove .venv, caches and build output"

install:
	@$(PYTHON) tools/install

uninstall:
	@$(PYTHON) tools/install --uninstall

# Instant when .venv is as the lock wants it.
environment:
	@$(PYTHON) tools/environment

demo: environment
	@$(RUN) tools/demo

check: environment
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/mypy --scripts-are-modules tools/*
	$(BIN)/lint-imports --no-cache
	$(RUN) tools/list-errors --check
	$(RUN) tools/make-worked-example --check
	$(RUN) tools/list-commands --check

test: environment
	@$(RUN) tools/test

test-quick: environment
	@$(RUN) tools/test -m "not slow and not campaign"

soak: environment
	@$(RUN) tools/soak

# In memory where that can be: thousands of small folders are made and removed a minute.
flips: environment
	@TMPDIR=$$(test -w /dev/shm && echo /dev/shm || echo "$${TMPDIR:-/tmp}") $(RUN) -m pytest -q -m campaign -n $(PROCESSES) --dist worksteal tests/adversary

bench: environment
	@$(RUN) tools/bench

docs: environment
	$(RUN) tools/list-errors
	$(RUN) tools/make-worked-example
	$(RUN) tools/list-commands

# No file may name the index that served the packages (docs/adr/0002), hence not uv.lock.
lock:
	$(LOCK) pyproject.toml --output-file requirements/runtime.lock
	$(LOCK) --group build --output-file requirements/build.lock
	$(LOCK) pyproject.toml --group dev --group build \
		--constraints requirements/runtime.lock --constraints requirements/build.lock \
		--output-file requirements/dev.lock

clean:
	rm -rf .venv .venv.lock .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache build dist
