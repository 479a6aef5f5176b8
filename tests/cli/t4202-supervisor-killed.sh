# SPDX-License-Identifier: Apache-2.0
# The supervisor is killed again and again while promotions are under way: no request is lost, no replica is doubled, the last model serves in the end; and the same once the run is killed too.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/serving.sh"
serve_keys='    replicas: 2' candidates 1 2 3 4 5
give 1 'bias 1' 0.1
background run flow.yaml --keep-serving
check "the first serves" wait_for 30 is .state live
url=$(endpoint)
load answers &
loading=$!
begun() { [ "$(sort -u starts | wc -l)" -gt "$1" ]; }
killed=0
for i in 2 3 4 5; do
    n=$(sort -u starts | wc -l)
    give "$i" "bias $i" "0.$i"
    wait_for 10 begun "$n" # one of its replicas has begun
    for s in $(supervisor); do kill -9 "$s" && killed=$((killed + 1)); done
done
check "it was killed" test "$killed" -ge 3
check "the last one serves" wait_for 60 bias_is 5
check "and is live" wait_for 30 is .state live
check "with two replicas" wait_for 30 servers_are 2
touch stop
wait "$loading"
same "every request was answered" "$(sort -u answers)" 200
same "no request failed" "$(cat answers.errors)" ""

before=$(servers)
s=$(supervisor)
kill -9 "$pid" "$s"
wait "$pid" 2>/dev/null
check "it answers without both" bias_is 5
background run flow.yaml --keep-serving
serves() { grep -q 'Ctrl-C ends' .out; }
check "another run has it" wait_for 30 serves
same "nothing was started again" "$(servers)" "$before"
kill -INT "$pid"
wait "$pid"
check "no model server is left" wait_for 3 servers_are 0
check "no supervisor is left" wait_for 10 no_supervisor
same "no record is left" "$(ls "$WF_STORE/serve/replicas")" ""
check_store
finish
