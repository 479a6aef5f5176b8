#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Two CI jobs, each on a machine that knows nothing, once with the store carried over as a folder and once as an archive.
# What the provider does is done by hand here: `carry` is its cache. Usage: run.sh [FOLDER]; WF names the wf to use.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
wf=${WF:-wf}
work=${1:-$(mktemp -d)}
mkdir -p "$work"
work=$(cd "$work" && pwd)
export XDG_CONFIG_HOME="$work/none" # as on a fresh machine

# job NAME WAY: a checkout in a new folder, a new store, and what the job before left in the provider's cache.
job() {
    name=$1 way=$2
    machine=$work/$way-$name
    carried=$work/carry-$way
    mkdir -p "$machine" "$carried"
    cp "$here/pipeline.yaml" "$here/words.txt" "$machine"
    if [ "$name" = changed ]; then
        echo apple >>"$machine/words.txt"
    fi
    export WF_STORE="$machine/.wf-store"
    # restore
    case $way in
    store) if [ -e "$carried/store" ]; then cp -a "$carried/store" "$WF_STORE"; fi ;;
    archive) if [ -e "$carried/wf.tar.zst" ]; then "$wf" cache import "$carried/wf.tar.zst"; fi ;;
    esac
    # the job itself
    (cd "$machine" && "$wf" run pipeline.yaml --junit wf.xml)
    # save
    case $way in
    store)
        "$wf" cache gc --unused-for 14d --max-size 2GB
        rm -rf "$carried/store"
        cp -a "$WF_STORE" "$carried/store"
        ;;
    archive) "$wf" cache export "$carried/wf.tar.zst" ;;
    esac
}

for way in store archive; do
    for name in first second changed; do
        echo "--- $way: the $name job"
        job "$name" "$way"
    done
done
