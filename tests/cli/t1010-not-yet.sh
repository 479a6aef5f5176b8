# SPDX-License-Identifier: Apache-2.0
# needs: {x: each} and a matrix made while running are not built yet: said, and nothing runs.
. "$(dirname "$0")/lib.sh"
invalid 'steps: {t: {matrix: {k: [a, b]}, run: x}, u: {needs: {t: each}, run: x}}'
says 'not supported yet'
invalid 'steps: {s: {run: x, values: [v]}, t: {matrix: {k: "${{ fromJSON(steps.s.values.v) }}"}, run: x}}'
says 'not supported yet'
same "nothing ran" "$(wf runs --json | jq length)" 0
finish
