# SPDX-License-Identifier: Apache-2.0
# A promotion while a slow request is under way at an aggregate's endpoint: it is answered by the model it began with, whose server would not wait when it is told to end.
. "$(dirname "$0")/lib.sh"
PATH=$PATH:/usr/sbin
command -v haproxy >/dev/null || skip "haproxy is not installed"
OIP=${OIP:?set OIP to the model server for tests (tests/servers/oip.c)}
cat >ask.sh <<'E'
curl -sS --fail-with-body "$AT/v2/models/both/infer" -d '{"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [1]}]}'
E
flow w.yaml <<E
steps:
  train:
    kind: train
    matrix: {value: [1, 2]}
    run: |
      i=0
      [ \${{ matrix.value }} = 1 ] || until grep -qs infer "$T/requests"; do sleep 0.05; i=\$((i + 1)); [ \$i -lt 600 ]; done
      echo \${{ matrix.value }} >\${{ outputs.model }}
      echo '{"score": \${{ matrix.value }}}' >\${{ outputs.metrics }}
    outputs: {model: model.txt, metrics: metrics.json}
    cache: false
  select: {kind: select, from: train, metric: score, promote: early}
  serve:
    kind: serve
    from: select
    run: exec "$OIP" "\$WF_SOCKET" answer=rows value="\$(cat "\$WF_MODEL")" delay=5000 log="$T/requests"
    ready: /v2/health/ready
  both: {kind: aggregate, from: serve, method: mean}
  early: {needs: both, on_promotion: first, env: {AT: '\${{ steps.both.endpoint }}'}, run: 'sh ask.sh >early.json; date +%s%N >early.end'}
  last: {env: {AT: '\${{ steps.both.endpoint }}'}, run: 'date +%s%N >last.begin; sh ask.sh >last.json'}
E
try 0 wf run w.yaml
json '[.outputs[0].data, .parameters.members]' '[[1],["1"]]' early.json
json '[.outputs[0].data, .parameters.members]' '[[2],["2"]]' last.json
check "the switch was made while the request was under way" test "$(cat last.begin)" -lt "$(cat early.end)"
no_process "nothing serves any more" "$OIP $T"
finish
