#!/usr/bin/env bash
# Runs every fuzz target of the repository for FUZZTIME (60s) each, or those whose
# names match an argument, and prints a line for each. It ends at the first that
# finds something; what it found then lies in the package's testdata/fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."
time="${FUZZTIME:-60s}"
wanted="${1:-.}"

log="$(mktemp)"
trap 'rm -f "$log"' EXIT
targets=0
while IFS=: read -r file target; do
	[[ "$target" =~ $wanted ]] || continue
	package="./$(dirname "${file#./}")"
	go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -parallel 2 "$package" >"$log" 2>&1 || found=yes
	# The end of the time may itself read as a failure; of an input it says which file.
	if [ "${found:-}" ] && grep -q 'context deadline exceeded' "$log" && ! grep -qE 'Failing input|panic' "$log"; then found=""; fi
	if [ "${found:-}" ]; then
		cat "$log"
		echo "fuzz: FAILED: $target of $package" >&2
		exit 1
	fi
	executions="$(grep -oE 'execs: [0-9]+' "$log" | tail -1 || true)"
	interesting="$(grep -oE 'total: [0-9]+' "$log" | tail -1 || true)"
	printf '%-28s %-26s %s executions, %s inputs kept\n' "$target" "$package" "${executions#execs: }" "${interesting#total: }"
	targets=$((targets + 1))
done < <(grep -rHoE '^func Fuzz[A-Za-z0-9]+' --include='*_test.go' . | sed 's/:func /:/' | sort)
[ "$targets" -gt 0 ] || { echo "fuzz: no target is called like $wanted" >&2; exit 2; }
echo "fuzz: $targets targets, $time each: nothing found"
