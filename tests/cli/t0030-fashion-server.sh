# SPDX-License-Identifier: Apache-2.0
# The main example's inference server and its evaluation: each kind of model answers over a unix socket what fashion-predict says, in all forms of a request; wrong requests and wrong files are told; TERM loses nothing.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fashion.sh"
fashion_programs
fashion_dataset
server=
stop_server() { [ -z "$server" ] || kill "$server" 2>/dev/null; server=; }
trap 'stop_server; cleanup' EXIT
ask() { local path=$1; shift; curl -sS -o "$T/.out" -w '%{http_code}' --max-time 20 --unix-socket s "http://x$path" "$@" 2>"$T/.err" || true; }
asked() { local want=$1 got; shift; got=$(ask "$@"); same "$1 answers" "$got" "$want"; }
start() { fashion-serve --model "$1.bin" --name "$1" --listen s >log 2>&1 & server=$!; wait_for 10 curl -s -o .live --unix-socket s http://x/v2/health/live || { cat log >&2; exit 1; }; }

try 0 fashion-ingest --from raw --to data
for kind in softmax mlp forest knn; do
    try 0 fashion-train --model "$kind" --data data --epochs 3 --trees 5 --out "$kind.bin" --metrics "$kind.json"
    try 0 fashion-predict --model "$kind.bin" --data data --out "$kind.rows"
    start "$kind"
    for i in 0 7 229; do fashion-evaluate --request "$i" --data data; done | jq -c .inputs[0].data >images
    jq -sc '{id: "x", inputs: [{name: "images", shape: [3, 784], datatype: "UINT8", data: add}]}' images >flat
    jq -sc '{inputs: [{data: ., datatype: "FP32", shape: [3, 784], name: "images"}], outputs: [{name: "label"}, {name: "probabilities"}]}' images >nested
    jq -sc '{instances: ., parameters: {a: [1, {}]}}' images >v1
    asked 200 "/v2/models/$kind/infer" -d @flat
    json '[.model_name, .id, .outputs[0].name, .outputs[0].shape, (.outputs | length)]' "[\"$kind\",\"x\",\"probabilities\",[3,10],1]"
    cp .out first
    check "$kind answers what fashion-predict wrote" jq -en --slurpfile rows "$kind.rows" --slurpfile a first \
        '[$a[0].outputs[0].data, ($rows[0] | [.[0], .[7], .[229]] | add)] | transpose | all((.[0] - .[1]) | fabs < 1e-5)'
    asked 200 "/v2/models/$kind/infer" -d @nested
    check "$kind: nested FP32 is the same" jq -e --slurpfile a first '[.outputs[] | select(.name == "probabilities").data] == [$a[0].outputs[0].data]' .out
    json '[.outputs[] | select(.name == "label") | .shape, .datatype]' '[[3],"INT64"]'
    asked 200 "/v1/models/$kind:predict" -d @v1
    check "$kind: v1 is the same" jq -e --slurpfile a first '(.predictions | add) == $a[0].outputs[0].data' .out
    try 0 fashion-evaluate --endpoint unix:s --model "$kind" --data data --out served.json --batch 64
    same "$kind is as accurate as trained" "$(jq -c '[.accuracy, .loss, .requests, .members]' served.json)" "$(jq -c --arg m "$kind" '[.accuracy, .loss, 4, [{model: $m, answers: 4}]]' "$kind.json")"
    stop_server; wait_for 5 test ! -e s
done

start mlp
for path in /v2 /v2/health/live /v2/health/ready /v2/models/mlp /v2/models/mlp/ready /v1/models/mlp; do asked 200 "$path"; check "$path is JSON" jq -e .[] .out; done
asked 200 /v2/models/mlp
json '[.name, .inputs[0].name, .inputs[0].shape, .outputs[0].shape]' '["mlp","images",[-1,784],[-1,10]]'
asked 404 /v2/models/forest/ready
asked 404 /
asked 405 /v2/models/mlp/infer
asked 405 /v2/health/live -d x
refused() { asked "$1" /v2/models/mlp/infer -d "$2"; check "a sentence for it" jq -e '.error | length > 10' .out; }
refused 400 ''
refused 400 '{"inputs":[{"name":"images","shape":[1,784],"datatype":"UINT8","data":[1,2,3'
refused 400 '{"inputs":[]}'
refused 400 '{"inputs":[{"name":"images","shape":[1,3],"datatype":"UINT8","data":[1,2,3]}]}'
refused 400 '{"inputs":[{"name":"images","shape":[0.5,784],"datatype":"UINT8","data":[]}]}'
refused 400 '{"inputs":[{"name":"pictures","shape":[0,784],"datatype":"UINT8","data":[]}]}'
refused 400 '{"inputs":[{"name":"images","shape":[0,784],"datatype":"BYTES","data":[]}]}'
refused 400 "$(jq -c '.inputs[0].data[5] = 256' flat)"
refused 400 "$(jq -c '.inputs[0].data[5] = "1"' flat)"
refused 400 "$(jq -c '.inputs[0].shape = [4, 784]' flat)"
refused 400 "$(jq -c '.outputs = [{name: "weights"}]' flat)"
refused 400 "$(cat flat) ,"
refused 400 "$(printf '[%.0s' $(seq 2000))"
asked 200 /v2/models/mlp/infer -d '{"inputs":[{"name":"images","shape":[0,784],"datatype":"UINT8","data":[]}]}'
json .outputs[0].shape '[0,10]'
asked 411 /v2/models/mlp/infer -H 'Transfer-Encoding: chunked' -d @flat
head -c 68000000 /dev/zero >much
asked 413 /v2/models/mlp/infer --data-binary @much -H Expect:
asked 413 /v2/models/mlp/infer --data-binary @much
rm much
curl -sS --unix-socket s http://x/v2 http://x/v2/health/live -v >/dev/null 2>talk
same "two requests take one connection" "$(grep -c 'Re-using existing connection' talk)" 1
seq 40 | xargs -P 20 -I @@ curl -sS -o /dev/null -w '%{http_code}\n' --unix-socket s http://x/v2/models/mlp/infer -d @flat | sort | uniq -c >codes
same "40 requests, 20 at once" "$(awk '{print $1, $2}' codes)" "40 200"
try 1 fashion-serve --model mlp.bin --listen s
says "another server"
asked 200 /v2/health/live
kill -9 "$server"; wait "$server" 2>/dev/null
start forest
asked 200 /v2/health/live

# TERM while a request is half sent: it is answered, nothing new is taken, exit 0, no socket is left
cat >half.py <<'P'
import os, signal, socket, sys, time
pid = int(sys.argv[1])
body = open("flat", "rb").read()
idle, busy = (socket.socket(socket.AF_UNIX) for _ in range(2))
for s in idle, busy:
    s.settimeout(20)
    s.connect("s")
idle.sendall(b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n")
assert idle.recv(4096).startswith(b"HTTP/1.1 200 ")
busy.sendall(b"POST /v2/models/forest/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:100])
busy.setblocking(True)
time.sleep(0.1)  # so that it has begun; were it not, the connection would still be taken
os.kill(pid, signal.SIGTERM)
assert idle.recv(4096) == b"", "an idle connection is closed"
try:
    new = socket.socket(socket.AF_UNIX)
    new.connect("s")
    sys.exit("a new connection was taken")
except OSError:
    pass
busy.sendall(body[100:])
answer = b""
while part := busy.recv(65536):
    answer += part
assert answer.startswith(b"HTTP/1.1 200 ") and b"Connection: close" in answer and answer.endswith(b"]}]}"), answer[:200]
P
try 0 python3 half.py "$server"
wait "$server"; same "exit code after TERM" "$?" 0
server=
check "the socket is gone" test ! -e s

# files that are no models
tampered() { cp forest.bin bad.bin; python3 -c "$1"; try 1 fashion-serve --model bad.bin --listen bad; says "bad.bin"; check "nothing listened" test ! -e bad; }
tampered 'open("bad.bin","r+b").truncate(1000)'
tampered 'open("bad.bin","wb")'
tampered 'f=open("bad.bin","r+b"); f.seek(500); b=f.read(1); f.seek(500); f.write(bytes([b[0]^1]))'
tampered 'open("bad.bin","ab").write(b"x")'
tampered 'open("bad.bin","wb").write(b"#!/bin/sh\n"*9)'
try 1 fashion-serve --model none.bin --listen bad
try 2 fashion-serve --model forest.bin
try 2 fashion-serve --model forest.bin --listen s --port 0
try 1 fashion-serve --model forest.bin --listen "$(printf 'x%.0s' $(seq 200))"

# what wf hands over is enough; the port of an endpoint
WF_MODEL=mlp.bin WF_MODEL_NAME=best WF_SOCKET=s fashion-serve >log 2>&1 & server=$!
wait_for 10 test -S s
asked 200 /v2/models/best/ready
stop_server
port=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])')
PORT=$port fashion-serve --model mlp.bin >log 2>&1 & server=$!
wait_for 10 curl -sf "http://127.0.0.1:$port/v2/health/ready"
try 0 fashion-evaluate --endpoint "http://127.0.0.1:$port" --model mlp --data data --out served.json
try 1 fashion-evaluate --endpoint "http://127.0.0.1:$port" --model best --data data --out served.json
says "answered 404"
stop_server
wait_for 5 sh -c "! curl -s http://127.0.0.1:$port/v2"
try 1 fashion-evaluate --endpoint "http://127.0.0.1:$port" --model mlp --data data --out served.json
try 1 fashion-evaluate --endpoint ftp://x --model mlp --data data --out served.json
finish
