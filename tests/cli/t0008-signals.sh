# SPDX-License-Identifier: Apache-2.0
# The first SIGINT lets running steps finish, the second ends them; TERM likewise. Nothing stays behind.
. "$(dirname "$0")/lib.sh"
mark=sleep-$$-$RANDOM
cp "$(command -v sleep)" "$T/$mark"
mkdir w && cd w || exit 1
flow w.yaml <<E
max_parallel: 1
steps:
  slow: {run: 'echo up > "$T/up"; while [ ! -e "$T/go" ]; do sleep 0.02; done; echo end > \${{ outputs.o }}', outputs: {o: o}}
  next: {needs: slow, run: 'echo next'}
E
background run w.yaml
check "it started" wait_for 5 test -e "$T/up"
kill -INT $pid
sleep 0.2
check "still running after the first signal" kill -0 $pid
touch "$T/go"
wait $pid; same "exit code" $? 130
check_status slow succeeded
check_status next cancelled
json .status '"cancelled"' <(wf show --json)
try 0 wf run w.yaml
check_status slow cached
rm -f "$T/up"
flow k.yaml <<E
steps:
  deep: {run: 'trap "" TERM; "$T/$mark" 300 & setsid "$T/$mark" 301 & echo up > "$T/up"; "$T/$mark" 302; "$T/$mark" 303', grace: 300ms}
  obeys: {run: 'exec "$T/$mark" 304', outputs: {o: o}}
finally:
  f: {run: 'echo never'}
E
background run k.yaml
check "it started" wait_for 5 test -e "$T/up"
kill -INT $pid; sleep 0.1; kill -INT $pid
begin=$(date +%s%N)
wait $pid; same "exit code" $? 130
took=$((($(date +%s%N) - begin) / 1000000))
check "the grace was kept, and not more ($took ms)" test $took -lt 3000
check_status deep cancelled
check_status obeys cancelled
no_process "the whole tree is gone" "$mark"
rm -f "$T/up"
background run k.yaml
check "it started" wait_for 5 test -e "$T/up"
kill -TERM $pid; sleep 0.1; kill -TERM $pid
wait $pid; same "exit code" $? 143
no_process "the whole tree is gone" "$mark"
# killed: the steps die with it, and the next run names the unfinished one
rm -f "$T/up"
background run k.yaml
check "it started" wait_for 5 test -e "$T/up"
running() { [ "$(wf runs --json | jq -r '.[0].status')" = running ]; }
check "runs shows it running" wait_for 3 running
kill -KILL $pid; wait $pid 2>/dev/null
no_process "steps die with their wf" "$mark 304"
pkill -f "^$T/$mark 30[0-3]"
try 0 wf runs --json
json '.[0].status' '"interrupted"'
flow k.yaml <<E
steps: {fine: {run: echo fine}}
E
try 0 wf run k.yaml
check_store
finish
