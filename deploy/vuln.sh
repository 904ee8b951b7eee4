#!/usr/bin/env bash
# Looks for known vulnerabilities in the code that the binary can reach, and
# writes bin/vuln.txt. Exit code 0: none is known; 1: some are; 3: the database of
# vulnerabilities cannot be read, so nothing is known. GOVULNDB names another one:
# https://... or file:///...
set -uo pipefail
cd "$(dirname "$0")/.."
mkdir -p bin
database=()
[ -z "${GOVULNDB:-}" ] || database=(-db "$GOVULNDB")
go tool -modfile=deploy/tools.mod govulncheck "${database[@]}" ./... >bin/vuln.txt 2>&1
code=$?
cat bin/vuln.txt
case $code in
0) exit 0 ;;
3) exit 1 ;; # govulncheck's own code for what it found
esac
if grep -q 'fetching vulnerabilities' bin/vuln.txt; then
	echo "vuln: NOT CHECKED: the database cannot be read; set GOVULNDB to one that can" >&2
	exit 3
fi
exit "$code"
