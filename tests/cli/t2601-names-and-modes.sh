# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Names are bytes and the execute bit is content, in inputs and outputs alike: what differs only by them is another thing, and comes back as it was.
. "$(dirname "$0")/lib.sh"
mkdir w w/in && cd w || exit 1
nfc=$(printf 'caf\303\251') nfd=$(printf 'cafe\314\201') odd=$'li\nne' raw=$(printf '\377\376')
tree() { (cd "$1" && find . -printf '%P\0%y\0%l\0' | sort -z && find . -perm -u+x -type f -print0 | sort -z && find . -type f -print0 | sort -z | xargs -0 -r sha256sum -z) | sha256sum; }

# --- a folder that is read: another name, another folder ---
printf 'steps:\n  a: {inputs: {x: in}, run: "cd ${{ inputs.x }} && find . -type f -print0 | LC_ALL=C sort -z > ${{ outputs.o }}", outputs: {o: o}}\n' >in.yaml
echo 1 >in/f
try 0 wf run in.yaml -q
# renamed FROM TO: a run for that, none for the way back
renamed() {
    try 0 wf run in.yaml -q
    mv "in/$1" "in/$2"
    try 0 wf run in.yaml -q; check_ran a
    check "the result has the new name" cmp -s <(printf './%s\0' "$2") "$(wf outputs latest a.o)"
    mv "in/$2" "in/$1"
    try 0 wf run in.yaml -q; check_ran ""
    mv "in/$1" "in/$2"
}
renamed f F
renamed F "$nfc"
renamed "$nfc" "$nfd"
renamed "$nfd" "$odd"
renamed "$odd" 'b\s'
renamed 'b\s' "$raw"
renamed "$raw" ' -n *'
# twins side by side
rm in/*; echo 1 >"in/$nfc"; echo 2 >"in/$nfd"; echo 3 >in/x; echo 4 >in/X
try 0 wf run in.yaml -q; check_ran a
mv "in/$nfc" t; mv "in/$nfd" "in/$nfc"; mv t "in/$nfd" # they change their contents
try 0 wf run in.yaml -q; check_ran a
mv in/x t; mv in/X in/x; mv t in/X
try 0 wf run in.yaml -q; check_ran a
# an empty folder counts; times and rights, but for the execute bit, do not
mkdir in/hollow; try 0 wf run in.yaml -q; check_ran a
chmod 600 in/x; chmod 700 in/hollow; touch in/x in/hollow; try 0 wf run in.yaml -q; check_ran ""
chmod 755 in/x; try 0 wf run in.yaml -q; check_ran a
chmod 700 in/x; try 0 wf run in.yaml -q; check_ran ""
printf 'steps:\n  a: {inputs: {x: in/x}, run: "if [ -x ${{ inputs.x }} ]; then echo yes; else echo no; fi > ${{ outputs.o }}", outputs: {o: o}}\n' >bit.yaml
try 0 wf run bit.yaml -q; check_out a.o yes
chmod 644 in/x; try 0 wf run bit.yaml -q; check_ran a; check_out a.o no

# --- outputs come back byte for byte and bit for bit; two of one content differ by their bits ---
cat >make.sh <<'E'
d=$1
mkdir -p "$d/sub/hollow"
printf composed >"$d/$(printf 'caf\303\251')"
printf decomposed >"$d/$(printf 'cafe\314\201')"
printf lower >"$d/case"
printf UPPER >"$d/CASE"
printf same >"$d/tool"
printf same >"$d/text"
printf '' >"$d/li
ne"
printf x >"$d/$(printf '\377\376')"
chmod 711 "$d/tool"
chmod 600 "$d/text"
ln -s "cafe" "$d/dangling" && rm "$d/dangling" && ln -s "case" "$d/link"
E
cat >out.yaml <<'E'
steps:
  tree: {run: 'sh ./make.sh "$WF_OUT/t"', outputs: {t: t}, publish: {t: pub/tree}}
  plain: {run: 'printf same > ${{ outputs.o }}', outputs: {o: o}, publish: {o: pub/plain}}
  tool: {run: 'printf same > ${{ outputs.o }}; chmod 755 ${{ outputs.o }}', outputs: {o: o}, publish: {o: pub/tool}}
  reads: {run: 'for f in ${{ steps.plain.outputs.o }} ${{ steps.tool.outputs.o }} ${{ steps.tree.outputs.t }}/tool ${{ steps.tree.outputs.t }}/text; do if [ -x $f ]; then printf x; else printf -- -; fi; done > ${{ outputs.o }}', outputs: {o: o}}
E
sh ./make.sh "$T/want" && want=$(tree "$T/want")
bits() { for f in pub/plain pub/tool pub/tree/tool pub/tree/text; do if [ -x $f ]; then printf x; else printf -- -; fi; done; }
for order in 'plain tool' 'tool plain'; do
    rm -rf pub "$WF_STORE"
    for s in $order; do try 0 wf run out.yaml -q --until "$s"; done
    try 0 wf run out.yaml -q
    check_out reads.o "-xx-"
    same "the folder, as made" "$(tree pub/tree)" "$want"
    same "the bits, as made" "$(bits)" "-xx-"
    rm -rf pub
    try 0 wf run out.yaml -q
    check_ran ""
    same "the folder, as kept" "$(tree pub/tree)" "$want"
    same "the bits, as kept" "$(bits)" "-xx-"
    chmod a-x pub/tool pub/tree/tool; chmod a+x pub/plain; echo stray >pub/tree/stray
    try 0 wf run out.yaml -q
    same "the bits are put right" "$(bits)" "-xx-"
    same "the folder is put right" "$(tree pub/tree)" "$want"
    rm -rf "$T/copy"
    try 0 wf outputs latest tree --to "$T/copy"
    same "the folder, as handed out" "$(tree "$(find "$T/copy" -name case -printf '%h')")" "$want"
    check_store
done
# the bit alone makes another result for whoever reads it
sed -i 's/chmod 755/: chmod 755/' out.yaml
try 0 wf run out.yaml -q
check_ran "reads tool"
check_out reads.o "--x-"
finish
