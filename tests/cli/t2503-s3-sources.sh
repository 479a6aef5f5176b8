#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Sources in a bucket of a real S3 server: objects, folders, changes, keys that are wrong.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
command -v radosgw >/dev/null || skip "a S3 server is missing (Debian: ceph-mon ceph-osd ceph-common radosgw)"
s3=$WF_SOURCE/tests/servers/s3.sh
export WF_S3_PORT=$((24100 + $$ % 500 * 2))
trap '"$s3" "$T/s3" stop; cleanup' EXIT
try 0 "$s3" "$T/s3" start
eval "$("$s3" "$T/s3" env)"
signed() { curl -sS --aws-sigv4 aws:amz:default:s3 --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" "$@"; }
put() { signed -X PUT -H "x-amz-content-sha256: $(sha256sum <"$2" | cut -c1-64)" --data-binary "@$2" "$AWS_ENDPOINT_URL_S3/data/$1" >/dev/null; }
none=$(printf '' | sha256sum | cut -c1-64)
drop() { signed -X DELETE -H "x-amz-content-sha256: $none" "$AWS_ENDPOINT_URL_S3/data/$1" >/dev/null; }
signed -X PUT -H "x-amz-content-sha256: $none" "$AWS_ENDPOINT_URL_S3/data" >/dev/null
seq 10 >ten; seq 20 >twenty; printf 'x' >x
put one.csv ten
for k in a b deep/c; do put "in/$k" ten; done
put 'in/with%20blank%20%C3%A9' x

cat >w.yaml <<'E'
steps:
  one: {kind: ingest, source: s3://data/one.csv, run: 'wc -l < ${{ source.path }} > ${{ outputs.n }}', outputs: {n: n}}
  all: {kind: ingest, source: s3://data/in/}
  use: {run: 'cd ${{ steps.all.outputs.data }}; find . -type f | LC_ALL=C sort | paste -sd" " > ${{ outputs.o }}; cat a b deep/c | wc -l >> ${{ outputs.o }}', outputs: {o: o}}
E
try 0 wf run w.yaml
check_out one.n 10
check_out use.o $'./a ./b ./deep/c ./with blank é\n30'
json '.steps[] | select(.name == "all") | .source | [.files, .bytes, .records, .kind, .url]' '[4,64,31,"folder","s3://data/in/"]' <(wf show --json)
json '.steps[] | select(.name == "one") | .source | [.bytes, (.etag | length > 10)]' '[21,true]' <(wf show --json)
try 0 wf run w.yaml
check_ran ""
wf plan w.yaml --json >plan.json
json '[.steps[].verdict]' '["hit","hit","hit"]' plan.json
put one.csv twenty
put in/deep/c twenty
wf plan w.yaml --json >plan.json
json '[.steps[0].verdict, .steps[1].verdict]' '["undecided","run"]' plan.json
try 0 wf run w.yaml
check_ran "all one use"
check_out one.n 20
check_out use.o $'./a ./b ./deep/c ./with blank é\n40'
drop in/b; put in/b ten
try 0 wf run w.yaml
check_ran ""
drop in/deep/c; put in/deep/c ten
try 0 wf run w.yaml
check_ran "" # what there was before
drop in/b
sed -i 's/cat a b/cat a/' w.yaml
try 0 wf run w.yaml
check_ran "all use"
# another server's bucket of that name is another source, whatever the policy
echo "steps: {get: {kind: ingest, source: s3://data/one.csv, cache: {policy: time, ttl: 14d}}}" >t.yaml
try 0 wf run t.yaml; check_ran get
try 0 wf run t.yaml; check_ran ""
AWS_ENDPOINT_URL_S3=${AWS_ENDPOINT_URL_S3/127.0.0.1/localhost} try 0 wf run t.yaml; check_ran get
try 0 wf run t.yaml; check_ran ""
# measures
cat >m.yaml <<'E'
steps:
  etag: {kind: ingest, source: s3://data/one.csv, cache: {policy: change, measure: etag}}
  files: {kind: ingest, source: s3://data/in/, cache: {policy: change, measure: files, threshold: 40%}}
E
try 0 wf run m.yaml
put in/b ten
try 0 wf run m.yaml; check_ran ""
json '.steps[1].cache.note' '"reused: files 4 vs 3, 33.33% < 40%"' <(wf show --json)
put in/e ten; put one.csv ten
try 0 wf run m.yaml; check_ran "etag files"
# pinned, missing, refused
echo "steps: {a: {kind: ingest, source: s3://data/one.csv, sha256: $(sha256sum <twenty | cut -c1-64)}}" >pin.yaml
try 1 wf run pin.yaml
for gone in s3://data/nosuch s3://nosuch/x s3://data/none/; do
    echo "steps: {a: {kind: ingest, source: $gone}}" >gone.yaml
    try 1 wf run gone.yaml
    says "cannot fetch|holds nothing"
done
AWS_SECRET_ACCESS_KEY=wrong try 1 wf run w.yaml
says 'SignatureDoesNotMatch'
check "no key is kept" test "$(sqlite3 "$WF_STORE/wf.db" .dump | grep -c "$AWS_SECRET_ACCESS_KEY")" = 0
check_store
finish
