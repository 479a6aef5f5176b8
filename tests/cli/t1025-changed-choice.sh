# SPDX-License-Identifier: Apache-2.0
# A changed setting of one model: what reads another model, unchanged and at its old rank, is not done again.
. "$(dirname "$0")/lib.sh"
mkdir bin
cat >bin/train <<'E'
#!/bin/sh
# train MODEL TREES ACCURACY OUT METRICS
echo "$1 $2" >"$4"
echo "{\"accuracy\": $3, \"seconds\": $(date +%s%N)}" >"$5"
E
chmod +x bin/train
flow w.yaml <<'E'
params: {trees: 10, forest: 0.8}
steps:
  train:
    kind: train
    matrix: {model: [softmax, mlp, forest]}
    command:
      - bin/train
      - "${{ matrix.model }}"
      - "${{ matrix.model == 'forest' && params.trees || 0 }}"
      - "${{ matrix.model == 'forest' && params.forest || matrix.model == 'mlp' && 0.9 || 0.6 }}"
      - "${{ outputs.model }}"
      - "${{ outputs.metrics }}"
    outputs: {model: model.bin, metrics: metrics.json}
  select: {kind: select, from: train, metric: accuracy, top: 2, min_models: 2}
  predict:
    matrix: {rank: [0, 1]}
    run: 'printf "[%s]" "$(wc -c < ${{ steps.select.models[matrix.rank].path }})" > ${{ outputs.o }}'
    outputs: {o: o.json}
  ensemble: {kind: aggregate, from: predict, of: o, method: mean}
  names: {run: 'echo ${{ steps.select.models.*.matrix.model }} > ${{ outputs.o }}', outputs: {o: o}}
  report: {run: 'cat ${{ steps.ensemble.outputs.result }} ${{ steps.names.outputs.o }} > ${{ outputs.o }}', outputs: {o: o}}
E
verdicts() { wf plan w.yaml --json "$@" | jq -r '[.steps[] | select(.verdict != "hit") | .name + "=" + .verdict] | join(" ")'; }
try 0 wf run w.yaml
check_out names.o "mlp forest"
same "all is there" "$(verdicts)" ""
same "only the forest is to run for certain" "$(verdicts -p trees=200 | tr ' ' '\n' | grep -c =run)" 1
try 0 wf run w.yaml -p trees=200
check_ran "ensemble predict[rank=1] report select train[model=forest]"
check_status 'predict[rank=0]' cached
same "the other setting is there now" "$(verdicts -p trees=200)" ""
same "and the first still" "$(verdicts)" ""
# The same choice by another metric: nobody who reads the models runs.
try 0 wf run w.yaml -p trees=200 -p forest=0.85
check_ran "select train[model=forest]"
# The ranks change places, and with them what stands at each.
try 0 wf run w.yaml -p trees=200 -p forest=0.95
check_out names.o "forest mlp"
check_ran "ensemble names predict[rank=0] predict[rank=1] report select train[model=forest]"
finish
