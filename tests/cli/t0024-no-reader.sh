# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# When nobody reads a run's words any more, or they cannot be written, the run is stopped and leaves nothing behind.
. "$(dirname "$0")/lib.sh"
flow two.yaml <<'Y'
steps:
  first: {run: "true"}
  long: {needs: first, run: sleep 903.5}
  other: {needs: first, run: "true"}
Y
timeout 20 bash -c '"$WF" run two.yaml 2>err.txt; echo $? >code' | head -1 >/dev/null
check "the exit code of a broken pipe" test "$(cat code)" = 141
no_process "no step is left" 'sleep 903[.]5'
check "the journal tells its end" test "$(wf runs --json | jq -r '.[0].status')" = cancelled
if [ -c /dev/full ]; then
    rc=0; timeout 20 "$WF" run two.yaml >/dev/full 2>err.txt || rc=$?
    check "the exit code of a full disk" test $rc = 4
    check "why" grep -q 'cannot write the output' err.txt
    no_process "no step is left" 'sleep 903[.]5'
fi
finish
