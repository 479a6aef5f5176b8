# SPDX-License-Identifier: Apache-2.0
# wf cache pin, unpin, rm: what is pinned stays, what is in use stays, what is named goes.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<'E'
name: house
params: {n: 1}
steps:
  a: {run: 'head -c 1000 /dev/zero > ${{ outputs.o }}; echo ${{ params.n }} >> ${{ outputs.o }}', outputs: {o: o}}
  b: {run: 'cp ${{ steps.a.outputs.o }} ${{ outputs.o }}; echo b >> ${{ outputs.o }}', outputs: {o: o}}
E
sed 's/name: house/name: barn/; s/echo b/echo barn/' w.yaml >v.yaml
for n in 1 2 3; do try 0 wf run w.yaml -p n=$n; done
try 0 wf run v.yaml -p n=9
entries() { wf cache ls --json "$@" | jq length; }
key() { wf cache ls --json -w "${2-house}" -s "$1" | jq -r '.[0].key'; }
# pin by key and by run, with a reason; shown by ls
try 0 wf cache pin "$(key b)" --reason 'the model of March' --json
json . '{"pinned":1,"named":1}'
try 0 wf cache pin latest
same "three are pinned" "$(entries --pinned)" 3
try 0 wf cache ls --pinned
says 'the model of March'
same "the reason in JSON" "$(wf cache ls --json -w house --pinned | jq -c '[.[] | [.pinned, .pin_reason]]')" '[[true,"the model of March"]]'
same "a limit counts pinned ones only" "$(entries --pinned -n 2)" 2
try 0 wf cache pin "$(key b)" --reason again
same "a new reason" "$(wf cache ls --json -w house --pinned | jq -r '.[].pin_reason')" again
# housekeeping leaves them
try 0 wf cache gc --max-entries 1
same "gc leaves what is pinned" "$(entries --pinned)" 3
try 0 wf run v.yaml -p n=9
check_ran ""
# bad input
try 2 wf cache pin
try 2 wf cache pin ffffffffffffffffff
try 2 wf cache pin nosuch
try 2 wf cache pin ''
try 2 wf cache unpin ffffffffffffffffff
try 2 wf cache pin latest --reason "$(head -c 2000 /dev/zero | tr '\0' x)"
try 2 wf cache pin --store empty latest
try 2 wf cache rm
try 2 wf cache rm zz
try 2 wf cache rm "$(key b)" --workflow house
try 2 wf cache rm --older-than soon -y
try 2 wf cache rm --workflow house
says 'say --yes'
try 2 wf cache nosuch
try 2 wf cache pim
says "did you mean 'pin'"
# rm refuses what is pinned, unless forced
for n in 1 2 3; do try 0 wf run w.yaml -p n=$n; done
k=$(wf show --json | jq -r '.steps[] | select(.name == "b") | .cache.key')
try 0 wf cache pin "$k"
try 1 wf cache rm "$k" --json
json '[.entries_removed, .pinned]' '[0,1]'
try 0 wf cache rm "$k" --force --json
json '[.entries_removed, .objects_removed, .pinned]' '[1,1,0]'
try 0 wf run w.yaml -p n=3
check_ran b
# by workflow and step; a dry run says the same and changes nothing
before=$(entries)
try 0 wf cache rm -w house -s a --dry-run --json
mv .out dry
same "a dry run removes nothing" "$(entries)" "$before"
try 0 wf cache rm -w house -s a -y --json
same "the dry run told it" "$(jq -c 'del(.dry_run)' dry)" "$(jq -c 'del(.dry_run)' .out)"
json '[.entries_removed, .complete]' '[3,true]'
same "the other workflow stays" "$(entries -w barn)" 2
try 0 wf cache rm --older-than 1h -y --json
json '.entries_removed' 0
# unused for: what was hit lately stays
flow u.yaml <<'E'
name: used
params: {n: 1}
steps: {a: {run: 'echo u${{ params.n }} > ${{ outputs.o }}', outputs: {o: o}}}
E
try 0 wf run u.yaml -p n=1
try 0 wf run u.yaml -p n=2
sqlite3 store/wf.db "UPDATE hits SET at = at - 7200000; UPDATE entries SET made_at = made_at - 7200000; UPDATE runs SET started_at = started_at - 7200000, ended_at = ended_at - 7200000"
try 0 wf run u.yaml -p n=1
check_ran ""
try 0 wf cache rm -w used --unused-for 1h -y --json
json '.entries_removed' 1
try 0 wf run u.yaml -p n=1
check_ran ""
try 0 wf cache rm -w barn --older-than 1h -y --json
json '[.entries_removed, .pinned]' '[0,2]'
try 0 wf cache unpin latest --json
try 0 wf cache unpin "$(key a barn)" "$(key b barn)"
try 0 wf cache rm -w barn --older-than 1h -y --json
json '[.entries_removed, .pinned]' '[2,0]'
check_store
# a source told by its measure makes an entry at each change, all of one key: rm takes all of them, pin keeps the newest
flow t.yaml <<'E'
name: timed
steps: {a: {kind: ingest, source: in.txt, cache: {policy: change, measure: bytes}}}
E
for n in 1 22 333; do
    printf %s "$n" >in.txt
    try 0 wf run t.yaml
