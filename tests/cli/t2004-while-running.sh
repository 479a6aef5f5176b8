# SPDX-License-Identifier: Apache-2.0
# An input that changed while its step ran: the result is used, not stored, and this is said.
. "$(dirname "$0")/lib.sh"
echo one >in.txt; mkdir d; echo 1 >d/f
flow w.yaml <<E
steps:
  a: {inputs: {x: in.txt}, run: 'cat \${{ inputs.x }} > \${{ outputs.o }}; [ ! -e "$T/go" ] || echo "\$(date +%N)" > "$T/in.txt"', outputs: {o: o}}
  f: {inputs: {d: d}, run: 'cat \${{ inputs.d }}/f > \${{ outputs.o }}; [ ! -e "$T/go" ] || echo "\$(date +%N)" > "$T/d/new"', outputs: {o: o}}
  touches: {inputs: {x: w.yaml}, run: 'touch "$T/w.yaml"; echo x > \${{ outputs.o }}', outputs: {o: o}}
  b: {run: 'cat \${{ steps.a.outputs.o }} > \${{ outputs.o }}', outputs: {o: o}}
E
touch go
try 0 wf run w.yaml
check_out b.o one
same "said" "$(wf show --json | jq -c '[.steps[] | select(.name == "a" or .name == "f") | [.cache.why, .cache.note, .note] | tostring | test("input.*changed"; "i")]')" '[true,true]'
same "not stored" "$(wf cache ls --json | jq -c '[.[].step] | sort | unique')" '["b","touches"]'
rm go; echo one >in.txt; rm d/new
try 0 wf run w.yaml
check_ran "a f"
try 0 wf run w.yaml
check_ran ""
check_store
finish
