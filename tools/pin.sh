#!/bin/sh
# Pins the image's base by the digest that it has now, for all architectures, and Debian's packages by the day before.
# Arguments: the base with its tag, and the Dockerfile.
set -eu
base=${1:-docker.io/library/python:3.11-slim-bookworm}
file=${2:-Dockerfile}
raw=$(mktemp)
trap 'rm -f "$raw"' EXIT
skopeo inspect --raw "docker://$base" >"$raw"
digest=sha256:$(sha256sum <"$raw" | cut -d ' ' -f 1)
day=$(date -u -d yesterday +%Y%m%dT000000Z)
sed -i "s|^ARG BASE=.*|ARG BASE=${base%:*}@$digest|; s|^ARG SNAPSHOT=.*|ARG SNAPSHOT=$day|" "$file"
grep -E '^ARG (BASE|SNAPSHOT)=' "$file"
