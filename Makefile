SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-embedded test-container test-17 test-fast test-functions counterparts check lint format docs types picture bench bench-growth bench-history soak fuzz clean

PYTEST := .venv/bin/pytest -n 2
PROVE := PYTHONPATH=py_tests .venv/bin/python -m support.prove
DENO := DENO_DIR=$${DENO_DIR:-$(CURDIR)/.make/deno} DENO_NO_UPDATE_CHECK=1 DENO_NO_PACKAGE_JSON=1 .venv/bin/deno
EMBEDDED := TAXIMETER_TEST_DB=embedded
CONTAINER := TAXIMETER_TEST_DB=container
# In a container the image, the locale, the server's user and the network are other ones, and nothing else. So what brings
# a server of its own would prove nothing new there, nor what plays rules (pgTAP does there, too) and reads plans.
NOT_IN_CONTAINER := stack integration crash pooler replicas properties growth
# Servers, processes and the real command line tool take their time.
NOT_FAST := stack integration container migrations crash pooler replicas

help: ## what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: ## install everything the project needs, once
	@scripts/setup.sh

demo: setup ## play three sessions: sign-up to end, on a clock that runs fast, and for money
	@.venv/bin/taximeter demo

test: setup ## every test, on an embedded server and in a container, and on PostgreSQL 17 what depends on it most
	@$(MAKE) --no-print-directory test-embedded
	@if [ "$${TAXIMETER_TEST_DB:-}" = embedded ]; then \
	  echo 'test: the container is left out, as TAXIMETER_TEST_DB=embedded asks'; \
	else \
	  $(MAKE) --no-print-directory test-container; \
	fi
	@if [ "$$(uname -sm)" = 'Linux x86_64' ]; then \
	  $(MAKE) --no-print-directory test-17 ONLY='py_tests/security py_tests/migrations'; \
	else \
	  echo 'test: PostgreSQL 17 is left out, its package is for Linux on x86-64'; \
	fi

test-embedded: setup counterparts test-functions
	@$(EMBEDDED) $(PYTEST)
	@$(EMBEDDED) $(PROVE)

counterparts: ## build the real programs that some tests talk to, when Go is there
	@scripts/counterparts.sh

test-container: setup
	@$(CONTAINER) $(PYTEST) $(NOT_IN_CONTAINER:%=--ignore=py_tests/%)
	@$(CONTAINER) $(PROVE)

# Supabase's current version. A test that needs what its package lacks is skipped and names it; no other may be.
ON_17 := TAXIMETER_TEST_PG_MAJOR=17 TAXIMETER_TEST_WITHOUT=pg_cron,plpgsql_check,pg_basebackup $(EMBEDDED)

test-17: setup counterparts ## every test on PostgreSQL 17, or those of ONLY="py_tests/security ..."; then pgTAP
	@programs=$$(scripts/postgres17.sh); export TAXIMETER_PG_BIN=$$programs; \
	  $(ON_17) $(PYTEST) $(ONLY); \
	  $(ON_17) $(PROVE)

# Without rights: a handler does nothing but through what it is given. (The variable is one that a package reads.)
test-functions: setup ## the handlers of the edge functions, with everything outside them played
	@$(DENO) test --quiet --no-prompt --cached-only --frozen --allow-env=BUF_BIGINT_DISABLE supabase/functions

test-fast: setup test-functions ## the tests of the database and the handlers, in under 90 seconds
	@$(EMBEDDED) $(PYTEST) -m 'not slow' $(NOT_FAST:%=--ignore=py_tests/%)
	@$(EMBEDDED) $(PROVE)

fuzz: setup ## play new random scripts against the model, for SECONDS=60, and kill a server KILLS=200 times
	@PYTHONPATH=py_tests .venv/bin/python -m properties.fuzz $(or $(SECONDS),60) $(SEED)
	@PYTHONPATH=py_tests .venv/bin/python -m stripe_inbox.hostile $(or $(SECONDS),60) $(SEED)
	@PYTHONPATH=py_tests .venv/bin/python -m crash.run $(or $(KILLS),200) $(SEED)

check: lint test ## what CI runs

lint: setup ## formatters, linters and the type checker; changes nothing
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	$(DENO) fmt --check
	$(DENO) lint
	$(DENO) check --quiet --cached-only --frozen supabase/functions
	.venv/bin/sqlfluff lint --processes 2 --disable-progress-bar supabase/migrations sql bench

format: setup ## put Python and TypeScript into their form
	.venv/bin/ruff check --fix
	.venv/bin/ruff format
	$(DENO) fmt

docs: setup ## write docs/api.md anew from the comments in the database
	@TAXIMETER_WRITE_DOCS=1 $(EMBEDDED) .venv/bin/pytest -q py_tests/static/test_api_docs.py

types: setup ## write supabase/types/ anew from the database, with `supabase gen types`
	@TAXIMETER_WRITE_DOCS=1 $(EMBEDDED) .venv/bin/pytest -q py_tests/static/test_types.py

picture: setup ## take the picture of `taximeter health` anew
	@TAXIMETER_WRITE_DOCS=1 $(EMBEDDED) .venv/bin/pytest -q py_tests/integration/test_operations.py -k picture

bench: setup ## measure the commands with SESSIONS=10000 in the history, next to what the machine can do
	@.venv/bin/python -m bench --sessions $(or $(SESSIONS),10000)

bench-growth: setup ## the same with 10,000, 100,000 and 1,000,000, and monitoring; writes docs/scaling.md
	@.venv/bin/python -m bench --sessions 10000 100000 1000000 --monitoring
	@.venv/bin/python -m bench.plot bench/results/10000-100000-1000000.json docs/images/bench.svg docs/scaling.md

bench-history: setup ## measure monitoring and audits with SESSIONS=1000000 in the history
	@.venv/bin/python -m bench.monitoring $(or $(SESSIONS),1000000)

soak: setup ## a stack under steady load for SECONDS=3600, a session EVERY=2 s, LIVE=10 at once: no leak, no loss
	@.venv/bin/python -m bench.soak $(or $(SECONDS),3600) --every $(or $(EVERY),2) --live $(or $(LIVE),10)

# A run of tests ends what killed runs before it have left, in memory too.
clean: ## remove what setup and the tests made in this folder, and the stack's data
	@! [ -x .venv/bin/taximeter ] || .venv/bin/taximeter down > /dev/null 2>&1 || true
	@! [ -x .venv/bin/python ] || .venv/bin/python -c 'from taximeter.stack.postgres import remove_everything; remove_everything()'
	@! [ -x .venv/bin/python ] || PYTHONPATH=py_tests .venv/bin/python -c 'from support.database import Run; Run.begin().end()'
	rm -rf .venv node_modules .make .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist src/*.egg-info
	find src py_tests -name __pycache__ -prune -exec rm -rf {} +
