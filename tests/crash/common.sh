# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A workflow that passes the store's points: files, folders, values, logs, a matrix, and a process that would outlive a careless wf.
. "$(dirname "$0")/../cli/lib.sh"
mark=crash-$$-$RANDOM
cp "$(command -v sleep)" "$T/$mark"
mkdir "$T/w" && cd "$T/w" || exit 1
flow w.yaml <<E
max_parallel: 4
params: {n: 1}
steps:
  hold: {pass_env: [HOLD], run: 'exec "$T/$mark" "\${HOLD-0}"', cache: {policy: content}}
  f: {run: 'echo log; seq \${{ params.n }} 100 > \${{ outputs.o }}; echo v=\${{ params.n }} > "\$WF_VALUES"', outputs: {o: o}, values: [v]}
  d: {run: 'mkdir -p \${{ outputs.d }}/s; echo \${{ params.n }} > \${{ outputs.d }}/s/a; seq 9 > \${{ outputs.d }}/b', outputs: {d: d}}
  m: {matrix: {k: [1, 2, 3, 4]}, run: 'head -c \${{ matrix.k }}000 /dev/zero > \${{ outputs.o }}; cat \${{ steps.f.outputs.o }} >> \${{ outputs.o }}', outputs: {o: o}}
  all: {needs: hold, run: '{ cat \${{ steps.m.outputs.o }} \${{ steps.d.outputs.d }}/s/a; echo \${{ steps.f.values.v }}; } | cksum > \${{ outputs.o }}', outputs: {o: o}, publish: {o: all.txt}}
E
# want N: what all.txt must hold for -p n=N, worked out without wf
want() { { for k in 1 2 3 4; do head -c ${k}000 /dev/zero; seq "$1" 100; done; echo "$1"; echo "$1"; } | cksum; }
# converges POINT N: the next run is right, the store intact, one run more is all cached
converges() {
    no_process "$1: no process is left" "$mark"
    check_store
    try 0 timeout 60 "$WF" run w.yaml -q -p n="$2"
    same "$1: the right result" "$(cat all.txt)" "$(want "$2")"
    check_store
    try 0 timeout 60 "$WF" run w.yaml -q -p n="$2"
    check_counts '{"cached":8}'
    rm -f all.txt
    try 0 timeout 60 "$WF" run w.yaml -q -p n="$2"
    same "$1: published again" "$(cat all.txt)" "$(want "$2")"
}
# killed_at POINT[:N] COMMAND…: runs it with the point armed; true when it was killed there
killed_at() {
    local point=$1 rc=0
    shift
    HOLD=2 WF_FAILPOINT=$point timeout 60 "$WF" "$@" >"$T/.out" 2>"$T/.err" || rc=$?
    [ $rc = 137 ] || [ $rc = 9 ]
}
