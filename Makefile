# Two commands do everything on a fresh machine: "make run" and "make test".

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/kalpana
TOOLS := $(CACHE)/tools
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
GOFLAGS_BUILD := -tags nobadger,nomysql,nopgx -ldflags "-s -w -X github.com/kalpana-dev/kalpana/caddymodule.Version=$(VERSION)"

# Without the paths of this checkout in what is compiled, the next checkout need not compile it again.
export GOFLAGS := $(filter-out -trimpath,$(shell go env GOFLAGS)) -trimpath

# Pinned tools, kept outside the checkout.
GOLANGCI_LINT := $(TOOLS)/golangci-lint-v2.15.0
GOTESTSUM := $(TOOLS)/gotestsum-v1.13.0

WEB_SOURCES := $(shell find web -type f -not -path '*/node_modules/*' -not -path '*/dist/*' -not -path 'web/look/*' -not -name '*.go')

.PHONY: help run build web image engine test soak check lint bench clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

run: ## Install what is missing, build, start, and print a sign-in link
	@scripts/run.sh

build: web ## Build the gateway: build/kalpana
	@CGO_ENABLED=0 go build $(GOFLAGS_BUILD) -o build/kalpana ./cmd/kalpana

web: web/dist/index.html ## Build the console

web/dist/index.html: $(WEB_SOURCES) scripts/web.sh
	@scripts/web.sh

image: engine ## Build the workspace image
	@image/build.sh

engine: ## Make sure that a container engine answers
	@scripts/engine.sh

test: ## Install what is missing and run all tests
	@scripts/test.sh

soak: web ## Walk at random through faults and requests: SEED=… EVENTS=… WORKSPACES=…
	@go test ./test/soak -count=1 -timeout 60m -v -args -seed $(or $(SEED),0) -events $(or $(EVENTS),1000) -workspaces $(or $(WORKSPACES),20)

check: lint check-web ## The quick part: vet, lint, unit tests, console
	@go test $$(go list ./... | grep -v -e /test/ -e /orchestrator/docker -e /cmd/kalpana-build)

lint: web $(GOLANGCI_LINT)
	@go vet ./...
	@$(GOLANGCI_LINT) run --allow-parallel-runners ./...

.PHONY: check-web
check-web:
	@scripts/modules.sh
	@cd web && npm run --silent check

bench: build image ## Compare with Caddy's reverse_proxy, nginx, and docker start
	@scripts/deps.sh bench
	@scripts/modules.sh
	@go run ./bench

clean: ## Remove what the build made in this checkout
	@rm -rf build test/artifacts web/dist/assets web/dist/*.html web/dist/*.svg web/node_modules

$(GOLANGCI_LINT):
	@scripts/tool.sh github.com/golangci/golangci-lint/v2/cmd/golangci-lint v2.15.0 $@

$(GOTESTSUM):
	@scripts/tool.sh gotest.tools/gotestsum v1.13.0 $@

.PHONY: tools
tools: $(GOLANGCI_LINT) $(GOTESTSUM)

.PHONY: print-gotestsum
print-gotestsum:
	@echo $(GOTESTSUM)
