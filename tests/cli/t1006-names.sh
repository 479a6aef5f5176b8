# SPDX-License-Identifier: Apache-2.0
# Instance names, and what a word on the command line means.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<'E'
steps:
  t:
    matrix: {learning-rate: [0.10, 1e-3], name: [plain, 'with space', '']}
    run: 'echo "$WF_MATRIX_LEARNING_RATE|$WF_MATRIX_NAME|$WF_STEP" > ${{ outputs.o }}'
    outputs: {o: o}
E
try 0 wf run w.yaml
json '[.steps[].name]' '["t[learning-rate=0.10,name=plain]","t[learning-rate=0.10,name=\"with space\"]","t[learning-rate=0.10,name=\"\"]","t[learning-rate=1e-3,name=plain]","t[learning-rate=1e-3,name=\"with space\"]","t[learning-rate=1e-3,name=\"\"]"]' <(wf show --json)
check_out 't[learning-rate=1e-3,name="with space"].o' '1e-3|with space|t[learning-rate=1e-3,name="with space"]'
try 0 wf run w.yaml --refresh='t[name=plain]'
check_ran 't[learning-rate=0.10,name=plain] t[learning-rate=1e-3,name=plain]'
try 0 wf run w.yaml --refresh='t[learning-rate=0.10,name=plain]'
check_ran 't[learning-rate=0.10,name=plain]'
try 0 wf run w.yaml --refresh=t
same "all branches" "$(wf show --json | jq .counts.succeeded)" 6
invalid 'steps: {t: {matrix: {k: [a, a]}, run: x}}'
invalid 'steps: {t: {matrix: {k: [1], include: [{k: 2}, {k: 2}]}, run: x}}'
finish
