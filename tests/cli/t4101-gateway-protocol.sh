# SPDX-License-Identifier: Apache-2.0
# The endpoint of an aggregate step as callers see it: every route, every error.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/gateway.sh"

model mlp answer=rows value=1.25
model softmax answer=rows value=2 chunked=1
configure c.json mean "$(member mlp 0.88)" "$(member softmax 0.8)" -- '.max_body = 100000'
gateway c.json

# What needs no model
answers 200 /v2
json .name '"wf"'
json '.version | type' '"string"'
answers 200 /v2/health/live
answers 200 /v2/health/ready
answers 200 /v2/models/ensemble/ready
json . '{"name":"ensemble","ready":true}'
answers 200 /v1/models/ensemble
json . '{"name":"ensemble","ready":true}'
answers 200 /v2/models
json .models '["ensemble"]'
answers 200 /wf/generation
same generation "$(cat "$T/.out")" "1 1"
answers 200 /v2/models/ensemble
json '[.name, .inputs[0].name, .outputs[0].datatype, (.parameters.members | map(.member))]' '["ensemble","x","FP32",["mlp","softmax"]]'

# Inference
answers 200 $INFER -d '{"id":"a-1","inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","data":[1,2,3,4]}]}'
json . '{"model_name":"ensemble","id":"a-1","outputs":[{"name":"y","shape":[2],"datatype":"FP32","data":[1.625,1.625]}],"parameters":{"members":["mlp","softmax"]}}'
header X-Wf-Members mlp,softmax
header Content-Type application/json
answers 200 $INFER -d '{"inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","data":[[1,2],[3,4]]}]}'
json 'has("id")' false
answers 200 $PREDICT -d '{"instances":[[1],[2],[3]]}'
json . '{"predictions":[1.625,1.625,1.625],"members":["mlp","softmax"]}'
header X-Wf-Members mlp,softmax

# A caller's mistakes
for bad in '' '{' '[]' '{}' '{"inputs":[{"name":"x"}]}' '{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":[1]}]}' '{"inputs":[{"name":"x","shape":[1],"datatype":"FLOAT","data":[1]}]}' \
    '{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":["a"]}]}' '{"inputs":[],"inputs":[]}' '{"instances":[1]}'; do
    answers 400 $INFER -d "$bad"
    json '.error | type' '"string"'
done
answers 400 $PREDICT -d '{"inputs":[]}'
says instances
answers 404 /
answers 404 /v2/models/other
says "no model 'other'"
answers 404 /v2/models/other/infer -d '{}'
answers 404 /v2/models/ensemble/explain
answers 404 /v1/models/mlp:predict -d '{}'
answers 405 $INFER
header Allow POST
answers 405 $PREDICT -X PUT -d '{}'
header Allow POST
answers 405 /v2/health/ready -d '{}'
header Allow "GET, HEAD"

# Bodies: at the limit, above it, announced or not
fill() { jq -cn --argjson n "$1" '{inputs: [{name: "x", shape: [1], datatype: "BYTES", data: [("x" * $n)]}]}'; }
fill 99931 >exact
same "bytes of the largest request" "$(wc -c <exact)" 100000
answers 200 $INFER --data-binary @exact
fill 99932 >over
answers 413 $INFER --data-binary @over
says "100000 bytes"
answers 413 $INFER --data-binary @over -H 'Transfer-Encoding: chunked'
answers 413 $INFER --data-binary @over -H 'Expect:'
answers 200 $INFER --data-binary @exact -H 'Transfer-Encoding: chunked'
answers 200 $INFER --data-binary @exact -H 'Expect: 100-continue'

# HEAD
ask /v2/health/ready -I
same "HEAD" "$status" 200
same "no body with HEAD" "$(wc -c <"$T/.out")" "$(wc -c <"$T/.head")"

# Several requests in one piece, on one connection, answered in order
body=$(rows 1)
{
    for i in 1 2 3; do printf 'POST %s HTTP/1.1\r\nHost: g\r\nContent-Length: %d\r\n\r\n%s' $INFER $((${#body} + 9)) "{\"id\":\"$i\",${body#\{}"; done
    printf 'GET /wf/generation HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n'
} >pipelined
timeout 20 socat -t 10 - "UNIX-CONNECT:$G" <pipelined >pipelined.out
same "answers in order" "$(grep -ao '"id":"[0-9]"' pipelined.out | tr -d '\n')" '"id":"1""id":"2""id":"3"'
same "four answers" "$(grep -ac '^HTTP/1.1 200 ' pipelined.out)" 4

# The end
kill -TERM "$gateway"
wait "$gateway"
same "exit code" $? 0
check "the socket is gone" test ! -e "$G"

# What cannot be served
try 4 wf gateway "$S/none.json"
configure d.json mean -- '.method = "median"'
try 4 wf gateway "$S/d.json"
says method
configure d.json mean -- ".socket = \"$S/$(printf '%0120d' 0)\""
try 4 wf gateway "$S/d.json"
says 'too long'
touch "$S/file"
configure d.json mean -- ".socket = \"$S/file\""
try 4 wf gateway "$S/d.json"
check "a file in the way stays" test -f "$S/file"
configure d.json mean -- ".socket = \"$S/mlp\""
try 4 wf gateway "$S/d.json"
says 'listens on'
wf --help >"$T/.out"
says_not gateway
finish
