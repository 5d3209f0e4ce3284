PYTHON ?= python3
PORT ?= 8501
ADDRESS ?= 127.0.0.1
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock

.PHONY: run test test-quick check gpu-check lock screenshots table clean

run: .venv/.installed  ## set up what is missing, then start the app
	@echo "Loupe is starting at http://$(ADDRESS):$(PORT)"
	@$(BIN)/streamlit run app.py --server.address $(ADDRESS) --server.port $(PORT) --server.headless true

# A process for each core, though no more than most machines have memory for. A file's tests run in
# one process; those that take long go first (tests/conftest.py). On a busy machine PyTorch's threads
# would spin for seconds while they wait for each other (app.py). Hundreds of tests start a Python,
# which would compile Loupe's modules each time if the environment forbade to keep them. Twenty
# failures are enough: each may have waited three minutes for what never came (tests/waiting.py).
PYTEST := OMP_WAIT_POLICY=PASSIVE PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest \
	--numprocesses logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder \
	--maxfail 20

test: .venv/.installed-for-tests  ## set up what is missing, then run every test
	@$(BIN)/python -m tests.browser.chromium
	@$(PYTEST) $(ARGS)

test-quick: .venv/.installed-for-tests  ## the tests without a browser that are not slow
	@$(PYTEST) -m "not browser and not slow" $(ARGS)

check: .venv/.installed-for-tests  ## lint, format, the floors of the imports, and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@PYTHONPATH=. $(BIN)/lint-imports --no-cache
	@$(BIN)/mypy

# With the Python of a machine that has a GPU: it installs nothing.
DEVICE ?= cuda:0
gpu-check:  ## load, predict, explain and evaluate on a GPU, and fill its memory
	@$(PYTHON) -m benchmarks.gpu_check $(DEVICE)

lock: .venv/.installed-for-tests  ## write the installed set down as the tested one
	@{ head -2 requirements.lock; $(BIN)/python -m pip freeze --exclude-editable; } > requirements.lock.new
	@mv requirements.lock.new requirements.lock

screenshots: .venv/.installed-for-tests  ## draw every page, light, dark and narrow, into docs/screenshots
	@$(BIN)/python -m tests.browser.chromium
	@$(BIN)/python -m tests.browser.screenshots

# Only who changes the table's sources needs node and npm: the bundle is in the repository.
TABLE := pages/components/treegrid/widget
table:  ## bundle the table of keys from its sources
	@cd $(TABLE) && npm ci --no-audit --no-fund --silent && npm run --silent build

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Loupe needs Python 3.11 or newer: run make with PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
		echo "This Python cannot make virtual environments; installing python3-venv with apt"; \
		apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null; }
	@$(PYTHON) -m venv .venv

.venv/.installed: requirements.txt requirements.lock pyproject.toml | .venv/bin/python
	@echo "Installing what Loupe needs into .venv (PyTorch is large: the first time takes some minutes)"
	@$(PIP) --editable .
	@touch $@

.venv/.installed-for-tests: requirements-dev.txt .venv/.installed
	@echo "Installing what the tests need into .venv"
	@$(PIP) --requirement requirements-dev.txt
	@touch $@
