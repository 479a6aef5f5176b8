# SPDX-License-Identifier: Apache-2.0
# runs, show, logs and outputs of past runs.
. "$(dirname "$0")/lib.sh"
flow one.yaml <<'E'
name: first
steps:
  a: {run: 'printf "raw \\0 bytes"; echo err >&2; mkdir -p "$WF_OUT/d/e"; echo 1 > "$WF_OUT/d/e/f"; echo 2 > "$WF_OUT/g"', outputs: {d: d, g: g}}
  m: {matrix: {k: [x, y]}, run: 'echo ${{ matrix.k }}-out | tee ${{ outputs.o }}', outputs: {o: o}}
E
flow two.yaml <<'E'
name: second
steps: {b: {run: exit 1}}
E
try 0 wf runs --json
json length 0
try 2 wf show
try 0 wf run one.yaml -q
first=$(wf show --json | jq -r .run)
try 1 wf run two.yaml -q
try 0 wf runs --json
json '[.[] | [.workflow, .status]]' '[["second","failed"],["first","succeeded"]]'
json '.[1].counts.succeeded' 3
try 0 wf runs --json -n 1
json length 1
try 0 wf runs --json -w first
json '.[0].run' "\"$first\""
try 0 wf show "$first" --json
json .workflow '"first"'
try 0 wf show "${first%??}" --json
json .run "\"$first\""
try 0 wf show
says second
same "run ids begin with a digit" "${first%%[!0-9]*}" "$(printf %s "$first" | grep -o '^[0-9]*')"
check "and there is one" [ -n "${first%%[!0-9]*}" ]
wf logs "$first" a >log.a 2>.err
check "one step's bytes as they were" cmp <(printf 'raw \0 bytes'; echo err) log.a
try 0 wf logs "$first" m
says x-out
says y-out
try 0 wf logs "$first" 'm[k=y]'
says y-out
says_not x-out
try 0 wf logs "$first"
says 'a.*raw'
says 'k=x.*x-out'
try 0 wf outputs "$first" --json
json '[.[] | [.step, .name, .kind]]' '[["a","d","folder"],["a","g","file"],["m[k=x]","o","file"],["m[k=y]","o","file"]]'
same "one output's path" "$(cat "$(wf outputs "$first" a.g)")" 2
same "a branch's" "$(cat "$(wf outputs "$first" 'm[k=x].o')")" x-out
try 0 wf outputs "$first" --to copies
same "a folder is copied whole" "$(cat copies/a/d/e/f)" 1
same "branches lie apart" "$(cat 'copies/m[k=y]/o')" y-out
check "copies can be written" test -w copies/a/g
echo changed >copies/a/g
same "and the store's stay" "$(cat "$(wf outputs "$first" a.g)")" 2
check_store
try 0 wf outputs "$first" --to copies
same "copied again over it" "$(cat copies/a/g)" 2
finish
