# SPDX-License-Identifier: Apache-2.0
# Files that are no workflow: exit code 3, nothing run, the store intact.
. "$(dirname "$0")/lib.sh"
invalid ''
invalid '# only a comment'
invalid 'just text'
invalid '[a, list]'
invalid $'steps:\n\ta: {run: x}'
invalid $'steps: {a: {run: x}}\n---\nsteps: {b: {run: y}}'
invalid 'steps: {}'
invalid 'name: x'
invalid 'steps: {a: {run: x}, a: {run: y}}'
invalid 'steps: {a: {run: x, run: y}}'
invalid 'steps: {a: {rum: x}}'
invalid 'stpes: {a: {run: x}}'
invalid 'steps: {a: {run: x, needs: a}}'
invalid 'steps: {a: {run: x, needs: b}, b: {run: x, needs: c}, c: {run: x, needs: a}}'
try 3 wf check invalid.yaml
says 'a -> .*-> a|b -> .*-> b|c -> .*-> c'
invalid 'steps: {a: {run: "cat ${{ steps.b.outputs.o }}"}, b: {run: "cat ${{ steps.a.outputs.o }}", outputs: {o: o}}}'
invalid 'steps: {a: {run: x, needs: [bb]}, b: {run: y}}'
invalid 'steps: {"1a": {run: x}}'
invalid 'steps: {a: {run: x, command: [y]}}'
invalid 'steps: {a: {}}'
invalid 'steps: {a: {run: "echo ${{ params.nope }}"}}'
invalid 'steps: {a: {run: "echo ${{ 1 + }}"}}'
invalid 'steps: {a: {run: "echo ${{ unclosed"}}'
invalid 'steps: {a: {run: x, timeout: 5}}'
invalid 'steps: {a: {run: x, timeout: soon}}'
invalid 'steps: {a: {run: x, resources: {memory: 2G}}}'
invalid 'steps: {a: {run: x, resources: {cpu: many}}}'
invalid 'steps: {a: {run: x, outputs: {o: /abs}}}'
invalid 'steps: {a: {run: x, outputs: {o: ../up}}}'
invalid 'steps: {a: {run: x, outputs: {o: o}, publish: {o: ../up}}}'
invalid 'steps: {a: {run: x, outputs: {o: o}, publish: {p: here}}}'
invalid 'steps: {a: {run: x, cache: {policy: time, ttl: 1d}}}'
invalid 'steps: {a: {run: x, if: !cancelled()}}'
invalid 'steps: {a: {run: x, env: {A: ${{ params.x }}}}}'
invalid 'steps: {a: {run: x, env: {A: .nan}}}'
invalid 'steps: {a: {run: x, env: {A: !!binary aGk=}}}'
invalid 'steps: {a: &a {run: x, env: *a}}'
invalid 'steps: {a: {run: *nope}}'
for key in 'triggers: [{cron: "0 3 * * 1"}]' 'pools: {gpu: 1}' 'overlap: queue' 'notify: [{on: [failure], webhook: "http://x"}]'; do
    invalid "$key
steps: {a: {run: x}}"
    says 'not supported yet'
done
for step in '{kind: workflow, file: x.yaml}' '{kind: approve, message: x}' '{run: x, pool: gpu}' '{run: x, checkpoint: c}' '{run: x, executor: slurm}' '{run: x, executor: kubernetes}'; do
    invalid "steps: {a: {run: x}, b: $step}"
    says 'not supported yet'
done
# an alias bomb, deep nesting, bytes that are no text
python3 - <<'P'
lines = ["x-a0: &a0 [x,x,x,x,x,x,x,x,x]"]
for i in range(1, 12):
    lines.append(f"x-a{i}: &a{i} [" + ",".join([f"*a{i-1}"] * 9) + "]")
lines.append("steps: {a: {run: x, env: {A: *a11}}}")
open("bomb.yaml", "w").write("\n".join(lines) + "\n")
open("deep.yaml", "w").write("steps: {a: {run: x, x: " + "[" * 100000 + "]" * 100000 + "}}\n")
open("deepmap.yaml", "w").write("x-a:\n" + "".join(" " * i + "k:\n" for i in range(1, 3000)) + "steps: {a: {run: x}}\n")
open("latin.yaml", "wb").write(b"steps: {a: {run: 'echo caf\xe9'}}\n")
open("nul.yaml", "wb").write(b"steps: {a: {run: 'echo \x00'}}\n")
open("utf16.yaml", "wb").write("steps: {a: {run: x}}\n".encode("utf-16"))
open("big.yaml", "wb").truncate(65 << 20)
with open("big2.yaml", "wb") as f:
    f.write(b"steps: {a: {run: x}}\n")
    f.write((b"#" + b"x" * 1022 + b"\n") * (65 << 10))
open("crlf.yaml", "wb").write(b"steps:\r\n  a:\r\n    run: |\r\n      echo one\r\n      echo two > ${{ outputs.o }}\r\n    outputs: {o: o}\r\n")
open("bom.yaml", "wb").write(b"\xef\xbb\xbfsteps: {a: {run: 'echo x > ${{ outputs.o }}', outputs: {o: o}}}\n".replace(b"${{", b"${{"))
P
for f in bomb deep deepmap latin nul big big2; do try 3 timeout 20 "$WF" run $f.yaml; done
timeout 20 "$WF" run utf16.yaml >.out 2>.err; rc=$?
check "UTF-16 is read or refused ($rc)" test $rc = 0 -o $rc = 3
mkdir folder.yaml
rc=0; wf run folder.yaml >.out 2>.err || rc=$?
check "a folder is no workflow ($rc)" test $rc = 2 -o $rc = 3 -o $rc = 4
n=$(wf runs --json | jq '[.[] | select(.workflow != "utf16")] | length')
same "nothing ran" "$n" 0
try 0 wf run crlf.yaml
check_out a.o two
try 0 wf run bom.yaml
check_out a.o x
check_store
finish
