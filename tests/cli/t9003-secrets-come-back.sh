# SPDX-License-Identifier: Apache-2.0
# A secret that a step hands back, as a value, from its standard output or within a message, is neither shown nor stored.
. "$(dirname "$0")/lib.sh"
export TOK="s3cret'q\"x \$(id)-$$"
flow w.yaml <<'E'
secrets: {TOKEN: {env: TOK}}
defaults: {secrets: [TOKEN], continue_on_error: true}
steps:
  value: {run: 'echo "v=<$TOKEN>" > "$WF_VALUES"', values: [v]}
  stdout: {run: 'echo "$TOKEN"', values: {v: stdout}}
  link: {run: 'mkdir "${{ outputs.o }}"; ln -s "/$TOKEN" "${{ outputs.o }}/l"', outputs: {o: o}}
  name: {run: 'echo "$TOKEN=1" > "$WF_VALUES"', values: [v]}
  fine: {run: 'printf "v=%s\n" "$(printf %s "$TOKEN" | wc -c)" > "$WF_VALUES"', values: [v]}
E
try 0 wf run w.yaml --json --summary s.json --junit j.xml
cp .out events; cp .err errors
for s in value stdout link name; do check_status $s failed; done
check_status fine succeeded
same "the secret is named, not shown" "$(wf show --json | jq -r '.steps[] | select(.name == "value") | .error' | grep -c "'v'.*'TOKEN'")" 1
{ cat events errors s.json j.xml; wf show --json; wf show; wf logs; wf outputs; wf explain w.yaml value; wf cache ls --json; } >all 2>&1
same "shown nowhere" "$(grep -cF "s3cret" all)" 0
same "not in the store" "$(grep -rlaF "s3cret'q" store | wc -l)" 0
check_store
finish
