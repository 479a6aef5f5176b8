# SPDX-License-Identifier: Apache-2.0
# A host step's words that name existing files are inputs, declared or not; what the workflow publishes is not.
. "$(dirname "$0")/lib.sh"
mkdir -p bin lib; printf '#!/bin/sh\necho "tool 1: $(cat "$1")" > "$WF_OUT/o"\n' >bin/tool; chmod +x bin/tool
echo data >lib/in.txt; echo 'print("py", open("lib/in.txt").read().strip())' >prog.py
flow w.yaml <<'E'
steps:
  run: {run: './bin/tool lib/in.txt', outputs: {o: o}}
  command: {command: [python3, prog.py], values: {v: stdout}}
  direct: {command: [bin/tool, lib/in.txt], outputs: {o: o}}
  other: {run: 'echo lib/none.txt > ${{ outputs.o }}', outputs: {o: o}}
  pub: {run: 'echo 1 > ${{ outputs.o }}; : result.txt', outputs: {o: o}, publish: {o: result.txt}}
E
try 0 wf run w.yaml
check_out run.o "tool 1: data"
try 0 wf run w.yaml
check_ran ""
same "found" "$(wf plan w.yaml --json | jq -c '.steps[] | select(.name == "run") | [.inputs[] | select(.found) | .path] | sort')" '["bin/tool","lib/in.txt"]'
sed -i 's/tool 1/tool 2/' bin/tool
try 0 wf run w.yaml
check_ran "direct run"
check_out direct.o "tool 2: data"
echo "# more" >>prog.py
try 0 wf run w.yaml
check_ran command
echo 2 >result.txt
try 0 wf run w.yaml
check_ran ""
same "published again" "$(cat result.txt)" 1
chmod -x bin/tool; chmod +x lib/in.txt
try 1 wf run w.yaml
finish
