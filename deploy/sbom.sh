#!/usr/bin/env bash
# Writes bin/sbom.json, in CycloneDX: the modules in bin/clockwork, each with its
# version and sum, and the files that clockwork fetch downloads, with theirs.
set -euo pipefail
cd "$(dirname "$0")/.."
list="$(mktemp)"
trap 'rm -f "$list"' EXIT
go tool -modfile=deploy/tools.mod cyclonedx-gomod bin -json -std -output "$list" bin/clockwork
go run ./deploy/sbom <"$list" >bin/sbom.json
echo "sbom: bin/sbom.json names $(grep -c '"purl"' bin/sbom.json) modules and packages of bin/clockwork $(sha256sum bin/clockwork | cut -d' ' -f1)"
