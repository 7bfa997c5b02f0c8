# Two commands do all the set-up: `make demo` and `make test`. Nothing outside this folder is
# written, except the caches of pip and cargo. A stamp is younger than what its step has read, so
# a second call repeats nothing that has not changed; folders are among the inputs, since their
# time moves when a file in them goes away.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.SUFFIXES:
SHELL := /bin/sh
.SHELLFLAGS := -euc
MAKEFLAGS += --no-builtin-rules --no-print-directory

# The first interpreter that is new enough; PYTHON=… chooses another.
ifndef PYTHON
PYTHON := $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && exit; \
	done; echo python3)
endif
PYTHON_TAG := $(shell $(PYTHON) -c 'import sys; print("%s-%d.%d.%d" % ((sys.implementation.cache_tag,) + sys.version_info[:3]))' 2>/dev/null)

VENV := .venv
PY := $(VENV)/bin/python
STAMPS := $(VENV)/stamps
PIP_INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check --no-input --no-deps

export CARGO_TARGET_DIR := $(CURDIR)/target
export CARGO_TERM_QUIET ?= true

RUST_SOURCES := $(shell find rust -not -path '*/__pycache__*')
SOURCES := Cargo.toml Cargo.lock pyproject.toml README.md $(wildcard LICENSE-*) $(RUST_SOURCES) \
	$(shell find python -not -path '*/__pycache__*' -not -name '*.so')

# A second interpreter, without the global lock: `make test-free-threaded`.
FREE := target/free-threaded
FREE_PY := $(FREE)/venv/bin/python
FREE_PIP := $(FREE_PY) -m pip install --quiet --disable-pip-version-check --no-input --no-deps
# Its locks spin by giving the processor away, 1,900 times for an `import threading`: on a busy machine that
# is a time slice each, and a program that ends in 0.1 s takes 14.
FREE_PYTEST := $(FREE_PY) -m pytest -p tests.free_threaded.plugin --basetemp=$(FREE)/pytest --timeout=600
FREE_PYO3 := 0.28.3

# What to run of the models: two preemptions find nearly every fault, three take minutes each.
LOOM_MAX_PREEMPTIONS ?= 2
# Schedules drawn for each model of shuttle, every run others: SHUTTLE_ITERATIONS=100000 for a night.
SHUTTLE_ITERATIONS ?= 8000
# What pytest is given: PYTEST_ARGS='-k hub' runs a part.
PYTEST_ARGS ?=
ARGS ?=
ROW ?=
ROOM ?=
MINUTES ?= 1
SEED ?=

say = @printf '\n\033[1m%s\033[0m\n' '== $(1)'
ifdef NO_COLOR
say = @printf '\n%s\n' '== $(1)'
endif

.PHONY: help
help: ## print these targets
	@echo 'penstock: `make demo` shows it at work, `make test` checks everything.'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- the environment -----------------------------------------------------------------------

.PHONY: tools
tools:
	@[ -n '$(PYTHON_TAG)' ] && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'penstock: no Python 3.11 or newer ("$(PYTHON)" is not one). Install one, or name it: make PYTHON=/path/to/python3.11 …' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo 'penstock: $(PYTHON) cannot make environments (venv, ensurepip). On Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	@cargo --version >/dev/null 2>&1 || { \
		echo 'penstock: no Rust toolchain ("cargo" does not run). Install one from https://rustup.rs, then open a new shell' >&2; exit 1; }
	@cc --version >/dev/null 2>&1 || { \
		echo 'penstock: no C compiler ("cc" does not run). On Debian and Ubuntu: apt-get install gcc libc6-dev' >&2; exit 1; }

.PHONY: check-tools
check-tools: tools
	@cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || { \
		echo 'penstock: "cargo fmt" or "cargo clippy" is missing: rustup component add rustfmt clippy' >&2; exit 1; }

# The name carries the interpreter: another one makes another environment.
VENV_READY := $(STAMPS)/$(PYTHON_TAG)
$(VENV_READY): | tools
	$(call say,environment: $(VENV) with $(PYTHON_TAG))
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS)
	@touch $@

$(STAMPS)/requirements-%: requirements/%.txt $(VENV_READY) | tools
	$(call say,requirements: $<)
	@$(PIP_INSTALL) --require-hashes -r $<
	@touch $@

