# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Killed over a store that holds earlier results: they stay good.
. "$(dirname "$0")/common.sh"
try 0 wf run w.yaml -q
cp -a "$WF_STORE" "$T/kept"
for point in writer.apply writer.commit writer.committed objects.rename objects.renamed entries.inserted; do
    rm -rf "$WF_STORE" all.txt
    cp -a "$T/kept" "$WF_STORE"
    if killed_at "$point:kill" run w.yaml -p n=2; then
        echo "# killed at $point"
    else
        fail "$point is not reached"
    fi
    try 0 timeout 60 "$WF" run w.yaml -q -p n=1
    check_counts '{"cached":8}'
    converges "$point" 2
done
finish
