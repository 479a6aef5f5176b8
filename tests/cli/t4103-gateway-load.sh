# SPDX-License-Identifier: Apache-2.0
# The gateway under load: a killed replica, a new configuration, a refused one and its own end cost no request. Slow and many clients, and no work when idle.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/gateway.sh"
# all_fine FILE COUNT: at least so many requests were answered, and none otherwise than by 200
all_fine() {
    checks=$((checks + 1))
    local n; n=$(wc -l <"$1")
    if [ "$n" -ge "$2" ] && [ "$(sort -u "$1")" = 200 ]; then echo "ok $checks - $n requests, none failed"; else fail "$1: $(sort "$1" | uniq -c | tr '\n' ';') $(sort "$1.errors" | uniq -c | head -3)"; fi
}
more() { [ -e "$1" ] && [ "$(wc -l <"$1")" -ge "$2" ]; }
# under_load FILE COMMAND…: the command runs in the midst of load
under_load() {
    local file=$1; shift
    rm -f "$S/stop"
    load "$file" & local loader=$!
    wait_for 20 more "$file" 400 || fail "no load"
    "$@"
    local n; n=$(wc -l <"$file")
    wait_for 20 more "$file" $((n + 800)) || fail "the load does not go on"
    touch "$S/stop"
    wait $loader
}

# Two replicas, one is killed
model a answer=rows value=1
first=$model
model b answer=rows value=1
second=$model
configure c.json mean "$(member mlp 1 a b)"
gateway c.json
under_load killed kill -9 "$first"
all_fine killed 1000

# It comes back on another socket, and the other one goes
model c answer=rows value=1 once=1
again() {
    reload mean "$(member mlp 1 c b)"
    reload mean "$(member mlp 1 c)"
}
under_load moved again
all_fine moved 1000

# Members come and go, many times; a broken configuration is refused
reloads() {
    local i
    for i in $(seq 20); do
        reload mean "$(member mlp 1 b)" "$(if [ $((i % 2)) = 0 ]; then member other 0 c; else echo null; fi)"
    done
    echo '{"generation":' >"$S/c.json"
    kill -HUP "$gateway"
    wait_for 5 grep -q 'refused, the old one goes on' "$T/gateway.log" || fail "nothing is said of a broken configuration"
    check "the old one goes on" uses $generation
}
under_load reloaded reloads
all_fine reloaded 1000

# Requests under way end with the members they began with
model slow answer=rows value=5 delay=3000 log="$T/slow.log"
reload mean "$(member slow 1)"
curl -sS --max-time 10 --unix-socket "$G" -d "$(rows 1)" "http://g$INFER" >during &
request=$!
wait_for 5 more slow.log 1 || fail "no request"
before=$generation
reload mean "$(member mlp 1 b)"
same "a request under way uses the one before" "$(curl -sS --max-time 5 --unix-socket "$G" http://g/wf/generation)" "$generation $before"
wait $request
check "and no request does any more" wait_for 5 uses_only $generation
json '[.outputs[0].data, .parameters.members]' '[[5],["slow"]]' during

# Slow clients: a hundred half-sent requests keep nobody waiting. A hundred kept connections, five requests on each, and answers in order
body=$(rows 1)
cat >clients.py <<'E'
import json, socket, sys, time
path, body = sys.argv[1], sys.argv[2].encode()
def connect():
    s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect(path); return s
def request(i):
    b = b'{"id":"%d",' % i + body[1:]
    return b"POST /v2/models/ensemble/infer HTTP/1.1\r\nHost: g\r\nContent-Length: %d\r\n\r\n" % len(b) + b
def answer(s, rest=b""):
    while b"\r\n\r\n" not in rest:
        rest += s.recv(65536)
    head, rest = rest.split(b"\r\n\r\n", 1)
    n = int([l for l in head.split(b"\r\n") if l.lower().startswith(b"content-length")][0].split(b":")[1])
    while len(rest) < n:
        rest += s.recv(65536)
    assert head.startswith(b"HTTP/1.1 200"), head
    return json.loads(rest[:n])["id"], rest[n:]
half = [connect() for _ in range(100)]
for n, s in enumerate(half):
    s.sendall(request(n)[: 20 + n])
kept = [connect() for _ in range(100)]
began = time.monotonic()
for turn in range(5):
    for n, s in enumerate(kept):
        s.sendall(request(1000 * turn + n))
    for n, s in enumerate(kept):
        assert answer(s)[0] == str(1000 * turn + n)
took = time.monotonic() - began
assert took < 15, took
for s in kept[:10]:
    s.sendall(b"".join(request(i) for i in range(20)))
for s in kept[:10]:
    rest = b""
    for i in range(20):
        got, rest = answer(s, rest)
        assert got == str(i), (got, i)
for n, s in enumerate(half):
    s.sendall(request(n)[20 + n :])
for n, s in enumerate(half):
    assert answer(s)[0] == str(n)
print("fine")
E
timeout 60 python3 clients.py "$G" "$body" >"$T/.out" 2>"$T/.err"
same "many clients, slow clients" "$(cat "$T/.out")" fine

# A client that goes away in the middle harms nobody
for n in 1 2 3 4 5; do printf 'POST %s HTTP/1.1\r\nHost: g\r\nContent-Length: 50\r\n\r\n{' $INFER | timeout 1 socat - "UNIX-CONNECT:$G" >/dev/null; done
answers 200 $INFER -d "$(rows 1)"

# Idle: no processor time
ticks() { awk '{ print $14 + $15 }' "/proc/$gateway/stat"; }
before=$(ticks)
sleep 2 # the measure itself
check "no processor time when idle" test $(($(ticks) - before)) -le 1

# Its end: what is under way is answered first
reload mean "$(member slow 1)"
for i in 1 2 3; do
    curl -sS --max-time 10 --unix-socket "$G" -d "$(rows 1)" "http://g$INFER" >"end$i" &
    ends[i]=$!
done
wait_for 5 more slow.log 4 || fail "no requests"
kill -TERM "$gateway"
wait "$gateway"
same "exit code" $? 0
for i in 1 2 3; do wait "${ends[i]}"; json '.outputs[0].data' '[5]' "end$i"; done
check "the socket is gone" test ! -e "$G"

# A socket that a killed gateway left behind is in nobody's way
configure c.json mean "$(member mlp 1 b)"
gateway c.json
kill -9 "$gateway"
wait "$gateway" 2>/dev/null
check "the socket is left" test -S "$G"
gateway c.json
answers 200 $INFER -d "$(rows 1)"
kill -TERM "$gateway"
finish
