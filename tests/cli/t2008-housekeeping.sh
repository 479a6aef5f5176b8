# SPDX-License-Identifier: Apache-2.0
# wf cache ls, show, stats, gc.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<'E'
name: house
params: {n: 1}
steps:
  a: {run: 'head -c 1000 /dev/zero > ${{ outputs.o }}; echo ${{ params.n }} >> ${{ outputs.o }}; echo a log', outputs: {o: o}}
  b: {run: 'cp ${{ steps.a.outputs.o }} ${{ outputs.o }}', outputs: {o: o}}
E
for n in 1 2 3; do try 0 wf run w.yaml -p n=$n; done
try 0 wf cache ls --json
json length 6
json '[.[].step] | sort | unique' '["a","b"]'
try 0 wf cache ls --json -s a -n 2
json '[.[].step]' '["a","a"]'
try 0 wf cache ls --json -w nosuch
json length 0
key=$(wf show --json | jq -r '.steps[] | select(.name == "a") | .cache.key')
try 0 wf cache show "$key"
try 0 wf cache show "$key" --json
json '[.workflow, .step, (.action | type), (.result | type)]' '["house","a","object","object"]'
try 0 wf cache show "$(printf %s "${key#sha256:}" | cut -c1-16)"
try 2 wf cache show ffffffffffffffffffff
try 0 wf cache stats --json
json '[.entries, .runs, (.objects >= 3), (.object_bytes >= 3000)]' '[6,3,true,true]'
# gc: bounds by count, dry run first, what is still used stays
objects() { find store/objects -type f | wc -l; }
before=$(objects)
try 0 wf cache gc --max-entries 2 --dry-run --json
check "gc --json" jq -e . .out
same "a dry run removes nothing" "$(objects)" "$before"
try 0 wf run w.yaml -p n=1
check_ran ""
sleep 0.05
try 0 wf cache gc --max-entries 2 --json
check_store
check "objects went" test "$(objects)" -lt "$before"
same "two entries left" "$(wf cache ls --json | jq length)" 2
try 0 wf run w.yaml -p n=1
check_ran ""
try 0 wf run w.yaml -p n=2
check_ran "a b"
# what nobody names goes away once it is old enough
mkdir -p store/objects/ab; stray=store/objects/ab/$(printf 'x%.0s' $(seq 62) | tr x 0); echo stray >"$stray"; touch -d '3 days ago' "$stray"
sleep 0.2
try 0 wf cache gc
check "a stray object is gone" test ! -e "$stray"
check_store
try 0 wf cache gc --unused-for 0s
try 0 wf run w.yaml -p n=2
same "history stays" "$(wf runs --json | jq 'length >= 6')" true
check_store
finish
