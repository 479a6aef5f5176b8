# SPDX-License-Identifier: Apache-2.0
# needs: names, lists, all/any/each/N. needs alone is order and puts nothing into the key.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<'E'
params: {seed: 1}
steps:
  a: {run: 'echo ${{ params.seed }} > ${{ outputs.o }}', outputs: {o: o}}
  name: {needs: a, run: 'echo n > ${{ outputs.o }}', outputs: {o: o}}
  list: {needs: [a, name], run: 'echo l > ${{ outputs.o }}', outputs: {o: o}}
  map: {needs: {a: all}, run: 'grep -q sha256: "$WF_INPUTS" && exit 1; echo m > ${{ outputs.o }}', outputs: {o: o}}
  ref: {run: 'grep -q "sha256:" "$WF_INPUTS"; cat ${{ steps.a.outputs.o }} > ${{ outputs.o }}', outputs: {o: o}}
E
try 0 wf run w.yaml
order=$(wf show --json | jq -c '[.steps[] | {(.name): .started_at}] | add | (.a <= .name and .name <= .list)')
same "in order" "$order" true
try 0 wf run w.yaml -p seed=2
check_ran "a ref"
# any and a number: at the first, or the second success; what is not there by then is not seen, and goes on
flow some.yaml <<'E'
steps:
  t: {matrix: {k: [a, b, slow]}, run: 'if [ ${{ matrix.k }} = slow ]; then n=0; until [ -e "$GO" ]; do sleep 0.02; n=$((n + 1)); [ $n -lt 1500 ]; done; fi; echo ${{ matrix.k }} > ${{ outputs.o }}', env: {GO: "${{ params.go }}"}, outputs: {o: o}}
  two: {needs: {t: 2}, run: 'cat ${{ steps.t.outputs.o }} | sort | tr "\n" " " > ${{ outputs.o }}; touch "$GO"', env: {GO: "${{ params.go }}"}, outputs: {o: o}}
  all: {run: 'cat ${{ steps.t.outputs.o }} > ${{ outputs.o }}', outputs: {o: o}}
params: {go: {type: string}}
E
try 0 timeout 60 "$WF" run some.yaml -p go="$T/go" # ends only if `two` does not wait for the slow one
check_out two.o "a b "
check_out all.o "a
b
slow"
flow never.yaml <<'E'
steps:
  t: {matrix: {k: [a, b]}, run: 'test ${{ matrix.k }} = a'}
  any: {needs: {t: any}, run: 'true'}
  two: {needs: {t: 2}, run: 'true'}
E
try 1 wf run never.yaml
check_status any succeeded
check_status two skipped

# each: a branch begins when its own has ended, and sees its output; a failed one skips its own follower alone
flow each.yaml <<'E'
params: {go: {type: string}}
steps:
  t: {matrix: {k: [a, slow, bad]}, run: 'case ${{ matrix.k }} in bad) exit 1;; slow) n=0; until [ -e "$GO" ]; do sleep 0.02; n=$((n + 1)); [ $n -lt 1500 ]; done;; esac; echo ${{ matrix.k }} > ${{ outputs.o }}', env: {GO: "${{ params.go }}"}, outputs: {o: o}}
  u: {needs: {t: each}, matrix: {n: [1, 2]}, run: 'echo "$(cat ${{ steps.t.outputs.o }}) ${{ matrix.k }} $WF_MATRIX_N" > ${{ outputs.o }}; touch "$GO"', env: {GO: "${{ params.go }}"}, outputs: {o: o}}
  v: {needs: {u: each}, run: 'cat ${{ steps.u.outputs.o }} > ${{ outputs.o }}', outputs: {o: o}}
E
try 1 timeout 60 "$WF" run each.yaml -p go="$T/go2" # ends only if u[k=a] does not wait for t[k=slow]
for n in 1 2; do
    check_out "v[k=a,n=$n].o" "a a $n"
    check_out "v[k=slow,n=$n].o" "slow slow $n"
    check_status "v[k=bad,n=$n]" skipped
done
flow fixed.yaml <<'E'
params: {a: 1}
steps:
  t: {matrix: {k: [a, b]}, run: 'echo ${{ matrix.k }} > ${{ outputs.o }}; test ${{ matrix.k }} = b || echo ${{ params.a }} >> ${{ outputs.o }}', outputs: {o: o}}
  u: {needs: {t: each}, run: 'cat ${{ steps.t.outputs.o }} > ${{ outputs.o }}', outputs: {o: o}}
E
try 0 wf run fixed.yaml
try 0 wf run fixed.yaml -p a=2
check_ran "t[k=a] t[k=b] u[k=a]" # u[k=b] has its own branch alone in its key

# each of a choice: once per model that was chosen, the others skipped
flow choice.yaml <<'E'
params: {least: 0}
steps:
  t: {kind: train, matrix: {m: [low, high, mid]}, run: 'case ${{ matrix.m }} in low) v=1;; mid) v=2;; high) v=3;; esac; echo "{\"a\": $v}" > ${{ outputs.metrics }}; echo "file of ${{ matrix.m }}" > ${{ outputs.model }}', outputs: {model: m, metrics: j}}
  s: {kind: select, from: t, metric: a, top: 2, at_least: "${{ params.least }}"}
  r: {needs: {s: each}, run: 'echo "$(cat ${{ model.path }}): $SLUG ${{ model.name }} ${{ model.metric }} ${{ model.metrics.a }} ${{ model.matrix.m }} ${{ matrix.choice }}" > ${{ outputs.o }}', env: {SLUG: "${{ model.slug }}"}, outputs: {o: o}}
  all: {run: 'cat ${{ steps.r.outputs.o }} > ${{ outputs.o }}', outputs: {o: o}}
E
try 0 wf run choice.yaml
check_out all.o "file of high: high t[m=high] 3 3 high 0
file of mid: mid t[m=mid] 2 2 mid 1"
try 0 wf run choice.yaml
check_ran ""
try 0 wf run choice.yaml -p least=3
check_status "r[choice=0]" cached
check_status "r[choice=1]" skipped
check_out all.o "file of high: high t[m=high] 3 3 high 0"
try 1 wf run choice.yaml -p least=9
check_status "r[choice=0]" skipped

invalid 'steps: {t: {matrix: {k: [a, b]}, run: x}, u: {needs: {t: 3}, run: x}}'
invalid 'steps: {t: {matrix: {k: [a, b]}, run: x}, u: {matrix: {k: [a]}, needs: {t: each}, run: x}}'
invalid 'steps: {a: {run: x}, b: {needs: {a: some}, run: x}}'
invalid 'steps: {a: {run: x}, b: {needs: "${{ steps.a }}", run: x}}'
finish
