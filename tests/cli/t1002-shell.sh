# SPDX-License-Identifier: Apache-2.0
# Scripts run under sh -eu, bash -euo pipefail, or a program of one's own; their length has no limit.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<'E'
steps:
  e: {run: 'false; echo on', continue_on_error: true}
  u: {run: 'echo $NOT_THERE', continue_on_error: true}
  sh_pipe: {run: 'false | true'}
  bash_pipe: {shell: bash, run: 'false | true', continue_on_error: true}
  arrays: {shell: bash, run: 'a=(1 2 3); echo ${#a[@]} > ${{ outputs.o }}', outputs: {o: o}}
  own: {shell: [awk, -f], run: 'BEGIN { print 6 * 7 > (ENVIRON["WF_OUT"] "/o") }', outputs: {o: o}}
  plain: {command: [printf, '%s', '$HOME * ~']}
  stdin: {run: 'if read -r line; then exit 1; fi'}
  signals: {run: 'kill -PIPE $$; exit 0', continue_on_error: true}
  umask: {run: 'umask > ${{ outputs.o }}', outputs: {o: o}}
  here: {run: 'test -f w.yaml && pwd > ${{ outputs.o }}', outputs: {o: o}}
  workdir: {workdir: sub, run: 'pwd > ${{ outputs.o }}', outputs: {o: o}}
  missing: {command: [no-such-program-anywhere], continue_on_error: true}
E
mkdir sub
try 0 wf run w.yaml
for s in e u bash_pipe signals missing; do check_status $s failed; done
check_status sh_pipe succeeded
json '.steps[] | select(.name == "signals") | .signal' 13 <(wf show --json)
check_out arrays.o 3
check_out own.o 42
check_out umask.o 0022
check_out here.o "$T"
check_out workdir.o "$T/sub"
same "the argument list as it is" "$(wf logs latest plain)" '$HOME * ~'
python3 - <<'P'
with open("long.yaml", "w") as f:
    f.write("steps:\n  a:\n    run: |\n      n=0\n")
    for i in range(12000):
        f.write(f"      n=$((n + 1)) # line number {i:06}\n")
    f.write("      echo $n > ${{ outputs.o }}\n    outputs: {o: o}\n")
P
check "more than 300 KB" test "$(stat -c %s long.yaml)" -gt 300000
try 0 wf run long.yaml
check_out a.o 12000
finish
