# tinyfly: two commands to remember. `make fly` trains a policy and flies it in an emulated chip; `make test` runs every test.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready

.PHONY: fly test hil prove lint docs clean setup

fly: setup          ## train, export, build, boot the emulated STM32F405, fly
	$(BIN)/tinyfly fly

test: setup         ## every test, the hardware-in-the-loop suite on the emulated target included
	$(BIN)/pytest -n 2

hil: setup          ## the hardware-in-the-loop suite alone
	$(BIN)/pytest -n 2 hil_tests

lint: setup         ## formatter, linter, type checker, import contract
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: setup         ## the manual as a site, in build/site
	$(BIN)/mkdocs build --strict --site-dir build/site

prove: setup        ## the firmware's proofs, each figure beside its bound
	$(BIN)/python firmware/prove.py

setup: $(STAMP)     ## system packages, a virtual environment, the Python packages

$(STAMP): pyproject.toml .ci/setup
	PYTHON=$(PYTHON) .ci/setup $(VENV)
	@touch $@

clean:              ## everything that a build or a run has made, but not the environment
	rm -rf .pio .pio-core build runs
