#!/usr/bin/env bash
# Runs the tests of docker-compose.yml, open and with roles. It needs docker and compose; where no
# docker daemon runs and this is root, one is started and ended again. Exit code 3
# says that none can run here.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
command -v docker >/dev/null || missing+=("docker (apt-get install docker.io)")
docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null ||
	missing+=("docker compose, or docker-compose (apt-get install docker-compose)")
if [ ${#missing[@]} != 0 ]; then
	printf 'compose-test needs %s\n' "${missing[@]}" >&2
	exit 1
fi

if ! docker info >/dev/null 2>&1; then
	command -v dockerd >/dev/null || { echo "compose-test: no docker daemon answers, and there is no dockerd to start" >&2; exit 1; }
	[ "$(id -u)" = 0 ] || { echo "compose-test: no docker daemon answers; start one" >&2; exit 1; }
	log="$(mktemp)"
	dockerd >"$log" 2>&1 &
	daemon=$!
	trap 'kill "$daemon"; wait "$daemon" || true; rm -f "$log"' EXIT
	for _ in $(seq 100); do
		docker info >/dev/null 2>&1 && break
		kill -0 "$daemon" 2>/dev/null || { tail -5 "$log" >&2; echo "compose-test: dockerd does not start" >&2; trap - EXIT; exit 3; }
		sleep 0.3
	done
fi

# The build uses the modules' source that this machine uses.
for setting in GOPROXY GOSUMDB GOPRIVATE GONOPROXY GONOSUMDB GOINSECURE; do
	export "$setting=$(go env "$setting")"
done
deploy/base-image.sh
go test -tags compose -run '^TestCompose' -v -count=1 -timeout 15m ./integration
