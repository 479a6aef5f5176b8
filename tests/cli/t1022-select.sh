# SPDX-License-Identifier: Apache-2.0
# train and select: ranked by metric, thresholds, ties, candidates that failed.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<'E'
params: {top: 2, at_least: 0.0, tolerate: 9, min: 1}
steps:
  t:
    kind: train
    matrix: {m: [a, b, c, d, e, f]}
    run: |
      case ${{ matrix.m }} in a) v=0.8 ;; b) v=0.9 ;; c) v=0.9 ;; d) v=0.1 ;; e) exit 1 ;; f) v='"word"' ;; esac
      echo "{\"accuracy\": $v, \"deep\": {\"x\": $v}, \"deep.y\": $v}" > ${{ outputs.metrics }}
      echo model ${{ matrix.m }} > ${{ outputs.model }}
    outputs: {model: model.bin, metrics: metrics.json}
  s: {kind: select, from: t, metric: accuracy, top: '${{ params.top }}', at_least: '${{ params.at_least }}', tolerate: '${{ params.tolerate }}', min_models: '${{ params.min }}'}
  low: {kind: select, from: t, metric: deep.x, mode: min}
  literal: {kind: select, from: t, metric: deep.y, at_most: 0.85}
  use: {run: "cat ${{ steps.s.models.*.outputs.model }} > ${{ outputs.o }}; echo ${{ join(steps.s.models.*.name, ' ') }} ${{ steps.s.models[0].metric }} ${{ steps.s.models[0].matrix.m }} ${{ steps.s.models[1].metrics.accuracy }} >> ${{ outputs.o }}; echo ${{ steps.low.models[0].name }} ${{ steps.literal.models[0].name }} >> ${{ outputs.o }}", outputs: {o: o}}
E
try 0 wf run w.yaml
check_out use.o $'model b\nmodel c\nt[m=b] t[m=c] 0.9 b 0.9\nt[m=d] t[m=a]'
json '.steps[] | select(.name == "t[m=a]") | .metrics.accuracy' 0.8 <(wf show --json)
check_status 't[m=e]' failed
try 1 wf run w.yaml -p tolerate=0
check_status s failed
try 1 wf run w.yaml -p at_least=0.95
check_status s failed
check_status use skipped
try 1 wf run w.yaml -p min=3 -p top=3 -p at_least=0.85
check_status s failed
try 0 wf run w.yaml -p top=9 -p at_least=0.5
same "only those that pass" "$(wf logs latest use 2>/dev/null; out use.o | head -3 | tr '\n' ' ')" "model b model c model a "
flow n.yaml <<'E'
steps:
  t: {run: 'echo "{\"x\": 1}" > ${{ outputs.metrics }}', outputs: {metrics: m}}
  s: {kind: select, from: t, metric: nope}
E
try 1 wf run n.yaml
check_status s failed
# What was never there: candidates that were skipped leave nothing to choose from, and whoever follows hears of the first cause.
because() { wf show --json | jq -r --arg s "$1" '.steps[] | select(.name == $s) | .because'; }
flow skipped.yaml <<'E'
params: {go: false}
steps:
  ingest: {run: 'exit 1', outputs: {o: o}, if: '${{ !params.go }}'}
  t:
    kind: train
    matrix: {m: [mlp, forest]}
    run: 'cat ${{ steps.ingest.outputs.o }}; echo "{}" > ${{ outputs.metrics }}; echo 1 > ${{ outputs.model }}'
    outputs: {model: model.bin, metrics: metrics.json}
  s: {kind: select, from: t, metric: accuracy}
  a: {kind: aggregate, from: t, of: metrics, method: mean}
  use: {run: 'cat ${{ steps.s.models[0].path }}'}
E
try 1 wf run skipped.yaml
check_counts '{"failed":1,"skipped":5}'
for x in 't[m=mlp]' s a use; do same "why $x" "$(because "$x")" "ingest failed"; done
same "plan" "$(wf plan skipped.yaml -p go=true --json | jq -c '[.steps[].verdict] | unique')" '["skip"]'
try 0 wf run skipped.yaml -p go=true
check_counts '{"skipped":6}'
same "why s" "$(because s)" "t was skipped"
flow branch.yaml <<'E'
steps:
  t:
    kind: train
    matrix: {m: [mlp, forest]}
    run: 'echo "{\"accuracy\": 1}" > ${{ outputs.metrics }}; echo 1 > ${{ outputs.model }}; test ${{ matrix.m }} = mlp'
    outputs: {model: model.bin, metrics: metrics.json}
  s: {kind: select, from: t, metric: accuracy}
  use: {matrix: {rank: [0]}, run: 'cat ${{ steps.s.models[matrix.rank].path }}'}
  metrics: {run: 'cat ${{ steps.t.outputs.metrics }}'}
  last: {needs: use, run: 'true'}
E
try 1 wf run branch.yaml
check_status s succeeded
for x in 'use[rank=0]' metrics last; do same "why $x" "$(because "$x")" "t[m=forest] failed"; done
# Whom nobody can rank is named while others still train.
flow left.yaml <<'E'
steps:
  t:
    kind: train
    matrix: {m: ['{"acc": 1}', '{"acc": "x"}', '{"loss": 1}', '{"acc": 1e999}']}
    command: [sh, -c, 'echo "$1" >"$2"', x, "${{ matrix.m }}", "${{ outputs.metrics }}"]
    outputs: {metrics: m.json}
  s: {kind: select, from: t, metric: acc}
E
try 0 wf run left.yaml
says "s leaves out .*x.*, which has a metric 'acc' that is no finite number"
says "s leaves out .*loss.*, which has no metric 'acc', only loss"
says_not "s leaves out [^,]*acc...1\}"
flow bad.yaml <<'E'
steps: {t: {kind: train, run: 'echo "[1]" > ${{ outputs.metrics }}', outputs: {metrics: m}}}
E
try 1 wf run bad.yaml
invalid 'steps: {t: {kind: train, run: x, outputs: {model: m}}}'
invalid 'steps: {t: {run: x, outputs: {o: o}}, s: {kind: select, from: t, metric: a}}'
invalid 'steps: {t: {kind: train, run: x, outputs: {metrics: m}}, s: {kind: select, from: t, metric: a, promote: soon}}'
invalid 'steps: {t: {kind: train, run: x, outputs: {metrics: m}}, s: {kind: select, from: t, metric: a, wait: {for: 2}}}'
finish
