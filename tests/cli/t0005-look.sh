# SPDX-License-Identifier: Apache-2.0
# check, graph, schema, doctor, version.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<'E'
name: looks
params: {unused: 1}
steps:
  a: {matrix: {k: [1, 2]}, run: 'echo ${{ matrix.k }} > ${{ outputs.o }}', outputs: {o: o}}
  b: {run: 'cat ${{ steps.a.outputs.o }}'}
finally:
  z: {run: echo end}
E
try 0 wf check w.yaml
says unused
try 3 wf check --strict w.yaml
printf 'steps:\n  a: {run: x, nedes: b}\n  b: {rn: y}\n  c: {needs: [d]}\n' >bad.yaml
try 3 wf check bad.yaml
says 'bad.yaml:2:.*needs'
says 'bad.yaml:3:.*run'
says 'bad.yaml:4:'
try 3 wf check w.yaml bad.yaml
try 3 wf check bad.yaml --json
check "check --json is JSON" jq -e . .out
try 0 wf graph w.yaml
says a
try 0 wf graph w.yaml --format json
check "graph json" jq -e . .out
json '[.. | strings] | (index("a") != null and index("b") != null)' true
try 0 wf graph w.yaml --format dot
says '^digraph'
says 's0 -> s1'
try 0 wf graph w.yaml --format mermaid
says '^(graph|flowchart)'
try 2 wf graph w.yaml --format picture
try 0 wf run w.yaml -q
try 0 wf graph w.yaml --format dot --run latest
try 0 wf schema
check "schema is JSON Schema" jq -e '."$schema" and .properties.steps' .out
try 0 wf version
try 0 wf version --json
check "version --json" jq -e . .out
wf doctor >.out 2>.err; rc=$?
check "doctor answers 0 or 4" test "$rc" = 0 -o "$rc" = 4
wf doctor --json >.out 2>.err
check "doctor --json" jq -e . .out
try 0 wf --help
for c in run plan explain check graph runs show logs outputs cache schema doctor version; do says "$c"; done
finish
