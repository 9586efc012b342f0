# Everything the project does is a target here; `make help` lists them. Nothing needs a terminal or an activated
# virtualenv, and nothing is written outside the checkout but system packages (tools/setup) and package caches.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# PORT: where `make demo` listens; the first free one from 8000 on if not set.
PORT ?=
# How many watch through each cache of `make demo-edge`.
WATCHERS ?= 100
# More arguments for pytest, as in: make test PYTEST_ARGS="-k tags -x"
PYTEST_ARGS ?=

# More arguments for the bad days, as in: make faults FAULTS_ARGS="it_is_killed --seed 7"
FAULTS_ARGS ?=

# More arguments for the benchmarks, as in: make bench BENCH_ARGS="--quick"
BENCH_ARGS ?=
RESULTS := benchmarks/results/latest.json
# The same for a million watchers, as in: make million MILLION_ARGS="--watchers 200000"
MILLION_ARGS ?=

# The same for clients behind caches, as in: make edge EDGE_ARGS="--only nginx,varnish --clients 1000"
EDGE_ARGS ?=

# maturin installs into the virtualenv that it is told; whatever is activated outside has no say.
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
unexport CONDA_PREFIX PYTHONHOME PYTHONPATH

# What the native module is made of: a change of any of these, or a file more or less, builds it again. The Python
# sources are used from where they lie.
CRATES := engine upstream load bindings
NATIVE := Cargo.toml Cargo.lock pyproject.toml \
	$(shell find $(addsuffix /src,$(CRATES)) $(addsuffix /Cargo.toml,$(CRATES)))
MODULE := $(wildcard python/freshwire/_engine*.so)

TOOLS := $(VENV)/.tools
BUILT := $(VENV)/.built
DEV := $(VENV)/.dev
BENCH := $(VENV)/.bench
PROVE := $(VENV)/.prove

CLIENT := clients/js
CLIENT_MODULES := $(CLIENT)/node_modules/.installed
CLIENT_BUILT := $(CLIENT)/dist/freshwire.min.js

.DEFAULT_GOAL := help
# Every target with a description after it.
.PHONY: FORCE $(shell sed -n 's/^\([a-z-]*\):.*## .*/\1/p' $(firstword $(MAKEFILE_LIST)))

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

setup: ## install the system packages that building and testing need
	tools/setup test

build: $(BUILT) ## build for release and leave .venv/bin/freshwire in the checkout

demo: setup-build $(BUILT) ## start a node with the departures board on real data, and say what to try (PORT=8000)
	@PORT=$(PORT) tools/demo

demo-edge: setup-test $(BUILT) ## the same behind nginx and Varnish, with 100 watchers through each (WATCHERS=100)
	@PORT=$(PORT) WATCHERS=$(WATCHERS) tools/demo-edge

client: $(CLIENT_BUILT) ## build the browser client into clients/js/dist

test: setup-test $(DEV) $(CLIENT_BUILT) ## build and run every test (PYTEST_ARGS="-k name")
	@tools/test $(PYTEST_ARGS)

check: setup-build $(DEV) ## format, lint and types
	cargo fmt --all --check
	cargo clippy --quiet --locked --workspace --all-targets -- -D warnings
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

bench: setup-peers $(BENCH) ## measure, beside peers and the floor (about 25 minutes; BENCH_ARGS="--only memory --rounds 3")
	$(BIN)/python -m benchmarks.run --json $(RESULTS) $(BENCH_ARGS)

page: $(BUILT) ## write the figures of the last `make bench` into docs/benchmarks.md
	$(BIN)/python -m benchmarks.page $(RESULTS)

million: setup-test $(BENCH) ## hold a million watchers and show that each gets a change (24 GB; MILLION_ARGS="--dry-run")
	$(BIN)/python -m benchmarks.million $(MILLION_ARGS)

edge: setup-peers $(BENCH) ## ten thousand clients behind nginx and Varnish, beside other ways (20 minutes; EDGE_ARGS="--only nginx")
	$(BIN)/python -m benchmarks.edge $(EDGE_ARGS)
	$(BIN)/python -m benchmarks.edge --document

