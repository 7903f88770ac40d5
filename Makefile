# Each target builds the environment it needs. Only Python >= 3.11 has to be there.

VENV ?= .venv
NEXT ?= .venv-next
PY := $(VENV)/bin/python
SETTLED := pyproject.toml constraints.txt
# uv does not read pip's find-links, and an empty value is harmless. Bytecode is compiled at
# once: where PYTHONDONTWRITEBYTECODE is set, every later process would compile it again.
UV := UV_FIND_LINKS="$${UV_FIND_LINKS:-$$PIP_FIND_LINKS}" $(VENV)/bin/uv
INSTALL := $(UV) pip install --quiet --compile-bytecode -c constraints.txt
# Up to four processes: each imports torch, so more cost more memory than they save time.
WORKERS ?= -n auto --maxprocesses=4
PYTEST_OPTIONS ?=
BENCH_OPTIONS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test test-next lint types contracts docs notebooks bench bench-compress bench-engine bench-clouds ci changelog clean

help: ## Show the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.demo ## Embed a cube and paint what the model sees.
	$(PY) scripts/demo.py

test: $(VENV)/.test ## Run the tests and the doctests.
	$(PY) -m pytest $(WORKERS) $(PYTEST_OPTIONS)

test-next: $(NEXT)/.stamp ## Run the tests that need no torch on Python >= 3.12 and the newest zarr.
	$(NEXT)/bin/python -m pytest -p no:cacheprovider $(WORKERS) $(PYTEST_OPTIONS)

lint: $(VENV)/.test ## Check format and style.
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .

types: $(VENV)/.test ## Check types.
	$(VENV)/bin/mypy

contracts: $(VENV)/.test ## Check which module imports which.
	$(VENV)/bin/lint-imports

notebooks: $(VENV)/.test ## Execute the notebooks.
	$(PY) -m pytest --nbmake --nbmake-timeout=600 notebooks

docs: $(VENV)/.docs ## Build the documentation.
	$(PY) -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "open docs/_build/html/index.html"

bench: $(VENV)/.bench ## Measure the speed and memory of embed.
	$(PY) benchmarks/embed.py

bench-compress: $(VENV)/.bench ## Measure the size, exactness and speed of compress.
	$(PY) benchmarks/compress.py $(BENCH_OPTIONS)

bench-engine: $(VENV)/.bench ## Measure the engine beside other ways to run a model over a cube.
	$(PY) benchmarks/engine.py $(BENCH_OPTIONS)

bench-clouds: $(VENV)/.bench ## Measure masks and gap filling beside peers.
	$(PY) benchmarks/clouds.py $(BENCH_OPTIONS)

ci: ## Run everything that has to pass.
	.ci/run

changelog: $(VENV)/.docs ## Show what the fragments in changes/ will say.
	$(VENV)/bin/towncrier build --draft --version next

clean: ## Remove environments and all that was built.
	rm -rf $(VENV) $(NEXT) build dist docs/_build docs/generated docs/reference/generated
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# 3.11 first: it is the one that constraints.txt is for. A name on PATH may be a shim without
# a Python behind it, so each is asked.
$(VENV)/bin/uv:
	@for name in $${PYTHON:-python3.11 python3.12 python3.13 python3.14 python3}; do \
		if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			found=$$name; break; \
		fi; \
	done; \
	if [ -z "$$found" ]; then echo "expected Python 3.11 or newer on PATH, found none" >&2; exit 1; fi; \
	echo "building $(VENV) with $$found"; \
	$$found -m venv $(VENV) && $(VENV)/bin/python -m pip install --quiet uv

$(VENV)/.demo: $(SETTLED) | $(VENV)/bin/uv
	$(INSTALL) -p $(PY) -e '.[torch,viz]'
	@touch $@

$(VENV)/.test: $(SETTLED) | $(VENV)/bin/uv
	$(INSTALL) -p $(PY) -e '.[test]'
	@touch $@ $(VENV)/.demo

$(VENV)/.bench: $(SETTLED) | $(VENV)/bin/uv
	$(INSTALL) -p $(PY) -e '.[bench]'
	@touch $@

$(VENV)/.docs: $(SETTLED) | $(VENV)/bin/uv
	$(INSTALL) -p $(PY) -e '.[docs,torch,viz]'
	@touch $@ $(VENV)/.demo

$(NEXT)/.stamp: $(SETTLED) .ci/next-python | $(VENV)/bin/uv
	@python=$$(.ci/next-python $(VENV)/bin/uv) || { echo "no Python >= 3.12 here" >&2; exit 1; }; \
	echo "building $(NEXT) with $$python"; \
	$(VENV)/bin/uv venv --quiet --clear -p "$$python" $(NEXT)
	$(INSTALL) -p $(NEXT)/bin/python -e '.[test-core,viz]'
	@touch $@
