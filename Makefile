# One environment in .venv, made from pinned and hashed requirements. Wheels are kept in
# WHEELS after the first download, so that a fresh clone works without a network too.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
WHEELS ?= $(HOME)/.cache/onex-registry/wheels
BIN := .venv/bin
INSTALL := scripts/install $(BIN)/python $(WHEELS)
TEST := $(BIN)/pytest -m 'not slow' --ignore=tests/crash --numprocesses=logical --dist=worksteal

.PHONY: demo test coverage check slow fuzz lint format docs requirements clean

demo: .venv/runtime
	$(BIN)/onex demo onex-demo
	@echo 'to use onex in this shell: export PATH="$(CURDIR)/$(BIN):$$PATH"'

test: .venv/dev .venv/corpus
	$(TEST)

# Takes half as long again as make test.
coverage: .venv/dev .venv/corpus
	$(TEST) --cov --cov-report=term

check: lint demo test slow

# What takes seconds, and kills and writes for minutes.
slow: .venv/dev .venv/corpus .venv/judges
	$(BIN)/pytest -m slow --numprocesses=logical
	ONEX_TEST_KILLS=200 ONEX_TEST_SECONDS=30 $(BIN)/pytest tests/crash -o timeout=900

# Longer than make test does it: odd files, random trees, random histories.
fuzz: .venv/dev
	ONEX_TEST_EXAMPLES=3000 $(BIN)/pytest tests/fuzz tests/manifests/test_gitignore.py -o timeout=1800

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The documentation as a site in docs-site/, with a reference made from the code.
docs: .venv/dev
	$(BIN)/python scripts/write_reference.py
	$(BIN)/python scripts/write_json_reference.py
	$(BIN)/sphinx-build -W -q -b html docs docs-site
	@echo open docs-site/index.html

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "onex-registry needs Python 3.11 or newer on PATH"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/runtime: .venv/bin/python requirements/runtime.txt requirements/build.txt pyproject.toml
	$(INSTALL) requirements/runtime.txt requirements/build.txt
	@touch $@

.venv/dev: .venv/runtime requirements/dev.txt
	$(INSTALL) requirements/dev.txt
	@touch $@

# Packages with real nodes, which tests unpack and never install: they need a newer Python.
CORPUS := pip download --quiet --no-deps --require-hashes --python-version 3.12 \
	--only-binary :all: -r requirements/corpus.txt
.venv/corpus: .venv/bin/python requirements/corpus.txt
	@mkdir -p $(WHEELS)
	$(BIN)/python -m $(CORPUS) --no-index --find-links $(WHEELS) -d $@ 2>/dev/null \
		|| { $(BIN)/python -m $(CORPUS) -d $(WHEELS) \
		&& $(BIN)/python -m $(CORPUS) --no-index --find-links $(WHEELS) -d $@; }
	@touch $@

# The conformance suite of the Model Context Protocol, and a Node.js that is new enough for it.
.venv/judges: .venv/bin/python tests/agents/judges/package-lock.json
	@mkdir -p $@
	@cp tests/agents/judges/package.json tests/agents/judges/package-lock.json $@
	@cd $@ && npm ci --silent --no-audit --no-fund --no-update-notifier \
		|| echo "npm is missing, or failed: its judges are not asked"
	@touch $@

# Needs uv on PATH. The files name no index, so every machine uses its own.
requirements:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url --no-annotate pyproject.toml -o requirements/runtime.txt
	echo "hatchling" | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-header --no-emit-index-url --no-annotate - -o requirements/build.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url --no-annotate --group dev -c requirements/runtime.txt \
		-c requirements/build.txt pyproject.toml -o requirements/dev.txt
	echo bokeh | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url --no-annotate --extra all -c requirements/dev.txt pyproject.toml - \
		-o requirements/image.txt
	printf '%s\n' omnibase-core omnibase-infra omninode-intelligence | uv pip compile --quiet \
		--universal --python-version 3.12 --generate-hashes --no-header --no-emit-index-url \
		--no-annotate --no-deps - -o requirements/corpus.txt

clean:
	rm -rf .venv onex-demo docs-site .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis
