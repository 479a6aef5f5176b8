# SPDX-License-Identifier: Apache-2.0
# Under `time` and `change` only what was made by the same policy and the same measure is compared; a measure that says nothing means run.
. "$(dirname "$0")/lib.sh"
step() { printf 'steps:\n  get:\n    kind: ingest\n    source: src\n    cache: %s\n    run: wc -l < ${{ source.path }} > ${{ outputs.n }}\n    outputs: {n: n}\n' "$2" >"$1"; }
seq 100 >src
step bytes.yaml '{policy: change, measure: bytes, threshold: 5%}'
step command.yaml '{policy: change, measure: "wc -c <$WF_SOURCE", threshold: 5%}'
step other.yaml '{policy: change, measure: "cat n", threshold: 5%}'
step time.yaml '{policy: time, ttl: 1h}'
try 0 wf run bytes.yaml; check_ran get
try 0 wf run command.yaml; check_ran get
wc -c <src >n
try 0 wf run other.yaml; check_ran get
try 0 wf run time.yaml; check_ran get
for f in bytes command other time; do try 0 wf run $f.yaml; check_ran ""; done
echo 1 >n
try 0 wf run other.yaml; check_ran get
try 0 wf run bytes.yaml; check_ran ""
# the same words in another folder are another measure
mkdir elsewhere; sed "s|source: src|source: $T/src|" other.yaml >elsewhere/w.yaml; echo 1 >elsewhere/n
try 0 wf run elsewhere/w.yaml; check_ran get
# a number, then a word, then the same word, then nothing, then failure
echo word >n; try 0 wf run other.yaml; check_ran get
try 0 wf run other.yaml; check_ran ""
echo 7 >n; try 0 wf run other.yaml; check_ran get
: >n; try 0 wf run other.yaml; check_ran get
try 0 wf run other.yaml; check_ran get
rm n; try 0 wf run other.yaml; check_ran get
try 0 wf run other.yaml; check_ran get
echo 0 >n; try 0 wf run other.yaml; check_ran get
try 0 wf run other.yaml; check_ran get
# said in the measure's words, when it was reused and when it was not
step said.yaml '{policy: change, measure: "cat n", threshold: 20%}'
echo 10 >n; try 0 wf run said.yaml
try 0 wf run -v said.yaml; check_ran ""
says '          because measure 10 vs 10, 0% < 20%'
says_not 'because reused'
try 0 wf explain --run latest get
says 'get: cached, measure 10 vs 10, 0% < 20%; made by run 0'
rm n
try 0 wf plan said.yaml
says 'measure cannot be taken: its command failed with exit code 1 \(cat: n: No such file or directory\)'
try 0 wf run -v said.yaml; check_ran get
says 'because measure cannot be taken: its command failed with exit code 1'
# the statistics know why, whatever the words were
step why.yaml '{policy: change, measure: "cat n", threshold: 20%}'
sed -i '1i name: why' why.yaml
echo 3 >n; try 0 wf run why.yaml
echo 6 >n; try 0 wf run why.yaml; check_ran get
sed -i 's|run: wc|run: test ! -e no \&\& wc|' why.yaml; touch no
try 1 wf run why.yaml; check_ran get
try 1 wf run why.yaml; check_ran get
try 0 wf cache stats -w why --json
json .reasons '{"work changed":2,"measure":2}'
sed -i 's/name: why/name: why2/' why.yaml
try 1 wf run why.yaml
try 1 wf run why.yaml
try 0 wf cache stats -w why2 --json
json .reasons '{"never ran":1,"failed before":1}'
# content keeps apart from where: a file that holds its own path
printf '%s' "$T/own" >own
sed 's|source: src|source: own|; s|wc -l <|cat|' time.yaml >own.yaml
try 0 wf run own.yaml; check_ran get
sed -i 's/cache: .*/cache: {policy: content}/' own.yaml
try 0 wf run own.yaml; check_ran get
finish
