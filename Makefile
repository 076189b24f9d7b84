# make demo · run · test · test-transformers · check · bench · interop · docs: each does its own set-up, in .venv (the
# transformers tests in .venv-transformers) and the model cache.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PLUGINS := $(wildcard plugins/*)
EDITABLE := -e core $(addprefix -e ,$(PLUGINS))
INSTALLED := $(VENV)/.installed
TOOLS := $(VENV)/.tools
MANIFESTS := constraints.txt pyproject.toml core/pyproject.toml $(addsuffix /pyproject.toml,$(PLUGINS))

.PHONY: demo run test test-transformers check bench interop docs format constraints clean

demo: $(INSTALLED)
	$(BIN)/sipcore demo

run: $(INSTALLED)
	$(BIN)/sipcore run

test: $(TOOLS)
	$(BIN)/sipcore models pull test
	$(BIN)/python -m pytest

test-transformers:
	PYTHON=$(PYTHON) sh scripts/test-transformers.sh

interop: $(TOOLS)
	$(BIN)/python -m pytest tests/interop tests/e2e

check: $(TOOLS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/basedpyright

bench: $(TOOLS)
	$(BIN)/python -m bench

docs: $(INSTALLED)
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt --group docs
	$(BIN)/mkdocs build --strict --site-dir build/docs

format: $(TOOLS)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .venv-transformers
	git clean -qfdX recording output

# Freezes what is installed now: the versions that were tested together.
constraints: $(TOOLS)
	{ echo "# Versions that were tested together. Made by: make constraints"; \
	  $(BIN)/uv pip freeze --python $(BIN)/python --exclude-editable | grep -vE '^((pip|setuptools)==|-e)'; } > constraints.new
	mv constraints.new constraints.txt

$(INSTALLED): scripts/setup.sh $(MANIFESTS)
	PYTHON=$(PYTHON) sh scripts/setup.sh $(VENV) $(EDITABLE)
	@touch $@

$(TOOLS): $(INSTALLED)
	PYTHON=$(PYTHON) sh scripts/setup.sh $(VENV) $(EDITABLE) --group dev
	@touch $@
