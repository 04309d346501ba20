#!/bin/sh
# go build, one layer by tar, put on the base by crane; no Dockerfile.
set -e
VERSION=$(cat VERSION)
make -s -f "$PEERS/Makefile" build
for name in $NAMES; do
    tag=$REGISTRY/$name:$VERSION
    for arch in amd64 arm64; do
        tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "_output/bin/$arch/linux" -cf "_output/$arch.tar" "$name"
        "$CRANE" append --platform "linux/$arch" -b "$BASE" -f "_output/$arch.tar" -t "$tag-$arch"
        "$CRANE" mutate "$tag-$arch" --entrypoint "/$name" -t "$tag-$arch"
    done
    "$CRANE" index append --docker-empty-base -m "$tag-amd64" -m "$tag-arm64" -t "$tag"
done
