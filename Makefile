# The one list of things to do in this repository; `make` alone prints it. CI runs these same targets.

CARGO ?= cargo

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.SUFFIXES:

# The testbed is run as the file that was just built, not by `cargo run -p testbed`: for that package alone cargo would
# select fewer features, and so compile kube's client and what lies below it a second time.
TESTBED = "$$($(CARGO) metadata --locked --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/debug/testbed"

# Beside the testbed, in the folder of the profile that it is built with.
BENCH = "$$(dirname $(TESTBED))/../measure/bench"

##@ See it work

.PHONY: demo
demo: ## A real control plane: change an injector, find the drift, roll it out, check it all (KEEP=1: stay)
	$(CARGO) build --locked --workspace --bins
	$(TESTBED) demo

##@ Use it

.PHONY: install
install: ## Install the program, and beside it the link by which it is `kubectl sidecar-drift`
	$(CARGO) install --locked --path .
	ln -sf sidecar-drift "$${CARGO_HOME:-$$HOME/.cargo}/bin/kubectl-sidecar_drift"

##@ Test

.PHONY: test
test: control-plane ## All tests: unit, script, property, mock API, real control plane, documentation
	$(CARGO) test --locked --workspace --no-fail-fast

.PHONY: test-oldest
test-oldest: control-plane ## The tests on a real control plane, as the oldest supported Kubernetes
	TESTBED_EMULATED_VERSION=1.33 $(CARGO) test --locked --test cluster --no-fail-fast

.PHONY: test-injectors
test-injectors: control-plane ## Injectors that people run, on a real control plane; builds them, and writes docs/injectors.md
	$(CARGO) test --locked --test cluster -- --ignored --nocapture --test-threads=1 injectors::

.PHONY: test-node
test-node: control-plane ## A real kubelet with containerd, as root: sidecars that run, crash, and cannot be pulled
	@root=$$(mktemp -d) && trap 'rm -rf "$$root"' EXIT && .ci/image build "$$root" && \
	  SIDECAR_DRIFT_IMAGE_ROOT=$$root \
	  $(CARGO) test --locked --test cluster -- --ignored --nocapture --test-threads=1 node::

.PHONY: simulate
simulate: ## Play many random histories and check each step (SEEDS=10000 FROM=1 CORES=2; SEED=17: one, printed in full)
	SEEDS=$(or $(SEEDS),10000) $(if $(SEED),SEED=$(SEED)) $(CARGO) test --locked --profile simulate --test it -- \
	  --ignored --nocapture simulator::

.PHONY: properties
properties: ## Properties of the core in 10,000 cases each: one change under any noise is told, no outage makes a rollout
	$(CARGO) test --locked --profile simulate --test it -- --ignored --nocapture in_ten_thousand_cases

.PHONY: control-plane
control-plane: ## Build the control plane of the tests, once; it is kept outside the checkout
	$(CARGO) build --locked --workspace --all-targets
	$(TESTBED) build

# Two of the files that only the compiler asks for, which every COPY passes by.
NEEDED = templates/plan.html src/http/page/icon.svg

.PHONY: image
image: ## The image, from its build context by the Dockerfile's own commands, in an empty root (not optimised)
	@root=$$(mktemp -d) && trap 'rm -rf "$$root"' EXIT && .ci/image build "$$root" fast && .ci/image run "$$root" version
	@for file in $(NEEDED); do .ci/image fails "$$file" || exit 1; done

.PHONY: empty-root
empty-root: control-plane ## The same as it is released; it scans over TLS there, as nobody (as root; builds a release)
	@root=$$(mktemp -d) && trap 'rm -rf "$$root"' EXIT && .ci/image build "$$root" && \
	  SIDECAR_DRIFT_IMAGE_ROOT=$$root $(CARGO) test --locked --test cluster -- --nocapture install::empty_root

##@ Measure

# Three builds: the program to measure as it is released, its core alone in the same way, and beside them the one that measures.
.PHONY: bench
bench: ## Memory, speed and requests beside what others do; writes target/bench.json (SCALE=0.1: a short run)
	$(CARGO) build --locked --release --bin sidecar-drift
	$(CARGO) build --locked --release --package bench-engine
	$(CARGO) build --locked --profile measure --package bench
	$(BENCH)

##@ Check

.PHONY: lint
lint: fmt-check clippy deny ## Everything that needs no test run: formatting, clippy, dependencies

.PHONY: fmt
fmt: ## Format all code
	$(CARGO) fmt --all

.PHONY: fmt-check
fmt-check: ## Formatting
	$(CARGO) fmt --all --check

.PHONY: clippy
clippy: ## Clippy, warnings are errors
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

.PHONY: generate
generate: ## Write anew what is made from other files: deploy/, README and files of the chart, the table of the core's rooms
	SIDECAR_DRIFT_GENERATE=1 $(CARGO) test --locked --test it -- chart:: observability:: architecture::core::
	SIDECAR_DRIFT_GENERATE=1 $(CARGO) test --locked --test cluster install::manifests::what_is_in_deploy

.PHONY: deny
deny: ## Dependencies: second versions, licences, sources
	.ci/cargo-tool cargo-deny --locked check -D unmatched-skip -D license-exception-not-encountered bans licenses sources

.PHONY: mutants
mutants: ## Break comparator and classifier in every way and see the tests fail; takes hours, no part of CI
	.ci/cargo-tool cargo-mutants mutants --jobs 1 --output target \
	  --file 'src/core/model/fingerprint*' --file 'src/core/model/canonical*' --file 'src/core/model/canonical/*' \
	  --file 'src/core/compare/*' --file 'src/core/io/api_response*' --file 'src/core/io/api_response/*' \
	  --file 'src/core/verdict/judge*' --file 'src/core/verdict/judge/*' \
	  --file 'src/core/verdict/assess*' --file 'src/core/verdict/assess/*' \
	  -- --lib --test it -- --skip random

.PHONY: dockerfile
dockerfile: ## The Dockerfile, by hadolint
	@if linter=$$(.ci/tool hadolint); then "$$linter" Dockerfile && echo "hadolint has nothing to say about the Dockerfile"; \
	  else echo "SKIPPED: hadolint cannot be had here"; fi

.PHONY: audit
audit: ## Dependencies: security advisories (needs network)
	@echo "The advisories are fetched from the RustSec database, so this needs network access to it."
	.ci/cargo-tool cargo-deny --locked check advisories

.PHONY: help
help: ## This list
	@awk 'BEGIN { FS = ":.*## " } /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
