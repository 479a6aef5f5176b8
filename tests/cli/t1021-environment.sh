# SPDX-License-Identifier: Apache-2.0
# What a step sees of the environment, and what of it is in the key.
. "$(dirname "$0")/lib.sh"
export LEAK=1 PASSED=one UNUSED=x LANG=de_DE.UTF-8 TZ=Asia/Tokyo
flow w.yaml <<'E'
env: {TOP: top}
steps:
  all: {run: 'env | cut -d= -f1 | sort | tr "\n" " " > ${{ outputs.o }}; echo "$LANG $TZ" > ${{ outputs.l }}', outputs: {o: o, l: l}}
  own: {env: {TZ: Europe/Paris, LANG: C, N: 1.10}, run: 'echo "$TZ $LANG $N $TOP" > ${{ outputs.o }}', outputs: {o: o}}
  pass: {pass_env: [PASSED, NOT_SET_ANYWHERE], run: 'echo "$PASSED ${NOT_SET_ANYWHERE-unset}" > ${{ outputs.o }}', outputs: {o: o}}
  where: {matrix: {k: [v]}, run: 'echo "$WF_MATRIX_K" > ${{ outputs.o }}; test -n "$WF_RUN$WF_STEP$WF_ATTEMPT"; test -d "$WF_OUT"; test -f "$WF_INPUTS"', outputs: {o: o}}
  runid: {env: {R: '${{ run.id }}'}, run: 'echo "$R" > ${{ outputs.o }}', outputs: {o: o}}
  runid2: {run: 'echo "${{ run.id }} $WF_RUN ${{ run.trigger }}" > ${{ outputs.o }}', outputs: {o: o}}
E
try 0 wf run w.yaml
for v in LEAK UNUSED PASSED XDG_STATE_HOME WF_STORE; do same "no $v" "$(out all.o | tr ' ' '\n' | grep -cx $v)" 0; done
for v in PATH HOME TOP WF_OUT WF_RUN WF_STEP WF_ATTEMPT LANG TZ; do [ $v = HOME ] && [ -z "${HOME-}" ] && continue; same "$v" "$(out all.o | tr ' ' '\n' | grep -cx $v)" 1; done
check_out all.l "C.UTF-8 UTC"
check_out own.o "Europe/Paris C 1.10 top"
check_out pass.o "one unset"
check_out 'where[k=v].o' v
run=$(wf show --json | jq -r .run)
check_out runid.o "$run"
check_out runid2.o "$run $run manual"
export PASSED=two PATH="$PATH:/opt" HOME=/ TMPDIR=${TMPDIR:-/tmp} LEAK=2
try 0 wf run w.yaml
check_ran "runid runid2 where[k=v]"
check_verdict runid uncacheable
sed -i 's/TOP: top/TOP: other/' w.yaml
try 0 wf run w.yaml
same "env is in the key" "$(wf show --json | jq .counts.succeeded)" 6
flow s.yaml <<'E'
steps: {a: {run: 'echo "$WF_STEP" > ${{ outputs.o }}', outputs: {o: o}}}
E
try 0 wf check s.yaml
says WF_STEP
try 0 wf run s.yaml
sed -i 's/{a:/{b:/' s.yaml
try 0 wf run s.yaml
check_ran b
check_out b.o b
finish
