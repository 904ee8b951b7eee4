#!/usr/bin/env bash
# Builds the version of docker compose that the tests run, from its Go module, as a plugin of
# docker for this user: where no package of it is to be had. It does nothing where docker has
# compose already.
set -euo pipefail

version=v2.40.3
module=github.com/docker/compose/v2
docker compose version >/dev/null 2>&1 && exit 0
plugins="${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins"
work="$(mktemp -d)"
trap 'chmod -R u+w "$work" && rm -rf "$work"' EXIT
source="$(cd "$work" && go mod download -json "$module@$version" | sed -n 's/^[[:space:]]*"Dir": "\(.*\)",*$/\1/p')"
[ -n "$source" ] || { echo "compose-v2: $module@$version could not be downloaded" >&2; exit 1; }
cp -r "$source" "$work/compose" # the module cache is read-only
chmod -R u+w "$work/compose"
mkdir -p "$plugins"
echo "building docker compose $version (about a minute and a half)"
(cd "$work/compose" && go build -trimpath -ldflags "-X $module/internal.Version=$version" -o "$plugins/docker-compose" ./cmd)
