# SPDX-License-Identifier: Apache-2.0
# A container step sees its declared inputs, read-only, and nothing else; its outputs and log come back; it is reused.
. "$(dirname "$0")/lib.sh"
need_engine
img=wf-cli-basic-$$
busybox_image $img first || { fail "the image cannot be built"; finish; }
trap 'drop_image $img; cleanup' EXIT
mkdir -p data/sub; echo one >data/a.txt; echo two >data/sub/b.txt; echo secret >hidden.txt; mkdir up; echo up >up/x
chmod 600 data/a.txt
flow w.yaml <<E
defaults: {image: localhost/$img}
env: {TOP: top}
steps:
  a:
    inputs: {a: data/a.txt, d: data/sub, g: 'data/*.txt'}
    run: |
      cat \${{ inputs.a }} data/a.txt \${{ inputs.d }}/b.txt data/sub/b.txt > \${{ outputs.o }}
      test ! -e hidden.txt
      test ! -e w.yaml
      if echo x > data/a.txt; then exit 91; fi 2>/dev/null
      if echo x > \${{ inputs.d }}/new; then exit 92; fi 2>/dev/null
      echo "\$TOP \$WF_STEP" >> \${{ outputs.o }}
      pwd >> \${{ outputs.o }}
      echo to the log; echo and errors >&2
    outputs: {o: deep/o}
  b:
    run: |
      cat \${{ steps.a.outputs.o }} | head -1 > \${{ outputs.d }}.tmp
      mkdir -p \${{ outputs.d }}; echo x > \${{ outputs.d }}/f; ln -s f \${{ outputs.d }}/l
      if echo x >> \${{ steps.a.outputs.o }}; then exit 93; fi 2>/dev/null
      echo v=\$(cat /what) > "\$WF_VALUES"
      test -f "\$WF_INPUTS"
    outputs: {d: d}
    values: [v]
  host: {image: null, run: 'cat \${{ steps.b.outputs.d }}/l > \${{ outputs.o }}; echo \${{ steps.b.values.v }} >> \${{ outputs.o }}', outputs: {o: o}}
  fails: {run: 'exit 42', continue_on_error: true}
  nothere: {command: [no-such-program], continue_on_error: true}
  exec: {command: [echo, 'two words', '*'], values: {v: stdout}}
  leaves: {run: 'ln -s /what \${{ outputs.o }}', outputs: {o: o}, continue_on_error: true}
  missing: {run: 'true', outputs: {o: o}, continue_on_error: true}
E
sed -i 's/ln -s /busybox ln -s /' w.yaml
try 0 timeout 100 "$WF" run w.yaml
check_out a.o "one
one
two
two
top a
/workspace"
check_out host.o $'x\nfirst'
same "log" "$(wf logs latest a | sort | paste -sd'|')" "and errors|to the log"
same "exit code" "$(wf show --json | jq '.steps[] | select(.name == "fails") | .exit_code')" 42
for s in fails nothere leaves missing; do check_status $s failed; done
json '.steps[] | select(.name == "exec") | .values.v' '"two words *"' <(wf show --json)
json '[.steps[] | select(.name == "a") | .executor]' '["container"]' <(wf show --json)
check "no container is left" no_containers
try 0 timeout 100 "$WF" run w.yaml
check_ran "fails leaves missing nothere"
echo changed >>hidden.txt
try 0 timeout 100 "$WF" run w.yaml
check_status a cached
echo changed >data/a.txt
try 0 timeout 100 "$WF" run w.yaml
same "a and what reads it" "$(ran)" "a b fails leaves missing nothere"
check "no container is left" no_containers
check_store
finish
