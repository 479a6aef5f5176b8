# SPDX-License-Identifier: Apache-2.0
# Several wf processes on one store at once: each step is done once in all, a waiter says whom it waits for, and whoever dies, fails or is stopped holds nobody up for longer than need be.
. "$(dirname "$0")/lib.sh"
mkdir w && cd w || exit 1
# bg NAME ARGS…: wf in the background, as $pid, its words in $T/NAME
bg() { local name=$1; shift; env --default-signal=INT,TERM "$WF" "$@" >"$T/$name" 2>"$T/$name.err" & pid=$!; }
count() { if [ -e "$T/$1" ]; then wc -l <"$T/$1"; else echo 0; fi; }
has_lines() { [ "$(count "$1")" -ge "$2" ]; }
waits() { jq -se 'any(.[]; .event == "waiting")' "$T/$1" >/dev/null; }
flow w.yaml <<E
max_parallel: 4
steps:
  once: {run: 'echo x >> "$T/count"; sleep 0.5; echo done > \${{ outputs.o }}', outputs: {o: o}}
  m: {matrix: {k: [1, 2, 3, 4, 5, 6, 7, 8]}, run: 'echo \${{ matrix.k }} >> "$T/count"; sleep 0.05; echo \${{ matrix.k }} > \${{ outputs.o }}', outputs: {o: o}}
  j: {run: 'echo j >> "$T/count"; cat \${{ steps.m.outputs.o }} \${{ steps.once.outputs.o }} > \${{ outputs.o }}', outputs: {o: o}}
E
pids=
for i in 1 2 3 4 5; do bg "out.$i" run w.yaml --json; pids="$pids $pid"; done
for p in $pids; do wait "$p"; same "exit" $? 0; done
same "five runs succeeded" "$(wf runs --json | jq '[.[] | select(.status == "succeeded")] | length')" 5
same "the result" "$(out j.o | tr '\n' ' ')" "1 2 3 4 5 6 7 8 done "
same "each step was done once in all" "$(sort "$T/count" | tr '\n' ' ')" "1 2 3 4 5 6 7 8 j x "
same "and succeeded once" "$(cat "$T"/out.? | jq -r 'select(.event == "succeeded") | .step' | sort | uniq -d)" ""
same "in all others it was reused" "$(cat "$T"/out.? | jq -s '[.[] | select(.event == "cached")] | length')" 40
check_store

# one is held up by another workflow with the same work; other steps go on, and it says whom it waits for
cat >wait.sh <<E
echo "\$\$" >> "$T/began"
while [ ! -e "$T/go" ]; do sleep 0.02; done
[ ! -e "$T/bad" ] || exit 7
echo out > "\$WF_OUT/o"
E
step='{run: ". ./wait.sh", outputs: {o: o}}'
printf 'max_parallel: 1\nsteps:\n  slow: %s\n' "$step" >holder.yaml
printf 'max_parallel: 1\nsteps:\n  train: %s\n  other: {run: "echo other >> \\"%s\\"; echo hi > ${{ outputs.o }}", outputs: {o: o}}\n' "$step" "$T/others" >waiter.yaml
fresh() { rm -rf "$WF_STORE" "$T/began" "$T/go" "$T/bad" "$T/others"; }
hold() { bg holder run holder.yaml --json; holder=$pid; check "the holder works" wait_for 10 test -s "$T/began"; }
fresh; hold
bg waiter run waiter.yaml --json; waiter=$pid
check "the waiter says so" wait_for 10 waits waiter
same "whom it waits for" "$(jq -c 'select(.event == "waiting") | [.step, .data.on.workflow, .data.on.step, .data.on.run]' "$T/waiter")" \
    "$(jq -c 'select(.event == "run_started") | ["train", "holder", "slow", .run]' "$T/holder")"
check "it holds no slot: the other step goes on" wait_for 10 test -s "$T/others"
check_status train queued
same "show says whom it waits for" "$(wf show --json | jq -r '.steps[] | select(.name == "train") | .because' | sed 's/run [^ ]*/run/')" \
    "waits for run (holder), step slow, which works on the same"
