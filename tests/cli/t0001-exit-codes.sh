# SPDX-License-Identifier: Apache-2.0
# Exit codes: 0 succeeded, 1 a step failed, 2 usage, 3 the workflow is invalid, 4 the store failed.
. "$(dirname "$0")/lib.sh"
flow good.yaml <<'E'
steps: {a: {run: echo hello}}
E
flow bad.yaml <<'E'
steps: {a: {run: exit 3}, b: {needs: a, run: echo never}, c: {run: echo on}}
E
try 0 wf run good.yaml
try 1 wf run bad.yaml
check_status a failed
check_status b skipped
check_status c succeeded
json '.steps[] | select(.name == "a") | .exit_code' 3 <(wf show --json)
json '.first_failure' '"a"' <(wf show --json)
json '.status' '"failed"' <(wf show --json)
try 2 wf run
try 2 wf run good.yaml extra.yaml
try 2 wf run good.yaml --no-such-option
try 2 wf nonsense
try 2 wf run good.yaml --only nosuchstep
try 2 wf run good.yaml -p nosuchparam=1
try 2 wf run good.yaml --refresh=nosuchstep
try 2 wf run good.yaml --only a --from a
try 2 wf run good.yaml --no-cache --refresh
try 2 wf run good.yaml --max-parallel none
try 2 wf show 0NOSUCHRUN
try 2 wf logs latest nosuchstep
try 2 wf outputs latest nosuchstep
# a limit of files that is too low is named, with one that will do
few() { (ulimit -n 12; exec "$WF" "$@"); }
for command in "run good.yaml" "plan good.yaml" "explain good.yaml a" doctor; do
    # shellcheck disable=SC2086 # its words
    try 4 few $command
    says 'too few open files are allowed \(12, of which [0-9]+ are taken\): raise .ulimit -n. to at least [0-9]+'
    same "one line" "$(wc -l <.err)" 1
done
enough=$(sed -n 's/.*at least //p' .err)
try 0 sh -c 'ulimit -n "$1"; exec "$WF" run good.yaml' sh "$enough"
for command in '' run plan explain check graph runs show logs outputs 'cache ls' 'cache show' 'cache stats' 'cache gc' schema doctor version; do
    # shellcheck disable=SC2086
    try 0 wf $command --help
done
try 0 wf run --color=never -- good.yaml
try 0 wf run --quiet good.yaml
same "quiet says nothing" "$(cat .out .err)" ""
mkdir other && printf 'x' >other/store
try 4 wf run --store "$T/other/store" good.yaml
says store
try 4 wf run --store /proc/nothing/here good.yaml
rc=0; wf run nosuchfile.yaml >.out 2>.err || rc=$?
check "a file that is not there is an error" [ "$rc" -ne 0 ]
says nosuchfile.yaml
finish
