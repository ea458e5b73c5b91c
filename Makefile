# Every target makes the virtual environment it needs; nothing but Python 3.11 or newer is asked for.
#   PYTHON=...  which Python makes .venv      ARGS="..."  passed on to what the target runs
#   WORKERS=N   how many processes share the tests: they wait more than they compute (0: none beside)
ARGS ?=
WORKERS ?= 4
BIN := .venv/bin
SHARED := -n $(WORKERS) --dist worksteal
export PYTHON WORKERS

.DEFAULT_GOAL := help
.PHONY: help serve test test-all test-engines test-windows stress bench
.PHONY: check format lint types layers cover clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo '  e.g. make serve ARGS="--model select --port 0"   make test ARGS="-k reset -x"'

serve: ## run the completion-port echo server on port 7777
	@tools/venv.sh .venv cli
	@exec $(BIN)/proactor serve $(ARGS)

test: ## run the tests, all but the heavy and the stress ones
	@tools/venv.sh .venv test
	@$(BIN)/python -m pytest -q $(SHARED) -m "not stress and not heavy" $(ARGS)

.PHONY: heavy
heavy: ## run the tests of the benchmarks, which compile C and measure
	@tools/venv.sh .venv test
	@$(BIN)/python -m pytest -q -m "not stress" tests/benchmarks $(ARGS)

test-all: ## the same on each of CPython 3.11, 3.12 and 3.13 that is installed
	@tools/test_all.sh $(ARGS)

test-windows: ## run the conformance tests on Windows CPython, under Wine
	@tools/windows.sh test $(ARGS)

stress: ## run the stress tests: seconds of load against every model
	@tools/venv.sh .venv test
	@$(BIN)/python -m pytest -q -m stress --timeout 300 -o faulthandler_timeout=290 $(ARGS)

test-engines: ## run the suites on every other engine this machine has (ARGS=--all: on all)
	@tools/test_engines.sh $(ARGS)

.PHONY: test-free
test-free: ## run the suites on a CPython without a GIL, where there is one
	@tools/test_free.sh $(ARGS)

.PHONY: differential soak
differential: ## 2000 random programs on the Python and the native engines, and faults (ARGS: how many)
	@tools/venv.sh .venv test
	@status=0; export PROACTOR_DIFFERENTIAL=$(or $(ARGS),2000); \
	long="--timeout 1200 -o faulthandler_timeout=1190"; \
	$(BIN)/python -m pytest -q -n 2 $$long tests/differential || status=1; \
	$(BIN)/python -m pytest -q $$long tests/faults || status=1; exit $$status

soak: ## minutes of mixed load on each native engine; memory must stay flat (ARGS: minutes, 3)
	@tools/venv.sh .venv test
	@$(BIN)/python -m tests.soak $(ARGS)

bench: ## measure our servers beside asyncio, uvloop and C: 11 minutes (ARGS=--quick: 3)
	@tools/venv.sh .venv bench
	@$(BIN)/python -m benchmarks $(ARGS)

check: ## format, lint, types, layers, and the tests with coverage
	@tools/check.sh format lint types layers cover

.PHONY: sanitize
sanitize: ## compile the C code and run its unit tests, also under ASan, UBSan and TSan
	@tools/sanitize.sh $(ARGS)

format: ## put the code in the one format
	@tools/venv.sh .venv dev
	@$(BIN)/ruff check -q --select I --fix . && $(BIN)/ruff format .

lint: ## ask ruff
	@tools/check.sh lint

types: ## ask mypy, as if on Linux and as if on Windows
	@tools/check.sh types

layers: ## ask tools/layers whether the rows of the design hold
	@tools/check.sh layers

cover: ## run the tests and show what they do not reach
	@tools/check.sh cover

clean: ## remove what the other targets made
	@rm -f src/proactor/engines/native/*.so src/proactor/engines/native/not_built.*.txt
	@rm -f src/proactor/load/*.so src/proactor/load/not_built.*.txt
	@rm -rf .venv .venvs .wine build dist htmlcov .coverage .coverage.* .mypy_cache .ruff_cache
	@rm -rf .pytest_cache .hypothesis benchmarks/.build
	@find src tests tools benchmarks -name __pycache__ -prune -exec rm -rf {} +
