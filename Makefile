LOCK ?= cpu
PY := .venv/bin/python
PYTHON ?=
export PYTHON
# `nightmill`, `airflow` and `java` are looked up on PATH by the programs that start them
export PATH := $(CURDIR)/.venv/bin:$(PATH)
SOURCES := $(wildcard feature_store jobs dags infra tests)
COMPILE = uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --no-annotate \
	--custom-compile-command "make lock" --extra dev

.PHONY: help setup nightly airflow test check lock clean

help:
	@sed -nE 's/^([a-z]+):.*## (.*)/make \1\t\2/p' Makefile

setup: ## .venv with everything that infra/lock/cpu.txt pins (LOCK=gpu for a GPU machine)
	@infra/setup.sh $(LOCK)

nightly: setup ## the nightly DAG on real data with a real local model
	@$(PY) -m infra.airflow.nightly

airflow: setup ## Airflow's scheduler and UI on localhost
	@$(PY) -m infra.airflow.serve

test: setup ## all the tests
	@$(PY) -m pytest

check: setup ## ruff and mypy
	@$(PY) -m ruff check $(SOURCES)
	@$(PY) -m ruff format --check $(SOURCES)
	@$(PY) -m mypy

lock: setup ## renew infra/lock/*.txt from pyproject.toml (UPGRADE=--upgrade for newer versions)
	@$(COMPILE) $(UPGRADE) $(if $(PIP_FIND_LINKS),--find-links $(PIP_FIND_LINKS)) --extra cpu -o infra/lock/cpu.txt
	@$(COMPILE) $(UPGRADE) --extra gpu -o infra/lock/gpu.txt

clean: ## remove .venv and the tools' caches; data/ and the model cache stay
	@rm -rf .venv .setup.lock .mypy_cache .pytest_cache .ruff_cache .hypothesis
