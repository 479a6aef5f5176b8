# SPDX-License-Identifier: Apache-2.0
# Five processes with overlapping work on one store, killed at random and started again: each piece of work succeeds once in all, nothing hangs, and the store is sound.
. "$(dirname "$0")/lib.sh"
mkdir w && cd w || exit 1
RANDOM=${SEED:-7}
# Branches $1 … $1+199 of the same work; in the middle one step that reads them all, which is again the same for those who have the same branches.
make() {
    flow "w$1.yaml" <<E
max_parallel: 3
steps:
  m:
    matrix: {k: [$(seq -s, "$1" $(($1 + 199)))]}
    run: 'echo \${{ matrix.k }} >> "$T/began"; sleep 0.1; echo \${{ matrix.k }} > \${{ outputs.o }}'
    outputs: {o: o}
  j: {run: 'cat \${{ steps.m.outputs.o }} > \${{ outputs.o }}', outputs: {o: o}}
E
}
work="0 40 80 120 120"
for from in 0 40 80 120; do make "$from"; done
begin() { timeout 120 "$WF" run "w$1.yaml" --quiet >>"$T/out.$1" 2>&1 & pids="$pids $!"; }
pids=
for from in $work; do begin "$from"; done
for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do
    sleep "0.$((RANDOM % 3))$((RANDOM % 10))"
    # shellcheck disable=SC2086 # one word each
    set -- $pids
    n=$((RANDOM % 5)); shift $n
    victim=$1
    wf_of=$(pgrep -P "$victim" -x wf) && kill -KILL "$wf_of" 2>/dev/null
    wait "$victim" 2>/dev/null
    # shellcheck disable=SC2086
    set -- $pids; pids=; i=0
    for from in $work; do
        i=$((i + 1)); pid=$1; shift
        if [ "$pid" = "$victim" ]; then begin "$from"; else pids="$pids $pid"; fi
    done
done
for p in $pids; do wait "$p"; same "the last of each succeeded" $? 0; done
check "all was done" test "$(sort -un "$T/began" | wc -l)" = 320
# over all runs, the dead ones too
for run in $(wf runs --json -n 100 | jq -r '.[].run'); do
    wf show "$run" --json | jq -r '.steps[] | select(.status == "succeeded" and .name != "j") | .name'
done | sort >"$T/succeeded"
same "each branch succeeded once in all" "$(wc -l <"$T/succeeded") $(sort -u "$T/succeeded" | wc -l)" "320 320"
same "one entry for each key" "$(sqlite3 "file:$WF_STORE/wf.db?mode=ro" 'SELECT COUNT(*) FROM (SELECT key FROM entries GROUP BY key HAVING COUNT(*) > 1)')" 0
for from in 0 40 80 120; do
    try 0 wf run "w$from.yaml"
    check_counts '{"cached":201}'
done
check_store
finish
