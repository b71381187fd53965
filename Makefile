# make demo   see it run        make test    all tests         make bench   measure
# make check  style and types   make format  tidy the source   make clean   start afresh
# make docs   build the site
# make torture  cut a broker's power, kill it, fill its disk; as root; TORTURE_ARGS="--secs 60"
# make torture-client    kill brokers under our client: TORTURE_ARGS="--restarts 10"
# make bench-clients     our client beside pika and aio-pika
# make interop-rabbitmq  the client's tests against a RabbitMQ, where one is installed
# Needs make and Python 3.11 or newer; .venv is made on the way. Another Python: make PYTHON=...

PYTHON = $(shell for python in python3.11 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)
BIN = .venv/bin
PYTEST = $(BIN)/python -m pytest $(PYTEST_ARGS)

.PHONY: demo test check format coverage docs bench bench-clients torture torture-client \
	interop-rabbitmq clean
.NOTPARALLEL:

demo: .venv/installed-runtime
	$(BIN)/warren demo

test: .venv/installed-test
	$(PYTEST) -n 2

check: .venv/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(PYTEST) tests/test_architecture.py

format: .venv/installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

coverage: .venv/installed-dev
	$(BIN)/coverage run -m pytest $(PYTEST_ARGS)
	$(BIN)/coverage report

# The site is in dist/docs. A broken link, or a page that no list has, is an error.
docs: .venv/installed-docs
	$(BIN)/python docs/reference.py
	$(BIN)/python -m sphinx --fail-on-warning --keep-going -q docs dist/docs

bench: .venv/installed-test
	$(BIN)/python -m tests.bench $(BENCH_ARGS)

bench-clients: .venv/installed-test
	$(BIN)/python -m tests.bench.clients $(BENCH_ARGS)

torture: .venv/installed-test
	$(BIN)/python -m tests.torture $(TORTURE_ARGS)

torture-client: .venv/installed-test
	$(BIN)/python -m tests.torture.reconnect $(TORTURE_ARGS)

interop-rabbitmq: .venv/installed-test
	$(BIN)/python -m tests.interop.against_rabbitmq tests/client \
		tests/worker/test_everywhere.py $(PYTEST_ARGS)

clean:
	rm -rf .venv dist .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache

# A stamp per set of dependencies, so that `make demo` waits for no test tool.

.venv/installed-runtime: REQUIREMENT = .
.venv/installed-test: REQUIREMENT = .[test]
.venv/installed-dev: REQUIREMENT = .[dev]
.venv/installed-docs: REQUIREMENT = .[docs]

.venv/installed-%: pyproject.toml | .venv/bin/pip
	@echo "Installing into .venv ($*) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '$(REQUIREMENT)'
	@touch $@

.venv/bin/pip:
	@test -n "$(PYTHON)" || { echo "Warren needs Python 3.11 or newer" >&2; exit 1; }
	$(PYTHON) -m venv .venv
