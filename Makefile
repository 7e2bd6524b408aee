# make sweep: sets up, runs the quickstart, prints the table.   make test: sets up, passes the tests.
# make setup: only sets up; then `. .venv/bin/activate`, and the command is apc-bench.
# make bench: sets up the peers too, measures against them, prints the tables and keeps them in reports/bench. About half an hour.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Where Python may not keep its bytecode (some images set this), every process compiles torch and Ray anew: 4 s each.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup sweep test test-cluster docs reference bench lint lock clean

setup: $(READY)

sweep: $(READY)
	$(BIN)/apc-bench sweep --job quickstart

# Two processes of one thread each: with a thread a core in either, they wait for each other half of the time.
test: $(READY) lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal --ignore tests/cluster

test-cluster: $(READY)
	$(BIN)/pytest -n 2 --dist loadfile --durations 15 tests/cluster

# The site of docs/, in docs/_site. Strict: a dead link or anchor fails.
docs: $(READY)
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -b html docs docs/_site
	@echo "the documentation is built: docs/_site/index.html"

# The pages that are made of the code; a test says when they are stale.
reference: $(READY)
	$(BIN)/python scripts/reference.py

bench: $(READY)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint requirements.lock --editable '.[bench]'
	cd tests && ../$(BIN)/python -m bench

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# uv installs everything in about half a minute; pip, with the same hashes, is the way where uv cannot be had.
$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "apc-bench needs Python 3.11 or newer; say which with: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $(READY)

lock:
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --generate-hashes --extra dev --extra cluster --extra docs --output-file requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache
