# MojoMail: `make image` builds the card image, `make test` shows that it is right. Plain GNU make and bash.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PROFILE ?= village
DEPLOY ?= deploy
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: help image setup setup-dev setup-host check test test-unit test-build test-image bench docs clean
.DEFAULT_GOAL := help

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

image: setup ## Set up this machine and build profiles/$(PROFILE).yaml into deploy/
	./build.py build "$(PROFILE)" --deploy "$(DEPLOY)"

setup: setup-host $(VENV)/.done ## Install what a build needs: host packages, subordinate ids (asks for sudo) and .venv

setup-host:
	@setup/host build

$(VENV)/.done: requirements.txt | setup-host
	@setup/venv "$(PYTHON)" $(VENV) requirements.txt
	@touch $@

$(VENV)/.done-dev: requirements-dev.txt requirements.txt | $(VENV)/.done
	@setup/venv "$(PYTHON)" $(VENV) requirements-dev.txt
	@touch $@

setup-dev: setup $(VENV)/.done-dev ## Install what tests need besides
	@setup/host test

check: setup-dev ## Linters, types and unit tests: in under a minute, before each commit
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	@setup/shell-files | xargs -0 shellcheck
	$(RUN) -m pytest tests/unit -q

test: check ## Everything: check, builds of every kind, the real image, and its boot
	$(RUN) -m pytest tests/build -q --junit-xml=tests/out/build.xml
	./build.py build "$(PROFILE)" --deploy "$(DEPLOY)"
	$(RUN) -m pytest tests/unit/test_image.py tests/image -q --junit-xml=tests/out/image.xml

bench: setup ## Measure builds: one line of JSON each
	$(RUN) -m tests.bench

docs: setup-dev ## Write the generated pages of docs/ anew
	$(RUN) -m imagebuilder.profiledocs > docs/profiles.md

clean: ## Remove what a build left here; the cache stays (see ./build.py clean)
	rm -rf "$(DEPLOY)" tests/out .mypy_cache .ruff_cache .pytest_cache
