# SPDX-License-Identifier: Apache-2.0
# A reused step's log is kept; large logs; bytes as they were.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<'E'
steps:
  a: {run: 'echo what it said; echo and complained >&2; echo x > ${{ outputs.o }}', outputs: {o: o}}
  silent: {run: 'echo x > ${{ outputs.o }}', outputs: {o: o}}
E
try 0 wf run w.yaml
try 0 wf run w.yaml
check_status a cached
same "its log" "$(wf logs latest a)" $'what it said\nand complained'
same "no log" "$(wf logs latest silent)" ""
try 0 wf run w.yaml -v
says 'what it said'
try 0 wf run w.yaml
says_not 'what it said'
flow big.yaml <<'E'
steps:
  big: {run: 'head -c 200000000 /dev/zero | tr "\0" "\n"; echo end; echo x > ${{ outputs.o }}', outputs: {o: o}}
  fail: {run: 'i=0; while [ $i -lt 200 ]; do echo "line $i"; i=$((i + 1)); done; printf "no newline"; exit 1', continue_on_error: true}
E
try 0 wf run big.yaml
says 'line 199'
says 'no newline'
says_not 'line 100'
same "200 MB of log" "$(wf logs latest big | wc -c)" 200000004
same "its end" "$(wf logs latest big | tail -c 4)" end
same "a failed step's log" "$(wf logs latest fail | tail -1)" "no newline"
peak=$( { /usr/bin/env time -f %M "$WF" run big.yaml --refresh=big >/dev/null; } 2>&1 | tail -1)
[ -z "${peak//[0-9]/}" ] && check "in little memory ($peak kB)" test "$peak" -lt 150000
check_store
finish
