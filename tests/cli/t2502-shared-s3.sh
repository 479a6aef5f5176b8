#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The shared cache in a bucket of a real S3 server.
# shellcheck disable=SC2317 # functions are called by name, and by the trap
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
export no_proxy=127.0.0.1 NO_PROXY=127.0.0.1
command -v radosgw >/dev/null || skip "a S3 server is missing (Debian: ceph-mon ceph-osd ceph-common radosgw)"
s3=$WF_SOURCE/tests/servers/s3.sh
export WF_S3_PORT=$((25100 + $$ % 500 * 2))
trap '"$s3" "$T/s3" stop; cleanup' EXIT
try 0 "$s3" "$T/s3" start
eval "$("$s3" "$T/s3" env)"
nothing=$(printf '' | sha256sum | cut -c1-64)
signed() { curl -sS --aws-sigv4 aws:amz:default:s3 --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" -H "x-amz-content-sha256: $nothing" "$@"; }
signed -X PUT "$AWS_ENDPOINT_URL_S3/shared" >/dev/null
in_store() { local WF_STORE=$1; shift; export WF_STORE; "$@"; }

flow flow.yaml <<'EOF'
name: bucket
defaults:
  cache: {shared: true}
steps:
  make:
    run: |
      mkdir -p "$WF_OUT/d" && echo hi >"$WF_OUT/d/hi" && seq 500000 >"$WF_OUT/big" && : >"$WF_OUT/none"
    outputs: {d: d/, big: big, none: none}
  use: {run: 'tail -1 ${{ steps.make.outputs.big }} >"$WF_OUT/o"', outputs: {o: o}}
EOF
export WF_REMOTE=s3://shared/team/wf
try 0 in_store "$T/a" wf run flow.yaml
says 'sent 2'
try 0 in_store "$T/b" wf run flow.yaml
says 'found 2'
export WF_STORE=$T/b
check_ran ""
check_out use.o 500000
check_store
same "below the prefix" "$(signed "$AWS_ENDPOINT_URL_S3/shared/?list-type=2&prefix=team%2Fwf%2Fac%2F" | grep -o '<Key>' | wc -l)" 2

# The last slash and no prefix at all.
WF_REMOTE=s3://shared/team/wf/ try 0 in_store "$T/c" wf run flow.yaml
says 'found 2'
WF_REMOTE=s3://shared try 0 in_store "$T/d" wf run flow.yaml
says 'sent 2'
WF_REMOTE=s3://shared try 0 in_store "$T/e" wf run flow.yaml --remote-readonly
says 'found 2'

# Wrong keys, no keys, no bucket: a warning.
AWS_SECRET_ACCESS_KEY=wrong try 0 in_store "$T/f" wf run flow.yaml
says 'SignatureDoesNotMatch'
says_not "$AWS_SECRET_ACCESS_KEY|wrong"
(
    unset AWS_SECRET_ACCESS_KEY AWS_ACCESS_KEY_ID
    try 0 in_store "$T/g" wf run flow.yaml
    says 'AccessDenied'
    exit "$failures"
) || fail "without keys"
(
    unset AWS_SECRET_ACCESS_KEY
    try 2 in_store "$T/g" wf run flow.yaml
    exit "$failures"
) || fail "with half the keys"
WF_REMOTE=s3://elsewhere/x try 0 in_store "$T/h" wf run flow.yaml
says 'NoSuchBucket'
wf doctor --json >"$T/.out"
json '[.[] | select(.what == "cache") | .state]' '["ok"]'

# Two write at once; killed while it sends: who asks next finds all or nothing.
in_store "$T/i" wf run flow.yaml --refresh >"$T/i.out" 2>&1 &
first=$!
in_store "$T/j" wf run flow.yaml --refresh >"$T/j.out" 2>&1 &
check "the second writer" wait $!
check "the first writer" wait $first
try 0 in_store "$T/k" wf run flow.yaml
WF_STORE=$T/k check_ran ""
export WF_REMOTE=s3://shared/other
WF_FAILPOINT=remote.sent:kill:4 try 137 in_store "$T/l" wf run flow.yaml
check_store "$T/l"
try 0 in_store "$T/m" wf run flow.yaml
try 0 in_store "$T/n" wf run flow.yaml
WF_STORE=$T/n check_ran ""

# Altered in the bucket.
key=$(WF_STORE=$T/n wf show --json | jq -r '.steps[0].outputs.big.digest' | cut -d: -f2)
echo lie >"$T/lie"
curl -sS --aws-sigv4 aws:amz:default:s3 --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
    -H "x-amz-content-sha256: $(sha256sum <"$T/lie" | cut -c1-64)" -T "$T/lie" "$AWS_ENDPOINT_URL_S3/shared/other/cas/$key"
export WF_STORE=$T/o
try 0 wf run flow.yaml
says 'wrong answer'
check_out use.o 500000
try 0 in_store "$T/p" wf run flow.yaml
WF_STORE=$T/p check_ran ""
finish
