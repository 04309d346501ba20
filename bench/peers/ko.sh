#!/bin/sh
# ko wants its packages one by one.
set -e
VERSION=$(cat VERSION)
export VERSION
packages=
for name in $NAMES; do packages="$packages ./cmd/$name"; done
# shellcheck disable=SC2086  # words
exec "$KO" build --sbom=none --platform=linux/amd64,linux/arm64 --base-import-paths -t "$VERSION" $packages
