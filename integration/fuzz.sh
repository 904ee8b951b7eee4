#!/usr/bin/env bash
# Runs every fuzz target of the repository for a while each (FUZZTIME, 20s).
set -euo pipefail
cd "$(dirname "$0")/.."
grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u | while read -r package; do
	grep -rhoE '^func Fuzz[A-Za-z0-9]+' "$package"/*_test.go | sed 's/^func //' | while read -r target; do
		echo "== $package $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-20s}" "$package"
	done
done
