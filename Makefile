SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# BROWSER=0 does without Chromium: tests that drive a page are then skipped.
BROWSER ?= 1
# The SQLite drivers are C translated to Go. The race detector would make them many times
# slower and has nothing to find in them.
RACE ?= -race -gcflags=modernc.org/...=-race=false -gcflags=github.com/ncruces/...=-race=false
# DEVICES are the labelled sets of user agents that make devices scores.
DEVICES ?= internal/useragent/testdata/agents.jsonl
BASE ?= origin/main
TEST_TIMEOUT ?= 20m
FUZZTIME ?= 10s
SOAK ?= 30m

# The modules of go.work that hold packages, as folders. The tools are a module
# outside of it, so that their requirements are nobody's else.
modules = $(shell for dir in $$(go list -m -f '{{.Dir}}'); do \
	[ -z "$$(cd "$$dir" && go list ./... 2>/dev/null)" ] || echo "$$dir"; done)
staticcheck := $(CURDIR)/bin/staticcheck

.PHONY: help setup test lint apicheck vulncheck rehearse rooms tidy devices fuzz trust mutants bench bench-db bench-redis demo faults soak

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-11s %s\n", $$1, $$2 }' Makefile

setup: ## install what the tests need beyond Go, or say what to install
	@BROWSER=$(BROWSER) ./tools/setup.sh

test: setup ## run the tests of every module with the race detector; the last line says what failed
	@GOWORK=off go build ./...
	@./tools/test.sh $(modules) $(CURDIR)/tools -- $(RACE) -shuffle=on -timeout $(TEST_TIMEOUT)

lint: $(staticcheck) ## check formatting, vet, staticcheck, requirements
	@unformatted="$$(gofmt -l .)"; [ -z "$$unformatted" ] || \
		{ printf 'not gofmt-ed:\n%s\n' "$$unformatted" >&2; exit 1; }
	@for dir in $(modules); do \
		echo "== module $$(basename "$$dir")"; \
		(cd "$$dir" && go vet ./... && $(staticcheck) ./...); \
	done
	@for dir in $(modules) $(CURDIR)/tools; do (cd "$$dir" && GOWORK=off go mod tidy -diff); done
	@./tools/check-deps.sh
	@GOWORK=off go run -C tools ./mutants -check
	@GOWORK=off go run -C tools ./rooms

apicheck: ## a change of the exported API since BASE (origin/main) must have a line in the changelog
	@GOWORK=off go run -C tools ./apicheck -base $(BASE)

vulncheck: ## look for known vulnerabilities in what the modules call
	@for dir in $(modules); do (cd "$$dir" && go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./...); done

rehearse: ## make the release v0.1.0-rehearsal in a folder of its own and prove it from outside
	@GOWORK=off go run -C tools ./release -version v0.1.0-rehearsal -out "$$(mktemp -d)/release"

rooms: ## hold files to names of lower rooms, the root to its figures (ARGS=-figures prints them, ARGS=-update the list)
	@GOWORK=off go run -C tools ./rooms $(ARGS)

tidy: ## bring the requirements of every module up to date, as lint wants them
	@for dir in $(modules) $(CURDIR)/tools; do (cd "$$dir" && GOWORK=off go mod tidy); done

devices: ## score the classifier on labelled sets (DEVICES='path/*.jsonl', ARGS='-errors 5')
	@go run ./internal/useragent/score $(ARGS) $(DEVICES)

fuzz: ## run every fuzz target for FUZZTIME
	@for dir in $(modules); do cd "$$dir"; for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' "$$package" | grep '^Fuzz' || true); do \
			echo "== $$package $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$package"; \
		done; done; done

trust: setup ## run the tests of docs/checks.md, print it with what was measured (ARGS='-only S04,P01')
	@GOWORK=off go run -C tools ./trust -update $(ARGS)

mutants: setup ## remove one guard at a time from a copy of the tree; a test must notice each (ARGS='-only clamp')
	@GOWORK=off go run -C tools ./mutants $(ARGS)

bench: setup ## the request path beside its relatives: a table with ratios; counts are asserted
	@cd bench && go test -count=1 -timeout 10m -v -run '^Test(RequestPath|VerifiedTokens|Loopback)$$' . -args -long $(ARGS)

bench-db: setup ## a million sessions on PostgreSQL, an outage (ARGS='-sessions 200000', '-store sqlite': both engines)
	@cd bench && go test -count=1 -timeout 90m -v -run '^Test(Million|Outage|Overlapping|Engines)' . -args -long $(ARGS)
ifeq ($(findstring -store,$(ARGS)),)
	@go test -count=1 -v -run '^TestStatements' .
	@go test -count=1 -v -run '^Test(End|Killed|BlackHoled|Flooded)' ./pglisten
endif

bench-redis: setup ## activity in Redis beside PostgreSQL, at a million sessions (ARGS='-sessions 200000')
	@cd redisstore && go test -count=1 -timeout 90m -v -run '^TestBench$$' . -args -sessions 1000000 $(ARGS)

faults: ## what holds while databases fail, clocks disagree and replicas race, in full
	SESSIONTRACK_LONG=1 go test -timeout 3h -v -skip TestL08 ./internal/faults ./pglisten
	cd sqlite && SESSIONTRACK_LONG=1 go test -timeout 1h -v -run 'Killed|Processes|Replicas' .

soak: ## three replicas under random faults for SOAK (default 30m)
	SESSIONTRACK_LONG=1 SESSIONTRACK_SOAK=$(SOAK) go test -timeout 24h -v -run TestL08 ./internal/faults

demo: ## run the demo on 127.0.0.1:8080 (ARGS='-simulate 50')
	go run ./examples/demo $(ARGS)

$(staticcheck): tools/go.mod tools/go.sum
	@cd tools && GOWORK=off go build -o $@ honnef.co/go/tools/cmd/staticcheck && touch $@
