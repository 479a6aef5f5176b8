# SPDX-License-Identifier: Apache-2.0
# Members that fail, quorum, time, methods, own commands, split requests.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/gateway.sh"
model one answer=rows value=1
model three answer=rows value=3
model again answer=rows value=3
model echo answer=echo chunked=1
model echo2 answer=echo once=1
model broken status=500
model picky status=400 body='{"error":"x has 4 columns, not 1"}'
model hang bad=hang
model close bad=close
model half answer=rows bad=half
model garbage bad=garbage
model huge bad=huge
model novone answer=rows value=9 v1=0
model words answer=rows 'value="w"' datatype=BYTES
model page answer=/dev/null
data='[.outputs[0].data, .parameters.members]'

# Whoever fails is left out
for bad in broken picky close half garbage huge page gone; do
    configure c.json mean "$(member $bad 2)" "$(member one 1)"
    gateway c.json
    answers 200 $INFER -d "$(rows 2)"
    json "$data" '[[1,1],["one"]]'
    header X-Wf-Members one
    kill "$gateway"
    wait "$gateway"
    same "exit code" $? 0
done

# Below quorum
configure c.json mean "$(member broken 2)" "$(member one 1)" -- '.quorum = 2'
gateway c.json
answers 503 $INFER -d "$(rows 2)"
header Retry-After 1
says "1 of the 2 models.*'broken' answers 500: it broke"
reload mean "$(member one 1)" -- '.quorum = 2'
answers 503 /v2/health/ready
header Retry-After 1
answers 503 /v2/models/ensemble/ready
answers 503 $INFER -d "$(rows 2)"
says 'not ready: 1 of the 2'
reload mean # no member at all
answers 503 $INFER -d "$(rows 2)"
answers 200 /v2/models/ensemble
json .inputs '[]'


# What all members call the caller's mistake is one
reload mean "$(member picky 1)"
answers 400 $INFER -d "$(rows 2)"
says "'picky' answers 400: x has 4 columns"
reload mean "$(member novone 1)"
answers 404 $PREDICT -d '{"instances":[1]}'
says "'novone' does not speak the v1 protocol.*POST /v2/models/ensemble/infer"
answers 200 $INFER -d "$(rows 1)"
reload mean "$(member broken 1)"
answers 503 $INFER -d "$(rows 1)"
says 'it broke'
answers 200 /v2/health/ready

# Time
reload mean "$(member hang 2)" "$(member one 1)" -- '.timeout_ms = 300'
answers 200 $INFER -d "$(rows 2)"
json "$data" '[[1,1],["one"]]'
reload mean "$(member hang 2)" "$(member one 1)" -- '.timeout_ms = 15000' # asked, but not waited for, until it answers
for _ in 1 2 3; do
    answers 200 $INFER -d "$(rows 2)" --max-time 10
    json "$data" '[[1,1],["one"]]'
done
reload mean "$(member hang 2)" "$(member one 1)" -- '.timeout_ms = 300 | .quorum = 2'
answers 504 $INFER -d "$(rows 2)"
model hang answer=rows value=3
reload mean "$(member hang 2)" "$(member one 1)"
check "it answers again" wait_for 10 eval 'ask $INFER -d "$(rows 1)" && grep -q hang "$T/.out"'
json "$data" '[[2],["hang","one"]]'
kill -9 "$model"
model hang bad=hang
reload mean "$(member hang 2)" -- '.timeout_ms = 300'
answers 504 $INFER -d "$(rows 2)"
says "'hang' did not answer within 0.3 s"
answers 503 /v2/health/ready
reload best "$(member one 2)" "$(member hang 1)" -- '.timeout_ms = 60000'
answers 200 $INFER -d "$(rows 2)" --max-time 10
json "$data" '[[1,1],["one"]]'

# Methods
reload vote "$(member one 3)" "$(member three 2)" "$(member again 1)"
answers 200 $INFER -d "$(rows 2)"
json "$data" '[[3,3],["one","three","again"]]'
reload vote "$(member one 3)" "$(member three 2)"
answers 200 $INFER -d "$(rows 1)"
json "$data" '[[1],["one","three"]]'
reload concat "$(member one 3)" "$(member three 2)"
answers 200 $INFER -d "$(rows 2)"
json '[.outputs[0].shape, .outputs[0].data]' '[[2,2],[1,3,1,3]]'
answers 200 $PREDICT -d '{"instances":[1,2]}'
json .predictions '[[1,3],[1,3]]'
reload union "$(member three 3)" "$(member again 2)"
answers 200 $PREDICT -d '{"instances":[1,2]}'
json .predictions '[[3],[3]]'
reload best "$(member broken 3)" "$(member three 2)" "$(member one 1)"
answers 200 $INFER -d "$(rows 2)"
json "$data" '[[3,3],["three"]]'
reload mean "$(member one 3)" "$(member words 2)"
answers 502 $INFER -d "$(rows 2)"
says "'one' and 'words' do not fit together"

