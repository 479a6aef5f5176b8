# SPDX-License-Identifier: Apache-2.0
# Objects that are damaged or gone make a miss, never a wrong result; steps cannot alter what the cache holds.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<'E'
steps:
  a: {run: 'seq 1000 > ${{ outputs.o }}; mkdir ${{ outputs.d }}; seq 5 > ${{ outputs.d }}/x; seq 6 > ${{ outputs.d }}/y', outputs: {o: o, d: d}}
  b: {run: 'wc -l < ${{ steps.a.outputs.o }} > ${{ outputs.o }}; cat ${{ steps.a.outputs.d }}/y | wc -l >> ${{ outputs.o }}', outputs: {o: o}}
E
try 0 wf run w.yaml
good=$(out b.o)
object() { echo "store/objects/$(sha256sum | cut -c1-2,3-64 | sed 's/^\(..\)/\1\//')"; }
o=$(wf outputs latest a.o)
case $o in "$T"/store/objects/*) ;; *) fail "outputs names $o" ;; esac
# other bytes, same size and time
chmod u+w "$o"; printf 9 | dd of="$o" conv=notrunc status=none; chmod 444 "$o"
try 0 wf run w.yaml
check_ran a
check_out b.o "$good"
check_store
o=$(wf outputs latest a.o)
chmod u+w "$o"; : >"$o"
try 0 wf run w.yaml
check_ran a
check_store
rm -f "$(wf outputs latest a.o)"
try 0 wf run w.yaml
check_ran a
check_store
rm -f "$(seq 6 | object)"
try 0 wf run w.yaml
check_ran a
check_out b.o "$good"
rm -f "$(wf outputs latest b.o)"
try 0 wf run w.yaml
check_ran b
# a step that writes into its predecessors' outputs: found out, and never a wrong result
flow v.yaml <<'E'
params: {n: 1, tamper: true}
steps:
  small: {run: 'seq 10 > ${{ outputs.o }}', outputs: {o: o}}
  dir: {run: 'mkdir ${{ outputs.d }}; seq 10 > ${{ outputs.d }}/f', outputs: {d: d}}
  large: {run: 'head -c 3000000 /dev/zero > ${{ outputs.o }}', outputs: {o: o}}
  vandal:
    run: |
      for f in ${{ steps.small.outputs.o }} ${{ steps.large.outputs.o }} ${{ steps.dir.outputs.d }}/f; do
        if ${{ params.tamper }}; then chmod u+w $f || true; echo vandal >> $f || true; fi
      done
      echo ${{ params.n }} > ${{ outputs.o }}
    outputs: {o: o}
  reader: {needs: vandal, run: 'cat ${{ steps.small.outputs.o }} ${{ steps.dir.outputs.d }}/f | wc -c > ${{ outputs.o }}', outputs: {o: o}}
  links: {needs: vandal, run: 'wc -c < ${{ steps.large.outputs.o }} > ${{ outputs.o }}', outputs: {o: o}}
E
for n in 1 2; do
    wf run v.yaml -p n=$n >.out 2>.err
    check_out reader.o 42
    says altered
    check "never a wrong result" test "$(status_of links)" = failed -o "$(out links.o 2>/dev/null)" = 3000000
done
try 0 wf run v.yaml -p tamper=false
check_out reader.o 42
check_out links.o 3000000
check_store
finish
