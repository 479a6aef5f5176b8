# SPDX-License-Identifier: Apache-2.0
# Replicas in containers without a network, run by a user of the image's own: they outlive the supervisor and other runs' cleaning, are never doubled, and end with their run.
. "$(dirname "$0")/lib.sh"
PATH=$PATH:/usr/sbin
command -v haproxy >/dev/null || skip "haproxy is not installed"
need_engine
cc=$(command -v cc || command -v gcc || command -v clang) || skip "no C compiler is installed"
"$cc" -static -pthread -O1 -D_GNU_SOURCE -o replica "${WF_SOURCE:?}/tests/servers/replica.c" || skip "no static C library is installed (Debian: libc6-dev)"
name=wf-serve-test-$$
mkdir -p context
cp replica context/replica
cp /bin/busybox context/busybox
printf 'FROM scratch\nADD busybox /bin/busybox\nADD busybox /bin/sh\nADD replica /bin/replica\nENV PATH=/bin\nUSER 1234:1234\n' >context/Containerfile
image "$name" context || exit 1
pid=0
trap '[ "$pid" = 0 ] || kill "$pid" 2>/dev/null; wait; drop_image "$name"; cleanup' EXIT

flow web.yaml <<E
steps:
  web:
    kind: serve
    image: localhost/$name
    network: none
    run: exec replica "\$WF_SOCKET" "\$(id -u 2>/dev/null || busybox id -u)"
    replicas: 2
    ready: /v2/health/ready
    grace: 2s
E
flow other.yaml <<E
steps:
  hello: {image: localhost/$name, run: 'busybox echo hello >\${{ outputs.o }}', outputs: {o: o}}
E
service() { wf services --json | jq -r "[.[] | select(.step == \"web\") | $1][0]"; }
live() { [ "$(service .state)" = live ] && [ "$(service .replicas_up)" = 2 ]; }
ids() {
    local store
    store=$(cat "$WF_STORE/id" 2>/dev/null || sqlite3 "$WF_STORE/wf.db" "SELECT value FROM meta WHERE name = 'id'")
    if [ -n "${WF_CONTAINER_HOST-}" ]; then
        curl -sS --unix-socket "$(engine_socket)" -G "http://d/v1.40/containers/json" --data-urlencode "filters={\"label\":[\"wf.store=$store\",\"wf.run=serve\"]}" | jq -r '.[].Id'
    else
        podman ps -q --filter "label=wf.store=$store" --filter label=wf.run=serve
    fi | sort | tr '\n' ' '
}
supervisor() { pgrep -f -- "supervise --store $WF_STORE" | head -1; }
answers() { [ "$(curl -s "$(service .endpoint)/who")" = 1234 ]; }

background run web.yaml --keep-serving
check "it is served" wait_for 60 live
check "by a user of the image's own" answers
before=$(ids)
same "one container each" "$(echo "$before" | wc -w)" 2

try 0 wf run other.yaml
same "another run leaves them alone" "$(ids)" "$before"

old=$(supervisor)
check "the supervisor runs" test -n "$old"
kill -9 "$old"
taken() { [ -n "$(supervisor)" ] && [ "$(supervisor)" != "$old" ] && live; }
check "another supervisor takes them up" wait_for 30 taken
same "none is doubled or started again" "$(ids)" "$before"
check "they answer" answers

kill -INT "$pid"
wait "$pid"
check "no container is left" wait_for 30 no_containers
gone_too() { [ -z "$(supervisor)" ]; }
check "nor a supervisor" wait_for 30 gone_too
finish
