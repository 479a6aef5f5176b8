# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Killed while running, at the first and later passes of each point.
. "$(dirname "$0")/common.sh"
for point in store.folders store.prepared writer.begin writer.apply writer.commit writer.committed objects.rename objects.renamed objects.tree entries.insert entries.inserted claims.taken; do
    for pass in 1 2 4; do
        case $point:$pass in store.*:[24] | objects.tree:[24]) continue ;; esac
        rm -rf "$WF_STORE" all.txt
        check "$point:$pass is reached" killed_at "$point:kill:$pass" run w.yaml
        case $point in store.*) try 0 timeout 60 "$WF" run w.yaml -q ;; esac
        converges "$point:$pass" 1
    done
done
finish
