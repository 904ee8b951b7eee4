.DEFAULT_GOAL := help
GO ?= go

# What make sim compares; all of them take three times as long.
POLICIES ?= clockwork,faithful

# How often make matrix runs each cell, and how long make soak serves.
RUNS ?= 3
SOAK ?= 20m

.PHONY: help
help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: demo
demo: build ## Fetch a trained model and show the whole stack at work
	./bin/clockwork demo --backend onnx

.PHONY: run
run: build ## Run the whole stack with emulated GPUs
	./bin/clockwork up

.PHONY: build
build: ## Build the binary into bin/
	@echo "building bin/clockwork: some seconds, the first time a minute or two; each package is named as it is done"
	CGO_ENABLED=0 $(GO) build -v -trimpath -o bin/clockwork ./cmd/clockwork

.PHONY: test
test: ## Run every test
	@echo "building everything, then testing each package: about 8 min on two cores, the first time some more"
	$(GO) build -v ./...
	$(GO) test -timeout 20m ./...

.PHONY: race
race: ## Run what decides, the services, and their failovers and reconnects under the race detector
	$(GO) test -race -short ./pkg/protocol/... ./pkg/wire ./pkg/core/... ./pkg/lab/sim ./pkg/lab/replay ./pkg/adapter/nats ./services/...
	$(GO) test -race -count=1 -run 'InOneProcess|WhateverConnectionBreaks' ./integration
	$(GO) test -race -count=1 -run 'ThatIsMade' ./pkg/adapter/backend/onnx

.PHONY: integration
integration: ## Run the whole-system tests alone, with every test named
	$(GO) test -v -count=1 ./integration/...

.PHONY: clients
clients: ## Install the clients that people have into bin/clients (needs python3), and run them against a stack
	./integration/clients/venv.sh bin/clients
	$(GO) test -v -count=1 -run 'TestTheClientsThatPeopleHave|TestExamples' ./integration -clients $(CURDIR)/bin/clients

.PHONY: page
page: ## Use the gateway's page in a headless Chromium (Debian's package chromium), over real models
	$(GO) test -v -count=1 -run TestThePageInABrowser ./integration -browser "$$(command -v chromium || command -v chromium-browser)"

.PHONY: matrix
matrix: ## Run every cell of the kill matrix RUNS times (each 6 min), and write the table of docs/guarantees.md
	@mkdir -p bin && rm -f bin/matrix.jsonl
	$(GO) test -v -count=$(RUNS) -timeout 3h -run TestKillMatrix ./integration -matrix -record $(CURDIR)/bin/matrix.jsonl
	$(GO) run ./integration/figures/table bin/matrix.jsonl docs/guarantees.md

.PHONY: scale
scale: ## Measure what three more workers add to one under full load (1 min)
	$(GO) test -v -count=1 -run TestScaleOneToFour ./integration -scale

.PHONY: starts
starts: ## Kill a stack and start it again on what it kept, 200 times (10 min)
	$(GO) test -v -count=1 -timeout 1h -run TestWhatAProcessLeft ./integration -starts 200

.PHONY: models
models: ## Load 65,536 models on brokers of 1 and 8 MiB, ask for all of it, kill each service (half an hour)
	$(GO) test -v -count=1 -timeout 3h -run TestTheMostModels ./integration -models 65536

.PHONY: soak
soak: ## Serve half load for SOAK, and compare the memory of each process
	$(GO) test -v -count=1 -timeout 3h -run TestSoak ./integration -soak $(SOAK)

.PHONY: hostile
hostile: ## Flood a stack with bombs for 30 s beside a good client, with roles and without
	$(GO) test -v -count=1 -timeout 10m -run TestAHostileClient ./integration -hostile

.PHONY: planted
planted: ## Plant faults of our own, each of which the random worlds must find
	$(GO) test -tags planted -run TestPlantedBugs -count=1 ./pkg/core/sched ./pkg/core/measure ./pkg/core/work ./pkg/core/frontdoor ./pkg/core/startup

