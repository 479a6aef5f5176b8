# SPDX-License-Identifier: Apache-2.0
# Several runs that publish the same folder and file at once: all succeed, and what lies there is whole. Over a link, a file or a folder that was there.
. "$(dirname "$0")/lib.sh"
python3 - >w.yaml <<'P'
print("steps:")
for n in range(30):
    print("  d%d: {run: 'mkdir ${{ outputs.d }}; seq 20 > ${{ outputs.d }}/f; echo x > ${{ outputs.d }}/g', outputs: {d: d}, publish: {d: pub/d%d}}" % (n, n))
    print("  f%d: {run: 'seq 30 > ${{ outputs.f }}', outputs: {f: f}, publish: {f: pub/f%d}}" % (n, n))
P
try 0 wf run w.yaml -q
for round in 1 2 3 4 5 6; do
    rm -rf pub; mkdir pub
    if [ $round -gt 3 ]; then
        for n in $(seq 0 29); do mkdir pub/f$n; echo old >pub/f$n/x; ln -s nowhere pub/d$n; done
    fi
    pids=
    for i in 1 2 3 4; do "$WF" run w.yaml -q >out.$i 2>&1 & pids="$pids $!"; done
    bad=0
    for p in $pids; do wait "$p" || bad=1; done
    same "all succeed ($round)" $bad 0
    [ $bad = 0 ] || cat out.* >&2
    same "whole folders ($round)" "$(cat pub/d*/f | wc -l) $(cat pub/d*/g | wc -l) $(cat pub/f* | wc -l)" "600 30 900"
    same "nothing left lying about ($round)" "$(find pub -name '.wf*' | wc -l)" 0
done
finish
