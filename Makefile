# Two commands matter on a new machine: `make demo` and `make test`.
# tools/environment makes the virtual environment each target needs.

python := .venv/bin/python
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test test-fast lint format bench ci

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/installed-demo ## Serve the demo: site and worker together, Ctrl-C stops both
	@$(python) demo/serve.py

test: .venv/installed-dev ## Run every test, on PostgreSQL and on SQLite, with a browser
	@tools/chromium
ifeq (,$(findstring postgresql,$(ERRANDS_TEST_WITHOUT)))
	ERRANDS_TEST_DATABASE=postgresql $(python) -m pytest -m database
endif
	$(python) -m pytest

test-fast: .venv/installed-dev ## Run the tests without processes and browser, under a minute
	$(python) -m pytest -m "not integration and not browser"

lint: .venv/installed-dev ## Check style, types and the direction of imports
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	DJANGO_SETTINGS_MODULE=tests.settings $(python) -m mypy
	cd demo && DJANGO_SETTINGS_MODULE=flightsite.settings ../$(python) -m mypy --config-file ../pyproject.toml .
	.venv/bin/lint-imports

format: .venv/installed-dev ## Write every file as lint wants it
	$(python) -m ruff check --fix .
	$(python) -m ruff format .

bench: .venv/installed-dev ## Measure, and print the ratios to the peers
	$(python) -m bench

ci: lint test ## What the CI runs: lint, then test

.venv/installed-%: pyproject.toml constraints.txt tools/environment tools/find-python
	@tools/environment $*
