# SPDX-License-Identifier: Apache-2.0
# Sources that do not answer: who only looks is not kept waiting, no URL is asked twice, and what will not get better is not tried again.
HERE=$(cd "$(dirname "$0")" && pwd)
. "$(dirname "$0")/lib.sh"
mkdir site; seq 10 >site/a
python3 "$HERE/web.py" & server=$!
# A port where nobody listens, and one whose queue is full, so that a connection is never answered.
python3 - <<'PY' & silent=$!
import os, socket, time
refused = socket.socket(); refused.bind(("127.0.0.1", 0))
full = socket.socket(); full.bind(("127.0.0.1", 0)); full.listen(0)
held = []
for _ in range(4):
    held.append(socket.socket()); held[-1].setblocking(False); held[-1].connect_ex(full.getsockname())
open("ports", "w").write("%d %d\n" % (refused.getsockname()[1], full.getsockname()[1]))
os.rename("ports", "ports.ready")
time.sleep(600)
PY
trap 'kill $server $silent 2>/dev/null; cleanup' EXIT
check "the server is up" wait_for 10 test -e port.ready
check "the others are there" wait_for 10 test -e ports.ready
url=http://127.0.0.1:$(cat port.ready)
read -r refused full <ports.ready
# took SECONDS: less than that since `begin`
begin() { start=$SECONDS; }
took() { check "took less than $1 s" test $((SECONDS - start)) -lt "$1"; }
count() { same "asked $1" "$(grep -c "$1" hits)" "$2"; }
once() { same "names the URL once" "$(grep "failed .*get:" .out | grep -o "$1" | wc -l)" 1; }

# nobody listens
flow w.yaml <<Y
steps:
  a: {kind: ingest, source: 'http://127.0.0.1:$refused/a'}
  b: {kind: ingest, source: 'http://127.0.0.1:$refused/b'}
Y
begin; wf plan w.yaml --json >plan.json; took 5
json '[.steps[].verdict]' '["run","run"]' plan.json
json '.steps[0].why | [match("http://"; "g")] | length' 1 plan.json

# nobody answers: one wait for all that is there
flow w.yaml <<Y
steps:
  a: {kind: ingest, source: 'http://127.0.0.1:$full/a'}
  b: {kind: ingest, source: 'http://127.0.0.1:$full/b'}
  c: {kind: ingest, source: 'http://127.0.0.1:$full/a', cache: {policy: change, measure: etag}}
  free: {run: 'true'}
Y
begin; wf plan w.yaml --json >plan.json; took 6
json '[.steps[].verdict]' '["undecided","undecided","undecided","run"]' plan.json
json '.steps[0].why | test("does not answer")' true plan.json
begin; wf explain w.yaml free --json >explain.json; took 2
json '.[0].verdict' '"run"' explain.json
begin; try 2 wf explain w.yaml fre; took 2
says "did you mean 'free'"

# one try, and one for all who want it
flow w.yaml <<Y
steps:
  a: {kind: ingest, source: '$url/status/503', matrix: {n: [1, 2, 3]}}
  b: {kind: ingest, source: '$url/status/503'}
  c: {kind: ingest, source: '$url/plain/a'}
  d: {run: 'cat \${{ steps.c.outputs.data }}'}
Y
: >hits
begin; wf plan w.yaml --json >plan.json; took 3
json '[.steps[].verdict]' '["run","run","run","run","undecided","undecided"]' plan.json
count /status/503 1
count /plain/a 1
: >hits
try 0 wf explain w.yaml d
count /status/503 0
count /plain/a 1

# a run does wait, and so does its look at what lies outside of it
flow w.yaml <<Y
steps:
  get: {kind: ingest, source: '$url/busy/a'}
  use: {run: 'cat \${{ steps.get.outputs.data }}'}
Y
: >hits
try 0 wf run w.yaml
count 'GET /busy/a 503' 2
: >hits
try 0 wf run w.yaml --only use
count 'HEAD /busy/a 503' 2
says_not stale

# what is for good is said at once
get() { echo "steps: {get: {kind: ingest, source: '$1'}}" >w.yaml; : >hits; }
get "$url/round/a"
try 1 wf run w.yaml
count /round/a 11
says 'edirects'
once "$url/"
get "$url/status/410"
try 1 wf run w.yaml
count /status/410 1
once "$url/"
get "$url/to/ftp://127.0.0.1/a"
begin; try 1 wf run w.yaml; took 3
once "$url/"
check_store
finish
