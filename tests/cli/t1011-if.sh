# SPDX-License-Identifier: Apache-2.0
# if, skipped steps, default(), and who counts as failed.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<'E'
params: {mode: left}
steps:
  left: {if: params.mode == 'left', run: 'echo left > ${{ outputs.o }}', outputs: {o: o}}
  right: {if: "${{ params.mode == 'right' }}", run: 'echo right > ${{ outputs.o }}', outputs: {o: o}}
  join: {needs: [left, right], run: 'echo ${{ basename(default(steps.left.outputs.o, "none")) }} > ${{ outputs.o }}', outputs: {o: o}}
  after: {needs: right, run: echo x}
  reads: {run: 'cat ${{ steps.right.outputs.o }}'}
  anyway: {needs: right, if: always(), run: echo x}
  word: {if: "'true'", run: echo x}
  bad: {run: exit 4, continue_on_error: true}
  hard: {run: exit 4}
  onfail: {needs: hard, if: failure(), run: echo x}
  onfail2: {needs: [hard], if: 'success()', run: echo x}
  deep: {needs: onfail2, if: failure(), run: echo x}
  tolerated: {needs: bad, if: 'success() || failure()', run: echo x}
  reader: {needs: bad, run: echo no}
  cover: {run: "echo ${{ default(steps.bad.values.v, 'instead') }} > ${{ outputs.o }}", outputs: {o: o}}
  status: {if: "steps.hard.status == 'failed'", run: echo x}
  branch: {matrix: {k: [1, 2]}, if: 'matrix.k == 2', run: echo x}
E
sed -i 's/"none"/'"''none''"'/; s/  bad: {run: exit 4, c/  bad: {run: exit 4, values: [v], c/' w.yaml
try 1 wf run w.yaml
for s in left reader join anyway word onfail deep cover status 'branch[k=2]'; do check_status "$s" succeeded; done
for s in right after reads onfail2 'branch[k=1]'; do check_status "$s" skipped; done
check_out cover.o instead
json .first_failure '"hard"' <(wf show --json)
try 1 wf run w.yaml -p mode=right
check_status left skipped
check_status right succeeded
check_status reads succeeded
check_out join.o none
# An optional input is not there when the step that makes it was skipped; a failure is no absence.
flow optional.yaml <<'E'
params: {go: false}
steps:
  a: {if: params.go, run: 'mkdir ${{ outputs.d }}; echo made > ${{ outputs.o }}; echo f=real >> $WF_VALUES', outputs: {o: o, d: d}, values: [f]}
  whole: {inputs: {x: {path: '${{ steps.a.outputs.o }}', optional: true}}, run: 'cat /dev/null ${{ inputs.x }} > ${{ outputs.o }}', outputs: {o: o}}
  part: {inputs: {x: {path: '${{ steps.a.outputs.d }}/deep', optional: true}}, run: 'echo "<${{ inputs.x }}>" > ${{ outputs.o }}', outputs: {o: o}}
  named: {inputs: {x: {path: '${{ steps.a.values.f }}', optional: true}}, run: 'echo "<${{ inputs.x }}>" > ${{ outputs.o }}', outputs: {o: o}}
  needed: {inputs: {x: '${{ steps.a.outputs.o }}'}, run: 'cat ${{ inputs.x }}'}
E
sed -i 's|cat /dev/null ${{ inputs.x }}|if test -n ${{ inputs.x }}; then cat ${{ inputs.x }}; else echo none; fi|' optional.yaml
try 0 wf run optional.yaml
check_status needed skipped
check_out whole.o none
check_out part.o "<>"
check_out named.o "<>"
try 0 wf run optional.yaml
check_ran ""
try 0 wf run optional.yaml -p go=true
check_out whole.o made
check_out part.o "<>"
check_status needed succeeded
flow failed.yaml <<'E'
steps:
  a: {run: 'exit 1', outputs: {o: o}}
  b: {inputs: {x: {path: '${{ steps.a.outputs.o }}', optional: true}}, run: 'echo x'}
  c: {run: "echo ${{ default(steps.a.outputs.o, 'x') }}"}
E
try 1 wf run failed.yaml
check_status b skipped
check_status c skipped
json '[.steps[] | .because // empty] | unique' '["a failed"]' <(wf show --json)
flow notbool.yaml <<'E'
params: {x: word}
steps: {a: {if: params.x, run: echo x}}
E
rc=0; wf run notbool.yaml >.out 2>.err || rc=$?
check "if must give a boolean ($rc)" test $rc = 1 -o $rc = 3
flow cached.yaml <<'E'
steps:
  a: {run: 'echo x > ${{ outputs.o }}', outputs: {o: o}}
  b: {if: "steps.a.status == 'succeeded'", run: 'echo ${{ steps.a.cached }}'}
E
try 0 wf run cached.yaml
same "not cached" "$(wf logs latest b)" false
try 0 wf run cached.yaml
check_status b succeeded
same "cached" "$(wf logs latest b)" true
finish
