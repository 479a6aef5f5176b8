# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A wf killed with -9: its steps' processes, also those its steps started, are gone at the latest with the next run; its work folder too.
. "$(dirname "$0")/lib.sh"
cat >long.yaml <<'Y'
steps:
  long:
    run: |
      sleep 900.25 &
      setsid sleep 901.25 &
      echo started > "$WF_STORE_MARK"
      sleep 902.25
    pass_env: [WF_STORE_MARK]
Y
cat >short.yaml <<'Y'
steps: {short: {run: "true"}}
Y
export WF_STORE_MARK="$T/mark"
"$WF" run long.yaml >/dev/null 2>&1 &
pid=$!
wait_for 10 test -s "$T/mark" || fail "the step did not start"
recorded() { [ "$(wf runs --json | jq -r '.[] | select(.workflow == "long") | .status')" = running ]; }
check "the run is recorded" wait_for 5 recorded
kill -9 $pid
wait $pid 2>/dev/null
try 0 wf run short.yaml
gone() { ! pgrep -f 'sleep 90[012][.]25' >/dev/null; }
check "nothing of the killed run is left" wait_for 5 gone
check "no claim of being alive is left" test "$(ls "$WF_STORE/live")" = claims # the file that all runs share
check "no work folder is left" test -z "$(ls "$WF_STORE/work")"
try 0 wf runs --json
json '[.[] | select(.workflow == "long") | .status]' '["interrupted"]'
finish
