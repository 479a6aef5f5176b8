# SPDX-License-Identifier: Apache-2.0
# -p and --params-file: typed, checked before anything runs.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<'E'
params:
  text: hello
  count: {default: 3, type: integer, min: 1, max: 9}
  rate: 1.10
  on: true
  mode: {default: fast, enum: [fast, slow]}
  must: {type: string, required: true}
steps:
  a:
    run: |
      printf '%s\n' ${{ params.text }} ${{ params.count }} ${{ params.rate }} ${{ params.on }} ${{ params.mode }} ${{ params.must }} > ${{ outputs.o }}
    outputs: {o: o}
E
n=$(wf runs --json | jq length)
try 2 wf run w.yaml
says must
try 2 wf run w.yaml -p must=x -p count=ten
says count
try 2 wf run w.yaml -p must=x -p count=10
try 2 wf run w.yaml -p must=x -p count=0
try 2 wf run w.yaml -p must=x -p count=1.5
try 2 wf run w.yaml -p must=x -p on=yes
try 2 wf run w.yaml -p must=x -p mode=medium
try 2 wf run w.yaml -p must=x -p txet=1
says text
try 2 wf run w.yaml -p must
same "nothing ran" "$(wf runs --json | jq length)" "$n"
try 0 wf check w.yaml
try 0 wf run w.yaml -p must=x
check_out a.o $'hello\n3\n1.10\ntrue\nfast\nx'
try 0 wf run w.yaml -p must='a: {b}' -p text='1e3' -p count=9 -p rate=2 -p on=false -p mode=slow
check_out a.o $'1e3\n9\n2\nfalse\nslow\na: {b}'
printf 'must: from file\ncount: 4\n' >p.yaml
try 0 wf run w.yaml --params-file p.yaml
check_out a.o $'hello\n4\n1.10\ntrue\nfast\nfrom file'
try 0 wf run w.yaml --params-file p.yaml -p count=5
json .params.count 5 <(wf show --json)
echo '{"must": "json", "on": false}' >p.json
try 0 wf run w.yaml --params-file p.json
check_out a.o $'hello\n3\n1.10\nfalse\nfast\njson'
printf 'must: x\ncuont: 4\n' >p.yaml
try 2 wf run w.yaml --params-file p.yaml
try 2 wf run w.yaml -p must=x --params-file nosuch.yaml
printf 'count: [1]\nmust: x\n' >p.yaml
try 2 wf run w.yaml --params-file p.yaml
try 0 wf run w.yaml -p must=x -p text=
check_out a.o $'\n3\n1.10\ntrue\nfast\nx'
try 2 wf run w.yaml -p must=x -p text=$'bad\377'
finish
