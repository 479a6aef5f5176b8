# SPDX-License-Identifier: Apache-2.0
# --only, --from, --until choose steps; the others' results come from earlier runs.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<'E'
params: {p: 1}
steps:
  a: {run: 'echo a${{ params.p }} > ${{ outputs.o }}', outputs: {o: o}}
  b: {run: 'cat ${{ steps.a.outputs.o }} > ${{ outputs.o }}; echo b >> ${{ outputs.o }}', outputs: {o: o}}
  c: {run: 'cat ${{ steps.b.outputs.o }} > ${{ outputs.o }}; echo c >> ${{ outputs.o }}', outputs: {o: o}}
  x: {run: 'echo x > ${{ outputs.o }}', outputs: {o: o}}
finally:
  f: {run: 'true'}
E
try 2 wf run w.yaml --only c
says --until
try 0 wf run w.yaml --until b
check_ran "a b"
try 0 wf run w.yaml --only c
check_ran c
check_out c.o $'a1\nb\nc'
try 0 wf run w.yaml --from b
check_ran ""
check_status c cached
check_status f skipped
try 0 wf run w.yaml --from b --refresh
check_ran "b c"
# a step outside whose key has no entry: its newest result, with a warning
try 0 wf run w.yaml --only b -p p=2
says stale
check_out b.o $'a1\nb'
try 0 wf run w.yaml
check_ran "f x"
try 0 wf run w.yaml -p p=2
check_ran "a b c f"
check_out c.o $'a2\nb\nc'
try 2 wf run w.yaml --until nosuch
try 2 wf run w.yaml --only a --until b
flow m.yaml <<'E'
steps:
  t: {matrix: {k: [1, 2, 3]}, run: 'echo ${{ matrix.k }} > ${{ outputs.o }}', outputs: {o: o}}
  u: {run: 'cat ${{ steps.t.outputs.o }} > ${{ outputs.o }}', outputs: {o: o}}
E
try 0 wf run m.yaml --only 't[k=2]'
check_ran "t[k=2]"
try 0 wf run m.yaml --only t
check_ran "t[k=1] t[k=3]"
try 0 wf run m.yaml --only u
check_out u.o $'1\n2\n3'
check_store
finish
