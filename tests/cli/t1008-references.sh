# SPDX-License-Identifier: Apache-2.0
# References to a matrix step: in matrix order, over the branches that succeeded; one branch by its name.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<'E'
steps:
  t: {matrix: {k: [c, a, b]}, run: 'test ${{ matrix.k }} = c && sleep 0.2; echo ${{ matrix.k }} > ${{ outputs.o }}; echo v=v${{ matrix.k }} > "$WF_VALUES"', outputs: {o: o}, values: [v]}
  all: {run: 'cat ${{ steps.t.outputs.o }} > ${{ outputs.o }}; echo ${{ join(steps.t.values.v, "-") }} ${{ steps.t.outputs.o[1] == steps["t[k=a]"].outputs.o }} >> ${{ outputs.o }}', outputs: {o: o}}
  one: {run: "cat ${{ steps['t[k=b]'].outputs.o }} > ${{ outputs.o }}; echo ${{ steps.t.values.v[0] }} >> ${{ outputs.o }}", outputs: {o: o}}
  f: {matrix: {k: [1, 2, 3]}, run: 'test ${{ matrix.k }} != 2; echo ${{ matrix.k }} > ${{ outputs.o }}', outputs: {o: o}, continue_on_error: true}
  some: {if: always(), run: 'cat ${{ steps.f.outputs.o }} > ${{ outputs.o }}; echo ${{ steps.f.status }} ${{ steps.t.status }} >> ${{ outputs.o }}', outputs: {o: o}}
  cachedness: {if: always(), run: 'echo ${{ steps.t.status }} > ${{ outputs.o }}', outputs: {o: o}}
E
sed -i "s/join(steps.t.values.v, \"-\")/join(steps.t.values.v, '-')/; s/steps\[\"t\[k=a\]\"\]/steps['t[k=a]']/" w.yaml
sed -i "/^  all:/s/run: '\(.*\)', outputs/run: \"\1\", outputs/" w.yaml
try 0 wf run w.yaml
check_out all.o $'c\na\nb\nvc-va-vb true'
check_out one.o $'b\nvc'
check_out some.o $'1\n3\nfailed succeeded'
try 0 wf run w.yaml
check_status 't[k=a]' cached
check_status cachedness cached
invalid "steps: {t: {matrix: {k: [a]}, run: x, outputs: {o: o}}, u: {run: \"cat \${{ steps['t[k=z]'].outputs.o }}\"}}"
finish
