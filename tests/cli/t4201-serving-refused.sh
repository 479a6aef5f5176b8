# SPDX-License-Identifier: Apache-2.0
# A service that cannot come up: no HAProxy, a port that another program has, a model that is corrupt. Each is told in a sentence, takes no time, and leaves nothing behind.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/serving.sh"
candidates a b
give a 'bias 1' 0.5
give b 'bias 2' 0.4
try 4 env WF_HAPROXY="$T/none" "$WF" run flow.yaml
says 'HAProxy, which is not installed'

# Whoever listens at the port is there before the run, until it is over.
coproc other { python3 -c '
import socket, sys
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
print(s.getsockname()[1], flush=True); sys.stdin.read()'; }
# shellcheck disable=SC2154 # coproc sets it
read -r port <&"${other[0]}"
sed -i "s/^    ready:/    listen: 127.0.0.1:$port\n    ready:/" flow.yaml
try 1 timeout 20 "$WF" run flow.yaml
says "127.0.0.1:$port is taken by another program"
says_not 'has not ended yet'
check "no model server is left" wait_for 3 servers_are 0
check "no supervisor is left" wait_for 10 no_supervisor

# A corrupt model: the one before goes on serving.
candidates c d
give c 'bias 1' 0.5
background run flow.yaml --keep-serving
check "the first serves" wait_for 20 is .state live
url=$(endpoint)
give d 'no model' 0.9
check "the second cannot" wait_for 20 is .state failed
check "why is told" grep -q 'model file is corrupt' <<<"$(service .error)"
check "the first answers" bias_is 1
kill -INT "$pid"
wait "$pid"
check "no model server is left" wait_for 3 servers_are 0

# Ctrl-C before the first model is ready: a service that was to be kept is not.
serve_env=', MODEL_FAULT: late, MODEL_LATE: "30"' candidates e
give e 'bias 1' 0.5
background run flow.yaml --keep-serving
check "it starts" wait_for 20 servers_are 1
kill -INT "$pid"
wait "$pid"
check "no model server is left" wait_for 10 servers_are 0
check "no supervisor is left" wait_for 10 no_supervisor
check_store
finish
