# SPDX-License-Identifier: Apache-2.0
# inputs: files, folders, globs; missing ones are an error before anything runs; parts of an output; lists as folders.
. "$(dirname "$0")/lib.sh"
mkdir -p data/sub .hid outer/w; echo 1 >data/b.txt; echo 2 >data/a.txt; echo 3 >data/sub/c.txt; echo h >data/.hidden; mkdir -p data/.git; echo g >data/.git/x; echo up >outer/up.txt
flow w.yaml <<'E'
steps:
  glob: {inputs: {g: data/*.txt}, run: 'for f in ${{ inputs.g }}; do cat $f; done > ${{ outputs.o }}', outputs: {o: o}}
  deep: {inputs: {g: 'data/**/*.txt'}, run: 'cat ${{ inputs.g }} > ${{ outputs.o }}', outputs: {o: o}}
  folder: {inputs: {d: data}, run: 'cat ${{ inputs.d }}/sub/c.txt > ${{ outputs.o }}', outputs: {o: o}}
  listed: {inputs: [data/a.txt, 'data/[b].txt'], run: 'cat data/a.txt data/b.txt > ${{ outputs.o }}', outputs: {o: o}}
  optional: {inputs: {x: {path: not-there.txt, optional: true}, y: data/a.txt}, run: 'cat ${{ inputs.y }} > ${{ outputs.o }}', outputs: {o: o}}
  json: {inputs: {y: data/a.txt}, run: 'cat "$WF_INPUTS" > ${{ outputs.o }}', outputs: {o: o}}
E
try 0 wf run w.yaml
check_out glob.o $'2\n1'
check_out deep.o $'2\n1\n3'
check_out folder.o 3
check_out listed.o $'2\n1'
check_out optional.o 2
same "WF_INPUTS" "$(out json.o | jq -c '[.. | objects | select(.name? == "y") | [.digest]] | .[0]')" "[\"sha256:$(echo 2 | sha256sum | cut -c1-64)\"]"
try 0 wf run w.yaml
check_ran ""
echo 9 >data/.git/x
try 0 wf run w.yaml
check_ran ""
echo new >data/sub/d.txt
try 0 wf run w.yaml
check_ran "deep folder"
echo 4 >data/z.txt
try 0 wf run w.yaml
check_ran "deep folder glob"
rm data/z.txt data/sub/d.txt
try 0 wf run w.yaml
check_ran ""
echo 5 >not-there.txt
try 0 wf run w.yaml
check_ran optional
echo 1 >data/.hidden
try 0 wf run w.yaml
check_ran folder
runs=$(wf runs --json | jq length)
for i in nope.txt 'nope/*.txt' nofolder/; do
    printf 'steps: {first: {run: "touch ran"}, a: {inputs: {x: "%s"}, run: echo x}}\n' "$i" >miss.yaml
    rc=0; wf run miss.yaml >.out 2>.err || rc=$?
    check "missing $i is an error ($rc)" test $rc = 2 -o $rc = 3
    says nope\|nofolder
    check "before anything runs" test ! -e ran
done
same "and no run was made" "$(wf runs --json | jq length)" "$runs"
mkfifo fifo; mkdir special; mkfifo special/f
for i in fifo special /dev/null; do
    printf 'steps: {a: {inputs: {x: "%s"}, run: echo x, cache: {policy: content}}}\n' "$i" >sp.yaml
    rc=0; timeout 10 "$WF" run sp.yaml >.out 2>.err || rc=$?
    check "$i as input is an error ($rc)" test $rc = 1 -o $rc = 3
done
cat >outer/w/w.yaml <<'E'
steps: {a: {inputs: {u: ../up.txt}, run: 'cat ${{ inputs.u }} > ${{ outputs.o }}', outputs: {o: o}}}
E
try 0 wf run outer/w/w.yaml
check_out a.o up
echo up2 >outer/up.txt
try 0 wf run outer/w/w.yaml
check_ran a
invalid 'steps: {a: {inputs: [../up.txt], run: x}}'
flow part.yaml <<'E'
params: {p: 1}
steps:
  make: {run: 'mkdir -p ${{ outputs.d }}/x; echo same > ${{ outputs.d }}/x/f; echo ${{ params.p }} > ${{ outputs.d }}/other', outputs: {d: d}}
  part: {inputs: {f: '${{ steps.make.outputs.d }}/x/f'}, run: 'cat ${{ inputs.f }} > ${{ outputs.o }}', outputs: {o: o}}
  whole: {inputs: {d: '${{ steps.make.outputs.d }}'}, run: 'cat ${{ inputs.d }}/other > ${{ outputs.o }}', outputs: {o: o}}
  many: {matrix: {k: [b, a]}, run: 'echo ${{ matrix.k }} > ${{ outputs.o }}', outputs: {o: o.txt}}
  folder: {inputs: {all: '${{ steps.many.outputs.o }}'}, run: 'cat ${{ inputs.all }}/*; ls ${{ inputs.all }} | wc -l > ${{ outputs.o }}', outputs: {o: o}}
E
try 0 wf run part.yaml
check_out part.o same
check_out folder.o 2
try 0 wf run part.yaml -p p=2
check_ran "make whole"
finish