touch "$T/go"; wait $holder; same "holder" $? 0; wait $waiter; same "waiter" $? 0
same "done once" "$(count began)" 1
check_counts '{"succeeded":1,"cached":1}'
same "no reason is left" "$(wf show --json | jq -c '[.steps[] | select(.name == "train") | .because]')" "[null]"

# the holder is killed while three wait: one of them takes over at once
fresh; hold
pids=
for i in 1 2 3; do bg "waiter.$i" run waiter.yaml --json; pids="$pids $pid"; done
for i in 1 2 3; do check "waiter $i waits" wait_for 10 waits "waiter.$i"; done
kill -KILL $holder; wait $holder 2>/dev/null
check "one takes over" wait_for 2 has_lines began 2
touch "$T/go"
for p in $pids; do wait "$p"; same "exit" $? 0; done
same "exactly one" "$(count began)" 2
same "the others reuse its result" "$(cat "$T"/waiter.? | jq -s 'map(select(.step == "train") | .event) | [(map(select(. == "succeeded")) | length), (map(select(. == "cached")) | length)]' | tr -d ' \n')" "[1,2]"
check_store

# the holder's step fails: who waits does it itself
fresh; hold
bg waiter run waiter.yaml --json; waiter=$pid
check "the waiter waits" wait_for 10 waits waiter
touch "$T/bad" "$T/go"; wait $holder; same "the holder failed" $? 1
wait $waiter; same "so does the one that took over" $? 1
same "each for itself" "$(count began)" 2
# the holder is interrupted
fresh; hold
bg waiter run waiter.yaml --json; waiter=$pid
check "the waiter waits" wait_for 10 waits waiter
kill -INT $holder
check "the holder stops" wait_for 10 grep -q run_stopping "$T/holder" # two signals at once may be one
kill -INT $holder; wait $holder; same "interrupted" $? 130
check "the waiter takes over" wait_for 10 has_lines began 2
touch "$T/go"; wait $waiter; same "waiter" $? 0

# a stopped holder is waited for, and named; SIGINT ends the wait at once
fresh; hold
kill -STOP $holder
bg waiter run waiter.yaml --json; waiter=$pid
check "a stopped holder is named" wait_for 10 waits waiter
check "whom" jq -se '[.[] | select(.event == "waiting") | .data.on.step] == ["slow"]' "$T/waiter"
(sleep 10; kill -KILL $waiter) 2>/dev/null & guard=$!
kill -INT $waiter; wait $waiter; same "it ends at once" $? 130
kill $guard
check_status train cancelled
bg waiter run waiter.yaml --json; waiter=$pid
check "another waits" wait_for 10 waits waiter
kill -CONT $holder; touch "$T/go"; wait $holder; same "holder" $? 0
wait $waiter; same "waiter" $? 0
same "done once" "$(count began)" 1

# a wait counts neither as the step's timeout, nor is a run's own timeout stopped by it
fresh; hold
printf 'timeout: 700ms\nsteps:\n  train: %s\n' "$step" >limited.yaml
try 1 wf run limited.yaml
says "longer than its timeout"
check_status train cancelled
printf 'steps:\n  train: {timeout: 400ms, run: ". ./wait.sh", outputs: {o: o}}\n' >short.yaml
bg waiter run short.yaml --json; waiter=$pid
check "it waits" wait_for 10 waits waiter
sleep 0.5 # longer than its timeout
touch "$T/go"; wait $holder; wait $waiter; same "the timeout had not begun" $? 0
check_counts '{"cached":1}'

# --no-cache and --refresh do not wait
fresh; hold
( sleep 30; touch "$T/go" ) & guard=$!
bg one run holder.yaml --no-cache --json; one=$pid
check "--no-cache does not wait" wait_for 10 has_lines began 2
bg two run holder.yaml --refresh --json; two=$pid
check "--refresh does not wait" wait_for 10 has_lines began 3
touch "$T/go"; wait $one; same "exit" $? 0; wait $two; same "exit" $? 0; wait $holder; same "exit" $? 0
kill $guard 2>/dev/null

