# SPDX-License-Identifier: Apache-2.0
# wf cache adopt: an earlier result stands after a cosmetic change, on somebody's word, which stays on record.
. "$(dirname "$0")/lib.sh"
write() { # write COMMENT [MORE]
    flow w.yaml <<E
name: house
params: {n: 1}
steps:
  a:
    run: |
      # $1
      seq \${{ params.n }} 5 > \${{ outputs.o }}
      echo v=7 >> \$WF_VALUES
    outputs: {o: o${2-}}
    values: [v]
  b: {run: 'cat \${{ steps.a.outputs.o }} > \${{ outputs.o }}; echo \${{ steps.a.values.v }} >> \${{ outputs.o }}', outputs: {o: o}}
E
}
write one
try 0 wf run w.yaml
old=$(wf show --json | jq -r '.steps[] | select(.name == "a") | .cache.key')
try 0 wf cache adopt w.yaml a
says 'reused as it is'
# a comment changed
write two
same "it would run" "$(wf plan w.yaml --json | jq -r '.steps[0].verdict')" run
try 2 wf cache adopt w.yaml a
says 'say --yes'
says 'script'
same "nothing was adopted" "$(wf plan w.yaml --json | jq -r '.steps[0].verdict')" run
try 0 wf cache adopt w.yaml a -y --json
json 'map(.step)' '["a"]'
new=$(jq -r '.[0].key' .out)
check "another key" test "$new" != "$old"
try 0 wf run w.yaml
check_ran ""
same "its output and value" "$(out b.o | tr '\n' ' ')" "1 2 3 4 5 7 "
# it is on record
try 0 wf cache show "$new" --json
json ".result.adopted | [.from == \"$old\", (.by | test(\"@\")), (.at | test(\"^20\"))]" '[true,true,true]'
try 0 wf cache show "$new"
says 'adopted'
try 0 wf explain w.yaml a
says 'adopted .* by .*@.* from the entry'
try 0 wf explain w.yaml a --json
json '.[0].verdict' '"hit"'
# and so is the run that reused it
made=$(wf cache show "$new" --json | jq -r .result.run)
try 0 wf explain --run latest a
says "a: cached, adopted 20.* by .*@.* from the entry ${old:7:12} \(made by run $made\)"
says_not 'nothing it depends on'
try 0 wf explain --run latest a --json
json ".[0] | [.made_by, .adopted.from, (.why | test(\"^adopted\"))]" "[\"$made\",\"$old\",true]"
try 0 wf explain --run latest b
says "nothing it depends on had changed since run $made made it"
try 0 wf show
says 'a +cached .*adopted 20.* from the entry'
says "b +cached .*saved .*made by run $made"
# again: nothing left to do
try 0 wf cache adopt w.yaml a -y
says 'reused as it is'
# never across changed declarations
write two 2
try 1 wf cache adopt w.yaml a -y
says 'outputs are declared otherwise'
write two
sed 's/values: \[v\]/values: [v, w]/' w.yaml >v.yaml
try 1 wf cache adopt v.yaml a -y
says 'values are declared otherwise'
# bad input
try 2 wf cache adopt w.yaml
try 2 wf cache adopt w.yaml nosuch -y
try 2 wf cache adopt nosuch.yaml a -y
try 2 wf cache adopt w.yaml a -y --from nosuch
echo 'steps: {a: 7}' >bad.yaml
try 3 wf cache adopt bad.yaml a -y
# never ran, not memoized, undecided
flow x.yaml <<'E'
name: other
steps:
  never: {run: 'seq 3 > ${{ outputs.o }}; mkdir ${{ outputs.d }}', outputs: {o: sub/o, d: d}}
  off: {run: 'echo x > ${{ outputs.o }}', outputs: {o: o}, cache: false}
  after: {run: 'cat ${{ steps.off.outputs.o }} > ${{ outputs.o }}', outputs: {o: o}}
  checked: {run: 'echo checked > ${{ outputs.o }}', outputs: {o: {path: o, non_empty: true}}}
  values: {run: 'echo v=1 >> $WF_VALUES; echo v > ${{ outputs.o }}', outputs: {o: o}, values: [v]}
E
for s in never off after; do try 1 wf cache adopt x.yaml $s -y; done
# from a folder: outputs by their declared paths; the user's files stay the user's
mkdir -p made/sub made/d/empty; echo mine >made/sub/o; echo f >made/d/f; chmod +x made/d/f; ln -s f made/d/l
try 0 wf cache adopt x.yaml never --from made -y
try 0 wf run x.yaml --only never
check_ran ""
check_out never.o mine
check "the folder as it was" test -x "$(wf outputs latest never.d --to there >/dev/null; find there -name f)" -a -d "$(find there -name empty)"
same "the user's file is untouched" "$(stat -c %a%h made/sub/o)" "$(stat -c %a made/d/../sub/o)1"
echo more >>made/sub/o
try 0 wf cache verify
check_store
rm -r made/d
wf cache rm -w other -y >/dev/null
try 2 wf cache adopt x.yaml never --from made -y
says 'declared output'
mkdir empty; : >empty/o
try 2 wf cache adopt x.yaml checked --from empty -y
says 'empty'
echo x >empty/o
try 2 wf cache adopt x.yaml values --from empty -y
says 'values'
try 0 wf cache adopt x.yaml checked --from empty -y
# all branches of a step at once
flow m.yaml <<'E'
name: branches
steps: {t: {matrix: {k: [1, 2, 3]}, run: 'echo ${{ matrix.k }} > ${{ outputs.o }} # one', outputs: {o: o}}}
E
try 0 wf run m.yaml
sed -i 's/# one/# two/' m.yaml
try 2 wf cache adopt m.yaml t --from empty -y
try 0 wf cache adopt m.yaml 't[k=2]' -y --json
json length 1
try 0 wf cache adopt m.yaml t -y --json
json length 2
try 0 wf run m.yaml
check_ran ""
# what it made is gone, or damaged
sed -i 's/# two/# three/' m.yaml
o=$(wf outputs latest 't[k=1].o')
rm -f "$o"
try 2 wf cache adopt m.yaml 't[k=1]' -y
says 'no longer kept'
# killed: nothing half
sed -i 's/# three/# four/' m.yaml
( WF_FAILPOINT=adopt.stored:kill "$WF" cache adopt m.yaml 't[k=2]' -y ) >.out 2>.err; same killed $? 137
same "not adopted" "$(wf plan m.yaml --json | jq -r '.steps[] | select(.name == "t[k=2]") | .verdict')" run
# two at once
"$WF" cache adopt m.yaml 't[k=2]' -y >/dev/null 2>&1 & one=$!
wf cache adopt m.yaml 't[k=2]' -y >/dev/null 2>&1; two=$?
wait $one; same "both end well" "$? $two" "0 0"
check_store
# it travels, and housekeeping does not take it at once
try 0 wf run w.yaml
wf cache gc --unused-for 1h >/dev/null
try 0 wf run w.yaml
check_ran ""
try 0 wf cache export c.tar.zst
WF_STORE=$T/two wf cache import c.tar.zst >/dev/null
WF_STORE=$T/two wf cache show "$new" --json >.out
json ".result.adopted.from" "\"$old\""
finish
