LOCK ?= cpu
PY := .venv/bin/python
PYTHON ?=
WORKERS ?= 2
export PYTHON
# the scheduler looks `airflow` and `nightmill` up on PATH
export PATH := $(CURDIR)/.venv/bin:$(PATH)
SOURCES := $(wildcard feature_store jobs dags infra tests)

.PHONY: help setup nightly airflow cluster test test-services test-faults check docs lock clean

help:
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1\t\2/p' Makefile

setup: ## .venv with everything that infra/lock/cpu.txt pins (LOCK=gpu for a GPU machine)
	@infra/setup.sh $(LOCK)

nightly: setup ## the nightly DAG on real data with a real local model (DATES="1998-04-01 ..." for other dates)
	@.venv/bin/nightmill prepare
	@$(PY) -m infra.airflow.nightly $(if $(DATES),--dates $(DATES))

airflow: setup ## Airflow's scheduler and UI on localhost
	@$(PY) -m infra.airflow.serve

cluster: setup ## PostgreSQL, Spark, a vLLM server and Airflow, one command (ENGINE=none: no model; DATES="...": run these and stop)
	@.venv/bin/nightmill prepare
	@$(PY) -m infra.cluster.serve $(if $(ENGINE),--engine $(ENGINE)) $(if $(DATES),--dates $(DATES))

# Two files at a time, a core each.
test: setup ## the tests (WORKERS=4 where there are as many cores)
	@OMP_NUM_THREADS=1 $(PY) -m pytest -n $(WORKERS) --dist loadfile

test-services: setup ## a backfill in a browser, a night on every service (Debian: chromium, postgresql)
	@$(PY) -m pytest tests/infra -m services

test-faults: setup ## the fault tests: live services, killed (an hour; as root; Debian: postgresql, faketime)
	@$(PY) -m pytest tests/faults -m faults

check: setup ## ruff and mypy
	@$(PY) -m ruff check $(SOURCES)
	@$(PY) -m ruff format --check $(SOURCES)
	@$(PY) -m mypy

docs: setup ## write docs/features.md and jobs/sql_origins.json anew from contracts and SQL
	@$(PY) -m feature_store.documentation
	@$(PY) -m jobs.sql_origins

lock: setup ## renew infra/lock/*.txt from pyproject.toml (UPGRADE=--upgrade for newer versions)
	@infra/setup.sh renew $(UPGRADE)

clean: ## remove .venv and the tools' caches; data/ and the model cache stay
	@rm -rf .venv .setup.lock .mypy_cache .pytest_cache .ruff_cache .hypothesis
