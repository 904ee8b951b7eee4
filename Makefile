.DEFAULT_GOAL := help
GO ?= go

.PHONY: help
help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: test
test: ## Run every test
	$(GO) test ./...

.PHONY: race
race: ## Run the pure packages' tests under the race detector
	$(GO) test -race ./pkg/protocol/...

.PHONY: lint
lint: ## Check formatting and vet
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "run make fmt"; exit 1; }
	$(GO) vet ./...

.PHONY: fmt
fmt: ## Format the source
	gofmt -w .
