#!/bin/sh
# Makes cosign/: keys of cosign 3, one without a password and one with "hunter2". They protect nothing.
set -e
cd "$(dirname "$0")/cosign"
COSIGN_PASSWORD= cosign generate-key-pair --output-key-prefix empty
COSIGN_PASSWORD=hunter2 cosign generate-key-pair --output-key-prefix locked
