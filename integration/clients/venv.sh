#!/usr/bin/env bash
# Makes a virtual environment with the clients of requirements.txt, in the directory that is
# named. It is made anew only if requirements.txt has changed.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
venv="${1:?usage: venv.sh DIRECTORY}"

if cmp -s "$here/requirements.txt" "$venv/requirements.txt"; then exit 0; fi
command -v python3 >/dev/null || { echo "the clients need python3" >&2; exit 1; }
rm -rf "$venv"
python3 -m venv "$venv" || { echo "python3 cannot make a virtual environment (Debian: apt-get install python3-venv)" >&2; exit 1; }
"$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r "$here/requirements.txt"
cp "$here/requirements.txt" "$venv/requirements.txt"
