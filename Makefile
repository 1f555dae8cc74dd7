# make on its own lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
# Arguments for dockstream: make run ARGS="demo"
ARGS ?=
# Chance of make chaos, and one of its scenarios: make chaos SEED=7 ONLY=broker
SEED ?=
ONLY ?=

# Length of make soak: make soak SOAK=60s
SOAK ?= 10m

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: deps
deps: ## install what building and testing need, where it is missing
	@scripts/deps.sh build test

.PHONY: build
build: ## build the release binary, target/release/dockstream
	@scripts/deps.sh build
	cargo build --release

.PHONY: run
run: build ## build, see to a Docker engine, and run dockstream on it (ARGS="..." for its arguments)
	@scripts/engine.sh
	./target/release/dockstream $(ARGS)

.PHONY: test
test: deps ## run all tests, against real servers that are started and stopped by them
	cargo test --workspace --no-fail-fast

.PHONY: chaos
chaos: deps ## break what dockstream stands on, for a quarter of an hour; writes docs/reliability.md (SEED=..., ONLY=broker)
	CHAOS=long SEED=$(SEED) cargo test --test e2e faults::$(ONLY) -- --nocapture --test-threads=2

.PHONY: soak
soak: ## 20 hosts × 100 containers that come and go, daemons that restart, for SOAK=10m; writes docs/reliability.md
	@scripts/deps.sh build
	SOAK=$(SOAK) cargo test --test e2e faults::soak -- --nocapture

.PHONY: check-deps
check-deps:
	@scripts/deps.sh build check

.PHONY: check
check: check-deps ## formatting, lints, documentation, licences and sources of dependencies, spelling
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
	.cache/tools/bin/cargo-deny check bans licenses sources
	.cache/tools/bin/typos

.PHONY: advisories
advisories: check-deps ## known vulnerabilities of dependencies (downloads the RustSec database from GitHub)
	.cache/tools/bin/cargo-deny check advisories

.PHONY: bench
bench: ## run the benchmarks and print their table
	@scripts/deps.sh build
	cargo bench --bench suite

.PHONY: clean
clean: ## remove everything built and downloaded into this folder
	rm -rf target .cache
