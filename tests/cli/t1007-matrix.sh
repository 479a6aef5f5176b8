# SPDX-License-Identifier: Apache-2.0
# matrix: exclude, then include; axes from expressions; no branch at all; max_parallel and fail_fast.
. "$(dirname "$0")/lib.sh"
names() { wf show --json | jq -r '[.steps[] | select(.step == "t") | .name] | join(" ")'; }
flow w.yaml <<'E'
params: {axis: '[7,8]', branches: '[{"a":1,"b":"x"},{"a":2}]'}
steps:
  t:
    matrix:
      os: [l, m]
      v: [1, 2]
      exclude: [{os: m, v: 1}]
      include: [{os: l, extra: yes}, {os: w, v: 3}, {colour: red}]
    run: 'echo "${{ matrix.os }} ${{ matrix.v }} ${WF_MATRIX_EXTRA-none} ${WF_MATRIX_COLOUR-none}" > ${{ outputs.o }}'
    outputs: {o: o}
  axis: {matrix: {k: '${{ fromJSON(params.axis) }}'}, run: 'echo ${{ matrix.k }} > ${{ outputs.o }}', outputs: {o: o}}
  join: {run: 'cat ${{ steps.t.outputs.o }} > ${{ outputs.o }}', outputs: {o: o}}
  joinaxis: {run: 'cat ${{ steps.axis.outputs.o }} > ${{ outputs.o }}', outputs: {o: o}}
E
try 0 wf run w.yaml
check_out join.o $'l 1 yes red\nl 2 yes red\nm 2 none red\nw 3 none none'
check_out joinaxis.o $'7\n8'
try 0 wf run w.yaml -p axis='["z"]'
check_out joinaxis.o z
flow whole.yaml <<'E'
params: {branches: '[{"a":1,"b":"x"},{"a":2,"b":"y"}]'}
steps: {t: {matrix: '${{ fromJSON(params.branches) }}', run: 'echo ${{ matrix.a }}${{ matrix.b }} > ${{ outputs.o }}', outputs: {o: o}}}
E
try 0 wf run whole.yaml
same "the whole" "$(names)" "t[a=1,b=x] t[a=2,b=y]"
try 0 wf run whole.yaml -p branches='{"a":[1,2],"b":["p"]}'
same "a mapping of lists" "$(names)" "t[a=1,b=p] t[a=2,b=p]"
flow none.yaml <<'E'
params: {l: '[]'}
steps:
  t: {matrix: {k: '${{ fromJSON(params.l) }}'}, run: 'echo x > ${{ outputs.o }}', outputs: {o: o}}
  j: {run: 'set -- ${{ steps.t.outputs.o }}; echo $# > ${{ outputs.o }}', outputs: {o: o}}
E
try 0 wf run none.yaml
check_out j.o 0
flow dyn.yaml <<'E'
steps:
  split: {run: 'echo "shards=[\"s1\",\"s2\",\"s3\"]" > "$WF_VALUES"', values: [shards]}
  work: {matrix: {s: '${{ fromJSON(steps.split.values.shards) }}'}, run: 'echo ${{ matrix.s }} > ${{ outputs.o }}', outputs: {o: o}}
  join: {run: 'cat ${{ steps.work.outputs.o }} > ${{ outputs.o }}', outputs: {o: o}}
E
rc=0; wf run dyn.yaml >.out 2>.err || rc=$?
case $rc in
0) check_out join.o $'s1\ns2\ns3' ;;
3) says 'not supported yet' ;;
*) fail "a matrix from a value: exit $rc" ;;
esac
# never more at once than asked for
mkdir busy
flow par.yaml <<E
max_parallel: 8
steps:
  t:
    matrix: {k: [1, 2, 3, 4, 5, 6]}
    max_parallel: 2
    run: 'mkdir "$T/busy/\${{ matrix.k }}"; ls "$T/busy" | wc -l > \${{ outputs.o }}; sleep 0.1; rmdir "$T/busy/\${{ matrix.k }}"'
    outputs: {o: o}
E
try 0 wf run par.yaml
same "at most two at once" "$(cat $(wf outputs --json | jq -r '.[].path') | sort -n | tail -1)" 2
try 0 wf run par.yaml --refresh --max-parallel 1
same "one at once" "$(cat $(wf outputs --json | jq -r '.[].path') | sort -n | tail -1)" 1
flow ff.yaml <<'E'
max_parallel: 2
steps:
  t: {matrix: {k: [bad, slow, later]}, fail_fast: true, run: 'if [ ${{ matrix.k }} = bad ]; then exit 1; fi; sleep 20'}
  on: {matrix: {k: [bad, fine]}, run: 'test ${{ matrix.k }} = fine'}
E
try 1 timeout 10 "$WF" run ff.yaml
check_status 't[k=bad]' failed
check_status 't[k=slow]' cancelled
check_status 't[k=later]' cancelled
check_status 'on[k=fine]' succeeded
python3 -c "
print('steps: {t: {matrix: {a: [' + ','.join(map(str, range(1000))) + '], b: [' + ','.join(map(str, range(101))) + ']}, run: x}}')" >huge.yaml
try 3 wf run huge.yaml
invalid 'steps: {t: {matrix: {k: [{a: 1}]}, run: x}}'
invalid 'steps: {t: {matrix: {k: [[1]]}, run: x}}'
finish
