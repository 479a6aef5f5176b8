# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# wf logs -f: a running step's words as they come, also from another process, and the end with the run.
. "$(dirname "$0")/lib.sh"
cat >talk.yaml <<'Y'
steps:
  talk:
    run: |
      echo one
      while [ ! -e "$GO" ]; do sleep 0.02; done
      echo two
    pass_env: [GO]
  other:
    needs: talk
    run: echo three
Y
export GO="$T/go"
background run talk.yaml
recorded() { [ "$(wf runs --json | jq -r '.[0].status')" = running ]; }
wait_for 10 recorded || fail "the run does not show"
"$WF" logs -f >follow.txt 2>&1 &
follower=$!
"$WF" logs -f talk >raw.txt 2>&1 &
raw=$!
check "the first line comes while the step runs" wait_for 10 grep -q one follow.txt
touch "$GO"
wait $pid
wait $follower
wait $raw
check "all lines with their steps' names" diff follow.txt <(printf 'talk | one\ntalk | two\nother | three\n')
check "one step's bytes as they were" diff raw.txt <(printf 'one\ntwo\n')
try 0 wf logs -f
finish
