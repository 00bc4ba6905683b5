# MojoMail: `make image` builds the card image, `make test` shows that it is right. Plain GNU make and bash.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PROFILE ?= village
DEPLOY ?= deploy
LANE ?= virt
OPTIONS ?=
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
OUT := tests/out

.PHONY: help image setup setup-dev setup-host check test test-build test-node test-flows test-long cuts lab bench docs clean
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

check: setup-dev ## Linters, types and unit tests, before each commit
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	@setup/shell-files | xargs -0 shellcheck
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(RUN) -m pytest tests/unit -q --numprocesses=2 --dist=loadfile --junit-xml=$(OUT)/check.xml

test-build: setup-dev ## Builds of every kind
	$(RUN) -m pytest tests/build -q --numprocesses=2 --dist=loadfile --junit-xml=$(OUT)/build.xml

test-node: setup-dev ## What runs on the node, with real servers and no machine
	$(RUN) -m pytest tests/node -q --numprocesses=4 --junit-xml=$(OUT)/node.xml

test-flows: setup-dev ## The image in deploy/, booted, with an internet and a village around it
	MOJOMAIL_IMAGE="$${MOJOMAIL_IMAGE:-$(abspath $(DEPLOY))/mojomail-$(PROFILE).img}" \
		$(RUN) -m pytest tests/flows tests/image -q --numprocesses=2 --dist=loadscope --no-loadscope-reorder --junit-xml=$(OUT)/flows.xml

test-long: ## Every flow with every trouble, and the kernel's layer emulated: hours
	MOJOMAIL_LONG=1 $(MAKE) --keep-going test-build test-flows

cuts: setup-dev ## The power goes at each flush of two whole set-ups, and 20 points of each are booted
	MOJOMAIL_IMAGE="$${MOJOMAIL_IMAGE:-$(abspath $(DEPLOY))/mojomail-$(PROFILE).img}" \
		$(RUN) -m pytest tests/cuts -q --numprocesses=2 --dist=loadscope --junit-xml=$(OUT)/cuts.xml

test: ## Everything: check, builds of every kind, the real image, and what it does; then the report
	@tests/everything $(RUN) "$(DEPLOY)"

lab: image setup-dev ## Boot the image, with a screen to look at, a world around it, and a prompt
	@$(RUN) -m tests.lab.prompt "$(DEPLOY)/mojomail-$(PROFILE).img" --lane "$(LANE)" $(OPTIONS)

bench: setup ## Measure builds: one line of JSON each
	$(RUN) -m tests.bench

docs: setup-dev ## Write the generated pages of docs/ anew
	$(RUN) -m imagebuilder.profiledocs > docs/profiles.md

clean: ## Remove what a build left here; the cache stays (see ./build.py clean)
	rm -rf "$(DEPLOY)" $(OUT) .mypy_cache .ruff_cache .pytest_cache