done
same "three results of one key" "$(wf cache ls --json -w timed | jq -c '[length, ([.[].key] | unique | length)]')" '[3,1]'
k=$(key a timed)
try 0 wf cache pin "$k" --json
json . '{"pinned":1,"named":1}'
try 0 wf cache unpin "$k"
try 0 wf cache rm "$k" --dry-run --json
json .entries_removed 3
try 0 wf cache rm "$k" --json
json .entries_removed 3
try 0 wf run t.yaml
check_ran a
check_store
# what a running run uses stays
flow r.yaml <<'E'
name: running
params: {flag: {type: string, required: true}}
steps:
  a: {run: 'echo a > ${{ outputs.o }}', outputs: {o: o}}
  b: {run: 'until [ -e ${{ params.flag }} ]; do sleep 0.02; done; cat ${{ steps.a.outputs.o }} > ${{ outputs.o }}', outputs: {o: o}}
E
try 0 wf run r.yaml -p "flag=$T/w.yaml"
background run r.yaml -p "flag=$T/flag"
running() { wf show --json | jq -e '.steps[] | select(.name == "b" and .status == "running")' >/dev/null; }
check "it runs" wait_for 10 running
wf cache rm -w running -s a -y --json >rm.json
same "in use: stays" "$(jq -c '[.entries_removed, .in_use]' rm.json)" '[0,1]'
touch flag
wait "$pid"; same "the run went on" "$?" 0
# killed between two entries: the slice is undone, and the store is whole
for k in $(wf cache ls --pinned --json | jq -r '.[].key'); do try 0 wf cache unpin "$k"; done
for n in 1 2; do try 0 wf run w.yaml -p n=$n; done
n=$(entries -w house)
WF_FAILPOINT=remove.entry:kill:2 wf cache rm -w house -y >.out 2>.err; same killed "$?" 137
same "nothing of the slice went" "$(entries -w house)" "$n"
WF_FAILPOINT=pins.applied:kill wf cache pin "$(key b)" >.out 2>.err; same killed "$?" 137
same "nothing is pinned" "$(entries --pinned)" 0
try 0 wf run w.yaml -p n=1
# two at once
n=$(entries -w house)
"$WF" cache rm -w house -y --json >one.json & one=$!
wf cache rm -w house -y --json >two.json; two=$?
wait $one; same "both end well" "$? $two" "0 0"
same "each entry went once" "$(jq -s 'map(.entries_removed) | add' one.json two.json)" "$((n - $(entries -w house)))"
check_store
finish
