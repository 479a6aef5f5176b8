# SPDX-License-Identifier: Apache-2.0
# Several runs of one workflow promote at once: no number twice, no choice twice in a row, and the run that started last has the last word.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<'E'
name: w
params: {version: 1}
steps:
  train:
    kind: train
    matrix: {m: [1, 2, 3, 4, 5, 6]}
    run: |
      echo "${{ params.version }} ${{ matrix.m }}" > ${{ outputs.model }}
      echo '{"acc": 0.${{ matrix.m }}}' > ${{ outputs.metrics }}
    outputs: {model: model.txt, metrics: m.json}
  select: {kind: select, from: train, metric: acc, top: 2, promote: early}
E
pids=
for version in 1 2 3 4; do
    timeout 100 "$WF" run w.yaml -q -p version=$version --max-parallel 2 >"$T/log.$version" 2>&1 &
    pids="$pids $!"
done
for pid in $pids; do
    code=0
    wait "$pid" || code=$?
    same "exit code of a run" "$code" 0
done
cat "$T"/log.* >"$T/.err"
wf models --json -n 1000 >models.json
json '[.[].number] | sort' "$(jq -c '[range(1; length + 1)]' models.json)" models.json
# The content of a promotion is in `wf models show`.
for n in $(jq -r '[.[].number] | sort[]' models.json); do wf models show "w/select@$n" --json | jq -c '[.models[].content]'; done >contents
same "no choice twice in a row" "$(uniq contents | wc -l)" "$(wc -l <contents)"
last=$(wf runs --json | jq -r '[.[].run] | sort[-1]')
same "the last word" "$(jq -r '.[0].run' models.json)" "$last"
same "which is the best two" "$(jq -c '[.[0].models[].name]' models.json)" '["train[m=6]","train[m=5]"]'
check "each promotion is its run's" test "$(wf runs --json | jq -r '.[].run' | while read -r run; do wf show "$run" --json | jq '.promotions | length'; done | awk '{ n += $1 } END { print n + 0 }')" = "$(jq length models.json)"
check_store
finish
