# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Killed while cleaning up: what is kept is whole, what was removed is simply run again.
. "$(dirname "$0")/common.sh"
verified() {
    check_store
    same "$1: whole, and counted right" "$(wf cache verify --json | jq -c .findings)" '[]'
}
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
    # What is not removed for good has all that it had, and what it names is counted right when it goes at last.
    verified "$point"
    try 0 wf cache gc --max-entries 3
    verified "$point, gone on with"
    converges "$point" 1
    converges "$point" 3
done
for point in objects.unlink:kill objects.unlink:kill:4 remove.entry:kill:3 writer.commit:kill writer.committed:kill; do
    rm -rf "$WF_STORE" all.txt
    cp -a "$T/kept" "$WF_STORE"
    sleep 0.1
    if killed_at "$point" cache rm -w w --yes; then
        echo "# rm killed at $point"
    else
        fail "$point is not reached"
    fi
    verified "rm, $point"
    try 0 wf cache rm -w w --yes
    verified "rm, $point, gone on with"
    try 0 wf cache gc
    same "rm, $point: nothing is left" "$(find "$WF_STORE/objects" -type f | wc -l)" 0
    converges "rm, $point" 2
done
# Many at a time: their rows first, what they named later.
for point in gc.remove:kill:3 gc.walk:kill gc.release:kill gc.release:kill:9 gc.queue:kill gc.empty:kill writer.commit:kill:2 writer.committed:kill:2; do
    rm -rf "$WF_STORE" all.txt
    cp -a "$T/kept" "$WF_STORE"
    if killed_at "$point" cache gc --unused-for 1ms; then
        echo "# killed at $point"
    else
        fail "$point is not reached"
    fi
    verified "$point"
    try 0 wf cache gc --unused-for 1ms
    same "$point: nothing is left to be cleared" "$(sqlite3 "$WF_STORE/wf.db" 'SELECT COUNT(*) FROM given_up')" 0
    same "$point: the sums are right" "$(sqlite3 "$WF_STORE/wf.db" 'SELECT entries = (SELECT COUNT(*) FROM entries) AND objects = (SELECT COUNT(*) FROM objects) FROM totals')" 1
    check_store
    converges "$point" 2
done
# By itself after a run, and the history.
rm -rf "$WF_STORE" all.txt
cp -a "$T/kept" "$WF_STORE"
for n in $(seq 22); do try 0 wf run w.yaml -q -p n=3; done
rm -rf "$T/kept"
cp -a "$WF_STORE" "$T/kept"
for point in gc.events gc.run gc.tidy; do
    rm -rf "$WF_STORE" all.txt
    cp -a "$T/kept" "$WF_STORE"
    touch -d '2 hours ago' "$WF_STORE/tidied"
    if [ $point = gc.tidy ]; then
        killed_at gc.tidy:kill run w.yaml -q -p n=3 || fail "$point is not reached"
    else
        killed_at $point:kill cache gc --runs-for 1ms || fail "$point is not reached"
    fi
    check_store
    try 0 wf cache gc --runs-for 1ms
    same "$point: twenty runs are left" "$(wf runs --json -n 100 | jq length)" 20
    same "$point: and no events of others" "$(sqlite3 "$WF_STORE/wf.db" 'SELECT COUNT(*) FROM events WHERE run NOT IN (SELECT id FROM runs)')" 0
    check_store
    converges $point 3
done
finish
