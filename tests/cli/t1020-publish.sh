# SPDX-License-Identifier: Apache-2.0
# publish: replaced when the step succeeded or was restored; equal content is not touched; never a link.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<'E'
params: {n: 1}
steps:
  f: {run: 'echo ${{ params.n }} > ${{ outputs.o }}; chmod +x ${{ outputs.o }}', outputs: {o: o}, publish: {o: res/deep/f.txt}}
  d: {run: 'mkdir -p ${{ outputs.d }}/s; echo ${{ params.n }} > "${{ outputs.d }}/n${{ params.n }}"; ln -s s ${{ outputs.d }}/l', outputs: {d: d}, publish: {d: res/folder}}
  m: {matrix: {k: [a, b]}, run: 'echo ${{ matrix.k }} > ${{ outputs.o }}', outputs: {o: o}, publish: {o: 'res/${{ matrix.k }}.txt'}}
E
try 0 wf run w.yaml
same "a file" "$(cat res/deep/f.txt)" 1
check "executable" test -x res/deep/f.txt
check "writable" test -w res/deep/f.txt
same "a folder" "$(cat res/folder/n1)" 1
check "link" test -L res/folder/l
same "branches" "$(cat res/a.txt res/b.txt | tr -d '\n')" ab
stamp=$(stat -c %Y.%Z.%i res/deep/f.txt res/folder/n1)
sleep 0.05
try 0 wf run w.yaml
same "equal content is not touched" "$(stat -c %Y.%Z.%i res/deep/f.txt res/folder/n1)" "$stamp"
rm -r res
try 0 wf run w.yaml
check_ran ""
same "restored" "$(cat res/deep/f.txt res/folder/n1 res/a.txt | tr -d '\n')" 11a
echo mine >>res/deep/f.txt
try 0 wf run w.yaml -p n=2
same "replaced" "$(cat res/deep/f.txt)" 2
same "folders are replaced whole" "$(ls res/folder | tr '\n' ' ')" "l n2 s "
echo vandal >res/deep/f.txt; echo vandal >res/folder/n2
check_store
try 0 wf run w.yaml -p n=1
says "res/deep/f.txt was changed since it was published; it is replaced"
says "res/folder was changed since it was published; it is replaced"
try 0 wf run w.yaml -p n=2
says_not "was changed since"
try 0 wf run w.yaml -p n=3
says_not "was changed since"
rm res/deep/f.txt
try 0 wf run w.yaml -p n=1
says_not "was changed since"
same "an earlier result" "$(cat res/deep/f.txt; ls res/folder | tr '\n' ' ')" $'1\nl n1 s '
flow bad.yaml <<'E'
steps: {f: {run: 'exit 1', outputs: {o: o}, publish: {o: res/deep/f.txt}}}
E
try 1 wf run bad.yaml
same "a failure publishes nothing" "$(cat res/deep/f.txt)" 1
same "nothing left lying about" "$(find res -name '*tmp*' -o -name '.*' -type f | wc -l)" 0
invalid 'steps: {a: {run: x, outputs: {o: o}, publish: {o: x}}, b: {run: x, outputs: {o: o}, publish: {o: x}}}'
invalid 'steps: {a: {matrix: {k: [1, 2]}, run: x, outputs: {o: o}, publish: {o: same}}}'
invalid 'steps: {a: {run: x, outputs: {o: o}, publish: {o: x/y}}, b: {inputs: {d: x}, run: x}}'
invalid 'steps: {a: {run: x, outputs: {o: o}, publish: {o: /abs}}}'
ln -s /tmp link-out
flow esc.yaml <<'E'
steps: {f: {run: 'echo x > ${{ outputs.o }}', outputs: {o: o}, publish: {o: link-out/wf-cli-escape}}}
E
wf run esc.yaml >.out 2>.err
check "publish never leaves the folder through a link" test ! -e /tmp/wf-cli-escape
finish
