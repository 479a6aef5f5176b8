# SPDX-License-Identifier: Apache-2.0
# The smallest serving example: the quick model answers alone while the careful one is trained, then both do, and nobody who asks meanwhile is turned away. Then nothing is left of it.
. "$(dirname "$0")/lib.sh"
PATH=$PATH:/usr/sbin
command -v haproxy >/dev/null || skip "haproxy is not installed"
cp -r "${WF_SOURCE:?}/examples/serving" .
try 0 wf check --strict serving/pipeline.yaml
cd serving || exit 1
port=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])')
url=http://127.0.0.1:$port/v2/models/both/infer
body='{"inputs": [{"name": "x", "datatype": "FP64", "shape": [2], "data": [1, 10]}]}'
ask() { curl -sS --fail-with-body --max-time 20 "$url" -d "$body" >"$T/answer" 2>>"$T/trouble"; }
members() { jq -c '.parameters.members | sort' "$T/answer"; }
both() { ask || { echo "request failed: $(cat "$T/answer")" >>"$T/trouble"; return 1; }; seen="$seen $(members)"; [ "$(members)" = '["careful","quick"]' ]; }
value() { jq ".slope * 10 + .offset" "$(wf outputs "train[how=$1].model")"; }

background run pipeline.yaml -p "listen=127.0.0.1:$port" --keep-serving
trap 'kill "$pid" 2>/dev/null; cleanup' EXIT
check "the first model answers" wait_for 20 ask
no_haproxy() { for p in $(pgrep -x haproxy); do case $(readlink "/proc/$p/cwd") in "$T"/*) return 1 ;; esac; done; }
check "HAProxy carries it" eval '! no_haproxy'
same "it is the quick one, alone" "$(members)" '["quick"]'
: >"$T/trouble"
seen=
check "the second joins" wait_for 20 both
same "only these two have answered" "$(echo "$seen" | tr ' ' '\n' | sort -u | xargs)" '[careful,quick] [quick]'
same "no request was lost" "$(cat "$T/trouble")" ""
ended() { [ "$(wf show --json | jq -r .status)" = succeeded ]; }
check "the run has ended and goes on serving" wait_for 20 ended
check_out ask.answer "$(cat "$T/answer")"
check "the answer is the mean of both" jq -en --slurpfile a "$T/answer" --argjson q "$(value quick)" --argjson c "$(value careful)" '$a[0].outputs[0].data[1] - ($q + $c) / 2 | fabs < 1e-6'
check "it still answers" ask
wf models --json >models.json
json '[.[] | [.number, .models[].name]]' '[[2,"train[how=careful]","train[how=quick]"],[1,"train[how=quick]"]]' models.json
json '.[0].state' '"live"' models.json
kill -TERM "$pid"; code=0; wait "$pid" || code=$?
same "exit code: the run's" "$code" 0
no_process "no model server is left" "$T/.*/serve.py"
check "no HAProxy is left" wait_for 5 no_haproxy
check "nothing listens" sh -c "! curl -s http://127.0.0.1:$port/"

try 0 wf run pipeline.yaml -p "listen=127.0.0.1:$port"
check_status "train[how=careful]" cached
check "no other promotion" test "$(wf models --json | jq length)" = 2
check_out ask.answer "$(cat "$T/answer")"
no_process "services of a plain run end with it" "$T/.*/serve.py"
check_store
finish
