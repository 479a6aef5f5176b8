# SPDX-License-Identifier: Apache-2.0
# needs: names, lists, all/any/each/N. needs alone is order and puts nothing into the key.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<'E'
params: {seed: 1}
steps:
  a: {run: 'echo ${{ params.seed }} > ${{ outputs.o }}', outputs: {o: o}}
  name: {needs: a, run: 'echo n > ${{ outputs.o }}', outputs: {o: o}}
  list: {needs: [a, name], run: 'echo l > ${{ outputs.o }}', outputs: {o: o}}
  map: {needs: {a: all}, run: 'grep -q sha256: "$WF_INPUTS" && exit 1; echo m > ${{ outputs.o }}', outputs: {o: o}}
  ref: {run: 'grep -q "sha256:" "$WF_INPUTS"; cat ${{ steps.a.outputs.o }} > ${{ outputs.o }}', outputs: {o: o}}
E
try 0 wf run w.yaml
order=$(wf show --json | jq -c '[.steps[] | {(.name): .started_at}] | add | (.a <= .name and .name <= .list)')
same "in order" "$order" true
try 0 wf run w.yaml -p seed=2
check_ran "a ref"
invalid 'steps: {t: {matrix: {k: [a, b]}, run: x}, u: {needs: {t: any}, run: x}}'
says 'not supported yet'
invalid 'steps: {t: {matrix: {k: [a, b]}, run: x}, u: {needs: {t: 2}, run: x}}'
says 'not supported yet'
invalid 'steps: {a: {run: x}, b: {needs: {a: some}, run: x}}'
invalid 'steps: {a: {run: x}, b: {needs: "${{ steps.a }}", run: x}}'
finish
