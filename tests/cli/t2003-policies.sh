# SPDX-License-Identifier: Apache-2.0
# time: fresh for ttl whatever the source holds now; change: until a measure moved by the threshold; ttl bounds all.
. "$(dirname "$0")/lib.sh"
seq 10 >src
flow w.yaml <<'E'
params: {ttl: 1h}
steps:
  get: {kind: ingest, source: src, cache: {policy: time, ttl: 1h}, run: 'wc -l < ${{ source.path }} > ${{ outputs.n }}', outputs: {n: n}}
  use: {run: 'cat ${{ steps.get.outputs.n }} > ${{ outputs.o }}', outputs: {o: o}}
E
sed -i '/^params/d' w.yaml
try 0 wf run w.yaml
seq 20 >src
try 0 wf run w.yaml
check_ran ""
check_out get.n 10
sed -i 's/ttl: 1h/ttl: 1s/' w.yaml
sleep 1.1
try 0 wf run w.yaml
check_ran "get use"
check_out get.n 20
sed -i 's/ttl: 1s/ttl: 1h/' w.yaml
seq 30 >src
try 0 wf run w.yaml
check_out get.n 20
try 0 wf run w.yaml --refresh=get
check_out get.n 30
flow c.yaml <<'E'
steps:
  get: {kind: ingest, source: src, cache: {policy: change, measure: records, threshold: 20%}, run: 'wc -l < ${{ source.path }} > ${{ outputs.n }}', outputs: {n: n}}
E
seq 100 >src
try 0 wf run c.yaml
seq 110 >src; try 0 wf run c.yaml; check_ran ""; check_out get.n 100
seq 119 >src; try 0 wf run c.yaml; check_ran ""
seq 121 >src; try 0 wf run c.yaml; check_ran get; check_out get.n 121
seq 100 >src; try 0 wf run c.yaml; check_ran ""
seq 90 >src; try 0 wf run c.yaml; check_ran get; check_out get.n 90
for measure in bytes 'wc -c < "$WF_SOURCE"'; do
    printf 'steps:\n  get:\n    kind: ingest\n    source: src\n    cache:\n      policy: change\n      threshold: 50%%\n      measure: %s\n    run: wc -c < ${{ source.path }} > ${{ outputs.n }}\n    outputs: {n: n}\n' "$measure" >m.yaml
    head -c 100 /dev/zero >src; try 0 wf run m.yaml --refresh
    head -c 140 /dev/zero >src; try 0 wf run m.yaml; check_ran ""
    head -c 160 /dev/zero >src; try 0 wf run m.yaml; check_ran get
done
rm src; mkdir src; touch src/1 src/2
printf 'steps:\n  get: {kind: ingest, source: src, cache: {policy: change, measure: files}}\n' >f.yaml
try 0 wf run f.yaml
echo x >src/1; try 0 wf run f.yaml; check_ran ""
touch src/3; try 0 wf run f.yaml; check_ran get
rm -r src; seq 3 >src
flow t.yaml <<'E'
steps: {a: {run: 'date +%s%N > ${{ outputs.o }}', outputs: {o: o}, cache: {ttl: 1s}}}
E
try 0 wf run t.yaml
try 0 wf run t.yaml; check_ran ""
sleep 1.1
try 0 wf run t.yaml; check_ran a
json '.steps[0] | [.cache.why, .cache.note] | tostring | test("ttl|old|fresh|ago")' true <(wf show --json)
sed -i 's/ttl: 1s/ttl: 1d/' t.yaml
sleep 1.1
try 0 wf run t.yaml; check_ran ""
invalid 'steps: {a: {run: x, outputs: {o: o}, cache: {policy: change, measure: bytes}}}'
invalid 'steps: {a: {kind: ingest, source: x, cache: {policy: time}}}'
invalid 'steps: {a: {kind: ingest, source: x, cache: {policy: sometimes}}}'
finish
