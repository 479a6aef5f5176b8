#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the example's image localhost/wf-example with podman or docker. Needs the package busybox-static.
set -eu
cd "$(dirname "$0")"
engine=$(command -v podman || command -v docker) || {
    echo "build.sh: install podman (apt install podman) or docker first" >&2
    exit 1
}
[ -x /bin/busybox ] || {
    echo "build.sh: install busybox-static first (apt install busybox-static)" >&2
    exit 1
}
cp /bin/busybox busybox
trap 'rm -f busybox' EXIT
# podman stamps the hour of building into the image; without it equal content is an equal image.
case $engine in
*podman) "$engine" build -q --timestamp 0 --network none -t localhost/wf-example . ;;
*) "$engine" build -q --network none -t localhost/wf-example . ;;
esac
