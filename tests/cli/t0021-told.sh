# SPDX-License-Identifier: Apache-2.0
# What a person is told: why a step runs and what it wrote (-v), parts of outputs by name, each difference once, elapsed times on a terminal.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<'E'
params: {p: 1}
steps:
  make: {run: 'mkdir ${{ outputs.d }}; echo ${{ params.p }} > ${{ outputs.d }}/x; echo made it', outputs: {d: d}}
  part: {inputs: {one: '${{ steps.make.outputs.d }}/x'}, run: 'cat ${{ inputs.one }} > ${{ outputs.o }}; echo 1', outputs: {o: o}}
  plain: {run: echo not kept}
