# SPDX-License-Identifier: Apache-2.0
# What a step does to its own $WF_VALUES, script, $WF_INPUTS and $WF_OUT (moved, linked, removed, replaced, rewritten) never reaches the next step, nor a file that the step kept or pointed at.
. "$(dirname "$0")/lib.sh"
mkdir data; echo precious >data/target; echo in >data/in
flow w.yaml <<E
max_parallel: 1
steps:
  moved: {run: 'echo v=moved > "$T/new"; mv "$T/new" "\$WF_VALUES"', values: [v]}
  after1: {needs: moved, run: 'true', values: [v], continue_on_error: true}
  after2: {needs: moved, run: 'echo v=2 >> "\$WF_VALUES"', values: [v]}
  linked: {needs: [after1, after2], run: 'ln -sf "$T/data/target" "\$WF_VALUES"; exit 1', values: [v], continue_on_error: true, if: always()}
  after3: {needs: linked, run: 'echo v=3 > "\$WF_VALUES"', values: [v], if: always()}
  kept: {needs: after3, run: 'echo v=kept > "\$WF_VALUES"; ln "\$WF_VALUES" "$T/kept"', values: [v]}
  after4: {needs: kept, run: 'echo v=4 > "\$WF_VALUES"', values: [v]}
  taken: {needs: after4, run: 'echo v=taken > "\$WF_VALUES"; mv "\$WF_VALUES" "$T/taken"; echo v=taken > "\$WF_VALUES"', values: [v]}
  after5: {needs: taken, run: 'echo v=5 > "\$WF_VALUES"', values: [v]}
  removed: {needs: after5, run: 'rm -rf "\$(dirname "\$WF_VALUES")" "\$WF_OUT"', cache: false}
  after6: {needs: removed, run: 'echo v=6 > "\$WF_VALUES"; echo 6 > \${{ outputs.o }}', values: [v], outputs: {o: o}}
  outmoved: {needs: after6, run: 'mv "\$WF_OUT" "$T/out"; mkdir "\$WF_OUT"', cache: false}
  after7: {needs: outmoved, run: 'echo 7 > \${{ outputs.o }}', outputs: {o: o}}
  outlink: {needs: after7, run: 'rmdir "\$WF_OUT"; ln -s "$T/data" "\$WF_OUT"', cache: false}
  after8: {needs: outlink, run: 'echo 8 > \${{ outputs.o }}', outputs: {o: o}}
  inputs: {needs: after8, inputs: {x: data/in}, run: 'echo "{}" > "\$WF_INPUTS"', cache: false}
  after9: {needs: inputs, inputs: {x: data/in}, run: 'cp "\$WF_INPUTS" \${{ outputs.o }}', outputs: {o: o}}
  locked: {needs: after9, run: 'chmod 000 "\$WF_OUT" "\$(dirname "\$WF_VALUES")"', cache: false}
  after10: {needs: locked, run: 'echo 10 > \${{ outputs.o }}', outputs: {o: o}}
E
try 0 wf run w.yaml
check_status after1 failed
value() { wf show --json | jq -r --arg s "$1" '.steps[] | select(.name == $s) | .values.v'; }
for n in 2 3 4 5 6; do same "value of after$n" "$(value after$n)" $n; done
for n in 6 7 8 10; do check_out after$n.o $n; done
same "value of moved" "$(value moved)" moved
same "the list of inputs" "$(out after9.o | jq -c '[.. | objects | .name? // empty]')" '["x"]'
same "what was pointed at" "$(cat data/target)" precious
same "what was kept by a link" "$(cat kept)" v=kept
same "what was moved away" "$(cat taken)" v=taken
same "nothing strange in the folder" "$(ls data | tr '\n' ' ')" "in target "
# a script that rewrites itself: the next step with the same text runs its own
flow self.yaml <<E
max_parallel: 1
defaults: {shell: [sh]}
steps:
  a: {matrix: {k: [1, 2, 3]}, run: 'echo "echo \$WF_STEP >> $T/evil" > "\$0.new"; cat "\$0.new" > "\$0"; echo ran >> "$T/good"', cache: false}
E
try 0 wf run self.yaml
same "each ran its own script" "$(wc -l <good)" 3
check "and no other's" test ! -e evil
check_store
finish
