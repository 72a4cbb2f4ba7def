# Each target sets up what it needs, in .venv, on a machine with Python 3.11 to 3.14 and make alone.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3.14 python3; do $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null && command -v $$p && break; done)
BIN = .venv/bin

.PHONY: demo demo-cluster run test test-postgres torture lint bench wheel vendor i18n docs clean

demo: .venv/.runs
	$(BIN)/python run.py --demo

# several machines on this one: needs PostgreSQL and Redis from the system's packages
demo-cluster: .venv/.runs
	$(BIN)/python -m tools.demo_cluster

run: .venv/.runs
	$(BIN)/python run.py

test: .venv/.develops
	sh tools/chromium.sh $(BIN)
	sh tools/node_client.sh
	sh tools/batch_clients.sh $(PYTHON)
	sh tools/postgres.sh
	sh tools/debian.sh redis-server redis-server "the tests on Redis"
	sh tools/debian.sh nginx nginx "the test of a proxy"
	sh tools/debian.sh zsh zsh "the test of completion in zsh"
	sh tools/debian.sh fish fish "the test of completion in fish"
	$(BIN)/python -m tests

# all of it once more, on PostgreSQL alone
test-postgres: .venv/.develops
	sh tools/chromium.sh $(BIN)
	sh tools/node_client.sh
	sh tools/batch_clients.sh $(PYTHON)
	sh tools/postgres.sh
	sh tools/debian.sh redis-server redis-server "the tests on Redis"
	sh tools/debian.sh nginx nginx "the test of a proxy"
	sh tools/debian.sh zsh zsh "the test of completion in zsh"
	sh tools/debian.sh fish fish "the test of completion in fish"
	SIMPLE_BATCH_TEST_DATABASE=postgresql $(BIN)/python -m tests

torture: .venv/.develops
	$(BIN)/python -m tests.torture
	SIMPLE_BATCH_TEST_EVERY_VALUE=1 $(BIN)/python -m pytest tests/web/test_malformed.py

lint: .venv/.develops
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/codespell
	$(BIN)/python -m tools.links
	$(BIN)/bandit -q -c pyproject.toml -r simple_batch tools run.py gunicorn.conf.py
	$(BIN)/python -m tools.audit

bench: .venv/.develops .venv-bench/.installed
	$(BIN)/python -m bench

# dist/: the package. The same source gives the same bytes.
wheel: .venv/.develops
	SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null || echo 1577836800)} \
		$(BIN)/hatchling build --clean -t sdist -t wheel

vendor:
	sh tools/vendor.sh

i18n: .venv/.develops
	sh tools/i18n.sh

# the parts of docs/ that are made from the code
docs: .venv/.develops
	$(BIN)/python -m tools.generated_docs --write

clean:
	rm -rf .venv .venv-bench .venv-clients dist

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 to 3.14 is needed: https://www.python.org/downloads/"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.runs: requirements.txt .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/.develops: requirements-dev.txt requirements.txt .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ .venv/.runs

# What the benchmark compares with lives apart: its dependencies are not ours.
.venv-bench/.installed: bench/requirements.txt .venv/bin/python
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@
