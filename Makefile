# Two commands matter on a new machine: `make demo` and `make test`.
# tools/environment makes the virtual environment each target needs.

python := .venv/bin/python
pytest := $(python) -m pytest
# Tests that want the machine to themselves; the others run beside each other, in
# no more processes than a PostgreSQL as installed has connections for.
alone := quiet or browser
slow := integration or browser or torture
beside := -n auto --maxprocesses 4
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test test-fast torture lint format bench ci

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/installed-demo ## Serve the demo: site and worker together, Ctrl-C stops both
	@$(python) demo/serve.py

test: .venv/installed-dev ## Run every test, on PostgreSQL and SQLite, the queue on MariaDB too
	@tools/chromium
ifeq (,$(findstring postgresql,$(ERRANDS_TEST_WITHOUT)))
	ERRANDS_TEST_DATABASE=postgresql $(pytest) $(beside) -m "database and not ($(alone))"
	ERRANDS_TEST_DATABASE=postgresql $(pytest) -m "database and ($(alone))"
endif
ifeq (,$(findstring mysql,$(ERRANDS_TEST_WITHOUT)))
	ERRANDS_TEST_MYSQL=own ERRANDS_TEST_DATABASE=mysql $(pytest) $(beside) -m database tests/conformance tests/queue tests/worker
	ERRANDS_TEST_MYSQL=own ERRANDS_TEST_DATABASE=mysql $(pytest) -m database tests/integration/test_hostile.py
endif
	$(pytest) $(beside) -m "not ($(alone))"
	$(pytest) -m "$(alone)"

test-fast: .venv/installed-dev ## Run the tests without processes, browser and torture, under a minute
	$(pytest) $(beside) -m "not ($(slow))"

torture: .venv/installed-dev ## Break the queue in every way we know, at full length, an hour
	ERRANDS_TORTURE=long ERRANDS_TEST_DATABASE=postgresql $(pytest) tests/torture
	ERRANDS_TORTURE=long $(pytest) tests/torture tests/integration/test_contention.py
	$(python) -m tests.torture.soak --database postgresql --tasks 100000 --kills 200 --zombies 20 --restarts 10
	$(python) -m tests.torture.soak --database mysql --tasks 20000 --kills 50 --zombies 6 --restarts 5
	$(python) -m tests.torture.soak --database sqlite --tasks 20000 --kills 50 --zombies 10

lint: .venv/installed-dev ## Check style, types and the direction of imports
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	DJANGO_SETTINGS_MODULE=tests.settings $(python) -m mypy
	cd demo && DJANGO_SETTINGS_MODULE=flightsite.settings ../$(python) -m mypy --config-file ../pyproject.toml .
	.venv/bin/lint-imports

format: .venv/installed-dev ## Write every file as lint wants it
	$(python) -m ruff check --fix .
	$(python) -m ruff format .

bench: .venv/installed-dev ## Measure beside peers and print ratios and bars, 20 minutes
	$(python) -m bench

ci: lint test ## What the CI runs: lint, then test

.venv/installed-%: pyproject.toml constraints.txt tools/environment tools/find-python
	@tools/environment $*
