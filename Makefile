# The commands of the project. Continuous integration calls these too, through .ci/run.
.DEFAULT_GOAL := help
.PHONY: help run build deps test test-deps check bench loss players fuzz

# rustup's cargo is not on the PATH of every shell.
CARGO ?= $(or $(shell command -v cargo),$(HOME)/.cargo/bin/cargo)
# The binaries are looked for where they are built by default.
unexport CARGO_TARGET_DIR
# More flags for `tidegate serve`: make run ARGS="--listen 127.0.0.1:9000 --publish-token T"
ARGS ?=
E2E := $(wildcard tests/e2e/package.json)

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: build ## Install what is missing, build, start the gateway with a test broadcast
	@target/release/tidegate serve --demo $(ARGS)

build: deps ## Build the optimised binary, target/release/tidegate
	@$(CARGO) build --release --locked

deps: ## Install the system packages that building and running need
	@deploy/install-deps.sh

test-deps:
	@deploy/install-deps.sh --test

test: test-deps ## Run every test: units, integration, end to end in a browser
	$(CARGO) test --workspace --locked
ifneq ($(E2E),)
	cd tests/e2e && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --no-audit --no-fund
	cd tests/e2e && TIDEGATE="$(CURDIR)/target/debug/tidegate" node --test
endif

check: deps ## Check form, lints, documentation, architecture and licences
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked
	$(CARGO) test --locked --test it -- architecture licences

bench: deps ## Measure; the figures of the README come from here
	$(CARGO) bench --locked

loss: deps ## Simulate losses on either side of the gateway; the tables of docs/loss.md come from here
	UPDATE_DOCS=1 $(CARGO) test --locked --lib -- --ignored simulation::loss::tables

players: build test-deps ## Play HLS with all players that are here; the table of docs/players.md comes from here
	cd tests/e2e && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --no-audit --no-fund
	cd tests/e2e && TIDEGATE="$(CURDIR)/target/release/tidegate" node players.js

# Which targets, and how long each: make fuzz FUZZ="stun rtp" FUZZ_SECONDS=60
FUZZ ?=
FUZZ_SECONDS ?= 600
fuzz: deps ## Fuzz the parsers, 10 minutes each (cargo-fuzz, nightly toolchain)
	CARGO=$(CARGO) FUZZ_SECONDS=$(FUZZ_SECONDS) tests/fuzz/run.sh $(FUZZ)
