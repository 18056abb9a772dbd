# The only verbs of this repository. `make` prints them.
# Everything is written into .venv/ (programs) and .wasl/ (data, caches, logs); nothing global.

.DEFAULT_GOAL := help
SHELL := /bin/sh
.SUFFIXES:

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= 2
STAMP := $(VENV)/.wasl-setup
MEMBERS := schemas $(wildcard services/*) services/platform-gateway/connector-sdk deploy/local
FAILURES := $(subst _,-,$(patsubst tests/failure/test_%.py,%,$(wildcard tests/failure/test_*.py)))

export UV_CACHE_DIR ?= $(CURDIR)/.wasl/cache/uv
export PIP_CACHE_DIR ?= $(CURDIR)/.wasl/cache/pip
# uv trusts what this machine trusts, and uses the mirror that pip is set to use.
export UV_SYSTEM_CERTS ?= 1
pip_config = $$($(BIN)/python -m pip config get $(1) 2>/dev/null || true)
mirror = UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$(call pip_config,global.index-url)}}"

##@ Start here
.PHONY: help
help: ## This list
	@awk 'BEGIN {FS = ":.*## "} \
	  /^##@ / {printf "\n%s\n", substr($$0, 5); next} \
	  /^[a-zA-Z_%-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo; echo "Failure tests, one at a time: $(addprefix failure-,$(FAILURES))"

.PHONY: demo
demo: setup ## Run the whole hub here, send it 42 reports, show what became of each, stop
	@$(BIN)/python -m wasl_local demo

.PHONY: up-local
up-local: setup ## The same, and stay up until Ctrl-C or `make down-local`
	@$(BIN)/python -m wasl_local up

.PHONY: down-local
down-local: setup ## Stop what `make up-local` started
	@$(BIN)/python -m wasl_local down

.PHONY: setup
setup: $(STAMP) ## Install everything, pinned by hash, into .venv

$(STAMP): requirements-dev.lock pyproject.toml $(addsuffix /pyproject.toml,$(MEMBERS))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Wasl needs Python 3.11 or newer, $(PYTHON) is %d.%d; name another: make PYTHON=python3.12" % sys.version_info[:2])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@mkdir -p .wasl
	@awk '/^uv==/ {on = 1} on {print} on && !/\\$$/ {exit}' requirements-dev.lock > .wasl/uv.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r .wasl/uv.lock
	$(mirror) $(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements-dev.lock
	$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation $(addprefix -e ./,$(MEMBERS))
	@touch $@

##@ Prove it
.PHONY: test
test: setup ## Everything that needs only Python: unit, contract, architecture, integration, failure, the demo
	$(BIN)/pytest -n $(JOBS) --dist loadgroup

.PHONY: peers
peers: setup ## What is only measured against, and the exchanges' clients; two are built from source
	$(mirror) $(BIN)/uv pip install -q --python $(BIN)/python --group peers

.PHONY: test-kafka
test-kafka: setup ## The integration and failure suites on Apache Kafka (needs a JRE 17 and Maven)
	$(BIN)/python -m wasl_local fetch-kafka
	WASL_TEST_KAFKA=real $(BIN)/pytest -n $(JOBS) --dist loadgroup tests/failure tests/integration

.PHONY: failure
failure: setup ## Kill, restart and cut off real processes: the whole failure suite
	$(BIN)/pytest -n $(JOBS) --dist loadgroup tests/failure

.PHONY: $(addprefix failure-,$(FAILURES))
$(addprefix failure-,$(FAILURES)): failure-%: setup
	$(BIN)/pytest tests/failure/test_$(subst -,_,$*).py

.PHONY: test-partners
test-partners: setup ## Connectors on partners' real servers; skips, with the reason, what cannot be installed
	$(BIN)/python tests/partners/install.py $(if $(REQUIRE),--require $(REQUIRE))
	$(BIN)/pytest -rs tests/partners

AXE := .wasl/npm/node_modules/axe-core/axe.min.js

.PHONY: test-browser
test-browser: setup $(AXE) ## The portal and the desk in Chromium: ar and fr, phone, tablet and desktop, with and without script; REQUIRE=1 skips nothing
	$(if $(REQUIRE),WASL_BROWSER_REQUIRED=1) $(BIN)/pytest -rs -n $(JOBS) tests/browser

.PHONY: screenshots
screenshots: setup $(AXE) ## A picture of every page in every state, in .wasl/screenshots
	WASL_SCREENSHOTS=.wasl/screenshots $(BIN)/pytest tests/browser/test_accessibility.py tests/browser/test_desk_pages.py -k axe

# Node trusts what this machine trusts. Without npm, or where it reaches no registry, axe-core's tests skip.
$(AXE): export NODE_EXTRA_CA_CERTS ?= $(wildcard /etc/ssl/certs/ca-certificates.crt)
$(AXE): tests/browser/package.json tests/browser/package-lock.json
	@mkdir -p .wasl/npm && cp $^ .wasl/npm
	@npm ci --prefix .wasl/npm --ignore-scripts --no-audit --no-fund --loglevel=error \
	  || echo "axe-core could not be fetched: its tests skip, or fail with REQUIRE=1"

.PHONY: bench
bench: setup ## Measure the chain against the raw limit and the naive chain
	$(BIN)/python tests/bench/run.py

.PHONY: bench-isolation
bench-isolation: setup ## What four broken partners cost the other connectors
	$(BIN)/python tests/bench/isolation.py

.PHONY: bench-desk
bench-desk: setup ## The desk's lines: signals, rules, matching, steps of a report, pages with 1 million cases
	$(BIN)/python tests/bench/desk.py

.PHONY: bench-peers
bench-peers: setup ## The same work on Celery and Redis (needs redis-server)
	$(BIN)/python tests/bench/run.py --peers

##@ Change it
.PHONY: check
check: setup ## Lint, format, types, layers, generated files; what CI runs first
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m wasl_schemas.generate --check
	$(BIN)/python -m wasl_local.reference --check
	@$(BIN)/python -m wasl_connector_sdk quality --check
	@if docker compose version >/dev/null 2>&1; then docker compose --profile demo config -q; fi

.PHONY: fix
fix: setup ## Let ruff repair what it can, and say what it cannot
	@status=0; $(BIN)/ruff format -q; $(BIN)/ruff check --fix || status=$$?; $(BIN)/ruff format && exit $$status

.PHONY: schemas
schemas: setup ## Write the generated schemas and documents again
	$(BIN)/python -m wasl_schemas.generate
	$(BIN)/python -m wasl_local.reference

.PHONY: texts
texts: setup ## What the portal's languages still lack, ready to be translated
	@$(BIN)/python tests/support/texts.py

.PHONY: new-connector
new-connector: setup ## A connector that works, to change: NAME=acme [TITLE="Acme Desk"] [EXTERNAL=dir]
	@$(BIN)/python -m wasl_connector_sdk new "$(NAME)" $(if $(TITLE),--title "$(TITLE)") $(if $(EXTERNAL),--external "$(EXTERNAL)")

.PHONY: quality
quality: setup ## Hold the connectors to the quality scale, write its table; CLAIM=acme marks what is met
	@$(BIN)/python -m wasl_connector_sdk quality $(if $(CLAIM),--claim $(CLAIM))

.PHONY: lock
lock: setup ## Resolve the newest versions and pin them; the files name no registry
	$(mirror) $(BIN)/uv lock -q --upgrade
	$(BIN)/uv export -q --no-default-groups --no-emit-workspace --no-header --no-annotate -o requirements.lock
	$(BIN)/uv export -q --group dev --group embedded --no-emit-workspace --no-header --no-annotate -o requirements-dev.lock
	$(BIN)/uv export -q --no-default-groups --no-emit-workspace --no-header --no-annotate --package wasl-triage --extra exchanges -o requirements-exchanges.lock
	@if grep -n '://\|^-' requirements*.lock; then echo "a lock names an address; find out why" >&2; exit 1; fi

##@ Run it on a server
COMPOSE := docker compose

.PHONY: secrets
secrets: ## Make the secret files of the compose stack in .wasl/compose, once
	@deploy/docker/make-secrets .wasl/compose

.PHONY: up
up: secrets ## Build the image and start the compose stack
	$(COMPOSE) up --build --detach --wait

.PHONY: down
down: ## Stop the compose stack; the data stays
	$(COMPOSE) down

.PHONY: ps
ps: ## What runs
	$(COMPOSE) ps --all

.PHONY: logs
logs: ## Follow the logs
	$(COMPOSE) logs --follow --tail 50

.PHONY: smoke
smoke: ## Send one report to the compose stack and read its receipt
	@deploy/docker/smoke

.PHONY: clean
clean: ## Remove all that these targets made, data included
	-@test ! -x $(BIN)/python || $(BIN)/python -m wasl_local down
	rm -rf .venv .wasl .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache uv.lock
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
