# SPDX-License-Identifier: Apache-2.0
# The registry: what was promoted, how it is shown, and going back: in the registry alone, and with a service that answers all along.
. "$(dirname "$0")/lib.sh"
PATH=$PATH:/usr/sbin
flow w.yaml <<'E'
name: w
params: {version: 1}
steps:
  data: {kind: ingest, source: data.csv}
  train:
    kind: train
    matrix: {bias: [1]}
    run: |
      wc -l < ${{ steps.data.outputs.data }} > ${{ outputs.rows }}
      echo "bias ${{ matrix.bias }}" > ${{ outputs.model }}
      echo '{"acc": 0.${{ matrix.bias }}, "version": ${{ params.version }}}' > ${{ outputs.metrics }}
    outputs: {model: model.txt, metrics: m.json, rows: rows}
  select: {kind: select, from: train, metric: acc, promote: early}
E
printf 'a\nb\n' >data.csv
numbers() { wf models --json -n 100 "$@" | jq -c '[.[] | [.number, .state, .models[].name]]'; }

# --- the list ---
try 0 wf models
try 2 wf models show
says 'nothing has been promoted'
try 2 wf models rollback select
says 'nothing has been promoted in this store yet'
try 0 wf run w.yaml --summary run.json
says 'promoted +select +1: 1 0.1'
json '[.promotions[] | [.number, .step, .models[].name, .models[].metric, .models[].slug]]' '[[1,"select","train[bias=1]",0.1,"1"]]' run.json
first=$(jq -r .run run.json)
sed -i 's/\[1\]/[1, 2]/' w.yaml
try 0 wf run w.yaml --summary run.json
json '[.promotions[] | [.number, .models[].name]]' '[[2,"train[bias=2]"]]' run.json
same "the list" "$(numbers)" '[[2,"current","train[bias=2]"],[1,"past","train[bias=1]"]]'
for filter in w w/select select; do same "of $filter" "$(wf models "$filter" --json | jq length)" 2; done
same "so many" "$(wf models -n 1 --json | jq length)" 1
try 0 wf models
says '2 +just now +[0-9A-Z]{26} +(early|final) +current'
try 2 wf models selct
says "did you mean 'select'"
try 2 wf models rolback
says "did you mean 'rollback'"

# --- one ---
try 0 wf models show select@1 --json
json '[.number, .models[0].matrix, .models[0].metrics, .models[0].metric]' '[1,{"bias":1},{"acc":0.1,"version":1},0.1]'
json '.models[0] | [.run, .barred, (.provenance[0] | .step), ([.outputs[].name] | sort)]' "[\"$first\",false,\"data\",[\"metrics\",\"model\",\"rows\"]]"
json '.models[0].provenance[0].digest' "\"sha256:$(sha256sum <data.csv | cut -c1-64)\""
file=$(jq -r '.models[0].outputs[] | select(.name == "model") | .file' "$T/.out")
same "its file" "$(cat "$file")" "bias 1"
key=$(jq -r '.models[0].key' "$T/.out")
try 0 wf cache show "$key"
try 0 wf models show
says 'promotion w/select@2 \(current\)'
says 'trained +by run'
says "output +model .* $WF_STORE/models/"
try 2 wf models show select@7
says 'has no promotion 7'

# --- going back, and what that takes away ---
try 2 wf models rollback select --to 2
says 'promotion 2 of w/select stands'
try 0 wf models rollback select
says 'promotion 3 of w/select has the models of 1: 1 0.1'
says 'no service is up'
same "after it" "$(numbers)" '[[3,"current","train[bias=1]"],[2,"withdrawn","train[bias=2]"],[1,"past","train[bias=1]"]]'
try 0 wf models
says 'train\[bias=2\] of w/select is not promoted again'
try 2 wf models rollback select
says 'nothing to go back to'
try 0 wf run w.yaml -q --summary run.json
json '.promotions' '[]' run.json
try 0 wf run w.yaml -q -p version=2 --summary run.json
json '.promotions' '[]' run.json # other metrics, and the same models
try 2 wf models allow select 'train[bias=3]'
says "did you mean 'train\[bias=2\]'"
try 0 wf models allow w/select
says '1 model of w/select may be promoted again'
try 2 wf models allow select
says 'no rollback of w/select took a model away'
try 0 wf run w.yaml -q --summary run.json
json '[.promotions[] | [.number, .models[].name]]' '[[4,"train[bias=2]"]]' run.json
try 0 wf models rollback select --to 3 --json
json '[.number, .from, .to, .services]' '[5,4,3,[]]'
try 0 wf models rollback select --to 2 # withdrawn itself, and its model barred: who names it wants it
same "in the end" "$(numbers -n 2)" '[[6,"current","train[bias=2]"],[5,"withdrawn","train[bias=1]"]]'
check_store

