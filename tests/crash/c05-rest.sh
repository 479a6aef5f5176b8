# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Killed at the points that only commands about the store pass, and those of a run's end: the store is whole each time, and the next run right.
. "$(dirname "$0")/common.sh"
sql() { sqlite3 "$WF_STORE/wf.db" "$1"; }
fresh() {
    rm -rf "$WF_STORE" all.txt
    cp -a "$T/kept" "$WF_STORE"
}
key_of() { wf show --json | jq -r --arg s "$1" '.steps[] | select(.name == $s) | .cache.key | ltrimstr("sha256:")'; }
# at POINT COMMAND…: killed there; the store is whole, and both old results and new ones come out right
at() {
    local point=$1
    shift
    if killed_at "$point:kill" "$@"; then ok "killed at $point"; else fail "$point is not reached by $*"; fi
    check_store
}
# settled POINT: what the killed one left is mended, or was nothing
settled() {
    wf cache verify --repair >"$T/.out" 2>"$T/.err" || echo "# $1: something was mended"
    try 0 wf cache verify
    converges "$1" 1
    converges "$1" 3
}
for n in 1 2; do try 0 wf run w.yaml -q -p n=$n; done
cp -a "$WF_STORE" "$T/kept"

# --- the end of a run ---
fresh
at store.discard run w.yaml -q -p n=3
settled store.discard
fresh
touch -d '2 hours ago' "$WF_STORE/synced"
at store.sync run w.yaml -q -p n=3
settled store.sync
fresh
{ echo 'steps:'; for i in $(seq 400); do echo "  s$i: {run: 'echo $i > \${{ outputs.o }}', outputs: {o: o}}"; done; } >many.yaml
at writer.checkpoint run many.yaml -q # its log is too long to be left behind
try 0 wf run many.yaml -q
settled writer.checkpoint

# --- entries named, looked over and taken away ---
fresh
k=$(key_of f)
at pins.applied cache pin "$k"
same "not pinned" "$(wf cache ls --pinned --json | jq length)" 0
settled pins.applied
fresh
at remove.entry cache rm -s m --yes
settled remove.entry
fresh
f=$(wf outputs latest d.d)
rm -f "$f" "$(wf outputs latest f.o)"
at verify.drop cache verify --repair
settled verify.drop
fresh
sql 'UPDATE objects SET refs = refs + 1'
at verify.mend cache verify --repair
settled verify.mend
sed 's|> \${{ outputs.d }}/b|> ${{ outputs.d }}/b # as before|; 1i name: w' w.yaml >like.yaml
fresh
at adopt.stored cache adopt like.yaml d --yes -p n=2
settled adopt.stored

# --- housekeeping where it is rare ---
fresh
sql "UPDATE batches SET boot = 'another', synced = 0" # as after a power cut: each object is read before it counts
at gc.verified cache gc
settled gc.verified
fresh
mkdir -p "$WF_STORE/work/01M00000000000000000000000/left"
at gc.folder cache gc
try 0 wf cache gc
check "the folder of a killed run goes" test ! -e "$WF_STORE/work/01M00000000000000000000000"
settled gc.folder
fresh
sql "CREATE TABLE junk(x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30) INSERT INTO junk SELECT zeroblob(1000000) FROM n; DROP TABLE junk"
at gc.space cache gc
settled gc.space
fresh
sql "UPDATE totals SET entries = 300000" # it believes to be too large to be walked at once
touch -d '2 hours ago' "$WF_STORE/tidied"
at gc.round run w.yaml -q -p n=2
settled gc.round

# --- archives ---
fresh
for point in archive.object archive.rename; do
    at $point cache export out.tar.zst
    check "$point: no half archive has its name" test ! -e out.tar.zst
done
try 0 wf cache export out.tar.zst
for point in archive.sealed archive.entry; do
    rm -rf "$WF_STORE"
    at $point cache import out.tar.zst
    try 0 wf cache import out.tar.zst
    try 0 wf run w.yaml -q -p n=2
    check_counts '{"cached":8}'
    settled $point
done

# --- a shared cache ---
python3 "$WF_SOURCE/tests/servers/liar.py" "$T/server" >/dev/null 2>&1 &
server=$!
trap 'kill $server 2>/dev/null; cleanup' EXIT
mkdir -p "$T/server/cache/ac" "$T/server/cache/cas"
echo honest >"$T/server/mode"
check "the server answers" wait_for 10 test -s "$T/server/port"
url="http://127.0.0.1:$(cat "$T/server/port")"
sed 's/^steps:/defaults: {cache: {shared: true}}\nsteps:/; s/, cache: {policy: content}//' w.yaml >s.yaml
fresh
at remote.sent run s.yaml -q -p n=4 --remote "$url"
settled remote.sent
try 0 wf run s.yaml -q -p n=4 --refresh --remote "$url"
for point in remote.fetching remote.fetched remote.insert; do
    rm -rf "$WF_STORE" all.txt
    at $point run s.yaml -q -p n=4 --remote "$url"
    try 0 wf run s.yaml -q -p n=4 --remote "$url"
    same "$point: the right result" "$(cat all.txt)" "$(want 4)"
    settled $point
done
finish
