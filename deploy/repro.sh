#!/usr/bin/env bash
# Builds the binary from two copies of the tree, in directories of different
# names, the second without anything that was compiled before, and compares the
# two bit for bit.
set -euo pipefail
cd "$(dirname "$0")/.."
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
for copy in one another/further/down; do
	mkdir -p "$work/$copy"
	tar --exclude=./bin --exclude=./.git -c . | tar -x -C "$work/$copy"
done
make -s -C "$work/one" build
GOCACHE="$work/cache" make -s -C "$work/another/further/down" build
one="$work/one/bin/clockwork" another="$work/another/further/down/bin/clockwork"
sum="$(sha256sum "$one" | cut -d' ' -f1)"
cmp "$one" "$another" || {
	echo "repro: FAILED: two builds of one tree differ: $sum and $(sha256sum "$another" | cut -d' ' -f1)" >&2
	exit 1
}
echo "repro: two builds are the same, bit for bit: sha256 $sum, $(go env GOVERSION), $(go env GOOS)/$(go env GOARCH)"