# Own commands
own='jq -c "{outputs: [{name: \"n\", shape: [1], datatype: \"INT64\", data: [length]}], seen: map(.member), kept: \$ENV.KEPT}"'
reload command "$(member one 3)" "$(member three 2)" -- ".command = [\"sh\", \"-c\", $(jq -cn --arg c "$own" '$c')] | .env = [\"PATH=$PATH\", \"KEPT=yes\"]"
answers 200 $INFER -d '{"id":"q","inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]}'
json . '{"model_name":"ensemble","id":"q","outputs":[{"name":"n","shape":[1],"datatype":"INT64","data":[2]}],"seen":["one","three"],"kept":"yes","parameters":{"members":["one","three"]}}'
for i in $(seq 20); do ask $INFER -d "$(rows 1)"; echo "$status"; done | sort | uniq -c >"$T/.out"
says '^ *20 200$'
reload command "$(member one 3)" -- ".command = [\"sh\", \"-c\", \"echo oops; exit 3\"]"
answers 502 $INFER -d "$(rows 1)"
says 'exit code 3'
reload command "$(member one 3)" -- ".command = [\"echo\", \"[]\"] | .env = [\"PATH=$PATH\"]"
answers 502 $INFER -d "$(rows 1)"
says 'what the command printed'
reload command "$(member one 3)" -- '.command = ["no-such-program"]'
answers 502 $INFER -d "$(rows 1)"
says 'no-such-program: not found'
reload command "$(member one 3)" -- ".command = [\"sh\", \"-c\", \"sleep 4117 & sleep 4117\"] | .env = [\"PATH=$PATH\"] | .timeout_ms = 400"
answers 504 $INFER -d "$(rows 1)"
says 'longer than 0.4 s'
no_process "the command's processes are gone" 'sleep 4117'

# Large requests are cut, spread, and put together in order
rm -f log1 log2
model part1 answer=echo log="$T/log1"
model part2 answer=echo log="$T/log2" chunked=1
reload mean "$(member parts 2 part1 part2)" -- '.split = 3'
answers 200 $INFER -d "$(rows 100)"
json '[.outputs[0].shape, .outputs[0].data == [range(100)]]' '[[100,1],true]'
same "parts" "$(cat log1 log2 | wc -l)" 34
check "both replicas were asked" test "$(wc -l <log1)" -ge 2 -a "$(wc -l <log2)" -ge 2
answers 200 $PREDICT -d "$(jq -cn '{instances: [range(50) | {a: [., "x,]"]}]}')"
json '.predictions == [range(50) | {a: [., "x,]"]}]' true
answers 200 $INFER -d "$(rows 3)"
same "small requests stay whole" "$(cat log1 log2 | wc -l)" $((34 + 17 + 1))
reload mean "$(member echo 2)" "$(member echo2 1)" -- '.split = 7'
answers 200 $INFER -d "$(rows 50)"
json '[.outputs[0].data == [range(50)], .parameters.members]' '[true,["echo","echo2"]]'
jq -cn '{inputs: [{name: "x", shape: [20000, 10], datatype: "FP64", data: [range(200000) | . / 8]}]}' >large
reload mean "$(member echo 2)" "$(member echo2 1)" -- '.split = 1000'
answers 200 $INFER --data-binary @large
json '.outputs[0].data == [range(200000) | . / 8]' true

# The end does not wait for one that hangs and that nobody waits for
reload mean "$(member hang 2)" "$(member one 1)" -- '.timeout_ms = 300'
answers 200 $INFER -d "$(rows 1)"
reload mean "$(member hang 2)" "$(member one 1)" -- '.timeout_ms = 60000'
answers 200 $INFER -d "$(rows 1)"
kill -TERM "$gateway"
wait "$gateway"
same "exit code" $? 0
finish
