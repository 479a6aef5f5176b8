# SPDX-License-Identifier: Apache-2.0
# A step whose work is done is not done again; what is in the key, and what is not.
. "$(dirname "$0")/lib.sh"
echo in >in.txt
flow w.yaml <<'E'
steps:
  a: {inputs: {x: in.txt}, run: 'cat ${{ inputs.x }} > ${{ outputs.o }}', outputs: {o: o}}
  b: {run: 'cat ${{ steps.a.outputs.o }} > ${{ outputs.o }}', outputs: {o: o}}
  none: {run: echo side effect}
  asked: {run: echo side effect, cache: {policy: content}}
  off: {run: 'echo x > ${{ outputs.o }}', outputs: {o: o}, cache: false}
E
try 0 wf run w.yaml
check_ran "a asked b none off"
check_verdict a miss
try 0 wf run w.yaml
check_ran "none off"
check_verdict a hit
check_verdict none uncacheable
check_verdict off disabled
check_counts '{"succeeded":2,"cached":3}'
same "who made it" "$(wf show --json | jq -r '.steps[] | select(.name == "a") | .cache.made_by')" "$(wf runs --json | jq -r '.[1].run')"
# touched, rewritten with the same content, copied over: still hits
touch in.txt; try 0 wf run w.yaml; check_status a cached
cp in.txt x; mv x in.txt; try 0 wf run w.yaml; check_status a cached
touch -d '2001-01-01' in.txt; try 0 wf run w.yaml; check_status a cached
# same size and times, other content
stamp=$(stat -c %y in.txt); echo IN >in.txt; touch -d "$stamp" in.txt
try 0 wf run w.yaml; check_ran "a b none off"
echo in >in.txt; try 0 wf run w.yaml; check_ran "none off"
chmod +x in.txt; try 0 wf run w.yaml; check_ran "a none off"
check_status b cached
chmod -x in.txt
# early cut-off: the same output again, so what follows is reused
sed -i 's/  a: {\(.*\)cat \${{ inputs.x }}/  a: {\1: changed; cat ${{ inputs.x }}/' w.yaml
try 0 wf run w.yaml; check_ran "a none off"
# what is not in the key: names, retry, timeout, resources, another workflow and folder
mkdir elsewhere; cp in.txt elsewhere
sed 's/^  b:/  renamed:/; s/outputs: {o: o}}/outputs: {o: o}, retry: {limit: 3}, timeout: 1h, resources: {cpu: 100m, memory: 10MiB}, labels: {x: y}, description: z}/' w.yaml >elsewhere/other.yaml
try 0 wf run elsewhere/other.yaml
check_status a cached
check_status renamed cached
same "saved is told" "$(wf show --json | jq '.saved_seconds >= 0')" true
# what is
for change in 's/> \${{ outputs/>> ${{ outputs/' 's/{inputs/{env: {A: b}, inputs/' 's/{inputs/{shell: bash, inputs/' 's/{inputs/{workdir: elsewhere, inputs/' \
    's/{inputs/{cache: {version: 2}, inputs/' 's/{inputs: {x: in.txt}/{inputs: {x: in.txt, y: w.yaml}/' 's/outputs: {o: o}/outputs: {o: {path: o, non_empty: true}}/'; do
    sed "/^  a:/$change" w.yaml >v.yaml
    try 0 wf run v.yaml --only a
    check_ran a
done
check_store
finish
