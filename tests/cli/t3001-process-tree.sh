# SPDX-License-Identifier: Apache-2.0
# A host step's whole process tree is gone when the step has ended, however it tried to leave.
. "$(dirname "$0")/lib.sh"
mark=tree-$$-$RANDOM
cp "$(command -v sleep)" "$mark"
flow w.yaml <<E
steps:
  background: {run: '"$T/$mark" 60 & echo x > \${{ outputs.o }}', outputs: {o: o}}
  setsid: {run: 'setsid "$T/$mark" 60 & echo x > \${{ outputs.o }}', outputs: {o: o}}
  daemon: {run: '(setsid sh -c "\\"$T/$mark\\" 60 & \\"$T/$mark\\" 60 &" &) ; echo x > \${{ outputs.o }}', outputs: {o: o}}
  holdslog: {run: '(setsid "$T/$mark" 60 </dev/null &); echo said; echo x > \${{ outputs.o }}', outputs: {o: o}}
  deaf: {run: '(trap "" TERM HUP INT; setsid "$T/$mark" 60 &) ; echo x > \${{ outputs.o }}', outputs: {o: o}, grace: 200ms}
  writes: {run: '(while :; do echo more >> \${{ outputs.o }}; done) & sleep 0.05; echo x >> \${{ outputs.o }}', outputs: {o: o}}
  fails: {run: '"$T/$mark" 60 & exit 3', continue_on_error: true}
E
begin=$(date +%s%N)
try 0 timeout 60 "$WF" run w.yaml
took=$((($(date +%s%N) - begin) / 1000000))
check "nobody waits for them ($took ms)" test $took -lt 8000
no_process "none is left" "$mark"
same "what it said" "$(wf logs latest holdslog)" said
check_store
# many at once, each leaving by setsid while its parents die
flow many.yaml <<E
steps:
  many:
    matrix: {i: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]}
    run: '(setsid sh -c "\\"$T/$mark\\" 60 & \\"$T/$mark\\" 60 &" &) ; true'
E
for _ in 1 2 3; do wf run -q many.yaml; done
no_process "none of many is left" "$mark"
flow fd.yaml <<'E'
steps: {a: {run: 'ls /proc/self/fd | tr "\n" " " > ${{ outputs.o }}', outputs: {o: o}}, sig: {run: 'grep -E "Sig(Ign|Blk)" /proc/self/status | tr -d "\n\t " > ${{ outputs.o }}', outputs: {o: o}}}
E
try 0 wf run fd.yaml
check_out a.o "0 1 2 3 "
check_out sig.o "SigBlk:0000000000000000SigIgn:0000000000000000"
finish