rules: setup-prove $(PROVE) ## send HTTP/1.1 that breaks its rules to the node, to other servers, and through proxies
	$(BIN)/python -m conformance.http1
	$(BIN)/python -m conformance.http1 --behind nginx,haproxy,varnish

attacks: setup-prove $(PROVE) ## attack the node and its peers, and write what came of it into docs/security.md (about 20 minutes)
	FRESHWIRE_PROVE=1 FRESHWIRE_HOSTILE_ROUNDS=1000 $(BIN)/python -m pytest -q --timeout 900 tests/security
	$(BIN)/python -m conformance.attacks --write

conformance: setup-prove $(PROVE) ## let suites of others judge the node (about 25 minutes; one: .venv/bin/python -m conformance.autobahn)
	$(BIN)/python -m conformance

fuzz: setup-build ## look for inputs that break a property (about 20 minutes; FUZZ_SECONDS=60 for each target)
	tools/fuzz

loom: setup-build ## try every order of steps of the inbox and the ring
	RUSTFLAGS="--cfg loom" cargo test --quiet --locked --package freshwire-engine --release --target-dir target/loom --test loom

sanitize: setup-test $(DEV) ## the engine's tests, and those of hosting, with AddressSanitizer and LeakSanitizer
	tools/sanitize

faults: setup-test $(DEV) ## bad days at their full size: everything fails in turn, and clients judge (FAULTS_ARGS="--minutes 60")
	$(BIN)/python -m conformance.faults $(FAULTS_ARGS)

# Goes on after a failure, and fails at the end. What judges takes the time it takes, so fuzzing goes on beside it; the
# attacks and the measurements come after, alone: they want a machine that does nothing else.
prove: setup-prove setup-peers $(DEV) $(PROVE) $(BENCH) ## everything that takes longer than `make test`: fuzzing, suites of others, attacks, benchmarks (2 hours)
	@failed=0; \
	$(MAKE) --keep-going --jobs=2 fuzz judged || failed=1; \
	$(MAKE) --keep-going --jobs=1 attacks million bench edge || failed=1; \
	exit $$failed

# Each builds, or takes ports and cores, so one after the other.
judged:
	$(MAKE) --keep-going --jobs=1 loom sanitize rules conformance

# Both tools ask databases that a closed network does not reach; then they fail, rather than pass unasked.
audit: $(DEV) ## known vulnerabilities and licences of the dependencies (needs the advisory databases)
	cargo deny --locked check
	$(BIN)/python -m pip freeze --exclude-editable > $(VENV)/installed.txt
	$(BIN)/pip-audit --strict --no-deps --disable-pip -r $(VENV)/installed.txt

fmt: $(DEV) ## format everything
	cargo fmt --all
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean: ## remove what was built
	rm -rf $(VENV) target $(CLIENT)/node_modules $(CLIENT)/dist $(MODULE) .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: setup-build setup-test setup-prove setup-peers ready judged
setup-build:
	@tools/setup build
setup-test:
	@tools/setup test
setup-prove:
	@tools/setup prove
setup-peers:
	@tools/setup peers
# All that tools/test needs.
ready: setup-test $(DEV) $(CLIENT_BUILT)

$(TOOLS): | setup-build
	$(PYTHON) -m venv $(VENV)
	$(PIP) 'maturin>=1.9,<2'
	@touch $@

$(BUILT): $(TOOLS) $(NATIVE) $(if $(MODULE),,FORCE)
	$(BIN)/maturin develop --quiet --release --locked --extras demo,fast
	@touch $@

$(DEV): $(BUILT)
	$(BIN)/maturin develop --quiet --release --locked --extras demo,fast,dev
	@touch $@

$(BENCH): $(BUILT)
	$(BIN)/maturin develop --quiet --release --locked --extras demo,fast,bench
	@touch $@

$(PROVE): $(BUILT)
	$(BIN)/maturin develop --quiet --release --locked --extras demo,fast,dev,prove
	@touch $@

$(CLIENT_MODULES): $(CLIENT)/package-lock.json | setup-test
	cd $(CLIENT) && npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

$(CLIENT_BUILT): $(CLIENT_MODULES) $(CLIENT)/build.mjs $(CLIENT)/tsconfig.json $(shell find $(CLIENT)/src $(CLIENT)/test)
	cd $(CLIENT) && node build.mjs --tests
