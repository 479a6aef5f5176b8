# SPDX-License-Identifier: Apache-2.0
# Housekeeping beside a run, and by itself after one; why steps ran.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<'E'
name: tidy
params: {n: 1}
steps:
  a: {run: 'echo ${{ params.n }} > ${{ outputs.o }}', outputs: {o: o}}
  b: {inputs: {d: d.txt}, run: 'cat ${{ steps.a.outputs.o }} ${{ inputs.d }} > ${{ outputs.o }}', outputs: {o: o}, publish: {o: out.txt}}
E
entries() { sqlite3 store/wf.db 'SELECT COUNT(*) FROM entries'; }
echo 1 >d.txt
try 0 wf run w.yaml
echo 2 >d.txt
try 0 wf run w.yaml
try 0 wf run w.yaml
try 0 wf run w.yaml -p n=2
try 0 wf run w.yaml -p n=2 --refresh=b
# why steps ran, and what that came to
try 0 wf cache stats --json
json '[.runs, .hits, .misses]' '[5,4,6]'
json .reasons '{"never ran":2,"input changed":1,"step changed":1,"param changed":1,"refreshed":1}'
json '[.steps[].step] | sort' '["a","b"]'
json '.steps[] | select(.step == "a") | [.hits, .misses]' '[3,2]'
json '.steps[] | select(.step == "b") | [.storing_seconds > 0, .saved_bytes > 0]' '[true,true]'
try 0 wf cache stats -w nosuch --json
json '[.runs, .hits, .hit_rate]' '[0,0,0]'
try 0 wf cache stats
says "param changed 1"
# what the newest success published stays, whatever the bounds
try 0 wf cache gc --unused-for 0s --json
json '[.entries_removed, .entries_kept]' '[5,1]'
rm -f out.txt
try 0 wf run w.yaml -p n=2
check_ran "a"
check "published again" test -s out.txt
# what a live run has reused stays, though none of the runs just before it tells of it
flow live.yaml <<'E'
name: live
params: {n: 1}
steps:
  a: {run: 'echo ${{ params.n }} > ${{ outputs.o }}', outputs: {o: o}}
  hold: {needs: a, run: 'touch "$HOLD/there"; while [ ! -e "$HOLD/go" ]; do sleep 0.01; done', pass_env: [HOLD], cache: false}
  z: {needs: hold, run: 'cp ${{ steps.a.outputs.o }} ${{ outputs.o }}; date +%N >> ${{ outputs.o }}', outputs: {o: o}}
E
export HOLD=$PWD/hold
mkdir hold
touch hold/go
for n in 1 2 3 4 5 6 7 8; do try 0 wf run live.yaml -p n=$n; done
sqlite3 store/wf.db "DELETE FROM runs WHERE workflow = 'live' AND params LIKE '%1%'"
rm hold/go hold/there
background run live.yaml -p n=1
check "it waits" wait_for 10 test -e hold/there
journalled() { [ "$(sqlite3 store/wf.db "SELECT COUNT(*) FROM events WHERE run = (SELECT MAX(id) FROM runs) AND instr(records, CAST('\"attempt\"' AS BLOB))")" -gt 0 ]; }
check "its hit is in the journal, before the start of what needs it" wait_for 10 journalled
before=$(entries)
wf cache gc --unused-for 0s --json >gc.json
check "entries went" test "$(jq .entries_removed gc.json)" -gt 0
touch hold/go
wait $pid
same "it went on with what it had reused" $? 0
wf show --json >shown.json
json '.counts | [.cached, .succeeded, .failed]' '[1,2,0]' shown.json
check_store
# by itself: when due, within the bounds of config.yaml
check "a store is marked by its first run" test -e store/tidied
printf 'cache:\n  max_entries: 1\n' >config.yaml
before=$(entries)
try 0 wf run live.yaml -p n=18 --config config.yaml
check "not due" test "$(entries)" -gt "$before"
sleep 0.1
touch -d '2 hours ago' store/tidied
try 0 wf run live.yaml -p n=18 --config config.yaml
check "due" test "$(entries)" -le 3
check "and marked" test -n "$(find store/tidied -mmin -5)"
check_store
printf 'cache:\n  max_size: none\n  unused_for: none\n' >config.yaml
touch -d '2 hours ago' store/tidied
try 0 wf run live.yaml -p n=19 --config config.yaml
check "switched off" test -z "$(find store/tidied -mmin -5)"
finish
