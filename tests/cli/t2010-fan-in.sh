# SPDX-License-Identifier: Apache-2.0
# A fan-in over 2,000 outputs, by list and by folder; all reused; one changed.
. "$(dirname "$0")/lib.sh"
python3 -c "
print('params: {odd: 0}')
print('steps:')
print('  t: {matrix: {k: [' + ','.join(map(str, range(2000))) + ']}, command: [sh, -c, \"echo \$0 > \$WF_OUT/o\", \"\${{ matrix.k }}\"], outputs: {o: o}}')
print('  u: {env: {ODD: \"\${{ params.odd }}\"}, run: \"echo \$ODD > \${{ outputs.o }}\", outputs: {o: o}}')
print('  list: {run: \"cat \${{ steps.t.outputs.o }} | sha256sum > \${{ outputs.o }}\", outputs: {o: o}}')
print('  folder: {inputs: {all: \"\${{ steps.t.outputs.o }}\"}, run: \"ls \${{ inputs.all }} | wc -l > \${{ outputs.o }}; cat \${{ steps.u.outputs.o }} >> \${{ outputs.o }}\", outputs: {o: o}}')
" >w.yaml
try 0 wf run w.yaml -q
check_out list.o "$(seq 0 1999 | sha256sum)"
check_out folder.o $'2000\n0'
try 0 wf run w.yaml -q
check_counts '{"cached":2003}'
try 0 wf run w.yaml -q -p odd=1
check_ran "folder u"
check_out folder.o $'2000\n1'
check_store
finish
