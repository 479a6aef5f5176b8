# SPDX-License-Identifier: Apache-2.0
# An input that changed while its step ran, even if it changed back: the result is used, not stored, and this is said. What was touched before the run does not matter.
. "$(dirname "$0")/lib.sh"
echo one >in.txt; mkdir d; echo 1 >d/f
flow w.yaml <<E
steps:
  a: {inputs: {x: in.txt}, run: 'cat \${{ inputs.x }} > \${{ outputs.o }}; [ ! -e "$T/go" ] || echo "\$(date +%N)" > "$T/in.txt"', outputs: {o: o}}
  f: {inputs: {d: d}, run: 'cat \${{ inputs.d }}/f > \${{ outputs.o }}; [ ! -e "$T/go" ] || echo "\$(date +%N)" > "$T/d/new"', outputs: {o: o}}
  b: {run: 'cat \${{ steps.a.outputs.o }} > \${{ outputs.o }}', outputs: {o: o}}
E
touch go
try 0 wf run w.yaml
check_out b.o one
same "said" "$(wf show --json | jq -c '[.steps[] | select(.name == "a" or .name == "f") | [.cache.why, .cache.note, .note] | tostring | test("input.*changed"; "i")]')" '[true,true]'
same "not stored" "$(wf cache ls --json | jq -c '[.[].step] | sort | unique')" '["b"]'
rm go; echo one >in.txt; rm d/new
try 0 wf run w.yaml
check_ran "a f"
try 0 wf run w.yaml
check_ran ""
# touched before the run: a look, and a hit
touch in.txt d d/f; chmod 600 in.txt d/f
try 0 wf run w.yaml
check_ran ""

# changed and changed back while the step ran: what it read was another content
mkdir e e2; echo 1 >e/f; echo 1 >e2/g
back() {
    flow back.yaml <<E
steps:
  written: {inputs: {x: one}, run: '$1 cat \${{ inputs.x }} > \${{ outputs.o }}; $2', outputs: {o: o}}
  times: {inputs: {x: two}, run: '$3 cat \${{ inputs.x }} > \${{ outputs.o }}; $4', outputs: {o: o}}
  moved: {inputs: {x: three}, run: '$5 cat \${{ inputs.x }} > \${{ outputs.o }}; $6', outputs: {o: o}}
  inside: {inputs: {d: e}, run: '$7 cat \${{ inputs.d }}/f > \${{ outputs.o }}; $8', outputs: {o: o}}
  passing: {inputs: {d: e2}, run: '$9 cat \${{ inputs.d }}/* > \${{ outputs.o }}; ${10}', outputs: {o: o}}
E
}
for f in one two three; do echo 1 >$f; done
back "echo 2 > \"$T/one\";" "echo 1 > \"$T/one\"" \
    "cp -p \"$T/two\" \"$T/kept\"; echo 2 > \"$T/two\";" "cp -p \"$T/kept\" \"$T/two\"" \
    "mv \"$T/three\" \"$T/aside\"; echo 2 > \"$T/three\";" "mv \"$T/aside\" \"$T/three\"" \
    "mv \"$T/e/f\" \"$T/f\"; echo 2 > \"$T/e/f\";" "mv \"$T/f\" \"$T/e/f\"" \
    "echo 2 > \"$T/e2/a\";" "rm \"$T/e2/a\""
try 0 wf run back.yaml
for s in written times moved inside; do check_out $s.o 2; done
check_out passing.o $'2\n1'
says 'was touched while the step ran'
same "none stored" "$(wf cache ls --json | jq -c '[.[].step] | sort | unique')" '["a","b","f"]'
back "" : "" : "" : "" : "" :
try 0 wf run back.yaml
for s in written times moved inside passing; do check_out $s.o 1; done
try 0 wf run back.yaml
check_ran ""

# a pattern that matches another file afterwards
mkdir g; echo 1 >g/a.csv
echo "steps: {s: {inputs: ['g/*.csv'], run: 'cat g/*.csv > \${{ outputs.o }}', outputs: {o: o}}}" >ok.yaml
sed 's|cat g|echo 2 >g/b.csv; cat g|' ok.yaml >glob.yaml
try 0 wf run glob.yaml
check_out s.o $'1\n2'
says 'input g/\*.csv changed while the step ran'
rm g/b.csv
sed 's|cat g|: ; cat g|' ok.yaml >glob.yaml
try 0 wf run glob.yaml
check_out s.o 1
try 0 wf run glob.yaml
check_ran ""
check_store
finish
