# SPDX-License-Identifier: Apache-2.0
# --summary as JSON and Markdown, --junit on every exit but 2.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<'E'
name: reports
params: {n: 1}
steps:
  a: {run: 'echo "${{ params.n }}" > "$WF_OUT/o"; echo v=7 > "$WF_VALUES"', outputs: {o: o}, values: [v]}
  m: {matrix: {k: [x, y]}, run: 'test ${{ matrix.k }} = x'}
  s: {needs: m, run: echo never}
E

try 1 wf run w.yaml --summary s.json --junit j.xml -p n=5
json '.workflow' '"reports"' s.json
json '.status' '"failed"' s.json
json '.params' '{"n":5}' s.json
json '.first_failure' '"m[k=y]"' s.json
json '.trigger' '"manual"' s.json
json '[.counts.succeeded,.counts.failed,.counts.skipped,.counts.cached,.counts.cancelled,.counts.lost]' '[2,1,1,0,0,0]' s.json
json '.steps[] | select(.name == "a") | [.step, .kind, .status, .attempts, .executor, .exit_code, .values, .outputs.o.bytes]' '["a","command","succeeded",1,"process",0,{"v":"7"},2]' s.json
json '.steps[] | select(.name == "a") | .outputs.o.digest' "\"sha256:$(echo 5 | sha256sum | cut -c1-64)\"" s.json
json '.steps[] | select(.name == "m[k=y]") | [.matrix, .step, .status, .exit_code, (.error | length > 5)]' '[{"k":"y"},"m","failed",1,true]' s.json
json '(.started_at < .ended_at) or (.started_at == .ended_at)' true s.json
json '.run' "$(wf show --json | jq -c .run)" s.json
same "as show prints it" "$(jq -S . s.json)" "$(wf show --json | jq -S .)"
check "junit is XML" python3 - <<'P'
import xml.etree.ElementTree as E, collections
r = E.parse("j.xml").getroot()
cases = {c.get("name"): c for c in r.iter("testcase")}
assert set(cases) == {"a", "m[k=x]", "m[k=y]", "s"}, cases
assert cases["m[k=y]"].find("failure") is not None
assert cases["s"].find("skipped") is not None
assert list(cases["a"]) == [] or cases["a"].find("failure") is None
P
try 1 wf run w.yaml --summary s.md -p n=5
check "markdown has a table" grep -q '^| .*a .*| cached |' s.md
check "markdown escapes brackets" grep -q 'm\\\[k=y\\\]' s.md
try 1 wf run w.yaml --junit j.xml -p n=5
check "cached is passed" python3 -c "
import xml.etree.ElementTree as E
c = {c.get('name'): c for c in E.parse('j.xml').getroot().iter('testcase')}['a']
assert c.find('failure') is None and c.find('error') is None and c.find('skipped') is None"
printf 'steps: {a: {rum: x}}\n' >bad.yaml
try 3 wf run bad.yaml --junit bad.xml
check "a diagnostic is an error" python3 -c "
import xml.etree.ElementTree as E
assert E.parse('bad.xml').getroot().find('.//error') is not None"
flow odd.yaml <<'E'
steps: {m: {matrix: {k: ['<&"]]>']}, run: 'printf "\001\033[31m<x>&\n" >&2; exit 1'}}
E
try 1 wf run odd.yaml --junit odd.xml --summary odd.md
check "odd characters keep the XML well-formed" python3 -c "import xml.etree.ElementTree as E; E.parse('odd.xml')"
rc=0; wf run w.yaml --summary /nonexistent/folder/x.json -p n=5 >.out 2>.err || rc=$?
check "a report that cannot be written is an error ($rc)" test $rc = 2 -o $rc = 4
says /nonexistent/folder
# JUnit: a failure carries the end of its log; one that is tolerated is none
cat >ju.yaml <<'Y'
steps:
  bad: {run: "printf 'x <y> \\377 &\\n'; echo last words; exit 3"}
  soft: {run: exit 4, continue_on_error: true}
Y
try 1 wf run -q ju.yaml --junit ju.xml
check "it is XML" python3 -c 'import xml.dom.minidom as m; m.parse("ju.xml")'
check "one failure" grep -q 'failures="1"' ju.xml
check "its last words" grep -q 'last words</failure>' ju.xml
check "the tolerated one" grep -q '<system-out>tolerated' ju.xml
try 0 wf run -q ju.yaml --only soft --refresh
try 0 wf logs soft
says 'wrote nothing'
finish
