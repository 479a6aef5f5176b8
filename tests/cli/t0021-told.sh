# SPDX-License-Identifier: Apache-2.0
# What a person is told: why a step runs and what it wrote (-v), parts of outputs by name, each difference once, elapsed times on a terminal.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<'E'
params: {p: 1}
steps:
  make: {run: 'mkdir ${{ outputs.d }}; echo ${{ params.p }} > ${{ outputs.d }}/x; echo made it', outputs: {d: d}}
  part: {inputs: {one: '${{ steps.make.outputs.d }}/x'}, run: 'cat ${{ inputs.one }} > ${{ outputs.o }}; echo 1', outputs: {o: o}}
  plain: {run: echo not kept}
E
try 0 wf run w.yaml -v
says 'because never ran'
says 'because it declares no outputs'
says '\| made it'
says '\| not kept'
try 0 wf run w.yaml -v
says '\| made it'
try 0 wf run w.yaml -v --refresh=make
says 'because --refresh'
try 0 wf run w.yaml -v -p p=2
says 'because param p: 1 → 2'
try 0 wf plan w.yaml -v
says 'reads one'
says_not null
try 0 wf explain w.yaml make -p p=3
same "a difference is named once" "$(grep -c 'param p: 2 → 3' .out)" 1
flow fails.yaml <<'E'
steps:
  bad: {run: 'echo the reason; exit 7'}
E
try 1 wf run fails.yaml
same "the step is named once on its line" "$(grep '^failed  ' .out | grep -o "bad" | wc -l)" 1
says '\| the reason'
echo 'params: {u: 1}
steps: {a: {run: "true"}}' >warns.yaml
try 3 wf check --strict warns.yaml
says_not 'warns.yaml: valid'
check "keys name their algorithm" jq -e 'all(.[]; .key | startswith("sha256:"))' <<<"$(wf cache ls --json)"
if command -v script >/dev/null; then
    echo 'steps: {slow: {run: sleep 0.5}}' >slow.yaml
    env -u CI -u NO_COLOR TERM=xterm script -qec "$WF run slow.yaml" /dev/null >.out 2>&1 </dev/null
    says 'slow +0\.[1-5]'
    says_not '[0-9]d[0-9]+h'
fi
finish
