#!/usr/bin/env bash
# Makes what bin/peers needs beside the clockwork binary, once: a virtual environment for each server in
# DIRECTORY/env-NAME, from its pinned requirements, and the models. usage: environments.sh DIRECTORY
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
directory=${1:?usage: environments.sh DIRECTORY}
mkdir -p "$directory"

# Triton's package holds a stub for this version of Python among others.
python=${PEERS_PYTHON:-python3.11}

for file in "$here"/requirements/*.txt; do
	name=$(basename "$file" .txt)
	environment=$directory/env-$name
	cmp -s "$file" "$environment/made-of" && continue
	echo "peers: making $environment"
	rm -rf "$environment"
	"$python" -m venv "$environment"
	"$environment/bin/pip" install -q --no-input --no-deps -r "$file"
	cp "$file" "$environment/made-of"
done

[ -e "$directory/models/m12/1/model.onnx" ] || "$directory/env-models/bin/python" "$here/models.py" "$directory/models"