# An extension left in the tree by `maturin develop` would be packed beside the new one, and
# imported first.
$(STAMPS)/wheel: $(SOURCES) $(STAMPS)/requirements-build | tools
	$(call say,wheel: a release build of the extension)
	@find python -name '*.so' -delete
	@rm -rf dist
	@$(PY) -m maturin build --release --interpreter $(PY) --out dist
	@$(PIP_INSTALL) --force-reinstall dist/*.whl
	@touch $@

.PHONY: wheel
wheel: $(STAMPS)/wheel

.PHONY: ready
ready: check-tools $(STAMPS)/wheel $(STAMPS)/requirements-dev

# --- what people come for ------------------------------------------------------------------

.PHONY: demo
demo: $(STAMPS)/wheel $(STAMPS)/requirements-demo ## build, install, and work through a year of flights (ARGS='--help')
	@$(PY) -m penstock demo $(ARGS)

.PHONY: test
test: ready lint types floors rust-test loom shuttle crash pytest ## build, install, and run every check

.PHONY: bench
bench: $(STAMPS)/wheel $(STAMPS)/requirements-bench ## measure beside the peers (ROW=… or ROOM=…), render benches/RESULTS.md
	@$(PY) -m benches run $(ROW) $(ROOM) $(ARGS)
	@$(PY) -m benches render

.PHONY: bench-free-threaded
bench-free-threaded: $(FREE)/stamps/wheel $(STAMPS)/wheel ## measure the rows that need a free-threaded Python 3.13, built as for the tests
	@$(FREE_PY) -m benches run $(ROW) $(ROOM) $(ARGS)
	@$(PY) -m benches render

.PHONY: conformance
conformance: $(STAMPS)/wheel $(STAMPS)/requirements-conformance ## ask penstock and its peers what they do when cancelled and half-open
	@$(PY) -m benches.conformance $(ARGS)

.PHONY: chaos
chaos: ready ## break a room on purpose (ROOM=queues MINUTES=1 SEED=…), add to its count
	@$(PY) -m tests.chaos $(if $(ROOM),--room $(ROOM)) --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

.PHONY: test-free-threaded
test-free-threaded: $(FREE)/stamps/wheel ## build a free-threaded Python 3.13 (JOBS=…), test queues and metrics on it
	$(call say,free-threaded Python: each test by itself)
	@$(FREE_PYTEST) tests/queues tests/metrics tests/free_threaded $(PYTEST_ARGS)
	$(call say,free-threaded Python: each test in four threads at once)
	@$(FREE_PYTEST) --parallel-threads=4 tests/queues tests/metrics $(PYTEST_ARGS)

.PHONY: docs
docs: $(STAMPS)/requirements-docs ## build the pages into site/, strictly
	@$(PY) -m zensical build --clean --strict

.PHONY: doctor
doctor: $(STAMPS)/wheel $(STAMPS)/requirements-demo ## look at this machine as penstock sees it
	@$(PY) -m penstock doctor $(ARGS)

.PHONY: format
format: check-tools $(STAMPS)/requirements-dev ## put Rust and Python into the house's form
	@cargo fmt --all
	@$(PY) -m ruff check --quiet --fix-only .
	@$(PY) -m ruff format --quiet .

.PHONY: clean
clean: ## remove what was built: target, .venv, dist, site, caches
	@rm -rf target $(VENV) dist site report.html .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@find python -name '*.so' -delete

# --- free-threaded Python ------------------------------------------------------------------

$(FREE)/stamps/python: scripts/free-threaded-python
	$(call say,free-threaded Python: built once from the source that Debian has)
	@scripts/free-threaded-python $(FREE)
	@mkdir -p $(@D)
	@touch $@

$(FREE)/stamps/requirements: requirements/free-threaded.txt $(FREE)/stamps/python
	$(call say,requirements: $<)
	@rm -rf $(FREE)/venv
	@$(FREE)/python/bin/python3.13t -m venv $(FREE)/venv
	@$(FREE_PIP) --require-hashes -r $<
	@touch $@

# In a copy of the tree, whose lock file has the last PyO3 that builds for this interpreter.
$(FREE)/stamps/wheel: $(SOURCES) $(STAMPS)/requirements-build $(FREE)/stamps/requirements | tools
	$(call say,free-threaded wheel: with PyO3 $(FREE_PYO3))
	@rm -rf $(FREE)/tree $(FREE)/dist
	@mkdir $(FREE)/tree
	@cp -Rp Cargo.toml Cargo.lock pyproject.toml README.md LICENSE-* rust python $(FREE)/tree
	@find $(FREE)/tree -name '*.so' -delete
	@cd $(FREE)/tree && cargo update -p pyo3 --precise $(FREE_PYO3)
	@cd $(FREE)/tree && CARGO_TARGET_DIR=$(CURDIR)/$(FREE)/cargo $(CURDIR)/$(PY) -m maturin build \
		--release --interpreter $(CURDIR)/$(FREE_PY) --out ../dist
	@$(FREE_PIP) --force-reinstall $(FREE)/dist/*.whl
	@touch $@

# --- the checks, each callable by itself ---------------------------------------------------

.PHONY: lint
lint: check-tools $(STAMPS)/requirements-dev
	$(call say,format and lint)
	@cargo fmt --all --check
	@cargo clippy --locked --workspace --all-targets -- -D warnings
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

# `stubtest penstock._native` would call success when nothing is installed.
.PHONY: types
types: ready
	$(call say,types: the tree by mypy; the installed wheel by stubtest and as a user sees it)
	@MYPYPATH=python $(PY) -m mypy
	@$(PY) -m mypy tests/typing
	@$(PY) -m mypy.stubtest penstock --allowlist tests/typing/stubtest.allowlist

.PHONY: floors
floors: ready
	$(call say,floors: who may import whom)
	@$(VENV)/bin/lint-imports --no-cache

.PHONY: rust-test
rust-test: ready
	$(call say,Rust tests)
	@cargo test --locked --workspace

# A model depends on nothing but the core's sources and the bound, so it is run once for them.
.PHONY: loom
loom: check-tools target/stamps/loom-$(LOOM_MAX_PREEMPTIONS)

target/stamps/loom-$(LOOM_MAX_PREEMPTIONS): Cargo.toml Cargo.lock $(RUST_SOURCES)
	$(call say,loom models with at most $(LOOM_MAX_PREEMPTIONS) preemptions)
	@models=$$(cd rust/core/tests 2>/dev/null && ls loom_*.rs 2>/dev/null || true); \
	if [ -z "$$models" ]; then echo 'no models yet'; else \
	CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
	RUSTFLAGS='--cfg penstock_loom' LOOM_MAX_PREEMPTIONS=$(LOOM_MAX_PREEMPTIONS) CARGO_TARGET_DIR=target/loom \
		cargo test --locked --release -p penstock-core $$(for m in $$models; do printf ' --test %s' "$${m%.rs}"; done); fi
	@mkdir -p $(@D)
	@touch $@

# A process is ended before each of its stores in turn; nothing of it changes without the sources.
.PHONY: crash
crash: check-tools target/stamps/crash

target/stamps/crash: Cargo.toml Cargo.lock $(RUST_SOURCES)
	$(call say,processes killed and stopped at every shared store)
	@CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
	RUSTFLAGS='--cfg penstock_failpoints' CARGO_TARGET_DIR=target/failpoints \
		cargo test --locked --release -p penstock-core \
		$$(cd rust/core/tests && for m in crash_*.rs; do printf ' --test %s' "$${m%.rs}"; done)
	@mkdir -p $(@D)
	@touch $@

# They are drawn anew when the core's sources have changed, or their number.
.PHONY: shuttle
shuttle: check-tools target/stamps/shuttle-$(SHUTTLE_ITERATIONS)

target/stamps/shuttle-$(SHUTTLE_ITERATIONS): Cargo.toml Cargo.lock $(RUST_SOURCES)
	$(call say,shuttle models under $(SHUTTLE_ITERATIONS) schedules each)
	@CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
	RUSTFLAGS='--cfg penstock_shuttle' SHUTTLE_ITERATIONS=$(SHUTTLE_ITERATIONS) CARGO_TARGET_DIR=target/shuttle \
		cargo test --locked --release -p penstock-core \
		$$(cd rust/core/tests && for m in shuttle_*.rs; do printf ' --test %s' "$${m%.rs}"; done)
	@mkdir -p $(@D)
	@touch $@

.PHONY: pytest
pytest: ready
	$(call say,Python tests against the installed wheel)
	@$(PY) -m pytest --durations=10 --basetemp=target/pytest $(PYTEST_ARGS)
