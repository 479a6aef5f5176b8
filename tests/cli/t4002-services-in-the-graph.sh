# SPDX-License-Identifier: Apache-2.0
# Steps that need a service: at the last promotion, at the first, once per promotion; what becomes of them when there is nothing to serve. Services hold no slot and end with the run.
. "$(dirname "$0")/lib.sh"
PATH=$PATH:/usr/sbin
command -v haproxy >/dev/null || skip "haproxy is not installed"
cp "${WF_SOURCE:?}/tests/servers/model.py" .
MODEL=$T/model.py
cat >ask.sh <<'E'
curl -sS --fail-with-body "$AT/v2/models/any/infer" -d '{"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [1]}]}' | jq '.outputs[0].data[0]'
E
ask="sh ask.sh"
because() { wf show --json | jq -r --arg s "$1" '.steps[] | select(.name == $s) | .because // .error'; }

# Each model waits for what follows the promotion of the one before, so that only the right order ends at all.
flow w.yaml <<E
max_parallel: 3
steps:
  train:
    kind: train
    matrix: {bias: [1, 2, 3]}
    run: |
      i=0
      [ \${{ matrix.bias }} = 1 ] || until [ "\$(wc -l <each.log 2>/dev/null)" = \$((\${{ matrix.bias }} - 1)) ]; do sleep 0.05; i=\$((i + 1)); [ \$i -lt 400 ]; done
      echo "bias \${{ matrix.bias }}" >\${{ outputs.model }}
      echo '{"score": \${{ matrix.bias }}}' >\${{ outputs.metrics }}
    outputs: {model: model.txt, metrics: metrics.json}
    cache: false
  select: {kind: select, from: train, metric: score, promote: early}
  serve:
    kind: serve
    from: select
    command: [python3, "$MODEL"]
    ready: {path: /v2/health/ready, run: 'test -e "\$WF_MODEL" && test -n "\$WF_SOCKET"'}
  first: {needs: serve, on_promotion: first, env: {AT: '\${{ steps.serve.endpoint }}'}, run: '$ask >>first.log'}
  each: {needs: serve, on_promotion: each, env: {AT: '\${{ steps.serve.endpoint }}'}, run: '$ask >>each.log'}
  last: {env: {AT: '\${{ steps.serve.endpoint }}'}, run: '$ask >>last.log', outputs: {o: o}, continue_on_error: true}
finally:
  after: {run: 'echo \${{ steps.serve.status }} >>after.log'}
E
try 0 wf run w.yaml
same "first" "$(cat first.log)" 2
same "each" "$(tr '\n' ' ' <each.log)" "2 3 4 "
same "last" "$(cat last.log)" 4
same "services are up until after finally" "$(cat after.log)" succeeded
same "promotions" "$(wf models --json | jq -c '[.[].number]')" "[3,2,1]"
same "status" "$(wf show --json | jq -r '.steps[] | select(.name == "serve") | .status')" succeeded
no_process "nothing serves any more" "$MODEL"
try 0 wf plan w.yaml
says "serve +it is a service, up while the run lasts"

# The last promotion does not get ready: the step fails, what needs it is skipped.
flow bad.yaml <<E
steps:
  train:
    kind: train
    run: 'echo corrupt >\${{ outputs.model }}; echo "{\"score\": 1}" >\${{ outputs.metrics }}'
    outputs: {model: model.txt, metrics: metrics.json}
  select: {kind: select, from: train, metric: score, promote: early}
  serve: {kind: serve, from: select, command: [python3, "$MODEL"], ready: {path: /v2/health/ready, timeout: 20s}, retry: {limit: 1, delay: 10ms}}
  both: {kind: aggregate, from: serve, method: mean}
  use: {env: {AT: '\${{ steps.both.endpoint }}'}, run: 'touch used'}
E
try 1 wf run bad.yaml
check "not used" test ! -e used
same "use" "$(because use)" "both was cancelled"
check "its own words are told" grep -q "the model file is corrupt" .err .out
# An early promotion that failed is the last one too, when the choice stays as it is.
flow early.yaml <<E
steps:
  train:
    kind: train
    matrix: {score: [2, 1]}
    run: |
      i=0
      [ \${{ matrix.score }} = 2 ] || until grep -q "did not\\|corrupt" run.log; do sleep 0.05; i=\$((i + 1)); [ \$i -lt 400 ]; done
      echo corrupt >\${{ outputs.model }}
      echo '{"score": \${{ matrix.score }}}' >\${{ outputs.metrics }}
    outputs: {model: model.txt, metrics: metrics.json}
    cache: false
  select: {kind: select, from: train, metric: score, promote: early}
  serve: {kind: serve, from: select, command: [python3, "$MODEL"]}
E
wf run early.yaml >run.log 2>&1 && fail "it succeeded"
check "and ends" grep -q "failed    serve: .*corrupt" run.log
# Nothing is chosen, so nothing is served.
sed -i 's/metric: score, /metric: score, at_least: 5, /' bad.yaml
try 1 wf run bad.yaml
same "serve" "$(because serve)" "select failed"
same "both" "$(because both)" "serve did not get ready"
# A service without models; it holds no slot, and a step outside is told.
flow one.yaml <<E
max_parallel: 1
steps:
  a: {kind: serve, command: [python3, "$MODEL"], ready: /v2/health/ready}
  b: {kind: serve, command: [python3, "$MODEL"], ready: /v2/health/ready}
  use: {env: {AT: '\${{ steps.a.endpoint }}', BT: '\${{ steps.b.endpoint }}'}, run: '$ask; AT=\$BT; $ask'}
E
try 0 wf run one.yaml
same "both answer" "$(wf logs use | tr '\n' ' ')" "1 1 "
try 2 wf run one.yaml --only use
says "use.*service 'a'.*outside"
# Kept only with --keep-serving: said where it is wanted without.
sed 's/kind: serve, command/kind: serve, lifetime: keep, command/' one.yaml >keep.yaml
try 0 wf run keep.yaml
says "lifetime: keep needs .wf run --keep-serving"
# A secret is handed over, and never told.
flow secret.yaml <<E
secrets: {TOKEN: {env: TOK}}
steps: {a: {kind: serve, run: 'echo "the token is \$TOKEN" >&2; exit 4', secrets: [TOKEN]}}
E
TOK=sesame123 try 1 wf run secret.yaml
says 'the token is \*\*\*'
says_not sesame123
check "nor is it in the database" sh -c '! grep -aq sesame123 "$WF_STORE"/wf.db*'
no_process "nothing is left" "$MODEL"
check_store
finish
