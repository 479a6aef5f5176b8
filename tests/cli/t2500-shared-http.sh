#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two machines (two stores) share what they made through nginx with WebDAV.
# shellcheck disable=SC2317 # functions are called by name, and by the trap
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
export no_proxy=127.0.0.1 NO_PROXY=127.0.0.1
command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || skip "nginx is missing (Debian: nginx-light)"
servers=$WF_SOURCE/tests/servers
port=$((20000 + $$ % 5000))
url=http://127.0.0.1:$port
server() { "$servers/nginx.sh" "$T/nginx" "$port" "$@"; }
trap 'server stop; cleanup' EXIT
try 0 server start
# requests METHOD: how many came so far. A line of the log is written after the answer: one of our own is waited for.
requests() {
    local mark=mark-$((RANDOM * 32768 + RANDOM))
    curl -sI "$url/$mark" >/dev/null
    wait_for 10 grep -q "$mark" "$T/nginx/access.log"
    grep -c "\"$1 " "$T/nginx/access.log"
}
a=$T/a b=$T/b
in_store() { local WF_STORE=$1; shift; export WF_STORE; "$@"; }
digest() { (cd "$1" && find . -printf '%P %y %m %l\n' | sort && find . -type f -print0 | sort -z | xargs -0 sha256sum) | sha256sum; }

flow share.yaml <<'EOF'
name: share
defaults:
  cache: {shared: true}
steps:
  make:
    run: |
      mkdir -p "$WF_OUT/tree/below/empty" && cd "$WF_OUT"
      echo plain >file
      printf '#!/bin/sh\necho works\n' >tree/tool && chmod +x tree/tool
      echo 'a name' >'tree/with blank, ü and +%'
      ln -s below/deep tree/link && echo deep >tree/below/deep
      seq 200000 >big && : >nothing
      echo "what make wrote"
    outputs: {file: file, tree: tree/, big: big, nothing: nothing}
  count:
    run: wc -l <${{ steps.make.outputs.big }} >"$WF_OUT/n"; echo "n=200000" >>"$WF_VALUES"
    outputs: {n: n}
    values: [n]
EOF

# --- the first makes, the second runs nothing ---
try 0 in_store "$a" wf run share.yaml --remote "$url"
says 'sent 2'
try 0 in_store "$b" wf run share.yaml --remote "$url/"
says 'from the shared cache'
try 0 in_store "$T/json" wf run share.yaml --remote "$url" --json
grep '"cached"' "$T/.out" | head -1 >"$T/event"
json '.data.shared' true "$T/event"
json '.data.fetched_bytes > 1000000' true "$T/event"
export WF_STORE=$b
check_ran ""
check_counts '{"cached":2}'
check_out make.file plain
wf show --json >"$T/.out"
json '[.steps[].cache.verdict] | unique' '["hit"]'
json '[.steps[].cache.shared] | unique' '[true]'
json '.steps[0].cache.fetched_bytes > 1000000' true
json '.steps[0].cache.made_in' "\"$(cat "$a/id")\""
json '.steps[1].values.n' '"200000"'
# afterwards too it is told as another store's, by the name of no run that is not here
try 0 wf explain --run latest make
says 'make: cached, from the shared cache: nothing it depends on had changed since it was made in another store'
try 0 wf explain --run latest make --json
json '.[0] | [.made_by, .made_in]' "[null,\"$(cat "$a/id")\"]"
try 0 wf show
says 'make +cached .*made in another store'
for s in a b; do
    in_store "$T/$s" wf outputs latest --to "$T/out-$s" >/dev/null
done
same "outputs are the same, bit by bit" "$(digest "$T/out-a")" "$(digest "$T/out-b")"
same "an executable file still is" "$(find "$T/out-b" -name tool -exec {} \;)" works
same "a link still leads" "$(cat "$(find "$T/out-b" -name link)")" deep
same "an empty folder is there" "$(find "$T/out-b" -type d -name empty | wc -l)" 1
try 0 wf logs latest make
says 'what make wrote'
check_store "$b"
key=$(wf show --json | jq -r '.steps[0].cache.key')
wf cache show "${key#sha256:}" --json >"$T/.out"
json '.result.origin' "\"$(cat "$a/id")\""
before=$(requests GET)
try 0 wf run share.yaml --remote "$url"
same "what is here is not asked for" "$(requests GET)" "$before"

# --- the example ---
for s in x y; do
    try 0 in_store "$T/$s" wf run "$WF_SOURCE/examples/shared-cache/pipeline.yaml" --remote "$url"
done
says 'found 2'
WF_STORE=$T/y check_out count.count 303

# --- what servers of this protocol would check ---
if command -v protoc >/dev/null; then
    protoc -I"$servers" --decode=build.bazel.remote.execution.v2.ActionResult "$servers/action_result.proto" \
        <"$T/nginx/cache/ac/${key#sha256:}" >"$T/.out"
    says 'path: "out/tree/tool"'
    says 'is_executable: true'
    while read -r hash; do
        [ -f "$T/nginx/cache/cas/$hash" ] || fail "cas/$hash is named and not there"
    done < <(grep -o 'hash: "[0-9a-f]*"' "$T/.out" | cut -d'"' -f2)
else
    skip "protoc is missing (Debian: protobuf-compiler)"
fi
same "every object holds what its name says" "$(cd "$T/nginx/cache/cas" && sha256sum ./* | awk '{ if ("./" $1 != $2) print $2 }')" ""

