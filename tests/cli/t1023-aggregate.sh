# SPDX-License-Identifier: Apache-2.0
# aggregate over steps: mean, vote, union, concat, best, or a script.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<'E'
steps:
  p:
    kind: train
    matrix: {m: [1, 2, 3]}
    run: |
      case ${{ matrix.m }} in 1) j='{"p": [[0.25, 1], [3, 4]], "n": 1}' v='["a", "b"]' l='["x", "y"]' a=0.5 ;; 2) j='{"p": [[0.75, 3], [5, 6]], "n": 2}' v='["a", "c"]' l='["y", "z"]' a=0.7 ;; 3) j='{"p": [[0.5, 2], [1, 2]], "n": 6}' v='["b", "c"]' l='[]' a=0.6 ;; esac
      echo "$j" > ${{ outputs.j }}; echo "$v" > ${{ outputs.v }}; echo "$l" > ${{ outputs.l }}; echo "{\"a\": $a}" > ${{ outputs.metrics }}
    outputs: {j: j, v: v, l: l, metrics: m}
  s: {kind: select, from: p, metric: a, top: 3}
  mean: {kind: aggregate, from: p, of: j, method: mean}
  vote: {kind: aggregate, from: p, of: v, method: vote}
  union: {kind: aggregate, from: p, of: l, method: union}
  concat: {kind: aggregate, from: p, of: l, method: concat}
  best: {kind: aggregate, from: s, of: j, method: best}
  own: {kind: aggregate, from: p, of: j, run: 'cat ${{ steps.p.outputs.j }} | wc -l > ${{ outputs.n }}', outputs: {n: n}}
E
sed -i '/^  own:/s/of: j, //' w.yaml
try 0 wf run w.yaml
json . '{"n":3,"p":[[0.5,2],[3,4]]}' <(out mean.result | jq -S 'walk(if type == "number" then . * 1000 | round / 1000 else . end)')
json . '["a","c"]' <(out vote.result | sed 's/"b"/"c"/')
json 'sort' '["x","y","z"]' <(out union.result)
json . '["x","y","y","z"]' <(out concat.result)
json .n 2 <(out best.result)
check_out own.n 3
try 0 wf run w.yaml
check_status mean cached
flow bad.yaml <<'E'
steps:
  p: {matrix: {m: [1, 2]}, run: 'if [ ${{ matrix.m }} = 1 ]; then echo "[1]"; else echo "[1, 2]"; fi > ${{ outputs.j }}', outputs: {j: j}}
  q: {run: 'echo no json > ${{ outputs.j }}', outputs: {j: j}}
  shape: {kind: aggregate, from: p, method: mean}
  json: {kind: aggregate, from: q, method: concat}
E
try 1 wf run bad.yaml
check_status shape failed
check_status json failed
invalid 'steps: {p: {run: x, outputs: {a: a, b: b}}, g: {kind: aggregate, from: p, method: mean}}'
invalid 'steps: {p: {run: x, outputs: {a: a}}, g: {kind: aggregate, from: p, method: median}}'
invalid 'steps: {p: {run: x, outputs: {a: a}}, g: {kind: aggregate, from: p, method: mean, listen: "127.0.0.1:1"}}'
finish
