# SPDX-License-Identifier: Apache-2.0
# Why: each kind of difference by name, the file inside a folder, the way to the root, and the reasons that are no difference.
. "$(dirname "$0")/lib.sh"
mkdir data
for i in 1 2 3; do echo "$i" >"data/$i.csv"; done
printf 'x' >"data/caf$(printf '\351').csv"
echo one >a.csv
echo prog >tool
flow w.yaml <<'E'
params: {lr: '0.1', mode: fast}
steps:
  ingest: {inputs: {x: a.csv}, run: 'cat ${{ inputs.x }} > ${{ outputs.o }}', outputs: {o: o}}
  features:
    inputs: {x: '${{ steps.ingest.outputs.o }}'}
    env: {MODE: '${{ params.mode }}'}
    run: |
      cat ${{ inputs.x }} > ${{ outputs.f }}
      echo kept
      echo tail
    outputs: {f: f}
    values: {n: int}
  train: {run: 'cat ${{ steps.features.outputs.f }} > ${{ outputs.m }}; echo ${{ params.lr }} >> ${{ outputs.m }}', outputs: {m: m}}
  fold: {inputs: {d: data}, run: 'cat ${{ inputs.d }}/*.csv > ${{ outputs.s }}', outputs: {s: s}}
  many: {inputs: {all: 'data/?.csv'}, run: 'cat data/?.csv > ${{ outputs.s }}', outputs: {s: s}}
E
sed -i '/values: {n: int}/d' w.yaml
# part NAME of a step's differences in `wf explain --json`: "part name old new"
parts() { wf explain w.yaml "$@" --json | jq -r '[.[0].differences[] | .part + " " + (.name // "-")] | sort | join("; ")'; }
try 0 wf explain w.yaml train
says 'undecided, it depends on features.*ingest will run because it never ran'
try 0 wf plan w.yaml
says 'features +it depends on ingest, which will run$'
says 'train +it depends on features, which may run because ingest will run$'
same "said once" "$(grep -c 'ingest.*never ran' .out)" 1
try 0 wf run w.yaml
# one by one
same "a param" "$(parts train -p lr=0.7)" "param lr"
same "env and its param" "$(parts features -p mode=slow)" "param mode"
sed -i 's/echo kept/echo other/' w.yaml
same "one line of a script" "$(parts features)" "script line 2"
try 0 wf explain w.yaml features
says 'script line 2: echo kept → echo other'
sed -i 's/echo other/echo kept/; s/echo tail/echo before\n      echo tail/' w.yaml
same "a line put in" "$(parts features)" "script line 3"
sed -i '/echo before/d; s/env: {MODE: .*}/env: {MODE: plain, MORE: "1"}/' w.yaml
same "env" "$(parts features)" "env MODE; env MORE; param mode"
sed -i "s/env: {MODE: .*}/env: {MODE: '\${{ params.mode }}'}\n    cache: {version: 2}/" w.yaml
same "version" "$(parts features)" "version -"
sed -i '/cache: {version: 2}/d; s/outputs: {f: f}/outputs: {f: f, g: {path: g, optional: true}}/' w.yaml
sed -i 's|, g: {path: g, optional: true}|, g: g|' w.yaml
same "an output declared" "$(parts features)" "output g"
sed -i 's/outputs: {f: f, g.*$/outputs: {f: f}/' w.yaml
same "as before" "$(wf plan w.yaml --json | jq -r '[.steps[].verdict] | unique | join(" ")')" hit
# undecided, and yet something is known of it
cp a.csv kept.csv; echo other >>a.csv
try 0 wf explain w.yaml train -p lr=0.7
says 'undecided, it depends on features'
says 'param lr: 0.1 → 0.7'
says 'its inputs are not compared before features has run'
try 0 wf explain w.yaml train --json
json '.[0] | [.verdict, .differences, (.not_known | test("features"))]' '["undecided",[],true]'
# asked to run it will, whatever it depends on
verdicts() { wf plan w.yaml "$@" --json | jq -c '[.steps[] | {(.name): .verdict}] | add | [.ingest, .features, .train]'; }
same "in the middle" "$(verdicts)" '["run","undecided","undecided"]'
same "refreshed" "$(verdicts --refresh=train)" '["run","undecided","run"]'
same "not if it may be skipped" "$(sed "s/^  features:/&\n    if: \${{ steps.ingest.status == 'succeeded' }}/" w.yaml >if.yaml
    wf plan if.yaml --refresh=train --json | jq -r '.steps[] | select(.name == "train") | .verdict')" undecided
