# SPDX-License-Identifier: Apache-2.0
# wf diff names what differs between two runs: text, params, commit, and step by step; names of runs; entries that are gone.
. "$(dirname "$0")/lib.sh"
echo one >a.csv
flow w.yaml <<'E'
params: {lr: '0.1'}
steps:
  ingest: {inputs: {x: a.csv}, run: 'cat ${{ inputs.x }} > ${{ outputs.o }}', outputs: {o: o}}
  train:
    kind: train
    run: |
      cat ${{ steps.ingest.outputs.o }} > ${{ outputs.m }}
      echo ${{ params.lr }} >> ${{ outputs.m }}
      echo '{"accuracy": ${{ params.lr }}}' > ${{ outputs.metrics }}
      echo "lines=$(wc -l <${{ outputs.m }} | tr -d ' ')" >> "$WF_VALUES"
    outputs: {m: m, metrics: metrics.json}
    values: [lines]
  same: {run: 'echo same > ${{ outputs.s }}', outputs: {s: s}}
  gone: {run: 'echo gone > ${{ outputs.s }}', outputs: {s: s}}
E
try 2 wf diff nosuch latest
try 2 wf diff
try 0 wf run w.yaml
first=$(wf runs --json | jq -r '.[0].run')
try 2 wf diff
says 'no 1 earlier run'
sed -i 's/echo gone/echo come/; s/^  gone:/  come:/' w.yaml
echo two >a.csv
try 0 wf run w.yaml -p lr=0.2
second=$(wf runs --json | jq -r '.[0].run')
try 0 wf diff --json
json '[.old.run, .new.run]' "[\"$first\",\"$second\"]"
json '[.differences[] | .part + " " + (.name // "-")]' '["workflow line 14","param lr"]'
json '.differences[1] | [.old, .new]' '["0.1","0.2"]'
json '.counts' '{"differ":2,"same":1,"only_old":1,"only_new":1}'
json '[.steps[].name] | sort' '["come","gone","ingest","train"]'
json '.steps[] | select(.name == "train") | [.inputs[] | .part + " " + .name] | sort' '["param lr","step steps.ingest.outputs.o"]'
json '.steps[] | select(.name == "train") | [.results[] | .part + " " + .name] | sort' '["metric accuracy","output m","output metrics"]'
json '.steps[] | select(.name == "train") | .results[] | select(.part == "metric") | [.old, .new]' '["0.1","0.2"]'
json '.steps[] | select(.name == "gone") | .new' null
json '.steps[] | select(.name == "ingest") | [.old.verdict, .new.verdict]' '["miss","miss"]'
try 0 wf diff
says '^train: succeeded'
says 'metric accuracy: 0.1 → 0.2'
says '2 steps differ, 1 the same'
says 'only in the old run: 1 \(gone\)'
# the other way round, and by every kind of name
try 0 wf diff latest "$first" --json
json '.steps[] | select(.name == "come") | .old != null and .new == null' true
try 0 wf diff latest~1 latest --json
json '.old.run' "\"$first\""
try 0 wf diff previous latest --json
json '.old.run' "\"$first\""
try 0 wf diff "$second~1" "$second" --json
json '.old.run' "\"$first\""
try 2 wf diff latest~x latest
try 2 wf diff latest~9 latest
try 0 wf show latest~1 --json
json '.run' "\"$first\""
try 0 wf logs previous train
try 0 wf outputs latest~1 train
# a run with itself
try 0 wf diff latest latest --json
json '[.differences, .steps, .counts.differ]' '[[],[],0]'
# a run of another workflow does not count as the one before
flow other.yaml <<'E'
steps: {a: {run: 'echo > ${{ outputs.o }}', outputs: {o: o}}}
E
try 0 wf run other.yaml
try 0 wf diff "$second~1" "$second" --json
try 2 wf diff
try 0 wf diff "$second" latest --json
json '[.differences[] | .part] | unique' '["file","name","param","workflow"]'
# reused against run: the same result, nothing differs
try 0 wf run w.yaml -p lr=0.2
try 0 wf diff "$second" latest --json
json '.counts' '{"differ":0,"same":4,"only_old":0,"only_new":0}'
# what fails is told with its reason, although nothing of it is kept
sed -i 's/cat ${{ inputs.x }} > /false; cat ${{ inputs.x }} > /' w.yaml
try 1 wf run w.yaml -p lr=0.2
try 0 wf diff "$second" latest --json
json '.steps[] | select(.name == "ingest") | [.old.status, .new.status]' '["succeeded","failed"]'
json '.steps[] | select(.name == "ingest") | [.inputs[].part]' '["script"]'
json '.steps[] | select(.name == "ingest") | [.results[].part]' '["status","error"]'
# entries that are gone are told
try 0 wf cache rm --workflow w --step train --yes
try 0 wf diff "$first" "$second" --json
json '.steps[] | select(.name == "train") | .inputs_note | contains("removed from the store")' true
# the commit
if command -v git >/dev/null; then
    git init -q . && git -c user.name=a -c user.email=a@example.org commit -q --allow-empty -m one
    flow g.yaml <<'E'
steps: {g: {run: 'echo > ${{ outputs.o }}', outputs: {o: o}}}
E
    try 0 wf run g.yaml
    git -c user.name=a -c user.email=a@example.org commit -q --allow-empty -m two
    try 0 wf run g.yaml
    try 0 wf diff --json
    json '[.differences[] | .part + " " + .name]' '["git commit"]'
fi
# two results that are both gone are not thereby the same
printf 'name: gone\nparams: {p: 1}\nsteps: {g: {run: "echo $P > $WF_OUT/o", env: {P: "${{ params.p }}"}, outputs: {o: o}}}\n' >gone.yaml
for p in 1 1 2; do try 0 wf run gone.yaml -p p=$p; done
try 0 wf cache rm -w gone --yes
try 0 wf diff
says "whether its inputs differ is not known"
says "1 step differs, 0 the same"
finish
