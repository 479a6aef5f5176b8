# SPDX-License-Identifier: Apache-2.0
# Every function and operator of expressions.
. "$(dirname "$0")/lib.sh"
printf a >f1; printf b >f2
flow w.yaml <<'E'
params: {s: hello, n: 4}
env: {TOP: top}
steps:
  v: {run: 'echo "list=[1,2,3]" > "$WF_VALUES"; echo ''obj={"a":{"b":5},"l":[{"n":"x"},{"n":"y"}]}'' >> "$WF_VALUES"', values: [list, obj]}
  off: {if: false, run: 'echo "x=1" > "$WF_VALUES"', values: [x]}
  a:
    env:
      R1: ${{ contains(params.s, 'ell') }},${{ contains(fromJSON(steps.v.values.list), 2) }},${{ startsWith(params.s, 'he') }},${{ endsWith(params.s, 'x') }}
      R2: ${{ join(fromJSON(steps.v.values.list), '+') }},${{ format('{0}-{1}-{0}', params.s, params.n) }},${{ toJSON(params.s) }},${{ length(params.s) }},${{ length(fromJSON('[1,2]')) }}
      R3: ${{ basename('/x/y/z.txt') }},${{ default(steps.off.values.x, 'none') }},${{ fromJSON(steps.v.values.obj).a.b }},${{ join(fromJSON(steps.v.values.obj).l.*.n, '/') }}
      R4: ${{ fromJSON(steps.v.values.list)[1] }},${{ fromJSON(steps.v.values.obj)['a']['b'] }},${{ (1 < 2 && 'yes') || 'no' }},${{ !(1 >= 2) }},${{ 3 != 4 }},${{ 'it''s' }}
      R5: ${{ env.TOP }},${{ '}}' }}
      H: ${{ hashFiles('f*') }}
    run: 'printf "%s\n" "$R1" "$R2" "$R3" "$R4" "$R5" > ${{ outputs.o }}; printf %s "$H" | wc -c > ${{ outputs.h }}'
    outputs: {o: o, h: h}
E
sed -i 's/env.TOP/params.s/' w.yaml
try 0 wf run w.yaml
check_out a.o "true,true,true,false
1+2+3,hello-4-hello,\"hello\",5,2
z.txt,none,5,x/y
2,5,yes,true,true,it's
hello,}}"
same "hashFiles is a digest" "$(($(out a.h) >= 64))" 1
try 0 wf run w.yaml
check_status a cached
printf c >f2
try 0 wf run w.yaml
check_ran a
for e in 'nofunc(1)' 'params.s +1' 'contains(1)' 'steps.v.values.nope' 'steps.nope.outputs.x' 'matrix.k' 'source.path' 'inputs.nope' 'outputs.nope' 'env.NOPE' '1 ==' "'unclosed" '((1)'; do
    invalid "params: {s: x}
steps: {v: {run: x, values: [list]}, a: {run: 'true', env: {A: \"\${{ $e }}\"}, needs: v}}"
done
finish
