# SPDX-License-Identifier: Apache-2.0
# defaults: env, labels and secrets merge by name, all else is replaced whole; defaults.<kind>; null removes.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<'E'
env: {TOP: top, A: top}
defaults:
  env: {A: all, B: all}
  retry: {limit: 1}
  source: /nonexistent
  command: {env: {B: kind, C: kind}}
  train: {env: {B: train}}
steps:
  a: {env: {C: own}, run: 'echo "$TOP $A $B $C" > ${{ outputs.o }}', outputs: {o: o}}
  t: {kind: train, run: 'echo "$TOP $A $B ${C-unset}" > ${{ outputs.o }}; echo "{}" > ${{ outputs.metrics }}', outputs: {o: o, metrics: m}}
  r: {run: 'test "$WF_ATTEMPT" = 2'}
  none: {retry: null, run: exit 1, continue_on_error: true}
E
try 0 wf run w.yaml
check_out a.o "top all kind own"
check_out t.o "top all train unset"
same "retried by default" "$(wf show --json | jq -c '[.steps[] | select(.step == "r" or .step == "none") | .attempts]')" '[2,1]'
flow host.yaml <<'E'
params: {image: ''}
defaults: {image: '${{ params.image }}', network: none}
steps: {a: {run: 'echo host'}}
E
try 0 wf check host.yaml
says_not "not used"
try 0 wf run host.yaml
flow own.yaml <<'E'
steps: {a: {network: none, run: 'echo host'}}
E
try 1 wf run own.yaml
for d in 'run: x' 'outputs: {o: o}' 'needs: [a]' 'matrix: {k: [1]}' 'nonsense: 1'; do
    invalid "defaults: {$d}
steps: {a: {run: x}}"
done
invalid 'steps: {a: {run: x, source: /x}}'
finish
