# SPDX-License-Identifier: Apache-2.0
# needs: names, lists, all/any/each/N. needs alone is order and puts nothing into the key.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<'E'
params: {seed: 1}
steps:
  a: {run: 'echo ${{ params.seed }} > ${{ outputs.o }}', outputs: {o: o}}
  name: {needs: a, run: 'echo n > ${{ outputs.o }}', outputs: {o: o}}
  list: {needs: [a, name], run: 'echo l > ${{ outputs.o }}', outputs: {o: o}}
  map: {needs: {a: all}, run: 'grep -q "\"a\"" "$WF_INPUTS" && exit 1; echo m > ${{ outputs.o }}', outputs: {o: o}}
  ref: {run: 'grep -q "sha256:" "$WF_INPUTS"; cat ${{ steps.a.outputs.o }} > ${{ outputs.o }}', outputs: {o: o}}
E
try 0 wf run w.yaml
order=$(wf show --json | jq -c '[.steps[] | {(.name): .started_at}] | add | (.a <= .name and .name <= .list)')
same "in order" "$order" true
try 0 wf run w.yaml -p seed=2
check_ran "a ref"
flow any.yaml <<E
max_parallel: 4
steps:
  t: {matrix: {k: [slow, quick, bad]}, run: 'case \${{ matrix.k }} in slow) while [ ! -e "$T/go" ]; do sleep 0.02; done ;; bad) exit 1 ;; esac; echo \${{ matrix.k }} > \${{ outputs.o }}', outputs: {o: o}}
  first: {needs: {t: any}, run: 'cat \${{ steps.t.outputs.o }} > \${{ outputs.o }}; touch "$T/go"', outputs: {o: o}}
  both: {needs: {t: 2}, run: 'cat \${{ steps.t.outputs.o }} > \${{ outputs.o }}', outputs: {o: o}}
  never: {needs: {t: 3}, run: 'echo never'}
E
try 1 timeout 20 "$WF" run any.yaml
check_out first.o quick
check_out both.o $'slow\nquick'
check_status never skipped
check_status 't[k=bad]' failed
check_status 't[k=slow]' succeeded
invalid 'steps: {a: {run: x}, b: {needs: {a: some}, run: x}}'
invalid 'steps: {a: {run: x}, b: {needs: "${{ steps.a }}", run: x}}'
finish