# a step that runs a workflow with its own work in it does not wait for itself
fresh
cat >inner.sh <<E
if [ "\${DEPTH-0}" = 0 ]; then DEPTH=1 timeout 20 "$WF" run self.yaml > "$T/inner" 2>&1 || exit 9; fi
echo x > "\$WF_OUT/o"
E
printf 'steps:\n  self: {run: ". ./inner.sh", pass_env: [DEPTH, WF_STORE], outputs: {o: o}}\n' >self.yaml
try 0 wf run self.yaml
check "it is told" grep -q "is the very work of the step that started this run" "$T/inner"
# nor where its environment was wiped
fresh; printf 'steps:\n  self: {run: ". ./inner.sh", outputs: {o: o}}\n' >wiped.yaml
cat >inner.sh <<E
if ! test -e "$T/deep"; then touch "$T/deep"; env -i PATH="\$PATH" HOME="\$HOME" WF_STORE="$WF_STORE" timeout 20 "$WF" run wiped.yaml > "$T/inner" 2>&1 || exit 9; fi
echo x > "\$WF_OUT/o"
E
try 0 wf run wiped.yaml
check "it is told" grep -q "is the very work of the step that started this run" "$T/inner"
# nor where nothing but the wf above is left
fresh; rm "$T/deep"
cat >inner.sh <<E
if ! test -e "$T/deep"; then touch "$T/deep"; exec env -i PATH="\$PATH" HOME="\$HOME" WF_STORE="$WF_STORE" timeout --foreground 20 "$WF" run wiped.yaml > "$T/inner" 2>&1; fi
echo x > "\$WF_OUT/o"
E
try 1 wf run wiped.yaml # its script never went on to write the output
check "it is told" grep -q "is the very work of the step that started this run" "$T/inner"

# two steps that start each other's work wait for each other, in two runs or in one: the circle is left
for s in a b; do
    cat >$s.sh <<E
if [ "\${DEPTH-0}" = 0 ]; then
    other=\$(echo $s | tr ab ba)
    touch "$T/$s.began"; n=0
    while [ ! -e "$T/\$other.began" ] && [ \$n -lt 500 ]; do sleep 0.02; n=\$((n + 1)); done
    DEPTH=1 timeout 20 "$WF" run \$other.yaml > "$T/inner.$s" 2>&1 || exit 9
fi
echo $s > "\$WF_OUT/o"
E
    printf 'steps:\n  %s: {run: ". ./%s.sh", pass_env: [DEPTH, WF_STORE], outputs: {o: o}}\n' $s $s >$s.yaml
done
(cat a.yaml; tail -1 b.yaml) >both.yaml
fresh; rm -f "$T"/?.began
bg one run a.yaml; one=$pid; bg two run b.yaml; two=$pid
wait $one; same "exit" $? 0; wait $two; same "exit" $? 0
check "it is told" grep -q "whose own run waits for the step that started this one" "$T/inner.a" "$T/inner.b"
check_store
fresh; rm -f "$T"/?.began "$T"/inner.?
try 0 timeout 30 "$WF" run both.yaml
check "it is told" grep -q "whose own run waits for the step that started this one" "$T/inner.a" "$T/inner.b"

# killed between the claim and the attempt: nothing of it stays
fresh
WF_FAILPOINT=claims.taken:kill "$WF" run holder.yaml >/dev/null 2>&1; same "killed" $? 137
touch "$T/go"; try 0 wf run holder.yaml
same "done once" "$(count began)" 1
check_store

# one is killed beside another
rm -f "$T/count"
"$WF" run w.yaml --refresh >../out.1 2>&1 & first=$!
check "the first works" wait_for 5 test -e "$T/count"
"$WF" run w.yaml --refresh >../out.2 2>&1 & second=$!
kill -KILL $first; wait $first 2>/dev/null
wait $second; same "the second goes on" $? 0
check_store
# beside gc
for i in 1 2 3; do "$WF" run w.yaml --refresh=m >../out.$i 2>&1 & pids="$!"; wf cache gc >../out.gc 2>&1; same "gc beside a run" $? 0; wait $pids; same "run beside gc" $? 0; done
check_store
finish
