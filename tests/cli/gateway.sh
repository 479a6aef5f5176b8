# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the stories of the gateway share: model servers that behave or not, a gateway, requests to it. Sourced after lib.sh.
OIP=${OIP:?set OIP to the model server for tests (tests/servers/oip.c)}
# Sockets have short paths.
S=$(mktemp -d /tmp/wf-gw.XXXXXX)
started=()
end_all() { local p; for p in "${started[@]}"; do kill -9 "$p" 2>/dev/null; done; wait 2>/dev/null; grep -ahE 'Sanitizer|runtime error' "$T/gateway.log" 2>/dev/null; rm -rf "$S"; cleanup; }
trap end_all EXIT
# model NAME [OPTION…]: a model server on $S/NAME; its pid is in $model
model() { local name=$1; shift; "$OIP" "$S/$name" "$@" & model=$!; started+=("$model"); wait_for 5 python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])' "$S/$name" || fail "model server $name does not start"; }
# member NAME RANK [SOCKET…]: a member's JSON; without sockets its own
member() {
    local name=$1 metric=$2 r; shift 2
    [ $# -gt 0 ] || set -- "$name"
    r=$(printf '%s\n' "$@" | jq -R --arg s "$S" '{socket: ($s + "/" + .)}' | jq -cs .)
    jq -cn --arg n "$name" --argjson m "$metric" --argjson r "$r" '{slug: $n, name: "train[model=\($n)]", metric: $m, replicas: $r}'
}
# configure CONFIG METHOD MEMBER… [-- FILTER]: writes $S/CONFIG; FILTER changes it
generation=0
configure() {
    local file=$1 method=$2 filter=. list=(); shift 2
    while [ $# -gt 0 ]; do if [ "$1" = -- ]; then filter=$2; shift 2; else list+=("$1"); shift; fi; done
    generation=$((generation + 1))
    printf '%s\n' "${list[@]}" | jq -cs --arg s "$S/${file%.json}.g" --arg m "$method" --argjson g "$generation" \
        '{generation: $g, socket: $s, name: "ensemble", method: $m, quorum: 1, members: map(select(. != null))}' | jq -c "$filter" >"$S/$file.new" && mv "$S/$file.new" "$S/$file"
}
# gateway CONFIG: `wf gateway` on it; its pid is in $gateway, its socket in $G
gateway() { env --default-signal=INT,TERM "$WF" gateway "$S/$1" 2>>"$T/gateway.log" & gateway=$!; started+=("$gateway"); G=$S/${1%.json}.g; wait_for 5 ask /v2/health/live || fail "the gateway does not start: $(cat "$T/gateway.log")"; }
# ask PATH [curl option…]: status in $status, body in .out, header in .head
ask() { local path=$1; shift; status=$(curl -sS -g --max-time 20 --unix-socket "$G" -o "$T/.out" -D "$T/.head" -w '%{http_code}' "$@" "http://gateway$path" 2>"$T/.err"); [ "$status" != 000 ]; }
# answers STATUS PATH [curl option…]
answers() { local want=$1; shift; ask "$@"; checks=$((checks + 1)); if [ "$status" = "$want" ]; then echo "ok $checks - $want: $1"; else fail "$1 answers $status, expected $want"; fi; }
# uses GENERATION: new requests use it
uses() { curl -sS --max-time 5 --unix-socket "$G" http://gateway/wf/generation 2>/dev/null | grep -q "^$1 "; }
# uses_only GENERATION: requests under way too
uses_only() { [ "$(curl -sS --max-time 5 --unix-socket "$G" http://gateway/wf/generation 2>/dev/null)" = "$1 $1" ]; }
# reload METHOD MEMBER… [-- FILTER]: the gateway on c.json uses that from now on
reload() { configure c.json "$@"; kill -HUP "$gateway"; wait_for 5 uses $generation || fail "generation $generation is not used"; }
header() { checks=$((checks + 1)); if grep -qi "^$1: $2"$'\r''$' "$T/.head"; then echo "ok $checks - header $1: $2"; else fail "no header $1: $2 but $(grep -i "^$1:" "$T/.head")"; fi; }
# shellcheck disable=SC2034 # the stories use it
INFER=/v2/models/ensemble/infer PREDICT=/v1/models/ensemble:predict
# rows N: a v2 request of N instances of one number each: 0, 1, …
rows() { jq -cn --argjson n "$1" '{inputs: [{name: "x", shape: [$n, 1], datatype: "FP32", data: [range($n)]}]}'; }
# load FILE: requests until $S/stop is there, 8 at a time; each one's status is a line of FILE
load() {
    local body; body=$(rows 2)
    while [ ! -e "$S/stop" ]; do
        curl -sS -Z --parallel-max 8 --max-time 20 --unix-socket "$G" -o /dev/null -w '%{http_code}\n' -d "$body" "http://gateway$INFER?[1-200]" 2>>"$1.errors"
    done >>"$1"
}
