#!/usr/bin/env bash
# Makes sure that the image the build begins from is there. Where no registry can
# be reached it makes a stand-in from this machine: a minimal Debian by
# debootstrap, with this machine's Go and its certificates in it.
set -euo pipefail

image="${GO_IMAGE:-golang:1.26-bookworm}"
suite=bookworm # the C library that the image brings
say() { echo "base image: $*" >&2; }
fail() { say "$*"; exit 1; }

docker image inspect "$image" >/dev/null 2>&1 && exit
say "pulling $image"
timeout 120 docker pull -q "$image" >/dev/null 2>&1 && exit
say "$image cannot be pulled; making a stand-in"

missing=()
command -v debootstrap >/dev/null || missing+=("debootstrap (apt-get install debootstrap)")
command -v go >/dev/null || missing+=("go")
[ "$(id -u)" = 0 ] || missing+=("root, for debootstrap")
[ ${#missing[@]} = 0 ] || fail "missing: ${missing[*]}"

goroot="$(go env GOROOT)"
certificates="${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}"
root="$(mktemp -d)"
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" >"$root.log" 2>&1 || {
	tail -5 "$root.log" >&2
	fail "debootstrap failed; its log is $root.log"
}
rm "$root.log"
chmod 755 "$root"
mkdir -p "$root/go"
cp -a "$goroot" "$root/usr/local/go"
if [ -r "$certificates" ]; then cp -L "$certificates" "$root/etc/ssl/certs/ca-certificates.crt"; fi
tar -C "$root" -c . | docker import \
	--change 'ENV PATH=/usr/local/go/bin:/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
	--change 'ENV GOPATH=/go GOTOOLCHAIN=local' \
	--change 'WORKDIR /go' \
	- "$image" >/dev/null
say "made $image of $(go version | cut -d' ' -f3)"
