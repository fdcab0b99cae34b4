# Two commands from a fresh clone: `make run` and `make test`. Both install what they need first.
PYTHON ?= python3
NOTEBOOK ?= notebooks/00_tour.ipynb
PARAMS ?=
NAME ?=

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help run test quick style lab bench lock tidy clean

BIN := .venv/bin
READY := .venv/.installed
EXTRAS := model,lab,audit,sweep,cluster,dev
NOTEBOOKS := $(sort $(wildcard notebooks/*.ipynb))
ESSAYS := $(sort $(wildcard notebooks/methods/*.ipynb))
COMPARE := --nbval --nbval-current-env --nbval-cell-timeout=900 \
  --nbval-sanitize-with=tests/notebooks/sanitize.cfg
PAIR := -n 2 --dist loadfile --maxfail=3 -o timeout=1000
# Kernels and workers start hundreds of times; without their .pyc each compiles all of it anew.
export PYTHONDONTWRITEBYTECODE :=

# Run one check; when it fails, say which command repeats it.
define step
@printf '\n== %s\n' '$(1)'; $(1) || { code=$$?; printf '\nFAILED. Repeat with:\n  %s\n' '$(1)'; exit $$code; }
endef

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

run: $(READY) ## run the tour; NOTEBOOK=... PARAMS="loss=info_nce seed=1" NAME=... change it
	@$(BIN)/python -m workbench run '$(NOTEBOOK)' $(foreach one,$(PARAMS),-p '$(one)') $(if $(NAME),--name '$(NAME)')

test: style ## every check, slow tests, browser and notebooks too (some fifty minutes on two cores)
	$(call step,$(BIN)/python -m pytest $(PAIR) -m "not slow and not browser" --doctest-modules workbench tests)
	$(call step,$(BIN)/python -m pytest $(PAIR) -m browser tests)
	$(call step,$(BIN)/python -m pytest --maxfail=3 -o timeout=1000 -m slow tests/sweep tests/cluster)
	$(call step,$(BIN)/python -m pytest $(PAIR) -m "slow and not browser" tests --ignore tests/sweep --ignore tests/cluster)
	$(call step,OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PAIR) $(COMPARE) $(NOTEBOOKS) $(ESSAYS))

quick: style ## style, types and the fast tests (two to three minutes)
	$(call step,$(BIN)/python -m pytest $(PAIR) -m "not slow and not browser" --doctest-modules workbench tests)

style: $(READY) ## format, lint, layers and types only
	$(call step,$(BIN)/ruff format --check --quiet .)
	$(call step,$(BIN)/ruff check --quiet .)
	$(call step,$(BIN)/lint-imports --no-cache)
	$(call step,$(BIN)/mypy)

lab: $(READY) ## open JupyterLab on notebooks/
	@$(BIN)/python -m jupyterlab notebooks

bench: $(READY) ## run benchmarks/, rewrite benchmarks/RESULTS.md; QUICK=1 the short form, ONLY="mining" one
	@$(BIN)/python .ci/bench.py $(if $(QUICK),--quick) $(ONLY)

lock: $(READY) ## write requirements.lock from the versions .venv holds
	@$(BIN)/python .ci/lock.py
	@touch $(READY)

tidy: $(READY) ## format the code; take machine and run details out of the notebooks, keep outputs
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .
	@$(BIN)/nbstripout --keep-output --keep-count --keep-id --extra-keys "metadata.language_info.version metadata.widgets metadata.papermill cell.metadata.papermill cell.metadata.execution" $(NOTEBOOKS) $(ESSAYS)
	@$(BIN)/python .ci/gallery.py && $(BIN)/python .ci/readme.py

clean: ## remove .venv and the tools' caches; data/ and runs/ stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info

# The stamp is written last, so an interrupted installation is done again.
$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed, and '$(PYTHON)' is none."; \
	  echo "Install one, or name it: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@echo "Installing into .venv: some 180 packages, 2 to 5 minutes the first time."
	@begin=$$SECONDS; \
	{ $(BIN)/python -m pip --version >/dev/null 2>&1 || { rm -rf .venv && $(PYTHON) -m venv .venv; }; } && \
	$(BIN)/python -m pip install -qq --disable-pip-version-check \
	  -c requirements.lock -e '.[$(EXTRAS)]' && \
	touch $@ && echo "Installed in $$((SECONDS - begin)) seconds."
