# SPDX-License-Identifier: Apache-2.0
# A matrix made while running is not built yet: said, and nothing runs.
. "$(dirname "$0")/lib.sh"
invalid 'steps: {s: {run: x, values: [v]}, t: {matrix: {k: "${{ fromJSON(steps.s.values.v) }}"}, run: x}}'
says 'not supported yet'
same "nothing ran" "$(wf runs --json | jq length)" 0
finish
