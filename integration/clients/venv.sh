#!/usr/bin/env bash
# Makes a virtual environment with the clients of requirements.txt, perf_analyzer and grpcurl,
# in the directory that is named. It is made anew only if what it is made of has changed.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
venv="${1:?usage: venv.sh DIRECTORY}"

made_of() { cat "$here"/*.txt "$here"/grpcurl.mod "$here"/venv.sh; }
if made_of | cmp -s - "$venv/made_of"; then exit 0; fi
command -v python3 >/dev/null || { echo "the clients need python3" >&2; exit 1; }
rm -rf "$venv"
python3 -m venv "$venv" || { echo "python3 cannot make a virtual environment (Debian: apt-get install python3-venv)" >&2; exit 1; }
pip=("$venv/bin/pip" --quiet --disable-pip-version-check)
"${pip[@]}" install --require-hashes --only-binary :all: -r "$here/installer.txt"
"$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --require-hashes --only-binary :all: -r "$here/requirements.txt"

# perf_analyzer is a file in a wheel for Linux on x86-64.
"${pip[@]}" download --no-deps --require-hashes --only-binary :all: --platform manylinux1_x86_64 --dest "$venv/wheel" -r "$here/perf_analyzer.txt"
"$venv/bin/python" - "$venv" <<'EOF'
import glob, os, sys, zipfile
venv = sys.argv[1]
with zipfile.ZipFile(glob.glob(venv + "/wheel/*.whl")[0]) as wheel:
    name = next(n for n in wheel.namelist() if n.endswith("/bin/perf_analyzer"))
    with open(venv + "/bin/perf_analyzer", "wb") as to:
        to.write(wheel.read(name))
os.chmod(venv + "/bin/perf_analyzer", 0o755)
EOF
rm -rf "$venv/wheel"
ldconfig -p | grep -q libb64.so.0d || echo "perf_analyzer needs libb64 (Debian: apt-get install libb64-0d)" >&2

go build -modfile="$here/grpcurl.mod" -o "$venv/bin/grpcurl" github.com/fullstorydev/grpcurl/cmd/grpcurl
made_of >"$venv/made_of"