.PHONY: fuzz
fuzz: ## Fuzz whatever reads data from outside, FUZZTIME (60s) for each target; TARGET=NAME for some
	./integration/fuzz.sh $(TARGET)

.PHONY: vuln
vuln: ## Look for known vulnerabilities in what the binary can reach
	./deploy/vuln.sh

.PHONY: sbom
sbom: build ## List what the binary is made of, with sums, in bin/sbom.json
	./deploy/sbom.sh

.PHONY: repro
repro: ## Build twice, from two directories, and compare bit for bit
	./deploy/repro.sh

.PHONY: bench
bench: ## Run the packages' benchmarks
	$(GO) test -run '^$$' -bench . -benchtime 1s ./pkg/...

.PHONY: bench-bus
bench-bus: build ## Measure the live path beside a bare ring of NATS hops
	$(GO) build -o bin/busbench ./integration/busbench
	./bin/busbench
	./bin/busbench -binary bin/clockwork

# Where bench-peers keeps environments, models and results: 2.5 GiB.
PEERS_DIR ?= bin/peers-lab

.PHONY: bench-peers
bench-peers: build ## Measure beside other inference servers, with real models (1 h); docs/peers.md says how
	./integration/peers/environments.sh $(PEERS_DIR)
	$(GO) build -o bin/peers ./integration/peers
	./bin/peers -dir $(PEERS_DIR) -write docs/performance.md bin/clockwork

.PHONY: sim
sim: build ## Rerun the paper's experiments, shortened, in some minutes; pages in bin/paper-6.*.html
	@for section in 6.1 6.2 6.3 6.4 6.5 6.6; do \
		./bin/clockwork sim paper-$$section --policy $(POLICIES) --html bin/paper-$$section.html || exit 1; echo; done

# The images' build uses the source of modules that this machine uses.
BUILD = docker build -f deploy/Dockerfile $(foreach setting,GOPROXY GOSUMDB GOPRIVATE GONOPROXY GONOSUMDB GOINSECURE,--build-arg "$(setting)=$$($(GO) env $(setting))")

.PHONY: images
images: base-image ## Build the container images
	$(BUILD) --target clockwork -t clockwork .
	$(BUILD) --target onnx -t clockwork-onnx .

.PHONY: base-image
base-image: ## Pull the Go image, or make a stand-in where no registry is reached
	./deploy/base-image.sh

.PHONY: compose-test
compose-test: ## Bring the stack up with compose, scale it under load; again with roles
	./deploy/compose-test.sh

# Pinned in deploy/tools.mod.
TOOL = $(GO) tool -modfile=deploy/tools.mod

.PHONY: lint
lint: ## Check formatting, vet, the tree's walls, staticcheck, dead code, and that go.mod is tidy
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "run make fmt"; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags static ./...
	$(GO) vet -tags planted ./pkg/core/...
	$(GO) test -tags planted -run TestPlantedPlaces ./pkg/core/...
	$(GO) test ./pkg/testkit/walls
	$(TOOL) staticcheck ./...
	@dead="$$($(TOOL) deadcode -test ./...)" || exit 1; test -z "$$dead" || { echo "$$dead"; exit 1; }
	$(GO) mod tidy -diff

.PHONY: size
size: ## Print how large each wing of the tree is
	@$(GO) run ./integration/size

.PHONY: proto
proto: ## Generate the messages of gRPC (needs protoc, Debian's protobuf-compiler)
	@mkdir -p bin && $(GO) build -o bin/protoc-gen-go google.golang.org/protobuf/cmd/protoc-gen-go
	protoc --plugin=bin/protoc-gen-go --go_out=. --go_opt=paths=source_relative services/gateway/grpcapi/oippb/inference.proto

.PHONY: fmt
fmt: ## Format the source
	gofmt -w .
