# SPDX-License-Identifier: Apache-2.0
# wf cache verify: finds what is missing, damaged or off, says what, and mends it when asked.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<'E'
name: house
params: {n: 1}
steps:
  a: {run: 'd=${{ outputs.d }}; mkdir $d; seq 100 > $d/x; seq ${{ params.n }} 300 > $d/y; cp $d/y $d/z; echo log', outputs: {d: d}}
  b: {run: 'head -c 2000000 /dev/zero > ${{ outputs.o }}; cat ${{ steps.a.outputs.d }}/y >> ${{ outputs.o }}', outputs: {o: o}}
  c: {run: 'wc -c < ${{ steps.b.outputs.o }} > ${{ outputs.o }}', outputs: {o: o}}
E
sql() { sqlite3 store/wf.db "$1"; }
object() { local h; h=$(sha256sum | cut -c1-64); echo "store/objects/${h:0:2}/${h:2}"; }
try 0 wf cache verify --store nosuch
check "nothing is made" test ! -e nosuch
for n in 1 2; do try 0 wf run w.yaml -p n=$n; done
try 0 wf cache verify
try 0 wf cache verify --json
json '[.findings, .found, .entries, .complete]' '[[],0,6,true]'
try 0 wf cache verify latest --json
json .entries 3
try 2 wf cache verify ffffffff
# mends TEXT KINDS: these are found, nothing is changed by that; then they are repaired, and another look finds nothing
mends() {
    local what=$1 kinds=$2
    try 1 wf cache verify --json
    same "$what is found" "$(jq -r '[.findings[].kind] | unique | join(" ")' .out)" "$kinds"
    same "$what: nothing is repaired unasked" "$(jq '[.findings[] | select(.repaired)] | length' .out)" 0
    try 1 wf cache verify --repair --json
    same "$what is repaired" "$(jq -c '[.found > 0, .found == .repaired]' .out)" '[true,true]'
    try 0 wf cache verify
    check_store
}
again() { for n in 1 2; do try 0 wf run w.yaml -p n=$n -q; done; try 0 wf cache verify; }
# content: bytes changed with time and size kept, which a hit's stat cannot see
o=$(wf outputs latest b.o)
chmod u+w "$o"; printf x | dd of="$o" conv=notrunc status=none; touch -d '2000-01-01 00:00:00 UTC' "$o"; chmod 444 "$o"
mends "a damaged object" damaged
try 0 wf run w.yaml -p n=2
check_ran b
again
rm -f "$(wf outputs latest c.o)"
mends "a missing object" missing
again
# a file in a folder: every entry that names the folder goes, nothing else
rm -f "$(seq 100 | object)"
mends "a file of folders" missing
same "both entries went" "$(wf cache ls --json -s a | jq length)" 0
same "the others stay" "$(wf cache ls --json | jq length)" 4
again
o=$(wf outputs latest c.o)
: >short; chmod u+w "$o"; echo longer than it was >"$o"
mends "another size" damaged
again
o=$(wf outputs latest b.o)
chmod 644 "$o"; mends "another mode" unsealed
touch "$o"; mends "another time" unsealed
same "it is as it was" "$(stat -c '%a %Y' "$o")" "444 946684800"
try 0 wf run w.yaml -p n=2
check_ran ""
# what cannot be read is not known to be bad: no repair, no run takes anything away for it
chmod 755 "$T"
mkdir theirs; cp w.yaml theirs; [ "$(id -u)" != 0 ] || chown -R 65534:65534 theirs
theirs() { as_user env HOME="$T/theirs" XDG_STATE_HOME="$T/theirs/state" WF_STORE="$T/theirs/store" "$WF" "$@"; }
try 0 theirs run theirs/w.yaml
o=$(theirs outputs latest c.o)
as_user chmod 000 "$o"
try 4 theirs cache verify --json
json '[(.findings[] | .kind, .repaired), .found, .unreadable]' '["unreadable",false,1,1]'
try 4 theirs cache verify --repair
says 'cannot be read \(Permission denied\)'
says '1 could not be read'
try 0 theirs cache ls --json; json 'length' 3
as_user chmod 000 "$(dirname "$o")"
try 4 theirs cache verify --repair
theirs run theirs/w.yaml >.out 2>.err; says 'cannot be read'
try 0 theirs cache ls --json; json 'length >= 3' true
as_user chmod 700 "$(dirname "$o")"; as_user chmod 444 "$o"
try 0 theirs cache verify
try 0 theirs run theirs/w.yaml --json
same "all is reused" "$(jq -r 'select(.event == "cached") | .step' .out | sort | paste -sd,)" a,b,c
# rows
sql 'UPDATE objects SET refs = refs + 3 WHERE head = (SELECT MIN(head) FROM objects)'; mends "a count too high" count
sql 'UPDATE objects SET refs = refs - 1 WHERE refs > 1'; mends "counts too low" count
sql 'UPDATE works SET refs = refs + 1'; mends "works too high" count
n=$(sql 'SELECT COUNT(*), SUM(bytes) FROM objects')
sql 'DELETE FROM objects'; mends "rows of objects gone" "count totals"
same "the rows are back" "$(sql 'SELECT COUNT(*), SUM(bytes) FROM objects')" "$n"
sql 'INSERT INTO objects(head, refs, bytes) VALUES(12345, 1, 10)'; mends "a row too many" "count totals"
sql 'UPDATE totals SET bytes = bytes + 1'; mends "sums off" totals
sql 'INSERT INTO hits VALUES(99999, 1); INSERT INTO pins VALUES(99998, "x"); INSERT INTO identities VALUES(zeroblob(32), 99997)'
mends "rows that dangle" "dangling totals"
sql 'DELETE FROM hits WHERE entry = (SELECT MAX(id) FROM entries)'; mends "an entry without its hit" "dangling totals"
sql 'UPDATE entries SET key = zeroblob(32) WHERE id = (SELECT MAX(id) FROM entries)'; mends "another key" action
again
sql 'UPDATE entries SET result = x'\''00ff'\'' WHERE id = (SELECT MAX(id) FROM entries)'
try 0 wf plan w.yaml -p n=2 --json
json '[.steps[] | select(.why | contains("damaged"))] | length' 1
says_not 'sha256:000000'
try 1 wf cache verify --json
same "a result that is none" "$(jq -r '[.findings[].kind] | contains(["result"])' .out)" true
try 1 wf cache verify --repair
try 0 wf cache verify
again
sql 'UPDATE works SET json = CAST(json || x'\''20'\'' AS BLOB) WHERE head = (SELECT MIN(head) FROM works)'; mends "a work altered" action
again
# beside running workflows, and while entries are removed
for n in 3 4 5 6; do "$WF" run w.yaml -p n=$n -q & done >/dev/null 2>&1
for i in 1 2 3 4; do wf cache verify --json >v.json; same "nothing is found beside runs" "$? $(jq -c .findings v.json)" "0 []"; done
wait
"$WF" cache rm -w house -y >/dev/null & pid=$!
wf cache verify --json >v.json; same "nor beside removals" "$? $(jq -c .findings v.json)" "0 []"
wait $pid
again
# killed in the middle of a repair, then repaired; two repairs at once exclude one another
rm -f "$(wf outputs latest b.o)" "$(wf outputs latest c.o)"
( WF_FAILPOINT=verify.drop:kill:2 "$WF" cache verify --repair ) >.out 2>.err; same killed $? 137
try 1 wf cache verify --repair
try 0 wf cache verify
sql 'UPDATE objects SET refs = refs + 1'
( WF_FAILPOINT=verify.mend:kill:2 "$WF" cache verify --repair ) >.out 2>.err; same killed $? 137
"$WF" cache verify --repair >one 2>&1 & pid=$!
wf cache verify --repair >two 2>&1; two=$?
wait $pid; one=$?
check "no repair is done twice ($one $two)" test "$one $two" = "1 4" -o "$one $two" = "4 1" -o "$one $two" = "1 0" -o "$one $two" = "0 1"
try 0 wf cache verify
check_store
finish
