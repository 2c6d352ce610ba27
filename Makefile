# The few commands people type. `make help` explains them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help
help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  \033[1mmake %-14s\033[0m %s\n", $$1, $$2}'

.PHONY: setup
setup: $(STAMP) ## Make the virtual environment from the hashed lock (every other command does this itself)

$(STAMP): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not ((3, 11) <= sys.version_info[:2] < (3, 14)))' || { echo "Python 3.11, 3.12 or 3.13 is needed; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv module is missing: apt install python3-venv"; exit 1; }
	@echo "Setting up $(VENV) from requirements-dev.lock (a minute or two the first time) …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@if command -v uv >/dev/null; then \
	  uv pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode requirements-dev.lock && \
	  uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .; \
	else \
	  $(BIN)/python -m pip install --quiet --progress-bar on --disable-pip-version-check --require-hashes -r requirements-dev.lock && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .; \
	fi
	@touch $@

.PHONY: demo
demo: $(STAMP) ## Run the whole platform on this machine with a simulated city (ONCE=1: stop after the table)
	@$(BIN)/plimsoll demo $(if $(ONCE),--once)

.PHONY: up
up: $(STAMP) ## Start PostgreSQL, Kafka, lander, API and Dagster without feeding any data
	@$(BIN)/plimsoll up

.PHONY: down
down: $(STAMP) ## Stop what `make up` or `make demo` started
	@$(BIN)/plimsoll down

.PHONY: clean
clean: ## Forget the local stack's data (asks nothing: the data are gone)
	@if test -x $(BIN)/plimsoll; then $(BIN)/plimsoll forget; fi
	@rm -rf dbt_project/target dbt_project/logs

# Two processes with servers of their own, whole files to each; a Kafka that is given is not to be shared.
PARALLEL := $(if $(PLIMSOLL_TEST_KAFKA),,-n 2 --dist loadfile)
.PHONY: test
test: $(STAMP) lint ## Lint, types, and every test but the long ones, on a real PostgreSQL and Kafka
	@$(BIN)/python -m pytest -m "not long" $(PARALLEL) $(ARGS)

.PHONY: test-unit
test-unit: $(STAMP) ## Only the tests that need no server
	@$(BIN)/python -m pytest tests/unit $(ARGS)

.PHONY: test-long
test-long: $(STAMP) ## The long tests: faults and loads
	@$(BIN)/python -m pytest -m long $(ARGS)

.PHONY: bench-hotspots
bench-hotspots: $(STAMP) ## Hotspots against the simulated truth, advice followed or not, and what a minute's round costs
	@$(BIN)/python bench/hotspots.py
	@$(BIN)/python bench/hotspot_speed.py

PEERS := bench/peers/.venv
.PHONY: bench-forecast
bench-forecast: $(STAMP) $(PEERS)/.installed ## Forecast errors beside well-known libraries (ARGS="--panel gym --protocol 24"; hours in all)
	@$(BIN)/python bench/forecast.py $(ARGS)
	@$(if $(ARGS),,$(BIN)/python bench/forecast_scale.py)

$(PEERS)/.installed: bench/peers/requirements.lock
	@echo "Setting up $(PEERS), the libraries to compare with, from its lock …"
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	@if command -v uv >/dev/null; then uv pip sync --quiet --python $(PEERS)/bin/python --require-hashes $<; \
	else $(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<; fi
	@touch $@

.PHONY: lint
lint: $(STAMP) ## Style, types, import directions, SQL and contracts
	@$(BIN)/ruff check . && $(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache >/dev/null || $(BIN)/lint-imports --no-cache
	@$(BIN)/plimsoll contracts check --offline
	@if test -f .sqlfluff; then $(BIN)/sqlfluff lint --processes 2 --disable-progress-bar dbt_project/models dbt_project/tests; fi

.PHONY: format
format: $(STAMP) ## Bring Python and SQL into shape
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .
	@$(BIN)/sqlfluff fix --quiet dbt_project/models

.PHONY: bench-ingest
bench-ingest: $(STAMP) ## Measure the ways in and landing beside the limit and a peer (PARTS="landing peer", ARGS=--help)
	@$(BIN)/python bench/ingest_all.py $(PARTS) $(ARGS)

.PHONY: holidays
holidays: $(STAMP) ## Write the dbt seed of public holidays from the package (COUNTRIES="ID SG")
	@$(BIN)/python -c 'import sys; from datetime import date; from plimsoll.countries import seed_text; print(seed_text(sys.argv[1:], date(2015, 1, 1), date(2035, 12, 31)), end="")' \
	  $(or $(COUNTRIES),ID) > dbt_project/seeds/holidays.csv

.PHONY: lock
lock: ## Resolve the dependencies again into the hashed locks (needs uv)
	uv pip compile --universal --no-strip-extras --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  pyproject.toml -o requirements.lock
	uv pip compile --universal --no-strip-extras --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  pyproject.toml --extra fast --group dev -c requirements.lock -o requirements-dev.lock
