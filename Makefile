# The few commands of this project; `make help` lists them. CARGO_TARGET_DIR is respected where it is set.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help demo test check bench fmt clippy deny doc-test rust-test packages build-packages schemathesis

CARGO ?= cargo
say = @printf '\n== %s\n' "$(1)"

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r name what; do printf '  make %-10s %s\n' "$$name" "$$what"; done

demo: build-packages ## three stores sell through a minute of trouble; KEEP=1 stays up afterwards
	$(CARGO) build --release --locked --workspace --bins
	$${CARGO_TARGET_DIR:-target}/release/demo --no-build $(if $(filter-out 0 no false,$(KEEP)),--keep) $(ARGS)

# The Rust tests come last, so that what they counted closes the output.
test: packages schemathesis fmt clippy deny doc-test rust-test ## everything that has to pass; installs missing Debian packages when it may

check: fmt ## quick look while working: formatting, types, repository rules
	$(call say,types)
	$(CARGO) check --workspace --all-targets
	$(call say,repository rules)
	$(CARGO) test --quiet -p tests --test tidy

bench: build-packages ## one measurement: make bench CASE=edge [ARGS="--seconds 20"]
	@[[ -n "$(CASE)" ]] || { echo "error: name a case, for example: make bench CASE=edge" >&2; exit 2; }
	$(CARGO) run --release --locked -p tests --bin bench -- $(CASE) $(ARGS)

packages:
	$(call say,Debian packages)
	@.ci/ensure-packages && echo "all there"

schemathesis:
	$(call say,the fuzzer of the API)
	@.ci/ensure-schemathesis >/dev/null && echo "there"

build-packages:
	@.ci/ensure-packages build

fmt: ## formatting, without changing a file
	$(call say,formatting)
	$(CARGO) fmt --all --check

clippy: ## lints, a warning is a failure
	$(call say,lints)
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

deny: ## dependencies: bans, licences, sources, known advisories
	$(call say,dependencies)
	@.ci/deny

doc-test:
	$(call say,examples in the documentation)
	$(CARGO) test --workspace --locked --doc --quiet

rust-test:
	$(call say,tests)
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
		set -x; $(CARGO) nextest run --workspace --locked; \
	else \
		echo "cargo-nextest is not installed: running cargo test instead"; \
		set -x; $(CARGO) test --workspace --locked --no-fail-fast --lib --bins --tests; \
	fi
	@data=$${BREAKWATER_DATA:-../shared/data}; [[ -f $$data/coffee-3-stores/receipts.csv ]] \
		|| echo "skipped: the runs over real orders, for $$data holds no order data; BREAKWATER_DATA names their folder"
