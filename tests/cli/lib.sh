# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Stories told by a user: each t*.sh sources this, works in a folder and a store of its own, and ends with `finish`. Assertions are on results and JSON, not on wording.
set -u
WF=${WF:?set WF to the wf program under test}
WF=$(readlink -f "$WF")
T=$(mktemp -d "${TMPDIR:-/tmp}/wf-cli.XXXXXX")
export WF_STORE="$T/store" NO_COLOR=1 CI=1
export XDG_STATE_HOME="$T/state" XDG_CONFIG_HOME="$T/config"
unset WF_FAILPOINT WF_CONFIG
cd "$T" || exit 1
checks=0 failures=0
cleanup() { cd / && chmod -R u+w "$T" 2>/dev/null; rm -rf "$T"; }
trap cleanup EXIT
wf() { "$WF" "$@"; }
# fail TEXT: a check that did not hold, with what the last `try` printed
fail() { failures=$((failures + 1)); echo "not ok $checks - $*" >&2; [ -s "$T/.out" ] && sed 's/^/    out: /' "$T/.out" | tail -25 >&2; [ -s "$T/.err" ] && sed 's/^/    err: /' "$T/.err" | tail -25 >&2; return 0; }
ok() { checks=$((checks + 1)); echo "ok $checks - $*"; }
# check TEXT COMMAND…: the command succeeds
check() { local what=$1; shift; checks=$((checks + 1)); if "$@"; then echo "ok $checks - $what"; else fail "$what: $*"; fi; }
# try CODE COMMAND…: runs it, keeping stdout in .out and stderr in .err, and expects that exit code
try() { local want=$1 got=0; shift; "$@" >"$T/.out" 2>"$T/.err" || got=$?; checks=$((checks + 1)); if [ "$got" = "$want" ]; then echo "ok $checks - exit $want: $*"; else fail "exit $got, expected $want: $*"; fi; }
# json FILTER EXPECTED [FILE]: jq -c on the last output
json() { local got; got=$(jq -c "$1" "${3:-$T/.out}" 2>&1); checks=$((checks + 1)); if [ "$got" = "$2" ]; then echo "ok $checks - $1 is $2"; else fail "$1 is $got, expected $2"; fi; }
# says WORDS / says_not WORDS: in the last stderr or stdout (extended regular expression)
says() { checks=$((checks + 1)); if cat "$T/.err" "$T/.out" | grep -Eq -- "$1"; then echo "ok $checks - says $1"; else fail "does not say: $1"; fi; }
says_not() { checks=$((checks + 1)); if cat "$T/.err" "$T/.out" | grep -Eq -- "$1"; then fail "says: $1"; else echo "ok $checks - does not say $1"; fi; }
# counts: {"succeeded":…} of the latest run, only what is not 0
counts() { wf show --json | jq -c '.counts | with_entries(select(.value > 0))'; }
check_counts() { local got; got=$(counts); checks=$((checks + 1)); if [ "$got" = "$1" ]; then echo "ok $checks - counts $1"; else fail "counts are $got, expected $1"; fi; }
status_of() { wf show --json | jq -r --arg s "$1" '.steps[] | select(.name == $s) | .status'; }
check_status() { local got; got=$(status_of "$1"); checks=$((checks + 1)); if [ "$got" = "$2" ]; then echo "ok $checks - $1 is $2"; else fail "$1 is $got, expected $2"; fi; }
# wait_for SECONDS COMMAND…: until the command succeeds
wait_for() { local n=$(($1 * 50)); shift; while [ "$n" -gt 0 ]; do "$@" >/dev/null 2>&1 && return 0; sleep 0.02; n=$((n - 1)); done; return 1; }
# same TEXT GOT EXPECTED
same() { checks=$((checks + 1)); if [ "$2" = "$3" ]; then echo "ok $checks - $1"; else fail "$1: got '$2', expected '$3'"; fi; }
# ran / check_ran "a b": the steps of the latest run that had an attempt, sorted by name
ran() { wf show --json | jq -r '[.steps[] | select(.attempts > 0) | .name] | sort | join(" ")'; }
check_ran() { same "ran: $1" "$(ran)" "$1"; }
# out STEP.NAME / check_out STEP.NAME TEXT: what an output of the latest run holds
out() { local path; path=$(wf outputs latest "$1") && cat "$path"; }
check_out() { same "output $1" "$(out "$1" 2>&1)" "$2"; }
verdict() { wf show --json | jq -r --arg s "$1" '.steps[] | select(.name == $s) | .cache.verdict'; }
check_verdict() { same "verdict of $1" "$(verdict "$1")" "$2"; }
# check_store: the database is sound, each object holds what its name says, and nothing of a step is alive
check_store() {
    checks=$((checks + 1))
    local dir=${1:-$WF_STORE} bad
    bad=$(sqlite3 "file:$dir/wf.db?mode=ro" 'PRAGMA integrity_check; PRAGMA foreign_key_check' 2>&1)
    [ "$bad" = ok ] || { fail "store: $bad"; return; }
    bad=$(cd "$dir/objects" && find . -type f -printf '%P\n' | grep -v '[^0-9a-f/]' | xargs -r sha256sum | awk '{ name = $2; sub("/", "", name); if (name != $1) print $2 }')
    if [ -z "$bad" ]; then echo "ok $checks - store intact"; else fail "objects not what their names say: $bad"; fi
}
# no_process TEXT WORDS: no process with these words in its arguments (or soon none)
gone() { ! pgrep -f -- "$1" >/dev/null; }
no_process() { checks=$((checks + 1)); if wait_for 3 gone "$2"; then echo "ok $checks - $1"; else fail "$1: $(pgrep -af -- "$2")"; fi; }
# background COMMAND…: wf in the background, as $pid; a shell's background job would ignore SIGINT
# shellcheck disable=SC2034 # the caller uses pid
background() { env --default-signal=INT,TERM "$WF" "$@" >"$T/.out" 2>"$T/.err" & pid=$!; }
# flow FILE: standard input as a workflow file
flow() { cat >"$1"; }
# invalid TEXT: a workflow of this text is refused with exit code 3, by check and by run, and nothing runs
invalid() { printf '%s\n' "$1" >invalid.yaml; try 3 wf run invalid.yaml; try 3 wf check invalid.yaml; }
# as_user COMMAND…: as a normal user where we are root
as_user() { if [ "$(id -u)" = 0 ]; then setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; else "$@"; fi; }
# need_engine: skips the story where no container engine can be had
need_engine() {
    wf doctor --json >"$T/doctor" 2>/dev/null
    jq -e 'any(.. | objects; (.name? // .what? // .check?) == "containers" and ((.status? // .state? // .result?) == "ok" or .ok? == true))' "$T/doctor" >/dev/null ||
        skip "no container engine: $(wf doctor 2>/dev/null | grep -i container | head -1)"
    [ -x /bin/busybox ] || skip "a static busybox is missing (Debian: busybox-static)"
}
# engine METHOD PATH [curl options…]: a call of the engine's API; podman's program where wf starts the service itself
engine_socket() { local h=${WF_CONTAINER_HOST-}; echo "${h#unix://}"; }
# image NAME FOLDER: builds FOLDER (it has a Containerfile) as localhost/NAME
image() {
    if [ -n "${WF_CONTAINER_HOST-}" ]; then
        tar -C "$2" -cf "$T/context.tar" . &&
            curl -sS --unix-socket "$(engine_socket)" -X POST -H 'Content-Type: application/x-tar' --data-binary "@$T/context.tar" \
                "http://d/v1.40/build?dockerfile=Containerfile&t=localhost/$1&nocache=1&timestamp=0" >"$T/build" 2>&1 && ! grep -q '"error"' "$T/build"
    else
        podman build -q --no-cache --timestamp 0 -t "localhost/$1" -f "$2/Containerfile" "$2" >"$T/build" 2>&1
    fi || { cat "$T/build" >&2; return 1; }
}
# busybox_image NAME [TEXT [LINES]]: an image from scratch with busybox and a file /what that holds TEXT
busybox_image() {
    rm -rf "$T/context" "$T/root"
    mkdir -p "$T/root/bin" "$T/root/tmp" "$T/context"
    cp /bin/busybox "$T/root/bin/busybox"
    for applet in sh cat echo ls sleep touch test env id mkdir head tail wc wget nc dd ps kill sort grep cut tr; do ln -s busybox "$T/root/bin/$applet"; done
    echo "${2-}" >"$T/root/what"
    chmod 1777 "$T/root/tmp"
    # one layer, the same bytes each time
    tar -C "$T/root" --sort=name --mtime=2020-01-01 --owner=0 --group=0 --numeric-owner -cf "$T/context/root.tar" bin tmp what
    printf 'FROM scratch\nADD root.tar /\nENV PATH=/bin\n%s\n' "${3-}" >"$T/context/Containerfile"
    image "$1" "$T/context"
}
drop_image() {
    if [ -n "${WF_CONTAINER_HOST-}" ]; then
        curl -sS --unix-socket "$(engine_socket)" -X DELETE "http://d/v1.40/images/localhost/$1?force=1" >/dev/null 2>&1
    else
        podman rmi -f "localhost/$1" >/dev/null 2>&1
    fi
}
# containers: how many of this store's containers the engine knows, running or not
containers() {
    local label
    label="wf.store=$(cat "$WF_STORE/id" 2>/dev/null || sqlite3 "$WF_STORE/wf.db" "SELECT value FROM meta WHERE name = 'id'")"
    if [ -n "${WF_CONTAINER_HOST-}" ]; then
        curl -sS --unix-socket "$(engine_socket)" -G "http://d/v1.40/containers/json" -d all=1 --data-urlencode "filters={\"label\":[\"$label\"]}" | jq length
    else
        podman ps -a -q --filter "label=$label" | wc -l
    fi
}
no_containers() { [ "$(containers)" = 0 ]; }
skip() { echo "SKIP: $*"; exit 77; }
finish() { echo "1..$checks"; [ "$failures" = 0 ] || { echo "$failures of $checks checks failed" >&2; exit 1; }; exit 0; }
