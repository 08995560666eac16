# Two commands: `make demo` (the main job, for real) and `make test` (all checks).
# Variables: PYTHON (3.11 or newer), VENV (where the environment goes), LOCALMIND_HOME (where localmind keeps its files),
# WORKERS (how many tests run side by side).

VENV ?= .venv
WORKERS ?= 2
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := $(VENV)/bin
QUESTION ?= When was the boiler last serviced?

.PHONY: demo test engine clean
.DEFAULT_GOAL := demo

demo: engine
	@$(BIN)/localmind models pull --starter
	@$(BIN)/localmind folders add samples
	@echo && echo '$$ localmind ask "$(QUESTION)"'
	@$(BIN)/localmind ask "$(QUESTION)"
	@echo && echo "The daemon keeps running, so the next answer comes at once. Try: $(BIN)/localmind chat   Stop it: $(BIN)/localmind stop"

# Tests start hundreds of processes: none of them compiles all of localmind again, whatever the environment says.
test: export PYTHONDONTWRITEBYTECODE =
test: engine $(VENV)/.dev
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not alone"
	@$(BIN)/pytest -m alone $$(grep -rl --include='test_*.py' 'mark\.alone' tests)

# Compiled once for this machine (10 minutes), then taken from localmind's own cache: pip's cache ignores build flags.
engine: $(VENV)/.ready
	@$(BIN)/localmind engine build

$(VENV)/.ready: pyproject.toml
	@test -n "$(PYTHON)" || { echo "localmind needs Python 3.11 or newer; set PYTHON=/path/to/python" >&2; exit 1; }
	@echo "making the environment in $(VENV) with $(PYTHON) (a minute or two)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --upgrade "pip>=25.1"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.ready
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --group dev
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
