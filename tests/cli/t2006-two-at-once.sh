# SPDX-License-Identifier: Apache-2.0
# Several wf processes on one store at once: all succeed with the right result; the store is sound.
. "$(dirname "$0")/lib.sh"
mkdir w && cd w || exit 1
flow w.yaml <<E
max_parallel: 4
steps:
  once: {run: 'echo x >> "$T/count"; sleep 0.5; echo done > \${{ outputs.o }}', outputs: {o: o}}
  m: {matrix: {k: [1, 2, 3, 4, 5, 6, 7, 8]}, run: 'sleep 0.05; echo \${{ matrix.k }} > \${{ outputs.o }}', outputs: {o: o}}
  j: {run: 'cat \${{ steps.m.outputs.o }} \${{ steps.once.outputs.o }} > \${{ outputs.o }}', outputs: {o: o}}
E
pids=
for i in 1 2 3 4; do "$WF" run w.yaml >"../out.$i" 2>&1 & pids="$pids $!"; done
for p in $pids; do wait "$p"; same "exit" $? 0; done
same "four runs succeeded" "$(wf runs --json | jq '[.[] | select(.status == "succeeded")] | length')" 4
same "the result" "$(out j.o | tr '\n' ' ')" "1 2 3 4 5 6 7 8 done "
check_store
# one is killed beside another
rm -f "$T/count"
"$WF" run w.yaml --refresh >../out.1 2>&1 & first=$!
check "the first works" wait_for 5 test -e "$T/count"
"$WF" run w.yaml --refresh >../out.2 2>&1 & second=$!
kill -KILL $first; wait $first 2>/dev/null
wait $second; same "the second goes on" $? 0
check_store
# beside gc
for i in 1 2 3; do "$WF" run w.yaml --refresh=m >../out.$i 2>&1 & pids="$!"; wf cache gc >../out.gc 2>&1; same "gc beside a run" $? 0; wait $pids; same "run beside gc" $? 0; done
check_store
finish
