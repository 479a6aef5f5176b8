#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A shared cache that lies, hangs or breaks: never a wrong result, never a failed run, one warning.
# shellcheck disable=SC2317 # functions are called by name, and by the trap
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
export no_proxy=127.0.0.1 NO_PROXY=127.0.0.1
liar=$T/liar
mkdir -p "$liar/cache"
echo honest >"$liar/mode"
"$WF_SOURCE/tests/servers/liar.py" "$liar" 2>"$liar/err" &
server=$!
trap 'kill $server 2>/dev/null; cleanup' EXIT
check "the server is there" wait_for 20 test -s "$liar/port"
url=http://127.0.0.1:$(cat "$liar/port")
in_store() { local WF_STORE=$1; shift; export WF_STORE; "$@"; }
warnings() { cat "$T/.out" "$T/.err" | grep -c '^warning'; }

flow flow.yaml <<'EOF'
name: lies
defaults:
  cache: {shared: true}
steps:
  one: {run: 'mkdir -p "$WF_OUT/d"; echo first >"$WF_OUT/d/one"; echo 1 >"$WF_OUT/o"; echo said', outputs: {d: d/, o: o}}
  two: {run: 'cat ${{ steps.one.outputs.o }} >"$WF_OUT/o"; echo 2 >>"$WF_OUT/o"', outputs: {o: o}}
EOF
try 0 in_store "$T/first" wf run flow.yaml --remote "$url"
says 'sent 2'
cp -a "$liar/cache" "$T/good"

# lies MODE: everything runs here, is right, and one sentence says why
lies() {
    echo "$1" >"$liar/mode"
    export WF_STORE=$T/$1
    try 0 wf run flow.yaml --remote "$url" --remote-readonly
    check_ran "one two"
    check_out two.o $'1\n2'
    same "$1: one warning" "$(warnings)" 1
    says "${2:-gave a wrong answer}"
    check_store "$WF_STORE"
    same "$1: nothing half is left" "$(find "$WF_STORE/tmp" -type f 2>/dev/null | wc -l)" 0
}
# Both wait until a transfer that brings too little is given up: side by side.
for mode in slow silent; do
    mkdir -p "$T/$mode-server/cache"
    echo $mode >"$T/$mode-server/mode"
    "$WF_SOURCE/tests/servers/liar.py" "$T/$mode-server" 2>/dev/null &
    eval "${mode}_server=$!"
    check "the $mode server is there" wait_for 20 test -s "$T/$mode-server/port"
    WF_STORE=$T/$mode "$WF" run flow.yaml --remote "http://127.0.0.1:$(cat "$T/$mode-server/port")" >"$T/$mode.out" 2>&1 &
    eval "${mode}_run=$!"
done
for mode in altered less endless swapped html garbage empty; do
    lies $mode
done
lies broken 'HTTP status 500'
lies moved 'cannot be used'
lies cut 'cannot be used'

# Each answer another lie, or the truth: what comes of it is right, and what is stored is whole.
echo any >"$liar/mode"
for n in 1 2 3 4 5 6 7 8 9 10 11 12; do
    export WF_STORE=$T/any-$n
    "$WF" run flow.yaml --remote "$url" --remote-readonly -q >/dev/null 2>&1 || fail "run $n among lies"
    [ "$(out two.o)" = $'1\n2' ] || fail "run $n has another output"
    wf outputs latest --to "$T/any-out-$n" >/dev/null
    [ "$(cat "$(find "$T/any-out-$n" -path '*/d/one')")" = first ] || fail "run $n has another folder"
    [ -z "$(cd "$WF_STORE/objects" && find . -type f -printf '%P\n' | xargs -r sha256sum | awk '{ name = $2; sub("/", "", name); if (name != $1) print }')" ] ||
        fail "run $n stored what is not what its name says"
done

# What lied is sent again by who may write: then it is whole, for all others too.
victim=$(find "$liar/cache/cas" -type f -size 2c | head -1)
printf 'x\n' >"$victim"
echo honest >"$liar/mode"
try 0 in_store "$T/mender" wf run flow.yaml --remote "$url"
same "the altered file was mended" "$(sha256sum <"$victim" | cut -c1-64)" "$(basename "$victim")"
try 0 in_store "$T/after" wf run flow.yaml --remote "$url"
WF_STORE=$T/after check_ran ""

# Content that the server let go of is no lie.
rm "$victim"
export WF_STORE=$T/evicted
try 0 wf run flow.yaml --remote "$url" --remote-readonly
same "a miss, without a word" "$(warnings)" 0
check_counts '{"succeeded":1,"cached":1}'

# A result whose paths lead elsewhere, of a writer that is not to be trusted: an answer that names itself rightly.
python3 - "$T/good" "$liar/cache" <<'EOF'
import hashlib, os, sys
good, cache = sys.argv[1:]
for name in os.listdir(good + "/ac"):
    ac = open(f"{good}/ac/{name}", "rb").read()
    at = ac.find(b"wf/result")
    for cas in os.listdir(good + "/cas"):
        old = open(f"{good}/cas/{cas}", "rb").read()
        if old and old in ac[at:] and len(old) > 60 and b"\x01d\x00\x02d/\x00" in old:
            new = old.replace(b"\x01d\x00\x02d/\x00", b"\x01d\x00\x02..\x00")
            digest = hashlib.sha256(new).hexdigest()
            open(f"{cache}/cas/{digest}", "wb").write(new)
            open(f"{cache}/ac/{name}", "wb").write(ac.replace(old, new).replace(cas.encode(), digest.encode()))
            print("altered", name)
EOF
export WF_STORE=$T/paths
try 0 wf run flow.yaml --remote "$url" --remote-readonly
says 'is not one of wf'
check_out two.o $'1\n2'

# A full server: nothing more is sent, and the run is as good.
echo full >"$liar/mode"
try 0 in_store "$T/full" wf run flow.yaml --remote "$url" --refresh
same "one warning" "$(warnings)" 1
says '507'

# What cannot be sent is waited for, told, and left by Ctrl-C; what the run came to stands.
echo sink >"$liar/mode"
export WF_STORE=$T/sink
background run flow.yaml --remote "$url" --refresh
check "it says that it waits" wait_for 20 grep -q '^sending 2 results' "$T/.out"
kill -INT "$pid"
check "the run succeeded" wait "$pid"
says '^succeeded'
says '2 not sent'

# No server at all, at once and not after seconds for each step.
kill $server
wait $server 2>/dev/null
try 0 in_store "$T/gone" wf run flow.yaml --remote "$url"
same "one warning" "$(warnings)" 1
try 0 in_store "$T/gone" wf run flow.yaml --remote "$url"
same "what is here needs no server" "$(warnings)" 0

for mode in slow silent; do
    run=${mode}_run server=${mode}_server
    check "the run with a $mode server" wait "${!run}"
    kill "${!server}"
    cp "$T/$mode.out" "$T/.out" && : >"$T/.err"
    same "$mode: one warning" "$(warnings)" 1
    says 'cannot be used'
    WF_STORE=$T/$mode check_out two.o $'1\n2'
done
server=
finish
