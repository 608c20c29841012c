# Everything goes through uv, which is brought here when the machine has none; no other tool is needed.
UV_VERSION := 0.13.9
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
RUN := $(UV) run --no-sync

.DEFAULT_GOAL := help
.PHONY: help up down status test test-cluster check format bench faults stack-up stack-check

help:  ## Show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

.uv/bin/uv:
	python3 -m venv .uv
	.uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.synced: pyproject.toml uv.lock | $(filter .uv/bin/uv,$(UV))
	$(UV) sync --locked
	@touch $@

up: .venv/.synced  ## Start everything (Ctrl-C stops it)
	@exec $(RUN) medallion up

down: .venv/.synced  ## Stop everything, also what a killed run left behind
	@$(RUN) medallion down

status: .venv/.synced  ## Show the health of components and streams
	@$(RUN) medallion status

test: .venv/.synced  ## Run every test, with real servers
	$(RUN) pytest

test-cluster: .venv/.synced  ## Run the pipeline on a Spark cluster and an object store (first time: builds it, 10 min)
	-$(RUN) python -m medallion_assets_tests.object_store
	$(RUN) pytest -m cluster --timeout 1800 medallion_assets_tests/cluster

check: .venv/.synced  ## Lint, types, architecture and the tests without a JVM
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) lint-imports
	$(RUN) pytest medallion_assets_tests/unit

format: .venv/.synced  ## Format the code and fix what lint can fix
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

bench: .venv/.synced  ## Measure throughput and alert latency on this machine
	$(RUN) python -m bench

faults: .venv/.synced  ## Try every fault of the catalogue (docs/faults.md)
	$(RUN) python -m medallion_assets_tests.faults

stack-up:  ## Start the containers: make stack-up PROFILES="metabase observability"
	@python3 deploy/stack.py $(PROFILES)

stack-check: .venv/.synced  ## Check the container files and the dashboards without an engine
	$(RUN) check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	$(RUN) medallion metabase check
	$(RUN) pytest medallion_assets_tests/unit/test_deploy.py medallion_assets_tests/unit/test_deploy_profiles.py
