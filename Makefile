# Two commands set everything up on a machine with Python 3.10+ and make:
#   make demo    run the quick start against an emulated tenant
#   make test    build the wheel and test it away from this checkout
# and one measures:
#   make bench   build the wheel and print the table of docs/explanation/performance.md
# and one makes what a release consists of:
#   make dist    build the sdist and the wheel, and put them into build/dist with the schemas
PYTHON ?= python3
WORK := build/test
BIN := $(WORK)/venv/bin

.PHONY: demo test bench dist wheel clean help

help:
	@sed -n 's/^#  *\(make .*\)/\1/p' Makefile

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable .
	touch .venv/installed

demo: .venv/installed
	.venv/bin/impex-run examples/quickstart.yaml
	.venv/bin/impex verify examples/exports/quickstart/*
	@echo && find examples/exports/quickstart -type f | sort

wheel:
	rm -rf $(WORK) && mkdir -p $(WORK)
	$(PYTHON) -m venv $(WORK)/venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check build
	$(BIN)/python -m build --outdir $(WORK)/dist . > $(WORK)/build.log || (cat $(WORK)/build.log; false)
	cp schemas/*.schema.json $(WORK)/dist

# The tests run in a folder that holds no package source: what they import is the wheel.
test: wheel
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(ls $(WORK)/dist/*.whl)[test]"
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy spark_impex_runner plugins
	cp -r tests examples docs benchmarks *.md pyproject.toml Makefile $(WORK)
	cd $(WORK) && venv/bin/python -m pytest
	cd $(WORK) && venv/bin/python -m pip install --quiet --disable-pip-version-check pluggy==1.5.0 \
	  && venv/bin/python -m pytest -q tests/test_pluginmanager.py tests/test_hooks.py

# The figures are those of the wheel; the scripts install and start whatever they compare with.
bench: wheel
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(ls $(WORK)/dist/*.whl)[s3]"
	$(BIN)/python benchmarks/all.py $(BENCH)

# Not into dist/: tests take that folder for a sign that they run away from the checkout.
dist: wheel
	rm -rf build/dist && cp -r $(WORK)/dist build/dist
	@ls build/dist

clean:
	rm -rf build .venv *.egg-info examples/exports examples/out examples/.impex
