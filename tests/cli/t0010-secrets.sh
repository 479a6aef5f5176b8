# SPDX-License-Identifier: Apache-2.0
# Secrets reach the steps that list them, and nothing else: not logs, events, listings, nor the store.
. "$(dirname "$0")/lib.sh"
export TOKEN_FROM=s3cr3t-value-$$ ; secret2=other-secret-$$
mkdir -p outside; printf '%s\n' "$secret2" >outside/key
flow w.yaml <<E
secrets: {TOKEN: {env: TOKEN_FROM}, KEY: {file: outside/key}}
steps:
  a:
    secrets: [TOKEN]
    run: |
      echo "it is \$TOKEN, and again \$TOKEN\$TOKEN"
      printf '%s' "\$TOKEN" | cut -c1-5 | tr -d '\\n'; sleep 0.05; printf '%s' "\$TOKEN" | cut -c6-
      printf %s "\$TOKEN" | wc -c > "\$WF_OUT/n"
    outputs: {n: n}
  b:
    secrets: {OTHER: KEY}
    run: 'echo "\$OTHER" >&2; printf %s "\$OTHER" | wc -c > "\$WF_OUT/n"; echo "v=\$(printf %s "\$OTHER" | wc -c)" > "\$WF_VALUES"; exit 0'
    outputs: {n: n}
    values: [v]
  c:
    run: 'test -z "\${TOKEN-}\${OTHER-}\${TOKEN_FROM-}"'
  d:
    secrets: [TOKEN]
    run: 'echo "failing with \$TOKEN" >&2; exit 1'
    continue_on_error: true
E
try 0 wf run w.yaml --json --summary s.json --junit j.xml
same "length" "$(out a.n | tr -d ' ')" ${#TOKEN_FROM}
same "from a file, without its newline" "$(out b.n | tr -d ' ')" ${#secret2}
cp .out events
wf logs >logs 2>&1; wf show >show 2>&1
check "logs say ***" grep -q 'it is \*\*\*, and again \*\*\*' logs
for s in "$TOKEN_FROM" "$secret2"; do
    same "not in any output" "$(cat events logs show s.json j.xml | grep -c -- "$s")" 0
    same "not in the store" "$(grep -ra -- "$s" store | wc -l)" 0
done
try 0 wf run w.yaml -v
check_status a cached
says_not "$TOKEN_FROM"
export TOKEN_FROM=changed-value-$$
try 0 wf run w.yaml
check_status a cached
unset TOKEN_FROM
rc=0; wf run w.yaml >.out 2>.err || rc=$?
check "a secret that is not there is an error before anything runs" test $rc -ne 0
says TOKEN
invalid 'secrets: {A: {env: A}}
steps: {a: {run: "echo ${{ secrets.A }}"}}'
invalid 'steps: {a: {run: x, secrets: [NOPE]}}'
finish
