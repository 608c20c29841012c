# Everything goes through uv, which is brought here when the machine has none; no other tool is needed.
UV_VERSION := 0.13.9
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
RUN := $(UV) run --no-sync
# Passwords in Python are ruff's to find; the one line is an example in docs/notifications.md.
NO_SECRETS := --disable-plugin KeywordDetector --exclude-lines AccountSid:AuthToken --exclude-files '\.lock|/vendor/|/results/'

.DEFAULT_GOAL := help
.PHONY: help up down status test test-cluster check audit format coverage mutants docs build release bench bench-full faults stack-up stack-check

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

check: .venv/.synced  ## Lint, types, architecture, dependencies, spelling, secrets, workflows, tests without a JVM
	$(UV) lock --check
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) lint-imports
	$(RUN) deptry .
	$(RUN) codespell
	git ls-files -z | xargs -0 -n 330 -P 2 $(RUN) detect-secrets-hook $(NO_SECRETS)
	$(RUN) zizmor --offline --quiet .github
	$(RUN) pytest -m 'not slow' -n logical --maxprocesses 4 --dist worksteal medallion_assets_tests/unit

audit: .venv/.synced  ## Ask the public list of vulnerabilities about every locked package
	$(UV) audit --locked

format: .venv/.synced  ## Format the code and fix what lint can fix
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

coverage: .venv/.synced  ## Which lines the tests without a JVM reach, package by package
	$(RUN) pytest -q --cov --cov-report=term:skip-covered medallion_assets_tests/unit

mutants: .venv/.synced  ## Change the code that decides in small ways and see which change no test notices
	$(RUN) mutmut run --max-children 2
	$(RUN) mutmut results

docs: .venv/.synced  ## Build the documentation site into site/
	$(RUN) mkdocs build --strict --quiet

build: .venv/.synced  ## Build what is released: packages, and a list of everything that is in them
	rm -rf dist
	$(UV) build --quiet
	$(UV) export --quiet --locked --no-dev --no-emit-project --format cyclonedx1.5 --output-file dist/sbom.cdx.json

release:  ## Publish dist/ as the release TAG (what the hosted workflow does)
	gh release create "$(TAG)" dist/* --verify-tag --generate-notes

bench: .venv/.synced  ## Measure throughput and alert latency on this machine
	$(RUN) python -m bench

bench-full: .venv/.synced  ## All measurements, one after the other, and their plots (2 hours, 10 GB)
	$(RUN) python -m bench.arms --only direct --rate 2000 --customers 200000 --result arms_2000.json
	set -e; for each in arms rivals rivals.backlog real_time cost sustained empty_batch growth alert_growth sink history_load workers restart desk_million; do $(RUN) python -m bench.$$each; done
	$(RUN) python -m bench.plots

faults: .venv/.synced  ## Try every fault of the catalogue (docs/faults.md)
	$(RUN) python -m medallion_assets_tests.faults

stack-up:  ## Start the containers: make stack-up PROFILES="metabase observability"
	@python3 deploy/stack.py $(PROFILES)

stack-check: .venv/.synced  ## Check the container files and the dashboards without an engine
	$(RUN) check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	$(RUN) medallion metabase check
	$(RUN) pytest medallion_assets_tests/unit/test_deploy.py medallion_assets_tests/unit/test_deploy_profiles.py
