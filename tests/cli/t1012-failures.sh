# SPDX-License-Identifier: Apache-2.0
# on_failure continue and stop; tolerated failures; a failed step is not stored.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<'E'
max_parallel: 2
on_failure: stop
steps:
  bad: {run: 'sleep 0.1; exit 9'}
  slow: {run: sleep 30, grace: 1s}
  later: {needs: slow, run: echo x}
  child: {needs: bad, run: echo x}
E
try 1 timeout 10 "$WF" run w.yaml
check_status bad failed
check_status slow cancelled
check "later did not run" test "$(status_of later)" = cancelled -o "$(status_of later)" = skipped
json .status '"failed"' <(wf show --json)
sed -i '/on_failure/d; s/sleep 30/sleep 0.3/' w.yaml
try 1 wf run w.yaml
check_status slow succeeded
check_status later succeeded
check_status child skipped
flow tol.yaml <<'E'
steps:
  a: {run: exit 1, continue_on_error: true}
  b: {needs: a, if: always(), run: echo x}
E
try 0 wf run tol.yaml
check_status a failed
json .status '"succeeded"' <(wf show --json)
flow fail.yaml <<'E'
steps: {a: {run: 'echo partial > ${{ outputs.o }}; exit 1', outputs: {o: o}}}
E
try 1 wf run fail.yaml
try 1 wf run fail.yaml
check_verdict a miss
same "nothing stored" "$(wf cache ls --json | jq '[.[] | select(.workflow == "fail")] | length')" 0
flow t.yaml <<'E'
timeout: 500ms
steps: {a: {run: sleep 30, grace: 100ms}, b: {needs: a, run: echo x}}
E
rc=0; timeout 10 "$WF" run t.yaml >.out 2>.err || rc=$?
same "the run's own timeout" $rc 1
check "b did not run" test "$(status_of b)" != succeeded
finish
