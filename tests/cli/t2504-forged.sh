#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Results from elsewhere in which every digest is right, and which are none of this step's: a shared cache's cost a warning and the step runs, an archive's are not taken.
# shellcheck disable=SC2317 # functions are called by the trap
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
export no_proxy=127.0.0.1 NO_PROXY=127.0.0.1
forge=$WF_SOURCE/tests/servers/forge.py
command -v zstd >/dev/null || skip "there is no zstd here"
liar=$T/liar
mkdir -p "$liar/cache"
echo honest >"$liar/mode"
"$WF_SOURCE/tests/servers/liar.py" "$liar" 2>"$liar/err" &
server=$!
trap 'kill $server 2>/dev/null; cleanup' EXIT
check "the server is there" wait_for 20 test -s "$liar/port"
url=http://127.0.0.1:$(cat "$liar/port")

flow flow.yaml <<'EOF'
name: forged
defaults:
  cache: {shared: true}
steps:
  one:
    run: 'mkdir -p "$WF_OUT/d"; echo first >"$WF_OUT/d/one"; echo 1 >"$WF_OUT/o"; echo n=1 >>"$WF_VALUES"'
    outputs: {d: d/, o: {path: o, non_empty: true}}
    values: [n]
EOF
try 0 wf run flow.yaml --remote "$url"
says 'sent 1'
try 0 wf cache export good.tar.zst
zstd -q -d good.tar.zst
cp -a "$liar/cache" "$T/good"

# What is altered in nothing is taken: it is not the forging that is refused.
for how in nothing renamed fewer twice moved value emptied leads-out below-file heavier longer adopted; do
    rm -rf "$liar/cache" && cp -a "$T/good" "$liar/cache"
    "$forge" cache "$liar/cache" $how || fail "cannot forge"
    export WF_STORE=$T/$how
    try 0 wf run flow.yaml --remote "$url" --remote-readonly
    if [ $how = nothing ]; then check_ran ""; else
        check_ran "one"
        says 'gave a wrong answer'
    fi
    check_out one.o 1
    wf outputs latest one.d --to "$how.out" >/dev/null
    same "$how: the folder" "$(cat "$(find "$how.out" -name one -type f)")" first
    check_store "$WF_STORE"
    try 0 wf cache stats --json

    "$forge" tar good.tar $how.tar $how || fail "cannot forge"
    export WF_STORE=$T/$how-archive
    if [ $how = nothing ]; then
        try 0 wf cache import $how.tar
        try 0 wf run flow.yaml
        check_ran ""
    else
        try 4 wf cache import $how.tar
        same "$how: nothing came of it" "$(sqlite3 "$WF_STORE/wf.db" 'SELECT COUNT(*) FROM entries')" 0
    fi
    check_store "$WF_STORE"
done

# The objects behind their entries: not taken, as the lists of folders must be known.
"$forge" tar good.tar late.tar late
export WF_STORE=$T/late
try 0 wf cache import late.tar
says '1 left out'
try 0 wf run flow.yaml
check_out one.o 1

# A few bytes that stand for more than any disk holds, and names that a terminal would obey.
for how in sparse huge shown; do
    "$forge" tar good.tar $how.tar $how || fail "cannot forge"
    export WF_STORE=$T/$how
    try 4 timeout 20 "$WF" cache import $how.tar
    same "$how: nothing came of it" "$(sqlite3 "$WF_STORE/wf.db" 'SELECT COUNT(*) FROM entries')" 0
    check "$how: nothing was written" test "$(du -sm "$WF_STORE" | cut -f1)" -lt 10
    check_store "$WF_STORE"
done
finish
