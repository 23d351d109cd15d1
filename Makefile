# Two commands set everything up on a machine with Python 3.10+ and make:
#   make demo    run the quick start against an emulated tenant
#   make test    build the wheel and test it away from this checkout
#   make test-busy    the same with four busy loops beside it
# and one measures:
#   make bench   build the wheel and print the table of docs/explanation/performance.md
# and one looks for what no test notices:
#   make mutants change the core modules at random, and print the changes that the tests pass
# and one builds the documentation:
#   make site    build the site into build/site/site
# and one makes what a release consists of:
#   make dist    sdist, wheel, schemas, impex.pyz, manual pages, SBOM and checksums, in build/dist
PYTHON ?= python3
WORK := build/test
BIN := $(WORK)/venv/bin
# How many tests run at a time: more than two cores have, since some wait for processes and locks.
WORKERS ?= 5
# What is imported is compiled once, whatever the environment says, and nothing else is.
export PYTHONDONTWRITEBYTECODE :=
# pip takes a third of a minute of the processor for what uv installs in seconds.
INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python
# The time of all files in sdist and wheel: that of the last commit, or of the sdist itself.
wheel dist: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || date -r pyproject.toml +%s)

.PHONY: demo site test test-busy lint types beside collected tests oldest bench mutants dist wheel clean help

help:
	@sed -n 's/^#  *\(make .*\)/\1/p' Makefile

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[calculate]'
	touch .venv/installed

demo: .venv/installed
	.venv/bin/impex-run examples/quickstart.yaml
	.venv/bin/impex verify examples/exports/quickstart
	.venv/bin/impex-run examples/golden-cases.yaml
	# 8: results moved, as they should between these two versions.
	.venv/bin/impex diff examples/exports/golden-cases/old examples/exports/golden-cases/new \
		--cases examples/cases/pricing.csv --show 3 || test $$? -eq 8

site:
	$(PYTHON) -m venv build/site-venv
	build/site-venv/bin/python -m pip install --quiet --disable-pip-version-check \
		"$$(sed -n 's/^docs = \["\(.*\)"\]/\1/p' pyproject.toml)"
	build/site-venv/bin/python docs/site.py

wheel:
	rm -rf $(WORK) && mkdir -p $(WORK)
	$(PYTHON) -m venv $(WORK)/venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile uv
	$(BIN)/uv build --quiet --python $(BIN)/python --out-dir $(WORK)/dist .
	rm -f $(WORK)/dist/.gitignore
	cp schemas/*.schema.json $(WORK)/dist

# Linter, types and tests run side by side; the first that fails, fails all.
test: wheel
	$(INSTALL) "$$(ls $(WORK)/dist/*.whl)[test]"
	$(MAKE) --no-print-directory --jobs lint types oldest tests

lint:
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types:
	$(BIN)/mypy spark_impex_runner plugins

# The tests run in a folder that holds no package source: what they import is the wheel.
beside:
	cp -r tests examples docs benchmarks release templates *.md pyproject.toml Makefile $(WORK)
	cp Dockerfile .dockerignore .pre-commit-hooks.yaml action.yml $(WORK)
	mkdir -p $(WORK)/schemas && cp schemas/*.json $(WORK)/schemas

# Each worker would rewrite the assertions of all files, which takes longer than many a test. Here
# nothing is reported: what cannot be collected, fails with the tests.
collected: beside
	-cd $(WORK) && venv/bin/python -m pytest -q --collect-only >/dev/null

tests: collected
	cd $(WORK) && venv/bin/python -m pytest -q -n $(WORKERS)

# The hooks once more, with the oldest pluggy that the wheel accepts.
oldest: beside
	$(INSTALL) --target $(WORK)/oldest pluggy==1.5.0
	cd $(WORK) && PYTHONPATH=$(CURDIR)/$(WORK)/oldest venv/bin/python -m pytest -q \
		-p no:cacheprovider tests/hooks/test_manager.py tests/hooks/test_hooks.py

# No test depends on the machine's speed. Each loop ends when the shell that started it has ended.
test-busy:
	for _ in 1 2 3 4; do while kill -0 $$$$; do :; done 2>/dev/null & done; $(MAKE) test

# The figures are those of the wheel; the scripts install and start whatever they compare with.
bench: wheel
	$(INSTALL) "$$(ls $(WORK)/dist/*.whl)[s3]"
	$(BIN)/python benchmarks/all.py $(BENCH)

# Options of the script go into MUTANTS, such as MUTANTS="--seed 7 --only poll.py".
mutants: wheel
	$(INSTALL) "$$(ls $(WORK)/dist/*.whl)[test]"
	$(BIN)/python benchmarks/mutants.py $(MUTANTS)

# Not into dist/: tests take that folder for a sign that they run away from the checkout.
# PROJECT_URL=https://… of the repository makes the links of the README absolute, for an index.
dist: wheel
	rm -rf build/dist && cp -r $(WORK)/dist build/dist
	$(INSTALL) "$$(ls $(WORK)/dist/*.whl)[dist]"
	$(BIN)/python release/make.py build/dist/*.whl build/dist
	@ls build/dist

clean:
	rm -rf build .venv *.egg-info examples/exports examples/out examples/.impex
