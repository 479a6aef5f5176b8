# SPDX-License-Identifier: Apache-2.0
# What keeps services up: replicas that die under load or do not obey, a supervisor and a run that are killed, two runs at once, secrets, a store with a long path; and that it costs nothing while nothing happens.
. "$(dirname "$0")/lib.sh"
PATH=$PATH:/usr/sbin
command -v haproxy >/dev/null || skip "haproxy is not installed"
cp "${WF_SOURCE:?}/tests/servers/model.py" .
# A path too long for a socket's name: sockets lie elsewhere.
WF_STORE=$T/$(printf 'a%.0s' {1..150})/store
export WF_STORE
pids='' pid=0
# shellcheck disable=SC2086 # a list
trap 'kill $pids 2>/dev/null; wait; cleanup' EXIT
kept() { background "$@"; pids="$pids $pid"; }
service() { wf services --json | jq -r "[.[] | select(.step == \"web\") | $1][0]"; }
live() { [ "$(service .state)" = live ] && [ "$(service .replicas_up)" = "${1:-1}" ]; }
supervisor() { pgrep -f -- "supervise --store $WF_STORE" | head -1; }
ask() { curl -s --max-time 20 "$(service .endpoint)/v2/models/web"; }
starts() { sort -u starts 2>/dev/null | wc -l; }
down() { [ "$(wf services --json --all | jq -r '.[] | select(.step == "web") | .state')" = down ]; }
no_supervisor() { [ -z "$(supervisor)" ]; }

flow web.yaml <<E
secrets: {GREETING: {env: GREETING}}
params: {fault: ""}
steps:
  web:
    kind: serve
    command: [python3, "$T/model.py"]
    env: {MODEL_COUNT: "$T/starts", MODEL_FAULT: '\${{ params.fault }}'}
    secrets: [GREETING]
    replicas: 1
    ready: /v2/health/ready
    grace: 1s
E
export GREETING=hello-from-the-run

# --- HAProxy is missing ---
try 4 env WF_HAPROXY="$T/none" "$WF" run web.yaml
says 'HAProxy'
says 'install'

# --- up, listed, with its secret ---
kept run web.yaml --keep-serving
wait_for 30 live || { fail "it is not served"; finish; }
replica=$(ask | jq -r .pid)
check "it has its secret" grep -qz 'GREETING=hello-from-the-run' "/proc/$replica/environ"
check "the secret is not in the store" sh -c "! grep -rq hello-from-the-run '$WF_STORE'"
try 0 wf services
says 'web +live +http://127.0.0.1:[0-9]+ .* 1/1'
wf services --json >"$T/.out"
json '[.[] | .state, .replicas_up, .replicas_wanted, .models[0].slug]' '["live",1,1,"web"]'

# --- nothing happens, nothing is used ---
cpu() { awk '{print $14 + $15}' "/proc/$1/stat"; }
s=$(supervisor)
from=$(cpu "$s")
sleep 3
same "clock ticks of an idle supervisor" "$(($(cpu "$s") - from <= 1))" 1

# --- the supervisor is killed, and what follows it knows what runs, and the secret again ---
kill -9 "$s"
taken() { [ -n "$(supervisor)" ] && [ "$(supervisor)" != "$s" ] && live; }
check "another one takes up what runs" wait_for 20 taken
same "the same process answers" "$(ask | jq -r .pid)" "$replica"
kill -9 "$replica"
other() { local p; p=$(ask | jq -r .pid 2>/dev/null); [ -n "$p" ] && [ "$p" != null ] && [ "$p" != "$replica" ]; }
check "one that dies is replaced" wait_for 20 other
check "the next has the secret too" grep -qz 'GREETING=hello-from-the-run' "/proc/$(ask | jq -r .pid)/environ"

# --- its run is killed; the next takes over what it finds, without a restart ---
gone_run=$(service .run)
replica=$(ask | jq -r .pid)
kill -9 "$pid"
wait "$pid" 2>/dev/null
same "it goes on" "$(ask | jq -r .pid)" "$replica"
kept run web.yaml --keep-serving
taken_over() { [ "$(service .run)" != "$gone_run" ] && live; }
check "a new run has it" wait_for 20 taken_over
same "nothing was started again" "$(ask | jq -r .pid)" "$replica"

# --- two runs want it at once: the later one has it ---
first=$pid
kept run web.yaml --keep-serving
check "the earlier run ends" wait_for 30 sh -c "! kill -0 $first 2>/dev/null"
same "still the same process" "$(ask | jq -r .pid)" "$replica"

# --- taken down by hand: then no supervisor is left ---
try 0 wf services stop web
same "it is down" "$(service .state)" null
kill -INT "$pid" 2>/dev/null
wait "$pid"
check "its supervisor has ended" wait_for 20 no_supervisor
no_process "no model server is left" "$T/model.py"

# --- a run that does not keep it is killed, and nobody comes back: it ends by itself ---
{ cat web.yaml; echo '  hold: {needs: web, run: sleep 600}'; } >hold.yaml
sed -i '1i name: web' hold.yaml
kept run hold.yaml
wait_for 30 live || fail "it is not served"
kill -9 "$pid"
wait "$pid" 2>/dev/null
sleep 20
same "it waits for another run" "$(service .state)" live
check "it ends some time after its run" wait_for 20 down
check "and so does the supervisor" wait_for 20 no_supervisor
no_process "no model server is left" "$T/model.py"

# --- under load: a replica is killed again and again ---
sed -i 's/replicas: 1$/replicas: 2/' web.yaml
kept run web.yaml --keep-serving
check "two replicas" wait_for 30 live 2
cat >load.py <<'E'
import json, sys, threading, time, urllib.request
url, seconds = sys.argv[1], float(sys.argv[2])
body = json.dumps({"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [1]}]}).encode()
good, bad, end = [], [], time.time() + seconds
def load():
    while time.time() < end:
        try:
            with urllib.request.urlopen(urllib.request.Request(url + "/v2/models/web/infer", body), timeout=20) as r:
                good.append(r.status)
        except Exception as e:
            bad.append(str(e))
threads = [threading.Thread(target=load) for _ in range(4)]
for t in threads: t.start()
for t in threads: t.join()
print(json.dumps({"good": len(good), "bad": bad[:3]}))
E
python3 load.py "$(service .endpoint)" 5 >load.out &
load=$!
for _ in 1 2 3; do
    sleep 1
    wait_for 10 live 2
    kill -9 "$(ask | jq -r .pid)"
done
wait "$load"
json .bad '[]' load.out
check "there was load" jq -e '.good > 100' load.out

# --- it does not obey ---
sed -i 's/fault: ""/fault: deaf/' web.yaml
kept run web.yaml --keep-serving
deaf() { live 2 && grep -qz MODEL_FAULT=deaf "/proc/$(ask | jq -r .pid)/environ"; }
check "another program takes over" wait_for 30 deaf
try 2 wf services stop nothing
says "no service 'nothing'"
try 0 wf services stop web/web
no_process "ended by force" "$T/model.py"
kill -INT "$pid" 2>/dev/null
wait "$pid"
check "nothing is left" wait_for 20 no_supervisor
check_store "$WF_STORE"
finish
