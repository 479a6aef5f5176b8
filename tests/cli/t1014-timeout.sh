# SPDX-License-Identifier: Apache-2.0
# timeout: TERM, then KILL after the grace, to the whole process tree.
. "$(dirname "$0")/lib.sh"
mark=timeout-$$-$RANDOM
cp "$(command -v sleep)" "$mark"
flow w.yaml <<E
steps:
  polite: {timeout: 200ms, grace: 5s, run: 'trap "echo bye; exit 3" TERM; "$T/$mark" 60 & wait', continue_on_error: true}
  deaf: {timeout: 200ms, grace: 300ms, run: 'trap "" TERM; "$T/$mark" 60; "$T/$mark" 60', continue_on_error: true}
  tree: {timeout: 200ms, grace: 300ms, run: '(setsid "$T/$mark" 60 &) ; "$T/$mark" 60 & "$T/$mark" 60', continue_on_error: true}
  quick: {timeout: 10s, run: 'echo ok > \${{ outputs.o }}', outputs: {o: o}}
E
begin=$(date +%s%N)
try 0 timeout 20 "$WF" run w.yaml
took=$((($(date +%s%N) - begin) / 1000000))
check "in time ($took ms)" test $took -lt 4000
for s in polite deaf tree; do check_status $s failed; done
check "it was told to end" grep -q bye <(wf logs latest polite)
json '[.steps[] | select(.status == "failed") | .error | test("time"; "i")] | all' true <(wf show --json)
no_process "nothing stays" "$mark"
check_out quick.o ok
finish
