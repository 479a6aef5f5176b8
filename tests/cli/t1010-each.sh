# SPDX-License-Identifier: Apache-2.0
# needs: {x: each}: one branch along each of the other's.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<'E'
max_parallel: 4
steps:
  t: {matrix: {k: [a, b, c], n: [1]}, run: 'test ${{ matrix.k }} != b; echo ${{ matrix.k }} > ${{ outputs.o }}', outputs: {o: o}}
  u: {needs: {t: each}, run: 'cat ${{ steps.t.outputs.o }} > ${{ outputs.o }}; echo ${{ matrix.n }} >> ${{ outputs.o }}', outputs: {o: o}}
  v: {needs: {t: each, u: each}, run: 'cat ${{ steps.t.outputs.o }} ${{ steps.u.outputs.o }} > ${{ outputs.o }}', outputs: {o: o}}
  w: {needs: {t: each}, matrix: {z: [p, q]}, run: 'echo ${{ matrix.k }}${{ matrix.z }} > ${{ outputs.o }}', outputs: {o: o}}
E
try 1 wf run w.yaml
check_out 'u[k=a,n=1].o' $'a\n1'
check_status 'u[k=b,n=1]' skipped
check_out 'u[k=c,n=1].o' $'c\n1'
check_out 'v[k=a,n=1].o' $'a\na\n1'
same "multiplied" "$(wf show --json | jq -r '[.steps[] | select(.step == "w") | .name] | length')" 6
check_status 'v[k=b,n=1]' skipped
invalid 'steps: {a: {matrix: {k: [1, 2]}, run: x}, b: {matrix: {k: [1]}, run: x}, c: {needs: {a: each, b: each}, run: x}}'
invalid 'steps: {a: {matrix: {k: [1]}, run: x}, b: {matrix: {j: [1]}, run: x}, c: {needs: {a: each, b: each}, run: x}}'
invalid 'steps: {a: {matrix: {k: [1]}, run: x}, c: {needs: {a: each}, matrix: {k: [2]}, run: x}}'
finish
