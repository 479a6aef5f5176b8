# SPDX-License-Identifier: Apache-2.0
# What wf says names the thing: the threshold that was missed, the models that were chosen, the ETag that did not come; once, and not more than is of use.
. "$(dirname "$0")/lib.sh"
flow s.yaml <<'E'
params: {least: 0.5}
steps:
  t:
    kind: train
    matrix: {m: [a, b]}
    run: 'case ${{ matrix.m }} in a) echo "{\\"acc\\": 0.7}";; *) echo "{\\"acc\\": 0.85}";; esac >${{ outputs.metrics }}'
    outputs: {metrics: metrics.json}
  s: {kind: select, from: t, metric: acc, at_least: "${{ params.least }}", top: 2}
E
sed -i 's/\\\\"/\\"/g' s.yaml
try 0 wf run s.yaml
try 0 wf show; says '^s .*t\[m=b\] 0\.85, t\[m=a\] 0\.7'
try 1 wf run s.yaml -p least=0.9
says "0 of 2 candidates.*at least 0\.9.*0\.85 \(t\[m=b\]\)"
sed -i 's/at_least.*, top/at_most: 0.1, mode: min, top/; /^params/d' s.yaml
try 1 wf run s.yaml
says "0 of 2 candidates.*at most 0\.1.*0\.7 \(t\[m=a\]\)"
# partial runs: what is outside is counted, not listed
flow p.yaml <<'E'
steps: {a: {run: echo}, b: {run: echo}, c: {run: echo}, d: {run: echo}}
E
try 0 wf run p.yaml --only a
same "no line for each" "$(grep -c 'outside of this run' .out)" 0
says 'skipped +3'
try 0 wf run p.yaml --only a -v
same "with -v one each" "$(grep -c 'outside of this run' .out)" 3
try 0 wf run p.yaml --only a --json
same "as events" "$(grep -c 'outside of this run' .out)" 3
# an interrupted run says so once
flow i.yaml <<'E'
steps: {a: {run: 'touch up; sleep 1'}, b: {needs: a, run: echo}}
E
background run i.yaml
wait_for 10 test -e up
kill -INT "$pid"; wait "$pid"
same "one line of stopping" "$(cat .out .err | grep -c '^stopping')" 1
# an output of another step that changed
echo 1 >n
flow e.yaml <<'E'
steps:
  a: {inputs: [n], run: 'cat n >${{ outputs.o }}', outputs: {o: o}}
  b: {run: 'cat ${{ steps.a.outputs.o }} >${{ outputs.o }}', outputs: {o: o}}
E
try 0 wf run e.yaml
echo 2 >n
try 0 wf run e.yaml -v
says 'because steps\.a\.outputs\.o: '
says_not 'step steps'
# doctor
export WF_CONTAINER_HOST=unix:///nonexistent/x.sock
try 4 wf doctor; says '^missing +containers'; says_not 'wf doctor'
try 4 wf doctor --store /proc/nothing; says '^missing +store'; says '^missing +containers'
finish
