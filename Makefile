# make demo    set up, then repair a shipped buggy program          make test    set up, then run the tests
# make check   what CI runs: format, lint, types, imports, tests, wheel
# make faults  repair every shipped fault and print the table       make clean   remove what make made

SHELL := /bin/sh
VENV ?= .venv
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v $$p; break; }; done)
BIN := $(VENV)/bin
EMEND := $(abspath $(BIN))/emend
READY := $(VENV)/.ready
PACKAGES := repair training data serve eval
TESTED := $(PACKAGES) tests benchmarks

.PHONY: venv demo test check format lint types imports wheel faults clean
.DELETE_ON_ERROR:

venv: $(READY)

$(READY): pyproject.toml constraints.txt .ci/setup
	./.ci/setup "$(PYTHON)" "$(VENV)"
	@touch $@

demo: $(READY)
	@cd examples/parcels && $(EMEND) fix parcels.py --python $(abspath $(BIN))/python \
		--test "python -m pytest -q test_parcels.py" --candidates 800 --seconds 240

# Three processes on two cores: most tests wait for processes of their own. `pytest -q` runs all in one.
test: $(READY)
	@$(BIN)/python -m pytest -q tests/serve --ignore=tests/serve/batch & one=$$!; \
	$(BIN)/python -m pytest -q tests/serve/batch tests/repair tests/e2e & two=$$!; \
	$(BIN)/python -m pytest -q tests/data tests/training tests/eval tests/test_*.py; three=$$?; \
	wait $$one && wait $$two && exit $$three

check: format lint types imports test wheel

format: $(READY)
	$(BIN)/ruff format --check $(TESTED)

lint: $(READY)
	$(BIN)/ruff check $(TESTED)

types: $(READY)
	$(BIN)/pyright --pythonpath $(BIN)/python

imports: $(READY)
	$(BIN)/lint-imports --no-cache

wheel: $(READY)
	rm -rf dist
	$(BIN)/python -m build --wheel --no-isolation --outdir dist . >/dev/null
	$(BIN)/check-wheel-contents --toplevel repair,training,data,serve,eval dist/*.whl

faults: $(READY)
	$(BIN)/python benchmarks/faults.py

clean:
	rm -rf $(VENV) dist build out .pytest_cache .ruff_cache .hypothesis
