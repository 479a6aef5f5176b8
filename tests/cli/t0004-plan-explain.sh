# SPDX-License-Identifier: Apache-2.0
# wf plan tells hit, run, undecided, and changes nothing; wf explain names what differs.
. "$(dirname "$0")/lib.sh"
echo one >in.txt
flow w.yaml <<'E'
params: {lr: '0.1', go: true}
steps:
  a: {inputs: {x: in.txt}, run: 'cp ${{ inputs.x }} ${{ outputs.o }}', outputs: {o: o}}
  b: {run: 'cat ${{ steps.a.outputs.o }} > ${{ outputs.o }}; echo ${{ params.lr }} >> ${{ outputs.o }}', outputs: {o: o}}
  c: {run: echo side}
  d: {if: '!params.go', run: echo x}
E
sed -i "s/if: '!params.go'/if: \"\${{ !params.go }}\"/" w.yaml
verdicts() { wf plan w.yaml --json "$@" | jq -r '[.steps[] | .name + "=" + .verdict] | join(" ")'; }
same "before the first run" "$(verdicts)" "a=run b=undecided c=run d=skip"
same "plan ran nothing" "$(wf runs --json | jq length)" 0
try 0 wf run w.yaml
same "afterwards" "$(verdicts)" "a=hit b=hit c=run d=skip"
same "a param" "$(verdicts -p lr=0.2)" "a=hit b=run c=run d=skip"
try 0 wf plan w.yaml -p lr=0.2 --json
json '.steps[] | select(.name == "b") | [.differences[] | [.name, .old, .new] | map(tostring) | join(" ")] | join(";") | (contains("0.1") and contains("0.2"))' true
echo two >in.txt
same "an input" "$(verdicts)" "a=run b=undecided c=run d=skip"
try 0 wf explain w.yaml a --json
check "explain names the input" grep -q in.txt .out
try 0 wf explain w.yaml a
says "input (x|in.txt)"
try 0 wf explain w.yaml b -p lr=0.2
try 2 wf explain w.yaml nosuch
try 0 wf run w.yaml --summary s.json
json '.steps[] | select(.name == "a") | .cache.verdict' '"miss"' s.json
json '.steps[] | select(.name == "a") | [.cache.why[] | [.part, .name, (.old != .new)] | tostring] | join(";") | contains("in.txt") or contains("x")' true s.json
same "refresh in plan" "$(wf plan w.yaml --refresh=a --json | jq -r '.steps[0].verdict')" run
same "no-cache in plan" "$(wf plan w.yaml --no-cache --json | jq -r '.steps[0].verdict')" run
same "no-cache: all of it" "$(verdicts --no-cache)" "a=run b=run c=run d=skip"
same "refresh: all of it" "$(verdicts --refresh)" "a=run b=run c=run d=skip"
same "refresh of one" "$(verdicts --refresh=a)" "a=run b=undecided c=run d=skip"
same "refresh of two" "$(verdicts --refresh=a --refresh=b)" "a=run b=run c=run d=skip"
sleep 1.1; touch mark
wf plan w.yaml >/dev/null; wf explain w.yaml a >/dev/null; wf graph w.yaml >/dev/null; wf check w.yaml >/dev/null 2>&1
same "plan writes nothing to objects" "$(find store/objects -newer mark -type f | wc -l)" 0
same "plan lists found files" "$(printf 'steps: {a: {run: cat in.txt, cache: {policy: content}}}\n' >f.yaml; wf plan f.yaml --json | jq -c '[.steps[0].inputs[] | [.path, .found]]')" '[["in.txt",true]]'
finish
