#!/bin/sh
# go build, then buildx bake on a BuildKit daemon: one target an image, both platforms, no provenance (its best figure).
set -e
VERSION=$(cat VERSION)
export VERSION
make -s -f "$PEERS/Makefile" build
"$BUILDX" bake --builder bench -f docker-bake.hcl --provenance=false --push