# --- with a service ---
command -v haproxy >/dev/null || { [ "$failures" = 0 ] || finish; skip "haproxy is not installed"; }
cp "${WF_SOURCE:?}/tests/servers/model.py" .
port=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])')
url=http://127.0.0.1:$port/v2/models/any/infer
flow s.yaml <<E
name: s
params: {version: 1, fault: none}
steps:
  train:
    kind: train
    matrix: {bias: [1, 2, 3]}
    run: |
      i=0
      [ \${{ matrix.bias }} = 1 ] || until [ -e go\${{ matrix.bias }} ]; do sleep 0.05; i=\$((i + 1)); [ \$i -lt 600 ]; done
      echo "bias \${{ matrix.bias }}" >\${{ outputs.model }}
      echo \${{ params.version }} >\${{ outputs.version }}
      if [ \${{ matrix.bias }} = 3 ]; then acc=0; else acc=\${{ matrix.bias }}; fi
      echo "{\"acc\": \$acc}" >\${{ outputs.metrics }}
    outputs: {model: model.txt, metrics: m.json, version: version}
  select: {kind: select, from: train, metric: acc, promote: early}
  serve:
    kind: serve
    from: select
    command: [python3, $T/model.py]
    env: {MODEL_FAULT: '\${{ params.fault }}', MODEL_LATE: 4}
    ready: /v2/health/ready
    listen: 127.0.0.1:$port
E
ask() { curl -sS --fail-with-body --max-time 20 "$url" -d '{"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [10]}]}' 2>>"$T/trouble" | jq '.outputs[0].data[0]'; }
answers() { [ "$(ask)" = "$1" ]; }
state() { wf models s/select --json | jq -c '.[0] | [.number, .state, .serving[].state]'; }
is() { [ "$(state)" = "$1" ]; }
background run s.yaml --keep-serving
trap 'touch "$T/stop"; kill "$pid" 2>/dev/null; cleanup' EXIT
check "the first answers" wait_for 20 answers 11
check "and is live" wait_for 5 is '[1,"live","live"]'
: >"$T/trouble"
(until [ -e "$T/stop" ]; do [ -n "$(ask)" ] || echo "no answer" >>"$T/trouble"; done) &
hammer=$!
touch go2
check "the second takes over" wait_for 20 is '[2,"live","live"]'
# While the third is being trained: a rollback that the rest of the run must not undo.
try 0 wf models rollback s/select
says "serve serves promotion 3 at http://127.0.0.1:$port"
same "at once" "$(ask)" 11
same "live" "$(state)" '[3,"live","live"]'
touch go3
ended() { [ "$(wf show --json | jq -r .status)" = succeeded ]; }
check "the run ends" wait_for 20 ended
same "it goes on" "$(state) $(ask)" '[3,"live","live"] 11'
try 0 wf models rollback s/select --to 2 --json
json '[.number, .services[].step, .services[].state, .services[].endpoint]' "[4,\"serve\",\"live\",\"http://127.0.0.1:$port\"]"
same "and forth" "$(ask)" 12
try 0 wf models show s/select --json
json '[.number, .serving[].endpoint]' "[4,\"http://127.0.0.1:$port\"]"
touch "$T/stop"
wait "$hammer"
same "no request was lost" "$(cat "$T/trouble")" ""
kill -TERM "$pid"; code=0; wait "$pid" || code=$?
same "exit code: the run's" "$code" 0
try 2 wf models rollback s/select # bias 1 is barred, and there is nothing else

# --- while a run is promoting ---
try 0 wf models allow s/select
background run s.yaml -p version=2 -p fault=late
starting() { [ "$(wf services --json | jq -r '.[0].state')" = starting ]; }
check "it is being started" wait_for 10 starting
try 2 wf models rollback s/select
says 'is promoting'
code=0; wait "$pid" || code=$?
same "the run goes well" "$code" 0
same "no other rollback" "$(wf models s/select --json | jq -c '[.[] | select(.reason == "rollback") | .number]')" '[4,3]'

# --- a canary that answers with errors is a rollback too ---
rm -f go2
flow c.yaml <<E
name: c
steps:
  train:
    kind: train
    matrix: {bias: [1, 2]}
    run: |
      i=0
      [ \${{ matrix.bias }} = 1 ] || until [ -e go\${{ matrix.bias }} ]; do sleep 0.05; i=\$((i + 1)); [ \$i -lt 600 ]; done
      echo "bias \${{ matrix.bias }}" >\${{ outputs.model }}
      echo '{"acc": \${{ matrix.bias }}}' >\${{ outputs.metrics }}
    outputs: {model: model.txt, metrics: m.json}
  select: {kind: select, from: train, metric: acc, promote: early}
  serve:
    kind: serve
    from: select
    command: [python3, $T/model.py]
    ready: /v2/health/ready
    listen: 127.0.0.1:$port
    canary: {share: 50%, for: 30s, max_errors: 1%}
  all: {kind: aggregate, from: serve, method: mean}
E
state() { wf models c/select --json | jq -c '.[0] | [.number, .reason, .state, .models[].name]'; }
background run c.yaml --keep-serving
check "the first answers" wait_for 20 answers 11
check "and is live" wait_for 5 is '[1,"early","live","train[bias=1]"]'
combined() { wf models c/select --json | jq -e '.[0].serving | map(select(.step == "all" and .endpoint != null)) | length == 1'; }
check "where it is combined is named too" wait_for 10 combined
touch go2
# shellcheck disable=SC2046 # many addresses
fails() { curl -s --max-time 5 $(yes "http://127.0.0.1:$port/fail" | head -20) >/dev/null; is '[3,"rollback","live","train[bias=1]"]'; }
check "the second's errors take it away" wait_for 25 fails
same "the first has gone on" "$(ask)" 11
kill -TERM "$pid"; code=0; wait "$pid" || code=$?
same "the run has failed: its last promotion did not stay" "$code" 1
try 0 wf models c
says 'train\[bias=2\] of c/select is not promoted again: promotion 2 was rolled back'
no_process "nothing serves any more" "$T/model.py"
check_store
finish
