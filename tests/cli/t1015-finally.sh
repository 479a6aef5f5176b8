# SPDX-License-Identifier: Apache-2.0
# finally: after all else, whatever the outcome; sees the run; not memoized; not in partial runs.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<'E'
params: {code: 0}
steps:
  a: {run: 'exit ${{ params.code }}'}
  b: {needs: a, run: sleep 0.1}
finally:
  always: {run: 'echo ${{ run.status }} ${{ join(run.failed, "+") }} > ${{ outputs.o }}', outputs: {o: o}}
  bad: {if: failure(), run: 'echo x'}
  good: {if: success(), run: 'echo x'}
  gone: {if: cancelled(), run: 'echo x'}
  order: {needs: always, run: 'cat ${{ steps.always.outputs.o }}'}
E
sed -i "s/join(run.failed, \"+\")/join(run.failed, ''+'')/" w.yaml
try 0 wf run w.yaml
check_out always.o "succeeded "
check_status bad skipped
check_status good succeeded
check_status gone skipped
check_status order succeeded
try 0 wf run w.yaml
check_status always succeeded
try 1 wf run w.yaml -p code=2
check_out always.o "failed a"
check_status bad succeeded
check_status good skipped
flow f.yaml <<'E'
steps: {a: {run: 'echo x > ${{ outputs.o }}', outputs: {o: o}}}
finally: {f: {run: exit 5}}
E
try 1 wf run f.yaml
json .status '"failed"' <(wf show --json)
try 0 wf run f.yaml --only a
check_ran ""
flow c.yaml <<E
steps: {a: {run: 'touch "$T/up"; while [ ! -e "$T/go" ]; do sleep 0.02; done'}, b: {needs: a, run: echo x}}
finally: {f: {if: cancelled(), run: 'touch "$T/cleaned"'}}
E
background run c.yaml
check "it started" wait_for 5 test -e up
kill -INT $pid; sleep 0.1; touch go
wait $pid; same "exit code" $? 130
check "finally ran after a cancel" test -e cleaned
invalid 'steps: {a: {run: x}}
finally: {a: {run: x}}'
invalid 'steps: {a: {needs: f, run: x}}
finally: {f: {run: x}}'
finish
