# SPDX-License-Identifier: Apache-2.0
# outputs: what counts, what is kept, what is refused.
. "$(dirname "$0")/lib.sh"
echo secret >outside.txt
flow w.yaml <<'E'
steps:
  deep: {run: 'test -d "$WF_OUT/a/b"; test ! -e ${{ outputs.o }}; echo x > ${{ outputs.o }}', outputs: {o: a/b/c.txt}}
  tool: {run: 'printf "#!/bin/sh\necho ran\n" > ${{ outputs.t }}; chmod 755 ${{ outputs.t }}', outputs: {t: t}}
  uses: {run: '${{ steps.tool.outputs.t }} > ${{ outputs.o }}', outputs: {o: o}}
  folder: {run: 'd=${{ outputs.d }}; mkdir -p $d/empty $d/sub; echo 1 > $d/sub/f; ln -s sub/f $d/link; ln -s sub $d/dirlink; echo x > $d/x; chmod +x $d/x; echo junk > "$WF_OUT/junk"', outputs: {d: d}}
  reads: {run: 'd=${{ steps.folder.outputs.d }}; test -d $d/empty; test -x $d/x; test ! -x $d/sub/f; readlink $d/link > ${{ outputs.o }}; cat $d/link $d/dirlink/f >> ${{ outputs.o }}; test ! -e $d/../junk', outputs: {o: o}}
  empty: {run: ': > ${{ outputs.o }}; mkdir ${{ outputs.d }}', outputs: {o: o, d: d}}
  checked: {run: 'printf abc > ${{ outputs.o }}', outputs: {o: {path: o, non_empty: true, sha256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad}}}
E
try 0 wf run w.yaml
check_out deep.o x
check_out uses.o ran
check_out reads.o $'sub/f\n1\n1'
try 0 wf run w.yaml
check_ran ""
try 0 wf outputs latest folder --to copy
check "links, empty folders and modes are restored" test -L copy/folder/d/link -a -d copy/folder/d/empty -a -x copy/folder/d/x -a ! -x copy/folder/d/sub/f
flow bad.yaml <<E
defaults: {outputs2: null}
steps:
  missing: {run: 'true', outputs: {o: o}}
  empty: {run: ': > \${{ outputs.o }}', outputs: {o: {path: o, non_empty: true}}}
  emptydir: {run: 'mkdir \${{ outputs.o }}', outputs: {o: {path: o, non_empty: true}}}
  sum: {run: 'echo x > \${{ outputs.o }}', outputs: {o: {path: o, sha256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad}}}
  leaves: {run: 'ln -s "$T/outside.txt" \${{ outputs.o }}', outputs: {o: o}}
  climbs: {run: 'mkdir \${{ outputs.d }}; ln -s ../../../../../../../../etc/passwd \${{ outputs.d }}/l', outputs: {d: d}}
  indir: {run: 'mkdir \${{ outputs.d }}; ln -s "$T/outside.txt" \${{ outputs.d }}/l', outputs: {d: d}}
  fifo: {run: 'mkfifo \${{ outputs.o }}', outputs: {o: o}}
  fifoin: {run: 'mkdir \${{ outputs.d }}; mkfifo \${{ outputs.d }}/f', outputs: {d: d}}
  sock: {run: 'python3 -c "import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])" \${{ outputs.o }}', outputs: {o: s}}
  dangling: {run: 'ln -s nowhere \${{ outputs.o }}', outputs: {o: o}}
E
sed -i '/^defaults/d' bad.yaml
try 1 timeout 20 "$WF" run bad.yaml
same "each is refused" "$(wf show --json | jq -c '[.steps[] | select(.status != "failed") | .name]')" '[]'
json '[.steps[] | select((.error | length) < 10) | .name]' '[]' <(wf show --json)
same "and none stored" "$(wf cache ls --json | jq '[.[] | select(.workflow == "bad")] | length')" 0
flow sparse.yaml <<'E'
steps:
  big: {run: 'truncate -s 3G ${{ outputs.o }}; printf end >> ${{ outputs.o }}', outputs: {o: o}}
  small: {run: 'stat -L -c %s ${{ steps.big.outputs.o }} > ${{ outputs.o }}; tail -c 3 ${{ steps.big.outputs.o }} >> ${{ outputs.o }}', outputs: {o: o}}
E
if [ "$(df --output=avail -k . | tail -1)" -gt 4000000 ]; then
    try 0 wf run sparse.yaml
    check_out small.o $'3221225475\nend'
    try 0 wf run sparse.yaml
    check_ran ""
    check "it stayed sparse" test "$(du -sk store | cut -f1)" -lt 2000000
fi
for o in /abs ../up a/../../b '' . 'a//b/../..'; do invalid "steps: {a: {run: x, outputs: {o: '$o'}}}"; done
invalid 'steps: {a: {run: x, outputs: {o: x, p: x}}}'
invalid 'steps: {a: {run: x, outputs: {o: x, p: x/y}}}'
finish
