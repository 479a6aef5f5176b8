# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Killed while cleaning up: what is kept is whole, what was removed is simply run again.
. "$(dirname "$0")/common.sh"
for n in 1 2 3; do try 0 wf run w.yaml -q -p n=$n; done
mkdir -p "$WF_STORE/objects/ab"
head -c 10 /dev/zero >"$T/stray"
h=$(sha256sum <"$T/stray" | cut -c1-64)
mkdir -p "$WF_STORE/objects/${h%"${h#??}"}"
cp "$T/stray" "$WF_STORE/objects/${h%"${h#??}"}/${h#??}"
sleep 0.2
cp -a "$WF_STORE" "$T/kept"
for point in gc.fold gc.remove objects.unlink gc.stray writer.commit writer.committed; do
    rm -rf "$WF_STORE" all.txt
    cp -a "$T/kept" "$WF_STORE"
    sleep 0.1
    if killed_at "$point:kill" cache gc --max-entries 3; then
        echo "# killed at $point"
    else
        fail "$point is not reached"
    fi
    try 0 wf cache gc --max-entries 3
    check_store
    converges "$point" 1
    converges "$point" 3
done
finish
