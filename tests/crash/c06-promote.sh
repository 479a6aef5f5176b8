# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Killed while promoting: when the models lie in their place and no row names them, and when the row is there and nobody was told. No number is given twice, no choice is promoted twice in a row.
. "$(dirname "$0")/common.sh"
flow p.yaml <<'E'
max_parallel: 1
steps:
  train:
    kind: train
    matrix: {m: [1, 2, 3]}
    run: |
      echo model ${{ matrix.m }} > ${{ outputs.model }}
      echo '{"acc": 0.${{ matrix.m }}}' > ${{ outputs.metrics }}
    outputs: {model: model, metrics: m.json}
  select: {kind: select, from: train, metric: acc, promote: early}
E
# registry: what every registry must be, and that its newest promotion is the best model
registry() {
    try 0 timeout 60 "$WF" models --json -n 100
    cp "$T/.out" models.json
    json '[.[].number] | sort' "$(jq -c '[range(1; length + 1)]' models.json)" models.json
    json '[sort_by(.number) | [.[].models[].name] | . as $m | range(1; length) | select($m[.] == $m[. - 1])]' '[]' models.json
    json '.[0] | [.models[].name, .state]' '["train[m=3]","current"]' models.json
}
for point in promote.placed promote.written; do
    for pass in 1 2; do
        rm -rf "$WF_STORE"
        check "$point:$pass is reached" killed_at "$point:kill:$pass" run p.yaml
        check_store
        try 0 timeout 60 "$WF" run p.yaml -q
        registry
        made=$(jq length models.json)
        try 0 timeout 60 "$WF" run p.yaml -q --summary again.json
        json '.promotions' '[]' again.json
        registry
        json 'length' "$made" models.json
        check_store
    done
done
finish
