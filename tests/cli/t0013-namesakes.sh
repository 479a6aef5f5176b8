# SPDX-License-Identifier: Apache-2.0
# A workflow is its name: the same name from another file is worth a word, the same file from elsewhere is not.
. "$(dirname "$0")/lib.sh"
mkdir one two
echo 'steps: {a: {run: echo x}}' >one/w.yaml
cp one/w.yaml two/w.yaml
try 0 wf run one/w.yaml; says_not warning
json '.file' "\"$T/one/w.yaml\"" <(wf show --json)
cd one || exit 1
try 0 wf run w.yaml; says_not warning
try 0 wf run ../two/w.yaml; says_not warning # another checkout of the same
echo '# two' >>../two/w.yaml
try 0 wf run w.yaml
try 0 wf run ../two/w.yaml; says "warning.*$T/one/w.yaml"
json '.file' "\"$T/two/w.yaml\"" <(wf show --json)
try 0 wf run w.yaml --json
check "the warning is an event" [ "$(jq -sr '.[] | select(.event == "warning") | .data.text' "$T/.out" | grep -c two/w.yaml)" = 1 ]
rm ../two/w.yaml
echo 'steps: {a: {run: echo x}}' >../moved.yaml
try 0 wf run w.yaml; says_not warning
sed 's/^/name: w\n/' ../moved.yaml >x && mv x ../moved.yaml
try 0 wf run ../moved.yaml; says warning
rm w.yaml
try 0 wf run ../moved.yaml; says_not warning
finish
