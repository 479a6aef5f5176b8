# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Killed at the points that only some workflows pass: the stat cache, restored copies, database migration.
. "$(dirname "$0")/common.sh"
mkdir in; for i in 1 2 3; do seq $i 500 >in/$i; done
find in -exec touch -d '1 hour ago' {} +
flow s.yaml <<'E'
steps:
  a: {inputs: {d: in}, run: 'cat ${{ inputs.d }}/* | cksum > ${{ outputs.o }}', outputs: {o: o}}
  b: {run: 'cat ${{ steps.a.outputs.o }} > ${{ outputs.o }}', outputs: {o: o}}
E
sleep 2.1
cp s.yaml kept.yaml
for point in statcache.save objects.place objects.copy; do
    cp kept.yaml s.yaml
    # A copy goes in where another name of the file stays outside.
    [ $point != objects.copy ] || sed -i "s|> \${{ outputs.o }}'|> \${{ outputs.o }}; ln \${{ outputs.o }} \"\$WF_OUT/other\"'|" s.yaml
    rm -rf "$WF_STORE"
    check "$point is reached" killed_at "$point:kill" run s.yaml
    try 0 wf run s.yaml -q
    check_out b.o "$(cat in/* | cksum)"
    check_store
    try 0 wf run s.yaml -q
    check_counts '{"cached":2}'
done
# kill -9 at random moments
for i in 1 2 3 4 5 6 7 8; do
    rm -f all.txt
    HOLD=0 "$WF" run w.yaml -q --refresh -p n="$i" >/dev/null 2>&1 &
    pid=$!
    sleep "0.0$i"
    kill -KILL $pid 2>/dev/null
    wait $pid 2>/dev/null
    no_process "no process is left" "$mark"
    check_store
done
converges "random moments" 5
finish
