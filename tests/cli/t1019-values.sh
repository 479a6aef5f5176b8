# SPDX-License-Identifier: Apache-2.0
# values: name=value lines, name<<WORD blocks, stdout; what is wrong fails the step.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<'E'
steps:
  v:
    run: |
      echo 'plain=a = b  ' >> "$WF_VALUES"
      printf 'block<<END\nline 1\n\nline=3\nEND\nempty=\n' >> "$WF_VALUES"
    values: [plain, block, empty]
  s: {run: 'printf "two\nlines\n\n"; echo err >&2', values: {all: stdout}}
  r:
    env: {B: '${{ steps.v.values.block }}', P: '${{ steps.v.values.plain }}', S: '${{ steps.s.values.all }}'}
    run: printf '[%s][%s][%s][%s]' "$P" "$B" ${{ steps.v.values.empty }} "$S" > ${{ outputs.o }}
    outputs: {o: o}
E
try 0 wf run w.yaml
check_out r.o $'[a = b  ][line 1\n\nline=3][][two\nlines\n]'
json '.steps[] | select(.name == "v") | .values' '{"plain":"a = b  ","block":"line 1\n\nline=3","empty":""}' <(wf show --json)
try 0 wf run w.yaml
check_ran ""
check_out r.o $'[a = b  ][line 1\n\nline=3][][two\nlines\n]'
flow bad.yaml <<'E'
steps:
  missing: {run: 'echo a=1 > "$WF_VALUES"', values: [a, b]}
  undeclared: {run: 'echo b=1 > "$WF_VALUES"; echo a=1 >> "$WF_VALUES"', values: [a]}
  twice: {run: 'printf "a=1\na=2\n" > "$WF_VALUES"', values: [a]}
  open: {run: 'printf "a<<X\nno end\n" > "$WF_VALUES"', values: [a]}
  noeq: {run: 'printf "just words\n" > "$WF_VALUES"', values: [a]}
  bytes: {run: 'printf "a=\377\n" > "$WF_VALUES"', values: [a]}
  nul: {run: 'printf "a=x\000y\n" > "$WF_VALUES"', values: [a]}
  large: {run: 'printf "a=%s\n" "$(head -c 1100000 /dev/zero | tr "\0" x)" > "$WF_VALUES"', shell: bash, values: [a]}
  none: {run: 'rm -f "$WF_VALUES"', values: [a]}
E
try 1 wf run bad.yaml
same "each fails" "$(wf show --json | jq -c '[.steps[] | select(.status != "failed") | .name]')" '[]'
flow code.yaml <<'E'
steps: {a: {run: 'echo a=1 > "$WF_VALUES"; exit 6', values: [a]}}
E
try 1 wf run code.yaml
same "its exit code counts" "$(wf show --json | jq .steps[0].exit_code)" 6
finish
