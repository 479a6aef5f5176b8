#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the example from nothing: installs packages, makes containers work, builds wf, the programs and
# their image, runs pipeline.yaml and prints the final table. What is there already is not done again.
#
# Usage: run.sh [serve] [options of `wf run`]
#   run.sh -p trees=200     the forest with other settings
#   run.sh -p image=        as host processes, without containers
#   run.sh serve            runs serve.yaml: the models answer while others are trained
#   run.sh serve --keep-serving    and goes on answering until Ctrl-C
set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
wf=$top/build/release/cli/wf
image=localhost/wf-fashion-mnist

say() { printf 'fashion-mnist: %s\n' "$*" >&2; }

file=pipeline.yaml
if [ "${1-}" = serve ]; then
    file=serve.yaml
    shift
fi
in_containers=yes json=no previous=
for option in "$@"; do
    case $previous$option in
    -h | --help)
        sed -n '3,10s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
    -pimage=) in_containers=no ;;
    --json) json=yes ;;
    esac
    previous=
    [ "$option" != -p ] || previous=-p
done

# configure_and_build SOURCE BUILD [CMAKE OPTIONS]: the output is shown only if it fails.
build() {
    source=$1 folder=$2
    shift 2
    mkdir -p "$folder"
    {
        [ -f "$folder/CMakeCache.txt" ] || (cd "$source" && cmake "$@")
        cmake --build "$folder"
    } >"$folder/build.log" 2>&1 || {
        tail -n 40 "$folder/build.log" >&2
        say "building $source failed; all of it: $folder/build.log"
        exit 1
    }
}

# The image carries the digest of what it was built from.
build_image() {
    content=$(cd "$here" && cat Containerfile build/bin/* | sha256sum | cut -d ' ' -f 1)
    label='{{index .Config.Labels "wf.content"}}'
    if [ "$($engine image inspect --format "$label" "$image" 2>/dev/null || true)" = "$content" ]; then
        return 0
    fi
    say "building the image $image"
    timestamp=
    # Without the hour of building, equal programs give an equal image.
    [ "$engine" != podman ] || timestamp='--timestamp 0'
    # shellcheck disable=SC2086
    $engine build -q $timestamp --label "wf.content=$content" -t "$image" -f "$here/Containerfile" "$here" >/dev/null
}
image_runs() { $engine run --rm --network none "$image" fashion-report --help >/dev/null 2>&1; }

"$top/scripts/setup-build.sh" --example >&2

[ -x "$wf" ] || say "building wf"
build "$top" "$top/build/release" --preset release -G Ninja -DWF_TESTS=OFF
[ -d "$here/build/bin" ] || say "building the programs of the steps"
build "$here" "$here/build" -S . -B build -G Ninja

if [ $in_containers = yes ]; then
    engine=podman
    command -v podman >/dev/null || ! docker version >/dev/null 2>&1 || engine=docker
    if ! { command -v $engine >/dev/null && build_image && image_runs; }; then
        "$top/scripts/setup-containers.sh" >&2
        build_image
    fi
fi

PATH=$here/build/bin:$PATH
export PATH
status=0
"$wf" run "$here/$file" "$@" || status=$?
[ $status = 0 ] || exit $status

table=$("$wf" outputs latest report.table 2>/dev/null || true)
if [ $json = no ] && [ -f "$table" ]; then
    echo
    cat "$table"
fi