mv kept.csv a.csv
# a folder: which files, and in what way; names that are no UTF-8 too
echo 22 >data/2.csv
rm data/3.csv
echo 4 >data/4.csv
printf 'y' >"data/caf$(printf '\351').csv"
try 0 wf explain w.yaml fold --json
json '.[0].differences[0] | [.part, .name, .path]' '["input","d","data"]'
json '[.[0].differences[0].inside[] | .name + (if .old == null then " new" elif .new == null then " gone" else " changed" end)] | sort' '["2.csv changed","3.csv gone","4.csv new","caf\\xE9.csv changed"]'
try 0 wf explain w.yaml fold
says '4 files differ'
says 'file 3.csv: no longer there'
same "a pattern names each file" "$(parts many)" "input all data/2.csv; input all data/3.csv; input all data/4.csv"
# the way to the root, in plan, beside the run and afterwards
echo two >a.csv
try 0 wf plan w.yaml --json
json '.steps[] | select(.name == "train") | [.because[] | .step]' '["features","ingest"]'
json '.steps[] | select(.name == "train") | .because[-1].why | contains("a.csv")' true
try 0 wf plan w.yaml
says 'train +it depends on features, which may run because ingest will run because input x \(a.csv\): content changed'
try 0 wf run -v w.yaml
says 'features ran because ingest ran because input x \(a.csv\): content changed'
says '2.csv changed'
try 0 wf explain --run latest train --json
json '.[0].differences[0].because | map(.step)' '["features","ingest"]'
json '.[0] | [.status, .verdict]' '["succeeded","miss"]'
try 0 wf explain --run latest fold --json
json '.[0].differences[0].inside | length' 4
try 0 wf show --json
json '.steps[] | select(.name == "train") | .cache.why[0].because | length' 2
# a step that is reused now, but holds something else than when its dependant ran
echo three >a.csv
try 0 wf run w.yaml --only ingest
made=$(wf runs --json | jq -r '.[0].run')
try 0 wf explain w.yaml features --json
json '.[0].differences[0].because[0] | [.step, .run]' "[\"ingest\",\"$made\"]"
json '.[0].differences[0].because[0].why | contains("a.csv")' true
try 0 wf explain w.yaml features
says "ingest ran in run $made because input x \(a.csv\): content changed"
try 0 wf run w.yaml
try 0 wf explain --run latest ingest
says 'cached, nothing it depends on had changed since run'
try 2 wf explain --run latest w.yaml ingest
try 2 wf explain --run latest nosuch
try 2 wf explain w.yaml
# Reasons that are no difference
why() { wf plan "$1" --json | jq -r --arg s "$2" '.steps[] | select(.name == $s) | .why'; }
flow n.yaml <<'E'
steps:
  fails: {inputs: {x: a.csv}, run: 'false', outputs: {o: o}}
  odd: {inputs: {x: a.csv}, run: 'echo more >> a.csv; echo > ${{ outputs.o }}', outputs: {o: o}}
  side: {run: echo}
  off: {run: 'echo > ${{ outputs.o }}', outputs: {o: o}, cache: false}
  old: {run: 'echo > ${{ outputs.o }}', outputs: {o: o}, cache: {ttl: 1s}}
  fine: {run: 'echo fine > ${{ outputs.o }}', outputs: {o: o}}
E
same "never ran" "$(why n.yaml fine)" "never ran"
try 1 wf run n.yaml
check "a failure" grep -q 'its last attempt failed (run 0' <<<"$(why n.yaml fails)"
check "a result that was not stored, and why" grep -q 'was not stored (run .*): input a.csv changed while' <<<"$(why n.yaml odd)"
check "not memoized" grep -q '^not memoized: ' <<<"$(why n.yaml side)"
same "cache: false" "$(why n.yaml off)" "not memoized: cache: false"
too_old() { why n.yaml old | grep -q 'made .* ago, fresh for 1s'; }
check "a ttl that has passed" wait_for 10 too_old
same "refreshed" "$(wf plan n.yaml --refresh=fine --json | jq -r '.steps[] | select(.name == "fine") | .why')" "--refresh"
try 0 wf cache rm --workflow n --step fine --yes
check "removed" grep -q 'no longer in the store' <<<"$(why n.yaml fine)"
finish
