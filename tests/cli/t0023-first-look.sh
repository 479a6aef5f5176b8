# SPDX-License-Identifier: Apache-2.0
# What a newcomer meets: an entry by the key that a listing shows, help of a group, words where there are no outputs.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<E2
steps:
  a: {run: 'echo a >\${{ outputs.o }}', outputs: {o: o}}
  t: {kind: train, run: 'echo "{\"x\": 1}" >\${{ outputs.metrics }}', outputs: {metrics: m.json}}
  s: {kind: select, from: t, metric: x}
finally:
  f: {run: 'true'}
E2
try 0 wf run -v w.yaml
says 'because it stands under finally'
try 0 wf run w.yaml --refresh=a
key=$(wf cache ls -s a | awk 'NR == 2 {print $1}')
same 'a refreshed step has two entries of one key' "$(wf cache ls -s a | grep -c "^$key")" 2
newest=$(wf show --json | jq -r .run)
try 0 wf cache show "$key"
says "by run $newest"
try 2 wf outputs s
says "step 's' made no outputs"
try 2 wf outputs a.nope
says "step 'a' made no output 'nope'"
try 0 wf cache --help
says 'cache gc'
check 'no line of a listing ends in blanks' test -z "$(wf show | grep ' $')"
try 0 wf cache gc --dry-run --max-entries 1
says 'would keep 1 entry'
# The reports say why a step was skipped.
flow skip.yaml <<E2
steps:
  a: {run: 'false'}
  b: {run: 'true', needs: a}
E2
try 1 wf run skip.yaml --junit j.xml --summary s.md
check 'JUnit says why' grep -q '<skipped message="a failed"/>' j.xml
check 'the summary says why' grep -q '^| b | skipped | 0s | a failed |' s.md
finish
