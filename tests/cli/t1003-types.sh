# SPDX-License-Identifier: Apache-2.0
# Types of params and values, what compares with what, what counts as false; YAML 1.2's plain scalars.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<'E'
params: {i: 3, f: 1.10, b: true, s: '3', e: 1e-3, z: 007, y: yes, d: 2026-01-05, t: '3:30', n: 'null'}
steps:
  v: {run: 'printf "num=10\nyes=true\nword=ten\nempty=\n" > "$WF_VALUES"', values: [num, yes, word, empty]}
  a:
    run: |
      printf '%s\n' ${{ params.i < 10 }} ${{ steps.v.values.num > 9 }} ${{ steps.v.values.yes == true }} ${{ params.s == 3 }} \
        ${{ params.f }} ${{ params.e }} ${{ params.z }} ${{ params.y }} ${{ params.d }} ${{ params.t }} ${{ params.y == 'yes' }} \
        ${{ steps.v.values.empty || 'other' }}_ ${{ null || 'fallback' }} ${{ false || 'f' }} ${{ 0 || 'zero?' }} ${{ params.b && 'and' }} \
        ${{ !params.b }} ${{ steps.v.values.word == 'ten' }} ${{ 1 == 1.0 }} ${{ 'a' < 'b' }} ${{ -2 < 1e1 }} > ${{ outputs.o }}
    outputs: {o: o}
E
try 0 wf run w.yaml
check_out a.o $'true\ntrue\ntrue\ntrue\n1.10\n1e-3\n007\nyes\n2026-01-05\n3:30\ntrue\n_\nfallback\nf\n0\nand\nfalse\ntrue\ntrue\ntrue\ntrue'
flow mixed.yaml <<'E'
params: {s: abc}
steps: {a: {run: 'echo ${{ params.s < 3 }}'}}
E
rc=0; wf run mixed.yaml >.out 2>.err || rc=$?
check "a text and a number do not compare ($rc)" test $rc = 1 -o $rc = 3
flow scalar.yaml <<'E'
params: {n: 2, list: '["p","q"]'}
steps:
  a: {retry: {limit: '${{ params.n }}'}, run: 'test "$WF_ATTEMPT" = 3'}
  m: {matrix: {k: '${{ fromJSON(params.list) }}'}, run: 'echo ${{ matrix.k }} > ${{ outputs.o }}', outputs: {o: o}}
  merge: {<<: &base {env: {A: '1', B: '2'}, run: 'echo $A$B > ${{ outputs.o }}', outputs: {o: o}}, env: {A: '9', B: '8'}}
  again: {<<: *base}
x-anything: {ignored: [really]}
E
try 0 wf run scalar.yaml
same "a number stays a number" "$(wf show --json | jq '.steps[] | select(.name == "a") | .attempts')" 3
check_out 'm[k=q].o' q
check_out merge.o 98
check_out again.o 12
finish
