# SPDX-License-Identifier: Apache-2.0
# wf run --json: one JSON object per line for each thing that happens.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<'E'
steps:
  make: {run: 'echo x > "$WF_OUT/o"', outputs: {o: o}}
  flaky: {run: 'test "$WF_ATTEMPT" = 2', retry: {limit: 1, delay: 10ms}}
  bad: {run: exit 7, continue_on_error: true}
  after: {needs: bad, run: echo on}
  off: {if: false, run: echo no}
E
try 0 wf run w.yaml --json
check "each line is an object" jq -e 'type == "object" and has("event") and has("at") and has("run")' .out
same "make" "$(jq -r 'select(.step == "make") | .event' .out | paste -sd' ')" "started succeeded"
same "flaky" "$(jq -r 'select(.step == "flaky") | .event' .out | paste -sd' ')" "started failed retry started succeeded"
same "bad" "$(jq -r 'select(.step == "bad") | .event' .out | paste -sd' ')" "started failed"
same "after" "$(jq -r 'select(.step == "after") | .event' .out | paste -sd' ')" "started succeeded"
same "off" "$(jq -r 'select(.step == "off") | .event' .out | paste -sd' ')" "skipped"
same "first" "$(head -1 .out | jq -r .event)" run_started
same "last" "$(tail -1 .out | jq -r .event)" run_ended
same "exit code" "$(jq -r 'select(.step == "bad" and .event == "failed") | .data.exit_code' .out)" 7
try 0 wf run w.yaml --json
same "cached" "$(jq -r 'select(.step == "make") | .event' .out)" cached
same "times are RFC 3339 in UTC" "$(jq -r .at .out | grep -Evc '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z$')" 0
finish