# --- only to be read ---
before=$(requests PUT)
try 0 in_store "$T/c" wf run share.yaml --remote "$url" --remote-readonly --refresh
same "--remote-readonly sends nothing" "$(requests PUT)" "$before"
try 0 server start read-only
try 0 in_store "$T/d" wf run share.yaml --remote "$url" --refresh
same "one warning" "$(cat "$T/.out" "$T/.err" | grep -c warning)" 1
says 'does not take results'
says '2 not sent'
says 'say --remote-readonly'
try 0 server start full
try 0 in_store "$T/f" wf run share.yaml --remote "$url" --refresh
says 'HTTP status 507'
says 'see its log'
says_not 'remote-readonly'
try 0 server start small
sed 's/seq 200000/seq 300000/' share.yaml >large.yaml
try 0 in_store "$T/e" wf run large.yaml --remote "$url"
says '413'
try 0 server start

# --- what stays here ---
flow own.yaml <<'EOF'
name: own
steps:
  host: {run: 'echo h >"$WF_OUT/h"', outputs: {h: h}}
  never: {run: 'echo n >"$WF_OUT/n"', outputs: {n: n}, cache: {shared: false}}
  always: {run: 'echo a >"$WF_OUT/a"', outputs: {a: a}, cache: {shared: true}}
EOF
before=$(($(requests GET) + $(requests PUT)))
try 0 in_store "$T/f" wf run own.yaml --remote "$url" --only host
try 0 in_store "$T/f" wf run own.yaml --remote "$url" --only never
try 0 in_store "$T/f" wf run own.yaml --remote "$url" --no-cache
same "nothing of a host step is asked or sent unless it says so" "$(($(requests GET) + $(requests PUT)))" "$before"
try 0 in_store "$T/f" wf run own.yaml --remote "$url"
says 'sent 1'

# --- how old it is counts from its making ---
flow old.yaml <<'EOF'
name: old
steps:
  s: {run: 'echo s >"$WF_OUT/s"', outputs: {s: s}, cache: {shared: true, ttl: 1s}}
EOF
try 0 in_store "$T/g" wf run old.yaml --remote "$url"
sleep 1.1
try 0 in_store "$T/h" wf run old.yaml --remote "$url"
WF_STORE=$T/h check_ran s

# --- chosen otherwise: the environment, config.yaml, an empty word for none ---
mkdir -p "$XDG_CONFIG_HOME/wf"
printf 'cache:\n  remote: %s\n  remote_readonly: true\n' "$url" >"$XDG_CONFIG_HOME/wf/config.yaml"
try 0 in_store "$T/i" wf run share.yaml
says 'found 2'
try 0 in_store "$T/j" wf run share.yaml --remote ''
says_not 'shared cache'
WF_REMOTE='' try 0 in_store "$T/k" wf run share.yaml
says_not 'shared cache'
rm "$XDG_CONFIG_HOME/wf/config.yaml"
WF_REMOTE=$url try 0 in_store "$T/l" wf run share.yaml
says 'found 2'
WF_REMOTE=$url wf doctor --json >"$T/.out"
json '[.[] | select(.what == "cache") | .state]' '["ok"]'
try 2 wf run share.yaml --remote ftp://example.org/
says 'http://'
try 2 wf run share.yaml --remote "$url/?x=1"
for secret in pass:word to-ken; do
    WF_REMOTE_TOKEN=to-ken try 0 in_store "$T/m" wf run share.yaml --remote "http://127.0.0.1:1/" --json
    try 0 in_store "$T/m" wf run share.yaml --remote "http://user:pass%3Aword@127.0.0.1:1/" --refresh
    says 'cannot be used'
    says_not "$secret|pass%3A"
done

# --- two write at once ---
in_store "$T/n" wf run share.yaml --remote "$url" --refresh >"$T/n.out" 2>&1 &
first=$!
in_store "$T/o" wf run share.yaml --remote "$url" --refresh >"$T/o.out" 2>&1 &
second=$!
check "the first writer" wait "$first"
check "the second writer" wait "$second"
try 0 in_store "$T/p" wf run share.yaml --remote "$url"
WF_STORE=$T/p check_ran ""
check_store "$T/p"

# --- killed while it fetches: the store is whole, and the next run goes on ---
for point in remote.fetching:kill:3 remote.fetched:kill:2 remote.insert:kill; do
    rm -rf "$T/q"
    WF_FAILPOINT=$point try 137 in_store "$T/q" wf run share.yaml --remote "$url"
    check_store "$T/q"
    try 0 in_store "$T/q" wf run share.yaml --remote "$url"
    WF_STORE=$T/q check_ran ""
    check_store "$T/q"
done

# --- the server dies while the run goes on ---
flow dies.yaml <<EOF
name: dies
defaults:
  cache: {shared: true}
steps:
  one: {run: 'echo 1 >"\$WF_OUT/o"; cd $T; touch be""gan; while [ -e ho""ld ]; do sleep 0.02; done', outputs: {o: o}}
  two: {run: 'cat \${{ steps.one.outputs.o }} >"\$WF_OUT/o"', outputs: {o: o}}
  three: {run: 'cat \${{ steps.two.outputs.o }} >"\$WF_OUT/o"', outputs: {o: o}}
EOF
touch "$T/hold"
export WF_STORE=$T/r
background run dies.yaml --remote "$url"
check "the first step runs" wait_for 20 test -e "$T/began"
server stop
rm "$T/hold"
check "the run succeeds" wait "$pid"
check_ran "one three two"
same "one warning" "$(cat "$T/.out" "$T/.err" | grep -c warning)" 1
says 'cannot be used'
check_store "$T/r"
finish
