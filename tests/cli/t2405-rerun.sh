# SPDX-License-Identifier: Apache-2.0
# wf cache verify --rerun FILE STEP: runs a step twice and names what came out otherwise.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<'E'
name: house
params: {n: 1}
steps:
  a: {run: 'seq ${{ params.n }} 5 > ${{ outputs.o }}', outputs: {o: o}}
  same: {run: 'cat ${{ steps.a.outputs.o }} > ${{ outputs.o }}; echo v=1 >> $WF_VALUES', outputs: {o: o}, values: [v]}
  other:
    run: |
      d=${{ outputs.d }}; mkdir -p $d/sub; echo x > $d/same; date +%s%N > $d/sub/time
      cp $d/same $d/$(date +%N)-only; echo 1 > ${{ outputs.o }}; echo v=$(date +%N) >> $WF_VALUES
    outputs: {d: d, o: o}
    values: [v]
  file: {matrix: {k: [1, 2]}, run: 'echo ${{ matrix.k }} > ${{ outputs.o }}; if [ ${{ matrix.k }} = 2 ]; then date +%N > ${{ outputs.o }}; fi', outputs: {o: o}}
  fails: {run: 'exit 3', outputs: {o: o}}
E
wf run w.yaml >.out 2>.err
try 0 wf cache verify --rerun w.yaml same
says 'made the same'
try 0 wf cache verify --rerun w.yaml same --json
json . '[]'
try 1 wf cache verify --rerun w.yaml other --json
json '[.[] | select(.part == "output") | .name] | unique' '["d"]'
json '[.[] | .file | select(. != null)] | [any(. == "sub/time"), any(. == "same"), any(test("-only$"))]' '[true,false,true]'
json '[.[] | select(.part == "value") | .name]' '["v"]'
json 'all(.[]; .first != .second)' true
try 1 wf cache verify --rerun w.yaml other
says 'other: the output d, file sub/time differs'
# branches: only the one that differs is named
try 1 wf cache verify --rerun w.yaml file --json
json '[.[].step] | unique' '["file[k=2]"]'
try 0 wf cache verify --rerun w.yaml 'file[k=1]'
# a step that fails, bad input
try 1 wf cache verify --rerun w.yaml fails
try 2 wf cache verify --rerun w.yaml
try 2 wf cache verify --rerun w.yaml nosuch
try 2 wf cache verify --rerun w.yaml same --repair
try 2 wf cache verify --rerun nosuch.yaml same
# params hold
try 0 wf cache verify --rerun w.yaml a -p n=2
try 0 wf run w.yaml --only a -p n=2
check_ran ""
check_store
try 0 wf cache verify
finish
