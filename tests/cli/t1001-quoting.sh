# SPDX-License-Identifier: Apache-2.0
# Whatever a value holds, it arrives as that value: never as code.
. "$(dirname "$0")/lib.sh"
flow w.yaml <<'E'
params: {x: none}
steps:
  run:
    run: |
      show() { for a in "$@"; do printf '<%s>' "$a"; done; echo; }
      {
        show --a ${{ params.x }} end
        show "${{ params.x }}" "pre-${{ params.x }}-post" pre${{ params.x }}post
        show '${{ params.x }}'
        show $(printf %s ${{ params.x }} | wc -c)
        cat <<HERE
      [${{ params.x }}]
      HERE
        # a comment with ${{ params.x }}
      } > ${{ outputs.o }}
    outputs: {o: o}
  command:
    command: [sh, -c, 'printf "<%s>" "$@" > "$WF_OUT/o"', sh, '${{ params.x }}', 'a-${{ params.x }}-b']
    outputs: {o: o}
  env:
    env: {X: '${{ params.x }}'}
    run: printf %s "$X" > ${{ outputs.o }}
    outputs: {o: o}
E
for x in simple 'two words' "it's" '"quoted"' '$(touch pwned)' '`touch pwned`' '; touch pwned #' '\back\\slash' '*' '' '-n' '${HOME}' '~' $'tab\tend' 'é ☃' '$((1/0))' '!!' "a'\"b" '%s %d \n' '&& touch pwned' $'two\nlines'; do
    try 0 wf run w.yaml -p "x=$x"
    n=$(printf %s "$x" | wc -c)
    check_out run.o "<--a><$x><end>
<$x><pre-$x-post><pre${x}post>
<$x>
<$((n))>
[$x]"
    check_out command.o "<$x><a-$x-b>"
    same "env" "$(out env.o)" "$x"
done
invalid 'params: {x: a}
steps:
  a:
    run: |
      cat <<"E"
      ${{ params.x }}
      E'
check "no value was run" test ! -e pwned
flow list.yaml <<'E'
steps:
  m: {matrix: {k: ['a b', "c'd"]}, run: 'printf %s ${{ matrix.k }} > ${{ outputs.o }}', outputs: {o: o}, values: [v]}
  words:
    run: |
      printf '<%s>' $(cat ${{ steps.m.outputs.o }} | wc -c) > ${{ outputs.o }}
      set -- ${{ steps.m.outputs.o }}; printf '<%s>' $# >> ${{ outputs.o }}
      set -- "${{ steps.m.outputs.o }}"; printf '<%s>' $# >> ${{ outputs.o }}
    outputs: {o: o}
  list: {command: [sh, -c, 'echo $# > "$WF_OUT/o"', sh, '${{ steps.m.outputs.o }}'], outputs: {o: o}}
  split: {env: {FLAGS: '-a -b   -c'}, run: 'set -- $FLAGS; echo $# > ${{ outputs.o }}', outputs: {o: o}}
  literal: {run: 'echo ''${{ ''${{'' }} x }}'' > ${{ outputs.o }}', outputs: {o: o}}
E
sed -i 's/, values: \[v\]}/}/' list.yaml
try 0 wf run list.yaml
check_out words.o '<6><2><1>'
check_out list.o 2
check_out split.o 3
check_out literal.o '${{ x }}'
printf 'params: {x: a}\nsteps: {a: {shell: [python3], run: "print(${{ params.x }})"}}\n' >py.yaml
try 3 wf run py.yaml
says env
flow py.yaml <<'E'
params: {n: 4, b: true, e: {default: u, enum: [u, v]}}
steps:
  a:
    shell: [python3]
    run: |
      import os
      open("${{ outputs.o }}", "w").write(f"{${{ params.n }} + 1} ${{ params.b }} ${{ params.e }}")
    outputs: {o: o}
E
try 0 wf run py.yaml
check_out a.o '5 true u'
finish
