# SPDX-License-Identifier: Apache-2.0
# retry: limit, delay × backoff up to max_delay, on; an empty $WF_OUT each time; waiting frees the slot.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<E
max_parallel: 1
steps:
  a:
    retry: {limit: 3, delay: 200ms, backoff: 2, max_delay: 300ms}
    run: |
      date +%s%N >> "$T/times"
      test -z "\$(ls -A "\$WF_OUT")"
      echo junk > "\$WF_OUT/junk"
      echo "\$WF_ATTEMPT" > \${{ outputs.o }}
      test "\$WF_ATTEMPT" = 4
    outputs: {o: o}
  b: {run: 'date +%s%N > "$T/b"'}
  never: {retry: {limit: 3, on: [7, 20-30]}, run: exit 1, continue_on_error: true}
  range: {retry: {limit: 1, on: [7, 20-30]}, run: exit 25, continue_on_error: true}
  late: {retry: {limit: 1, on: [timeout]}, timeout: 100ms, grace: 50ms, run: sleep 10, continue_on_error: true}
  missing: {retry: {limit: 1}, run: 'true', outputs: {o: o}, continue_on_error: true}
E
try 0 timeout 30 "$WF" run w.yaml
check_out a.o 4
same "attempts" "$(wf show --json | jq -c '[.steps[] | {(.name): .attempts}] | add')" '{"a":4,"b":1,"never":1,"range":2,"late":2,"missing":2}'
mapfile -t t <times
d1=$(((t[1] - t[0]) / 1000000)) d2=$(((t[2] - t[1]) / 1000000)) d3=$(((t[3] - t[2]) / 1000000))
check "waits 200, 300, 300 ms ($d1 $d2 $d3)" test $d1 -ge 200 -a $d2 -ge 300 -a $d3 -ge 300 -a $d3 -lt 2000
check "b ran while a waited" test "$(cat b)" -lt "${t[3]}"
flow e.yaml <<'E'
steps: {a: {retry: {limit: 3}, run: 'echo ${{ fromJSON(steps.v.values.x).y }}'}, v: {run: 'echo x=notjson > "$WF_VALUES"', values: [x]}}
E
try 1 timeout 10 "$WF" run e.yaml
check "an evaluation error is not retried" test "$(wf show --json | jq '.steps[] | select(.name == "a") | .attempts')" -le 1
finish
