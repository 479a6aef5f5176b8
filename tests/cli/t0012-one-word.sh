# SPDX-License-Identifier: Apache-2.0
# JSON has one word for one thing: an output is a "file" or a "folder", a log's path is `log_file`, whoever tells of it.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<'E'
steps:
  a: {run: 'mkdir ${{ outputs.d }}; echo x > ${{ outputs.d }}/x; echo y > ${{ outputs.f }}; echo said', outputs: {d: d, f: f}}
E
kinds='[.. | objects | select(.digest? and .kind?) | .kind] | unique'
try 0 wf run w.yaml --json
check "events" [ "$(jq -sc "$kinds" .out)" = '["file","folder"]' ]
try 0 wf show --json
json '[.steps[].outputs[].kind] | unique' '["file","folder"]'
key=$(jq -r '.steps[0].cache.key' .out)
try 0 wf outputs --json
json '[.. | objects | .kind? // empty] | unique' '["file","folder"]'
try 0 wf cache show "${key#sha256:}" --json
json '[.result.outputs[].kind] | unique' '["file","folder"]'
flow f.yaml <<'E'
steps: {a: {run: 'echo said; exit 3'}}
E
try 1 wf run f.yaml --json
check "a failed step names its log" [ "$(jq -sc '.[] | select(.event == "failed") | .data | [(.log_file | type), has("log")]' .out)" = '["string",false]' ]
cat "$WF_STORE/$(jq -sr '.[] | select(.event == "failed") | .data.log_file' .out)" >log
check "it is there" grep -q said log
try 0 wf show --json
check "show has it" [ -r "$(jq -r '.steps[0].log_file' .out)" ]
try 0 wf logs latest a
says said
try 1 wf run f.yaml
says said
finish
